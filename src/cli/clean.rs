//! `hoist clean`: removes what hoist made.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cache::{Cache, Cleaning, Item};
use crate::cli::arguments::Clean;
use crate::cli::clean::engine::AtEngines;
use crate::cli::place::until_signalled;
use crate::cli::session::Session;
use crate::config::ProjectPath;
use crate::diagnostic::{Problems, bytes, counted};
use crate::facts::Tracked;
use crate::run::{directory_of, is_written, recorded};

mod engine;

/// What would be removed.
struct Found {
    cleaning: Cleaning,
    /// How many of its last items are records of runs.
    records: usize,
    /// The run that goes on, if one does: it may be about to read any output.
    running: Option<String>,
}

/// Lists what is removed, then removes it; with `--dry-run` only the former.
pub(crate) fn clean(session: &mut Session, options: &Clean) -> Result<ExitCode, Problems> {
    let loaded = session.load()?;
    let root = &loaded.project.root;
    let cache = session.cache(&loaded.release, &loaded.project)?;
    let found = if options.cache {
        Found { cleaning: cache.cache_cleaning(), records: 0, running: None }
    } else {
        outputs(session, &cache, root)?
    };
    let work = async {
        // A run that goes on may need what it gave to an engine.
        let engines = !options.cache && found.running.is_none();
        let mut at_engines =
            if engines { AtEngines::find(session, &loaded).await } else { AtEngines::default() };
        if !session.global.json {
            announce(session, root, &found);
            at_engines.lines().for_each(|line| session.say(&format!("{line}\n")));
        }
        if !options.dry_run {
            found.cleaning.remove()?;
            at_engines.remove().await;
        }
        Ok::<_, Problems>(at_engines)
    };
    let at_engines = until_signalled(work, "cleaning was stopped")?;
    if session.global.json {
        let value = as_json(root, &found, &at_engines, !options.dry_run);
        session.output(&format!("{value}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    at_engines.refusals().for_each(|line| session.say(&format!("{line}\n")));
    let word = if options.dry_run { "would remove" } else { "removed" };
    let here = Some(found.cleaning.items.len()).filter(|count| *count > 0);
    let here = here.map(|count| format!("{}, {}", counted(count, "item"), bytes(found.cleaning.bytes())));
    let there = Some(at_engines.found.len()).filter(|count| *count > 0);
    let there = there.map(|count| format!("{} of engines", counted(count, "leftover")));
    let said: Vec<String> = here.into_iter().chain(there).collect();
    let said =
        if said.is_empty() { "nothing to remove".to_owned() } else { format!("{word} {}", said.join("; ")) };
    session.say(&format!("{said}\n"));
    Ok(ExitCode::SUCCESS)
}

/// Says what is removed, and what is not.
fn announce(session: &Session, root: &Path, Found { cleaning, records, running }: &Found) {
    if let Some(live) = running {
        session.say(&format!("kept, for the run {live} goes on: its record, and what steps made\n"));
    }
    let (items, runs) = cleaning.items.split_at(cleaning.items.len().saturating_sub(*records));
    for item in items {
        session.say(&format!("{}  {}\n", bytes(item.bytes), shown(root, item)));
    }
    for kept in &cleaning.kept {
        session.say(&format!("kept, for it is not what was made: {kept}\n"));
    }
    for tracked in &cleaning.tracked {
        session.say(&format!("kept, for git tracks it: {tracked}\n"));
    }
    if !runs.is_empty() {
        let size = bytes(runs.iter().map(|item| item.bytes).sum());
        let records = if runs.len() == 1 { "record of a run" } else { "records of runs" };
        session.say(&format!("{size}  .hoist/runs: {} {records}\n", runs.len()));
    }
}

/// `schema/clean.schema.json`.
fn as_json(
    root: &Path,
    Found { cleaning, running, .. }: &Found,
    at_engines: &AtEngines,
    removed: bool,
) -> Value {
    let items = cleaning.items.iter().map(|item| json!({ "path": shown(root, item), "bytes": item.bytes }));
    let texts = |paths: &[ProjectPath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "removed": removed,
        "items": items.collect::<Vec<_>>(),
        "bytes": cleaning.bytes(),
        "kept": texts(&cleaning.kept),
        "tracked": texts(&cleaning.tracked),
        "running": running,
        "engines": at_engines.as_json(),
    })
}

fn shown(root: &Path, item: &Item) -> String {
    item.path.strip_prefix(root).unwrap_or(&item.path).display().to_string()
}

/// What steps made, and the records of runs that are over. While a run goes on, the
/// latter alone.
fn outputs(session: &Session, cache: &Cache, root: &Path) -> Result<Found, Problems> {
    let running = recorded(root).into_iter().find(|id| is_written(root, id));
    let mut cleaning = if running.is_some() {
        Cleaning::default()
    } else {
        let tracked = Tracked::read(root, &session.host.environment)?;
        cache.project_cleaning(|path| tracked.has(path))
    };
    let over = recorded(root).into_iter().filter(|id| !is_written(root, id));
    let before = cleaning.items.len();
    cleaning.items.extend(over.filter_map(|id| Item::whole(directory_of(root, &id))));
    let records = cleaning.items.len() - before;
    Ok(Found { cleaning, records, running })
}
