//! Text to [`Document`].

use std::ops::Range;

use crate::diagnostic::{Code, Problem, Problems, SourceId, Span, Spanned};
use crate::syntax::string::string;
use crate::syntax::token::{Kind, Token, tokens};
use crate::syntax::value::values;
use crate::syntax::word::{keyword, word};
use crate::syntax::wrong::Wrong;
use crate::syntax::{Document, Node, Property, Value, ValueKind};

mod mistakes;

/// Most bytes of a file.
const MAX_BYTES: usize = 16 << 20;
/// Most blocks that are open at once: the parser calls itself for each.
const MAX_DEPTH: usize = 128;
/// Most problems that are shown; one mistake often makes several.
const SHOWN: usize = 4;

/// Most blocks behind a slashdash that are open at once: the `kdl` crate takes
/// time that doubles with each.
const MAX_DASHED: usize = 4;

/// Reads a text as KDL 2.
///
/// # Errors
/// The first few places where it is not KDL, or the bound that it breaks.
pub fn parse(source: SourceId, text: &str) -> Result<Document, Problems> {
    if text.len() > MAX_BYTES {
        let title = format!("the file has {} bytes; hoist reads at most {MAX_BYTES}", text.len());
        return Err(Problem::new(Code::TooLarge, title).help("split it, and `include` the parts").into());
    }
    values(first_reading(source, text)?, text)
}

/// The document by its tokens alone.
fn first_reading(source: SourceId, text: &str) -> Result<Document, Problems> {
    let mut parser = Parser::new(source, text);
    parser.characters();
    parser.quotes();
    let nodes = if parser.problems.is_empty() { parser.nodes(None) } else { Vec::new() };
    parser.outcome(Document { source, nodes })
}

#[derive(Debug)]
enum Entry {
    Argument(Value),
    Property(Property),
}

/// A part of the text was not read; why is among the problems.
#[derive(Debug)]
struct Unread;

#[derive(Debug)]
struct Parser<'a> {
    source: SourceId,
    text: &'a str,
    tokens: Vec<Token>,
    /// The token that is read next.
    at: usize,
    depth: usize,
    /// Slashdashes whose node or block is being read.
    dashed: usize,
    /// The first problems, and how many more there are.
    problems: Vec<Problem>,
    hidden: usize,
    /// Whether it was said that the text ends too early, or is not read to its end.
    ended: bool,
    /// The first block whose closing brace stands further left than it opened.
    suspect: Option<(Range<usize>, Range<usize>)>,
}

impl<'a> Parser<'a> {
    fn new(source: SourceId, text: &'a str) -> Self {
        Self {
            source,
            text,
            tokens: tokens(text),
            at: 0,
            depth: 0,
            dashed: 0,
            problems: Vec::new(),
            hidden: 0,
            ended: false,
            suspect: None,
        }
    }

    fn outcome(self, document: Document) -> Result<Document, Problems> {
        let mut problems = Problems::new();
        problems.extend(self.problems);
        if self.hidden > 0 {
            let title = format!("the file has {} more mistakes like these", self.hidden);
            problems.push(Problem::new(Code::NotKdl, title));
        }
        problems.or(document)
    }

    /// The nodes up to the end of the text, or to the brace that closes the block
    /// whose opening brace stands at `block`. The brace is not read.
    fn nodes(&mut self, block: Option<&Range<usize>>) -> Vec<Node> {
        let mut nodes = Vec::new();
        loop {
            self.skip_lines();
            match (self.peek(), block) {
                (None, Some(open)) => {
                    self.unclosed(open.clone());
                    return nodes;
                }
                (None, None) | (Some(Kind::Close), Some(_)) => return nodes,
                (Some(Kind::Close), None) => {
                    let wrong = Wrong::new(self.range(), "a `}` closes nothing", "no block is open here");
                    self.wrong(wrong.help("remove it"));
                    self.at += 1;
                }
                (Some(Kind::Semicolon), _) => {
                    let wrong = Wrong::new(self.range(), "a `;` ends nothing", "no node stands before it");
                    self.wrong(wrong.help("remove it"));
                    self.at += 1;
                }
                (Some(Kind::Slashdash), _) => {
                    self.at += 1;
                    self.skip_lines();
                    self.dashed += 1;
                    drop(self.node());
                    self.dashed -= 1;
                }
                _ => nodes.extend(self.node()),
            }
        }
    }

    /// A node with what ends it. What cannot be read is passed over to the end of
    /// the line, but for the nodes in its block.
    fn node(&mut self) -> Option<Node> {
        let node = self.node_parts();
        if node.is_err() {
            self.recover();
        }
        if matches!(self.peek(), Some(Kind::Newline | Kind::Semicolon)) {
            self.at += 1;
        }
        node.ok()
    }

