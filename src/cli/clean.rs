//! `hoist clean`: removes what hoist made.

use std::path::Path;
use std::process::ExitCode;

use crate::cache::{Cache, Cleaning, Item};
use crate::cli::arguments::Clean;
use crate::cli::session::Session;
use crate::diagnostic::{Problems, bytes, counted};
use crate::facts::Tracked;
use crate::run::{directory_of, is_written, recorded};

/// Lists what is removed, then removes it; with `--dry-run` only the former.
pub(crate) fn clean(session: &mut Session, options: &Clean) -> Result<ExitCode, Problems> {
    let loaded = session.load()?;
    let root = &loaded.project.root;
    let cache = session.cache(&loaded.release, &loaded.project)?;
    let mut cleaning = if options.cache { cache.cache_cleaning() } else { outputs(session, &cache, root)? };
    for item in &cleaning.items {
        let shown = item.path.strip_prefix(root).unwrap_or(&item.path);
        session.say(&format!("{}  {}\n", bytes(item.bytes), shown.display()));
    }
    for kept in &cleaning.kept {
        session.say(&format!("kept, for it is not what was made: {kept}\n"));
    }
    for tracked in &cleaning.tracked {
        session.say(&format!("kept, for git tracks it: {tracked}\n"));
    }
    if !options.cache {
        cleaning.items.extend(records(session, root));
    }
    if !options.dry_run {
        cleaning.remove()?;
    }
    let word = if options.dry_run { "would remove" } else { "removed" };
    let said = match cleaning.items.len() {
        0 => "nothing to remove".to_owned(),
        count => format!("{word} {}, {}", counted(count, "item"), bytes(cleaning.bytes())),
    };
    session.say(&format!("{said}\n"));
    Ok(ExitCode::SUCCESS)
}

/// What steps made; nothing while a run goes on, which may be about to read any of it.
fn outputs(session: &Session, cache: &Cache, root: &Path) -> Result<Cleaning, Problems> {
    if let Some(live) = recorded(root).iter().find(|id| is_written(root, id)) {
        session.say(&format!("kept, for the run {live} goes on: its record, and what steps made\n"));
        return Ok(Cleaning::default());
    }
    let tracked = Tracked::read(root, &session.host.environment)?;
    Ok(cache.project_cleaning(|path| tracked.has(path)))
}

/// The records of runs that are over.
fn records(session: &Session, root: &Path) -> Vec<Item> {
    let over = recorded(root).into_iter().filter(|id| !is_written(root, id));
    let items: Vec<Item> = over.filter_map(|id| Item::whole(directory_of(root, &id))).collect();
    if !items.is_empty() {
        let size = bytes(items.iter().map(|item| item.bytes).sum());
        let records = if items.len() == 1 { "record of a run" } else { "records of runs" };
        session.say(&format!("{size}  .hoist/runs: {} {records}\n", items.len()));
    }
    items
}
