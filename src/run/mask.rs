//! Secrets taken out of what steps write.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::diagnostic::Problems;

/// What stands in place of a secret.
const MASK: &[u8] = b"***";

/// A value shorter than this is not masked: it would hide half of any text, and
/// the gaps would tell it.
const SHORTEST: usize = 4;

/// Fewest characters of base64 that are taken for a secret.
const SHORTEST_BASE64: usize = 8;

/// The byte sequences that must not be seen.
#[derive(Debug)]
pub(super) struct Secrets {
    /// Longest first.
    patterns: Vec<Vec<u8>>,
    /// Which bytes a pattern begins with.
    first: [bool; 256],
    /// Finds the patterns; `None` if there are none.
    finder: Option<AhoCorasick>,
}

impl Secrets {
    /// Hides each value, each line of a value of several lines, what base64 makes
    /// of the value wherever it stands in what is encoded, and the value as it
    /// stands in a URL, a form, a JSON text, and a shell's quotes. `true` and
    /// `false` are no secrets.
    pub(super) fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut patterns = BTreeSet::new();
        for value in values {
            let value = value.trim_ascii();
            if value.len() < SHORTEST || matches!(value, b"true" | b"false") {
                continue;
            }
            patterns.extend(base64_forms(value));
            let lines = value.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
            for part in lines.filter(|line| line.len() >= SHORTEST).chain([value]) {
                patterns.extend(escaped_forms(part));
                patterns.insert(part.to_vec());
            }
        }
        let mut first = [false; 256];
        for pattern in &patterns {
            first[pattern[0] as usize] = true;
        }
        let mut patterns: Vec<_> = patterns.into_iter().collect();
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.len()));
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::LeftmostLongest);
        // Patterns too many or too long for an automaton are found without one.
        let finder = if patterns.is_empty() { None } else { builder.build(&patterns).ok() };
        Self { patterns, first, finder }
    }

    /// Where the first secret at or behind a place stands.
    fn find(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        if let Some(finder) = &self.finder {
            let found = finder.find(Input::new(text).range(from..))?;
            return Some((found.start(), found.end()));
        }
        (from..text.len()).filter(|at| self.first[text[*at] as usize]).find_map(|at| {
            let pattern = self.patterns.iter().find(|pattern| text[at..].starts_with(pattern))?;
            Some((at, at + pattern.len()))
        })
    }

    /// The first place, at or behind this one, from which on a text is the
    /// beginning of a secret; else the end of the text.
    fn cut(&self, text: &[u8], from: usize) -> usize {
        let longest = self.patterns.first().map_or(0, Vec::len);
        let begins = |at: &usize| {
            let rest = &text[*at..];
            let is_longer = |pattern: &Vec<u8>| pattern.len() > rest.len() && pattern.starts_with(rest);
            self.first[rest[0] as usize] && self.patterns.iter().any(is_longer)
        };
        let from = from.max((text.len() + 1).saturating_sub(longest));
        (from..text.len()).find(begins).unwrap_or(text.len())
    }

    /// A text as it may be seen.
    pub(super) fn hide(self: &Arc<Self>, text: &str) -> String {
        let (mut masker, mut out) = (Masker::new(Arc::clone(self)), Vec::new());
        masker.feed(text.as_bytes(), &mut out);
        masker.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Problems as they may be seen: a program that failed was quoted in them.
    pub(super) fn hide_in(self: &Arc<Self>, problems: Problems) -> Problems {
        let mut hidden = Problems::new();
        hidden.extend(problems.into_iter().map(|mut problem| {
            problem.title = self.hide(&problem.title);
            for label in &mut problem.labels {
                label.text = self.hide(&label.text);
            }
            problem.help = problem.help.map(|help| self.hide(&help));
            problem.notes = problem.notes.iter().map(|note| self.hide(note)).collect();
            problem
        }));
        hidden
    }
}

/// What base64 makes of a value that stands behind 0, 1, or 2 other bytes, less
/// the characters that also depend on its neighbours; and the same at the end of
/// what is encoded.
fn base64_forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let padded = [&b"\0\0"[..before], value].concat();
        let whole = padded.len() / 3 * 4;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let text = engine.encode(&padded);
            let start = before + usize::from(before > 0);
            let known = [text.get(start..whole), text.get(start..)];
            let long = known.into_iter().flatten().filter(|known| known.len() >= SHORTEST_BASE64);
            forms.extend(long.map(|known| known.as_bytes().to_vec()));
        }
    }
    forms
}

/// A value as it stands in a URL, a form, a JSON text, and a shell's quotes,
/// where that is another one than the value itself.
fn escaped_forms(value: &[u8]) -> Vec<Vec<u8>> {
    let percent = |space: &str, upper: bool| -> Vec<u8> {
        let escaped = value.iter().map(|byte| match byte {
            b' ' => space.to_owned(),
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) => char::from(*byte).to_string(),
            byte if upper => format!("%{byte:02X}"),
            byte => format!("%{byte:02x}"),
        });
        escaped.collect::<String>().into_bytes()
    };
    let mut forms = vec![percent("%20", true), percent("%20", false), percent("+", true)];
    if let Ok(text) = std::str::from_utf8(value) {
        let quoted = serde_json::to_string(text).unwrap_or_default();
        let json = quoted.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or_default();
        forms.extend([json.as_bytes().to_vec(), json.replace('/', r"\/").into_bytes(), ascii_json(json)]);
        forms.push(text.replace('\'', r"'\''").into_bytes());
    }
    forms.retain(|form| form != value && form.len() >= SHORTEST);
    forms
}

