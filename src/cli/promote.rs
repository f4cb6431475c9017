//! `hoist promote`: what runs in a stage enters another one, by digest.

use std::process::ExitCode;

use indexmap::IndexMap;

use crate::cli::deployed::is_deployed_at;
use crate::cli::publishable::check_promoted;
use crate::cli::run::carry_out;
use crate::cli::session::Session;
use crate::cli::shortcut::Prepared;
use crate::cli::stage_arguments::Promote;
use crate::cli::stages::{Entered, candidate, facts_of, promoted, stage_of};
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::Needs;
use crate::plan::Goals;
use crate::release::{Ledger, running_in, tree_of_commit};

pub(crate) fn promote(session: &mut Session, options: &Promote) -> Result<ExitCode, Problems> {
    let loaded = session.load()?;
    let stage = stage_of(&loaded.release, &options.stage)?.clone();
    let name = &stage.name.value;
    let from = match (&options.from, stage.from.as_slice()) {
        (Some(from), _) => stage_of(&loaded.release, from)?.name.value.clone(),
        (None, [from]) => from.value.clone(),
        (None, []) => {
            let title = format!("`{name}` comes from no other stage: name one");
            let problem = Problem::new(Code::CommandLine, title).label(stage.name.span, "it has no `from`");
            return Err(problem.help(format!("`hoist promote {name} --from STAGE`")).into());
        }
        (None, several) => {
            let title = format!("`{name}` comes from one of several stages: name one");
            let problem = Problem::new(Code::CommandLine, title);
            let problem =
                several.iter().fold(problem, |problem, from| problem.label(from.span, "one of these"));
            let calls = several.iter().map(|from| format!("`hoist promote {name} --from {}`", from.value));
            return Err(problem.help(calls.collect::<Vec<_>>().join(", or ")).into());
        }
    };
    if from == *name {
        let title = format!("`{name}` cannot be promoted to itself");
        return Err(Problem::new(Code::CommandLine, title).help("name another stage with `--from`").into());
    }
    if !stage.from.is_empty() && stage.from.iter().all(|usual| usual.value != from) {
        let usual: Vec<_> = stage.from.iter().map(|usual| usual.value.as_str()).collect();
        session.say(&format!(
            "these images come from {from}: whether they ran in {} is not asked\n",
            usual.join(" or ")
        ));
    }
    let ledger = Ledger::open(&loaded.project.root, &session.host.environment)?;
    let page = ledger.fetch()?;
    let running = running_in(&page.state, &from)?.clone();
    let facts = facts_of(session, &loaded, &running.entry, false)?;
    let is_like = |commit: &str| {
        tree_of_commit(&loaded.project.root, commit).is_ok_and(|tree| tree == running.entry.tree)
            || is_deployed_at(session, &loaded, &facts, (&ledger, &page.state), (&running.entry, commit))
    };
    if session.global.event.is_some() {
        let needs = Needs { commit_only: true, ..Needs::default() };
        let here = session.gather(&loaded, &needs, &IndexMap::new())?;
        let detached = here.git.is_some_and(|git| git.branch.is_none());
        check_promoted(session, &loaded.project.root, (&facts, detached), is_like)?;
    }
    let images = promoted((&loaded.release, &facts), &stage, (&from, &running.entry))?;
    let Some(git) = &facts.git else { return Ok(ExitCode::SUCCESS) };
    let entry = running.entry.clone();
    let candidate = candidate(&loaded.release, &facts, &stage, (git, &entry.tree), Some((from, running)));
    let mut planned = session.plan_stage(loaded, &facts, &options.stage, images)?;
    planned.entered = Some(Entered::by_hand(ledger, page, stage, candidate));
    let goals = Goals::Stage(options.stage.clone());
    carry_out(session, &options.running, false, &goals, Prepared::alone(planned))
}
