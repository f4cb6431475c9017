//! Parser directives: `# syntax=`, `# escape=`, and `# check=` at the top of a
//! file (Dockerfile reference, "Parser directives").

use crate::diagnostic::{Code, Problem, Problems, SourceId, Span, Spanned};
use crate::dockerfile::line::{Lines, Written};

/// What the directives of a file say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// The image of the frontend that reads the file, with what follows it.
    pub syntax: Option<Spanned<String>>,
    /// The character that escapes and continues lines: a backslash or a backtick.
    pub escape: Option<Spanned<char>>,
    /// What `docker build --check` skips or turns into an error.
    pub check: Option<Spanned<String>>,
}

impl Directives {
    /// The repositories of the frontend that this reading follows.
    const FRONTENDS: [&str; 2] = ["docker/dockerfile", "docker/dockerfile-upstream"];

    /// Reads the directives and moves behind them.
    pub(super) fn read(source: SourceId, lines: &mut Lines<'_>, problems: &mut Problems) -> Self {
        let mut found = Self::default();
        while let Some(line) = lines.peek() {
            let Some((name, value, start)) = directive(line) else { break };
            let span = Span::new(source, start..start + value.len());
            let again = match name.as_str() {
                "syntax" => set(&mut found.syntax, value.to_owned(), span),
                "check" => set(&mut found.check, value.to_owned(), span),
                "escape" => match value {
                    "\\" | "`" => set(&mut found.escape, if value == "`" { '`' } else { '\\' }, span),
                    _ => {
                        let title = format!("`{value}` cannot be the escape character");
                        let problem = Problem::new(Code::InvalidInstruction, title).label(span, "given here");
                        problems.push(problem.help("it is ` or \\"));
                        None
                    }
                },
                _ => break,
            };
            if let Some(first) = again {
                let title = format!("the directive `{name}` is given twice");
                let problem = Problem::new(Code::InvalidInstruction, title).label(span, "again");
                problems.push(problem.label(first, "first").help("delete one of them"));
            }
            lines.written();
        }
        lines.escape = found.escape.as_ref().map_or('\\', |escape| escape.value);
        found
    }

    /// Whether another program than BuildKit's own frontend reads the file: what it
    /// makes of it is not known.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        let image = self.syntax.as_ref().map(|syntax| syntax.value.split(' ').next().unwrap_or_default());
        let repository = image.map(|image| {
            let image = image.split('@').next().unwrap_or_default();
            let image = image.strip_prefix("docker.io/").unwrap_or(image);
            image.split(':').next().unwrap_or_default()
        });
        repository.is_some_and(|repository| !Self::FRONTENDS.contains(&repository))
    }
}

/// Sets what is not set; else returns where it was.
fn set<T>(to: &mut Option<Spanned<T>>, value: T, span: Span) -> Option<Span> {
    let first = to.as_ref().map(|first| first.span);
    to.get_or_insert(Spanned::new(value, span));
    first
}

/// Name, value, and where the value begins, of `# name = value`.
fn directive(line: Written<'_>) -> Option<(String, &str, usize)> {
    let body = line.text.trim_start().strip_prefix('#')?.trim_start();
    let (name, value) = body.split_once('=')?;
    let name = name.trim_end();
    let letters = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    let value = value.trim_start();
    let start = line.start + line.text.len() - value.len();
    let value = value.trim_end();
    (letters && !value.is_empty()).then(|| (name.to_ascii_lowercase(), value, start))
}
