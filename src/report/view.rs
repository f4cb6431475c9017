//! The view of a run that fits where it is looked at.

use std::io;

use crate::diagnostic::{Problems, Sources};
use crate::report::writer::Writer;
use crate::report::{Dialect, Folded, Live, Look, Plain, render, status};
use crate::run::{Event, Followed, Happening, Stream};

/// One way to look at a run.
#[derive(Debug)]
pub enum View {
    /// On a terminal.
    Live(Live, Look, Followed),
    /// In a log.
    Plain(Plain, Look),
    /// In a log of a CI system that can be folded.
    Folded(Box<Folded>, Followed),
    /// As JSON lines on standard output.
    Json(Json),
}

/// Events as JSON lines.
#[derive(Debug)]
pub struct Json {
    writer: Writer,
    /// What steps write, as lines.
    followed: Followed,
}

impl View {
    /// The view for programs.
    #[must_use]
    pub fn json() -> Self {
        Self::Json(Json { writer: Writer::new(None), followed: Followed::default() })
    }

    /// The view on a terminal; see [`Live::new`].
    #[must_use]
    pub fn live(look: Look, verbose: bool, owners: Vec<String>) -> Self {
        Self::Live(Live::new(look, verbose, owners), look, Followed::default())
    }

    /// The view in a log; see [`Plain::new`].
    #[must_use]
    pub fn plain(look: Look, verbose: bool, quiet: bool, one: bool) -> Self {
        Self::Plain(Plain::new(look, verbose, quiet, one), look)
    }

    /// The view in a log of CI; see [`Folded::new`].
    #[must_use]
    pub fn folded(dialect: Dialect, look: Look, verbose: bool, above: String) -> Self {
        Self::Folded(Box::new(Folded::new(dialect, look, verbose, above)), Followed::default())
    }

    /// Tells what happened.
    pub fn see(&mut self, event: &Event) {
        // What an earlier run wrote is read only if it is shown.
        let unseen = |verbose: bool| match &event.what {
            Happening::Written(written) => written.replayed && !verbose,
            _ => false,
        };
        match self {
            Self::Live(live, ..) if unseen(live.is_verbose()) => {}
            Self::Folded(folded, _) if unseen(folded.is_verbose()) => {}
            Self::Live(live, _, followed) => followed.see(event, &mut |event| live.see(event)),
            Self::Plain(plain, _) => plain.see(event),
            Self::Folded(folded, followed) => followed.see(event, &mut |event| folded.see(event)),
            Self::Json(Json { writer, followed }) => followed.see(event, &mut |event| {
                // An event holds nothing that JSON cannot.
                let line = serde_json::to_string(event).unwrap_or_default() + "\n";
                match event.what {
                    Happening::Output(_) => writer.write_soon(Stream::Stdout, &line),
                    _ => writer.write(Stream::Stdout, &line),
                }
            }),
        }
    }

    /// Tells what is wrong, after the last event, and why some of what was asked
    /// for could not be written, if so. Events tell of problems themselves.
    #[must_use]
    pub fn close(self, problems: &Problems, sources: &Sources) -> Option<io::Error> {
        match self {
            Self::Live(live, look, _) => {
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
            Self::Folded(folded, _) => folded.close(problems, sources),
            Self::Json(Json { writer, .. }) => writer.close(),
        }
    }
}

fn show(problems: &Problems, sources: &Sources, look: Look) {
    if !problems.is_empty() {
        status(&render(problems, sources, look));
    }
}
