//! The view of a run that fits where it is looked at.

use crate::report::{Live, Look, Plain, output};
use crate::run::Event;

/// One way to look at a run.
#[derive(Debug)]
pub enum View {
    /// On a terminal.
    Live(Live),
    /// In a log.
    Plain(Plain),
    /// As JSON lines on standard output.
    Json,
}

impl View {
    /// The view on a terminal; see [`Live::new`].
    #[must_use]
    pub fn live(look: Look, verbose: bool, owners: Vec<String>) -> Self {
        Self::Live(Live::new(look, verbose, owners))
    }

    /// The view in a log; see [`Plain::new`].
    #[must_use]
    pub fn plain(look: Look, verbose: bool, quiet: bool) -> Self {
        Self::Plain(Plain::new(look, verbose, quiet))
    }

    /// Tells what happened.
    pub fn see(&mut self, event: &Event) {
        match self {
            Self::Live(live) => live.see(event),
            Self::Plain(plain) => plain.see(event),
            Self::Json => {
                if let Ok(line) = serde_json::to_string(event) {
                    // Nobody is left to tell that standard output went away.
                    drop(output(&format!("{line}\n")));
                }
            }
        }
    }
}
