//! Whatever happens to a project, a run leaves what a build from nothing would,
//! and runs nothing that need not run.
//!
//! Stories of random events (see `event`) happen to two checkouts of a random
//! project that share a cache; an oracle interprets the same scripts in-process
//! and knows what has to lie there after each run. A story comes from its seed.
//! One that ends badly is made shorter, as far as it still ends so, and told.
//!
//! `HOIST_MODEL_ROUNDS` says how many runs there are in all, `HOIST_MODEL_SEED`
//! with which seed they begin, `HOIST_MODEL_PROGRAM` names another hoist.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "tests make their own world, and one that cannot go on has failed"
)]

mod damage;
mod event;
mod image;
mod oracle;
mod project;
mod random;
mod tree;
mod world;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::event::{CHECKOUTS, Event};
use crate::project::Project;
use crate::random::Random;
use crate::world::{Program, World};

/// Runs in a story.
const LENGTH: usize = 40;
/// Runs in all, unless something else is asked for.
const ROUNDS: usize = 800;
/// How often a story that ends badly is tried with parts left out.
const TRIES: usize = 150;

/// How a story ended badly: at which event, and how.
struct Ending {
    at: usize,
    why: String,
    text: String,
}

/// Tells a story to its bad end, if it has one.
fn tell(program: &Program, project: &Project, events: &[Event]) -> Option<Ending> {
    let mut world = World::new(program, project);
    events.iter().enumerate().find_map(|(at, event)| {
        let why = world.happen(event).err()?;
        let Event::Run(calls) = event else { return None };
        let checkouts: BTreeSet<usize> = calls.iter().map(|call| call.checkout).collect();
        let text = checkouts.iter().map(|at| format!("{}/release.kdl:\n{}", CHECKOUTS[*at], world.text(*at)));
        Some(Ending { at, why, text: text.collect() })
    })
}

/// Leaves events out as long as the story still ends badly.
fn shorten(
    program: &Program,
    project: &Project,
    mut events: Vec<Event>,
    mut ending: Ending,
) -> (Vec<Event>, Ending) {
    let mut tries = 0;
    events.truncate(ending.at + 1);
    let mut size = events.len().div_ceil(2);
    while tries < TRIES {
        let mut at = 0;
        while at + size < events.len() && tries < TRIES {
            let mut fewer = events.clone();
            fewer.drain(at..at + size);
            tries += 1;
            match tell(program, project, &fewer) {
                Some(shorter) => {
                    fewer.truncate(shorter.at + 1);
                    (events, ending) = (fewer, shorter);
                }
                None => at += size,
            }
        }
        if size == 1 {
            break;
        }
        size = size.div_ceil(2);
    }
    (events, ending)
}

/// What happens to a project from one seed; the story of its bad end.
fn story(program: &Program, seed: u64, rounds: usize) -> Result<(), String> {
    let mut random = Random::new(seed);
    let project = event::project(&mut random);
    let events = event::story(&mut random, rounds);
    let Some(ending) = tell(program, &project, &events) else { return Ok(()) };
    let (events, ending) = shorten(program, &project, events, ending);
    let mut told = format!("HOIST_MODEL_SEED={seed} ends badly:\n{}\n", ending.why);
    for event in &events {
        let _ = writeln!(told, "  {event:?}");
    }
    Err(told + &ending.text)
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn whatever_happens_a_run_leaves_what_a_build_from_nothing_would() {
    let program = std::env::var_os("HOIST_MODEL_PROGRAM")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_hoist")), PathBuf::from);
    let program = Program::new(program);
    if !program.has_sandbox {
        assert!(std::env::var_os("HOIST_TEST_REQUIRE").is_none(), "the kernel has no sandbox");
        let _ = writeln!(std::io::stderr(), "LEFT OUT: runs with `--sandbox`: the kernel has none");
    }
    let rounds = number("HOIST_MODEL_ROUNDS", ROUNDS);
    let first = number("HOIST_MODEL_SEED", 1);
    let stories = rounds.div_ceil(LENGTH);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut ended = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= stories {
                return ended;
            }
            let seed = u64::try_from(first + at).expect("a seed");
            ended.extend(story(&program, seed, LENGTH.min(rounds)).err());
        }
    };
    let ended: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it ends")).collect()
    });
    assert!(ended.is_empty(), "{} of {stories} stories:\n{}", ended.len(), ended.join("\n\n"));
}
