//! Why a manifest cannot be edited.

/// Why a text cannot be edited as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// A sentence without a period.
    pub why: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Unfit {
    /// For a reason.
    pub(super) const fn new(why: String) -> Self {
        Self { why, help: None }
    }

    /// Says what to do.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}
