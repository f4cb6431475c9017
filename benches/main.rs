//! How fast hoist is, beside other programs that do the same work in the same
//! minutes: a table of ratios. `docs/benchmarks.md` says how to read it.
//!
//! `cargo bench` measures everything, `cargo bench -- null 10000 cold` only some
//! parts; a number behind a part is its size. `HOIST_BENCH_PROGRAM` names another
//! hoist, `HOIST_BENCH_ROUNDS` how often each program runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::format_collect,
    reason = "a program that measures, and stops where it cannot"
)]

#[path = "../src/engine/builder/fixture.rs"]
#[allow(dead_code, reason = "tests need more of it")]
mod daemons;
mod engine;
mod graph;
mod image;
mod measure;
mod promotion;
mod registry;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::graph::{Graph, Sleeps};
use crate::measure::{Contender, RUN, Runs, in_turns, run, run_here};
use crate::table::{against, left_out, line};

/// Its name, what measures it, and its usual sizes.
type Part = (&'static str, fn(&Bench, usize), &'static [usize]);

/// The parts.
const PARTS: [Part; 16] = [
    ("start", Bench::start, &[20]),
    ("null", Bench::null, &[1_000, 10_000, 100_000]),
    ("cold", Bench::cold, &[1_000]),
    ("one", Bench::one, &[10_000]),
    ("makespan", Bench::makespan, &[8]),
    ("restore", Bench::restore, &[10_000]),
    ("digest", Bench::digest, &[20_000]),
    ("log", Bench::log, &[1_000]),
    ("image", Bench::image, &[10_000]),
    ("registry", Bench::registry, &[10_000]),
    ("engine", Bench::engine, &[10_000]),
    ("builders", Bench::builders, &[3]),
    ("promotion", Bench::promotion, &[10_000]),
    ("tags", Bench::tags, &[30]),
    ("status", Bench::status, &[10_000]),
    ("edit", Bench::edit, &[5_000]),
];

/// Largest graph that make is asked about: it needs half a minute for ten times
/// as much.
const MAKE_BEARS: usize = 10_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((RUN, line)) = words.split_first().map(|(first, line)| (first.as_str(), line)) {
        return run_here(line);
    }
    // Cargo itself adds `--bench`.
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
    let bench = Bench::new();
    let chosen = chosen(&words);
    println!("{}, {} rounds each, medians (shortest–longest)\n", bench.hoist.display(), bench.rounds);
    table::head();
    for (part, sizes) in chosen {
        let (_, measure, usual) = PARTS.iter().find(|(name, ..)| *name == part).expect("it was looked up");
        for size in if sizes.is_empty() { usual } else { sizes.as_slice() } {
            measure(&bench, *size);
        }
    }
}

/// The parts that are asked for, each with its sizes.
fn chosen<'a>(words: &[&'a str]) -> Vec<(&'a str, Vec<usize>)> {
    let mut chosen: Vec<(&str, Vec<usize>)> = Vec::new();
    for word in words {
        match (word.parse(), chosen.last_mut()) {
            (Ok(size), Some((_, sizes))) => sizes.push(size),
            _ if PARTS.iter().any(|(name, ..)| name == word) => chosen.push((word, Vec::new())),
            _ => {
                let names: Vec<&str> = PARTS.iter().map(|(name, ..)| *name).collect();
                panic!("`{word}` is no part and no size of one; the parts: {}", names.join(", "));
            }
        }
    }
    if chosen.is_empty() { PARTS.iter().map(|(name, ..)| (*name, Vec::new())).collect() } else { chosen }
}

struct Bench {
    hoist: PathBuf,
    rounds: usize,
}

impl Bench {
    fn new() -> Self {
        let named = std::env::var_os("HOIST_BENCH_PROGRAM").map(PathBuf::from);
        let rounds = std::env::var("HOIST_BENCH_ROUNDS").ok().map(|text| text.parse().expect("a number"));
        Self {
            hoist: named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_hoist"))),
            rounds: rounds.unwrap_or(7),
        }
    }

