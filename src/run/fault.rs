//! Problems as they are recorded: places resolved to files and lines.

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Label, Problem, Sources, Span};

/// A [`Problem`] that can be read without the texts of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The code: `hoist::run::command_failed`.
    pub code: String,
    /// What is wrong, in one line.
    pub title: String,
    /// Places that show it, the most important one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Place>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Further lines that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A place in a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file, or another name of a text, such as `command line`.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// Its column in characters, from 1.
    pub column: usize,
    /// The line of its last character; 0 where a record of an older hoist does not
    /// say it.
    #[serde(default)]
    pub end_line: usize,
    /// The column behind its last character; 0 where it is not said.
    #[serde(default)]
    pub end_column: usize,
    /// Offset of its first byte.
    pub start: u32,
    /// Offset behind its last byte.
    pub end: u32,
    /// The fact that the place shows; may be empty.
    pub text: String,
}

impl Fault {
    /// Resolves the places of a problem. A place outside of `sources` is left out.
    #[must_use]
    pub fn new(problem: &Problem, sources: &Sources) -> Self {
        Self {
            code: problem.code.as_str().to_owned(),
            title: problem.title.clone(),
            labels: problem.labels.iter().filter_map(|label| Place::new(label, sources)).collect(),
            help: problem.help.clone(),
            notes: problem.notes.clone(),
        }
    }
}

impl Place {
    fn new(label: &Label, sources: &Sources) -> Option<Self> {
        let (line, column) = sources.position(label.span)?;
        let end = Span { start: label.span.end, ..label.span };
        let (end_line, end_column) = sources.position(end).unwrap_or((line, column));
        Some(Self {
            file: sources.get(label.span.source)?.name.clone(),
            line,
            column,
            end_line,
            end_column,
            start: label.span.start,
            end: label.span.end,
            text: label.text.clone(),
        })
    }
}