/// A JSON text with all but ASCII escaped, as Python writes it.
fn ascii_json(json: &str) -> Vec<u8> {
    let mut form = String::new();
    for character in json.chars() {
        if character.is_ascii() {
            form.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // A string takes everything.
            let _ = write!(form, "\\u{unit:04x}");
        }
    }
    form.into_bytes()
}

/// Masks a stream that comes in pieces. A tail that may be the beginning of a
/// secret is held back until the next piece.
#[derive(Debug)]
pub(super) struct Masker {
    secrets: Arc<Secrets>,
    held: Vec<u8>,
}

impl Masker {
    /// Nothing seen yet.
    pub(super) const fn new(secrets: Arc<Secrets>) -> Self {
        Self { secrets, held: Vec::new() }
    }

    /// Whether there is nothing to mask, so that all passes as it is.
    pub(super) fn is_idle(&self) -> bool {
        self.secrets.patterns.is_empty()
    }

    /// Appends to `out` what of the stream can be shown by now.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.is_idle() {
            out.extend_from_slice(bytes);
            return;
        }
        self.held.extend_from_slice(bytes);
        self.advance(out, false);
    }

    /// Appends the rest, at the end of the stream.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.advance(out, true);
    }

    fn advance(&mut self, out: &mut Vec<u8>, end: bool) {
        let cut = |from| if end { self.held.len() } else { self.secrets.cut(&self.held, from) };
        let (mut shown, mut hold) = (0, cut(0));
        while let Some((start, after)) = self.secrets.find(&self.held, shown) {
            // A longer one may begin here, or have begun before.
            if start >= hold {
                break;
            }
            out.extend_from_slice(&self.held[shown..start]);
            out.extend_from_slice(MASK);
            shown = after;
            if hold < shown {
                hold = cut(shown);
            }
        }
        out.extend_from_slice(&self.held[shown..hold]);
        self.held.drain(..hold);
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn masked(secrets: &[&str], pieces: &[&str]) -> String {
        let secrets = Arc::new(Secrets::new(secrets.iter().map(|secret| secret.as_bytes())));
        let (mut masker, mut out) = (Masker::new(secrets), Vec::new());
        for piece in pieces {
            masker.feed(piece.as_bytes(), &mut out);
        }
        masker.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_secret_is_found_across_pieces() {
        assert_eq!(
            masked(&["hunter2"], &["it is hun", "t", "er2, again hunter", "3"]),
            "it is ***, again hunter3"
        );
    }

    #[test]
    fn the_longer_of_two_secrets_is_hidden_whole() {
        assert_eq!(masked(&["pass", "password"], &["passw", "ord pass passwort"]), "*** *** ***wort");
    }

    #[test]
    fn every_line_of_a_secret_is_hidden() {
        let key = "-----BEGIN-----\nabcdefgh\n-----END-----\n";
        assert_eq!(masked(&[key], &["abcdefgh\n", key]), "***\n***\n");
    }

    #[test]
    fn short_values_and_truth_values_are_not_secrets() {
        assert_eq!(masked(&["1", "abc", "true", ""], &["abc true 1"]), "abc true 1");
    }

    #[test]
    fn base64_of_a_secret_is_hidden_wherever_it_stands() {
        for before in ["", "u", "us", "user:"] {
            let text = STANDARD.encode(format!("{before}correct horse battery!"));
            let seen = masked(&["correct horse battery"], &[&text]);
            assert!(seen.contains("***") && seen.len() < 16, "{text} became {seen}");
        }
        for before in ["", "u", "us"] {
            let text = STANDARD.encode(format!("{before}correct horse battery"));
            let seen = masked(&["correct horse battery"], &[&text]);
            assert!(seen.trim_end_matches('=').ends_with("***"), "{text} became {seen}");
        }
    }

    #[test]
    fn a_secret_is_hidden_where_it_is_escaped() {
        let secret = "p/ss w\"rd'\u{e4}&x";
        let shapes = [
            "p%2Fss%20w%22rd%27%C3%A4%26x",
            "p%2fss%20w%22rd%27%c3%a4%26x",
            "p%2Fss+w%22rd%27%C3%A4%26x",
            "p/ss w\\\"rd'\u{e4}&x",
            "p\\/ss w\\\"rd'\u{e4}&x",
            "p/ss w\\\"rd'\\u00e4&x",
            "p/ss w\"rd'\\''\u{e4}&x",
        ];
        for shape in shapes {
            assert_eq!(masked(&[secret], &["<", shape, ">"]), "<***>", "{shape}");
        }
    }

    #[test]
    fn a_secret_that_waits_for_a_longer_one_is_not_shown() {
        assert_eq!(masked(&["abcd", "bcdefgh"], &["xabcd", "efgh"]), "x***efgh");
        assert_eq!(masked(&["abcdefgh", "cdef"], &["xabcdef", "!"]), "xab***!");
    }

    #[test]
    fn many_long_secrets_are_found() {
        let secrets: Vec<String> = (0..300).map(|at| format!("{at:04}").repeat(300)).collect();
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        assert_eq!(masked(&secrets, &["<", &secrets[7][..700], &secrets[7][700..], ">"]), "<***>");
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in "[ab]{0,60}", cuts in prop::collection::vec(0..60_usize, 0..6)) {
            let secrets = ["abab", "aabbab", "bbbb"];
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let whole = masked(&secrets, &[&text]);
            prop_assert_eq!(&masked(&secrets, &pieces), &whole);
            prop_assert!(secrets.iter().all(|secret| !whole.contains(secret)));
        }
    }
}
