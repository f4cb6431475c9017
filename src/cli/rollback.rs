//! `hoist rollback`: a stage goes back to what it ran before.

use std::collections::BTreeMap;
use std::process::ExitCode;

use indexmap::IndexSet;

use crate::cli::arguments::Running;
use crate::cli::place::until_signalled;
use crate::cli::run::carry_out;
use crate::cli::session::{Loaded, Session};
use crate::cli::shortcut::Prepared;
use crate::cli::stage_arguments::Rollback;
use crate::cli::stages::{Entered, again, candidate, facts_of, promoted, registry, scans_of, stage_of};
use crate::config::Stage;
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::Facts;
use crate::oci::{Descriptor, Digest, Tag};
use crate::plan::{Goals, Promoted};
use crate::release::{
    Candidate, Entry, EntryImage, EntryKind, Ledger, Publisher, TagBack, before, digests, of_version,
    previous, tags_back,
};
use crate::tags::{Movement, PlannedTag, Track};

pub(crate) fn rollback(session: &mut Session, options: &Rollback) -> Result<ExitCode, Problems> {
    let reason = options.reason.clone().unwrap_or_else(|| "it was rolled back by hand".to_owned());
    go_back(session, &options.running, &options.stage, options.to.as_deref(), reason)
}

/// Takes a stage back to a version, or to what it ran before.
///
/// # Errors
/// It ran nothing else ([`Code::NotPromotable`]); what it ran cannot be reached.
pub(crate) fn go_back(
    session: &mut Session,
    running: &Running,
    name: &str,
    to: Option<&str>,
    reason: String,
) -> Result<ExitCode, Problems> {
    let loaded = session.load()?;
    let stage = stage_of(&loaded.release, name)?.clone();
    let ledger = Ledger::open(&loaded.project.root, &session.host.environment)?;
    let page = ledger.fetch()?;
    let running_now = page.state.running(name).map(|running| (running.id.clone(), running.entry.clone()));
    let Some((leaves, now)) = running_now else {
        let problem =
            Problem::new(Code::NotPromotable, format!("`{name}` runs nothing that it could go back from"));
        return Err(problem.help("`hoist status` shows what runs where").into());
    };
    if let Some(deploying) = page.state.entering(name).filter(|by| by.deploys() && running.part_of.is_none())
    {
        let Entry { version, by, .. } = &deploying.entry;
        session.say(&format!("{name} is still deployed with {version} by {by}: that is not waited for\n"));
    }
    let history = ledger.history(Some(name), usize::MAX)?;
    let found = match to {
        Some(version) => of_version(&history, version),
        None => previous(&history),
    };
    let Some((id, entry)) = found.cloned() else {
        return Err(nothing_before(name, to, &history).into());
    };
    let facts = facts_of(session, &loaded, &entry, true)?;
    let entry = with_added(session, &entry, &now);
    let mut images = promoted((&loaded.release, &facts), &stage, (name, &entry))?;
    for EntryImage { name: image, .. } in entry.images.iter().filter(|ran| !images.contains_key(&ran.name)) {
        session.say(&format!("`{image}` ran there in {}, and belongs to `{name}` no more\n", entry.version));
    }
    let backs = tags_back(&id, &history);
    let work = still_ours(session, &loaded, &facts, backs);
    let backs = until_signalled(work, "rolling back was stopped")?;
    for (image, promoted) in &mut images {
        promoted.tags = Some(tags_of(&stage, (image, promoted.image.as_ref()), &backs));
        add_sources(&loaded, &facts, (image, promoted), &now);
    }
    let Some(git) = &facts.git else { return Ok(ExitCode::SUCCESS) };
    let candidate = Candidate {
        kind: EntryKind::Rollback,
        source: Some(id),
        leaves,
        scans: scans_of(&entry),
        from: None,
        reason: Some(reason),
        ..again(&entry, candidate(&loaded.release, &facts, &stage, (git, &entry.tree), None))
    };
    let mut planned = session.plan_stage(loaded, &facts, name, images)?;
    planned.entered = Some(Entered::by_hand(ledger, page, stage, candidate));
    // To go back is what is asked for.
    let running = Running { allow_regress: true, ..running.clone() };
    carry_out(session, &running, false, &Goals::Stage(name.to_owned()), Prepared::alone(planned))
}

/// An entry that is gone back to, with the images that the stage did not run then, and runs
/// now: they stay as they are.
fn with_added(session: &Session, to: &Entry, now: &Entry) -> Entry {
    let mut with = to.clone();
    for image in &now.images {
        if to.images.iter().all(|known| known.name != image.name) {
            session
                .say(&format!("`{}` did not run there in {}, and stays as it is\n", image.name, to.version));
            with.images.push(image.clone());
        }
    }
    with
}

