//! The lines of a text that a problem points at, cut to fit beside their numbers.

use std::ops::Range;

use console::measure_text_width;
use miette::{LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use crate::report::diagnostic::{harmless, wrapped};

/// Lines around a place that are shown, too.
const CONTEXT: usize = 1;

/// Columns before a place that are left of a line that is cut before it.
const LEAD: usize = 12;

/// Columns that a tab takes at most.
const TAB: usize = 4;

/// Columns between the middle of a place and what is said of it.
const ARROW: usize = 4;

/// Columns that what is said of a place gets at least, if it needs them.
const SAID: usize = 30;

/// Some lines of a text, no wider than there is room.
#[derive(Debug)]
pub(super) struct Excerpt {
    name: String,
    text: String,
    /// How many lines of the whole text come before it.
    before: usize,
    lines: Vec<Line>,
}

/// A line of an excerpt.
#[derive(Debug)]
struct Line {
    /// Where it begins in the text of the excerpt.
    start: usize,
    /// How many characters its beginning lacks.
    hidden: usize,
}

impl Excerpt {
    /// Cuts what the labels point at out of a text that is shown `width` columns wide,
    /// and moves the labels, each of which lies on one line. `mark` stands for what is
    /// left out of a line.
    pub(super) fn new(
        name: String,
        text: &str,
        labels: &mut [LabeledSpan],
        width: usize,
        mark: &str,
    ) -> Self {
        let starts: Vec<usize> =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let line_of = |label: &LabeledSpan| starts.partition_point(|start| *start <= label.offset()) - 1;
        let at: Vec<usize> = labels.iter().map(line_of).collect();
        let first = at.iter().min().map_or(0, |first| first.saturating_sub(CONTEXT));
        let last = at.iter().max().map_or(0, |last| last + CONTEXT);
        // ` 12 │ `
        let room = width.saturating_sub((last + 1).to_string().len() + 4);
        let mut excerpt = Self { name, text: String::new(), before: first, lines: Vec::new() };
        let lines = starts.iter().enumerate().zip(text.split('\n')).take(last + 1).skip(first);
        for ((index, start), line) in lines {
            // Nothing can be drawn behind the last line break.
            if index > 0 && *start == text.len() {
                break;
            }
            // What else is taken for a line break than the end of a line would count.
            let line = harmless(line.strip_suffix('\r').unwrap_or(line)).replace('\r', " ");
            let mut here: Vec<&mut LabeledSpan> =
                labels.iter_mut().zip(&at).filter(|(_, at)| **at == index).map(|(label, _)| label).collect();
            let places: Vec<Place> = here.iter().map(|label| Place::of(&line, label, *start)).collect();
            let window = Window::of(&line, &places, room, measure_text_width(mark));
            let at = excerpt.text.len();
            excerpt.lines.push(Line { start: at, hidden: window.draw(&line, mark, &mut excerpt.text) });
            for (label, place) in here.iter_mut().zip(&places) {
                let (from, length) = window.moved(&line, place, mark, room);
                let drawn = excerpt.text.get(at..at + from + length).unwrap_or_default();
                let middle = columns(drawn.get(..from).unwrap_or_default())
                    + columns(drawn.get(from..).unwrap_or_default()) / 2;
                let width = room.saturating_sub(middle + ARROW).max(SAID);
                let said = label.label().map(|said| wrapped(said, width).trim_end().to_owned());
                **label = labelled(label.primary(), said, at + from..at + from + length);
            }
            excerpt.text.push('\n');
        }
        excerpt
    }
}

fn labelled(primary: bool, said: Option<String>, at: Range<usize>) -> LabeledSpan {
    if primary { LabeledSpan::new_primary_with_span(said, at) } else { LabeledSpan::new_with_span(said, at) }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let found = self.text.read_span(span, before, after)?;
        let line = self.lines.get(found.line());
        // Only the place itself is told by its column.
        let column = line.filter(|_| before == 0).map_or(0, |line| {
            let shown = self.text.get(line.start..span.offset()).unwrap_or_default();
            shown.chars().count() + line.hidden
        });
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            found.data(),
            *found.span(),
            self.before + found.line(),
            column,
            self.before + found.line_count(),
        )))
    }
}

/// A place on a line, in bytes and in columns.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: usize,
    end: usize,
    left: usize,
    right: usize,
    /// Columns of what is said of it, as far as they have to be beside it.
    said: usize,
}

impl Place {
    fn of(line: &str, label: &LabeledSpan, line_start: usize) -> Self {
        let start = (label.offset() - line_start).min(line.len());
        let end = (start + label.len()).min(line.len());
        let column = |at: usize| columns(line.get(..at).unwrap_or_default());
        let said = label.label().map_or(0, measure_text_width).min(SAID);
        Self { start, end, left: column(start), right: column(end), said }
    }

    /// Columns that are needed to draw it and what is said of it.
    const fn reach(&self) -> usize {
        let said = self.left + (self.right - self.left) / 2 + ARROW + self.said;
        if said > self.right { said } else { self.right }
    }
}

/// The part of a line that is shown, in bytes.
#[derive(Clone, Copy, Debug)]
struct Window {
    start: usize,
    end: usize,
}

