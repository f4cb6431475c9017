//! `hoist clean`: removes what hoist made.

use std::process::ExitCode;

use crate::cli::arguments::Clean;
use crate::cli::session::Session;
use crate::diagnostic::{Problems, bytes};

/// Lists what is removed, then removes it; with `--dry-run` only the former.
pub(crate) fn clean(session: &mut Session, options: &Clean) -> Result<ExitCode, Problems> {
    let loaded = session.load()?;
    let cache = session.cache(&loaded.release, &loaded.project)?;
    let cleaning = if options.cache { cache.cache_cleaning() } else { cache.project_cleaning() };
    for item in &cleaning.items {
        let shown = item.path.strip_prefix(&loaded.project.root).unwrap_or(&item.path);
        session.say(&format!("{}  {}\n", bytes(item.bytes), shown.display()));
    }
    for kept in &cleaning.kept {
        session.say(&format!("kept, for it is not what was made: {kept}\n"));
    }
    if !options.dry_run {
        cleaning.remove()?;
    }
    let (word, count) = (if options.dry_run { "would remove" } else { "removed" }, cleaning.items.len());
    session.say(&format!("{word} {count} items, {}\n", bytes(cleaning.bytes())));
    Ok(ExitCode::SUCCESS)
}
