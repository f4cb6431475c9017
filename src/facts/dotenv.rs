//! Files of variables: `NAME=value`, one a line.
//!
//! `export` may stand before a name. A value in single quotes is taken as it is,
//! one in double quotes with `\n`, `\r`, `\t`, `\"`, `\\`, and `\$`; both may
//! have several lines. A value without quotes ends at the end of the line or at
//! a `#` behind white space, and is trimmed. Nothing is ever substituted.

/// What is wrong with a file, and in which line. Never what stands there: it may
/// be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    pub(super) line: usize,
    pub(super) what: &'static str,
}

/// The variables of a file, in order; a later one wins over an earlier one.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, Vec<Invalid>> {
    let mut parser = Parser { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let mut variables = Vec::new();
    let mut invalid = Vec::new();
    while !parser.rest.is_empty() {
        let line = parser.line;
        match parser.entry() {
            Ok(found) => variables.extend(found),
            Err(what) => {
                invalid.push(Invalid { line, what });
                parser.skip_line();
            }
        }
    }
    if invalid.is_empty() { Ok(variables) } else { Err(invalid) }
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Parser<'a> {
    /// One line, or the several lines of a value in quotes.
    fn entry(&mut self) -> Result<Option<(String, String)>, &'static str> {
        self.skip_blanks();
        if self.rest.is_empty() || self.rest.starts_with(['\n', '\r', '#']) {
            self.skip_line();
            return Ok(None);
        }
        if let Some(rest) = self.rest.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])) {
            self.rest = rest;
            self.skip_blanks();
        }
        let fits = |c: char| c == '_' || c == '.' || c.is_ascii_alphanumeric();
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let name = self.take(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("a line is `NAME=value`, and a name is letters, digits, and `_`");
        }
        self.skip_blanks();
        self.rest = self.rest.strip_prefix('=').ok_or("there is no `=` behind the name")?;
        self.skip_blanks();
        let value = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let value = self.quoted(quote)?;
                self.skip_blanks();
                if !self.rest.is_empty() && !self.rest.starts_with(['\n', '\r', '#']) {
                    return Err("something stands behind the closing quote");
                }
                value
            }
            _ => self.plain().to_owned(),
        };
        self.skip_line();
        if value.contains('\0') {
            Err("a value cannot have a NUL character")
        } else {
            Ok(Some((name.to_owned(), value)))
        }
    }

    fn plain(&mut self) -> &'a str {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        let line = self.take(end);
        let comment = line.char_indices().find(|&(at, c)| {
            let before = line.get(..at).unwrap_or_default();
            c == '#' && (before.is_empty() || before.ends_with([' ', '\t']))
        });
        line.get(..comment.map_or(line.len(), |(at, _)| at)).unwrap_or_default().trim()
    }

    fn quoted(&mut self, quote: char) -> Result<String, &'static str> {
        let mut value = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            if character == quote {
                self.take(at + 1);
                return Ok(value);
            }
            if character != '\\' || quote == '\'' {
                value.push(character);
                continue;
            }
            match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(escaped @ ('"' | '\\' | '$')) => value.push(escaped),
                Some(other) => value.extend(['\\', other]),
                None => break,
            }
        }
        Err("the closing quote is missing")
    }

    /// Goes on by some bytes, and returns them.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn skip_line(&mut self) {
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        self.take(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap()
    }

    fn is(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn plain_values_are_trimmed_and_lose_their_comment() {
        assert_eq!(variables("A=b c  # why\r\n"), is("A", "b c"));
        assert_eq!(variables("  export A = b#c"), is("A", "b#c"));
        assert_eq!(variables("A="), is("A", ""));
        assert_eq!(variables("A= # why"), is("A", ""));
        assert_eq!(variables("\u{feff}\n# nothing\n\nA=$B\n"), is("A", "$B"));
    }

    #[test]
    fn quotes_keep_blanks_lines_and_signs() {
        assert_eq!(variables("A=' # b\\n' # why\n"), is("A", " # b\\n"));
        assert_eq!(variables("A=\"a\\n\\\"b\\\" \\$c \\d\""), is("A", "a\n\"b\" $c \\d"));
        let key = "KEY=\"-----BEGIN-----\nabc\n-----END-----\"\nB=1";
        let found = [is("KEY", "-----BEGIN-----\nabc\n-----END-----"), is("B", "1")].concat();
        assert_eq!(variables(key), found);
    }

    #[test]
    fn every_wrong_line_is_told_without_what_stands_in_it() {
        let text = "A=1\nhunter2\n1A=x\nB=\"x\" hunter2\nC='\n\nhunter2";
        let wrong = |line, what| Invalid { line, what };
        assert_eq!(
            parse(text),
            Err(vec![
                wrong(2, "there is no `=` behind the name"),
                wrong(3, "a line is `NAME=value`, and a name is letters, digits, and `_`"),
                wrong(4, "something stands behind the closing quote"),
                wrong(5, "the closing quote is missing"),
                wrong(7, "there is no `=` behind the name"),
            ])
        );
    }
}