fn nothing_before(name: &str, to: Option<&str>, history: &[(String, Entry)]) -> Problem {
    let title = match to {
        Some(version) => format!("`{name}` never ran {version}"),
        None => format!("`{name}` ran nothing before but the images that it runs now"),
    };
    let versions: IndexSet<&str> = history.iter().map(|(_, entry)| entry.version.as_str()).collect();
    let versions: Vec<&str> = versions.into_iter().take(10).collect();
    Problem::new(Code::NotPromotable, title).note(format!("it ran {}", versions.join(", "))).help(
        match same_images(history).filter(|_| to.is_none()) {
            Some(other) => format!("`hoist rollback {name} --to {other}` goes back to that"),
            None => format!("`hoist history {name}` shows what it ran"),
        },
    )
}

/// Another version by which a stage ran the images that it runs now.
fn same_images(history: &[(String, Entry)]) -> Option<&str> {
    let ((_, now), before) = history.split_first()?;
    let is_other = |entry: &&Entry| entry.version != now.version && digests(entry) == digests(now);
    Some(before.iter().map(|(_, entry)| entry).find(is_other)?.version.as_str())
}

/// The tags that still hold what the stage set them to, or hold again what they go back
/// to, each with that: what somebody else moved since is theirs.
async fn still_ours(
    session: &Session,
    loaded: &Loaded,
    facts: &Facts,
    backs: Vec<TagBack>,
) -> Result<Vec<(TagBack, Descriptor)>, Problems> {
    let publisher = Publisher::new(loaded.project.root.clone(), facts.environment.clone());
    let mut ours = Vec::new();
    for back in backs {
        let name = format!("{}:{}", back.repository, back.tag);
        let found = async |what: &str| find(loaded, facts, &publisher, (&back.repository, what)).await;
        let holds = found(&back.tag).await.map_err(before)?.map(|held| held.digest);
        if holds != Some(back.holds) && holds != Some(back.to) {
            // What is left to somebody else has to be there: registries err.
            if let Some(holds) = holds
                && found(&holds.to_string()).await.map_err(before)?.is_none()
            {
                let title = format!("`{name}` holds {holds}, and that is not there");
                return Err(before(Problem::new(Code::Registry, title)).into());
            }
            session.say(&format!("{name} was moved by somebody else since, and stays\n"));
            continue;
        }
        match found(&back.to.to_string()).await.map_err(before)? {
            Some(to) => ours.push((back, to)),
            None => session.say(&format!("{name} stays: what it held before, {}, is gone\n", back.to)),
        }
    }
    Ok(ours)
}

/// What a tag of the ledger holds now.
pub(crate) async fn held(
    loaded: &Loaded,
    facts: &Facts,
    publisher: &Publisher,
    tag: (&str, &str),
) -> Result<Option<Digest>, Problem> {
    Ok(find(loaded, facts, publisher, tag).await?.map(|found| found.digest))
}

/// The image of a tag or digest, in a repository of the ledger.
async fn find(
    loaded: &Loaded,
    facts: &Facts,
    publisher: &Publisher,
    (repository, what): (&str, &str),
) -> Result<Option<Descriptor>, Problem> {
    let Some(registry) = registry(&loaded.release, facts, repository) else {
        let title = format!("`{repository}` cannot be reached: it is not the name of a repository");
        return Err(Problem::new(Code::InvalidReference, title));
    };
    publisher.resolve(&registry, what).await
}

/// The tags of an image that go back, by their places: to it, or to what they held before.
fn tags_of(
    stage: &Stage,
    (name, image): (&str, Option<&Descriptor>),
    backs: &[(TagBack, Descriptor)],
) -> BTreeMap<String, Vec<PlannedTag>> {
    let mut tags: BTreeMap<String, Vec<PlannedTag>> = BTreeMap::new();
    for (back, to) in backs.iter().filter(|(back, _)| back.image == name) {
        let Ok(tag) = back.tag.parse::<Tag>() else { continue };
        let planned = PlannedTag {
            tag,
            rule: "rollback",
            span: stage.name.span,
            movement: Movement::Moving(Track::Back { from: back.holds }),
            local: false,
            returns: Some(to).filter(|to| image.is_none_or(|image| image.digest != to.digest)).cloned(),
        };
        tags.entry(back.repository.clone()).or_default().push(planned);
    }
    tags
}

/// An image may be where the stage has it now, too.
fn add_sources(loaded: &Loaded, facts: &Facts, (name, promoted): (&str, &mut Promoted), now: &Entry) {
    let places = now.images.iter().filter(|image| image.name == *name).flat_map(|image| &image.places);
    for place in places {
        let known = promoted.sources.iter().any(|known| known.place.to_string() == place.repository);
        if !known {
            promoted.sources.extend(registry(&loaded.release, facts, &place.repository));
        }
    }
}
