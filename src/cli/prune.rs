//! `hoist prune`: deletes what registries need not keep.

use std::process::ExitCode;

use indexmap::IndexMap;

use crate::cli::place::until_signalled;
use crate::cli::run::{asker, ci};
use crate::cli::session::{Loaded, Session};
use crate::config::{Bounds, Release, Retain};
use crate::diagnostic::{Code, Problem, Problems, counted, nearest};
use crate::facts::{Facts, Needs};
use crate::plan::{RegistryPlan, destinations};
use crate::release::{
    Intent, Journal, Journals, Ledger, Needed, Outcome, Page, Proposal, Publisher, Ran, Rules, propose_at,
    remove_at,
};

mod arguments;
mod show;

pub(crate) use arguments::Prune;

/// A repository of the project's images.
struct Place {
    registry: RegistryPlan,
    rules: Rules,
}

impl Place {
    /// As a user would name it.
    fn name(&self) -> String {
        self.registry.place.to_string()
    }
}

pub(crate) fn prune(session: &mut Session, options: &Prune) -> Result<ExitCode, Problems> {
    let loaded = session.load()?;
    let facts = session.gather(&loaded, &Needs::default(), &IndexMap::new())?;
    let places = places(&loaded.release, &facts, options)?;
    // Held until all is done: nobody goes on with them meanwhile.
    let stopped_before = not_amid_a_release(&loaded)?;
    let (ledger, page) = ledger(session, &loaded, &facts)?;
    let mut needed = Needed::of(&stages(&loaded.release, ledger.as_ref(), &page)?, session.host.now);
    for Intent { run, tags, entries, .. } in stopped_before.iter().map(Journal::intent) {
        let entered = entries.iter().flat_map(|entry| &entry.images).map(|image| image.digest);
        for digest in tags.iter().map(|tag| tag.digest).chain(entered) {
            needed.keep(digest, || format!("`hoist resume` needs it, for the run {run}"));
        }
    }
    let publisher = Publisher::new(loaded.project.root.clone(), facts.environment.clone());
    let stopped = "pruning was stopped";
    let now = session.host.now;
    let look = async {
        let mut proposals = Vec::new();
        for place in &places {
            let proposal = propose_at(&publisher, &place.registry, &place.rules, &needed, now).await;
            // As before a release: what cannot be asked is refused.
            let refused =
                |problem| Problem { code: Code::Unreachable, ..problem }.note("nothing was deleted");
            proposals.push(proposal.map_err(refused)?);
        }
        Ok::<_, Problem>(proposals)
    };
    let proposals = until_signalled(look, stopped)?;
    let anything = proposals.iter().any(|proposal| !proposal.verdict.is_empty());
    if !session.global.json {
        for (place, proposal) in places.iter().zip(&proposals) {
            session.output(&show::table(session, &place.name(), &proposal.verdict))?;
        }
        if !anything {
            session.say("nothing is to be deleted\n");
        }
    }
    if !anything || !agreed(session, options, &proposals) {
        for (place, proposal) in places.iter().zip(&proposals).filter(|_| session.global.json) {
            session.output(&format!(
                "{}\n",
                show::proposed(place.registry.name.as_str(), &place.name(), &proposal.verdict, now)
            ))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let still = || unchanged(ledger.as_ref(), &page);
    let mut outcomes: Vec<Outcome> = Vec::new();
    let work = async {
        for (place, proposal) in places.iter().zip(proposals.clone()) {
            outcomes.push(Outcome::default());
            let Some(outcome) = outcomes.last_mut() else { break };
            let done = remove_at(&publisher, &place.registry, proposal, &still, outcome).await;
            done.map_err(|problem| problem.note(format!("it was to be deleted from `{}`", place.name())))?;
        }
        Ok::<_, Problem>(())
    };
    let done = until_signalled(work, stopped);
    for ((place, proposal), outcome) in places.iter().zip(&proposals).zip(&outcomes) {
        if session.global.json {
            let value = show::done(&place.registry.name, &place.name(), &proposal.verdict, outcome, now);
            session.output(&format!("{value}\n"))?;
        } else {
            session.say(&show::outcome(&place.name(), outcome));
        }
    }
    let removed: usize = outcomes.iter().map(|outcome| outcome.removed.len() + outcome.loose.len()).sum();
    done.map_err(|problem| in_part(problem, removed))?;
    Ok(ExitCode::SUCCESS)
}

/// The repositories that are looked at, each once, with the rules for it.
fn places(release: &Release, facts: &Facts, options: &Prune) -> Result<Vec<Place>, Problems> {
    let (mut registries, mut images) = (Vec::new(), Vec::new());
    let all = destinations(release, facts);
    let mut problems = Problems::new();
    for name in &options.names {
        let is_registry = release.registries.contains_key(name)
            || all.iter().any(|(_, plan)| plan.as_ref().is_ok_and(|plan| plan.name == *name));
        match (is_registry, release.images.contains_key(name)) {
            (true, _) => registries.push(name),
            (_, true) => images.push(name),
            _ => problems.push(unknown(release, name)),
        }
    }
    problems.or(())?;
    let given = (!options.globs.is_empty()).then(|| Retain {
        matches: options.globs.clone(),
        bounds: Bounds { last: options.last, younger: options.younger },
        versions: options.versions,
    });
    let mut problems = Problems::new();
    let mut found: IndexMap<String, (RegistryPlan, Vec<Retain>)> = IndexMap::new();
    for (image, plan) in all {
        if !images.is_empty() && !images.contains(&&image) {
            continue;
        }
        let Some(plan) = problems.take(plan) else { continue };
        if !registries.is_empty() && !registries.contains(&&plan.name) {
            continue;
        }
        let declared = release.registries.get(&plan.name).into_iter().flat_map(|registry| &registry.retains);
        let (_, retains) =
            found.entry(plan.place.to_string()).or_insert_with(|| (plan, given.iter().cloned().collect()));
        // One place may have two names, each with rules.
        for retain in declared {
            if !retains.contains(retain) {
                retains.push(retain.clone());
            }
        }
    }
    problems.or(())?;
    let place = |(registry, retains): (RegistryPlan, Vec<Retain>)| {
        Rules::new(&retains).map(|rules| Place { registry, rules })
    };
    Ok(found.into_values().map(place).collect::<Result<_, _>>()?)
}

fn unknown(release: &Release, name: &str) -> Problem {
    let known: Vec<&str> =
        release.registries.keys().chain(release.images.keys()).map(String::as_str).collect();
    let all: Vec<_> = known.iter().map(|known| format!("`{known}`")).collect();
    let help = match nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if all.is_empty() => "release.kdl declares none".to_owned(),
        None => format!("there are {}", all.join(", ")),
    };
    Problem::new(Code::UnknownTarget, format!("there is no registry or image `{name}`")).help(help)
}

/// Refuses while a release goes on, or stopped half way: what it is about to name, or to go
/// back to, is not known to anybody else. Returns those that stopped before the first tag.
fn not_amid_a_release(loaded: &Loaded) -> Result<Vec<Journal>, Problem> {
    let Journals { dead, live } = Journals::find(&loaded.project.root)?;
    let problem = |title: String, help: &str| Problem::new(Code::Journal, title).help(help);
    if let Some(run) = live.first() {
        let title = format!("the release of run {run} goes on, and what it needs is not known");
        return Err(problem(title, "run the same again when it has ended"));
    }
    if let Some(journal) = dead.iter().find(|journal| !journal.moved().is_empty()) {
        let run = &journal.intent().run;
        let title = format!("the release of run {run} stopped half way, and what it needs is not known");
        return Err(problem(title, "`hoist resume` finishes it, or puts it back"));
    }
    Ok(dead)
}

/// What the ledger says, after its remote was asked. A project without a stage need not be
/// in a git repository.
fn ledger(session: &Session, loaded: &Loaded, facts: &Facts) -> Result<(Option<Ledger>, Page), Problem> {
    let opened = Ledger::open(&loaded.project.root, &session.host.environment);
    let ledger = match opened {
        Err(problem)
            if problem.code == Code::NoGit && loaded.release.stages.is_empty() && facts.git.is_none() =>
        {
            return Ok((None, Page::default()));
        }
        opened => opened?,
    };
    let page = ledger.fetch().map_err(|problem| {
        problem.note("nothing was deleted: what stages run, and could go back to, is not known")
    })?;
    Ok((Some(ledger), page))
}

/// All stages of the ledger, those that are declared no more among them.
fn stages(release: &Release, ledger: Option<&Ledger>, page: &Page) -> Result<Vec<Ran>, Problem> {
    let Some(ledger) = ledger else { return Ok(Vec::new()) };
    let ran = |stage: &String| {
        let running = page.state.running(stage).map(|running| &running.entry);
        // What somebody is about to let in is as good as in.
        let entering = page.state.stages.get(stage).and_then(|known| known.entering.as_ref());
        let entries = running.into_iter().chain(entering.map(|entering| &entering.entry));
        let images = entries.flat_map(|entry| &entry.images);
        Ok(Ran {
            stage: stage.clone(),
            retain: release.stages.get(stage).and_then(|declared| declared.retain),
            running: images.map(|image| image.digest).collect(),
            history: ledger.history(Some(stage), usize::MAX)?,
        })
    };
    page.state.stages.keys().map(ran).collect()
}

/// Whether it is to be done: as the command line says, or as somebody answers outside of CI.
fn agreed(session: &Session, options: &Prune, proposals: &[Proposal]) -> bool {
    if options.yes {
        return true;
    }
    let images: usize = proposals.iter().map(|proposal| proposal.verdict.removals.len()).sum();
    let tags: usize = proposals.iter().map(|proposal| proposal.verdict.loose.len()).sum();
    let parts = [(images, "image"), (tags, "tag")].into_iter().filter(|(count, _)| *count > 0);
    let what = parts.map(|(count, noun)| counted(count, noun)).collect::<Vec<_>>().join(" and ");
    let asked = session.host.input_is_terminal && !session.global.json && !options.dry_run && !ci(session);
    let agreed = asked && asker(session, false)(&format!("Delete {what}?")).unwrap_or(false);
    if !agreed && !session.global.json {
        session.say(&format!("nothing was deleted: `--yes` deletes {what}\n"));
    }
    agreed
}

/// What was shown holds only as long as no stage was entered since.
fn unchanged(ledger: Option<&Ledger>, page: &Page) -> Result<(), Problem> {
    let Some(ledger) = ledger else { return Ok(()) };
    if ledger.fetch()?.head == page.head {
        return Ok(());
    }
    let problem = Problem::new(Code::Ledger, "a stage was entered meanwhile: what it needs is judged anew");
    Err(problem.help("run the same again"))
}

/// Says whether something is gone.
fn in_part(mut problem: Problem, removed: usize) -> Problem {
    if removed == 0 {
        return problem.note("nothing was deleted");
    }
    if problem.code != Code::Interrupted {
        problem.code = Code::HalfReleased;
    }
    problem.title = format!("not everything was deleted: {}", problem.title);
    problem
        .note("run the same again: what is gone is passed over")
        .note("manifests of platforms whose index is gone may be left for the registry's own collection")
}
