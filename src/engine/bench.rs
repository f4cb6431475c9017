//! Where the tests of an image run: its files, unpacked once.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use crate::diagnostic::{Code, Problem, Span};
use crate::engine::command::container;
use crate::engine::image::Image;
use crate::engine::runtime::clear;
use crate::engine::unpack::unpack;
use crate::engine::{Container, Ended, Limits, Output, Runtime};
use crate::oci::FileTree;
use crate::plan::TestPlan;
use crate::store::Layout;

/// What the directory of a bench is called, up to what tells it from others.
const PREFIX: &str = "hoist-test-";
/// A file in it that is locked as long as somebody needs it.
const OWNER: &str = "owner";

/// The files of an image, and places for its containers, of which several may run at
/// once.
///
/// Each container sees the files as they are, and what it writes is thrown away.
/// Where the kernel puts no such layer upon them, it gets files of its own.
pub(super) struct Bench<'a> {
    runtime: &'a Runtime,
    image: &'a Image,
    images: &'a Layout,
    halt: &'a AtomicBool,
    place: TempDir,
    /// All files of the image.
    pub(super) tree: FileTree,
    /// Whether containers can share the files, as far as is known.
    shares: AtomicBool,
    /// Says that the place is in use.
    _owner: File,
}

impl<'a> Bench<'a> {
    /// Unpacks an image, for the tests that `span` is the first of.
    ///
    /// # Errors
    /// A layer that is hostile, or a disk that refuses.
    pub(super) fn new(
        runtime: &'a Runtime,
        image: &'a Image,
        images: &'a Layout,
        halt: &'a AtomicBool,
        span: Span,
    ) -> Result<Self, Problem> {
        let begin = || {
            remove_forsaken(&std::env::temp_dir());
            let place = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
            let owner = own(place.path())?;
            Ok((place, owner))
        };
        let (place, owner) = begin().map_err(|error| no_place(&error).label(span, "to run this"))?;
        let tree = fresh(image, images, &place.path().join("base"));
        let tree = tree.map_err(|problem| problem.label(span, "to run this"))?;
        let shares = AtomicBool::new(true);
        Ok(Self { runtime, image, images, halt, place, tree, shares, _owner: owner })
    }

    /// What a test runs. To be asked for before anything runs: it may add the directory
    /// that the process starts in to the files.
    ///
    /// # Errors
    /// Why the image cannot run it, in a sentence.
    pub(super) fn container(&self, plan: &TestPlan) -> Result<Container, String> {
        let container = container(plan, &self.image.config.config, &self.tree, &self.base())?;
        make_directory(&self.tree, &self.base(), &container.cwd);
        Ok(Container { scratch: Some(self.place().to_owned()), ..container })
    }

    /// Runs a container in files that nothing was written to. Each that runs at the same
    /// time has another `number`.
    ///
    /// # Errors
    /// It cannot be run here.
    pub(super) fn run(
        &self,
        number: usize,
        container: &Container,
        plan: &TestPlan,
        log: &mut dyn Write,
    ) -> Result<(Ended, Output), Problem> {
        let directory = self.place().join(number.to_string());
        fs::create_dir(&directory).map_err(|error| no_place(&error))?;
        let ran = self.run_in(&directory, container, plan, log);
        // What is still there goes with the bench.
        let _ = fs::remove_dir_all(&directory);
        ran
    }

    fn run_in(
        &self,
        directory: &Path,
        container: &Container,
        plan: &TestPlan,
        log: &mut dyn Write,
    ) -> Result<(Ended, Output), Problem> {
        let limits = Limits { timeout: plan.timeout, stop: self.halt };
        if self.shares.load(Ordering::Relaxed) {
            let shared = Container { base: Some(self.base()), ..container.clone() };
            match self.runtime.run(&shared, directory, limits, log) {
                Ok(ran) => return Ok(ran),
                // With files of its own, it says what else is in the way.
                Err(_) => self.shares.store(false, Ordering::Relaxed),
            }
        }
        let rootfs = directory.join("rootfs");
        let _none_yet = fs::remove_dir_all(&rootfs);
        fresh(self.image, self.images, &rootfs)?;
        make_directory(&self.tree, &rootfs, &container.cwd);
        self.runtime.run(container, directory, limits, log)
    }

    /// Whether no further test is to begin.
    pub(super) fn is_halted(&self) -> bool {
        self.halt.load(Ordering::Relaxed)
    }

    /// The directory that holds all that is made for the tests.
    pub(super) fn place(&self) -> &Path {
        self.place.path()
    }

    fn base(&self) -> PathBuf {
        self.place().join("base")
    }
}

/// Unpacks an image to a new directory.
fn fresh(image: &Image, images: &Layout, rootfs: &Path) -> Result<FileTree, Problem> {
    fs::create_dir(rootfs).map_err(|error| no_place(&error))?;
    unpack(image, images, rootfs)
}

fn no_place(error: &io::Error) -> Problem {
    Problem::new(Code::NoRuntime, "there is no place to unpack the image").note(error.to_string())
}

/// The directory that a process starts in is made if the image does not have it.
fn make_directory(tree: &FileTree, rootfs: &Path, cwd: &str) {
    if let Some(path) = tree.resolve(cwd.as_bytes()).and_then(|path| String::from_utf8(path).ok()) {
        // The runtime says what is wrong if it cannot be entered.
        let _ = fs::create_dir_all(rootfs.join(path));
    }
}

/// Says that a directory is in use, as long as the file is open.
fn own(place: &Path) -> io::Result<File> {
    // Under its name it is locked from the beginning.
    let unnamed = place.join("owner-");
    let owner = File::create_new(&unnamed)?;
    // Where the file system knows no locks, what is left of a killed hoist stays.
    let _ = owner.lock();
    fs::rename(unnamed, place.join(OWNER))?;
    Ok(owner)
}

/// Removes what is left of benches of this user whose hoist was killed while no container
/// ran, which else would have removed it.
fn remove_forsaken(above: &Path) {
    let own = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        let place = entry.path();
        let is_bench = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == own);
        let owner = if is_bench { File::open(place.join(OWNER)).ok() } else { None };
        if owner.is_some_and(|owner| owner.try_lock().is_ok()) {
            // What else lies there is the image's own: its links lead anywhere.
            let is_container = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
            for entry in fs::read_dir(&place).into_iter().flatten().flatten() {
                if entry.file_name().to_str().is_some_and(is_container) {
                    let _ = clear(&entry.path());
                }
            }
            // Whoever comes next tries again.
            let _ = fs::remove_dir_all(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_a_killed_hoist_left_is_removed_and_what_is_in_use_stays() {
        let above = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let place = above.path().join(name);
            fs::create_dir_all(place.join("base/etc")).unwrap();
            place
        };
        let victim = above.path().join("victim");
        fs::create_dir(&victim).unwrap();
        let mode = || fs::metadata(&victim).unwrap().permissions().mode() & 0o777;
        let before = mode();
        let (left, used, other) = (make("hoist-test-a"), make("hoist-test-b"), make("hoist-test-c"));
        fs::create_dir(left.join("base/work")).unwrap();
        symlink(&victim, left.join("base/work/work")).unwrap();
        drop(own(&left).unwrap());
        let _owner = own(&used).unwrap();
        remove_forsaken(above.path());
        assert_eq!([&left, &used, &other].map(|place| place.exists()), [false, true, true]);
        assert_eq!(mode(), before);
    }
}
