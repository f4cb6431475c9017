//! Whether what is planned may be published for its event, as what the commit is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cli::arguments::Running;
use crate::cli::session::{Planned, Session};
use crate::diagnostic::{Code, Problem, Span, nearest};
use crate::facts::{
    Event, EventSource, Facts, Git, Tracked, commit_of_tag, has_untracked, is_on_branch, short,
};
use crate::plan::{Action, Declared, Effect, NeedKind, Plan, Step};
use crate::release::Tags;

/// So many files are named.
const NAMED: usize = 5;

/// Refuses to publish what is not of the commit, or for a git tag or a branch what is not
/// of it; of a git tag or a branch that the command line names, also that it is not there.
pub(crate) fn check(session: &Session, planned: &Planned, running: &Running) -> Result<(), Problem> {
    if let Some(problem) = refusal(session, planned, running.allow_dirty)? {
        return Err(problem);
    }
    if running.dry_run || !publishes(&planned.plan) {
        return Ok(());
    }
    let detached = planned.facts.git.as_ref().is_some_and(|git| git.branch.is_none());
    check_named(session, &planned.project.root, &planned.facts, detached)
}

/// Refuses what the command line says that is promoted, and is not there, or is not of the
/// commit that runs. A git tag may name another one that `is_like` it.
pub(crate) fn check_promoted(
    session: &Session,
    root: &Path,
    (facts, detached): (&Facts, bool),
    is_like: impl Fn(&str) -> bool,
) -> Result<(), Problem> {
    if facts.event_source != EventSource::CommandLine {
        return Ok(());
    }
    check_named(session, root, facts, detached)?;
    let is_tagged_like = || match &facts.event {
        Event::Tag(tag) => commit_of_tag(root, &session.host.environment, tag).is_some_and(|it| is_like(&it)),
        _ => false,
    };
    match elsewhere(session, root, facts, "promoted") {
        Some(why) if !is_tagged_like() => Err(Problem::new(Code::NotPublishable, why).help(NAME_IT)),
        _ => Ok(()),
    }
}

/// What to do about an event that is of another commit.
const NAME_IT: &str = "name the event that this commit is for";

/// Refuses a git tag or a branch that the command line names, and that is not there. Where
/// the commit alone is checked out (`detached`), as CI systems do, a branch need not be.
fn check_named(session: &Session, root: &Path, facts: &Facts, detached: bool) -> Result<(), Problem> {
    let named = facts.git.as_ref().filter(|_| facts.event_source == EventSource::CommandLine);
    let Some(git) = named else { return Ok(()) };
    match &facts.event {
        Event::Tag(tag) if commit_of_tag(root, &session.host.environment, tag).is_none() => {
            Err(no_such_tag(session, root, tag)?)
        }
        Event::Branch(branch) if !detached && !git.branches.contains(branch) => {
            Err(no_such_branch(git, branch))
        }
        _ => Ok(()),
    }
}

/// That a branch is not there for which something is to be published.
fn no_such_branch(git: &Git, branch: &str) -> Problem {
    let meant = nearest(branch, git.branches.iter().map(String::as_str));
    let problem = Problem::new(Code::NotPublishable, format!("there is no branch `{branch}` here"));
    problem.help(match meant {
        Some(meant) => format!("did you mean `{meant}`? `git fetch` brings what others made"),
        None => format!("`git branch {branch}` makes it, `git fetch` brings what others made"),
    })
}

/// That a git tag is not there for which something is to be published.
fn no_such_tag(session: &Session, root: &Path, tag: &str) -> Result<Problem, Problem> {
    let known = Tags::open(root, &session.host.environment)?.all()?;
    let meant = nearest(tag, known.iter().map(|(name, _)| name.as_str()));
    let problem = Problem::new(Code::NotPublishable, format!("there is no git tag `{tag}` here"));
    Ok(problem.help(match meant {
        Some(meant) => format!("did you mean `{meant}`? `git fetch --tags` brings what others made"),
        None => format!("`git tag {tag}` makes it, `git fetch --tags` brings what others made"),
    }))
}

/// Why what is planned may not be published, if so.
///
/// # Errors
/// The repository cannot be read.
pub(crate) fn refusal(
    session: &Session,
    planned: &Planned,
    allow_dirty: bool,
) -> Result<Option<Problem>, Problem> {
    if !publishes(&planned.plan) {
        return Ok(None);
    }
    if let Some(why) = elsewhere(session, &planned.project.root, &planned.facts, "built") {
        let help = match &planned.facts.event {
            Event::Tag(name) | Event::Branch(name) => format!("`git checkout {name}`, or {NAME_IT}"),
            _ => NAME_IT.to_owned(),
        };
        return Ok(Some(Problem::new(Code::NotPublishable, why).help(help)));
    }
    if allow_dirty { Ok(None) } else { untracked(planned) }
}

/// Whether a step publishes, be it by digest alone.
pub(crate) fn publishes(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| step.effect == Effect::Publishing)
}

