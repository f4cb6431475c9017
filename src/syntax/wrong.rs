//! What is wrong with a text that is not KDL 2.

use std::ops::Range;

use crate::diagnostic::{Code, Problem, SourceId, Span};

/// A place where a text is not KDL 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Where, in bytes of the text.
    pub(super) range: Range<usize>,
    code: Code,
    title: String,
    label: &'static str,
    help: String,
}

impl Wrong {
    /// Something that no KDL has.
    pub(super) fn new(range: Range<usize>, title: impl Into<String>, label: &'static str) -> Self {
        Self { range, code: Code::NotKdl, title: title.into(), label, help: String::new() }
    }

    /// Something that KDL 1 has, with what it is in KDL 2.
    pub(super) fn kdl1(range: Range<usize>, what: &str, instead: &str) -> Self {
        let title = format!("`{what}` is KDL 1; hoist reads KDL 2");
        Self { code: Code::Kdl1, ..Self::new(range, title, "") }.help(format!("write `{instead}`"))
    }

    /// Says what to do.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: help.into(), ..self }
    }

    /// The problem, in its source.
    pub(super) fn problem(self, source: SourceId) -> Problem {
        let problem = Problem::new(self.code, self.title).label(Span::new(source, self.range), self.label);
        if self.help.is_empty() { problem } else { problem.help(self.help) }
    }
}
