//! Outputs that would take the place of what is no target's to make.

use std::path::Path;

use globset::GlobBuilder;

use crate::config::{LoadedDocument, PRIVATE, Pattern, Release, Target};
use crate::diagnostic::{Code, Problem, Problems};

/// Finds outputs in what belongs to git and to hoist, and those that are or hold one of the
/// release files: they would be moved away to make room. A target that reads such a file,
/// too, works on it in place, and may.
pub(super) fn check(documents: &[LoadedDocument], release: &Release, problems: &mut Problems) {
    for target in release.targets.values() {
        for pattern in target.outputs.iter().filter(|pattern| !pattern.negated) {
            let problem = private(pattern).or_else(|| {
                documents.iter().find_map(|loaded| takes(target, pattern, loaded.path.as_path()))
            });
            problems.extend(problem);
        }
    }
}

fn private(pattern: &Pattern) -> Option<Problem> {
    let glob = &pattern.glob;
    let part = glob.value.split('/').find(|part| PRIVATE.contains(part))?;
    let owner = if part == ".git" { "git" } else { "hoist" };
    let problem = Problem::new(Code::InvalidValue, format!("`{}` cannot be an output", glob.value))
        .label(glob.span, format!("`{part}` belongs to {owner}"))
        .help(format!("let `run` write to a place outside of `{part}`"));
    Some(problem)
}

/// That an output is a release file, or a directory that belongs to the target and holds one.
fn takes(target: &Target, pattern: &Pattern, file: &Path) -> Option<Problem> {
    let glob = &pattern.glob;
    let text = glob.value.strip_suffix("/**/*").or_else(|| glob.value.strip_suffix("/**"));
    let own = text.unwrap_or(&glob.value);
    let is_path = !own.contains(['*', '?', '[', '{', '\\']);
    if !is_path || !file.starts_with(own) || !covers(&target.outputs, file) {
        return None;
    }
    if target.inputs.as_ref().is_some_and(|inputs| covers(inputs, file)) {
        return None;
    }
    let shown = file.display();
    let problem = Problem::new(Code::InvalidValue, format!("`{}` cannot be an output", glob.value));
    Some(if file == Path::new(own) {
        problem
            .label(glob.span, "declares what is made, and would be moved away to make room")
            .help("let `run` write another file")
    } else {
        problem
            .label(glob.span, format!("holds `{shown}`, which would be moved away to make room"))
            .help(format!("name what is made in it, or take the file out: `\"!{shown}\"`"))
    })
}

/// Whether the last of the patterns that says something of a file, or of a directory above
/// it, takes it in.
fn covers(patterns: &[Pattern], file: &Path) -> bool {
    let says = |pattern: &&Pattern| {
        let glob =
            GlobBuilder::new(&pattern.glob.value).literal_separator(true).backslash_escape(true).build();
        glob.is_ok_and(|glob| {
            let glob = glob.compile_matcher();
            file.ancestors().any(|above| !above.as_os_str().is_empty() && glob.is_match(above))
        })
    };
    patterns.iter().rev().find(says).is_some_and(|pattern| !pattern.negated)
}
