//! Bringing what a step made back into the workspace.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::cache::collect::{is_missing, mode_of, note_directory, stay_inside, walk};
use crate::cache::content::{ContentStore, Lost};
use crate::cache::local::each;
use crate::cache::looks::{Look, Looks};
use crate::cache::selection::Selection;
use crate::cache::small::Small;
use crate::cache::staged::Staged;
use crate::cache::{Blake3, Exactness, Output, OutputKind, Outputs, Reason, Restoration};
use crate::config::{Pattern, ProjectPath};
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::{InputKind, Seen, Stat, moment};

/// Where what is in the way goes, in the project's directory.
const DISPLACED: &str = ".hoist/displaced";

/// Where the contents of a record are.
#[derive(Clone, Copy)]
pub(super) struct Contents<'a> {
    /// Those that lie in the record.
    pub(super) small: &'a Small,
    /// All others.
    pub(super) store: &'a ContentStore,
}

impl Contents<'_> {
    /// Writes one to an empty file.
    fn copy_to(self, digest: Blake3, file: &mut File) -> Result<(), Lost> {
        match self.small.get(digest) {
            Some(content) => file.write_all(content).map_err(Lost::Write),
            None => self.store.copy_to(digest, file),
        }
    }
}

/// Makes the outputs in the workspace exactly those given.
///
/// All contents are written beside their places and verified before the first
/// of them takes its place, so that a damaged cache, a full disk, or a directory
/// that cannot be written changes nothing. What lies in the place of an output and
/// is not the step's `own` is moved away and not lost.
pub(super) fn restore(
    root: &Path,
    outputs: &Outputs,
    (patterns, exactness): (&[Pattern], Exactness),
    contents: Contents<'_>,
    looks: &Looks,
    is_own: &dyn Fn(&ProjectPath) -> bool,
) -> Result<Restoration, Problems> {
    let selection = Selection::new(patterns)?;
    let mut work = Work::find(root, outputs, (&selection, exactness), looks)?;
    let own = work.spare(is_own);
    if work.reasons.is_empty() {
        return Ok(Restoration::Current);
    }
    let unlocked = Unlocked::open(root, outputs, &work)?;
    let anchors = work.check(root)?;
    let files: Vec<&Output> = work.files().collect();
    let above = |output: &Output| {
        let parent = output.path.as_path().parent().unwrap_or(Path::new(""));
        anchors.get(parent).copied().unwrap_or(Path::new(""))
    };
    let staged = each(&files, |output| stage(root, above(output), output, contents));
    let moved = match staged.into_iter().collect() {
        Ok(files) => work.place(root, &anchors, files, looks)?,
        Err(Fault::Lost(reason)) => return Ok(Restoration::Lost(reason)),
        Err(Fault::Problem(problem)) => return Err(problem.into()),
    };
    unlocked.finish();
    Ok(Restoration::Restored(work.reasons, moved.filter(|_| !own)))
}

/// Why a restoration would write to the workspace.
pub(super) fn differences(
    root: &Path,
    outputs: &Outputs,
    (patterns, exactness): (&[Pattern], Exactness),
    looks: &Looks,
) -> Result<Vec<Reason>, Problems> {
    let selection = Selection::new(patterns)?;
    Ok(Work::find(root, outputs, (&selection, exactness), looks)?.reasons)
}

/// What is different in the workspace.
#[derive(Default)]
struct Work<'a> {
    /// Outputs that are not as they should be, directories before what they hold.
    wanted: Vec<&'a Output>,
    /// Files and links in the place of which another file or link lies.
    changed: Vec<&'a ProjectPath>,
    /// What is in the way: it is another kind of thing than the output, or in an
    /// output directory and none of the outputs. Nothing below another.
    displaced: BTreeSet<PathBuf>,
    /// Why, in the order of the paths.
    reasons: Vec<Reason>,
}

