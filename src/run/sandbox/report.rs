//! What was denied, as problems and notices.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Code, Problem, Problems, Span};
use crate::plan::{CommandStep, Step};
use crate::run::sandbox::deed::{Deed, Doing};
use crate::run::sandbox::policy::Policy;

/// Most paths that are told one by one.
const SHOWN: usize = 8;

/// A directory of outputs that a symbolic link leads to.
#[derive(Debug)]
pub(super) struct Led {
    /// What it is called where the output is declared.
    pub(super) named: PathBuf,
    /// Where it lies in the project.
    pub(super) real: PathBuf,
    /// The output.
    pub(super) span: Span,
}

/// What was denied to a step, each path once, in the order of the paths.
pub(super) fn about(
    step: &Step,
    command: &CommandStep,
    (policy, led): (Option<&Policy>, &[Led]),
    deeds: &[Deed],
) -> Vec<Problem> {
    let mut first: BTreeMap<&Path, &Deed> = BTreeMap::new();
    for deed in deeds {
        first.entry(&deed.path).or_insert(deed);
    }
    let rest = first.len().saturating_sub(SHOWN);
    let mut problems: Vec<Problem> =
        first.into_values().take(SHOWN).map(|deed| denied(step, command, (policy, led), deed)).collect();
    if rest > 0
        && let Some(last) = problems.pop()
    {
        let all = format!("`hoist run --learn {}` lists what it really uses", step.id);
        problems.push(last.note(format!("{rest} more paths were denied; {all}")));
    }
    problems
}

fn denied(
    step: &Step,
    command: &CommandStep,
    (policy, led): (Option<&Policy>, &[Led]),
    deed: &Deed,
) -> Problem {
    let name = &step.id;
    let Deed { path, doing, .. } = deed;
    if path.is_absolute() {
        return above(step, deed);
    }
    if let Some(led) = led.iter().find(|led| path.starts_with(&led.real)).filter(|_| !doing.is_reading()) {
        return through_link(step, command, led, deed);
    }
    if *doing == Doing::Execute && policy.is_some_and(|policy| policy.outputs.cover(path)) {
        return beside(step, command, path);
    }
    if !doing.is_reading() && policy.is_some_and(|policy| policy.inputs.contains(path)) {
        let title = format!("`{name}` {doing} `{}`, which it declares to read", path.display());
        return Problem::new(Code::UndeclaredWrite, title)
            .label(inputs_span(step), "its key depends on what it held before")
            .help("let it put the result somewhere else; or leave `inputs` out: it then runs each time");
    }
    let shown = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let title = format!("`{name}` {doing} `{}`, which it does not declare", shown.display());
    let seen = seen_from(command.dir.as_path(), path);
    if doing.is_reading() {
        let span = inputs_span(step);
        let seen = match (*doing, escaped(&seen)) {
            (Doing::List, seen) if seen.is_empty() => "*".to_owned(),
            (Doing::List, seen) => format!("{seen}/*"),
            (_, seen) => seen,
        };
        let label =
            if *doing == Doing::List { "no pattern looks through it" } else { "nothing here names it" };
        Problem::new(Code::UndeclaredRead, title)
            .label(span, label)
            .help(format!("add it: `inputs … {}`", quoted(&seen)))
    } else {
        let span = outputs_span(step, command);
        Problem::new(Code::UndeclaredWrite, title)
            .label(span, "nothing here names it")
            .help(format!("add it: `outputs … {}`; or put it into `$TMPDIR`", quoted(&escaped(&seen))))
    }
}

/// An output that is declared by the name of a link: what is allowed, and what a key
/// covers, is where it lies.
fn through_link(step: &Step, command: &CommandStep, led: &Led, deed: &Deed) -> Problem {
    let Led { named, real, span } = led;
    let Deed { path, doing, .. } = deed;
    let title = format!("`{}` {doing} `{}`, which it declares through a link", step.id, path.display());
    let own = seen_from(command.dir.as_path(), path);
    Problem::new(Code::UndeclaredWrite, title)
        .label(
            *span,
            format!("`{}` is, or leads through, a symbolic link to `{}`", named.display(), real.display()),
        )
        .help(format!("name the place itself: `outputs … {}`", quoted(&escaped(&own))))
}

