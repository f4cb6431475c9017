//! Byte sequences that are looked for in a text that comes in pieces.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, Input, MatchKind};

/// What is looked for.
#[derive(Debug)]
pub(super) struct Patterns {
    /// Longest first.
    all: Vec<Vec<u8>>,
    /// Which bytes one begins with.
    first: [bool; 256],
    /// Finds them; `None` if there are none.
    finder: Option<AhoCorasick>,
}

impl Patterns {
    /// These, none of which is empty.
    pub(super) fn new(patterns: BTreeSet<Vec<u8>>) -> Self {
        let mut first = [false; 256];
        for pattern in &patterns {
            first[pattern[0] as usize] = true;
        }
        let mut all: Vec<_> = patterns.into_iter().collect();
        all.sort_by_key(|pattern| Reverse(pattern.len()));
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::LeftmostLongest);
        // Patterns too many or too long for an automaton are found without one.
        let finder = if all.is_empty() { None } else { builder.build(&all).ok() };
        Self { all, first, finder }
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Where the first one at or behind a place stands.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        if let Some(finder) = &self.finder {
            let found = finder.find(Input::new(text).range(from..))?;
            return Some((found.start(), found.end()));
        }
        (from..text.len()).filter(|at| self.first[text[*at] as usize]).find_map(|at| {
            let pattern = self.all.iter().find(|pattern| text[at..].starts_with(pattern))?;
            Some((at, at + pattern.len()))
        })
    }

    /// The first place, at or behind this one, from which on a text is the beginning of
    /// one; else the end of the text.
    pub(super) fn cut(&self, text: &[u8], from: usize) -> usize {
        let longest = self.all.first().map_or(0, Vec::len);
        let begins = |at: &usize| {
            let rest = &text[*at..];
            let is_longer = |pattern: &Vec<u8>| pattern.len() > rest.len() && pattern.starts_with(rest);
            self.first[rest[0] as usize] && self.all.iter().any(is_longer)
        };
        let from = from.max((text.len() + 1).saturating_sub(longest));
        (from..text.len()).find(begins).unwrap_or(text.len())
    }
}