impl<'a> Work<'a> {
    fn find(
        root: &Path,
        outputs: &'a Outputs,
        (selection, exactness): (&Selection<'_>, Exactness),
        looks: &Looks,
    ) -> Result<Self, Problem> {
        let mut work = Self::default();
        let directories = selection.directories();
        let spares = |path: &Path| exactness.spares(root, &directories, outputs, path);
        let states = each(outputs.as_slice(), |output| state(root, output, looks));
        // Below a directory that is not yet there, nothing is as it should be,
        // even if a link in its place leads to something that looks the same.
        let (mut replaced, mut parent) = (None::<&ProjectPath>, None);
        for (output, state) in outputs.iter().zip(states) {
            let below = replaced.is_some_and(|above| output.path.as_path().starts_with(above.as_path()));
            if !below && parent != output.path.parent() {
                stay_inside(root, output.path.as_path())?;
                parent = output.path.parent();
            }
            let state = if below { State::Missing } else { state? };
            let reason = match state {
                State::Same => continue,
                State::Changed if spares(output.path.as_path()) => continue,
                State::Missing => Reason::OutputMissing(output.path.clone()),
                State::Changed | State::OtherMode | State::InTheWay => {
                    Reason::OutputChanged(output.path.clone())
                }
            };
            if matches!(state, State::InTheWay) {
                work.displaced.insert(output.path.as_path().to_owned());
                replaced = Some(&output.path);
            }
            if matches!(state, State::Changed) && !matches!(output.kind, OutputKind::Directory { .. }) {
                work.changed.push(&output.path);
            }
            work.wanted.push(output);
            work.reasons.push(reason);
        }
        work.find_stale(root, outputs, (selection, &spares), looks)?;
        Ok(work)
    }

    /// Moves away what lies in the place of an output and is not the step's own.
    /// Whether all that is moved is its own.
    fn spare(&mut self, is_own: &dyn Fn(&ProjectPath) -> bool) -> bool {
        let foreign = self.changed.iter().filter(|path| !is_own(path)).map(|path| path.as_path().to_owned());
        self.displaced.extend(foreign);
        let is_own = |path: &PathBuf| ProjectPath::root().join(path).is_ok_and(|path| is_own(&path));
        self.displaced.iter().all(is_own)
    }

    /// Looks in the output directories for what is none of the outputs.
    fn find_stale(
        &mut self,
        root: &Path,
        outputs: &Outputs,
        (selection, spares): (&Selection<'_>, &dyn Fn(&Path) -> bool),
        looks: &Looks,
    ) -> Result<(), Problem> {
        let mut stale = BTreeSet::new();
        for directory in selection.directories() {
            // What is to be no directory is in the way as a whole if it is one.
            let path = ProjectPath::root().join(&directory);
            let meant = path.ok().and_then(|path| outputs.get(&path));
            if matches!(meant, Some(OutputKind::File { .. } | OutputKind::Symlink(_))) {
                continue;
            }
            // A link in its place was found before; what it leads to is not ours.
            if !fs::symlink_metadata(root.join(&directory)).is_ok_and(|found| found.is_dir()) {
                continue;
            }
            note_directory(root, Some(&directory), looks);
            let found = walk(root, &directory, &|path| selection.covers(path), None);
            for found in found.map_err(|(path, error)| denied(&path, &error))? {
                let Ok(path) = ProjectPath::root().join(&found.path) else { continue };
                // What a negated pattern takes away is the user's, and so is
                // the directory that holds it.
                let ours =
                    selection.covers(&found.path) && outputs.get(&path).is_none() && !spares(&found.path);
                let is_dir = found.seen.stat.kind() == Some(InputKind::Directory);
                if ours && !(is_dir && holds_others(root, &found.path, selection)) {
                    stale.insert(path);
                }
            }
        }
        let above_outputs: HashSet<_> =
            outputs.iter().flat_map(|output| output.path.as_path().ancestors().skip(1)).collect();
        for path in stale {
            let inside = path.as_path().ancestors().any(|above| self.displaced.contains(above));
            if !inside && !above_outputs.contains(path.as_path()) {
                self.displaced.insert(path.as_path().to_owned());
                self.reasons.push(Reason::OutputStale(path));
            }
        }
        Ok(())
    }

    /// The nearest directory above a path that is there and stays there.
    fn anchor<'p>(&self, root: &Path, path: &'p Path) -> &'p Path {
        let above: Vec<&Path> = path.ancestors().skip(1).collect();
        let is_there = |above: &Path| fs::symlink_metadata(root.join(above)).is_ok();
        let nearest = if self.displaced.is_empty() {
            above.iter().find(|above| is_there(above))
        } else {
            // From the top: behind a link that goes, there is nothing to see.
            let stays = |above: &&&Path| !self.displaced.contains(**above) && is_there(above);
            above.iter().rev().take_while(stays).last()
        };
        nearest.copied().unwrap_or(Path::new(""))
    }

