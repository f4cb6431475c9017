//! The view of a run that fits where it is looked at.

use std::io;

use crate::diagnostic::{Problems, Sources};
use crate::report::{Dialect, Folded, Live, Look, Plain, output, render, status};
use crate::run::Event;

/// One way to look at a run.
#[derive(Debug)]
pub enum View {
    /// On a terminal.
    Live(Live, Look),
    /// In a log.
    Plain(Plain, Look),
    /// In a log of a CI system that can be folded.
    Folded(Folded),
    /// As JSON lines on standard output.
    Json {
        /// Why standard output could not be written, the first time.
        lost: Option<io::Error>,
    },
}

impl View {
    /// The view on a terminal; see [`Live::new`].
    #[must_use]
    pub fn live(look: Look, verbose: bool, owners: Vec<String>) -> Self {
        Self::Live(Live::new(look, verbose, owners), look)
    }

    /// The view in a log; see [`Plain::new`].
    #[must_use]
    pub fn plain(look: Look, verbose: bool, quiet: bool) -> Self {
        Self::Plain(Plain::new(look, verbose, quiet), look)
    }

    /// The view in a log of CI; see [`Folded::new`].
    #[must_use]
    pub fn folded(dialect: Dialect, look: Look, verbose: bool, above: String) -> Self {
        Self::Folded(Folded::new(dialect, look, verbose, above))
    }

    /// Tells what happened.
    pub fn see(&mut self, event: &Event) {
        match self {
            Self::Live(live, _) => live.see(event),
            Self::Plain(plain, _) => plain.see(event),
            Self::Folded(folded) => folded.see(event),
            Self::Json { lost } => {
                let line = serde_json::to_string(event).map_err(io::Error::other);
                let written = line.and_then(|line| output(&format!("{line}\n")));
                *lost = lost.take().or(written.err());
            }
        }
    }

    /// Tells what is wrong, after the last event, and why some of what was asked
    /// for could not be written, if so. Events tell of problems themselves.
    #[must_use]
    pub fn close(self, problems: &Problems, sources: &Sources) -> Option<io::Error> {
        match self {
            Self::Live(live, look) => {
                let lost = live.lost();
                // What stands on the terminal is taken away before.
                drop(live);
                show(problems, sources, look);
                lost
            }
            Self::Plain(plain, look) => {
                show(problems, sources, look);
                plain.into_lost()
            }
            Self::Folded(mut folded) => {
                folded.close(problems, sources);
                folded.into_lost()
            }
            Self::Json { lost } => lost,
        }
    }
}

fn show(problems: &Problems, sources: &Sources, look: Look) {
    if !problems.is_empty() {
        status(&render(problems, sources, look));
    }
}