    fn hoist(&self, arguments: &[&str]) -> Contender<'_> {
        let program = self.hoist.to_str().expect("its path is text");
        Contender::new("hoist", &[&[program], arguments].concat())
    }

    /// Start, read 20 targets, and list them; beside a program that does nothing.
    fn start(&self, targets: usize) {
        let directory = directory();
        let target = |at| format!("target \"t{at}\" about=\"Target {at}\" {{ run \"true\"; }}\n");
        let text: String = (0..targets).map(target).collect();
        fs::write(directory.path().join("release.kdl"), text).expect("a file can be written");
        let make: String = (0..targets).map(|at| format!("t{at}:\n\ttrue\n")).collect();
        fs::write(directory.path().join("Makefile"), make).expect("a file can be written");
        let what = format!("start and list, {targets} targets");
        let others =
            [Contender::new("true", &["true"]), Contender::new("make -qp", &["sh", "-c", "make -qp; true"])];
        self.compare(&directory, &what, "≤ 5 ms", self.hoist(&["--quiet"]), others);
    }

    /// Nothing to do.
    fn null(&self, steps: usize) {
        let directory = directory();
        Graph::new(steps).write(directory.path(), false);
        let what = format!("nothing to do, {steps} steps");
        let mut others = vec![Contender::new("ninja", &["ninja"])];
        if steps <= MAKE_BEARS {
            others.push(Contender::new("make", &["make", "-s"]));
        }
        others.retain(|other| available(&what, other));
        self.settle(&directory, &others);
        self.compare(&directory, &what, "≤ 1.0 × ninja, aim 0.6", self.hoist(&["run", "--quiet"]), others);
    }

    /// Nothing is there yet.
    fn cold(&self, steps: usize) {
        for scripts in [false, true] {
            let (directory, graph) = (directory(), Graph::new(steps));
            graph.write(directory.path(), scripts);
            let form = if scripts { "a script" } else { "program and arguments" };
            let what = format!("cold, {steps} `cp` at -j2, each {form}");
            let clear = |_| graph.clear(directory.path());
            let others = [Contender::new("ninja", &["ninja", "-j2", "--quiet"]).before(clear)];
            let hoist = self.hoist(&["run", "-j2", "--quiet"]).before(clear);
            self.compare(&directory, &what, "≤ 1.0 × ninja", hoist, others);
        }
    }

    /// One input changed, of which one step must run; beside nothing to do, too.
    fn one(&self, steps: usize) {
        let directory = directory();
        Graph::new(steps).write(directory.path(), false);
        let what = format!("one input changed, {steps} steps");
        let mut others = vec![
            self.hoist(&["run", "--quiet"]),
            Contender::new("ninja", &["ninja", "--quiet"])
                .before(|round| Graph::edit(directory.path(), round, "ninja")),
        ];
        others[0].name = "hoist with nothing to do";
        others.retain(|other| available(&what, other));
        self.settle(&directory, &others);
        let hoist =
            self.hoist(&["run", "--quiet"]).before(|round| Graph::edit(directory.path(), round, "hoist"));
        // The edit for ninja is not hoist's: what it needs of it is done before.
        let (root, line) = (directory.path(), self.hoist(&["run", "--quiet"]).line);
        others[0].before = Box::new(move |_| {
            run(root, &line);
        });
        self.compare(&directory, &what, "null run + 1 step", hoist, others);
    }

    /// Sleeps of very different lengths, of which hoist knows the lengths from an
    /// earlier run.
    fn makespan(&self, jobs: usize) {
        let (directory, sleeps) = (directory(), Sleeps::new());
        sleeps.write(directory.path());
        let jobs_flag = format!("-j{jobs}");
        let words = |round: usize| {
            let round = format!("round={round}");
            self.hoist(&["run", "--quiet", &jobs_flag, "all", &round]).line
        };
        run(directory.path(), &words(0));
        let walls: Vec<Runs> = (1..=self.rounds.min(3))
            .flat_map(|round| {
                let contender = Contender { name: "hoist", line: words(round), before: Box::new(|_| {}) };
                in_turns(directory.path(), 1, &[contender])
            })
            .collect();
        let runs = Runs::joined(walls);
        let bound = Duration::from_secs_f64(sleeps.bound(f64::from(u32::try_from(jobs).unwrap_or(1))));
        let what = format!("heavy-tailed sleeps at -j{jobs}, second run");
        against(&what, &runs, "max(critical path, work / jobs)", bound, "≤ 1.05");
        let ninja = Contender::new("ninja", &["ninja", "--quiet", &jobs_flag])
            .before(|_| drop(fs::remove_dir_all(directory.path().join("out"))));
        if available(&what, &ninja) {
            run(directory.path(), &ninja.line);
            let ninja = in_turns(directory.path(), self.rounds.min(3), &[ninja]).remove(0);
            line(&what, &runs, "ninja", &ninja, "");
        }
    }

    /// All outputs were deleted.
    fn restore(&self, steps: usize) {
        let directory = directory();
        let root = directory.path();
        Graph::new(steps).write(root, false);
        run(root, &self.hoist(&["run", "--quiet"]).line);
        run(root, &["cp".to_owned(), "-r".to_owned(), "out".to_owned(), "saved".to_owned()]);
        let gone = |_| fs::remove_dir_all(root.join("out")).expect("it was made");
        let what = format!("outputs of {steps} steps deleted, then restored");
        let others = [Contender::new("cp -r", &["cp", "-r", "saved", "out"]).before(gone)];
        self.compare(
            &directory,
            &what,
            "≤ 1.5 × cp -r",
            self.hoist(&["run", "--quiet"]).before(gone),
            others,
        );
    }

    /// A tree of which hoist knows nothing; the page cache knows it, for both.
    fn digest(&self, files: usize) {
        let directory = directory();
        let root = directory.path();
        let size = 25_000;
        let mut content: Vec<u8> = (0..size).map(|at: usize| at.to_le_bytes()[0]).collect();
        for at in 0..files {
            let below = root.join(format!("data/{}", at % 100));
            fs::create_dir_all(&below).expect("a directory can be made");
            content[..8].copy_from_slice(&(at as u64).to_le_bytes());
            fs::write(below.join(at.to_string()), &content).expect("a file can be written");
        }
        let text = "default \"read\"\ntarget \"read\" { run \"true\" \"\"; inputs \"data/**\"; }\n";
        fs::write(root.join("release.kdl"), text).expect("a file can be written");
        let what = format!("digests of {files} files, {} MB", files * size / 1_000_000);
        let forget = |_| {
            for known in [".hoist", "cache"] {
                let _ = fs::remove_dir_all(root.join(known));
            }
        };
        let others = [Contender::new("b3sum", &["sh", "-c", "find data -type f -print0 | xargs -0 b3sum"])];
        self.compare(
            &directory,
            &what,
            "≤ 1.2 × b3sum",
            self.hoist(&["run", "--quiet"]).before(forget),
            others,
        );
    }

    /// A step that writes very much.
    fn log(&self, megabytes: usize) {
        let directory = directory();
        let root = directory.path();
        let line = "0123456789abcdef".repeat(5);
        let writes = format!("yes {line} | head -c {megabytes}000000");
        let text = format!("default \"write\"\ntarget \"write\" {{ run \"{writes}\"; }}\n");
        fs::write(root.join("release.kdl"), text).expect("a file can be written");
        let script = format!("{{ {writes}; }} | cat > log");
        let clear = |_| {
            for known in [".hoist", "cache"] {
                let _ = fs::remove_dir_all(root.join(known));
            }
            let _ = fs::remove_file(root.join("log"));
        };
        let what = format!("a log of {megabytes} MB");
        let others = [Contender::new("cat > file", &["sh", "-c", &script]).before(clear)];
        let must = "≤ 1.25 (throughput ≥ 0.8), ≤ 64 MiB";
        self.compare(&directory, &what, must, self.hoist(&["run", "--quiet"]).before(clear), others);
    }

    /// Lets each build what the others built, until nobody finds something to do.
    fn settle(&self, directory: &TempDir, others: &[Contender<'_>]) {
        for _ in 0..2 {
            run(directory.path(), &self.hoist(&["run", "--quiet"]).line);
            for other in others {
                run(directory.path(), &other.line);
            }
        }
    }

    /// hoist and the others in turns; a line for each of the others.
    fn compare<'a>(
        &self,
        directory: &TempDir,
        what: &str,
        must: &str,
        hoist: Contender<'a>,
        others: impl IntoIterator<Item = Contender<'a>>,
    ) {
        let mut all = vec![hoist];
        all.extend(others.into_iter().filter(|other| available(what, other)));
        let runs = in_turns(directory.path(), self.rounds, &all);
        for (other, other_runs) in all.iter().zip(&runs).skip(1) {
            line(what, &runs[0], other.name, other_runs, must);
        }
    }
}

/// A new directory on the disk that the repository lies on.
fn directory() -> TempDir {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    fs::create_dir_all(&target).expect("a directory can be made");
    tempfile::Builder::new().prefix("bench-").tempdir_in(target).expect("a directory can be made")
}

/// Whether the programs of a line are installed; says so if not.
fn available(what: &str, contender: &Contender<'_>) -> bool {
    let words = contender.line.iter().flat_map(|word| word.split(' '));
    let there = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    };
    let known = ["ninja", "make", "b3sum", "pigz", "zstd", "buildah", "skopeo", "kustomize"];
    match words.into_iter().find(|word| known.contains(word) && !there(word)) {
        Some(missing) => {
            left_out(&format!("{what}, beside {}", contender.name), &format!("{missing} is not installed"));
            false
        }
        None => true,
    }
}
