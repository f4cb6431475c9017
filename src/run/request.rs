//! What is asked for.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cache::{Cache, Product, SettledOutputs};
use crate::config::Release;
use crate::diagnostic::Sources;
use crate::facts::{Facts, Host};
use crate::plan::{Plan, StepId, StepIndex};
use crate::release::Entrance;

/// A plan to run, and all that running it needs.
#[derive(Clone)]
pub struct Request {
    /// What to run.
    pub plan: Arc<Plan>,
    /// Where it comes from.
    pub release: Arc<Release>,
    /// What it was planned with.
    pub facts: Arc<Facts>,
    /// What is known of steps that are not part of the plan.
    pub settled: Arc<Settled>,
    /// The texts that spans point into.
    pub sources: Arc<Sources>,
    /// The machine and the caller.
    pub host: Arc<Host>,
    /// The project's directory, absolute.
    pub root: PathBuf,
    /// What earlier runs made.
    pub cache: Cache,
    /// The goals as the user typed them; empty for the default.
    pub goals: Vec<String>,
    /// How to run it.
    pub options: Options,
    /// Which stages are entered, if any are.
    pub entrance: Option<Arc<Entrance>>,
    /// Asks the user a question on the terminal and waits for the answer. Called
    /// on a thread that may block, while nothing else runs.
    pub confirm: Confirm,
}

/// Steps that belong to the goals and were found to be up to date before the run,
/// so that the plan does not have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// How many are up to date.
    pub up_to_date: usize,
    /// How many do not apply.
    pub skipped: usize,
    /// Variables that are passed to their targets: secret.
    pub passed: Vec<String>,
    /// For each step of the plan, the products of those that it needs; empty if
    /// none of the plan's steps needs one.
    pub products: Vec<Vec<(StepId, Product)>>,
    /// For each step of the plan, the outputs among these, and among what groups
    /// stand for.
    pub outputs: Vec<Vec<SettledOutputs>>,
}

impl Settled {
    /// The products of settled steps that a step of the plan needs.
    pub(super) fn of(&self, step: StepIndex) -> &[(StepId, Product)] {
        self.products.get(step.0 as usize).map(Vec::as_slice).unwrap_or_default()
    }

    /// What settled steps made that a step of the plan needs.
    pub(super) fn outputs_of(&self, step: StepIndex) -> &[SettledOutputs] {
        self.outputs.get(step.0 as usize).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Asks the question that it is given; whether the user agreed. An error says
/// why nobody could be asked.
pub type Confirm = Arc<dyn Fn(&str) -> Result<bool, String> + Send + Sync>;

/// How to run a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Steps at once; by default `settings { jobs … }`, else the number of
    /// processors.
    pub jobs: Option<usize>,
    /// After a failure, still run what does not need the failed step. Nothing is
    /// published then.
    pub keep_going: bool,
    /// Run what the goals name even if it need not run.
    pub force: bool,
    /// Neither read nor write the cache.
    pub no_cache: bool,
    /// Run every cacheable target in a sandbox.
    pub sandbox: bool,
    /// Watch what the targets that the goals name read and make, and say it.
    pub learn: bool,
    /// Give steps one place for standard output and standard error, since what shows
    /// them has one: so they keep their order.
    pub one_output: bool,
    /// Move moving tags backwards, too.
    pub allow_regress: bool,
    /// The id of the run that this one is part of: it takes back what failed there.
    pub part_of: Option<String>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("goals", &self.goals)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
