//! A KDL document as hoist reads it: names, values, and where each was written.

use crate::diagnostic::{SourceId, Span, Spanned};

/// The nodes of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The text that it was read from.
    pub source: SourceId,
    /// Its nodes, in order, without those that are commented out.
    pub nodes: Vec<Node>,
}

/// `name argument… property=value… { children }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: Spanned<String>,
    /// Its arguments, in order.
    pub arguments: Vec<Value>,
    /// Its properties, in order of appearance; a name given twice is here twice.
    pub properties: Vec<Property>,
    /// Its children; `None` where there is no block at all.
    pub children: Option<Vec<Node>>,
    /// From its name to the end of its last argument or property.
    pub header: Span,
    /// From its name to its closing brace, or the header where it has none.
    pub span: Span,
}

/// `name=value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// Its name.
    pub name: Spanned<String>,
    /// Its value.
    pub value: Value,
}

/// An argument, or the value of a property.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// What was written.
    pub kind: ValueKind,
    /// Where, quotes and type annotation included.
    pub span: Span,
    /// A type annotation, `(type)value`.
    pub annotation: Option<Spanned<String>>,
    /// For a string: the byte offset in the source of each byte of the value,
    /// and of its end, so that a part of a string can be pointed to.
    offsets: Vec<u32>,
}

/// The value of a [`Value`].
#[derive(Clone, Debug, PartialEq)]
pub enum ValueKind {
    /// A string, quoted or not, with escapes resolved.
    String(String),
    /// A whole number.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// `#true` or `#false`.
    Bool(bool),
    /// `#null`.
    Null,
}

impl Value {
    /// A value whose span, and for a string whose byte offsets, are known.
    #[must_use]
    pub const fn new(
        kind: ValueKind,
        span: Span,
        annotation: Option<Spanned<String>>,
        offsets: Vec<u32>,
    ) -> Self {
        Self { kind, span, annotation, offsets }
    }

    /// Whether it is a string without quotes: such a word is as long as its text.
    #[must_use]
    pub fn is_word(&self) -> bool {
        self.as_str().is_some_and(|text| text.len() == self.span.range().len())
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            ValueKind::String(text) => Some(text),
            _ => None,
        }
    }

    /// The place of the bytes `range` of a string's value; the whole value's
    /// place where that is not known, or where there are none.
    #[must_use]
    pub fn part(&self, range: std::ops::Range<usize>) -> Span {
        match (self.offsets.get(range.start), self.offsets.get(range.end)) {
            (Some(&start), Some(&end)) if start < end => Span { source: self.span.source, start, end },
            _ => self.span,
        }
    }
}