/// An output that the target executes itself: the kernel cannot allow that and deny
/// to read what lies beside it.
fn beside(step: &Step, command: &CommandStep, path: &Path) -> Problem {
    let title = format!("`{}` executes `{}`, which lies beside other files", step.id, path.display());
    let name = path.file_name().map_or(path, Path::new);
    let own = seen_from(command.dir.as_path(), &path.with_file_name("bin").join(name));
    Problem::new(Code::UndeclaredRead, title)
        .label(outputs_span(step, command), "makes it there")
        .help(format!("make it in a directory of its own: `outputs … {}`", quoted(&escaped(&own))))
}

/// Something that is denied because the project lies below it.
fn above(step: &Step, deed: &Deed) -> Problem {
    let Deed { path, doing, .. } = deed;
    let title = format!("`{}` {doing} `{}`, above the project", step.id, path.display());
    let code = if doing.is_reading() { Code::UndeclaredRead } else { Code::UndeclaredWrite };
    let problem = Problem::new(code, title).label(step.span, "runs in a sandbox");
    if doing.is_reading() {
        problem.help("name what it needs of it one by one; a directory above the project is not listed")
    } else {
        let make = if *doing == Doing::MakeDirectory { "mkdir -p" } else { "touch" };
        problem.help(format!("make it before: `{make} {}`; or put it into `$TMPDIR`", path.display()))
    }
}

/// What is said of a step that succeeded all the same.
pub(super) fn notices(denied: &[Problem]) -> Vec<String> {
    let text = |problem: &Problem| {
        let help = problem.help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default();
        let notes = problem.notes.iter().flat_map(|note| ["; ", note]).collect::<String>();
        let title = problem.title.split_once("` ").map_or(problem.title.as_str(), |(_, rest)| rest);
        format!("it {title}, and was denied that{help}{notes}")
    };
    denied.iter().map(text).collect()
}

/// What is wrong with a step that failed: what was denied comes behind how it
/// failed.
pub(super) fn attach(mut problems: Problems, denied: Vec<Problem>, blind: Option<String>) -> Problems {
    if let Some(why) = blind {
        let mut noted = Problems::new();
        let note = format!("it ran in a sandbox, and what that denied is not known: {why}");
        noted.extend(problems.into_iter().map(|problem| problem.note(note.clone())));
        problems = noted;
    }
    problems.extend(denied);
    problems
}

/// Where the inputs of a step are declared, or else the step.
fn inputs_span(step: &Step) -> Span {
    let patterns = step.inputs.as_ref().map(|query| query.patterns.as_slice()).unwrap_or_default();
    patterns.first().map_or(step.span, |pattern| pattern.glob.span)
}

fn outputs_span(step: &Step, command: &CommandStep) -> Span {
    command.outputs.first().map_or(step.span, |pattern| pattern.glob.span)
}

/// A path of the project as it is written in a target that runs in `directory`.
pub(super) fn seen_from(directory: &Path, path: &Path) -> PathBuf {
    let common =
        directory.components().zip(path.components()).take_while(|(one, other)| one == other).count();
    let up = directory.components().skip(common).map(|_| Path::new(".."));
    up.chain(path.components().skip(common).map(|part| Path::new(part.as_os_str()))).collect()
}

/// A path as a pattern that matches it alone.
pub(super) fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for letter in path.to_string_lossy().chars() {
        if "*?[]{}\\".contains(letter) {
            text.push('\\');
        }
        text.push(letter);
    }
    // At its beginning this would take away what other patterns match.
    if text.starts_with('!') { format!("./{text}") } else { text }
}

/// A pattern as a string of release.kdl.
fn quoted(pattern: &str) -> String {
    format!("\"{}\"", pattern.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_seen_from_the_directory_of_the_target() {
        let seen = |directory: &str, path: &str| {
            seen_from(Path::new(directory), Path::new(path)).display().to_string()
        };
        assert_eq!(seen("", "src/a.h"), "src/a.h");
        assert_eq!(seen("services/api", "services/api/a.h"), "a.h");
        assert_eq!(seen("services/api", "services/lib/a.h"), "../lib/a.h");
        assert_eq!(seen("services/api", "a.h"), "../../a.h");
    }
}
