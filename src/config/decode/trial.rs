//! What an image must pass: tests, expectations, scanners.

use regex::Regex;

use crate::config::decode::Decoder;
use crate::config::decode::read::{argument, child, children, form, number, property, string, text, word};
use crate::config::{
    Expect, HttpAnswer, ImageTest, Part, Scan, ScanAllow, ScanFormat, Severity, Template, value,
};
use crate::diagnostic::{Code, Problem, Span, Spanned};
use crate::syntax::{Node, Property, Value};

impl Decoder<'_> {
    pub(super) fn tests(&mut self, image: &Node) -> Vec<ImageTest> {
        let mut tests: Vec<ImageTest> = Vec::new();
        for node in children(image, "test") {
            let Some(test) = self.test(node) else { continue };
            let first = tests.iter().find(|first| first.name.value == test.name.value);
            self.check_unique("test", &test.name, first.map(|first| first.name.span));
            tests.push(test);
        }
        tests
    }

    fn test(&mut self, node: &Node) -> Option<ImageTest> {
        Some(ImageTest {
            name: argument(node, 0).and_then(text)?,
            env: self.env(node),
            run: child(node, "run").map(|run| self.templates(run)).unwrap_or_default(),
            entrypoint: child(node, "entrypoint").map(|words| self.templates(words)),
            user: word(node, "user").map(|value| self.template(value)),
            expects: self.expects(node),
            timeout: form(word(node, "timeout"), value::limit),
        })
    }

    fn check_unique(&mut self, what: &str, name: &Spanned<String>, first: Option<Span>) {
        if let Some(first) = first {
            let problem =
                Problem::new(Code::DuplicateName, format!("two {what}s have the name `{}`", name.value))
                    .label(name.span, "declared again")
                    .label(first, "first declared here")
                    .help("give one of them another name");
            self.problems.push(problem);
        }
    }

    /// All properties and children of all `expect` of an image or a test.
    pub(super) fn expects(&mut self, node: &Node) -> Vec<Spanned<Expect>> {
        let mut all = Vec::new();
        for expect in children(node, "expect") {
            all.extend(expect.properties.iter().filter_map(|property| self.expect(property)));
            all.extend(children(expect, "http").filter_map(|http| self.http_check(http)));
        }
        all
    }

    fn http_check(&mut self, node: &Node) -> Option<Spanned<Expect>> {
        let path = match property(node, "path") {
            Some(value) => self.template(value),
            None => Template { parts: vec![Part::Text("/".to_owned())], span: node.header },
        };
        if let Some(text) = path.literal().filter(|text| !text.starts_with('/')) {
            let problem = Problem::new(Code::InvalidValue, format!("`{text}` is not the path of a request"))
                .label(path.span, "it starts with `/`")
                .help(format!("write `/{text}`"));
            self.problems.push(problem);
        }
        let body = property(node, "body").map(|value| self.template(value));
        let status = property(node, "status").map_or(Some(200), |status| number(Some(status)))?;
        let check = HttpAnswer { port: number(property(node, "port"))?, path, status, body };
        Some(Spanned::new(Expect::Http(check), node.header))
    }

    fn expect(&mut self, property: &Property) -> Option<Spanned<Expect>> {
        let value = &property.value;
        let expect = match property.name.value.as_str() {
            "exit" => Expect::Exit(number(Some(value))?),
            "stdout" => Expect::Stdout(self.template(value)),
            "stderr" => Expect::Stderr(self.template(value)),
            "stdout-matches" => Expect::StdoutMatches(expression(value)?),
            "stderr-matches" => Expect::StderrMatches(expression(value)?),
            "user" => {
                let user = value.as_str()?;
                let name = user.strip_prefix('!').unwrap_or(user);
                Expect::User { name: name.to_owned(), not: name.len() < user.len() }
            }
            "label" => match value.as_str()?.split_once('=') {
                Some((name, content)) => Expect::Label(name.to_owned(), Some(content.to_owned())),
                None => Expect::Label(string(Some(value))?, None),
            },
            "file" => {
                let path = value.as_str()?;
                if !path.starts_with('/') {
                    let problem =
                        Problem::new(Code::InvalidValue, format!("`{path}` is not an absolute path"))
                            .label(value.span, "a path in an image starts with `/`")
                            .help(format!("write `/{path}`"));
                    self.problems.push(problem);
                }
                Expect::File(path.to_owned())
            }
            "port" => Expect::Port(number(Some(value))?),
            _ => return None,
        };
        Some(Spanned::new(expect, property.name.span.to(value.span)))
    }

    pub(super) fn scans(&mut self, image: &Node) -> Vec<Scan> {
        let mut scans: Vec<Scan> = Vec::new();
        for node in children(image, "scan") {
            let Some(scanner) = argument(node, 0).and_then(text) else { continue };
            let first = scans.iter().find(|first| first.scanner.value == scanner.value);
            self.check_unique("scan", &scanner, first.map(|first| first.scanner.span));
            let run = self.commands(node, "run");
            let format = self.scan_format(node, &scanner, !run.is_empty());
            let mut allow: Vec<ScanAllow> = Vec::new();
            for one in children(node, "allow").filter_map(allowed) {
                let first = allow.iter().find(|first| first.id.value == one.id.value);
                self.check_unique("allow", &one.id, first.map(|first| first.id.span));
                allow.push(one);
            }
            scans.push(Scan {
                fail_on: form(property(node, "fail-on"), severity).unwrap_or(Severity::High),
                unknown: form(property(node, "unknown"), severity).unwrap_or(Severity::Medium),
                format,
                run,
                allow,
                span: node.header,
                scanner,
            });
        }
        scans
    }

    /// What a scanner reports in: what hoist does not know how to start says that itself.
    fn scan_format(&mut self, node: &Node, scanner: &Spanned<String>, started: bool) -> ScanFormat {
        let name = scanner.value.as_str();
        let known = ScanFormat::named(name).filter(|format| *format != ScanFormat::Sarif);
        let given = property(node, "format");
        let format = given.and_then(|value| ScanFormat::named(value.as_str()?));
        let run =
            "`run \"…\"` starts it, with the image in `$HOIST_LAYOUT` and its report to `$HOIST_REPORT`";
        match (known, given) {
            _ if started => {}
            (None, _) => {
                let title = format!("nothing says how the scanner `{name}` is started");
                let problem = Problem::new(Code::MissingNode, title)
                    .label(scanner.span, "not one that hoist knows: `trivy`, `grype`, `snyk`")
                    .help(run);
                self.problems.push(problem);
            }
            (Some(_), Some(given)) => {
                let title = format!("what `{name}` reports in is known");
                let problem = Problem::new(Code::MissingNode, title)
                    .label(given.span, "for a command of your own")
                    .help(format!("leave it out; or {run}"));
                self.problems.push(problem);
            }
            (Some(_), None) => {}
        }
        format.or(known).unwrap_or(ScanFormat::Sarif)
    }
}

/// A regular expression; one that is none is absent: the check has reported it.
fn expression(value: &Value) -> Option<String> {
    value.as_str().filter(|text| Regex::new(text).is_ok()).map(str::to_owned)
}

fn allowed(node: &Node) -> Option<ScanAllow> {
    let until = property(node, "until");
    Some(ScanAllow {
        id: argument(node, 0).and_then(text)?,
        until: Spanned::new(form(until, str::parse)?, until?.span),
        reason: string(property(node, "reason"))?,
    })
}

/// A severity by its name.
pub(super) fn severity(text: &str) -> Result<Severity, ()> {
    Severity::named(text).ok_or(())
}
