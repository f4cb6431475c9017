//! Secrets taken out of what steps write.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::iter::Peekable;
use std::sync::Arc;
use std::vec;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::diagnostic::Problems;
use crate::run::fold::Folded;
use crate::run::patterns::Patterns;
use crate::run::wrapped::Wrapped;

/// What stands in place of a secret.
const MASK: &[u8] = b"***";

/// A value shorter than this is not masked: it would hide half of any text, and
/// the gaps would tell it.
const SHORTEST: usize = 4;

/// Fewest characters of base64 that are taken for a secret.
const SHORTEST_BASE64: usize = 8;

/// Fewest characters of base64 before a line break that are held back until it is known
/// what comes behind it: else many a line would wait for the next one.
const SHORTEST_PIECE: usize = 4;

/// The byte sequences that must not be seen.
#[derive(Debug)]
pub(super) struct Secrets {
    all: Patterns,
    /// Those of them that may have line breaks within.
    wrapped: Wrapped,
}

impl Secrets {
    /// Hides each value, each line of a value of several lines, what base64 makes
    /// of the value wherever it stands in what is encoded, wrapped or not, and the value
    /// as it stands in a URL, a form, a JSON text, and a shell's quotes. `true` and
    /// `false` are no secrets.
    pub(super) fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let (mut all, mut base64) = (BTreeSet::new(), BTreeSet::new());
        for value in values {
            let value = value.trim_ascii();
            if value.len() < SHORTEST || matches!(value, b"true" | b"false") {
                continue;
            }
            base64.extend(base64_forms(value));
            let lines = value.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
            for part in lines.filter(|line| line.len() >= SHORTEST).chain([value]) {
                all.extend(escaped_forms(part));
                all.insert(part.to_vec());
            }
        }
        all.extend(base64.iter().cloned());
        Self { all: Patterns::new(all), wrapped: Wrapped::new(base64) }
    }

    /// The first place, at or behind this one, from which on a text is the
    /// beginning of a secret; else the end of the text.
    fn cut(&self, text: &[u8], folded: &Folded, from: usize) -> usize {
        let least = if folded.is_open() { SHORTEST_PIECE } else { 1 };
        let wrapped = self.wrapped.cut(folded, from, least).unwrap_or(text.len());
        self.all.cut(text, from).min(wrapped)
    }

    /// A text as it may be seen.
    pub(super) fn hide(self: &Arc<Self>, text: &str) -> String {
        let (mut masker, mut out) = (Masker::new(Arc::clone(self)), Vec::new());
        masker.space().extend_from_slice(text.as_bytes());
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
    let percent = |space: &str, upper: bool, kept: &str| -> Vec<u8> {
        let escaped = value.iter().map(|byte| match byte {
            b' ' => space.to_owned(),
            byte if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(byte) => {
                char::from(*byte).to_string()
            }
            byte if upper => format!("%{byte:02X}"),
            byte => format!("%{byte:02x}"),
        });
        escaped.collect::<String>().into_bytes()
    };
    // RFC 3986 keeps the first; Python's `quote` a slash, JavaScript's `encodeURIComponent`
    // and `encodeURI` more.
    let mut forms = vec![
        percent("%20", true, "-._~"),
        percent("%20", false, "-._~"),
        percent("+", true, "-._~"),
        percent("%20", true, "-._~/"),
        percent("%20", true, "-._~!'()*"),
        percent("%20", true, "-._~!'()*;,/?:@&=+$#"),
    ];
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

/// The secrets in a text, from its beginning to its end.
struct Matches<'a> {
    secrets: &'a Secrets,
    text: &'a [u8],
    next: Option<(usize, usize)>,
    /// Those with line breaks within.
    wrapped: Peekable<vec::IntoIter<(usize, usize)>>,
}

impl<'a> Matches<'a> {
    fn new(secrets: &'a Secrets, text: &'a [u8], folded: &Folded) -> Self {
        let wrapped = secrets.wrapped.find(folded).into_iter().peekable();
        Self { secrets, text, next: secrets.all.find(text, 0), wrapped }
    }

    /// The first one at or behind a place, which never lies before the end of what was
    /// found last. Two that overlap are one.
    fn from(&mut self, place: usize) -> Option<(usize, usize)> {
        if self.next.is_some_and(|(start, _)| start < place) {
            self.next = self.secrets.all.find(self.text, place);
        }
        while self.wrapped.next_if(|(start, _)| *start < place).is_some() {}
        match (self.next, self.wrapped.peek().copied()) {
            (Some(one), Some(other)) if one.0 < other.1 && other.0 < one.1 => {
                Some((one.0.min(other.0), one.1.max(other.1)))
            }
            (one, other) => one.into_iter().chain(other).min(),
        }
    }
}

/// Masks a stream that comes in pieces. A tail that may be the beginning of a
/// secret is held back until the next piece.
#[derive(Debug)]
pub(super) struct Masker {
    secrets: Arc<Secrets>,
    held: Vec<u8>,
    /// So many bytes of these were shown: the end of a line, too short to be held back,
    /// with which wrapped base64 may have begun.
    seen: usize,
    folded: Folded,
}

impl Masker {
    /// Nothing seen yet.
    pub(super) fn new(secrets: Arc<Secrets>) -> Self {
        Self { secrets, held: Vec::new(), seen: 0, folded: Folded::default() }
    }

