//! A text as hoist spells it.
//!
//! Lines stay where they are, and so do comments, continuations, the spelling of
//! strings, and what stands in a block on one line. Changed are: indentation,
//! the space between the parts of a line, blank lines beyond one, the lines of a
//! block that is opened or closed in the middle of one, and semicolons that end
//! a line.

use crate::diagnostic::{Code, Problem, Problems, SourceId};
use crate::syntax::indent::{leading, moved, unix, width};
use crate::syntax::token::{Kind, Token, is_newline, is_space, tokens};
use crate::syntax::{Document, Node, parse};

/// Spaces for each level of nesting.
const INDENT: usize = 4;

/// The text, formatted. Formatting a formatted text changes nothing.
///
/// # Errors
/// The text is not KDL; or, so that nothing is ever damaged, the formatted text
/// would not say the same as the text.
pub fn format(source: SourceId, text: &str) -> Result<String, Problems> {
    let document = parse(source, text)?;
    let formatted = Formatter::new(text).run();
    let same = |after: Document| same_nodes(&document.nodes, &after.nodes);
    let kept = parse(source, &formatted).is_ok_and(same) && written(text) == written(&formatted);
    if kept {
        return Ok(formatted);
    }
    let problem = Problem::new(Code::NotKdl, "the file cannot be formatted without a change of meaning")
        .help("it is left as it is; please report it as a bug of hoist, with the file");
    Err(problem.into())
}

/// Whether nodes say the same, wherever they say it.
fn same_nodes(a: &[Node], b: &[Node]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_node(a, b))
}

fn same_node(a: &Node, b: &Node) -> bool {
    let value = |value: &crate::syntax::Value| {
        let annotation = value.annotation.as_ref().map(|annotation| annotation.value.clone());
        // Not a number is never equal to itself, but as text it is.
        (format!("{:?}", value.kind), annotation)
    };
    let said = |node: &Node| {
        let arguments: Vec<_> = node.arguments.iter().map(value).collect();
        let properties = node.properties.iter();
        let properties: Vec<_> = properties.map(|p| (p.name.value.clone(), value(&p.value))).collect();
        (node.name.value.clone(), arguments, properties)
    };
    let children = match (&a.children, &b.children) {
        (Some(a), Some(b)) => same_nodes(a, b),
        (None, None) => true,
        _ => false,
    };
    said(a) == said(b) && children
}

/// All that is written, comments and what is commented out included, but for
/// the spaces, line breaks, and semicolons that formatting may change.
fn written(text: &str) -> Vec<String> {
    let changes = |kind| matches!(kind, Kind::Space | Kind::Newline | Kind::Semicolon);
    let bare = |token: &Token| text.get(token.range.clone()).map(|text| text.split_whitespace().collect());
    tokens(text).iter().filter(|token| !changes(token.kind)).filter_map(bare).collect()
}

#[derive(Debug)]
struct Formatter<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    out: String,
    /// The line that is being written, without its indentation.
    line: String,
    /// Its indentation, in spaces.
    indent: usize,
    /// The indentation of the line of the text that its first part stood on.
    home: usize,
    depth: usize,
    /// Whether the line continues the one before it.
    continued: bool,
    /// Whether an empty line is to stand before the next one.
    blank: bool,
    /// Whether the line opens a block.
    opens: bool,
    /// Whether the line is the first of a block, or of the text.
    first: bool,
}

impl<'a> Formatter<'a> {
    fn new(text: &'a str) -> Self {
        let tokens = tokens(text);
        Self {
            text,
            tokens,
            out: String::with_capacity(text.len()),
            line: String::new(),
            indent: 0,
            home: 0,
            depth: 0,
            continued: false,
            blank: false,
            opens: false,
            first: true,
        }
    }

    fn run(mut self) -> String {
        let mut at = 0;
        while at < self.tokens.len() {
            at = self.token(at);
        }
        self.end_line();
        self.out
    }

    /// Writes the token at `at`; the next one to write.
    fn token(&mut self, at: usize) -> usize {
        let text = self.at(at);
        if self.line.is_empty() {
            self.indent = (self.depth + usize::from(self.continued)) * INDENT;
            self.home = width(leading(self.before(at)));
        }
        match self.kind(at) {
            Some(Kind::Space) | None => {}
            Some(Kind::Newline) if self.line.is_empty() => {
                self.blank = true;
                self.continued = false;
            }
            Some(Kind::Newline) => self.end_line(),
            Some(Kind::LineComment) => {
                let gap = self.comment_gap(at);
                self.push(gap, text.trim_end());
            }
            Some(Kind::Continuation) => {
                let comment = text.trim_start_matches('\\').trim();
                self.push(1, "\\");
                self.push(usize::from(!comment.is_empty()), &unix(comment));
                self.end_line();
                self.continued = true;
            }
            Some(Kind::Open) => return self.open(at),
            Some(Kind::Close) => {
                self.end_line();
                self.blank = false;
                self.depth = self.depth.saturating_sub(1);
                self.indent = self.depth * INDENT;
                self.push(0, "}");
            }
            Some(Kind::Semicolon) => {
                let next = self.next(at);
                if !matches!(next, None | Some(Kind::Newline | Kind::LineComment | Kind::Close)) {
                    self.push(0, ";");
                }
            }
            Some(Kind::Quoted) => {
                let string = self.reindented(at);
                self.push(self.gap(at), &string);
            }
            Some(Kind::BlockComment) => self.push(self.gap(at), &unix(text)),
            Some(_) => self.push(self.gap(at), text),
        }
        at + 1
    }

