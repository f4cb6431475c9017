//! The language, from text to model.

mod model;
mod pages;
mod problems;
mod vocabulary;

use crate::config::{LoadedDocument, ProjectPath, Release, decode};
use crate::diagnostic::{Label, Problem, Problems, Sources};
use crate::syntax::parse;

/// Files of a project, each with its path, its prefix, and its text.
struct Files<'a>(&'a [(&'a str, &'a str, &'a str)]);

impl Files<'_> {
    fn decode(&self) -> (Sources, Result<Release, Problems>) {
        let mut sources = Sources::new();
        let load = |(path, prefix, text): &(&str, &str, &str)| LoadedDocument {
            document: parse(sources.add(*path, *text), text).expect("the text is KDL"),
            path: ProjectPath::root().join(path).expect("the path is in the project"),
            prefix: (*prefix).to_owned(),
        };
        let documents: Vec<LoadedDocument> = self.0.iter().map(load).collect();
        let decoded = decode(&documents, "directory");
        (sources, decoded)
    }
}

/// The release of one file.
pub(super) fn release(text: &str) -> Release {
    release_of(&[("release.kdl", "", text)])
}

/// The release of several files.
fn release_of(files: &[(&str, &str, &str)]) -> Release {
    let (sources, decoded) = Files(files).decode();
    decoded.unwrap_or_else(|problems| panic!("{}", shown(&sources, &problems)))
}

/// What is wrong with one file: for each problem its code, its title, its
/// labels with what they cover, and its help.
fn problems(text: &str) -> String {
    let (sources, decoded) = Files(&[("release.kdl", "", text)]).decode();
    shown(&sources, &decoded.expect_err("something is wrong"))
}

fn shown(sources: &Sources, problems: &Problems) -> String {
    problems.as_slice().iter().map(|problem| shown_one(sources, problem)).collect()
}

fn shown_one(sources: &Sources, problem: &Problem) -> String {
    let label = |label: &Label| {
        let (line, column) = sources.position(label.span).expect("the place exists");
        format!("  {line}:{column} `{}` {}\n", sources.slice(label.span), label.text)
    };
    let labels: String = problem.labels.iter().map(label).collect();
    let help = problem.help.as_deref().unwrap_or("-");
    format!("{}: {}\n{labels}  help: {help}\n", problem.code.as_str(), problem.title)
}
