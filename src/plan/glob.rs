//! Whether two patterns can name one path, decided from their texts alone.
//!
//! A pattern is read as a finite automaton over characters, and the automata of
//! several patterns run side by side over every character that tells them apart.

use std::collections::{BTreeSet, HashSet, VecDeque};

use crate::config::glob_fits;

/// Stands in a text for a part that is not known yet, whatever it will be.
pub(super) const HOLE: char = '\u{f8ff}';

/// The paths that a pattern names.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    states: Vec<State>,
    /// What all its paths begin with: its text up to the first wildcard.
    prefix: String,
    /// Whether that is all of its text.
    literal: bool,
    /// Whether all that lies below what matches belongs to it.
    below: bool,
}

/// What can follow at one point of a pattern.
#[derive(Clone, Debug, Default)]
struct State {
    /// Points that are reached without a character.
    silent: Vec<usize>,
    /// Points that are reached by one of some characters.
    steps: Vec<(Chars, usize)>,
}

#[derive(Clone, Debug)]
enum Chars {
    One(char),
    NotSlash,
    Any,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// Most combinations of points that are looked at; beyond that two patterns are
/// taken to have a path in common.
const MOST_POINTS: usize = 20_000;

impl Chars {
    fn has(&self, c: char) -> bool {
        match self {
            Self::One(one) => *one == c,
            Self::NotSlash => c != '/',
            Self::Any => true,
            Self::Class { negated, ranges } => {
                c != '/' && ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

impl Glob {
    /// The files that an input means: what matches, and what lies below a path
    /// without wildcards.
    pub(super) fn files(text: &str) -> Self {
        Self::new(text, |literal| literal)
    }

    /// What an output, a copy, or a `!` pattern covers: what matches, and all that
    /// lies below it.
    pub(super) fn tree(text: &str) -> Self {
        Self::new(text, |_| true)
    }

    /// What matches, and nothing below it.
    pub(super) fn exact(text: &str) -> Self {
        Self::new(text, |_| false)
    }

    /// Reads a text relative to the project's directory.
    fn new(text: &str, below: fn(bool) -> bool) -> Self {
        let text = text.trim_end_matches('/');
        let wild = |text: &str| text.find(['*', '?', '[', '{', '\\', HOLE]).unwrap_or(text.len());
        // What is no glob is told where its files are read; until then it is any.
        let text = if wild(text) == text.len() || glob_fits(text).is_ok() { text } else { "**" };
        let wild = wild(text);
        let prefix = text.get(..wild).unwrap_or_default().to_owned();
        let literal = wild == text.len();
        let below = below(literal);
        let mut glob = Self { states: vec![State::default()], prefix, literal, below };
        let chars: Vec<char> = text.chars().collect();
        let end = glob.read(&chars, 0);
        let last = glob.state();
        glob.go(end, last);
        if below {
            let below = if text.is_empty() { end } else { glob.step(end, Chars::One('/')) };
            glob.add(below, Chars::Any, below);
            glob.go(below, last);
        }
        glob
    }

    /// What all its paths begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The path that it names; `None` where it has wildcards.
    pub(super) fn path(&self) -> Option<&str> {
        self.literal.then_some(&self.prefix)
    }

    /// Whether it names this path.
    pub(super) fn has(&self, path: &str) -> bool {
        if self.literal {
            return path == self.prefix || self.below && is_below(path, &self.prefix);
        }
        let mut points = self.start();
        for c in path.chars() {
            points = self.after(&points, c);
        }
        self.accepts(&points)
    }

    fn state(&mut self) -> usize {
        self.states.push(State::default());
        self.states.len() - 1
    }

    fn go(&mut self, from: usize, to: usize) {
        if let Some(state) = self.states.get_mut(from) {
            state.silent.push(to);
        }
    }

    fn add(&mut self, from: usize, chars: Chars, to: usize) {
        if let Some(state) = self.states.get_mut(from) {
            state.steps.push((chars, to));
        }
    }

    fn step(&mut self, from: usize, chars: Chars) -> usize {
        let to = self.state();
        self.add(from, chars, to);
        to
    }

    fn repeat(&mut self, from: usize, chars: Chars) -> usize {
        let to = self.state();
        self.go(from, to);
        self.add(to, chars, to);
        to
    }

    /// Reads characters from the point `from` on; the point behind them.
    fn read(&mut self, mut chars: &[char], mut from: usize) -> usize {
        let mut first = true;
        while let Some((&c, rest)) = chars.split_first() {
            (from, chars) = match (c, rest) {
                ('*', ['*', '/', rest @ ..]) if first => {
                    // `**/`: no directory, or some.
                    let inside = self.step(from, Chars::Any);
                    self.add(inside, Chars::Any, inside);
                    let after = self.step(inside, Chars::One('/'));
                    self.go(from, after);
                    (after, rest)
                }
                ('*', ['*', rest @ ..]) => (self.repeat(from, Chars::Any), rest),
                ('*', rest) => (self.repeat(from, Chars::NotSlash), rest),
                (HOLE, rest) => (self.repeat(from, Chars::Any), rest),
                ('?', rest) => (self.step(from, Chars::NotSlash), rest),
                ('\\', [escaped, rest @ ..]) => (self.step(from, Chars::One(*escaped)), rest),
                ('[', rest) => match class(rest) {
                    Some((chars, rest)) => (self.step(from, chars), rest),
                    None => (self.step(from, Chars::One('[')), rest),
                },
                ('{', rest) => match alternatives(rest) {
                    Some((choices, rest)) => {
                        let after = self.state();
                        for choice in choices {
                            let end = self.read(choice, from);
                            self.go(end, after);
                        }
                        (after, rest)
                    }
                    None => (self.step(from, Chars::One('{')), rest),
                },
                (c, rest) => (self.step(from, Chars::One(c)), rest),
            };
            first = c == '/' || (first && c == '*');
        }
        from
    }

    fn start(&self) -> BTreeSet<usize> {
        self.settle([0])
    }

    /// All points that are reached from some without a character.
    fn settle(&self, points: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let mut open: Vec<usize> = points.into_iter().collect();
        let mut settled = BTreeSet::new();
        while let Some(point) = open.pop() {
            if settled.insert(point) {
                open.extend(self.states.get(point).into_iter().flat_map(|state| &state.silent));
            }
        }
        settled
    }

    fn after(&self, points: &BTreeSet<usize>, c: char) -> BTreeSet<usize> {
        let steps = points.iter().filter_map(|point| self.states.get(*point)).flat_map(|state| &state.steps);
        self.settle(steps.filter(|(chars, _)| chars.has(c)).map(|(_, to)| *to))
    }

    /// The point behind the whole pattern is the one that nothing leads away from.
    fn accepts(&self, points: &BTreeSet<usize>) -> bool {
        points.iter().filter_map(|point| self.states.get(*point)).any(State::is_end)
    }

    /// Characters that tell its points apart.
    fn telling(&self, into: &mut BTreeSet<char>) {
        for (chars, _) in self.states.iter().flat_map(|state| &state.steps) {
            match chars {
                Chars::One(c) => into.extend([*c]),
                Chars::Class { ranges, .. } => into.extend(ranges.iter().flat_map(|(low, high)| {
                    let next =
                        |c: char, by: i32| u32::from(c).checked_add_signed(by).and_then(char::from_u32);
                    [Some(*low), Some(*high), next(*low, -1), next(*high, 1)].into_iter().flatten()
                })),
                Chars::NotSlash | Chars::Any => {}
            }
        }
    }
}

impl State {
    fn is_end(&self) -> bool {
        self.silent.is_empty() && self.steps.is_empty()
    }
}

/// What follows `[`, up to and with `]`.
fn class(chars: &[char]) -> Option<(Chars, &[char])> {
    let (negated, chars) = match chars {
        ['!' | '^', rest @ ..] => (true, rest),
        all => (false, all),
    };
    // A `]` that comes first is one of the characters.
    let end = chars.iter().skip(1).position(|c| *c == ']')? + 1;
    let (mut inside, rest) = (chars.get(..end)?, chars.get(end + 1..)?);
    let mut ranges = Vec::new();
    loop {
        (inside, ranges) = match inside {
            [] => return Some((Chars::Class { negated, ranges }, rest)),
            [low, '-', high, more @ ..] => (more, with(ranges, (*low, *high))),
            [one, more @ ..] => (more, with(ranges, (*one, *one))),
        };
    }
}

fn with<T>(mut all: Vec<T>, one: T) -> Vec<T> {
    all.push(one);
    all
}

/// What follows `{`, up to and with its `}`.
fn alternatives(chars: &[char]) -> Option<(Vec<&[char]>, &[char])> {
    let (mut depth, mut start, mut choices) = (0usize, 0usize, Vec::new());
    for (at, c) in chars.iter().enumerate() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                choices.push(chars.get(start..at)?);
                return Some((choices, chars.get(at + 1..)?));
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                choices.push(chars.get(start..at)?);
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

/// Whether some path is named by both of two patterns and by none of others.
pub(super) fn meet(one: &Glob, other: &Glob, without: &[&Glob]) -> bool {
    if !one.prefix.starts_with(&other.prefix) && !other.prefix.starts_with(&one.prefix) {
        return false;
    }
    for (one, other) in [(one, other), (other, one)] {
        if let Some(path) = one.path().filter(|_| !one.below) {
            return other.has(path) && !without.iter().any(|glob| glob.has(path));
        }
    }
    if let (Some(here), Some(there), []) = (one.path(), other.path(), without) {
        return one.has(there) || other.has(here);
    }
    let all: Vec<&Glob> = [one, other].into_iter().chain(without.iter().copied()).collect();
    // One character that no pattern names stands for all such.
    let mut alphabet = BTreeSet::from(['/', '\u{10ffff}']);
    for glob in &all {
        glob.telling(&mut alphabet);
    }
    let start: Vec<BTreeSet<usize>> = all.iter().map(|glob| glob.start()).collect();
    let mut seen = HashSet::from([start.clone()]);
    let mut open = VecDeque::from([start]);
    while let Some(points) = open.pop_front() {
        let accepted =
            |at: usize| matches!((all.get(at), points.get(at)), (Some(g), Some(p)) if g.accepts(p));
        if accepted(0) && accepted(1) && !(2..all.len()).any(accepted) {
            return true;
        }
        if seen.len() > MOST_POINTS {
            return true;
        }
        for c in &alphabet {
            let next: Vec<BTreeSet<usize>> =
                all.iter().zip(&points).map(|(glob, points)| glob.after(points, *c)).collect();
            let dead = next.iter().take(2).any(BTreeSet::is_empty);
            if !dead && seen.insert(next.clone()) {
                open.push_back(next);
            }
        }
    }
    false
}

/// Whether a path lies below another.
fn is_below(path: &str, other: &str) -> bool {
    other.is_empty() || path.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meets(one: &str, other: &str, without: &[&str]) -> bool {
        let without: Vec<Glob> = without.iter().map(|text| Glob::tree(text)).collect();
        meet(&Glob::files(one), &Glob::files(other), &without.iter().collect::<Vec<_>>())
    }

    #[test]
    fn patterns_meet_where_one_path_fits_both() {
        let cases = [
            ("dist/web", "dist/web", true),
            ("dist/web", "dist/webs", false),
            ("dist", "dist/web", true),
            ("dist/", "dist/web", true),
            ("dist/*", "dist/web", true),
            ("dist/*", "dist/a/b", false),
            ("dist/**", "dist/a/b", true),
            ("**/*.py", "setup.py", true),
            ("**/*.py", "a/b/c.py", true),
            ("src/**/*.py", "src/gen/*_pb2.py", true),
            ("src/**/*.py", "src/gen/*.rs", false),
            ("a/*b/c", "a/d*/c", true),
            ("a/[a-c]x", "a/[d-f]x", false),
            ("a/[!a-c]x", "a/[c-d]x", true),
            ("{a,b}/x", "{b,c}/x", true),
            ("{a,b}/x", "{c,d}/x", false),
            ("x/{a,b{c,d}}", "x/bd", true),
            ("", "anything/at/all", true),
            ("a/?", "a/bc", false),
            ("a/**/b", "a/b", true),
            ("dist/\u{f8ff}/web", "dist/amd64/web", true),
            ("dist/\u{f8ff}/web", "dist/amd64/*.txt", false),
        ];
        for (one, other, expected) in cases {
            assert_eq!(meets(one, other, &[]), expected, "{one} {other}");
            assert_eq!(meets(other, one, &[]), expected, "{other} {one}");
        }
    }

    #[test]
    fn what_is_taken_away_does_not_meet() {
        assert!(!meets("src/**/*.py", "src/*_pb2.py", &["**/*_pb2.py"]));
        assert!(meets("src/**/*.py", "src/*.py", &["**/*_pb2.py"]));
        assert!(!meets("dist", "dist/a", &["dist"]));
        assert!(!meets("dist/**", "dist/a/b", &["dist/*"]));
    }

    #[test]
    fn a_tree_has_all_that_lies_below_what_matches() {
        let meets = |tree: &str, files: &str| meet(&Glob::tree(tree), &Glob::files(files), &[]);
        assert!(meets("dist/*", "dist/js/app.js"));
        assert!(meets("dist/{js,css}", "dist/js/*.js"));
        assert!(!meets("dist/*.js", "dist/js/app.js"));
    }

    #[test]
    fn what_matches_exactly_has_nothing_below_it() {
        let meets = |exact: &str, files: &str, without: &[&Glob]| {
            meet(&Glob::exact(exact), &Glob::files(files), without)
        };
        assert!(meets("src/f.txt", "src/*", &[]));
        assert!(meets("src/f.txt", "src", &[]));
        assert!(!meets("src/f.txt", "src/*", &[&Glob::tree("src/f.*")]));
        assert!(!meets("src/f.txt", "src/**/*.c", &[]));
        assert!(!meets("src/f.txt", "src/f.txt/a.c", &[]));
        assert!(!meets("src/*.o", "src/**/*.c", &[]));
    }

    proptest::proptest! {
        /// The oracle is the matcher of the `globset` crate, over all short paths.
        #[test]
        fn patterns_meet_exactly_where_a_path_fits_both(
            one in "([ab?]{0,2}[*?][ab]{0,2}|[ab]/[ab]?[*?]|[*?][ab]?/[ab])",
            other in "([ab?]{0,2}[*?][ab]{0,2}|[ab]/[ab]?[*?]|[*?][ab]?/[ab])",
        ) {
            let matcher = |text: &str| {
                globset::GlobBuilder::new(text).literal_separator(true).build().unwrap().compile_matcher()
            };
            let (left, right) = (matcher(&one), matcher(&other));
            let expected = short_paths().iter().any(|path| left.is_match(path) && right.is_match(path));
            proptest::prop_assert_eq!(meets(&one, &other, &[]), expected, "{} {}", one, other);
        }
    }

    /// All texts of up to eight of `a`, `b`, and `/`; long enough for any
    /// two patterns of five characters.
    fn short_paths() -> &'static [String] {
        static PATHS: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| {
            let mut layers = vec![vec![String::new()]];
            for _ in 0..8 {
                let last = layers.last().cloned().unwrap_or_default();
                layers.push(
                    last.iter().flat_map(|text| ['a', 'b', '/'].map(|c| format!("{text}{c}"))).collect(),
                );
            }
            layers.into_iter().flatten().filter(|path| !path.is_empty()).collect()
        });
        &PATHS
    }
}