    /// Finds out whether everything can be put in its place, changing nothing
    /// that could be seen. Returns the nearest directories that are there, by what the
    /// outputs lie in.
    fn check(&self, root: &Path) -> Result<HashMap<&Path, &Path>, Problem> {
        if !self.displaced.is_empty() {
            let displaced = root.join(DISPLACED);
            fs::create_dir_all(displaced).map_err(|error| denied(Path::new(DISPLACED), &error))?;
        }
        let (mut anchors, mut seen) = (HashMap::new(), HashSet::new());
        let wanted = self.wanted.iter().map(|output| output.path.as_path());
        for path in wanted.chain(self.displaced.iter().map(PathBuf::as_path)) {
            let Some(parent) = path.parent().filter(|parent| !anchors.contains_key(parent)) else { continue };
            // Most often it is there, and stays.
            if self.displaced.is_empty() && takes_files(&root.join(parent)).is_ok() {
                anchors.insert(parent, parent);
                continue;
            }
            let above = self.anchor(root, path);
            anchors.insert(parent, above);
            if seen.insert(above) {
                takes_files(&root.join(above)).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => no_directory(path, above),
                    _ => denied(path, &error),
                })?;
            }
        }
        Ok(anchors)
    }

    /// Whether anything is changed below a directory.
    fn touches(&self, directory: &Path) -> bool {
        self.wanted.iter().any(|output| output.path.as_path().starts_with(directory))
            || self.displaced.iter().any(|path| path.starts_with(directory))
    }

    fn files(&self) -> impl Iterator<Item = &'a Output> {
        self.wanted.iter().copied().filter(|output| matches!(output.kind, OutputKind::File { .. }))
    }

    /// Puts everything in its place. `files` are those of [`Work::files`].
    /// Returns where what was in the way is now.
    fn place(
        &self,
        root: &Path,
        anchors: &HashMap<&Path, &Path>,
        files: Vec<Staged>,
        looks: &Looks,
    ) -> Result<Option<PathBuf>, Problem> {
        let moved = displace_all(root, &self.displaced)?;
        for (parent, _) in anchors.iter().filter(|(parent, above)| parent != above) {
            fs::create_dir_all(root.join(parent)).map_err(|error| denied(parent, &error))?;
        }
        let mut files = files.into_iter();
        for output in &self.wanted {
            let path = root.join(output.path.as_path());
            place(output, &path, &mut files, looks).map_err(|error| denied(output.path.as_path(), &error))?;
        }
        // Permissions last, from the inside out: a directory may be read-only.
        for output in self.wanted.iter().rev() {
            if let OutputKind::Directory { mode } = output.kind {
                let set = set_mode(&root.join(output.path.as_path()), mode);
                set.map_err(|error| denied(output.path.as_path(), &error))?;
            }
        }
        Ok(moved)
    }
}

/// Whether files can be put into a directory: it is one, and may be written.
fn takes_files(directory: &Path) -> io::Result<()> {
    Ok(access(directory.join("."), Access::WRITE_OK | Access::EXEC_OK)?)
}

/// How the workspace compares to an output.
pub(super) enum State {
    Same,
    Missing,
    Changed,
    /// Only its permissions are others.
    OtherMode,
    /// Something else lies there, and cannot be replaced in one go.
    InTheWay,
}

