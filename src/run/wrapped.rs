//! Base64 that is wrapped, found by what stands around the line breaks in it.

use std::collections::{BTreeSet, HashMap};

use crate::run::fold::Folded;

/// Characters around a break that are looked at.
const GRAM: usize = 4;

/// Bits of a place in the table of what stands around breaks.
const BITS: u32 = 17;

/// Texts that are found where lines are broken within them.
#[derive(Debug)]
pub(super) struct Wrapped {
    texts: Vec<Vec<u8>>,
    longest: usize,
    /// Where in the texts these characters stand.
    grams: HashMap<[u8; GRAM], Vec<(usize, usize)>>,
    /// Which characters may stand in a text, so that most breaks cost little.
    table: Vec<bool>,
}

impl Wrapped {
    /// These, each of which has more characters than are looked at around a break.
    pub(super) fn new(texts: BTreeSet<Vec<u8>>) -> Self {
        let texts: Vec<_> = texts.into_iter().collect();
        let longest = texts.iter().map(Vec::len).max().unwrap_or_default();
        let mut grams: HashMap<_, Vec<_>> = HashMap::new();
        let mut table = if texts.is_empty() { Vec::new() } else { vec![false; 1 << BITS] };
        for (index, text) in texts.iter().enumerate() {
            for (at, gram) in text.windows(GRAM).enumerate() {
                let Ok(gram) = gram.try_into() else { continue };
                table[place(gram)] = true;
                grams.entry(gram).or_default().push((index, at));
            }
        }
        Self { texts, longest, grams, table }
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Where they stand in a text with a line break or more within, in order; what
    /// overlaps is one. The places are those of the text before it was folded.
    pub(super) fn find(&self, folded: &Folded) -> Vec<(usize, usize)> {
        let text = folded.text();
        let mut found: Vec<(usize, usize)> = Vec::new();
        for at in folded.breaks() {
            for start in at.saturating_sub(GRAM - 1)..at {
                let gram = text.get(start..start + GRAM).and_then(|gram| gram.try_into().ok());
                let Some(gram) = gram.filter(|gram| self.table[place(*gram)]) else { continue };
                for (index, offset) in self.grams.get(&gram).into_iter().flatten() {
                    let whole = &self.texts[*index];
                    let Some(start) = start.checked_sub(*offset) else { continue };
                    if text[start..].starts_with(whole) {
                        let end = folded.place(start + whole.len() - 1) + 1;
                        found.push((folded.place(start), end));
                    }
                }
            }
        }
        found.sort_unstable();
        found.dedup_by(|next, last| {
            let overlap = next.0 < last.1;
            if overlap {
                last.1 = last.1.max(next.1);
            }
            overlap
        });
        found
    }

    /// The first place of the text, at or behind this one, from which on it is the
    /// beginning of one, of at least so many characters; `None` if there is none.
    pub(super) fn cut(&self, folded: &Folded, from: usize, least: usize) -> Option<usize> {
        let text = folded.text();
        let begins = |at: &usize| {
            let rest = &text[*at..];
            self.texts.iter().any(|whole| whole.len() > rest.len() && whole.starts_with(rest))
        };
        let from = folded.at(from).max((text.len() + 1).saturating_sub(self.longest));
        let at = (from..(text.len() + 1).saturating_sub(least)).find(begins)?;
        Some(folded.place(at))
    }
}

/// A place in the table.
fn place(gram: [u8; GRAM]) -> usize {
    (u32::from_le_bytes(gram).wrapping_mul(0x9E37_79B1) >> (u32::BITS - BITS)) as usize
}