    fn node_parts(&mut self) -> Result<Node, Unread> {
        if self.peek() == Some(Kind::TypeOpen) {
            self.annotation()?;
        }
        let name = self.name("a node has no name", "its name is missing here")?;
        let mut node = Node {
            header: name.span,
            span: name.span,
            name,
            arguments: Vec::new(),
            properties: Vec::new(),
            children: None,
        };
        let mut dashed = false;
        loop {
            let spaced = self.skip_spaces();
            let behind_block = node.children.is_some() || dashed;
            match self.peek() {
                None | Some(Kind::Newline | Kind::LineComment | Kind::Semicolon | Kind::Close) => {
                    return Ok(node);
                }
                Some(Kind::Open) if node.children.is_none() => {
                    node.children = Some(self.children());
                    node.span = node.span.to(self.span(self.before()));
                }
                Some(Kind::Slashdash) if spaced || behind_block => {
                    self.at += 1;
                    self.skip_lines();
                    if self.peek() == Some(Kind::Open) {
                        self.dashed += 1;
                        self.children();
                        self.dashed -= 1;
                        dashed = true;
                    } else if behind_block {
                        return self.too_much();
                    } else {
                        self.entry()?;
                    }
                }
                Some(_) if behind_block => return self.too_much(),
                Some(Kind::Word | Kind::Quoted | Kind::Keyword | Kind::TypeOpen | Kind::Slashdash)
                    if !spaced =>
                {
                    let wrong = Wrong::new(self.range(), "a space is missing", "before this");
                    return self.stop(wrong.help("put a space between the parts of a node"));
                }
                Some(_) => {
                    match self.entry()? {
                        Entry::Argument(value) => node.arguments.push(value),
                        Entry::Property(property) => node.properties.push(property),
                    }
                    node.header = node.header.to(self.span(self.before()));
                    node.span = node.header;
                }
            }
        }
    }

    fn too_much<T>(&mut self) -> Result<T, Unread> {
        let wrong = Wrong::new(self.range(), "a node goes on behind its block", "this is too much");
        self.stop(wrong.help("begin a new line, or write `;` behind the `}`"))
    }

    /// An argument or a property.
    fn entry(&mut self) -> Result<Entry, Unread> {
        let start = self.at;
        let named = matches!(self.peek(), Some(Kind::Word | Kind::Quoted));
        if named {
            self.at += 1;
            self.skip_spaces();
        }
        let property = named && self.peek() == Some(Kind::Equals);
        self.at = start;
        if !property {
            return self.value().map(Entry::Argument);
        }
        let name = self.name("a property has no name", "its name is missing here")?;
        self.skip_spaces();
        let equals = self.range().end;
        self.at += 1;
        self.skip_spaces();
        match self.peek() {
            None | Some(Kind::Newline | Kind::LineComment | Kind::Semicolon | Kind::Open | Kind::Close) => {
                let range = name.span.range().start..equals;
                let wrong = Wrong::new(range, "a property has no value", "nothing follows the `=`");
                let help = "write a value behind the `=`, such as `\"text\"`, `8`, or `#true`";
                self.stop(wrong.help(help))
            }
            Some(_) => Ok(Entry::Property(Property { name, value: self.value()? })),
        }
    }

    fn value(&mut self) -> Result<Value, Unread> {
        let start = self.range().start;
        let annotation = if self.peek() == Some(Kind::TypeOpen) { Some(self.annotation()?) } else { None };
        let (kind, offsets) = self.scalar()?;
        Ok(Value::new(kind, self.span(start..self.before().end), annotation, offsets))
    }

    /// A string, number, or keyword; for a string, the place of each byte.
    fn scalar(&mut self) -> Result<(ValueKind, Vec<u32>), Unread> {
        let (range, text) = (self.range(), self.token());
        let said = match self.peek() {
            Some(Kind::Quoted) => {
                string(text, range.start).map(|(value, offsets)| (ValueKind::String(value), offsets))
            }
            Some(Kind::Word) if self.pattern() => Err(self.unquoted()),
            Some(Kind::Word) if self.raw_of_kdl1() => Err(Wrong::kdl1(range, "r\"…\"", "#\"…\"#")),
            Some(Kind::Word) => word(text, range.clone()).map(|kind| {
                let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
                let is_string = matches!(kind, ValueKind::String(_));
                (kind, if is_string { (range.start..=range.end).map(place).collect() } else { Vec::new() })
            }),
            Some(Kind::Keyword) => keyword(text, range).map(|kind| (kind, Vec::new())),
            _ => Err(self.unexpected()),
        };
        match said {
            Ok(said) => {
                self.at += 1;
                Ok(said)
            }
            Err(wrong) => self.stop(wrong),
        }
    }

    /// A string that names something.
    fn name(&mut self, missing: &'static str, label: &'static str) -> Result<Spanned<String>, Unread> {
        let range = self.range();
        if matches!(self.peek(), None | Some(Kind::Open | Kind::Close | Kind::TypeClose | Kind::Slashdash)) {
            let wrong = Wrong::new(range, missing, label).help("write one: a word, or a string in quotes");
            return self.stop(wrong);
        }
        if let ValueKind::String(name) = self.scalar()?.0 {
            return Ok(Spanned::new(name, self.span(range)));
        }
        let help = format!("put it in quotes: `\"{}\"`", self.slice(range.clone()));
        self.stop(Wrong::new(range, "a name is not a string", "here").help(help))
    }

