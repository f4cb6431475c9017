//! Text to [`Document`], through the `kdl` crate.

use std::thread::ScopedJoinHandle;

use kdl::{KdlDocument, KdlEntry, KdlError, KdlIdentifier, KdlNode, KdlValue};

use crate::diagnostic::{Code, Problem, Problems, SourceId, Span, Spanned};
use crate::syntax::string::offsets;
use crate::syntax::{Document, Node, Property, Value, ValueKind, guard};

/// Stack of the thread that parses: enough for the depth that the guard allows.
const STACK: usize = 64 << 20;
/// Most syntax errors that are shown; one mistake often makes several.
const SHOWN: usize = 4;

/// Reads a text as KDL 2.
///
/// # Errors
/// The first few places where it is not KDL, or the bound that it breaks.
pub fn parse(source: SourceId, text: &str) -> Result<Document, Problems> {
    guard::check(source, text)?;
    let parsed = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        thread.spawn_scoped(scope, || KdlDocument::parse_v2(text)).map(ScopedJoinHandle::join)
    });
    let failed =
        |why: &str| Problems::from(Problem::new(Code::NotKdl, "the file cannot be parsed").note(why));
    match parsed {
        Ok(Ok(Ok(document))) => {
            let reader = Reader { source, text };
            Ok(Document { source, nodes: reader.nodes(&document) })
        }
        Ok(Ok(Err(error))) => Err(problems(source, text, &error)),
        Ok(Err(_)) => Err(failed("the parser stopped unexpectedly")),
        Err(error) => Err(failed(&error.to_string())),
    }
}

struct Reader<'a> {
    source: SourceId,
    text: &'a str,
}

impl Reader<'_> {
    fn nodes(&self, document: &KdlDocument) -> Vec<Node> {
        document.nodes().iter().map(|node| self.node(node)).collect()
    }

    fn node(&self, node: &KdlNode) -> Node {
        let name = self.identifier(node.name());
        let mut arguments = Vec::new();
        let mut properties = Vec::new();
        let mut header = name.span;
        for entry in node.entries() {
            let value = self.value(entry);
            header = header.to(value.span);
            match entry.name() {
                Some(name) => properties.push(Property { name: self.identifier(name), value }),
                None => arguments.push(value),
            }
        }
        let span = self.span(node.span().offset(), node.span().len()).to(header);
        // The parser's span takes in the space behind the node.
        let covered = self.text.get(span.range()).unwrap_or_default().trim_end();
        let end = header.range().end.max(span.range().start + covered.len());
        let span = Span::new(self.source, span.range().start..end);
        let children = node.children().map(|children| self.nodes(children));
        Node { name, arguments, properties, children, header, span }
    }

    fn identifier(&self, identifier: &KdlIdentifier) -> Spanned<String> {
        Spanned::new(
            identifier.value().to_owned(),
            self.span(identifier.span().offset(), identifier.span().len()),
        )
    }

    fn value(&self, entry: &KdlEntry) -> Value {
        let whole = self.span(entry.span().offset(), entry.span().len()).range();
        let repr = entry.format().map_or("", |format| format.value_repr.as_str());
        // A value has no span of its own: it is what the entry ends with.
        let end = whole.start + self.text.get(whole.clone()).unwrap_or_default().trim_end().len();
        let start = end.saturating_sub(repr.len());
        let annotation = entry.ty().map(|ty| self.identifier(ty));
        let first = annotation.as_ref().map_or(start, |ty| ty.span.range().start.saturating_sub(1));
        let (kind, offsets) = match entry.value() {
            KdlValue::String(text) => (
                ValueKind::String(text.clone()),
                offsets(repr, text, u32::try_from(start).unwrap_or(u32::MAX)),
            ),
            KdlValue::Integer(number) => (ValueKind::Integer(*number), Vec::new()),
            KdlValue::Float(number) => (ValueKind::Float(*number), Vec::new()),
            KdlValue::Bool(truth) => (ValueKind::Bool(*truth), Vec::new()),
            KdlValue::Null => (ValueKind::Null, Vec::new()),
        };
        Value::new(kind, Span::new(self.source, first..end), annotation, offsets)
    }

    fn span(&self, offset: usize, length: usize) -> Span {
        Span::new(self.source, offset..offset + length)
    }
}