impl Window {
    /// The part that shows where the places begin, and of each as much as there is room
    /// for.
    fn of(line: &str, places: &[Place], room: usize, mark: usize) -> Self {
        if columns(line) <= room {
            return Self { start: 0, end: line.len() };
        }
        let reach = places.iter().map(Place::reach).max().unwrap_or(0);
        let left = places.iter().map(|place| place.left).min().unwrap_or(0);
        let hidden = match reach.saturating_sub(room.saturating_sub(mark)) {
            0 => 0,
            // Its own mark takes room, too.
            more => (more + mark).min(left.saturating_sub(LEAD)),
        };
        let start = if hidden > mark { byte_at(line, hidden) } else { 0 };
        let room = if start > 0 { room.saturating_sub(mark) } else { room };
        let rest = line.get(start..).unwrap_or_default();
        let end =
            if columns(rest) <= room { line.len() } else { start + byte_at(rest, room.saturating_sub(mark)) };
        Self { start, end }
    }

    /// Appends the part, with marks for what is left out; how many characters are
    /// missing at its beginning.
    fn draw(&self, line: &str, mark: &str, to: &mut String) -> usize {
        let mut hidden = 0;
        if self.start > 0 {
            to.push_str(mark);
            let before = line.get(..self.start).unwrap_or_default();
            hidden = before.chars().count().saturating_sub(mark.chars().count());
        }
        to.push_str(line.get(self.start..self.end).unwrap_or_default());
        if self.end < line.len() {
            to.push_str(mark);
        }
        hidden
    }

    /// Where a place lies in what is drawn, and how long it is there: not so long that
    /// what is said of its middle would have no room.
    fn moved(&self, line: &str, place: &Place, mark: &str, room: usize) -> (usize, usize) {
        let before = if self.start > 0 { mark.len() } else { 0 };
        let start = place.start.clamp(self.start, self.end);
        let mut end = place.end.clamp(start, self.end);
        let shown = |to: usize| columns(line.get(start..to).unwrap_or_default());
        if self.end < line.len() || self.start > 0 {
            let left = columns(line.get(self.start..start).unwrap_or_default()) + measure_text_width(mark);
            let longest = room.saturating_sub(left + ARROW + place.said).saturating_mul(2).max(1);
            if shown(end) > longest {
                let drawn = line.get(start..end).unwrap_or_default();
                let first = drawn.chars().next().map_or(0, char::len_utf8);
                end = start + byte_at(drawn, longest).max(first);
            }
        }
        (before + start - self.start, end - start)
    }
}

/// Columns that a text takes at most.
fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

fn width(character: char) -> usize {
    match character {
        '\t' => TAB,
        character => measure_text_width(character.encode_utf8(&mut [0; 4])),
    }
}

/// Where the character begins that would go beyond a column.
fn byte_at(text: &str, column: usize) -> usize {
    let mut taken = 0;
    for (at, character) in text.char_indices() {
        taken += width(character);
        if taken > column {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diagnostic::{Code, Problem, Sources, Span};
    use crate::report::{Look, render};

    const LOOK: Look = Look { unicode: true, width: 60, ..Look::PLAIN };

    fn shown(text: &str, at: usize, length: usize, said: &str) -> String {
        let mut sources = Sources::new();
        let id = sources.add("release.kdl", text);
        let problem = Problem::new(Code::CommandFailed, "no").label(Span::new(id, at..at + length), said);
        render(&problem.into(), &sources, LOOK)
    }

    #[test]
    fn of_a_long_line_what_is_meant_is_shown_with_its_column() {
        let word = "abcdefghi ";
        let text = format!("project \"x\"\n{}here{}\n{}\n", word.repeat(20), word.repeat(3), word.repeat(9));
        let expected = "hoist::run::command_failed

  × no
   ╭─[release.kdl:2:201]
 1 │ project \"x\"
 2 │ …ghi abcdefghi abcdefghi abcdefghi hereabcdefghi abcde…
   ·                                    ──┬─
   ·                                      ╰── it is too far
 3 │ abcdefghi abcdefghi abcdefghi abcdefghi abcdefghi abcd…
   ╰────
";
        assert_eq!(shown(&text, text.find("here").unwrap(), 4, "it is too far"), expected);
        let expected = "hoist::run::command_failed

  × no
   ╭─[release.kdl:2:201]
 1 │ project \"x\"
 2 │ …ghi abcdefghi hereabcdefghi abcdefghi abcdefghi
   ·                ─────────────────┬────────────────
   ·                                 ╰── all the rest of it
 3 │ abcdefghi abcdefghi abcdefghi abcdefghi abcdefghi abcd…
   ╰────
";
        assert_eq!(shown(&text, text.find("here").unwrap(), 34, "all the rest of it"), expected);
    }

    proptest! {
        #[test]
        fn whatever_is_meant_fits_and_begins_where_it_does(
            words in proptest::collection::vec("[a-z日\\t é]{1,40}", 1..12),
            at in any::<prop::sample::Index>(),
            length in 1usize..60,
            said in "[a-z]{0,20}",
        ) {
            let line = words.concat();
            let starts: Vec<usize> = line.char_indices().map(|(start, _)| start).collect();
            let start = starts[at.index(starts.len())];
            let end = line.ceil_char_boundary((start + length).min(line.len()));
            let text = format!("first\n{line}\nlast\n");
            let span = 6 + start..6 + end;
            let mut labels = [LabeledSpan::new_primary_with_span(Some(said), span.clone())];
            let excerpt = Excerpt::new("x".to_owned(), &text, &mut labels, LOOK.width, "…");
            let [label] = labels;
            let moved = &excerpt.text[label.offset()..label.offset() + label.len()];
            prop_assert!(!moved.is_empty() && text[span.clone()].starts_with(moved), "{moved:?} {excerpt:?}");
            for line in excerpt.text.lines() {
                prop_assert!(columns(line) <= LOOK.width - 5, "{line:?}");
            }
            let place = excerpt.read_span(label.inner(), 0, 0).unwrap();
            prop_assert_eq!((place.line(), place.column()), (1, line[..start].chars().count()));
        }
    }
}
