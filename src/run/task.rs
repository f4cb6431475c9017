//! What a worker is asked to carry out, and what became of it.

use crate::cache::{Hit, Outputs, Product};
use crate::diagnostic::{Code, Problem, Problems};
use crate::oci::Descriptor;
use crate::plan::{Step, StepIndex};
use crate::run::command::Unsuccessful;
use crate::run::image::Known;
use crate::run::place::{Place, Turn};
use crate::run::{Found, ImageFigures, Reused, ScanFigures, TagMove};

/// What a step is given when it starts.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// The step.
    pub(super) step: StepIndex,
    /// What the steps made whose product it needs.
    pub(super) products: Vec<(StepIndex, Product)>,
    /// The images that it works on.
    pub(super) images: Known,
    /// When it may begin to work.
    pub(super) turn: Turn,
}

/// What became of a step that was started.
#[derive(Debug)]
pub(super) struct Done {
    /// How it ended.
    pub(super) ended: Ended,
    /// What it adds to the keys of those that need its product.
    pub(super) product: Product,
    /// The image that it made or found.
    pub(super) image: Option<Descriptor>,
    /// How much of that had been made before, if it made it.
    pub(super) reused: Option<Reused>,
    /// The tags that it was to give.
    pub(super) tags: Vec<TagMove>,
    /// What is measured of the images that it made, found, or weighed.
    pub(super) images: Vec<ImageFigures>,
    /// What it found, if it is a scan.
    pub(super) scan: Option<ScanFigures>,
    /// What it made or has, if a later run may rely on it.
    pub(super) lasting: Option<Outputs>,
    /// Its place, if that is not to be another's before this end is known.
    pub(super) place: Option<Place>,
}

/// How a step ended that was started.
#[derive(Debug)]
pub(super) enum Ended {
    /// It did its work.
    Ran,
    /// Its work had been done before.
    Cached(Found),
    /// It does not apply, for this reason.
    Skipped(String),
    /// For these reasons.
    Failed(Problems),
    /// It was asked to stop.
    Halted,
    /// It was kept from beginning to work.
    Withdrawn,
}

impl Done {
    pub(super) const fn new(ended: Ended) -> Self {
        Self {
            ended,
            product: Product::Nothing,
            image: None,
            reused: None,
            tags: Vec::new(),
            images: Vec::new(),
            scan: None,
            lasting: None,
            place: None,
        }
    }

    /// Failed for these reasons.
    pub(super) fn failed(problems: impl Into<Problems>) -> Self {
        Self::new(Ended::Failed(problems.into()))
    }

    /// A step whose code gave up: a fault of hoist.
    pub(super) fn broken(name: &str) -> Self {
        let problem = Problem::new(Code::CommandFailed, format!("hoist itself failed in `{name}`"));
        Self::failed(problem.help("this is a mistake in hoist: please report it with what was printed above"))
    }
}

impl From<Unsuccessful> for Done {
    fn from(unsuccessful: Unsuccessful) -> Self {
        match unsuccessful {
            Unsuccessful::Failed(problems) => Self::failed(problems),
            Unsuccessful::Halted => Self::new(Ended::Halted),
        }
    }
}

/// A step that need not run.
pub(super) fn had(step: &Step, hit: Hit, found: Found) -> Done {
    Done {
        product: hit.record.product(step.effect),
        image: hit.record.image,
        lasting: Some(hit.record.outputs),
        ..Done::new(Ended::Cached(found))
    }
}
