//! `hoist run --watch`: runs, waits for a change, and runs again.
#![expect(clippy::disallowed_methods, reason = "each round begins at a time of its own")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use rustix::process::Signal;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::cli::arguments::Run;
use crate::cli::report::Files;
use crate::cli::run::{asked, asker, owners, request, view};
use crate::cli::session::{Planned, Session, links_of, runtime};
use crate::config::Pattern;
use crate::diagnostic::{Class, Code, Problem, Problems};
use crate::facts::{Needs, Watch, Watched, Watcher};
use crate::plan::{Action, Effect, Goals, Options, Plan, select};
use crate::report::output;
use crate::run::{Event, Happening, Settled, execute_until, interrupts};

/// How long it is quiet before what happened is looked at: who saves several
/// files, or one in several steps, does it within this time.
const QUIET: Duration = Duration::from_millis(80);

/// How long it is waited for that at most.
const AT_MOST: Duration = Duration::from_secs(1);

/// What changes within this time after a run began, or ...
const AT_ONCE: Duration = Duration::from_secs(2);
/// ... within this time after it ended, may have been changed by the run itself.
const AFTER: Duration = Duration::from_millis(400);

/// So many such runs, one after the other, and the file is no longer watched.
const IN_A_ROW: u32 = 5;

/// Runs again and again until a signal ends it, which is no success: the exit code
/// is that of an interrupted run. A change while something runs stops it, gently,
/// and begins anew; what has succeeded by then is in the cache. Where a step owns
/// the terminal, the change waits until the run has ended.
pub(crate) fn watch(session: &Session, options: &Run) -> Result<ExitCode, Problems> {
    let (heard, batches) = unbounded_channel();
    let (watcher, polls) = Watcher::new(options.poll, move |paths| {
        // After the end nobody listens.
        let _over = heard.send(paths);
    })?;
    let runtime = runtime()?;
    let round = Round {
        options,
        watcher,
        watch: None,
        batches,
        gathered: BTreeSet::new(),
        circles: Circles::default(),
        ended: None,
        first: true,
    };
    if let Some(why) = polls {
        say(session, &why);
    }
    let ended = runtime.block_on(async { round.go(session, interrupts()).await });
    // A thread may still wait for an answer that nobody will give.
    runtime.shutdown_background();
    ended.map(|()| ExitCode::from(Class::Interrupted.exit_code()))
}

/// What goes on from run to run.
struct Round<'a> {
    options: &'a Run,
    watcher: Watcher,
    watch: Option<Watch>,
    batches: UnboundedReceiver<BTreeSet<PathBuf>>,
    /// Paths at which something happened, not yet looked at.
    gathered: BTreeSet<PathBuf>,
    circles: Circles,
    /// When the last run ended.
    ended: Option<Instant>,
    first: bool,
}

/// Files that are changed by the runs that they cause.
#[derive(Debug, Default)]
struct Circles {
    /// How often in a row.
    counts: BTreeMap<PathBuf, u32>,
    /// Those that are no longer watched.
    given_up: BTreeSet<PathBuf>,
}

impl Circles {
    /// Says which files are no longer watched from now on.
    fn count(&mut self, changed: &[PathBuf], by_itself: bool) -> Vec<PathBuf> {
        self.counts.retain(|path, _| by_itself && changed.contains(path));
        if by_itself {
            for path in changed {
                *self.counts.entry(path.clone()).or_default() += 1;
            }
        }
        let many = self.counts.iter().filter(|(_, count)| **count >= IN_A_ROW);
        let many: Vec<PathBuf> = many.map(|(path, _)| path.clone()).collect();
        self.counts.retain(|path, _| !many.contains(path));
        self.given_up.extend(many.iter().cloned());
        many
    }
}

/// Why a run ended, or waiting did.
enum Next {
    /// Something changed.
    Again,
    /// Nothing did.
    Wait,
    /// A signal asks for the end.
    End,
}