/// That something is made of files that are not in the commit, though git does not ignore
/// them: a note, what another tool left, credentials that a CI system put there.
fn untracked(planned: &Planned) -> Result<Option<Problem>, Problem> {
    let Some(git) = &planned.facts.git else { return Ok(None) };
    let found = planned.lacking()?;
    let Some(span) = found.values().next() else { return Ok(None) };
    let commit = short(&git.sha);
    let title = format!("what would be published is made of files that commit {commit} does not have");
    let mut problem = Problem::new(Code::NotPublishable, title).label(*span, "made of them");
    for path in found.keys().take(NAMED) {
        problem = problem.note(format!("git neither tracks nor ignores `{}`", path.display()));
    }
    if let Some(more @ 1..) = found.len().checked_sub(NAMED) {
        problem = problem.note(format!("and {more} more"));
    }
    let help = "commit them; or name them in `.gitignore`, if they belong there, or in `.dockerignore`, if \
                they do not; or type `--allow-dirty`";
    Ok(Some(problem.help(help)))
}

impl Planned {
    /// The files that the repository lacks and that are part of what is published, each with
    /// the declaration of a step that reads it; looked for once.
    fn lacking(&self) -> Result<&BTreeMap<PathBuf, Span>, Problem> {
        if let Some(known) = self.lacking.get() {
            return Ok(known);
        }
        let tracked = Tracked::read(&self.project.root, &self.facts.environment)?;
        let declared = Declared::of(&self.release);
        let mut found = BTreeMap::new();
        for step in published(&self.plan) {
            let answer = step.answer.and_then(|at| self.facts.inputs.get(at));
            let read = answer.into_iter().flat_map(|inputs| &inputs.files).map(|file| file.path.as_path());
            for path in read.filter(|path| tracked.lacks(path) && !declared.makes(path)) {
                found.entry(path.to_owned()).or_insert(step.span);
            }
        }
        Ok(self.lacking.get_or_init(|| found))
    }

    /// Puts down with what is built for stages whether files that git neither tracks nor ignores
    /// may be part of it: a step reads one, or it is not known what a command reads, and there
    /// is one.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub(crate) fn settle_untracked(&mut self) -> Result<(), Problem> {
        let mut stages = self.entered.iter().flat_map(|entered| &entered.stages);
        if stages.all(|(_, candidate)| candidate.from.is_some()) {
            return Ok(());
        }
        let is_open = |step: &Step| matches!(step.action, Action::Command(_)) && step.inputs.is_none();
        // Who cannot know says yes.
        let untracked = !self.lacking()?.is_empty()
            || published(&self.plan).any(is_open) && has_untracked(&self.project.root).unwrap_or(true);
        let stages = self.entered.iter_mut().flat_map(|entered| &mut entered.stages);
        for (_, candidate) in stages.filter(|(_, candidate)| candidate.from.is_none()) {
            candidate.untracked = untracked;
        }
        Ok(())
    }
}

/// The steps of which the product is published, or part of what is: a target that declares no
/// outputs makes none.
fn published(plan: &Plan) -> impl Iterator<Item = &Step> {
    let mut part = vec![false; plan.steps.len()];
    for (at, step) in plan.steps.iter().enumerate().rev() {
        let makes_none = matches!(&step.action, Action::Command(command) if command.outputs.is_empty());
        let Some(is_part) = part.get_mut(at) else { continue };
        *is_part &= !makes_none;
        if !*is_part && step.effect != Effect::Publishing {
            continue;
        }
        for need in step.needs.iter().filter(|need| need.kind == NeedKind::Product) {
            if let Some(part) = part.get_mut(need.step.0 as usize) {
                *part = true;
            }
        }
    }
    plan.steps.iter().zip(part).filter(|(_, part)| *part).map(|(step, _)| step)
}

/// That the commit that is built or promoted is not the one that the git tag of the event
/// names, or not on the branch that `--event` names, if that is so. What a CI system says of a
/// branch is taken from it: it may build what it has merged for itself.
fn elsewhere(session: &Session, root: &Path, facts: &Facts, done: &str) -> Option<String> {
    let (git, environment) = (facts.git.as_ref()?, &session.host.environment);
    let ours = short(&git.sha);
    match &facts.event {
        Event::Tag(tag) => {
            let commit = commit_of_tag(root, environment, tag).filter(|commit| *commit != git.sha)?;
            let theirs = short(&commit);
            Some(format!("the git tag `{tag}` names commit {theirs}, and not {ours}, which is {done}"))
        }
        Event::Branch(branch) if facts.event_source == EventSource::CommandLine => {
            let on = is_on_branch(root, environment, branch, &git.sha)?;
            (!on).then(|| format!("commit {ours}, which is {done}, is not on the branch `{branch}`"))
        }
        _ => None,
    }
}

/// Says of what only looks at an event that publishing it would be refused.
pub(crate) fn warn_of_event(session: &Session, root: &Path, facts: &Facts) {
    if let (false, Some(why)) = (session.global.json, elsewhere(session, root, facts, "built")) {
        session.say(&format!("Nothing would be published: {why}\n"));
    }
}
