//! Running programs in turns, and how long and how large they were.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

/// The word that makes this program run another one and say what that took.
pub(crate) const RUN: &str = "--run-and-measure";

/// One run of a program.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) wall: Duration,
    /// Most memory that it, or one of the processes that it waited for, had.
    pub(crate) peak: u64,
}

/// All runs of one program.
pub(crate) struct Runs(Vec<Run>);

/// A program with its arguments, and what is done before each run.
pub(crate) struct Contender<'a> {
    pub(crate) name: &'a str,
    pub(crate) line: Vec<String>,
    pub(crate) before: Box<dyn Fn(usize) + 'a>,
}

impl<'a> Contender<'a> {
    pub(crate) fn new(name: &'a str, line: &[&str]) -> Self {
        let line = line.iter().map(|word| (*word).to_owned()).collect();
        Self { name, line, before: Box::new(|_| {}) }
    }

    pub(crate) fn before(mut self, before: impl Fn(usize) + 'a) -> Self {
        self.before = Box::new(before);
        self
    }
}

impl Runs {
    /// Runs that were measured elsewhere.
    pub(crate) fn of(runs: impl Iterator<Item = Run>) -> Self {
        Self(runs.collect())
    }

    /// The runs of several as those of one.
    pub(crate) fn joined(all: Vec<Self>) -> Self {
        Self(all.into_iter().flat_map(|runs| runs.0).collect())
    }

    /// The run in the middle, by how long it took.
    pub(crate) fn median(&self) -> Run {
        let mut sorted = self.0.clone();
        sorted.sort_by_key(|run| run.wall);
        sorted[sorted.len() / 2]
    }

    /// The shortest and the longest time.
    pub(crate) fn spread(&self) -> (Duration, Duration) {
        let walls = self.0.iter().map(|run| run.wall);
        (walls.clone().min().expect("there are runs"), walls.max().expect("there are runs"))
    }

    /// The largest peak, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.0.iter().map(|run| run.peak).max().expect("there are runs")
    }
}

/// Lets the contenders run in turns, so that what else happens on the machine
/// meets them all.
pub(crate) fn in_turns(directory: &Path, rounds: usize, contenders: &[Contender<'_>]) -> Vec<Runs> {
    let mut all: Vec<Runs> = contenders.iter().map(|_| Runs(Vec::new())).collect();
    for round in 0..rounds {
        for (contender, runs) in contenders.iter().zip(&mut all) {
            (contender.before)(round);
            runs.0.push(run(directory, &contender.line));
        }
    }
    all
}

/// Runs a program to its end, which must be a success.
pub(crate) fn run(directory: &Path, line: &[String]) -> Run {
    // The kernel tells the peak of all children of a process at once: each run
    // has a parent of its own.
    let own = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(own);
    command.arg(RUN).args(line).current_dir(directory).stdin(Stdio::null());
    command.env("HOIST_CACHE_DIR", directory.join("cache")).env_remove("MAKEFLAGS");
    let output = command.output().expect("it can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_whitespace().map_while(|word| word.parse::<u64>().ok());
    let (Some(nanoseconds), Some(peak)) = (numbers.next(), numbers.next()) else {
        panic!("{line:?} failed:\n{text}{}", String::from_utf8_lossy(&output.stderr));
    };
    Run { wall: Duration::from_nanos(nanoseconds), peak }
}

/// The other side of [`run`].
pub(crate) fn run_here(line: &[String]) {
    let (program, arguments) = line.split_first().expect("a program is named");
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::inherit());
    let started = Instant::now();
    let status = command.status().unwrap_or_else(|error| panic!("{program}: {error}"));
    let wall = started.elapsed();
    assert!(status.success(), "{program}: {status}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel tells");
    println!("{} {}", wall.as_nanos(), usage.max_rss() * 1024);
}
