//! Problems for people, through miette, and for programs, as JSON.

use std::fmt;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, Severity, SourceCode};
use miette::{ThemeCharacters, ThemeStyles};

use crate::diagnostic::{Label, Problem, Problems, Source, SourceId, Sources};
use crate::report::excerpt::Excerpt;
use crate::report::{Look, Paint};
use crate::run::{Fault, Place};

/// Columns beyond which a text is no longer easy to read.
const WIDEST: usize = 100;
/// Columns below which nothing could be shown beside its place.
const NARROWEST: usize = 40;

/// All problems, one after another: the code, what is wrong, the places in their
/// texts, the help, and the notes. Ends with a line break.
#[must_use]
pub fn render(problems: &Problems, sources: &Sources, look: Look) -> String {
    let look = Look { width: look.width.clamp(NARROWEST, WIDEST), ..look };
    let shown = problems.as_slice().iter().map(|problem| one(problem, sources, look, Severity::Error));
    shown.collect::<Vec<_>>().join("\n")
}

/// Something that is right and hardly meant, as [`render`] shows what is wrong, without a code.
#[must_use]
pub fn render_warning(problem: &Problem, sources: &Sources, look: Look) -> String {
    one(problem, sources, Look { width: look.width.clamp(NARROWEST, WIDEST), ..look }, Severity::Warning)
}

/// An object whose `problems` are all of them as [`Fault`]s: code, title, labels with
/// file, line, column, and byte range, help, and notes.
#[must_use]
pub fn problems_json(problems: &Problems, sources: &Sources) -> serde_json::Value {
    serde_json::json!({ "problems": faults(problems, sources) })
}

/// As [`problems_json`], in `refused`: what a run that is only planned would be refused for.
#[must_use]
pub fn refused_json(problems: &Problems, sources: &Sources) -> serde_json::Value {
    serde_json::json!({ "refused": faults(problems, sources) })
}

/// What a plan could not ask, and does without, as one JSON object.
#[must_use]
pub fn unreached_json(problems: &Problems, sources: &Sources) -> serde_json::Value {
    serde_json::json!({ "unreached": faults(problems, sources) })
}

pub(super) fn faults(problems: &Problems, sources: &Sources) -> Vec<Fault> {
    problems.as_slice().iter().map(|problem| Fault::new(problem, sources)).collect()
}

/// Notes are broken for terminals that are narrower than this: whoever searches them in a
/// log finds them whole.
const NARROW: usize = 100;

fn one(problem: &Problem, sources: &Sources, look: Look, severity: Severity) -> String {
    let title = harmless(&problem.title);
    let mut snippets = Snippet::all(problem, sources, &title, look).into_iter();
    let first = snippets.next().unwrap_or_else(|| Snippet::bare(&title));
    let code = (severity == Severity::Error).then_some(problem.code.as_str());
    let mut out = Snippet { severity, ..first }.draw(look, code);
    for snippet in snippets {
        // A snippet of another text follows without a title of its own.
        let corner = if look.unicode { '╭' } else { ',' };
        let drawn = snippet.draw(look, None);
        let lines = drawn.lines().skip_while(|line| !line.trim_start().starts_with(corner));
        lines.for_each(|line| push_line(&mut out, line));
    }
    if let Some(help) = &problem.help {
        let lead = look.paint(Paint::Name, "help:");
        said(&mut out, &lead, &wrapped(&harmless(help), look.width.saturating_sub(8)));
    }
    for note in &problem.notes {
        // Colours of a tool's output are of no use here; its lines are as it broke them.
        let note = harmless(&console::strip_ansi_codes(note));
        let is_sentence = !note.contains('\n') && look.width < NARROW;
        let note = if is_sentence { wrapped(&note, look.width.saturating_sub(8)) } else { note };
        said(&mut out, "note:", &note);
    }
    out
}

