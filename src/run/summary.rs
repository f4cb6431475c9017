//! What became of a run.

use std::path::PathBuf;
use std::time::Duration;

use crate::cache::Ran;
use crate::diagnostic::{Class, Problems};
use crate::run::{Counts, Outcome};

/// What became of a run, for those who hold its plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The run's id.
    pub run: String,
    /// Directory of its record, if one could be written.
    pub record: Option<PathBuf>,
    /// How each step ended, in the order of the plan.
    pub outcomes: Vec<Outcome>,
    /// What is known of each step that a later run may rely on.
    pub ran: Vec<Ran>,
    /// How many steps ended how.
    pub counts: Counts,
    /// What is wrong, with its places: of the run as a whole, then of the steps
    /// in the order in which they failed.
    pub problems: Problems,
    /// How long it took.
    pub duration: Duration,
    /// Why the run did not succeed; `None` if it did.
    pub class: Option<Class>,
}

impl Summary {
    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.class.map_or(0, Class::exit_code)
    }
}
