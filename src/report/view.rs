//! The view of a run that fits where it is looked at.

use std::io;

use crate::report::{Live, Look, Plain, output};
use crate::run::{Event, Followed, Happening};

/// One way to look at a run.
#[derive(Debug)]
pub enum View {
    /// On a terminal.
    Live(Live, Followed),
    /// In a log.
    Plain(Plain),
    /// As JSON lines on standard output.
    Json {
        /// What steps write, as lines.
        followed: Followed,
        /// Why standard output could not be written, the first time.
        lost: Option<io::Error>,
    },
}

impl View {
    /// The view for programs.
    #[must_use]
    pub fn json() -> Self {
        Self::Json { followed: Followed::default(), lost: None }
    }

    /// The view on a terminal; see [`Live::new`].
    #[must_use]
    pub fn live(look: Look, verbose: bool, owners: Vec<String>) -> Self {
        Self::Live(Live::new(look, verbose, owners), Followed::default())
    }

    /// The view in a log; see [`Plain::new`].
    #[must_use]
    pub fn plain(look: Look, verbose: bool, quiet: bool) -> Self {
        Self::Plain(Plain::new(look, verbose, quiet))
    }

    /// Tells what happened.
    pub fn see(&mut self, event: &Event) {
        match self {
            Self::Live(live, followed) => match &event.what {
                // What an earlier run wrote is read only if it is shown.
                Happening::Written(written) if written.replayed && !live.is_verbose() => {}
                _ => followed.see(event, &mut |event| live.see(event)),
            },
            Self::Plain(plain) => plain.see(event),
            Self::Json { followed, lost } => followed.see(event, &mut |event| {
                let line = serde_json::to_string(event).map_err(io::Error::other);
                let written = line.and_then(|line| output(&format!("{line}\n")));
                *lost = lost.take().or(written.err());
            }),
        }
    }

    /// Why some of what was asked for could not be written, if so.
    #[must_use]
    pub const fn lost(&self) -> Option<&io::Error> {
        match self {
            Self::Live(live, _) => live.lost(),
            Self::Plain(plain) => plain.lost(),
            Self::Json { lost, .. } => lost.as_ref(),
        }
    }
}