    /// `(name)`, and the space behind it.
    fn annotation(&mut self) -> Result<Spanned<String>, Unread> {
        self.at += 1;
        self.skip_spaces();
        let name = self.name("a type has no name", "its name is missing here")?;
        self.skip_spaces();
        if self.peek() != Some(Kind::TypeClose) {
            let wrong = Wrong::new(self.before(), "a type is not closed", "a `)` is missing behind this");
            return self.stop(wrong.help("close it with `)`"));
        }
        self.at += 1;
        self.skip_spaces();
        Ok(name)
    }

    /// A block with its braces.
    fn children(&mut self) -> Vec<Node> {
        let open = self.range();
        let bound = match (self.depth == MAX_DEPTH, self.dashed > MAX_DASHED) {
            (true, _) => Some(("blocks", MAX_DEPTH)),
            (false, true) => Some(("blocks behind `/-`", MAX_DASHED)),
            (false, false) => None,
        };
        if let Some((what, most)) = bound {
            let title = format!("{what} are nested more than {most} deep");
            let problem = Problem::new(Code::TooDeep, title).label(self.span(open), "this one is too deep");
            self.problem(problem);
            self.ended = true;
            // What follows cannot be told from what is nested in it.
            self.at = self.tokens.len();
            return Vec::new();
        }
        self.at += 1;
        self.depth += 1;
        let nodes = self.nodes(Some(&open));
        self.depth -= 1;
        if self.peek() == Some(Kind::Close) {
            let close = self.range();
            if self.suspect.is_none() && self.stands_out(&close, &open) {
                self.suspect = Some((open, close));
            }
            self.at += 1;
        }
        nodes
    }

    /// Passes over the rest of a node: what stands in its block is still read.
    fn recover(&mut self) {
        while let Some(kind) = self.peek() {
            match kind {
                Kind::Newline | Kind::Semicolon | Kind::Close => return,
                Kind::Open => {
                    self.children();
                }
                _ => self.at += 1,
            }
        }
    }

    /// Whether `r"…"` or `r#"…"#` stands here: a raw string of KDL 1.
    fn raw_of_kdl1(&self) -> bool {
        let next = self.tokens.get(self.at + 1).map(|token| token.kind);
        self.token() == "r" && matches!(next, Some(Kind::Quoted | Kind::Unclosed))
    }

    /// Passes over what may stand in a node between its parts; whether there was any.
    fn skip_spaces(&mut self) -> bool {
        self.skip(|kind| matches!(kind, Kind::Space | Kind::BlockComment | Kind::Continuation))
    }

    /// Passes over what may stand between nodes.
    fn skip_lines(&mut self) {
        self.skip(|kind| {
            let line = matches!(kind, Kind::Newline | Kind::LineComment);
            line || matches!(kind, Kind::Space | Kind::BlockComment | Kind::Continuation)
        });
    }

    fn skip(&mut self, passes: impl Fn(Kind) -> bool) -> bool {
        let start = self.at;
        while self.peek().is_some_and(&passes) {
            self.at += 1;
        }
        self.at > start
    }

    fn stop<T>(&mut self, wrong: Wrong) -> Result<T, Unread> {
        self.wrong(wrong);
        Err(Unread)
    }

    fn wrong(&mut self, wrong: Wrong) {
        let unseen = self.text.get(wrong.range.clone()).and_then(|text| text.chars().next());
        let unseen = unseen.filter(|c| is_unseen(*c));
        let wrong = match unseen {
            Some(unseen) => wrong
                .help(format!("delete the invisible character U+{:04X} that stands here", u32::from(unseen))),
            None => wrong,
        };
        self.problem(wrong.problem(self.source));
    }

    fn problem(&mut self, problem: Problem) {
        if self.problems.len() < SHOWN {
            self.problems.push(problem);
        } else {
            self.hidden += 1;
        }
    }

    fn peek(&self) -> Option<Kind> {
        self.tokens.get(self.at).map(|token| token.kind)
    }

    fn token(&self) -> &'a str {
        self.slice(self.range())
    }

    fn slice(&self, range: Range<usize>) -> &'a str {
        self.text.get(range).unwrap_or_default()
    }

    /// The place of the next token; the end of the text behind the last one.
    fn range(&self) -> Range<usize> {
        let end = self.text.len();
        self.tokens.get(self.at).map_or(end..end, |token| token.range.clone())
    }

    /// The place of the last token before the next one that is not a space.
    fn before(&self) -> Range<usize> {
        let read = self.tokens.get(..self.at).unwrap_or_default();
        let space = |kind| matches!(kind, Kind::Space | Kind::BlockComment | Kind::Continuation);
        read.iter().rfind(|token| !space(token.kind)).map_or(0..0, |token| token.range.clone())
    }

    fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.source, range)
    }
}

/// Whether a character takes no room where it is shown, and no keyboard has it: it was
/// copied from somewhere.
const fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
