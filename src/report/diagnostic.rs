//! Problems as people read them, and as programs do.

use std::fmt::{self, Write as _};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource};
use serde_json::{Value, json};

use crate::diagnostic::{Label, Problem, Problems, SourceId, Sources};
use crate::report::{Look, Paint};

/// All problems, each with its places in the text, what to do, and its notes.
#[must_use]
pub fn render(problems: &Problems, sources: &Sources, look: Look) -> String {
    let theme = match (look.unicode, look.color) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::unicode_nocolor(),
        (false, true) => GraphicalTheme { styles: miette::ThemeStyles::ansi(), ..GraphicalTheme::none() },
        (false, false) => GraphicalTheme::none(),
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(look.width)
        .with_links(false)
        .with_context_lines(1)
        .without_syntax_highlighting();
    let mut out = String::new();
    for (index, problem) in problems.as_slice().iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let shown = Shown::new(problem, sources);
        let mut text = String::new();
        if handler.render_report(&mut text, &shown).is_err() {
            text = format!("{}: {}\n", problem.code.as_str(), problem.title);
        }
        // The handler ends its lines with the spaces of its columns.
        for line in text.lines() {
            let _ = writeln!(out, "{}", line.trim_end());
        }
        for note in shown.elsewhere.iter().chain(&problem.notes) {
            out.push_str(&noted(note, look));
        }
    }
    out
}

/// The same for programs: an array, one object a problem.
#[must_use]
pub fn problems_json(problems: &Problems, sources: &Sources) -> Value {
    let place = |label: &Label| {
        let (line, column) = sources.position(label.span)?;
        Some(json!({
            "file": sources.get(label.span.source)?.name,
            "line": line,
            "column": column,
            "start": label.span.start,
            "end": label.span.end,
            "text": label.text,
        }))
    };
    let problem = |problem: &Problem| {
        json!({
            "code": problem.code.as_str(),
            "title": problem.title,
            "labels": problem.labels.iter().filter_map(place).collect::<Vec<_>>(),
            "help": problem.help,
            "notes": problem.notes,
        })
    };
    problems.as_slice().iter().map(problem).collect()
}

fn noted(note: &str, look: Look) -> String {
    let mut out = String::new();
    for (index, line) in note.lines().enumerate() {
        let head = if index == 0 { look.paint(Paint::Faint, "  note:") } else { "       ".to_owned() };
        let _ = writeln!(out, "{head} {line}");
    }
    out
}

/// A problem as miette shows it: with one text, that of its first place.
#[derive(Debug)]
struct Shown<'a> {
    problem: &'a Problem,
    source: Option<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
    /// Places in other texts, in words.
    elsewhere: Vec<String>,
}

impl<'a> Shown<'a> {
    fn new(problem: &'a Problem, sources: &Sources) -> Self {
        let home: Option<SourceId> = problem.labels.first().map(|label| label.span.source);
        let source = home.and_then(|id| sources.get(id));
        let (here, there): (Vec<&Label>, Vec<_>) =
            problem.labels.iter().partition(|label| Some(label.span.source) == home);
        let labels = here.iter().enumerate().filter(|_| source.is_some()).map(|(index, label)| {
            let text = (!label.text.is_empty()).then(|| label.text.clone());
            let range = label.span.range();
            // A place of no width is shown as one character.
            let length = range.len().max(1);
            let place = (range.start, length);
            if index == 0 {
                LabeledSpan::new_primary_with_span(text, place)
            } else {
                LabeledSpan::new_with_span(text, place)
            }
        });
        let elsewhere = there.iter().filter_map(|label| {
            let (line, column) = sources.position(label.span)?;
            let name = &sources.get(label.span.source)?.name;
            Some(format!("{name}:{line}:{column}: {}", label.text))
        });
        Self {
            problem,
            labels: labels.collect(),
            elsewhere: elsewhere.collect(),
            source: source.map(|source| NamedSource::new(&source.name, source.text.to_string())),
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.title)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.problem.code.as_str()))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as _)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|source| source as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty()).then(|| Box::new(self.labels.iter().cloned()) as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Code, Span};

    #[test]
    fn a_problem_shows_its_places_its_help_and_its_notes() {
        let mut sources = Sources::new();
        let file = sources.add("release.kdl", "target \"a\"\ntarget \"é\" { }\ntarget \"a\"\n");
        let other = sources.add("api/release.kdl", "x\n");
        let problem = Problem::new(Code::DuplicateName, "`a` is declared twice")
            .label(Span::new(file, 34..37), "again here")
            .label(Span::new(file, 7..10), "first here")
            .label(Span::new(other, 0..1), "and here")
            .help("give one of them another name")
            .note("first line\nsecond line");
        let out = render(&problem.clone().into(), &sources, Look::PLAIN);
        let expected = "\
hoist::config::duplicate_name

  x `a` is declared twice
   ,-[release.kdl:3:8]
 1 | target \"a\"
   :        ^|^
   :         `-- first here
 2 | target \"é\" { }
 3 | target \"a\"
   :        ^|^
   :         `-- again here
   `----
  help: give one of them another name
  note: api/release.kdl:1:1: and here
  note: first line
        second line
";
        assert_eq!(out, expected);
        let value = problems_json(&problem.into(), &sources);
        assert_eq!(value[0]["labels"][0]["line"], 3);
        assert_eq!(value[0]["labels"][2]["file"], "api/release.kdl");
    }
}
