//! One diagnostic, and a collection of them.

use std::collections::HashSet;

use super::{Class, Code, Span};

/// Something that is wrong, said so that the reader can mend it.
///
/// The title is a lower-case phrase without a period, names in backticks; a
/// label adds a fact to a place; the help is something to type or to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Which kind of problem.
    pub code: Code,
    /// What is wrong, in one line.
    pub title: String,
    /// Places that show it, the most important one first.
    pub labels: Vec<Label>,
    /// What to do about it.
    pub help: Option<String>,
    /// Further lines that belong to it: a cause, the tail of a log.
    pub notes: Vec<String>,
}

/// A place and the fact that it shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// The fact; may be empty where the place speaks for itself.
    pub text: String,
}

impl Problem {
    /// A problem with a title alone.
    pub fn new(code: Code, title: impl Into<String>) -> Self {
        Self { code, title: title.into(), labels: Vec::new(), help: None, notes: Vec::new() }
    }

    /// Adds a place.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what to do, where something is known.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// What is wrong in one sentence, with the further lines.
    #[must_use]
    pub fn sentence(&self) -> String {
        if self.notes.is_empty() {
            self.title.clone()
        } else {
            format!("{}: {}", self.title, self.notes.join("; "))
        }
    }

    /// Adds a further line, such as the cause given by the system.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// One or more problems, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Each of them once, where it was found first: several steps of one
    /// declaration may fail for one reason.
    #[must_use]
    pub fn once(self) -> Self {
        let mut seen = HashSet::new();
        Self(self.0.into_iter().filter(|problem| seen.insert(problem.clone())).collect())
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// The value, if nothing is wrong; else the problems.
    ///
    /// # Errors
    /// All problems collected, if there are any.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Keeps the value of a result, or collects its problems.
    pub fn take<T>(&mut self, result: Result<T, impl Into<Self>>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(problems) => {
                self.0.extend(problems.into().0);
                None
            }
        }
    }

    /// What is wrong first, in one sentence; empty where nothing is.
    #[must_use]
    pub fn title(&self) -> &str {
        self.0.first().map(|problem| problem.title.as_str()).unwrap_or_default()
    }

    /// The class that decides the exit code: that of the first problem.
    #[must_use]
    pub fn class(&self) -> Class {
        self.0.first().map_or(Class::Usage, |problem| problem.code.class())
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<T: IntoIterator<Item = Problem>>(problems: T) -> Self {
        Self(problems.into_iter().collect())
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, iter: I) {
        self.0.extend(iter);
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// An error with what caused it, each said once.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}