/// A problem of a recorded run: what was known of it then, without the lines of its
/// places, which may read otherwise by now.
#[must_use]
pub fn render_fault(fault: &Fault, look: Look) -> String {
    let room = look.width.saturating_sub(8);
    let mut out = format!("{}\n\n", look.paint(Paint::Bad, &harmless(&fault.code)));
    let mark = look.paint(Paint::Bad, if look.unicode { "×" } else { "x" });
    for (index, line) in wrapped(&harmless(&fault.title), room).lines().enumerate() {
        let lead = if index == 0 { mark.as_str() } else { " " };
        push_line(&mut out, &format!("  {lead} {line}"));
    }
    for Place { file, line, column, text, .. } in &fault.labels {
        let place = format!("{file}:{line}:{column} {text}");
        said(&mut out, "at:  ", &wrapped(&harmless(&place), room));
    }
    for (lead, text) in
        fault.help.iter().map(|help| ("help:", help)).chain(fault.notes.iter().map(|note| ("note:", note)))
    {
        let text = harmless(&console::strip_ansi_codes(text));
        let text = if text.contains('\n') { text } else { wrapped(&text, room) };
        said(&mut out, &look.paint(Paint::Name, lead), &text);
    }
    out
}

/// `  lead text`, further lines below the first.
fn said(out: &mut String, lead: &str, text: &str) {
    for (index, line) in text.lines().enumerate() {
        let line = if index == 0 { format!("  {lead} {line}") } else { format!("        {line}") };
        push_line(out, &line);
    }
}

fn push_line(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

/// The text with line breaks at spaces where it is wider than `width`.
pub(super) fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut used = 0;
        for word in line.split(' ') {
            let wide = console::measure_text_width(word);
            if used > 0 && used + 1 + wide > width {
                out.push('\n');
                used = 0;
            } else if used > 0 {
                out.push(' ');
                used += 1;
            }
            out.push_str(word);
            used += wide;
        }
        out.push('\n');
    }
    out
}

/// The text with what would steer a terminal, or turn the direction of writing,
/// replaced by characters of the same number of bytes: spans stay true.
pub(super) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => c,
            '\0'..'\u{20}' | '\u{7f}' => '?',
            '\u{80}'..'\u{a0}' => '¿',
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            _ => c,
        })
        .collect()
}

/// The places of a problem that lie in one text.
#[derive(Debug)]
struct Snippet<'a> {
    title: &'a str,
    code: Option<&'static str>,
    severity: Severity,
    text: Option<Excerpt>,
    labels: Vec<LabeledSpan>,
}

impl<'a> Snippet<'a> {
    const fn bare(title: &'a str) -> Self {
        Self { title, code: None, severity: Severity::Error, text: None, labels: Vec::new() }
    }

    /// One for each text that the problem points into, that of its first label
    /// first.
    fn all(problem: &Problem, sources: &Sources, title: &'a str, look: Look) -> Vec<Self> {
        let mut order: Vec<SourceId> = Vec::new();
        for label in &problem.labels {
            if !order.contains(&label.span.source) {
                order.push(label.span.source);
            }
        }
        let snippet = |id: SourceId| {
            let source = sources.get(id)?;
            let here = problem.labels.iter().filter(|label| label.span.source == id);
            let mut labels: Vec<_> =
                here.enumerate().map(|(index, label)| place(label, source, index == 0)).collect();
            let mark = if look.unicode { "…" } else { "..." };
            let name = harmless(&source.name);
            let text = Some(Excerpt::new(name, &source.text, &mut labels, look.width, mark));
            Some(Self { text, labels, ..Self::bare(title) })
        };
        order.into_iter().filter_map(snippet).collect()
    }

    fn draw(mut self, look: Look, code: Option<&'static str>) -> String {
        self.code = code;
        let theme = GraphicalTheme {
            characters: if look.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() },
            styles: if look.color { ThemeStyles::ansi() } else { ThemeStyles::none() },
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(look.width).with_urls(false);
        let mut drawn = String::new();
        if handler.render_report(&mut drawn, &self).is_err() {
            // The places cannot be drawn; what is wrong can still be said.
            return format!("{}\n\n  {}\n", self.code.unwrap_or_default(), self.title);
        }
        let mut out = String::new();
        drawn.lines().for_each(|line| push_line(&mut out, line));
        out
    }
}

