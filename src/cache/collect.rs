//! Finding what a step made.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::cache::clear::Standing;
use crate::cache::content::digest_at;
use crate::cache::local::each;
use crate::cache::looks::{Look, Looks};
use crate::cache::selection::{Rule, Selection};
use crate::cache::{Output, OutputKind, Outputs};
use crate::config::{PRIVATE, Pattern, ProjectPath};
use crate::diagnostic::{Code, Problem, Problems, Span};
use crate::facts::{InputKind, Seen, Stat};

/// Begins the names of files that are on their way into the workspace.
pub(super) const UNFINISHED: &str = ".hoist-restore-";

/// Something that lies in the workspace, relative to the project's directory.
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Before it was looked into.
    pub(super) seen: Seen,
}

/// The outputs in the workspace, by the patterns of the step that made them, but
/// for what stood there before and was not touched.
///
/// Where not all was made, `partly` says that this is no mistake.
pub(super) fn collect(
    root: &Path,
    patterns: &[Pattern],
    standing: &Standing,
    partly: bool,
    looks: &Looks,
) -> Result<Outputs, Problems> {
    let selection = Selection::new(patterns)?;
    let (mut found, mut problems) = (Vec::new(), Problems::new());
    for rule in selection.rules() {
        note_directory(root, rule.directory().as_deref(), looks);
        if let Some(matched) = problems.take(matched(root, rule)) {
            let any = !matched.is_empty();
            let made: Vec<Found> = matched.into_iter().filter(|found| standing.is_made(found)).collect();
            if made.is_empty() && !partly && !(any && standing.may_stay) {
                problems.push(not_made(root, rule, any));
            }
            let kept = made.into_iter().filter(|found| selection.covers(&found.path));
            found.extend(kept.map(|found| (found, rule.pattern.glob.span)));
        }
    }
    let outputs = each(&found, |(found, span)| output(root, found, *span, looks));
    let outputs = outputs.into_iter().filter_map(|output| problems.take(output)).collect();
    problems.or(Outputs::new(outputs))
}

/// Remembers what was seen of a directory before what it holds is looked at.
pub(super) fn note_directory(root: &Path, directory: Option<&Path>, looks: &Looks) {
    let Some(directory) = directory else { return };
    if let (Ok(seen), Ok(path)) = (Seen::of(&root.join(directory)), ProjectPath::root().join(directory)) {
        looks.note(&path, Look { seen, digest: None });
    }
}

/// That nothing was made by a rule below `root`, although there may be `any` that it matches.
fn not_made(root: &Path, rule: &Rule<'_>, any: bool) -> Problem {
    let Pattern { glob, .. } = rule.pattern;
    let problem = Problem::new(Code::OutputNotMade, format!("`{}` was not made", glob.value));
    if any {
        return problem
            .label(glob.span, "all that matches this was there before, and was not written")
            .help("remove what was there, so that it is made, or take it out of `outputs`");
    }
    let label = if rule.pattern.is_literal() { "declared here" } else { "nothing matches this" };
    let help = if glob.value.contains('[') && root.join(&glob.value).symlink_metadata().is_ok() {
        // As it stands in a string of release.kdl.
        let escaped = glob.value.replace('[', r"\\[").replace(']', r"\\]");
        format!("`[` begins a choice of characters: write `\"{escaped}\"` for the path that has it")
    } else {
        "make it in `run`, or take it out of `outputs`".to_owned()
    };
    problem.label(glob.span, label).help(help)
}

/// All that a pattern covers.
pub(super) fn matched(root: &Path, rule: &Rule<'_>) -> Result<Vec<Found>, Problem> {
    let start = rule.start();
    let span = rule.pattern.glob.span;
    stay_inside(root, &start).map_err(|problem| problem.label(span, "declared here"))?;
    let covers = |path: &Path| rule.matches(path);
    walk(root, &start, &covers, rule.depth()).map_err(|(path, error)| unreadable(&path, &error, span))
}

