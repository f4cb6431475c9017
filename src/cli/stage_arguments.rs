//! What may stand on the command line behind commands that are about stages.

use clap::{Args, ValueEnum};
use clap_complete::ArgValueCandidates;

use crate::cli::arguments::Running;
use crate::cli::completions::{stages, versions};
use crate::release::Bump;

/// `hoist promote`.
#[derive(Debug, Args)]
pub(crate) struct Promote {
    #[command(flatten)]
    pub(crate) running: Running,
    /// The stage that is entered
    #[arg(value_name = "STAGE", add = ArgValueCandidates::new(stages))]
    pub(crate) stage: String,
    /// The stage that its images are taken from. Without it: what `from` of release.kdl
    /// says
    #[arg(long, value_name = "STAGE", add = ArgValueCandidates::new(stages))]
    pub(crate) from: Option<String>,
}

/// `hoist rollback`.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    pub(crate) running: Running,
    /// The stage
    #[arg(value_name = "STAGE", add = ArgValueCandidates::new(stages))]
    pub(crate) stage: String,
    /// Go back to this version. Without it: to what the stage ran before
    #[arg(long, value_name = "VERSION", add = ArgValueCandidates::new(versions))]
    pub(crate) to: Option<String>,
    /// Why, for the ledger
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// `hoist resume`.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    pub(crate) running: Running,
    /// Go back instead: moving tags that still hold what they were set to hold again what
    /// they held before
    #[arg(long)]
    pub(crate) back: bool,
    /// Do not wait whether this run on another machine goes on: it has ended
    #[arg(long, value_name = "RUN")]
    pub(crate) of: Option<String>,
}

/// `hoist status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The stages. Without one: all
    #[arg(value_name = "STAGE", add = ArgValueCandidates::new(stages))]
    pub(crate) stages: Vec<String>,
    /// Ask no registry what its tags hold
    #[arg(long)]
    pub(crate) no_drift: bool,
}

/// `hoist history`.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// The stage. Without one: all
    #[arg(value_name = "STAGE", add = ArgValueCandidates::new(stages))]
    pub(crate) stage: Option<String>,
    /// Show no more than this many, the newest
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) most: Option<usize>,
    /// Show what is attached to an image, by stages with `record`: `HOST/REPOSITORY[:TAG]`, or `oci:DIR[:TAG]`
    #[arg(long, value_name = "IMAGE")]
    pub(crate) of: Option<String>,
}

/// `hoist cut`.
#[derive(Debug, Args)]
pub(crate) struct Cut {
    /// Which number of the version is raised
    #[arg(value_name = "WHICH")]
    pub(crate) which: Which,
    /// Push the tag to the remote, too
    #[arg(long)]
    pub(crate) push: bool,
    /// Message of the tag [default: the version]
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Cut although the tree has changes that are not committed
    #[arg(long)]
    pub(crate) allow_dirty: bool,
    /// Cut although the release of the tag would be refused now
    #[arg(long)]
    pub(crate) allow_refused: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Values that the release will be given, of variables without a default
    #[arg(value_name = "VAR=VALUE")]
    pub(crate) words: Vec<String>,
}

/// A number of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// 1.2.3 → 2.0.0
    Major,
    /// 1.2.3 → 1.3.0
    Minor,
    /// 1.2.3 → 1.2.4
    Patch,
}

impl From<Which> for Bump {
    fn from(which: Which) -> Self {
        match which {
            Which::Major => Self::Major,
            Which::Minor => Self::Minor,
            Which::Patch => Self::Patch,
        }
    }
}
