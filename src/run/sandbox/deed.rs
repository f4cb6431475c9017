//! What a command does with a path of the project.

use std::fmt;
use std::path::PathBuf;

/// What is done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Doing {
    /// The content of a file is read.
    Read,
    /// A directory is listed.
    List,
    /// A file is executed.
    Execute,
    /// A file is opened for writing.
    Write(Opening),
    /// A directory is made.
    MakeDirectory,
    /// Something else is made under this name, or renamed to it.
    Make,
    /// It is removed, or renamed to something else.
    Remove,
    /// It is looked whether it exists, and what it is.
    Look,
}

/// How a file is opened that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Opening {
    /// Also to be read.
    pub(super) read: bool,
    /// Made if it does not exist.
    pub(super) create: bool,
    /// What it holds is thrown away.
    pub(super) truncate: bool,
}

/// What there is at a path before something is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum There {
    /// Nothing.
    Nothing,
    /// A directory.
    Directory,
    /// A file, a link, or anything else.
    File,
}

/// Something that a command did, or would have done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Deed {
    /// The path in the project; absolute where it is outside.
    pub(super) path: PathBuf,
    /// What is done.
    pub(super) doing: Doing,
    /// What was there before.
    pub(super) there: There,
}

impl fmt::Display for Doing {
    /// In a sentence: the target … `path`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "reads",
            Self::List => "lists",
            Self::Execute => "executes",
            Self::Write(_) => "writes",
            Self::MakeDirectory | Self::Make => "makes",
            Self::Remove => "removes",
            Self::Look => "looks for",
        })
    }
}

impl Doing {
    /// Whether it takes something in, and changes nothing.
    pub(super) const fn is_reading(self) -> bool {
        matches!(self, Self::Read | Self::List | Self::Execute | Self::Look)
    }
}
