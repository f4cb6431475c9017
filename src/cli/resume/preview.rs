//! `hoist resume --dry-run`: what would be finished, or put back.

use std::process::ExitCode;

use crate::cli::arguments::Running;
use crate::cli::place::until_signalled;
use crate::cli::resume::{announce, check_not_entered, check_of, enter, facts_now, superseded};
use crate::cli::rollback::held;
use crate::cli::session::{Loaded, Session};
use crate::cli::stage_arguments::Resume;
use crate::diagnostic::{Problem, Problems};
use crate::facts::Facts;
use crate::oci::Digest;
use crate::release::{Entry, Intent, IntentTag, Journal, Ledger, Publisher, State, before, unfinished};

/// What stopped half way, as its journal tells it, or the ledger.
struct Half {
    intent: Intent,
    /// The tags that may have been set, each with what it held before, the last one first.
    moved: Vec<(usize, Option<Digest>)>,
    untouched: bool,
    /// The stages that it has entered.
    entered: Vec<String>,
}

/// Shows which tags would hold what, and which stages would be entered; does nothing, and
/// waits for nobody.
pub(super) fn preview(
    session: &mut Session,
    loaded: &Loaded,
    (dead, here): (&[Journal], &[String]),
    options: &Resume,
) -> Result<ExitCode, Problems> {
    let mut halves: Vec<Half> = dead.iter().map(Half::of_journal).collect();
    halves.extend(elsewhere(session, loaded, here)?);
    let over: Vec<String> = halves.iter().map(|half| half.intent.run.clone()).collect();
    check_of(options.of.as_deref(), here.iter().chain(&over).cloned())?;
    if halves.is_empty() {
        session.say("nothing to resume: no release stopped half way\n");
    }
    let facts = facts_now(session, loaded)?;
    for half in &halves {
        let what = if options.back { "it would be put back" } else { "it would be finished" };
        announce(session, &half.intent, half.moved.len(), what);
        if options.back {
            back(session, loaded, &facts, half)?;
        } else {
            forward(session, loaded, &facts, (half, &options.running, &over))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Half {
    fn of_journal(journal: &Journal) -> Self {
        let intent = journal.intent().clone();
        let (moved, untouched) = (journal.moved(), journal.is_untouched());
        Self { intent, moved, untouched, entered: journal.entered_stages() }
    }

    /// Of a run elsewhere, each tag may have been set.
    fn of_ledger(intent: Intent) -> Self {
        let tags = intent.tags.iter().enumerate().rev();
        let moved: Vec<_> = tags.map(|(at, tag)| (at, tag.holds)).collect();
        Self { untouched: moved.is_empty(), intent, moved, entered: Vec::new() }
    }
}

/// The runs that are not of this machine, and have died or go on.
fn elsewhere(session: &Session, loaded: &Loaded, here: &[String]) -> Result<Vec<Half>, Problems> {
    if loaded.release.stages.is_empty() {
        return Ok(Vec::new());
    }
    let ledger = Ledger::open(&loaded.project.root, &session.host.environment)?;
    let mut found = Vec::new();
    for (held, intent) in unfinished(&ledger, &ledger.fetch()?.state)? {
        if !here.contains(&intent.run) {
            let words = held.words();
            session.say(&format!("{words} elsewhere: whether that goes on would be waited for\n"));
            found.push(Half::of_ledger(intent));
        }
    }
    Ok(found)
}

fn forward(
    session: &mut Session,
    loaded: &Loaded,
    facts: &Facts,
    (half, running, over): (&Half, &Running, &[String]),
) -> Result<(), Problems> {
    let Half { intent, entered, .. } = half;
    let state = match entered.as_slice() {
        [] => State::default(),
        _ => Ledger::open(&loaded.project.root, &session.host.environment)?.fetch()?.state,
    };
    let past = superseded(&state, intent, entered);
    for Entry { stage: name, version, .. } in &past {
        session.say(&format!(
            "{name} was entered with {version}, runs something else since, and would stay so\n"
        ));
    }
    if !intent.entries.is_empty() && past.len() == intent.entries.len() {
        return Ok(());
    }
    let publisher = Publisher::new(loaded.project.root.clone(), facts.environment.clone());
    let look = async {
        for tag in &intent.tags {
            let holds = held(loaded, facts, &publisher, (&tag.repository, &tag.tag)).await.map_err(before)?;
            let (name, ours) = (tag.name(), tag.digest);
            session.say(&match holds {
                Some(holds) if holds == ours => format!("{name} holds {ours} already\n"),
                Some(holds) if tag.is_immutable() => {
                    format!("It would be refused, unless it names this commit: {name} holds {holds}, and never changes\n")
                }
                Some(holds) => format!("{name} would hold {ours} instead of {holds}, unless that is newer\n"),
                None => format!("{name} would hold {ours}\n"),
            });
        }
        Ok::<_, Problem>(())
    };
    until_signalled(look, "nothing was resumed")?;
    for entry in intent.entries.iter().filter(|entry| !past.contains(entry)) {
        let loaded = session.load()?;
        enter(session, loaded, intent, entry, (running, over))?;
    }
    Ok(())
}

fn back(session: &Session, loaded: &Loaded, facts: &Facts, half: &Half) -> Result<(), Problems> {
    if half.untouched {
        session.say("nothing of it became visible\n");
        return Ok(());
    }
    if !half.intent.entries.is_empty() {
        let ledger = Ledger::open(&loaded.project.root, &session.host.environment)?;
        check_not_entered(&ledger, &half.intent, &half.entered)?;
    }
    let publisher = Publisher::new(loaded.project.root.clone(), facts.environment.clone());
    let look = async {
        for (at, earlier) in &half.moved {
            let Some(tag) = half.intent.tags.get(*at) else { continue };
            let holds = |name: String| {
                let (publisher, repository) = (&publisher, tag.repository.as_str());
                async move { held(loaded, facts, publisher, (repository, &name)).await.map_err(before) }
            };
            let now = holds(tag.tag.clone()).await?;
            let is_there = match earlier {
                Some(earlier) => holds(earlier.to_string()).await?.is_some(),
                None => false,
            };
            if let Some(words) = returns(tag, now, (*earlier, is_there)) {
                session.say(&format!("{} {words}\n", tag.name()));
            }
        }
        Ok::<_, Problem>(())
    };
    Ok(until_signalled(look, "nothing was put back")?)
}

/// What would become of a tag that holds `now`, and held another image before, which may
/// be gone; `None` where it holds that again.
fn returns(
    tag: &IntentTag,
    now: Option<Digest>,
    (earlier, is_there): (Option<Digest>, bool),
) -> Option<String> {
    if now != Some(tag.digest) {
        return (now != earlier).then(|| "was moved by somebody else since, and would stay".to_owned());
    }
    Some(match earlier {
        _ if tag.is_immutable() => "would stay: it never changes".to_owned(),
        None => "would stay: it was not there before".to_owned(),
        Some(earlier) if !is_there => format!("would stay: what it held before, {earlier}, is gone"),
        Some(earlier) => format!("would hold {earlier} again"),
    })
}