/// A label on the first line that its span covers: a whole block drawn line by
/// line would hide what is said of it.
fn place(label: &Label, source: &Source, primary: bool) -> LabeledSpan {
    let text = &source.text;
    // Nothing can be drawn behind the last line break.
    let last = text.trim_end_matches(['\n', '\r']).len();
    let start = text.floor_char_boundary(label.span.range().start.min(last));
    let end = text.floor_char_boundary(label.span.range().end).max(start);
    let covered = text.get(start..end).unwrap_or_default();
    let length = covered.find(['\n', '\r']).unwrap_or(covered.len());
    let said = Some(harmless(&label.text)).filter(|said| !said.is_empty());
    if primary {
        LabeledSpan::new_primary_with_span(said, start..start + length)
    } else {
        LabeledSpan::new_with_span(said, start..start + length)
    }
}

impl fmt::Display for Snippet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title)
    }
}

impl std::error::Error for Snippet<'_> {}

impl Diagnostic for Snippet<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.code.map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.text.as_ref().map(|text| text as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Code, Span};

    const TEXT: &str = "project \"x\"\n\ntarget \"lint\" {\n    needs \"api/test\"\n    rum \"ruff\"\n}\n";
    const API: &str = "target \"test\" {\n\tneeds \"../lint\"\n}\n";

    /// The sources of the tests, and where a text stands in them.
    struct Texts(Sources);

    impl Texts {
        fn new() -> Self {
            let mut sources = Sources::new();
            sources.add("release.kdl", TEXT);
            sources.add("api/release.kdl", API);
            sources.add("command line", "hoist lint \u{1b}[31m 日本=é");
            Self(sources)
        }

        fn find(&self, name: &str, needle: &str) -> Span {
            let (id, source) = self.0.iter().find(|(_, source)| source.name == name).unwrap();
            let at = source.text.find(needle).unwrap();
            Span::new(id, at..at + needle.len())
        }

        fn shown(&self, problem: Problem, look: Look) -> String {
            render(&problem.into(), &self.0, look)
        }
    }

    const UNICODE: Look = Look { unicode: true, ..Look::PLAIN };

    fn unknown_node(texts: &Texts) -> Problem {
        Problem::new(Code::UnknownNode, "a target has no `rum`")
            .label(texts.find("release.kdl", "rum"), "not a node of `target`")
            .help("did you mean `run`?")
    }

    #[test]
    fn a_problem_shows_its_code_its_place_and_what_to_do() {
        let texts = Texts::new();
        let expected = r#"hoist::config::unknown_node

  × a target has no `rum`
   ╭─[release.kdl:5:5]
 4 │     needs "api/test"
 5 │     rum "ruff"
   ·     ─┬─
   ·      ╰── not a node of `target`
 6 │ }
   ╰────
  help: did you mean `run`?
