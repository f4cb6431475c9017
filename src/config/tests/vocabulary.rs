//! Arbitrary documents made of the words of the language.

use proptest::prelude::*;

use crate::config::grammar::{NodeForm, ROOT};
use crate::config::tests::Files;

/// Strings that mean something somewhere, or nearly do.
const STRINGS: &[&str] = &[
    "",
    "a",
    "b",
    "web",
    "api/web",
    "web:test",
    "web:push@a",
    "a[k=v]",
    "a[",
    ":",
    "@",
    "{",
    "}",
    "{{",
    "{}",
    "{sha}",
    "{date:%Y}",
    "{date:",
    "{0}",
    "{1}",
    "{é}",
    "é{",
    "x{a,b}",
    "!",
    "!x",
    "*",
    "**",
    "[",
    "..",
    "../..",
    "/",
    "//",
    ".",
    "a/../..",
    "scratch",
    "oci:",
    "oci:a:",
    "oci:a@",
    "oci:..",
    "image:",
    "image:web",
    "env:",
    "env:A",
    "file:",
    "file:x",
    "command:",
    "command:x",
    "10m",
    "1h30m",
    "99999999999999999999s",
    "ms",
    "5%",
    "%",
    "500MB",
    ".5",
    "1.5GB",
    "0755",
    "0:0",
    ":0",
    "65536",
    "53/udp",
    "linux/amd64",
    "linux/",
    "2027-01-31",
    "%Y",
    "%",
    "(",
    "a(b)",
    ">=0",
    ">",
    "tag,pr",
    ",",
    "high",
    "gitops",
    "kubectl",
    "compose",
    "run",
    "localhost:5000/x",
    "ghcr.io",
    "https://x",
    "://",
    "k=v",
    "=",
    "!root",
    "\u{1F600}",
    "\u{0301}",
];

/// Decisions, one after the other; none left is 0.
struct Tape(std::vec::IntoIter<u16>);

impl Tape {
    fn below(&mut self, count: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % count.max(1)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 1
    }

    fn string(&mut self) -> String {
        format!("{:?}", STRINGS[self.below(STRINGS.len())])
    }

    fn value(&mut self) -> String {
        match self.below(12) {
            1 => "#true".to_owned(),
            2 => "#null".to_owned(),
            3 => "1.5".to_owned(),
            4 | 5 => ["0", "-1", "1", "65536", "99999999999999999999"][self.below(5)].to_owned(),
            6 => format!("(t){}", self.string()),
            _ => self.string(),
        }
    }

    /// A node of one of some forms, or of a name that they do not have.
    fn node(&mut self, forms: &[NodeForm], depth: usize) -> String {
        let unknown = NodeForm::new("frobnicate", "");
        let chosen = self.below(forms.len());
        let form = forms.get(chosen).filter(|_| !self.one_in(20)).unwrap_or(&unknown);
        let name = if form.name.is_empty() { self.string() } else { form.name.to_owned() };
        let variant = form.variant.map(|first| format!(" {first:?}")).unwrap_or_default();
        let mut text = format!("{name}{variant}");
        for _ in 0..self.below(form.arguments.len() + 2) {
            text = format!("{text} {}", self.value());
        }
        for _ in 0..self.below(form.properties.len() + 2) {
            let at = self.below(form.properties.len() + 1);
            let name = form.properties.get(at).map_or("k", |property| property.name);
            text = format!("{text} {name}={}", self.value());
        }
        if depth < 5 && !self.one_in(4) {
            let nodes: Vec<String> =
                (0..self.below(6)).map(|_| self.node(form.children, depth + 1)).collect();
            text = format!("{text} {{\n{}\n}}", nodes.join("\n"));
        }
        text
    }

    fn document(&mut self) -> String {
        let count = self.below(8);
        (0..count).map(|_| self.node(ROOT, 0) + "\n").collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn any_document_decodes_or_is_told_what_is_wrong(tape in prop::collection::vec(any::<u16>(), 0..600)) {
        let mut tape = Tape(tape.into_iter());
        let (root, included) = (tape.document(), tape.document());
        let files = [("release.kdl", "", root.as_str()), ("api/release.kdl", "api", included.as_str())];
        let (sources, decoded) = Files(&files).decode();
        if let Err(problems) = decoded {
            prop_assert!(!problems.is_empty());
            let mut before = None;
            for problem in problems.as_slice() {
                let first = problem.labels.first().expect("every problem has a place");
                let place = (first.span.source, first.span.start);
                prop_assert!(before <= Some(place), "{}", problem.title);
                before = Some(place);
                for label in &problem.labels {
                    let text = &sources.get(label.span.source).expect("a source").text;
                    prop_assert!(text.get(label.span.range()).is_some_and(|text| !text.is_empty()), "{problem:?}");
                }
                prop_assert!(problem.help.is_some(), "{}", problem.title);
            }
        }
    }
}