impl Round<'_> {
    async fn go(mut self, session: &Session, mut signals: UnboundedReceiver<Signal>) -> Result<(), Problems> {
        loop {
            let began = SystemTime::now();
            let mut round = Session::open(session.global.clone())?;
            let planned = self.plan(&mut round);
            self.look(&round, planned.as_ref().ok().map(|(planned, _, needs)| (planned, needs)), began)?;
            let first = std::mem::replace(&mut self.first, false);
            let mut next = match planned {
                Ok((planned, goals, _)) => self.run(&round, planned, &goals, &mut signals).await?,
                // A command line that is wrong does not become right by waiting.
                Err(problems) if first && is_of_command_line(&problems) => return Err(problems),
                Err(problems) => {
                    round.report(&problems);
                    Next::Wait
                }
            };
            if matches!(next, Next::Wait) {
                let files = match self.watch.as_ref().map_or(0, Watch::files) {
                    1 => "1 file".to_owned(),
                    files => format!("{files} files"),
                };
                say(&round, &format!("waits for changes: watches {files}, and new ones (Ctrl-C ends)"));
                next = self.wait(&round, &mut signals).await?;
            }
            if matches!(next, Next::End) {
                return Ok(());
            }
        }
    }

    /// Plans what is asked for, as the files are now.
    fn plan(&self, session: &mut Session) -> Result<(Planned, Goals, Needs), Problems> {
        let (goals, values) = asked(session, &self.options.words)?;
        let loaded = session.load()?;
        let needs = select(&loaded.release, &goals, &links_of(&loaded))?.needs;
        let options = Options { allow_dirty: self.options.running.allow_dirty, ..Options::default() };
        let planned = session.plan(loaded, &goals, &values, options)?;
        let publishing = planned.plan.steps.iter().find(|step| step.effect == Effect::Publishing);
        match publishing {
            None => Ok((planned, goals, needs)),
            Some(step) => Err(Problem::new(
                Code::CommandLine,
                format!("`--watch` does not publish, as `{}` does", step.id),
            )
            .help("name what comes before it, such as `hoist run test --watch`")
            .into()),
        }
    }

    /// Watches what matters to this plan.
    fn look(
        &mut self,
        session: &Session,
        planned: Option<(&Planned, &Needs)>,
        began: SystemTime,
    ) -> Result<(), Problems> {
        let project = crate::facts::Project::find(&session.host, session.global.file.as_deref());
        let Ok(root) = project.map(|project| project.root) else { return Ok(()) };
        let plan = planned.map(|(planned, _)| &planned.plan);
        let outputs: Vec<_> = planned.iter().flat_map(|(planned, _)| outputs(planned)).collect();
        let watched = Watched {
            root: &root,
            sources: &session.sources,
            planned: planned.map(|(planned, needs)| (&planned.release, needs, &planned.facts)),
            outputs: &outputs,
            everything: plan.is_some_and(reads_anything),
        };
        self.watch = Some(Watch::new(watched, self.watch.take()));
        self.attend(session, &BTreeSet::new(), began)
    }

    /// Watches the directories that are to be watched now.
    fn attend(
        &mut self,
        session: &Session,
        anew: &BTreeSet<PathBuf>,
        began: SystemTime,
    ) -> Result<(), Problems> {
        let Some(watch) = &self.watch else { return Ok(()) };
        if let Some(why) = self.watcher.watch(watch.directories().collect(), anew)? {
            say(session, &why);
        }
        // What changed before it was watched.
        self.gathered.extend(watch.changed_since(began));
        Ok(())
    }

    /// Runs the plan. A change stops it, unless a step owns the terminal.
    async fn run(
        &mut self,
        session: &Session,
        planned: Planned,
        goals: &Goals,
        signals: &mut UnboundedReceiver<Signal>,
    ) -> Result<Next, Problems> {
        let running = &self.options.running;
        let owners = owners(&planned.plan);
        let may_stop = owners.is_empty();
        let cache = session.cache_for_run(&planned.release, &planned.project, !running.no_cache)?;
        let files = Files::of(session, &planned.project.root, running);
        let told = RefCell::new((files, view(session, &planned.project.root, owners)));
        let request =
            request(session, planned, Settled::default(), cache, goals, running, asker(session, running.yes));
        let for_change = Cell::new(false);
        let mut see = |event: &Event| {
            let (files, view) = &mut *told.borrow_mut();
            files.see(event);
            // Which change it is for was said in its place.
            let known = matches!(event.what, Happening::Interrupted { kill: false, .. }) && for_change.get();
            if !known || session.global.json {
                view.see(event);
            }
        };
        let (stop, stops) = unbounded_channel();
        let (mut interrupted, mut changed, begun) = (false, Vec::new(), Instant::now());
        let mut by_itself = false;
        let summary = {
            let run = execute_until(request, &mut see, stops);
            tokio::pin!(run);
            loop {
                tokio::select! {
                    summary = &mut run => break summary,
                    Some(signal) = signals.recv() => {
                        interrupted = true;
                        // It may have ended just now.
                        let _over = stop.send(signal);
                    }
                    paths = self.batch(), if may_stop => {
                        let more = self.changes(session, &paths)?;
                        if changed.is_empty() && !more.is_empty() {
                            by_itself = begun.elapsed() < AT_ONCE;
                            told.borrow_mut().1.see(&notice(&said(&more, ": stops what runs")));
                            for_change.set(!interrupted);
                            let _over = stop.send(Signal::TERM);
                        }
                        changed.extend(more);
                    }
                }
            }
        };
        self.ended = Some(Instant::now());
        let (files, view) = told.into_inner();
        let mut problems = Problems::new();
        let stopped = !changed.is_empty() && !interrupted;
        // That it was stopped for a change is said already.
        let shown = summary.problems.into_iter().filter(|it| !(stopped && it.code == Code::Interrupted));
        problems.extend(shown);
        let lost = view.close(&problems, &session.sources);
        if let Err(problems) = files.write() {
            session.report(&problems);
        }
        if interrupted || lost.is_some() {
            return Ok(Next::End);
        }
        if changed.is_empty() {
            return Ok(Next::Wait);
        }
        self.circle(session, &changed, by_itself);
        Ok(Next::Again)
    }

    /// Waits for a change that matters, or for a signal.
    async fn wait(
        &mut self,
        session: &Session,
        signals: &mut UnboundedReceiver<Signal>,
    ) -> Result<Next, Problems> {
        loop {
            let paths = tokio::select! {
                Some(_) = signals.recv() => return Ok(Next::End),
                paths = self.batch() => paths,
            };
            let changed = self.changes(session, &paths)?;
            if changed.is_empty() {
                continue;
            }
            let by_itself = self.ended.is_some_and(|ended| ended.elapsed() < AFTER);
            say(session, &said(&changed, ""));
            self.circle(session, &changed, by_itself);
            return Ok(Next::Again);
        }
    }

    /// Paths at which something happened, once it is quiet there. What was heard is
    /// not lost if nobody waits until then.
    async fn batch(&mut self) -> BTreeSet<PathBuf> {
        if self.gathered.is_empty() {
            match self.batches.recv().await {
                Some(paths) => self.gathered.extend(paths),
                None => std::future::pending().await,
            }
        }
        let begun = Instant::now();
        while let Ok(Some(paths)) = timeout(QUIET, self.batches.recv()).await {
            self.gathered.extend(paths);
            if begun.elapsed() > AT_MOST {
                break;
            }
        }
        std::mem::take(&mut self.gathered)
    }

    /// The files among these that matter and changed; directories that are new are
    /// watched from now on.
    fn changes(&mut self, session: &Session, paths: &BTreeSet<PathBuf>) -> Result<Vec<PathBuf>, Problems> {
        let Some(mut watch) = self.watch.take() else { return Ok(Vec::new()) };
        let mut changed = watch.changed(paths);
        let has_new = watch.has_new_directory(paths);
        self.watch = Some(if has_new { watch.refreshed() } else { watch });
        if has_new {
            self.attend(session, paths, SystemTime::now())?;
            // What was made there before it was watched.
            changed.extend(self.watch.iter_mut().flat_map(|watch| watch.changed(paths)));
        }
        changed.retain(|path| !self.circles.given_up.contains(path));
        Ok(changed)
    }

    /// Gives up watching what each run changes anew.
    fn circle(&mut self, session: &Session, changed: &[PathBuf], by_itself: bool) {
        if changed.iter().any(|path| path.extension().is_some_and(|extension| extension == "kdl")) {
            self.circles.given_up.clear();
        }
        for path in self.circles.count(changed, by_itself) {
            let text = format!(
                "{} changes with each run: it is not watched until release.kdl changes; declare it as an output, \
                 or name it in .gitignore",
                path.display()
            );
            say(session, &text);
        }
    }
}

