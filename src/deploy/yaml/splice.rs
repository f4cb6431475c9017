//! The edit of some bytes of a text.

use std::ops::Range;

use crate::deploy::yaml::{Node, Tree};

/// What is put in the place of what.
#[derive(Debug, Default)]
pub(in crate::deploy) struct Splices(Vec<(Range<usize>, String)>);

impl Splices {
    /// Puts a text in the place of some bytes; of none, to insert it.
    pub(in crate::deploy) fn put(&mut self, at: Range<usize>, text: impl Into<String>) {
        self.0.push((at, text.into()));
    }

    /// The text with all of it done, if it means then what it is to mean.
    ///
    /// # Errors
    /// It would mean something else: the text is written in a way in which it cannot be
    /// edited without a change of something else.
    pub(in crate::deploy) fn apply(mut self, text: &str, meant: &Tree) -> Result<String, String> {
        self.0.sort_by_key(|(at, _)| at.start);
        let (mut edited, mut done) = (String::with_capacity(text.len() + 64), 0);
        for (at, new) in &self.0 {
            edited.push_str(text.get(done..at.start).unwrap_or_default());
            edited.push_str(new);
            done = at.end.max(done);
        }
        edited.push_str(text.get(done..).unwrap_or_default());
        match Tree::read(&edited) {
            Ok(tree) if tree.is_same(meant) => Ok(edited),
            _ => Err("it is written in a way that cannot be edited without touching other parts".to_owned()),
        }
    }
}

/// How lines of a text end: as its first one does.
pub(in crate::deploy) fn line_end(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// The byte behind the line that another byte stands in, and whether the line ends.
pub(in crate::deploy) fn line_after(text: &str, at: usize) -> (usize, bool) {
    match text.get(at..).and_then(|rest| rest.find('\n')) {
        Some(length) => (at + length + 1, true),
        None => (text.len(), false),
    }
}

/// Lines, each without its end, that are put behind the line of a byte.
pub(in crate::deploy) fn lines_behind(text: &str, at: usize, lines: &[String]) -> (usize, String) {
    let end = line_end(text);
    let (place, ended) = line_after(text, at);
    let joined = lines.join(end);
    (place, if ended || place == 0 { format!("{joined}{end}") } else { format!("{end}{joined}") })
}

/// The column of a byte, if nothing but spaces and the dashes of lists stands before it.
pub(in crate::deploy) fn indent(text: &str, node: &Node) -> Option<usize> {
    let start = text[..node.span.start].rfind('\n').map_or(0, |at| at + 1);
    let before = &text[start..node.span.start];
    before.chars().all(|c| matches!(c, ' ' | '-')).then_some(before.len())
}
