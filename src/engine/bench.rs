//! Where the tests of an image run: its files, unpacked once.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use tempfile::TempDir;

use crate::diagnostic::{Code, Problem, Span};
use crate::engine::command::container;
use crate::engine::image::Image;
use crate::engine::unpack::unpack;
use crate::engine::{Container, Ended, Limits, Output, Runtime};
use crate::oci::FileTree;
use crate::plan::TestPlan;
use crate::store::Layout;

/// The files of an image, and a place for its containers.
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
    /// Whether containers can share the files.
    shares: bool,
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
        let place = tempfile::Builder::new().prefix("hoist-test-").tempdir();
        let place = place.map_err(|error| no_place(&error).label(span, "to run this"))?;
        let tree = fresh(image, images, &place.path().join("base"));
        let tree = tree.map_err(|problem| problem.label(span, "to run this"))?;
        Ok(Self { runtime, image, images, halt, place, tree, shares: true })
    }

    /// What a test runs.
    ///
    /// # Errors
    /// Why the image cannot run it, in a sentence.
    pub(super) fn container(&self, plan: &TestPlan) -> Result<Container, String> {
        container(plan, &self.image.config.config, &self.tree, &self.base())
    }

    /// Runs a container in files that nothing was written to.
    ///
    /// # Errors
    /// It cannot be run here.
    pub(super) fn run(
        &mut self,
        container: &Container,
        plan: &TestPlan,
        log: &mut dyn Write,
    ) -> Result<(Ended, Output), Problem> {
        let limits = Limits { timeout: plan.timeout, stop: self.halt };
        make_directory(&self.tree, &self.base(), &container.cwd);
        if self.shares {
            let shared = Container { base: Some(self.base()), ..container.clone() };
            match self.runtime.run(&shared, self.place.path(), limits, log) {
                Ok(ran) => return Ok(ran),
                // With files of its own, it says what else is in the way.
                Err(_) => self.shares = false,
            }
        }
        let rootfs = self.place.path().join("rootfs");
        let _none_yet = fs::remove_dir_all(&rootfs);
        fresh(self.image, self.images, &rootfs)?;
        make_directory(&self.tree, &rootfs, &container.cwd);
        self.runtime.run(container, self.place.path(), limits, log)
    }

    fn base(&self) -> PathBuf {
        self.place.path().join("base")
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