/// What the steps make, and what all other targets would.
fn outputs(planned: &Planned) -> Vec<Pattern> {
    let steps = planned.plan.steps.iter().flat_map(|step| match &step.action {
        Action::Command(command) => command.outputs.as_slice(),
        _ => &[],
    });
    let targets = planned.release.targets.values().flat_map(|target| &target.outputs);
    steps.chain(targets).cloned().collect()
}

/// Whether it is not known what is read: a command that is asked for declares no
/// inputs, or nothing does.
fn reads_anything(plan: &Plan) -> bool {
    let commands = || plan.steps.iter().filter(|step| matches!(step.action, Action::Command(_)));
    let asked = commands().any(|step| step.goal && step.inputs.is_none());
    asked || plan.steps.iter().all(|step| step.inputs.is_none())
}

fn is_of_command_line(problems: &Problems) -> bool {
    problems
        .as_slice()
        .iter()
        .any(|problem| matches!(problem.code, Code::CommandLine | Code::UnknownTarget | Code::NoReleaseFile))
}

/// `a, b, c, and 4 more changed`.
fn said(changed: &[PathBuf], rest: &str) -> String {
    let names: Vec<_> = changed.iter().take(3).map(|path| path.display().to_string()).collect();
    let more = changed.len().saturating_sub(names.len());
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{}{more} changed{rest}", names.join(", "))
}

fn notice(text: &str) -> Event {
    Event { time: Timestamp::now(), what: Happening::Notice { step: None, text: text.to_owned() } }
}

/// Says something between two runs, as an event where events are asked for.
fn say(session: &Session, text: &str) {
    if session.global.json {
        let line = serde_json::to_string(&notice(text)).unwrap_or_default();
        // Nobody is left to tell that standard output went away.
        drop(output(&format!("{line}\n")));
    } else {
        session.say(&format!("{text}\n"));
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    #[test]
    fn what_each_run_changes_anew_is_given_up_and_what_a_user_saves_is_not() {
        let (stamp, source) = (PathBuf::from("stamp"), PathBuf::from("a.rs"));
        let mut circles = Circles::default();
        for _ in 1..IN_A_ROW {
            assert!(circles.count(&[stamp.clone(), source.clone()], true).is_empty());
        }
        assert_eq!(circles.count(slice::from_ref(&stamp), true), slice::from_ref(&stamp));
        assert!(circles.count(slice::from_ref(&source), true).is_empty());
        for _ in 0..20 {
            assert!(circles.count(slice::from_ref(&source), false).is_empty());
        }
        assert_eq!(circles.given_up, [stamp].into());
    }
}