pub(super) fn state(root: &Path, output: &Output, looks: &Looks) -> Result<State, Problem> {
    let path = root.join(output.path.as_path());
    let seen = match Seen::of(&path) {
        Ok(seen) => seen,
        Err(error) if is_missing(&error) => return Ok(State::Missing),
        Err(error) => return Err(denied(output.path.as_path(), &error)),
    };
    let directory = matches!(output.kind, OutputKind::Directory { .. });
    if directory != (seen.stat.kind() == Some(InputKind::Directory)) {
        return Ok(State::InTheWay);
    }
    // What cannot be read is not known to be the same.
    let same = match &output.kind {
        OutputKind::File { digest, size, mode } => {
            let is_file = matches!(seen.stat.kind(), Some(InputKind::File | InputKind::Executable));
            let same = is_file
                && seen.stat.size == *size
                && looks.digest(&output.path, &path, seen).is_ok_and(|found| found == *digest);
            if same && seen.stat.mode & 0o7777 != *mode {
                return Ok(State::OtherMode);
            }
            same
        }
        OutputKind::Symlink(text) => fs::read_link(&path).is_ok_and(|found| found == *text),
        OutputKind::Directory { mode } => seen.stat.mode & 0o7777 == *mode,
    };
    if same && !matches!(output.kind, OutputKind::File { .. }) {
        looks.note(&output.path, Look { seen, digest: None });
    }
    Ok(if same { State::Same } else { State::Changed })
}

/// Whether a directory holds something that no pattern covers.
fn holds_others(root: &Path, directory: &Path, selection: &Selection<'_>) -> bool {
    let all = walk(root, directory, &|_| true, None);
    all.is_ok_and(|all| all.iter().any(|found| !selection.covers(&found.path)))
}

enum Fault {
    Lost(Reason),
    Problem(Problem),
}

/// Writes the content of a file where it can be given its name: in a directory `above`
/// its place that is there already.
fn stage(root: &Path, above: &Path, output: &Output, contents: Contents<'_>) -> Result<Staged, Fault> {
    let path = output.path.as_path();
    let fail = |error: &io::Error| Fault::Problem(denied(path, error));
    let OutputKind::File { digest, mode, .. } = output.kind else {
        return Err(fail(&io::ErrorKind::Unsupported.into()));
    };
    let mut file = Staged::new_in(&root.join(above)).map_err(|error| fail(&error))?;
    match contents.copy_to(digest, file.file_mut()) {
        Ok(()) => {}
        Err(Lost::Gone) => return Err(Fault::Lost(Reason::ContentGone(output.path.to_string()))),
        Err(Lost::Corrupt) => return Err(Fault::Lost(Reason::ContentCorrupt(output.path.to_string()))),
        Err(Lost::Write(error)) => return Err(fail(&error)),
    }
    file.file().set_permissions(Permissions::from_mode(mode)).map_err(|error| fail(&error))?;
    Ok(file)
}

fn place(
    output: &Output,
    path: &Path,
    files: &mut impl Iterator<Item = Staged>,
    looks: &Looks,
) -> io::Result<()> {
    match &output.kind {
        OutputKind::File { .. } => match files.next() {
            Some(file) => put(output, file, path, looks),
            None => Err(io::ErrorKind::NotFound.into()),
        },
        OutputKind::Symlink(text) => {
            match fs::remove_file(path) {
                Err(error) if !is_missing(&error) => return Err(error),
                _ => {}
            }
            symlink(text, path)
        }
        OutputKind::Directory { .. } => fs::create_dir_all(path),
    }
}

/// Gives a file that was written and verified its place.
fn put(output: &Output, file: Staged, path: &Path, looks: &Looks) -> io::Result<()> {
    let verified = Stat::of(&file.file().metadata()?);
    let file = file.persist(path)?;
    let at = moment();
    let stat = Stat::of(&file.metadata()?);
    // A name changes neither size nor modification time: if they are
    // others, somebody else has written to it already.
    if let OutputKind::File { digest, .. } = output.kind
        && (stat.size, stat.modified) == (verified.size, verified.modified)
    {
        looks.note(&output.path, Look { seen: Seen { stat, at }, digest: Some(digest) });
    }
    Ok(())
}

/// Moves all that is in the way to one place, and returns that place in the project.
///
/// # Errors
/// Something cannot be moved: it stays where it is, and so does what comes behind.
pub(super) fn displace_all(root: &Path, paths: &BTreeSet<PathBuf>) -> Result<Option<PathBuf>, Problem> {
    if paths.is_empty() {
        return Ok(None);
    }
    let to = displaced_dir(root).map_err(|error| denied(Path::new(DISPLACED), &error))?;
    for path in paths {
        displace(root, path, &to).map_err(|error| immovable(path, &error))?;
    }
    Ok(to.strip_prefix(root).ok().map(Path::to_owned))
}

