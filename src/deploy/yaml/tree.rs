//! The nodes of a YAML text with their places.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// Collections inside each other; more is no manifest.
const DEEPEST: usize = 128;

/// A text and its documents.
#[derive(Clone, Debug)]
pub(in crate::deploy) struct Tree {
    /// The documents, in order.
    pub(in crate::deploy) documents: Vec<Document>,
}

/// One document.
#[derive(Clone, Debug)]
pub(in crate::deploy) struct Document {
    /// What it holds; nothing is an empty scalar.
    pub(in crate::deploy) root: Node,
    /// The byte where it ends: where a marker stands, or the text ends.
    pub(in crate::deploy) end: usize,
}

/// A node and its place.
#[derive(Clone, Debug)]
pub(in crate::deploy) struct Node {
    /// Its bytes, without anchor and tag; those of a block end with its last child.
    pub(in crate::deploy) span: Range<usize>,
    /// Whether an anchor or a tag stands before it.
    pub(in crate::deploy) marked: bool,
    /// The number of its anchor; 0 where it has none.
    pub(in crate::deploy) anchor: usize,
    /// What it is.
    pub(in crate::deploy) kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(in crate::deploy) enum Kind {
    /// A text, as it is read.
    Scalar(String, Style),
    /// What an anchor named, by the number of the anchor.
    Alias(usize),
    /// A list; whether it is written in brackets.
    Sequence(Vec<Node>, bool),
    /// Keys and their values; whether it is written in braces.
    Mapping(Vec<(Node, Node)>, bool),
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::deploy) enum Style {
    Plain,
    Single,
    Double,
    /// `|` or `>`.
    Block,
}

impl Tree {
    /// Reads a text that begins with no byte order mark.
    ///
    /// # Errors
    /// It is not YAML: why, and where.
    pub(in crate::deploy) fn read(text: &str) -> Result<Self, String> {
        let places = Places::of(text);
        let mut reading = Reading { text, open: Vec::new(), documents: Vec::new(), root: None };
        let wrong = |error: ScanError| {
            let marker = error.marker();
            format!("line {}: {}", marker.line(), error.info())
        };
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(wrong)?;
            reading.take(event, &places.bytes(span))?;
        }
        Ok(Self { documents: reading.documents })
    }

    /// Whether another text means the same, however it is written.
    pub(in crate::deploy) fn is_same(&self, other: &Self) -> bool {
        self.documents.len() == other.documents.len()
            && self.documents.iter().zip(&other.documents).all(|(one, other)| one.root.is_same(&other.root))
    }
}

/// Where characters stand in a text.
enum Places {
    /// Each is one byte; how many there are.
    Ascii(usize),
    /// The first byte of each, and the end.
    Wide(Vec<usize>),
}

impl Places {
    fn of(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii(text.len());
        }
        let places = text.char_indices().map(|(at, _)| at);
        Self::Wide(places.chain([text.len()]).collect())
    }

    fn byte(&self, character: usize) -> usize {
        match self {
            Self::Ascii(length) => character.min(*length),
            Self::Wide(places) => places.get(character).or(places.last()).copied().unwrap_or_default(),
        }
    }

    fn bytes(&self, span: Span) -> Range<usize> {
        self.byte(span.start.index())..self.byte(span.end.index())
    }
}

/// A place without the anchor and the tag that it begins with.
fn behind_marks(text: &str, span: &Range<usize>, marked: bool) -> Range<usize> {
    let mut start = span.start;
    while marked && text[start..].starts_with(['&', '!']) {
        let mark = text[start..].find(char::is_whitespace).unwrap_or(text.len() - start);
        let behind = &text[start + mark..];
        start += mark + behind.len() - behind.trim_start().len();
    }
    start..span.end.max(start)
}

/// A place without what the parser counts to a scalar that stands behind it.
fn scalar(text: &str, span: Range<usize>, style: Style) -> Range<usize> {
    let written = text.get(span.clone()).unwrap_or_default();
    let length = match style {
        Style::Plain => written.trim_end().len(),
        Style::Block => written.len(),
        Style::Single => {
            let mut quotes =
                written.char_indices().skip(1).filter(|(_, c)| *c == '\'').map(|(at, _)| at).peekable();
            loop {
                match (quotes.next(), quotes.peek()) {
                    (Some(at), Some(next)) if *next == at + 1 => drop(quotes.next()),
                    (Some(at), _) => break at + 1,
                    (None, _) => break written.len(),
                }
            }
        }
        Style::Double => {
            let mut escaped = false;
            let end = written.char_indices().skip(1).find(|(_, c)| {
                let closes = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                closes
            });
            end.map_or(written.len(), |(at, _)| at + 1)
        }
    };
    span.start..span.start + length
}

/// What was read so far.
struct Reading<'a> {
    text: &'a str,
    /// Collections that have not ended, with the key that waits for its value.
    open: Vec<(Node, Option<Node>)>,
    root: Option<Node>,
    documents: Vec<Document>,
}

