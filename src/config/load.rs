//! Documents as they come to be decoded, and which others they ask for.

use serde::{Deserialize, Serialize};

use crate::config::ProjectPath;
use crate::diagnostic::Spanned;
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Include {
    /// A path or glob, relative to the document that asks.
    pub pattern: Spanned<String>,
    /// The prefix given by `as=`; else the directory of each file is its prefix.
    pub prefix: Option<Spanned<String>>,
}

/// The documents that `document` includes. What is wrong with how it asks for
/// them is found by [`decode`](crate::config::decode).
#[must_use]
pub fn includes(document: &Document) -> Vec<Include> {
    let asked = document.nodes.iter().filter(|node| node.name.value == "include");
    let named = |property: &&Property| property.name.value == "as";
    let all = asked.flat_map(|node| {
        let prefix = node.properties.iter().find(named).and_then(|property| text(&property.value));
        let patterns = node.arguments.iter().filter_map(text);
        patterns.map(move |pattern| Include { pattern, prefix: prefix.clone() })
    });
    all.collect()
}

fn text(value: &Value) -> Option<Spanned<String>> {
    value.as_str().map(|text| Spanned::new(text.to_owned(), value.span))
}
