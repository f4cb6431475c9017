//! One instruction, read.

use std::ops::Range;

use crate::diagnostic::{Code, Problem, Problems, SourceId, Span, Spanned, nearest};
use crate::dockerfile::argument::{BLANKS, divided, quoted};
use crate::dockerfile::line::{Line, Lines};
use crate::dockerfile::stage::MAX_PROBLEMS;
use crate::dockerfile::{Directives, Flag, Heredoc, Keyword, flag, heredoc};

/// An instruction of a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Which one.
    pub keyword: Spanned<Keyword>,
    /// Its flags, in order.
    pub flags: Vec<Flag>,
    /// Its arguments, variables not filled in. Those of `ADD`, `COPY`, `EXPOSE`,
    /// `FROM`, and `VOLUME` are words; those of `ARG`, `ENV`, and `LABEL` words with
    /// their quotes, `name=value` also where the file has `name value`; all others
    /// have one, which is the text as it stands.
    pub arguments: Vec<Spanned<String>>,
    /// Whether the arguments are those of a JSON array.
    pub is_json: bool,
    /// Its here-documents.
    pub heredocs: Vec<Heredoc>,
    /// What `ONBUILD` sets aside.
    pub trigger: Option<Box<Self>>,
    /// All of it, but for its here-documents.
    pub span: Span,
}

impl Instruction {
    /// The last flag of a name.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<&Flag> {
        self.flags.iter().rev().find(|flag| flag.name == name)
    }
}

/// Reads instructions.
pub(super) struct Reader<'a> {
    pub(super) source: SourceId,
    pub(super) directives: &'a Directives,
    pub(super) problems: &'a mut Problems,
}