    /// Whether there is nothing to mask, so that all passes as it is.
    pub(super) fn is_idle(&self) -> bool {
        self.secrets.all.is_empty()
    }

    /// Where what comes of the stream is to be appended.
    pub(super) fn space(&mut self) -> &mut Vec<u8> {
        &mut self.held
    }

    /// Appends to `out` what of the stream can be shown by now.
    pub(super) fn show(&mut self, out: &mut Vec<u8>) {
        self.advance(out, false);
    }

    /// Appends the rest, at the end of the stream.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.advance(out, true);
    }

    fn advance(&mut self, out: &mut Vec<u8>, end: bool) {
        let Self { secrets, held, seen, folded } = self;
        if secrets.all.is_empty() {
            out.append(held);
            return;
        }
        if !secrets.wrapped.is_empty() {
            folded.fold(held);
        }
        let cut = |from| if end { held.len() } else { secrets.cut(held, folded, from) };
        let mut matches = Matches::new(secrets, held, folded);
        let (mut from, mut shown, mut hold) = (0, *seen, cut(0));
        while let Some((start, after)) = matches.from(from) {
            // A longer one may begin here, or have begun before.
            if start >= hold {
                break;
            }
            out.extend_from_slice(held.get(shown..start).unwrap_or_default());
            out.extend_from_slice(MASK);
            (from, shown) = (after, after);
            if hold < shown {
                hold = cut(shown);
            }
        }
        out.extend_from_slice(held.get(shown..hold).unwrap_or_default());
        let shown = shown.max(hold);
        let context = if hold == held.len() && folded.is_open() && !end {
            folded.place((folded.text().len() + 1).saturating_sub(SHORTEST_PIECE)).max(from)
        } else {
            hold
        };
        held.drain(..context);
        *seen = shown - context;
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn feed(masker: &mut Masker, piece: &str, out: &mut Vec<u8>) {
        masker.space().extend_from_slice(piece.as_bytes());
        masker.show(out);
    }

    fn masked(secrets: &[&str], pieces: &[&str]) -> String {
        let secrets = Arc::new(Secrets::new(secrets.iter().map(|secret| secret.as_bytes())));
        let (mut masker, mut out) = (Masker::new(secrets), Vec::new());
        for piece in pieces {
            feed(&mut masker, piece, &mut out);
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
            "p/ss%20w%22rd%27%C3%A4%26x",
            "p%2Fss%20w%22rd'%C3%A4%26x",
            "p/ss%20w%22rd'%C3%A4&x",
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

    const TOKEN: &str = "a token of more than fifty-seven bytes, which base64 wraps: 0123456789abcdef";

    fn wrapped(text: &str, columns: usize, line_break: &str) -> String {
        let text = STANDARD.encode(text);
        let lines: Vec<&str> = (0..text.len().div_ceil(columns))
            .map(|line| &text[line * columns..text.len().min((line + 1) * columns)])
            .collect();
        lines.join(line_break) + line_break
    }

    #[test]
    fn base64_of_a_secret_is_hidden_where_it_is_wrapped() {
        for before in ["", "u", "us", "user:", &"x".repeat(50)] {
            for (columns, line_break) in
                [(76, "\n"), (64, "\n"), (64, "\r\n"), (20, "\n"), (3, "\n"), (1, "\r\n")]
            {
                let text = wrapped(&format!("{before}{TOKEN}"), columns, line_break);
                let whole = masked(&[TOKEN], &[&text]);
                let rest = before.len().div_ceil(3) * 5 + 12;
                assert!(whole.contains("***") && whole.len() < rest * 3, "{text} became {whole}");
                for at in (0..text.len()).step_by(5) {
                    let pieces = masked(&[TOKEN], &[&text[..at], &text[at..]]);
                    // What is so short is not held back at the end of a line.
                    let shown = pieces.replace(['\r', '\n'], "");
                    let wanted = whole.replace(['\r', '\n'], "");
                    assert!(
                        pieces.contains("***") && shown.len() < wanted.len() + SHORTEST_PIECE,
                        "{pieces}"
                    );
                }
                let bytes: Vec<String> = text.chars().map(String::from).collect();
                let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
                let pieces = masked(&[TOKEN], &bytes);
                assert!(pieces.contains("***") && pieces.len() < rest * 3, "{pieces}");
            }
        }
    }

    #[test]
    fn lines_do_not_wait_for_what_may_be_wrapped() {
        let secrets = Arc::new(Secrets::new([TOKEN.as_bytes()]));
        let (mut masker, mut out) = (Masker::new(secrets), Vec::new());
        let begins = STANDARD.encode(TOKEN);
        feed(&mut masker, &format!("ready {}\n", &begins[..3]), &mut out);
        assert_eq!(out, format!("ready {}\n", &begins[..3]).as_bytes());
        feed(&mut masker, &begins[3..], &mut out);
        masker.finish(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("ready {}\n***==", &begins[..3]));
    }

    #[test]
    fn a_secret_that_is_no_base64_is_not_looked_for_across_lines() {
        assert_eq!(masked(&["test"], &["bytes\ntotal test"]), "bytes\ntotal ***");
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