impl Reading<'_> {
    fn take(&mut self, event: Event<'_>, span: &Range<usize>) -> Result<(), String> {
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::Single,
                    ScalarStyle::DoubleQuoted => Style::Double,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                let marked = anchor != 0 || tag.is_some();
                let span = scalar(self.text, behind_marks(self.text, span, marked), style);
                self.put(Node { span, marked, anchor, kind: Kind::Scalar(value.into_owned(), style) });
            }
            Event::Alias(anchor) => {
                let kind = Kind::Alias(anchor);
                self.put(Node { span: span.clone(), marked: false, anchor: 0, kind });
            }
            Event::SequenceStart(anchor, tag) => {
                let marked = anchor != 0 || tag.is_some();
                let span = behind_marks(self.text, span, marked);
                let flow = self.text[span.start..].starts_with('[');
                self.begin(Node { span, marked, anchor, kind: Kind::Sequence(Vec::new(), flow) })?;
            }
            Event::MappingStart(anchor, tag) => {
                let marked = anchor != 0 || tag.is_some();
                let span = behind_marks(self.text, span, marked);
                let flow = self.text[span.start..].starts_with('{');
                self.begin(Node { span, marked, anchor, kind: Kind::Mapping(Vec::new(), flow) })?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((mut node, _)) = self.open.pop() {
                    node.close(span);
                    self.put(node);
                }
            }
            Event::DocumentEnd => {
                let empty = Kind::Scalar(String::new(), Style::Plain);
                let empty = Node { span: span.start..span.start, marked: false, anchor: 0, kind: empty };
                let root = self.root.take().unwrap_or(empty);
                self.documents.push(Document { root, end: span.start });
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
        }
        Ok(())
    }

    fn begin(&mut self, node: Node) -> Result<(), String> {
        if self.open.len() >= DEEPEST {
            return Err(format!("it is nested deeper than {DEEPEST} levels"));
        }
        self.open.push((node, None));
        Ok(())
    }

    fn put(&mut self, node: Node) {
        let Some((parent, waiting)) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut parent.kind {
            Kind::Sequence(items, _) => items.push(node),
            Kind::Mapping(entries, _) => match waiting.take() {
                Some(key) => entries.push((key, node)),
                None => *waiting = Some(node),
            },
            Kind::Scalar(..) | Kind::Alias(_) => {}
        }
    }
}

impl Node {
    /// The end of a collection: of one in brackets where they close.
    fn close(&mut self, span: &Range<usize>) {
        let last = match &self.kind {
            Kind::Sequence(_, true) | Kind::Mapping(_, true) => span.start + 1,
            Kind::Sequence(items, false) => items.last().map_or(self.span.end, |item| item.span.end),
            Kind::Mapping(entries, false) => {
                entries.last().map_or(self.span.end, |(key, value)| value.span.end.max(key.span.end))
            }
            Kind::Scalar(..) | Kind::Alias(_) => self.span.end,
        };
        self.span.end = last.max(self.span.start);
    }

    /// A text of its own, nowhere written yet.
    pub(in crate::deploy) fn made(value: &str) -> Self {
        let kind = Kind::Scalar(value.to_owned(), Style::Double);
        Self { span: 0..0, marked: false, anchor: 0, kind }
    }

    /// Its text, if it is a scalar.
    pub(in crate::deploy) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(value, _) => Some(value),
            _ => None,
        }
    }

    /// Whether nothing is written in its place.
    pub(in crate::deploy) fn is_nothing(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(value, Style::Plain) if value.is_empty() && !self.marked)
    }

    /// The place of a key among the entries of a mapping.
    pub(in crate::deploy) fn position(&self, key: &str) -> Option<usize> {
        let Kind::Mapping(entries, _) = &self.kind else { return None };
        entries.iter().position(|(known, _)| known.text() == Some(key))
    }

    /// The value of a key of a mapping.
    pub(in crate::deploy) fn get(&self, key: &str) -> Option<&Self> {
        let Kind::Mapping(entries, _) = &self.kind else { return None };
        entries.iter().find(|(known, _)| known.text() == Some(key)).map(|(_, value)| value)
    }

    /// The child at a place: an item of a list, or the value of an entry.
    pub(in crate::deploy) fn child(&self, at: usize) -> Option<&Self> {
        match &self.kind {
            Kind::Sequence(items, _) => items.get(at),
            Kind::Mapping(entries, _) => entries.get(at).map(|(_, value)| value),
            Kind::Scalar(..) | Kind::Alias(_) => None,
        }
    }

    /// The same, to be changed.
    pub(in crate::deploy) fn child_mut(&mut self, at: usize) -> Option<&mut Self> {
        match &mut self.kind {
            Kind::Sequence(items, _) => items.get_mut(at),
            Kind::Mapping(entries, _) => entries.get_mut(at).map(|(_, value)| value),
            Kind::Scalar(..) | Kind::Alias(_) => None,
        }
    }

    /// Whether it means the same as another. A plain scalar may be a number, or nothing,
    /// where a quoted one is a text.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Scalar(one, style), Kind::Scalar(two, kind)) => {
                let is_text = |value: &str, style: Style| {
                    style != Style::Plain || super::scalar::resolves_to_text(value)
                };
                one == two && (is_text(one, *style) == is_text(two, *kind))
            }
            (Kind::Alias(one), Kind::Alias(two)) => one == two,
            (Kind::Sequence(one, _), Kind::Sequence(two, _)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.is_same(two))
            }
            (Kind::Mapping(one, _), Kind::Mapping(two, _)) => {
                let same = |((key, value), (other, with)): (&(Self, Self), &(Self, Self))| {
                    key.is_same(other) && value.is_same(with)
                };
                one.len() == two.len() && one.iter().zip(two).all(same)
            }
            _ => false,
        }
    }
}