    /// A block: as it stands if it is on one line, else on lines of its own.
    fn open(&mut self, at: usize) -> usize {
        if let Some(close) = self.closed_on_its_line(at) {
            // What stands above each other in several such blocks stays there.
            let before = at.checked_sub(1).filter(|before| self.kind(*before) == Some(Kind::Space));
            let gap = before.map(|before| self.at(before)).filter(|gap| gap.bytes().all(|byte| byte == b' '));
            let range = self.tokens[at].range.start..self.tokens[close].range.end;
            self.push(gap.map_or(1, str::len), self.text.get(range).unwrap_or_default());
            return close + 1;
        }
        self.push(1, "{");
        self.depth += 1;
        self.opens = true;
        if self.next(at) != Some(Kind::LineComment) {
            self.end_line();
        }
        at + 1
    }

    /// The brace that closes the block opened at `at`, if no line ends between.
    fn closed_on_its_line(&self, at: usize) -> Option<usize> {
        let mut depth = 0usize;
        for (index, token) in self.tokens.iter().enumerate().skip(at) {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                Kind::Newline | Kind::LineComment | Kind::Continuation => return None,
                Kind::Quoted | Kind::BlockComment if self.at(index).contains(is_newline) => return None,
                _ => {}
            }
            if depth == 0 {
                return Some(index);
            }
        }
        None
    }

    /// Spaces before the token at `at`, by what it stands between.
    fn gap(&self, at: usize) -> usize {
        let spaced = at.checked_sub(1).and_then(|before| self.kind(before)) == Some(Kind::Space);
        let before = self.tokens.get(..at).unwrap_or_default();
        let before = before.iter().map(|token| token.kind).rfind(|kind| *kind != Kind::Space);
        match (before, self.kind(at)) {
            (Some(Kind::Semicolon), _) => 1,
            (Some(Kind::Equals | Kind::TypeOpen | Kind::TypeClose), Some(Kind::BlockComment))
            | (Some(Kind::BlockComment), Some(Kind::Equals | Kind::TypeClose)) => usize::from(spaced),
            (Some(Kind::Equals | Kind::TypeOpen | Kind::TypeClose), _)
            | (_, Some(Kind::Equals | Kind::TypeClose)) => 0,
            _ => usize::from(spaced),
        }
    }

    /// Spaces before a comment at the end of a line, so that it keeps its column
    /// as far as it can; one where it had one.
    fn comment_gap(&self, at: usize) -> usize {
        let spaced = at.checked_sub(1).filter(|before| self.kind(*before) == Some(Kind::Space));
        if spaced.is_none_or(|before| self.at(before).chars().count() == 1) {
            return 1;
        }
        let columns = |text: &str| text.trim_start_matches(is_space).chars().count();
        let written = columns(self.line.rsplit(is_newline).next().unwrap_or_default());
        let column = columns(self.before(at));
        column.saturating_sub(written).max(1)
    }

    /// A string on several lines keeps its distance from the line that it begins
    /// on; any other string is as it was.
    fn reindented(&self, at: usize) -> String {
        let string = unix(self.at(at));
        let further = |prefix: &str| width(prefix).saturating_sub(self.home);
        moved(&string, |prefix| self.indent + further(prefix)).unwrap_or(string)
    }

    /// What stands before the token at `at` on its line of the text.
    fn before(&self, at: usize) -> &'a str {
        let start = self.tokens.get(at).map_or(0, |token| token.range.start);
        let before = self.text.get(..start).unwrap_or_default();
        before.rsplit(is_newline).next().unwrap_or_default()
    }

    fn push(&mut self, gap: usize, text: &str) {
        if !self.line.is_empty() {
            self.line.extend(std::iter::repeat_n(' ', gap));
        }
        self.line.push_str(text);
    }

    /// Ends the line, if anything stands in it.
    fn end_line(&mut self) {
        if self.line.is_empty() {
            return;
        }
        if self.blank && !self.first {
            self.out.push('\n');
        }
        self.out.extend(std::iter::repeat_n(' ', self.indent));
        self.out.push_str(self.line.trim_end());
        self.out.push('\n');
        self.line.clear();
        self.blank = false;
        self.continued = false;
        self.first = std::mem::take(&mut self.opens);
    }

    fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn at(&self, at: usize) -> &'a str {
        self.tokens.get(at).and_then(|token| self.text.get(token.range.clone())).unwrap_or_default()
    }

    /// The kind of the first token behind `at` that is not a space.
    fn next(&self, at: usize) -> Option<Kind> {
        let behind = self.tokens.get(at + 1..).unwrap_or_default();
        behind.iter().map(|token| token.kind).find(|kind| *kind != Kind::Space)
    }
}

#[cfg(test)]
mod tests;
