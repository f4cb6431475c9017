//! The files that say what is left out of build contexts.

use std::fs;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Code, Problem, Sources};
use crate::dockerfile::IgnoreRules;
use crate::facts::{ContextQuery, Seen};

/// The name of ignore files, and what names of those of a single Dockerfile end with.
const NAME: &str = ".dockerignore";

/// Reads the ignore file of a context: that of the Dockerfile, else that of the
/// directory. Both are added to `looked` as they were before, whether they are there
/// or not.
///
/// # Errors
/// It cannot be read, or has a line that is no pattern.
pub(super) fn read(
    root: &Path,
    context: &ContextQuery,
    looked: &mut Vec<(PathBuf, Option<Seen>)>,
) -> Result<IgnoreRules, Problem> {
    let mut own = context.dockerfile.as_path().as_os_str().to_owned();
    own.push(NAME);
    let of_directory = context.directory.value.as_path().join(NAME);
    for path in [PathBuf::from(own), of_directory] {
        let seen = Seen::of(&root.join(&path)).ok();
        let is_there = seen.is_some();
        looked.push((path.clone(), seen));
        if !is_there {
            continue;
        }
        let here = |title: String| {
            Problem::new(Code::Unreadable, title).label(context.directory.span, "says what is sent of this")
        };
        let text = fs::read_to_string(root.join(&path))
            .map_err(|error| here(format!("`{}` cannot be read", path.display())).note(error.to_string()))?;
        let mut sources = Sources::new();
        let source = sources.add(path.to_string_lossy(), text.as_str());
        return IgnoreRules::parse(source, &text).map_err(|problems| {
            let first = problems.as_slice().first();
            let place = first.and_then(|problem| sources.position(problem.labels.first()?.span));
            let title = first.map(|problem| problem.title.clone()).unwrap_or_default();
            let line = place.map(|(line, _)| line).unwrap_or_default();
            here(format!("line {line} of `{}`: {title}", path.display()))
                .maybe_help(first.and_then(|problem| problem.help.clone()))
        });
    }
    Ok(IgnoreRules::default())
}