/// A new directory for what is in the way of this restoration: nothing that was
/// displaced before is lost to it. It has a number that is free and follows one that
/// is not, found by few looks however many there are.
fn displaced_dir(root: &Path) -> io::Result<PathBuf> {
    let all = root.join(DISPLACED);
    fs::create_dir_all(&all)?;
    let dir = |number: u64| all.join(number.to_string());
    let is_taken = |number| dir(number).symlink_metadata().is_ok();
    loop {
        let (mut taken, mut free) = (0, 1);
        while is_taken(free) {
            (taken, free) = (free, 2 * free);
        }
        while free - taken > 1 {
            let middle = u64::midpoint(taken, free);
            if is_taken(middle) { taken = middle } else { free = middle }
        }
        match fs::create_dir(dir(free)) {
            // Another hoist was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| dir(free)),
        }
    }
}

/// Moves what is in the way to where the user finds it. Only empty directories
/// are removed.
fn displace(root: &Path, path: &Path, displaced: &Path) -> io::Result<()> {
    let (from, to) = (root.join(path), displaced.join(path));
    let found = fs::symlink_metadata(&from)?;
    if found.is_dir() && fs::remove_dir(&from).is_ok() {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    // A directory that moves is written to: its `..` changes.
    let mode = mode_of(&found);
    let locked = found.is_dir() && mode & 0o700 != 0o700;
    if locked {
        set_mode(&from, mode | 0o700)?;
    }
    let moved = fs::rename(&from, &to);
    if locked {
        set_mode(if moved.is_ok() { &to } else { &from }, mode)?;
    }
    moved
}

pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Output directories that their owner may not write, opened for the time of
/// the restoration.
struct Unlocked(Vec<Opened>);

struct Opened {
    path: PathBuf,
    before: u32,
    wanted: u32,
}

impl Unlocked {
    fn open(root: &Path, outputs: &Outputs, work: &Work<'_>) -> Result<Self, Problem> {
        let mut unlocked = Self(Vec::new());
        for output in outputs {
            let OutputKind::Directory { mode: wanted } = output.kind else { continue };
            let path = root.join(output.path.as_path());
            let Ok(found) = fs::symlink_metadata(&path) else { continue };
            let before = mode_of(&found);
            if found.is_dir() && before & 0o700 != 0o700 && work.touches(output.path.as_path()) {
                set_mode(&path, before | 0o700).map_err(|error| denied(output.path.as_path(), &error))?;
                unlocked.0.push(Opened { path, before, wanted });
            }
        }
        Ok(unlocked)
    }

    /// Gives them the permissions that they are to have, now that all is done.
    fn finish(mut self) {
        for opened in std::mem::take(&mut self.0).iter().rev() {
            let _ = set_mode(&opened.path, opened.wanted);
        }
    }
}

impl Drop for Unlocked {
    fn drop(&mut self) {
        for opened in self.0.iter().rev() {
            let _ = set_mode(&opened.path, opened.before);
        }
    }
}

/// What was not made by a step lies where it makes its outputs, and cannot be moved.
fn immovable(path: &Path, error: &io::Error) -> Problem {
    let shown = path.display();
    let problem = Problem::new(Code::ReadOnly, format!("`{shown}` cannot be moved to `{DISPLACED}`"))
        .note("an output is to lie there, and no step made what does")
        .note(error.to_string());
    if error.kind() == io::ErrorKind::CrossesDevices {
        return problem.help(format!("it is on another file system: move `{shown}` away, or remove it"));
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    problem.help(format!("move `{shown}` away, or make `{}` writable", above.display()))
}

/// What is above an output is no directory.
#[must_use]
pub fn no_directory(path: &Path, above: &Path) -> Problem {
    let title = format!("`{}` cannot be made: `{}` is not a directory", path.display(), above.display());
    Problem::new(Code::ReadOnly, title)
        .help(format!("move `{}` away, or declare another output", above.display()))
}

/// What stands in the way of writing the workspace.
pub(super) fn denied(path: &Path, error: &io::Error) -> Problem {
    Problem::new(Code::ReadOnly, format!("`{}` cannot be written", path.display()))
        .note(error.to_string())
        .help("make the project's directory writable, with room on its disk")
}
