//! What the deployments of stages write into manifests.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::cli::session::{Loaded, Session};
use crate::cli::stages::{facts_of, promoted};
use crate::config::{Deploy, Stage};
use crate::deploy::{Changed, Gitops};
use crate::diagnostic::Problems;
use crate::facts::{Event, Facts};
use crate::plan::Promoted;
use crate::release::{Entry, EntryKind, Ledger, State};
use crate::run::deployments;

/// What the deployments of a stage write into manifests for what it runs, and of each
/// whether a pull request asks for it. It is told by the release file as it is now, and by the
/// commit and the event of the entry.
///
/// # Errors
/// The commit of the entry is not here; the stage has other images now.
pub(crate) fn deployed(
    session: &Session,
    loaded: &Loaded,
    ledger: &Ledger,
    (stage, entry): (&Stage, &Entry),
    overrides: &IndexMap<String, String>,
) -> Result<Vec<(Gitops, bool)>, Problems> {
    if !is_deployed_by_git(stage) {
        return Ok(Vec::new());
    }
    let mut facts = facts_of(session, loaded, entry, true)?;
    facts.overrides.clone_from(overrides);
    // Tags that came since would describe the commit otherwise.
    if let (Some(git), false) = (&mut facts.git, matches!(facts.event, Event::Tag(_))) {
        git.describe.clone_from(&entry.version);
        git.described_before.clone_from(&entry.version);
    }
    let name = &stage.name.value;
    // What went back is deployed by the tags that it has from the first time.
    let mut made = entry.clone();
    while let (EntryKind::Rollback, Some(source)) = (made.kind, &made.source) {
        made = ledger.entry(source)?;
    }
    let mut images = promoted((&loaded.release, &facts), stage, (name, &made))?;
    for Promoted { tags, .. } in images.values_mut() {
        // They are set: the entry says which stays.
        *tags = Some(BTreeMap::new());
    }
    let (facts, plan) = session.plan_of_stage(loaded, &facts, name, images)?;
    Ok(deployments(&plan, &loaded.project.root, &facts.environment))
}

fn is_deployed_by_git(stage: &Stage) -> bool {
    stage.deploys.iter().any(|deploy| matches!(deploy.value, Deploy::Gitops { .. }))
}

/// Whether the commit of a branch is nothing but what hoist made of the one that all stages
/// run which it enters: the files that it edited. To release it would make another such
/// commit, and that another one, without end.
pub(crate) fn only_deployed(
    session: &Session,
    loaded: &Loaded,
    facts: &Facts,
    ledger: (&Ledger, &State),
    stages: &[&Stage],
) -> Option<Vec<String>> {
    let (_, state) = ledger;
    let entries = stages.iter().map(|stage| Some(&state.running(&stage.name.value)?.entry));
    let entries: Vec<&Entry> = entries.collect::<Option<_>>()?;
    let first = entries.first().filter(|_| matches!(facts.event, Event::Branch(_)))?;
    let same = |entry: &&Entry| entry.commit == first.commit && !entry.dirty;
    let dirty = facts.git.as_ref().is_none_or(|git| git.dirty);
    if dirty || !entries.iter().all(same) {
        return None;
    }
    deployed_since(session, loaded, facts, ledger, &first.commit)
}

/// Whether a later commit is nothing but what hoist made of the one of an entry.
pub(crate) fn is_deployed_at(
    session: &Session,
    loaded: &Loaded,
    facts: &Facts,
    ledger: (&Ledger, &State),
    (entry, later): (&Entry, &str),
) -> bool {
    let mut there = facts.clone();
    if let Some(git) = &mut there.git {
        later.clone_into(&mut git.sha);
    }
    !entry.dirty && deployed_since(session, loaded, &there, ledger, &entry.commit).is_some()
}

/// The files in which the commit of this run differs from another one, if each is what
/// deploying what the stages run made of it.
pub(crate) fn deployed_since(
    session: &Session,
    loaded: &Loaded,
    facts: &Facts,
    (ledger, state): (&Ledger, &State),
    commit: &str,
) -> Option<Vec<String>> {
    if !loaded.release.stages.values().any(is_deployed_by_git) {
        return None;
    }
    let now = &facts.git.as_ref()?.sha;
    let world = (loaded.project.root.as_path(), &facts.environment);
    let changed = Changed::between(world, ledger.remote(), (commit, now)).ok()??;
    // What cannot be told did not write it.
    let running = loaded.release.stages.values().filter_map(|stage| {
        let entry = &state.running(&stage.name.value)?.entry;
        deployed(session, loaded, ledger, (stage, entry), &facts.overrides).ok()
    });
    let written: Vec<Gitops> = running.flatten().map(|(gitops, _)| gitops).collect();
    changed.is_made_by(&written).is_ok_and(|made| made).then_some(changed.paths)
}
