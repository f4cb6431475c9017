//! One pattern of an ignore file: a glob of Go's `filepath.Match`, and `**`
//! (`github.com/moby/patternmatcher`).

/// A pattern that is well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// The pattern, cleaned, without `!`.
    text: String,
    form: Form,
}

/// How a path is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// It is the text.
    Exact,
    /// It begins with the text before `**`.
    Prefix,
    /// It ends with the text behind `**`, or is that without its slash.
    Suffix,
    Glob(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// `?`: one character but a slash.
    One,
    /// `*`: any, but no slash.
    Many,
    /// `**/`: nothing, or anything that ends with a slash.
    Directories,
    /// `**` at the end: anything.
    Rest,
    /// `[…]`.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    /// Reads a pattern that is [cleaned](clean); `None` if it is not well formed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut form = Form::Exact;
        let mut tokens = Vec::new();
        let mut is_glob = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    let is_first = tokens.is_empty();
                    chars.next_if_eq(&'/');
                    if chars.peek().is_some() {
                        tokens.push(Token::Directories);
                        is_glob = !is_first;
                    } else if !is_glob && form == Form::Exact {
                        tokens.push(Token::Rest);
                        form = Form::Prefix;
                    } else {
                        tokens.push(Token::Rest);
                        is_glob = true;
                    }
                    if is_first {
                        form = Form::Suffix;
                    }
                }
                '*' => {
                    tokens.push(Token::Many);
                    is_glob = true;
                }
                '?' => {
                    tokens.push(Token::One);
                    is_glob = true;
                }
                '[' => {
                    tokens.push(class(&mut chars)?);
                    is_glob = true;
                }
                '\\' => {
                    tokens.push(Token::Literal(chars.next()?));
                    is_glob = true;
                }
                ']' => {
                    tokens.push(Token::Literal(c));
                    is_glob = true;
                }
                c => tokens.push(Token::Literal(c)),
            }
        }
        let form = if is_glob { Form::Glob(tokens) } else { form };
        Some(Self { text: text.to_owned(), form })
    }

    /// Whether a path is meant.
    pub(super) fn matches(&self, path: &str) -> bool {
        match &self.form {
            Form::Exact => path == self.text,
            Form::Prefix => self.text.strip_suffix("**").is_some_and(|start| path.starts_with(start)),
            Form::Suffix => {
                let suffix = self.text.get(2..).unwrap_or_default();
                path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path)
            }
            Form::Glob(tokens) => glob(tokens, path),
        }
    }

    /// Whether something below a directory may be meant; `false` is certain.
    pub(super) fn may_match_below(&self, directory: &str) -> bool {
        let literal = |part: &&str| !part.contains(['*', '?', '[', '\\']);
        let parts = self.text.split('/').collect::<Vec<_>>();
        let fixed = parts.iter().copied().take_while(|part| literal(part)).count();
        let above: Vec<&str> = directory.split('/').collect();
        let common = parts.iter().take(fixed).zip(&above).all(|(part, name)| part == name);
        common && (fixed < parts.len() || parts.len() > above.len())
    }
}

/// The characters behind `[`, up to `]`.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Token::Class { negated, ranges });
        }
        let low = member(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { member(chars)? } else { low };
        ranges.push((low, high));
    }
}

/// One end of a range.
fn member(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        c => Some(c),
    }
}

/// Follows all ways through the tokens at once. Two states a token: before it, and
/// within it.
fn glob(tokens: &[Token], path: &str) -> bool {
    let count = tokens.len();
    let mut before = vec![false; count + 1];
    let mut within = vec![false; count + 1];
    enter(tokens, &mut before, 0);
    for c in path.chars() {
        let mut next_before = vec![false; count + 1];
        let mut next_within = vec![false; count + 1];
        for (at, token) in tokens.iter().enumerate() {
            let here = before.get(at) == Some(&true);
            let inside = within.get(at) == Some(&true);
            match token {
                Token::Literal(literal) if here && *literal == c => enter(tokens, &mut next_before, at + 1),
                Token::One if here && c != '/' => enter(tokens, &mut next_before, at + 1),
                Token::Class { negated, ranges } if here => {
                    let among = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                    if among != *negated {
                        enter(tokens, &mut next_before, at + 1);
                    }
                }
                Token::Many if here && c != '/' => enter(tokens, &mut next_before, at),
                Token::Rest if here => enter(tokens, &mut next_before, at),
                Token::Directories if here || inside => {
                    if let Some(state) = next_within.get_mut(at) {
                        *state = true;
                    }
                    if c == '/' {
                        enter(tokens, &mut next_before, at + 1);
                    }
                }
                _ => {}
            }
        }
        (before, within) = (next_before, next_within);
    }
    before.last() == Some(&true)
}

/// Stands before a token, and before those behind it that may be nothing.
fn enter(tokens: &[Token], before: &mut [bool], from: usize) {
    for at in from..before.len() {
        if let Some(state) = before.get_mut(at) {
            *state = true;
        }
        if !matches!(tokens.get(at), Some(Token::Many | Token::Rest | Token::Directories)) {
            return;
        }
    }
}

/// The shortest spelling of a path (Go's `path.Clean`).
pub(super) fn clean(path: &str) -> String {
    let is_rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match parts.last() {
            Some(last) if part == ".." && *last != ".." => {
                parts.pop();
            }
            None if part == ".." && is_rooted => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (is_rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}
