//! Here-documents: `<<NAME`, and the lines up to `NAME` behind the instruction
//! (Dockerfile reference, "Here-Documents").

use crate::diagnostic::{SourceId, Span};
use crate::dockerfile::line::Lines;
use crate::dockerfile::scope::Scope;
use crate::dockerfile::word::{InvalidWord, Style, expand};

/// A here-document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it, without quotes.
    pub name: String,
    /// Whether variables are filled in: no part of the name is quoted.
    pub expands: bool,
    /// Whether tabs at the beginning of its lines are cut off (`<<-`).
    pub chomps: bool,
    /// The file descriptor in front of `<<`; 0 if there is none.
    pub descriptor: u32,
    /// Its lines.
    pub content: Span,
}

/// The here-documents that a line announces, without their contents.
pub(super) fn announced(line: &str, empty: Span) -> Result<Vec<Heredoc>, InvalidWord> {
    if !line.contains("<<") {
        return Ok(Vec::new());
    }
    let style = Style { keep_quotes: true, keep_escapes: true, keep_unset: true, ..Style::plain('\\') };
    // A line that cannot be divided is one for the shell to complain about.
    let Ok(read) = expand(line, &Scope::default(), style) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let mut words = read.words.into_iter();
    while let Some(mut word) = words.next() {
        // The name may stand apart.
        let bare = word.trim_start_matches(|c: char| c.is_ascii_digit());
        if (bare == "<<" || bare == "<<-")
            && let Some(name) = words.next()
        {
            word = format!("{word} {name}");
        }
        found.extend(parse(&word, empty)?);
    }
    Ok(found)
}

/// A word as the announcement of a here-document, if it is one.
fn parse(word: &str, empty: Span) -> Result<Option<Heredoc>, InvalidWord> {
    let behind = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = word.strip_suffix(behind).unwrap_or_default();
    let Some(rest) = behind.strip_prefix("<<") else { return Ok(None) };
    let chomps = rest.starts_with('-');
    let rest = rest.strip_prefix('-').unwrap_or(rest).trim_start();
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    let style = Style { keep_unset: true, ..Style::plain('\\') };
    let plain = expand(rest, &Scope::default(), style)?.words;
    let quoted = expand(rest, &Scope::default(), Style { keep_quotes: true, ..style })?.words;
    let ([name], [with_quotes]) = (plain.as_slice(), quoted.as_slice()) else { return Ok(None) };
    let count = |word: &str| word.matches(['\'', '"']).count();
    Ok(Some(Heredoc {
        name: name.clone(),
        expands: count(name) == count(with_quotes),
        chomps,
        descriptor: digits.parse().unwrap_or_default(),
        content: empty,
    }))
}

impl Heredoc {
    /// Reads its lines, up to the one that ends it; `None` if there is no such line.
    pub(super) fn read(&mut self, source: SourceId, lines: &mut Lines<'_>) -> Option<()> {
        let start = lines.position();
        while let Some(line) = lines.written() {
            let text = if self.chomps { line.text.trim_start_matches('\t') } else { line.text };
            if text == self.name {
                self.content = Span::new(source, start..line.start);
                return Some(());
            }
        }
        None
    }
}
