//! Dockerfiles as BuildKit's own tests have them, and what holds for all texts.

mod heredocs;
mod ignore;
mod problems;
mod properties;
mod reading;
mod spots;
mod stages;
mod words;

use indexmap::IndexMap;

use crate::diagnostic::{Problems, Sources, Span};
use crate::dockerfile::{Dockerfile, Request, Resolved};
use crate::oci::Platform;

/// A text that spans point into.
struct Text(Sources);

impl Text {
    fn span(&self, span: Span) -> &str {
        self.0.slice(span)
    }

    /// Each problem: its code, title, and the text that it points to.
    fn told(&self, problems: &Problems) -> Vec<(crate::diagnostic::Code, String, String)> {
        let of = |problem: &crate::diagnostic::Problem| {
            let label = problem.labels.first().map(|label| self.span(label.span).to_owned());
            (problem.code, problem.title.clone(), label.unwrap_or_default())
        };
        problems.as_slice().iter().map(of).collect()
    }
}

fn read(text: &str) -> (Result<Dockerfile, Problems>, Text) {
    let mut sources = Sources::new();
    let source = sources.add("Dockerfile", text);
    (Dockerfile::parse(source, text), Text(sources))
}

/// A build for a platform, on linux/amd64.
fn resolve(
    text: &str,
    target: Option<&str>,
    args: &[(&str, &str)],
    contexts: &[&str],
    platform: &str,
) -> (Result<Resolved, Problems>, Text) {
    let (file, sources) = read(text);
    let args: IndexMap<String, String> =
        args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let contexts: Vec<String> = contexts.iter().map(|name| (*name).to_owned()).collect();
    let platform: Platform = platform.parse().unwrap();
    let builder: Platform = "linux/amd64".parse().unwrap();
    let request =
        Request { target, args: &args, contexts: &contexts, platform: &platform, builder: &builder };
    (file.and_then(|file| file.resolve(&request)), sources)
}
