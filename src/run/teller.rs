//! What a step that runs tells the run.
#![expect(clippy::disallowed_methods, reason = "a log tells when its lines came")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::plan::StepIndex;
use crate::run::line::Written;
use crate::run::log::Log;
use crate::run::sandbox::Learned;
use crate::run::{Reason, Stream};

/// Lines of a failed step's output that its problem repeats.
const TAIL: usize = 20;

/// How long something that a step wrote may wait to be told together with what follows:
/// one that writes without a pause is not told of each time.
const TOGETHER: Duration = Duration::from_millis(5);

/// Told by a step that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It has to run, for these reasons.
    Started(Vec<Reason>),
    /// What it wrote stands in this log, up to that byte.
    Wrote(Arc<Path>, u64),
    /// What it wrote when it ran earlier stands in this log, which has so many
    /// bytes.
    Replayed(Arc<Path>, u64),
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

/// Tells of one step, and keeps what the step writes.
#[derive(Debug)]
pub(super) struct Teller {
    step: StepIndex,
    channel: mpsc::Sender<(StepIndex, Told)>,
    log: Log,
    told: u64,
    /// When that was.
    told_at: Option<Instant>,
    /// Why output was lost, the first time; empty once that was told.
    lost: Option<String>,
}

impl Teller {
    /// Nothing told yet. What the step writes is kept in `log`.
    pub(super) const fn new(
        step: StepIndex,
        channel: mpsc::Sender<(StepIndex, Told)>,
        log: Arc<Path>,
    ) -> Self {
        Self { step, channel, log: Log::new(log), told: 0, told_at: None, lost: None }
    }

    /// Tells, and waits until there is room to.
    pub(super) async fn tell(&self, told: Told) {
        // Nobody listens any more once the run was given up.
        let _given_up = self.channel.send((self.step, told)).await;
    }

    /// Keeps the lines that ended in what was just written.
    pub(super) async fn take(&mut self, written: &mut Written) {
        let stream = written.stream;
        written.take(|bytes| self.keep(stream, bytes));
        self.tell_output().await;
    }

    /// Keeps the lines that ended in what was just written, and tells of them soon: see
    /// [`owed`](Self::owed).
    pub(super) async fn gather(&mut self, written: &mut Written) {
        let stream = written.stream;
        written.take(|bytes| self.keep(stream, bytes));
        if self.owed().is_some_and(|at| at <= Instant::now()) {
            self.tell_output().await;
        }
    }

    /// When [`tell_output`](Self::tell_output) is to be called, unless all is told.
    pub(super) fn owed(&self) -> Option<Instant> {
        let (_, size) = self.log.written();
        let is_lost = self.lost.as_ref().is_some_and(|error| !error.is_empty());
        let at = || self.told_at.map_or_else(Instant::now, |at| at + TOGETHER);
        (size > self.told || is_lost).then(at)
    }

    /// Keeps what was written of a line that has not ended.
    pub(super) async fn take_open(&mut self, written: &mut Written) {
        let stream = written.stream;
        written.take_open(|bytes| self.keep(stream, bytes));
        self.tell_output().await;
    }

    /// Keeps what is left at the end of a stream.
    pub(super) async fn finish(&mut self, written: &mut Written) {
        let stream = written.stream;
        written.finish(|bytes| self.keep(stream, bytes));
        self.tell_output().await;
    }

    /// On this thread: it waits for the disk only where that is full of what was
    /// not written yet, and then the step is to wait, too.
    fn keep(&mut self, stream: Stream, bytes: &[u8]) {
        if let Err(error) = self.log.write(stream, Timestamp::now(), bytes) {
            self.lost.get_or_insert_with(|| error.to_string());
        }
    }

    /// Tells of all that was written.
    pub(super) async fn tell_output(&mut self) {
        let (log, size) = self.log.written();
        if size > self.told {
            self.told = size;
            self.told_at = Some(Instant::now());
            self.tell(Told::Wrote(log, size)).await;
        }
        if let Some(error) = self.lost.as_mut().filter(|error| !error.is_empty()).map(std::mem::take) {
            self.tell(Told::Notice(format!("some of its output is lost: {error}"))).await;
        }
    }

    /// Whether some of what the step wrote is not in its log.
    pub(super) const fn has_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Begins a further attempt: the output of one that failed is not that of the
    /// step.
    pub(super) fn begin_attempt(&mut self) {
        self.log.begin_attempt();
    }

    /// The last lines that the step wrote.
    pub(super) fn tail(&self) -> Option<String> {
        self.log.tail(TAIL)
    }

    /// What can still tell, and what the step wrote.
    pub(super) fn into_parts(mut self) -> (Self, Log) {
        let (path, _) = self.log.written();
        let log = std::mem::replace(&mut self.log, Log::new(path));
        (self, log)
    }
}
