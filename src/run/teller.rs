//! What a step that runs tells the run.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::plan::StepIndex;
use crate::run::Reason;
use crate::run::line::Line;
use crate::run::sandbox::Learned;

/// Lines of a failed step's output that its problem repeats.
const TAIL: usize = 20;

/// Most bytes of a step's output that are kept in the cache: what is behind
/// them stands in the record of the run alone.
const LOG: usize = 16 * 1024 * 1024;

/// Told by a step that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It has to run, for these reasons.
    Started(Vec<Reason>),
    /// It wrote these lines.
    Lines(Vec<Line>),
    /// It wrote these lines when it ran earlier.
    Replayed(Vec<Line>),
    /// It failed, and is tried again.
    Retried {
        /// The attempt that starts.
        attempt: u32,
        /// How many there may be.
        attempts: u32,
        /// How the last one failed.
        because: String,
    },
    /// There is something to know about it.
    Notice(String),
    /// It was watched, and this is what it reads and makes.
    Learned(Box<Learned>),
}

/// Tells of one step, and remembers what the step wrote.
#[derive(Debug)]
pub(super) struct Teller {
    step: StepIndex,
    channel: mpsc::Sender<(StepIndex, Told)>,
    tail: VecDeque<String>,
    log: Vec<u8>,
}

impl Teller {
    /// Nothing told yet.
    pub(super) const fn new(step: StepIndex, channel: mpsc::Sender<(StepIndex, Told)>) -> Self {
        Self { step, channel, tail: VecDeque::new(), log: Vec::new() }
    }

    /// Tells, and waits until there is room to.
    pub(super) async fn tell(&self, told: Told) {
        // Nobody listens any more once the run was given up.
        let _given_up = self.channel.send((self.step, told)).await;
    }

    /// Tells lines of output, and remembers them.
    pub(super) async fn lines(&mut self, lines: Vec<Line>) {
        if lines.is_empty() {
            return;
        }
        for line in &lines {
            if self.tail.len() == TAIL {
                self.tail.pop_front();
            }
            self.tail.push_back(String::from_utf8_lossy(&line.bytes).into_owned());
            if self.log.len() < LOG {
                line.write(&mut self.log);
            }
        }
        self.tell(Told::Lines(lines)).await;
    }

    /// Forgets the output of an attempt that failed, and the tail of it.
    pub(super) fn forget(&mut self) {
        self.tail.clear();
        self.log.clear();
    }

    /// The last lines that the step wrote.
    pub(super) fn tail(&self) -> Option<String> {
        let tail: Vec<&str> = self.tail.iter().map(String::as_str).collect();
        (!tail.is_empty()).then(|| tail.join("\n"))
    }

    /// All that the step wrote, as it is kept.
    pub(super) fn log(&self) -> &[u8] {
        &self.log
    }
}
