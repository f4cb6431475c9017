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
    let word = if options.dry_run { "would remove" } else { "removed" };
    let said = match cleaning.items.len() {
        0 => "nothing to remove".to_owned(),
        1 => format!("{word} 1 item, {}", bytes(cleaning.bytes())),
        count => format!("{word} {count} items, {}", bytes(cleaning.bytes())),
    };
    session.say(&format!("{said}\n"));
    Ok(ExitCode::SUCCESS)
}
