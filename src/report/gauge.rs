//! How far a copy has come, on one line that is written over.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::diagnostic::bytes;
use crate::report::{Look, Paint, status};
use crate::store::Progress;

/// How long a line stands at least: nobody reads faster, and terminals may be far away.
const STANDS: Duration = Duration::from_millis(100);

/// A line of a terminal that says how far a copy has come. It is gone when this is
/// dropped.
#[derive(Debug)]
pub struct Gauge {
    look: Look,
    drawn: Mutex<Option<Instant>>,
}

impl Gauge {
    /// A line that is drawn when there is something to say. Standard error must be a
    /// terminal.
    #[must_use]
    pub const fn new(look: Look) -> Self {
        Self { look, drawn: Mutex::new(None) }
    }

    /// Says how far the copy to a place has come. What comes too soon after the last is
    /// left out.
    pub fn see(&self, place: &str, progress: Progress) {
        let now = Instant::now();
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.is_none_or(|drawn| now.duration_since(drawn) >= STANDS) {
            *drawn = Some(now);
            status(&format!("\r\u{1b}[K{}", line(place, progress, self.look)));
        }
    }

    /// Takes the line away, until there is something to say again.
    pub fn clear(&self) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.take().is_some() {
            status("\r\u{1b}[K");
        }
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A line that no terminal breaks: its last column stays free.
fn line(place: &str, Progress { done, total }: Progress, look: Look) -> String {
    let percent = (u128::from(done) * 100).checked_div(u128::from(total)).unwrap_or(100);
    let sum = format!("{percent:>3}%  {} of {}  ", bytes(done), bytes(total));
    let room = look.width.saturating_sub(sum.len() + 1);
    format!("{sum}{}", look.paint(Paint::Name, &look.cut_amid(&look.tame(place), room)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_of_what_is_where_and_fits() {
        let look = Look { width: 40, ..Look::PLAIN };
        let text =
            line("ghcr.io/acme/a-very-long-name/web:1.2", Progress { done: 5_000, total: 20_000 }, look);
        assert!(text.starts_with(" 25%  5.0 kB of 20.0 kB  gh"), "{text}");
        assert!(text.len() == 39 && text.ends_with("web:1.2"), "{text}");
        assert!(line("x", Progress::default(), look).starts_with("100%"));
    }
}
