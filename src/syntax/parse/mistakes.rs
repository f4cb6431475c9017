//! What is wrong where the parser cannot go on.

use std::ops::Range;

use crate::syntax::token::{Kind, Token, is_newline, is_space};
use crate::syntax::wrong::Wrong;

use super::Parser;

/// What word processors, chats, and input methods make of `"` and `'`.
const TYPOGRAPHIC: [char; 14] = [
    '\u{201c}', '\u{201d}', '\u{201e}', '\u{201f}', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}', '\u{ab}',
    '\u{bb}', '\u{2033}', '\u{301d}', '\u{301e}', '\u{ff02}',
];

impl Parser<'_> {
    /// Refuses characters that KDL allows nowhere: they would steer a terminal,
    /// or show a text in another order than it is read.
    pub(super) fn characters(&mut self) {
        for (at, c) in self.text.char_indices() {
            let refused = match c {
                '\u{feff}' => at > 0,
                '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
                _ => c.is_ascii_control() && !is_newline(c) && !is_space(c),
            };
            if refused {
                let title = format!("the character U+{:04X} may not stand in a file", u32::from(c));
                let wrong = Wrong::new(at..at + c.len_utf8(), title, "here");
                self.wrong(
                    wrong.help(format!("remove it, or write `\\u{{{:x}}}` in a string", u32::from(c))),
                );
            }
        }
    }

    /// Refuses words that begin with a quote which is none in KDL, and would be
    /// taken for a part of the word; once a line.
    pub(super) fn quotes(&mut self) {
        let mut told = false;
        let mut wrong = Vec::new();
        for token in &self.tokens {
            told &= token.kind != Kind::Newline;
            let first = self.text.get(token.range.clone()).and_then(|word| word.chars().next());
            let Some(first) = first.filter(|_| token.kind == Kind::Word && !told) else { continue };
            let title = match first {
                '\'' => "a string in single quotes",
                _ if TYPOGRAPHIC.contains(&first) => "a string in typographic quotes",
                _ => continue,
            };
            told = true;
            let start = token.range.start;
            wrong.push(
                Wrong::new(start..start + first.len_utf8(), title, "KDL takes this for a letter")
                    .help("strings stand between straight double quotes: `\"text\"`"),
            );
        }
        for wrong in wrong {
            self.wrong(wrong);
        }
    }

    /// Says, once, that a block is not closed: the one whose closing brace seems
    /// to belong to a block around it, or else the innermost that is open.
    pub(super) fn unclosed(&mut self, open: Range<usize>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let (open, close) = match self.suspect.take() {
            Some((open, close)) => (open, Some(close)),
            None => (open, None),
        };
        let mut problem = Wrong::new(open, "a block is not closed", "opened here")
            .help("close it with `}`")
            .problem(self.source);
        if let Some(close) = close {
            problem = problem.label(self.span(close), "this closes it, but stands too far left");
        }
        self.problem(problem);
    }

    /// Whether a brace that closes a block stands alone on its line, and further
    /// left than the line on which the block was opened.
    pub(super) fn stands_out(&self, close: &Range<usize>, open: &Range<usize>) -> bool {
        let before = |range: &Range<usize>| self.text.get(..range.start).unwrap_or_default();
        if !before(close).trim_end_matches(is_space).ends_with(is_newline) {
            return false;
        }
        let indent = |range| {
            let line = before(range).rsplit(is_newline).next().unwrap_or_default();
            line.len() - line.trim_start_matches(is_space).len()
        };
        indent(close) < indent(open)
    }

    /// What is wrong with a token that nothing begins with.
    pub(super) fn unexpected(&self) -> Wrong {
        let (range, text) = (self.range(), self.token());
        match self.peek() {
            Some(Kind::Unclosed) if text.starts_with("/*") && self.in_word() => self.unquoted(),
            Some(Kind::Unclosed) if text.starts_with("/*") => {
                let opening = range.start..range.start + 2;
                Wrong::new(opening, "a comment is not closed", "opened here").help("close it with `*/`")
            }
            Some(Kind::Unclosed) => {
                let quotes = text.trim_start_matches('#');
                let hashes = text.len() - quotes.len();
                let long = quotes.starts_with("\"\"\"");
                let opening = hashes + if long { 3 } else { 1 };
                let close = format!("{}{}", if long { "\"\"\"" } else { "\"" }, "#".repeat(hashes));
                let several = if long { "" } else { "; a string on several lines stands between `\"\"\"`" };
                Wrong::new(range.start..range.start + opening, "a string is not closed", "opened here")
                    .help(format!("close it with `{close}`{several}"))
            }
            Some(Kind::Equals) => {
                let wrong = Wrong::new(range, "a `=` has no name before it", "here");
                wrong.help("write the property's name before the `=`")
            }
            Some(Kind::TypeClose) => {
                Wrong::new(range, "a `)` closes nothing", "no type is open here").help("remove it")
            }
            Some(Kind::Stray) if text == "\\" => {
                let wrong = Wrong::new(range, "a `\\` stands in the middle of a line", "here");
                wrong.help("it continues a line only at its end; elsewhere it needs quotes")
            }
            Some(Kind::Stray) => self.unquoted(),
            _ => Wrong::new(range, "a value is missing", "here")
                .help("write one, such as `\"text\"`, `8`, or `#true`"),
        }
    }

    /// A word that needs quotes, with all that no space parts from it: a path, a
    /// pattern, an expression.
    pub(super) fn unquoted(&self) -> Wrong {
        let part = |token: &&Token| match token.kind {
            Kind::Word | Kind::Stray | Kind::Equals => true,
            Kind::BlockComment | Kind::Unclosed => self.slice(token.range.clone()).starts_with("/*"),
            _ => false,
        };
        let before = self.tokens.get(..self.at).unwrap_or_default().iter().rev().take_while(part).last();
        let behind = self.tokens.get(self.at..).unwrap_or_default().iter().take_while(part).last();
        let own = self.range();
        let start = before.map_or(own.start, |token| token.range.start);
        let whole = self.slice(start..behind.map_or(own.end, |token| token.range.end));
        let word = whole.split(|c| is_space(c) || is_newline(c)).next().unwrap_or_default();
        Wrong::new(start..start + word.len(), format!("`{word}` needs quotes"), "here")
            .help(format!("write it as a string: `\"{word}\"`"))
    }

    fn in_word(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|before| self.tokens.get(before));
        before.is_some_and(|token| matches!(token.kind, Kind::Word | Kind::Stray))
    }

    /// Whether a comment with nothing in it stands in a word: in `src/**/*.py` it
    /// is none, but would be read as one.
    pub(super) fn pattern(&self) -> bool {
        let token = |at: usize| self.tokens.get(at);
        let comment = token(self.at + 1).is_some_and(|token| self.slice(token.range.clone()) == "/**/");
        comment && token(self.at + 2).is_some_and(|token| matches!(token.kind, Kind::Word | Kind::Stray))
    }
}
