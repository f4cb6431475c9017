//! What a step that runs tells the run.
#![expect(clippy::disallowed_methods, reason = "a log tells when its lines came")]

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::plan::StepIndex;
use crate::run::line::Written;
use crate::run::log::Log;
use crate::run::sandbox::Learned;
use crate::run::{Reason, Stream};

/// Lines of a failed step's output that its problem repeats.
const TAIL: usize = 20;

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
        Self { step, channel, log: Log::new(log), told: 0, lost: None }
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

    async fn tell_output(&mut self) {
        let (log, size) = self.log.written();
        if size > self.told {
            self.told = size;
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
    pub(super) fn into_parts(self) -> (Self, Log) {
        let Self { step, channel, log, told, lost } = self;
        let (path, _) = log.written();
        (Self { step, channel, log: Log::new(path), told, lost }, log)
    }
}
