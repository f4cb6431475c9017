//! The view of a run that fits where it is looked at.

use std::io;

use crate::diagnostic::{Problems, Sources};
use crate::report::writer::Writer;
use crate::report::{Dialect, Folded, Live, Look, Plain, render, status};
use crate::run::{Event, Happening, Stream};

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
    Json(Json),
}

/// Events as JSON lines.
#[derive(Debug)]
pub struct Json {
    writer: Writer,
}

impl View {
    /// The view for programs.
    #[must_use]
    pub fn json() -> Self {
        Self::Json(Json { writer: Writer::new(None) })
    }

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
            Self::Json(Json { writer }) => {
                // An event holds nothing that JSON cannot.
                let line = serde_json::to_string(event).unwrap_or_default() + "\n";
                match event.what {
                    Happening::Output(_) => writer.write_soon(Stream::Stdout, &line),
                    _ => writer.write(Stream::Stdout, &line),
                }
            }
        }
    }

    /// Tells what is wrong, after the last event, and why some of what was asked
    /// for could not be written, if so. Events tell of problems themselves.
    #[must_use]
    pub fn close(self, problems: &Problems, sources: &Sources) -> Option<io::Error> {
        match self {
            Self::Live(live, look) => {
                let (closing, lost) = live.close();
                show(problems, sources, look);
                // Below all that is wrong, where one looks first.
                status(&closing);
                lost
            }
            Self::Plain(plain, look) => {
                let lost = plain.close();
                show(problems, sources, look);
                lost
            }
            Self::Folded(folded) => folded.close(problems, sources),
            Self::Json(Json { writer }) => writer.close(),
        }
    }
}

fn show(problems: &Problems, sources: &Sources, look: Look) {
    if !problems.is_empty() {
        status(&render(problems, sources, look));
    }
}
