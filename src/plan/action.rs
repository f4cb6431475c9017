//! What a step does.

use std::time::Duration;

use indexmap::IndexMap;

use crate::config::{Pattern, ProjectPath};
use crate::diagnostic::Span;
use crate::facts::Environment;
use crate::plan::{
    AssembleStep, AttestStep, BudgetStep, DeployStep, DockerfileStep, EnterStep, FoundStep, IndexStep,
    PushStep, RecordStep, ScanStep, SignStep, TagStep, TestStep, VerifyStep,
};
use serde::{Deserialize, Serialize};

/// What a step does, with all that it needs for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Nothing: a target without commands, which stands for its needs.
    Group,
    /// Nothing, for a reason that is said: a target whose `when` does not hold.
    Skip(String),
    /// Runs a target's commands.
    Command(Box<CommandStep>),
    /// Makes an image of one platform from files.
    #[serde(skip)]
    Assemble(Box<AssembleStep>),
    /// Builds an image of one platform from a Dockerfile.
    #[serde(skip)]
    Dockerfile(Box<DockerfileStep>),
    /// Joins the platforms of an image.
    #[serde(skip)]
    Index(IndexStep),
    /// Tests an image.
    #[serde(skip)]
    Test(Box<TestStep>),
    /// Weighs an image.
    #[serde(skip)]
    Budget(BudgetStep),
    /// Has an image scanned.
    #[serde(skip)]
    Scan(Box<ScanStep>),
    /// Copies an image to a registry.
    #[serde(skip)]
    Push(Box<PushStep>),
    /// Signs an image in a registry.
    #[serde(skip)]
    Sign(Box<SignStep>),
    /// Attaches statements to an image in a registry.
    #[serde(skip)]
    Attest(Box<AttestStep>),
    /// Names an image in a registry.
    #[serde(skip)]
    Tag(Box<TagStep>),
    /// Finds an image that a stage ran.
    #[serde(skip)]
    Found(Box<FoundStep>),
    /// Puts down what a stage runs.
    #[serde(skip)]
    Enter(Box<EnterStep>),
    /// Deploys the images of a stage.
    #[serde(skip)]
    Deploy(Box<DeployStep>),
    /// Makes sure that a stage works.
    #[serde(skip)]
    Verify(Box<VerifyStep>),
    /// Attaches what was put down to the images of a stage.
    #[serde(skip)]
    Record(RecordStep),
    /// Part of the language that this version plans and cannot execute.
    NotAvailable(Gap),
}

impl Action {
    /// Whether the step owns the terminal at least for a time: it is interactive,
    /// or asks before it runs.
    #[must_use]
    pub fn owns_terminal(&self) -> bool {
        matches!(self, Self::Command(command) if command.interactive || command.confirm.is_some())
    }

    /// Whether the kernel denies the step what it does not declare.
    #[must_use]
    pub fn is_sandboxed(&self) -> bool {
        matches!(self, Self::Command(command) if command.sandbox)
    }

    /// What cannot be executed of it, if it is that.
    #[must_use]
    pub const fn gap(&self) -> Option<&Gap> {
        match self {
            Self::NotAvailable(gap) => Some(gap),
            _ => None,
        }
    }
}

/// What cannot be executed, and where it is declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// A noun phrase: `building from a Dockerfile`.
    pub what: String,
    /// The declaration.
    pub span: Span,
}

/// Commands of a target, ready to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandStep {
    /// Run one after the other until one fails.
    pub commands: Vec<Exec>,
    /// Where they run.
    pub dir: ProjectPath,
    /// What they see of the environment.
    pub variables: Variables,
    /// What they make; empty for nothing that is kept.
    pub outputs: Vec<Pattern>,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// How often it is tried again after a failure.
    pub retries: u32,
    /// What is asked before it runs.
    pub confirm: Option<String>,
    /// It owns the terminal while it runs.
    pub interactive: bool,
    /// The kernel denies it files of the project that it does not declare.
    pub sandbox: bool,
}

/// One command, ready to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The program and its arguments; for a script the shell, its arguments,
    /// and the script as the last one.
    pub argv: Vec<String>,
    /// The command in the source.
    pub span: Span,
}

/// What a command sees of the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variables {
    /// Whether all of the caller's environment is seen; else only the variables
    /// named by [`Variables::STRICT`] and those below.
    pub inherit: bool,
    /// Set for the command; part of the key.
    pub set: IndexMap<String, String>,
    /// Passed on from the caller if set there: secret, masked in output, not
    /// part of the key.
    pub pass: Vec<String>,
}

impl Variables {
    /// What a command of a cacheable target sees of the caller's environment.
    pub const STRICT: &[&str] = Environment::STRICT;
}