impl Reader<'_> {
    /// The next instruction that can be read; what is wrong is told and passed over.
    pub(super) fn next(&mut self, lines: &mut Lines<'_>) -> Option<Instruction> {
        while self.problems.as_slice().len() < MAX_PROBLEMS {
            let line = lines.logical()?;
            if let Some(mut read) = self.instruction(&line, 0, lines.escape) {
                self.heredocs(&mut read, &line, lines);
                return Some(read);
            }
        }
        None
    }

    fn span(&self, line: &Line, range: Range<usize>) -> Span {
        Span::new(self.source, line.place(range))
    }

    fn wrong(&mut self, title: impl Into<String>, span: Span, label: &str, help: &str) {
        let problem = Problem::new(Code::InvalidInstruction, title).label(span, label);
        self.problems.push(problem.help(help));
    }

    /// The instruction that begins at `from` in a line.
    fn instruction(&mut self, line: &Line, from: usize, escape: char) -> Option<Instruction> {
        let text = line.text.get(from..)?.trim_end();
        let name = text.split(BLANKS).next().unwrap_or_default();
        let place = self.span(line, from..from + name.len());
        let keyword = match Keyword::named(name) {
            Some(keyword) => keyword,
            None if self.directives.is_foreign() => Keyword::Foreign,
            None => {
                let near = nearest(&name.to_ascii_uppercase(), Keyword::names());
                let problem =
                    Problem::new(Code::UnknownInstruction, format!("there is no instruction `{name}`"))
                        .label(place, "unknown")
                        .help("a line that belongs to the one before needs a `\\` at the end of that one");
                self.problems.push(problem.maybe_help(near.map(|near| format!("did you mean `{near}`?"))));
                return None;
            }
        };
        let behind = from + name.len();
        let (flags, begin) = flag::split(line.text.get(behind..behind + text.len() - name.len())?);
        let flags = flags.into_iter().map(|(name, value, range)| Flag {
            name,
            value,
            span: self.span(line, behind + range.start..behind + range.end),
        });
        let at = behind + begin;
        let rest = line.text.get(at..from + text.len()).unwrap_or_default();
        let at = at + rest.len() - rest.trim_start().len();
        let mut read = Instruction {
            keyword: Spanned::new(keyword, place),
            flags: flags.collect(),
            arguments: Vec::new(),
            is_json: false,
            heredocs: Vec::new(),
            trigger: None,
            span: self.span(line, from..from + text.len()),
        };
        self.arguments(&mut read, line, at..at + rest.trim_start().len(), escape);
        self.check(&read);
        Some(read)
    }

    fn arguments(&mut self, read: &mut Instruction, line: &Line, range: Range<usize>, escape: char) {
        let rest = line.text.get(range.clone()).unwrap_or_default();
        let whole = self.span(line, range.clone());
        let keyword = read.keyword.value;
        let takes_json = matches!(
            keyword,
            Keyword::Add
                | Keyword::Cmd
                | Keyword::Copy
                | Keyword::Entrypoint
                | Keyword::Run
                | Keyword::Shell
                | Keyword::Volume
        );
        if takes_json && rest.starts_with('[') {
            match serde_json::from_str::<Vec<serde_json::Value>>(rest).map(strings) {
                Ok(Some(strings)) => {
                    read.is_json = true;
                    read.arguments = strings.into_iter().map(|text| Spanned::new(text, whole)).collect();
                    return;
                }
                Ok(None) => {
                    let title = format!("an array of `{keyword}` consists of strings");
                    self.wrong(title, whole, "something else is in it", "put each element in double quotes");
                    return;
                }
                // What is no JSON is a text.
                Err(_) => {}
            }
        }
        let words = match keyword {
            Keyword::Add | Keyword::Copy | Keyword::Expose | Keyword::From | Keyword::Volume => {
                divided(rest, range.start)
            }
            Keyword::Arg => quoted(rest, range.start, escape),
            Keyword::Env | Keyword::Label => {
                let words = quoted(rest, range.start, escape);
                match (words.first(), rest.split_once(BLANKS)) {
                    (Some((first, _)), Some((name, value))) if !first.contains('=') => {
                        vec![(format!("{name}={}", value.trim_start_matches(BLANKS)), range)]
                    }
                    _ => words,
                }
            }
            Keyword::Onbuild => {
                if !rest.is_empty() {
                    read.trigger = self.trigger(line, range, escape).map(Box::new);
                }
                return;
            }
            _ if rest.is_empty() => Vec::new(),
            _ => vec![(rest.to_owned(), range)],
        };
        let place = |(word, range): (String, Range<usize>)| Spanned::new(word, self.span(line, range));
        read.arguments = words.into_iter().map(place).collect();
    }

    fn trigger(&mut self, line: &Line, range: Range<usize>, escape: char) -> Option<Instruction> {
        let name = line.text.get(range.clone())?.split(BLANKS).next()?;
        let keyword = Keyword::named(name);
        if let Some(keyword @ (Keyword::Onbuild | Keyword::From | Keyword::Maintainer)) = keyword {
            let span = self.span(line, range.start..range.start + name.len());
            let title = format!("`ONBUILD` cannot set `{keyword}` aside");
            self.wrong(title, span, "not here", "write another instruction behind `ONBUILD`");
            return None;
        }
        self.instruction(line, range.start, escape)
    }

    /// Whether there are as many arguments as there have to be, and no unknown flags.
    fn check(&mut self, read: &Instruction) {
        let keyword = read.keyword.value;
        let known = keyword.flags();
        let newer = self.directives.syntax.is_some() || keyword == Keyword::Foreign;
        for flag in read.flags.iter().filter(|flag| !newer && !known.contains(&flag.name.as_str())) {
            let near = nearest(&flag.name, known.iter().copied());
            let title = format!("`{keyword}` has no flag `--{}`", flag.name);
            let help = match (near, known) {
                (Some(near), _) => format!("did you mean `--{near}`?"),
                (None, []) => format!("`{keyword}` has no flags"),
                (None, _) => format!(
                    "it has {}",
                    known.iter().map(|name| format!("`--{name}`")).collect::<Vec<_>>().join(", ")
                ),
            };
            self.wrong(title, flag.span, "unknown", &help);
        }
        let pair =
            |word: &Spanned<String>| word.value.split_once('=').is_some_and(|(name, _)| !name.is_empty());
        let help = match keyword {
            Keyword::From if !matches!(read.arguments.len(), 1 | 3) => {
                "it is `FROM image` or `FROM image AS name`"
            }
            Keyword::Add | Keyword::Copy if read.arguments.len() < 2 => {
                "name at least a source and a destination"
            }
            Keyword::Arg if read.arguments.is_empty() => "it is `ARG name` or `ARG name=default`",
            Keyword::Env | Keyword::Label
                if read.arguments.is_empty() || !read.arguments.iter().all(pair) =>
            {
                "it is `name=value`; a value with blanks needs quotes"
            }
            Keyword::Arg if read.arguments.iter().any(|word| word.value.starts_with('=')) => {
                "a name stands before `=`"
            }
            Keyword::Onbuild
                if read.trigger.is_none() && read.arguments.is_empty() && read.span == read.keyword.span =>
            {
                "name the instruction that is set aside"
            }
            Keyword::Shell if !read.is_json => {
                "it is a JSON array of strings, such as `[\"/bin/sh\", \"-c\"]`"
            }
            Keyword::Expose
            | Keyword::Healthcheck
            | Keyword::Maintainer
            | Keyword::Stopsignal
            | Keyword::User
            | Keyword::Volume
            | Keyword::Workdir
                if read.arguments.is_empty() =>
            {
                "write its value behind it"
            }
            _ => return,
        };
        let title = format!("the arguments of `{keyword}` are not complete");
        self.wrong(title, read.span, "here", help);
    }

    fn heredocs(&mut self, read: &mut Instruction, line: &Line, lines: &mut Lines<'_>) {
        let inner = read.trigger.as_deref().unwrap_or(read);
        if !inner.keyword.takes_heredocs() || inner.is_json {
            return;
        }
        let empty = Span::new(self.source, lines.position()..lines.position());
        let mut found = match heredoc::announced(&line.text, empty) {
            Ok(found) => found,
            Err(error) => {
                let help = "quote all of its name, or nothing";
                self.wrong("a here-document is not well formed", read.span, &error.to_string(), help);
                return;
            }
        };
        for heredoc in &mut found {
            if heredoc.read(self.source, lines).is_none() {
                let title = format!("the here-document `{}` has no end", heredoc.name);
                let help = format!("end it with a line that holds `{}` and nothing else", heredoc.name);
                self.wrong(title, read.span, "begins here", &help);
            }
        }
        match &mut read.trigger {
            Some(trigger) => trigger.heredocs = found,
            None => read.heredocs = found,
        }
    }
}

/// The elements of an array, if all are strings.
fn strings(array: Vec<serde_json::Value>) -> Option<Vec<String>> {
    let text = |value| match value {
        serde_json::Value::String(text) => Some(text),
        _ => None,
    };
    array.into_iter().map(text).collect()
}