/// What the parser says, in hoist's words and at one place each.
fn problems(source: SourceId, text: &str, error: &KdlError) -> Problems {
    let mut problems = Problems::new();
    for diagnostic in error.diagnostics.iter().take(SHOWN) {
        let said = diagnostic.message.as_deref().unwrap_or("not KDL");
        let start = diagnostic.span.offset().min(text.len());
        let end = (start + diagnostic.span.len()).min(text.len());
        problems.push(problem(source, text, said, start..end).maybe_help(diagnostic.help.clone()));
    }
    if problems.is_empty() {
        problems.push(Problem::new(Code::NotKdl, "the file is not KDL"));
    }
    problems
}

fn problem(source: SourceId, text: &str, said: &str, range: std::ops::Range<usize>) -> Problem {
    let covered = text.get(range.clone()).unwrap_or_default();
    let at = |range: std::ops::Range<usize>| Span::new(source, one_line(text, range));
    let word = covered.split(|c: char| c.is_whitespace() || c == ';').next().unwrap_or_default();
    if let Some((title, help)) = kdl1(word) {
        return Problem::new(Code::Kdl1, title)
            .label(at(range.start..range.start + word.len()), "")
            .help(help);
    }
    let not_kdl = |title: &str| Problem::new(Code::NotKdl, title);
    if said.contains("property value") {
        // The parser points at everything from the start of the document.
        let equals = covered.rfind('=').map_or(range.end, |at| range.start + at + 1);
        let key = text[..equals].rfind([' ', '\t', '\n', ';', '{']).map_or(0, |at| at + 1);
        let problem = not_kdl("a property has no value").label(at(key..equals), "nothing follows the `=`");
        return problem.help("write a value behind the `=`, such as `\"text\"`, `8`, or `#true`");
    }
    if said.starts_with("No closing '}'") {
        return not_kdl("a block is not closed").label(at(range), "opened here").help("close it with `}`");
    }
    if covered.starts_with('}') {
        return not_kdl("a `}` closes nothing").label(at(range), "no block is open here").help("remove it");
    }
    if covered.starts_with('"') {
        let problem = not_kdl("a string is not right").label(at(range), "it starts here");
        return problem.help("close it with `\"`; the escapes are \\n \\t \\\\ \\\" \\s \\u{1F600}");
    }
    let mut title = said.to_owned();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    not_kdl(title.trim_end_matches('.')).label(at(range), "here")
}

/// The part of a range on its first line that is not empty.
fn one_line(text: &str, range: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let covered = text.get(range.clone()).unwrap_or_default();
    let start = range.start + (covered.len() - covered.trim_start().len());
    let rest = text.get(start..range.end).unwrap_or_default();
    let length = rest.find('\n').unwrap_or(rest.len());
    let end = start + rest.get(..length).unwrap_or_default().trim_end().len();
    if start == end { range.start..range.start } else { start..end }
}