/// What `covers` says yes to, from `start` down, and all below that. Links are
/// not followed.
pub(super) fn walk(
    root: &Path,
    start: &Path,
    covers: &dyn Fn(&Path) -> bool,
    depth: Option<usize>,
) -> Result<Vec<Found>, (PathBuf, io::Error)> {
    let mut found = Vec::new();
    let mut pending = vec![(start.to_owned(), false)];
    while let Some((path, above)) = pending.pop() {
        let seen = match Seen::of(&root.join(&path)) {
            Ok(seen) => seen,
            Err(error) if is_missing(&error) => continue,
            Err(error) => return Err((path, error)),
        };
        let covered = above || (!path.as_os_str().is_empty() && covers(&path));
        let deeper = depth.is_none_or(|depth| path.components().count() < depth);
        // A start that is not reached by a name of its own is a directory to look
        // into, also where a link leads to it.
        let led_to = || path == start && fs::metadata(root.join(start)).is_ok_and(|found| found.is_dir());
        let look = seen.stat.kind() == Some(InputKind::Directory) || (!covered && led_to());
        if look && (covered || deeper) {
            let listed = list(root, &path, covered).map_err(|error| (path.clone(), error))?;
            pending.extend(listed.into_iter().map(|path| (path, covered)));
        }
        if covered {
            found.push(Found { path, seen });
        }
    }
    Ok(found)
}

/// The paths in a directory, but for what is not the project's. In an `own` one, a
/// file that is on its way was left behind.
fn list(root: &Path, path: &Path, own: bool) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(root.join(path))? {
        let name = entry?.file_name();
        let private = path.as_os_str().is_empty() && PRIVATE.iter().any(|private| name == *private);
        let unfinished = !own && name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes());
        if !private && !unfinished {
            paths.push(path.join(name));
        }
    }
    Ok(paths)
}

/// Reads what was found.
fn output(root: &Path, found: &Found, span: Span, looks: &Looks) -> Result<Output, Problem> {
    let fail = |error: &io::Error| unreadable(&found.path, error, span);
    let path = ProjectPath::root().join(&found.path).map_err(|_| outside(&found.path))?;
    let full = root.join(&found.path);
    let kind = kind_of(&full, &found.seen.stat).map_err(|error| fail(&error))?;
    let digest = match &kind {
        Some(OutputKind::File { digest, .. }) => Some(*digest),
        _ => None,
    };
    looks.note(&path, Look { seen: found.seen, digest });
    let kind = kind.ok_or_else(|| {
        Problem::new(Code::OutputNotMade, format!("`{path}` is not a file, a directory, or a link"))
            .label(span, "declared here")
    })?;
    Ok(Output { path, kind })
}

/// What lies at a path; `None` for a device, a socket, and the like.
pub(super) fn kind_of(path: &Path, stat: &Stat) -> io::Result<Option<OutputKind>> {
    let mode = stat.mode & 0o7777;
    Ok(match stat.kind() {
        Some(InputKind::Symlink) => Some(OutputKind::Symlink(fs::read_link(path)?)),
        Some(InputKind::Directory) => Some(OutputKind::Directory { mode }),
        Some(InputKind::File | InputKind::Executable) => {
            let (digest, size) = digest_at(path, stat.size)?;
            Some(OutputKind::File { digest, size, mode })
        }
        None => None,
    })
}

/// The permission bits.
pub(super) fn mode_of(metadata: &Metadata) -> u32 {
    metadata.permissions().mode() & 0o7777
}

/// Whether nothing lies at a path, or not even a directory above it.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Makes sure that no link on the way to a path leads out of the project.
///
/// # Errors
/// One does ([`Code::OutsideProject`]).
pub fn stay_inside(root: &Path, path: &Path) -> Result<(), Problem> {
    let directories = || path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    let is_link = |above: &Path| fs::symlink_metadata(root.join(above)).is_ok_and(|found| found.is_symlink());
    if !directories().any(is_link) {
        return Ok(());
    }
    let above = path.ancestors().skip(1).find_map(|above| root.join(above).canonicalize().ok());
    let inside = match (above, root.canonicalize()) {
        (Some(above), Ok(root)) => above.starts_with(root),
        // Neither is there: nothing leads anywhere.
        _ => true,
    };
    if inside { Ok(()) } else { Err(outside(path)) }
}

fn outside(path: &Path) -> Problem {
    Problem::new(Code::OutsideProject, format!("`{}` leads out of the project", path.display()))
        .note("a directory on the way is a symbolic link to somewhere else")
        .help("declare outputs at the place where they lie in the project")
}

fn unreadable(path: &Path, error: &io::Error, span: Span) -> Problem {
    Problem::new(Code::OutputNotMade, format!("`{}` cannot be read", path.display()))
        .label(span, "declared here")
        .note(error.to_string())
}
