//! Steps, their names, and the graph of them.

use std::collections::HashSet;
use std::fmt;

use crate::diagnostic::Span;
use crate::facts::InputQuery;
use crate::plan::{Action, Definition, Gap};
use serde::{Deserialize, Serialize};

/// All steps of a run, each behind those that it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The steps in an order in which they could run one after the other.
    pub steps: Vec<Step>,
    /// Why images are built and checked but not published, if that is so.
    pub unpublished: Option<String>,
    /// What the run as a whole would need and this version cannot do; what a
    /// single step cannot do is its action.
    pub gaps: Vec<Gap>,
}

impl Plan {
    /// The groups that stand between a step and what it needs the products of, each once.
    #[must_use]
    pub fn groups_behind(&self, step: &Step) -> Vec<StepIndex> {
        let groups = |step: &Step| -> Vec<StepIndex> {
            let products = step.needs.iter().filter(|need| need.kind == NeedKind::Product);
            products.map(|need| need.step).filter(|at| self.is_group(*at)).collect()
        };
        let (mut waiting, mut seen, mut found) = (groups(step), HashSet::new(), Vec::new());
        while let Some(at) = waiting.pop() {
            if seen.insert(at) {
                found.push(at);
                waiting.extend(self.steps.get(at.0 as usize).map(groups).unwrap_or_default());
            }
        }
        found
    }

    fn is_group(&self, at: StepIndex) -> bool {
        self.steps.get(at.0 as usize).is_some_and(|step| matches!(step.action, Action::Group))
    }
}

/// The place of a step in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepIndex(pub u32);

/// One unit of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub id: StepId,
    /// What it does, with all that it needs for it.
    pub action: Action,
    /// Steps that come before, each named once, sorted.
    pub needs: Vec<Need>,
    /// What its key is made of, as far as it is known before running.
    pub definition: Definition,
    /// The files of the definition, to be read again where an earlier step of
    /// the run may have changed them; `None` where it has none.
    pub inputs: Option<InputQuery>,
    /// Where [`Facts::inputs`](crate::facts::Facts) answers that; `None` where the
    /// files were not looked for.
    #[serde(skip)]
    pub answer: Option<usize>,
    /// What running it means for others.
    pub effect: Effect,
    /// The pool that bounds how many run at once, and its size.
    pub pool: Option<(String, usize)>,
    /// The declaration that it comes from.
    pub span: Span,
    /// Named by a goal, not only needed by another step.
    pub goal: bool,
}

/// An edge to a step that comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The step.
    pub step: StepIndex,
    /// What is needed of it.
    pub kind: NeedKind,
}

/// What is needed of a step that comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NeedKind {
    /// That it succeeded; and its product, which is part of the key.
    Product,
    /// That it succeeded.
    Success,
    /// That it ended, however (`finally`).
    End,
}

/// What running a step means for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// It is not known what it reads: it runs each time.
    Always,
    /// What it makes depends on its key alone: it need not run again.
    Cacheable,
    /// It changes what others can see: it runs each time, and doing it again
    /// changes nothing.
    Publishing,
}

/// The name of a step: `lint`, `lint[python=3.11]`, `web:build@linux/amd64`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepId {
    /// The target, image, or stage, with its prefix and its matrix values.
    pub owner: String,
    /// What is done; none for a target.
    pub verb: Option<Verb>,
    /// For what or where: a platform, a registry, a scanner.
    pub qualifier: Option<String>,
}

impl StepId {
    /// The only step of a target.
    pub fn target(name: impl Into<String>) -> Self {
        Self { owner: name.into(), verb: None, qualifier: None }
    }

    /// A step of an image or a stage.
    pub fn of(owner: impl Into<String>, verb: Verb, qualifier: Option<String>) -> Self {
        Self { owner: owner.into(), verb: Some(verb), qualifier }
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.owner)?;
        self.verb.iter().try_for_each(|verb| write!(f, ":{}", verb.as_str()))?;
        self.qualifier.iter().try_for_each(|qualifier| write!(f, "@{qualifier}"))
    }
}

/// What a step of an image or a stage does, in the order of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verb {
    /// Makes the image of one platform.
    Build,
    /// Joins the platforms.
    Index,
    /// Runs the image's tests and checks its expectations.
    Test,
    /// Weighs it.
    Budget,
    /// Has a scanner look at it.
    Scan,
    /// Copies it to a registry, by digest.
    Push,
    /// Attaches a signature there.
    Sign,
    /// Attaches provenance and bill of materials there.
    Attest,
    /// Gives it its names there.
    Tag,
    /// Puts down in the ledger that a stage runs it.
    Enter,
    /// Does what a stage does with it.
    Deploy,
    /// Checks that the stage works.
    Verify,
    /// Attaches what was put down to the images of the stage.
    Record,
}

impl Verb {
    /// Every verb.
    pub const ALL: &[Self] = &[
        Self::Build,
        Self::Index,
        Self::Test,
        Self::Budget,
        Self::Scan,
        Self::Push,
        Self::Sign,
        Self::Attest,
        Self::Tag,
        Self::Enter,
        Self::Deploy,
        Self::Verify,
        Self::Record,
    ];

    /// Its name in a step's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Index => "index",
            Self::Test => "test",
            Self::Budget => "budget",
            Self::Scan => "scan",
            Self::Push => "push",
            Self::Sign => "sign",
            Self::Attest => "attest",
            Self::Tag => "tag",
            Self::Enter => "enter",
            Self::Deploy => "deploy",
            Self::Verify => "verify",
            Self::Record => "record",
        }
    }
}