"#;
        assert_eq!(texts.shown(unknown_node(&texts), UNICODE), expected);
    }

    #[test]
    fn a_plain_look_has_ascii_alone() {
        let texts = Texts::new();
        let expected = r#"hoist::config::unknown_node

  x a target has no `rum`
   ,-[release.kdl:5:5]
 4 |     needs "api/test"
 5 |     rum "ruff"
   :     ^|^
   :      `-- not a node of `target`
 6 | }
   `----
  help: did you mean `run`?
"#;
        assert_eq!(texts.shown(unknown_node(&texts), Look::PLAIN), expected);
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let texts = Texts::new();
        let colourful = texts.shown(unknown_node(&texts), Look { color: true, ..UNICODE });
        assert_ne!(colourful, console::strip_ansi_codes(&colourful));
        assert_eq!(console::strip_ansi_codes(&colourful), texts.shown(unknown_node(&texts), UNICODE));
    }

    #[test]
    fn places_in_several_texts_are_all_shown_and_blocks_by_their_first_line() {
        let texts = Texts::new();
        let title = "`lint` needs itself, through `api/test`, so neither could ever begin before the other";
        let block = &TEXT[TEXT.find("target").unwrap()..TEXT.len() - 1];
        let problem = Problem::new(Code::Cycle, title)
            .label(texts.find("release.kdl", "\"api/test\""), "`lint` needs `api/test`")
            .label(texts.find("api/release.kdl", "\"../lint\""), "`api/test` needs `lint`")
            .label(texts.find("release.kdl", block), "`lint`")
            .help("remove one of the two `needs`; if both need the same thing, make that a target of its own")
            .note("the first line of a note\nand its second")
            .note("a sentence that finds no room on a terminal is broken between words, as help is");
        let expected = r#"hoist::plan::cycle

  × `lint` needs itself, through `api/test`, so neither could ever begin
  │ before the other
   ╭─[release.kdl:4:11]
 2 │
 3 │ target "lint" {
   · ───────┬───────
   ·        ╰── `lint`
 4 │     needs "api/test"
   ·           ─────┬────
   ·                ╰── `lint` needs `api/test`
 5 │     rum "ruff"
   ╰────
   ╭─[api/release.kdl:2:8]
 1 │ target "test" {
 2 │     needs "../lint"
   ·           ────┬────
   ·               ╰── `api/test` needs `lint`
 3 │ }
   ╰────
  help: remove one of the two `needs`; if both need the same thing, make that a
        target of its own
  note: the first line of a note
        and its second
  note: a sentence that finds no room on a terminal is broken between words, as
        help is
"#;
        assert_eq!(texts.shown(problem, UNICODE), expected);
    }

    #[test]
    fn nothing_that_is_shown_steers_the_terminal_or_moves_a_place() {
        let texts = Texts::new();
        let problem = Problem::new(Code::CommandLine, "no `日\u{1b}[2J\u{202e}`")
            .label(texts.find("command line", "日本=é"), "");
        let expected = "hoist::cli::command_line

  × no `日?[2J\u{fffd}`
   ╭─[command line:1:18]
 1 │ hoist lint ?[31m 日本=é
   ·                  ──────
   ╰────
";
        assert_eq!(texts.shown(problem, UNICODE), expected);
    }

    #[test]
    fn a_place_behind_the_end_is_shown_at_the_end() {
        let texts = Texts::new();
        let end = Span { start: u32::MAX - 1, end: u32::MAX, ..texts.find("release.kdl", "rum") };
        let problem = Problem::new(Code::NotKdl, "a block is not closed").label(end, "here");
        let expected = r#"hoist::syntax::not_kdl

  × a block is not closed
   ╭─[release.kdl:6:2]
 5 │     rum "ruff"
 6 │ }
   ·  ▲
   ·  ╰── here
   ╰────
"#;
        assert_eq!(texts.shown(problem, UNICODE), expected);
    }

    #[test]
    fn problems_follow_each_other_with_an_empty_line_between() {
        let texts = Texts::new();
        let bare = Problem::new(Code::NoReleaseFile, "no release.kdl here or above").help("`hoist init`");
        let mut problems = Problems::from(bare.clone());
        problems.push(bare);
        let one = "hoist::facts::no_release_file\n\n  × no release.kdl here or above\n  help: `hoist init`\n";
        assert_eq!(render(&problems, &texts.0, UNICODE), format!("{one}\n{one}"));
    }

    #[test]
    fn as_json_a_problem_has_its_places_as_lines_and_bytes() {
        let texts = Texts::new();
        let expected = serde_json::json!({ "problems": [{
            "code": "hoist::config::unknown_node",
            "title": "a target has no `rum`",
            "labels": [{
                "file": "release.kdl", "line": 5, "column": 5, "end_line": 5, "end_column": 8,
                "start": 54, "end": 57,
                "text": "not a node of `target`",
            }],
            "help": "did you mean `run`?",
        }] });
        assert_eq!(problems_json(&unknown_node(&texts).into(), &texts.0), expected);
    }
}
