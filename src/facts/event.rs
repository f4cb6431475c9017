//! What a run is for: a tag, a branch, a pull request, a schedule.

/// The event that a run belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A git tag, by its name.
    Tag(String),
    /// A commit on a branch, by its name.
    Branch(String),
    /// A pull request, by its number.
    PullRequest(u64),
    /// A schedule.
    Schedule,
    /// A commit that no branch or tag names, or no commit at all.
    Unnamed,
}

impl Event {
    /// The word of the language for it: `tag`, `branch`, `pr`, `schedule`, `unnamed`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Tag(_) => "tag",
            Self::Branch(_) => "branch",
            Self::PullRequest(_) => "pr",
            Self::Schedule => "schedule",
            Self::Unnamed => "unnamed",
        }
    }
}

/// Where the event was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventSource {
    /// `--event`.
    CommandLine,
    /// Variables of a CI system, by its name.
    Ci(&'static str),
    /// The repository's HEAD.
    Head,
}
