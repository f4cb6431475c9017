//! Documents as they come to be decoded, and which others they ask for.

use crate::config::{ProjectPath, decode::name_fits};
use crate::diagnostic::{Code, Problem, Problems, Spanned};
use crate::syntax::{Document, Property, Value};

/// A document and its place in the project.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedDocument {
    /// What was read.
    pub document: Document,
    /// The file that it was read from.
    pub path: ProjectPath,
    /// What stands before the names that it declares, `api` for `api/lint`;
    /// empty for the file that the project was found by.
    pub prefix: String,
}

/// A request for other documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// A path or glob, relative to the document that asks.
    pub pattern: Spanned<String>,
    /// The prefix given by `as=`; else the directory of each file is its prefix.
    pub prefix: Option<Spanned<String>>,
}

/// The documents that `document` includes, and what is wrong with how it asks
/// for them. What else is wrong with it is found by [`decode`](crate::config::decode).
#[must_use]
pub fn includes(document: &Document) -> (Vec<Include>, Problems) {
    let mut found = Vec::new();
    let mut problems = Problems::new();
    for node in document.nodes.iter().filter(|node| node.name.value == "include") {
        let named = |property: &&Property| property.name.value == "as";
        let prefix = node.properties.iter().find(named).and_then(|property| text(&property.value));
        if let Some(prefix) = &prefix
            && let Err(why) = name_fits(&prefix.value)
        {
            let problem = Problem::new(Code::InvalidValue, format!("`{}` cannot be a prefix", prefix.value))
                .label(prefix.span, why)
                .help("a prefix is one or more words joined by `/`, such as `as=\"api\"`");
            problems.push(problem);
        }
        let patterns = node.arguments.iter().filter_map(text);
        found.extend(patterns.map(|pattern| Include { pattern, prefix: prefix.clone() }));
    }
    (found, problems)
}

fn text(value: &Value) -> Option<Spanned<String>> {
    value.as_str().map(|text| Spanned::new(text.to_owned(), value.span))
}