/// What a word of KDL 1 is in KDL 2.
fn kdl1(word: &str) -> Option<(String, String)> {
    let instead = match word {
        "true" | "false" | "null" => format!("#{word}"),
        _ if word.starts_with("r\"") || word.starts_with("r#") => "#\"…\"#".to_owned(),
        _ => return None,
    };
    Some((format!("`{word}` is KDL 1; hoist reads KDL 2"), format!("write `{instead}`")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Sources;

    fn read(text: &str) -> (Sources, Result<Document, Problems>) {
        let mut sources = Sources::new();
        let source = sources.add("release.kdl", text);
        let document = parse(source, text);
        (sources, document)
    }

    fn refused(text: &str) -> Vec<(Code, String, String)> {
        let (sources, document) = read(text);
        let problems = document.expect_err("refused");
        let place = |problem: &Problem| {
            problem.labels.first().map_or("", |label| sources.slice(label.span)).to_owned()
        };
        problems.as_slice().iter().map(|p| (p.code, p.title.clone(), place(p))).collect()
    }

    #[test]
    fn values_know_their_places() {
        let text = "a \"x\\ty\" key = (t)\"va\" 0x10 {\n  b #\"r{w}\"#\n}\n/-gone 1\nword é=bare ; z";
        let (sources, document) = read(text);
        let document = document.expect("it is KDL");
        let names: Vec<_> = document.nodes.iter().map(|node| node.name.value.as_str()).collect();
        assert_eq!(names, ["a", "word", "z"]);
        let a = &document.nodes[0];
        assert_eq!(sources.slice(a.header), "a \"x\\ty\" key = (t)\"va\" 0x10");
        assert_eq!(sources.slice(a.span), "a \"x\\ty\" key = (t)\"va\" 0x10 {\n  b #\"r{w}\"#\n}");
        assert_eq!(sources.slice(a.arguments[0].part(1..3)), "\\ty");
        assert_eq!(sources.slice(a.properties[0].name.span), "key");
        assert_eq!(sources.slice(a.properties[0].value.span), "(t)\"va\"");
        assert_eq!(sources.slice(a.properties[0].value.part(0..2)), "va");
        assert_eq!(a.arguments[1].kind, ValueKind::Integer(16));
        let b = &a.children.as_ref().expect("a block")[0];
        assert_eq!(sources.slice(b.arguments[0].part(1..4)), "{w}");
        assert_eq!(sources.slice(document.nodes[1].properties[0].name.span), "é");
    }

    #[test]
    fn lines_of_a_long_string_know_their_places() {
        let text = "run \"\"\"\n    echo {x}\n\n      é\\tb {y}\n    \"\"\"\n";
        let (sources, document) = read(text);
        let value = document.expect("it is KDL").nodes[0].arguments[0].clone();
        let string = value.as_str().expect("a string").to_owned();
        assert_eq!(string, "echo {x}\n\n  é\tb {y}");
        for field in ["{x}", "é", "b {y}"] {
            let at = string.find(field).expect("there");
            assert_eq!(sources.slice(value.part(at..at + field.len())), field);
        }
    }

    #[test]
    fn syntax_errors_point_at_their_place() {
        let one = |text: &str| refused(text).remove(0);
        let not_kdl = |title: &str, place: &str| (Code::NotKdl, title.to_owned(), place.to_owned());
        assert_eq!(one("a\nb key=\n"), not_kdl("a property has no value", "key="));
        assert_eq!(one("a {\n  b\n"), not_kdl("a block is not closed", "{"));
        assert_eq!(one("a\n}\nb"), not_kdl("a `}` closes nothing", "}"));
        assert_eq!(one("a \"x\nb"), not_kdl("a string is not right", "\"x"));
        let kdl1 = "`true` is KDL 1; hoist reads KDL 2".to_owned();
        assert_eq!(one("a true"), (Code::Kdl1, kdl1, "true".to_owned()));
        assert_eq!(one("a r\"x\"").0, Code::Kdl1);
        assert!(refused(&"a 1.\n".repeat(100)).len() <= SHOWN);
    }

    #[test]
    fn what_would_kill_the_parser_is_refused_before() {
        let code = |text: &str| refused(text).remove(0).0;
        assert_eq!(code(&"a {".repeat(100_000)), Code::TooDeep);
        assert_eq!(code(&format!("{}{}", "a /-{".repeat(20), "}".repeat(20))), Code::TooDeep);
        assert_eq!(code(&" ".repeat((4 << 20) + 1)), Code::TooLarge);
        let deep = format!("{}{}", "a {".repeat(128), "}".repeat(128));
        assert!(read(&deep).1.is_ok());
        let quoted = format!("a \"{0}\" #\"{0}\"# \"\"\"\n{0}\n\"\"\" /* {0} */ // {0}\n", "{".repeat(200));
        assert!(read(&quoted).1.is_ok());
    }
}
