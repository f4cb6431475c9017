//! Targets: commands with declared needs, inputs, and outputs.

use std::time::Duration;

use indexmap::IndexMap;

use crate::config::{ProjectPath, Template};
use crate::diagnostic::Spanned;
use serde::{Deserialize, Serialize};

/// `target "name" { … }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its name, with the prefix of an included file.
    pub name: Spanned<String>,
    /// What it is for, in the list.
    pub about: Option<String>,
    /// Directory of the file that declares it.
    pub home: ProjectPath,
    /// Directory in which its commands run, and from which its patterns are read.
    pub dir: ProjectPath,
    /// Targets, images, or steps that come before; with their prefix.
    pub needs: Vec<Spanned<String>>,
    /// Its commands, run one after the other until one fails.
    pub run: Vec<Spanned<Command>>,
    /// What it reads. `None`: not declared, the target always runs.
    pub inputs: Option<Vec<Pattern>>,
    /// What it makes.
    pub outputs: Vec<Pattern>,
    /// Which of these, by position, are written as directories: with a `/` at their end.
    pub directories: Vec<usize>,
    /// Variables set for its commands, part of the key.
    pub env: IndexMap<String, Template>,
    /// Variables passed from the caller: secret, masked, not part of the key.
    pub pass_env: Vec<Spanned<String>>,
    /// Commands whose output is part of the key.
    pub tools: Vec<Spanned<Command>>,
    /// Values of the variables that it is expanded over, in order.
    pub matrix: IndexMap<String, Vec<Spanned<String>>>,
    /// It runs if every one of these holds.
    pub when: Vec<Spanned<Condition>>,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// How often it is tried again after a failure.
    pub retries: u32,
    /// The pool that bounds how many run at once.
    pub pool: Option<Spanned<String>>,
    /// What is asked before it runs.
    pub confirm: Option<String>,
    /// It owns the terminal while it runs.
    pub interactive: bool,
    /// It is not listed, and cannot be named on the command line.
    pub private: bool,
    /// Targets that run after it, whatever happened but a second Ctrl-C.
    pub finally: Vec<Spanned<String>>,
    /// The kernel denies it files that it does not declare.
    pub sandbox: Option<Spanned<bool>>,
}

/// One `run`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// One string: a script, given to the shell as it is, never interpolated.
    Script(String),
    /// Two or more strings: a program and its arguments, no shell.
    Argv(Vec<Argument>),
}

/// One element of an argument vector.
pub type Argument = Template;

/// One string of `inputs` or `outputs`: a path or a glob relative to
/// [`Target::dir`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// The glob relative to the project's directory, `!` removed. `{…}` fields
    /// of the language are already filled in or refused; braces of a glob stay.
    pub glob: Spanned<String>,
    /// Written with a leading `!`: takes away what earlier patterns matched.
    pub negated: bool,
}

impl Pattern {
    /// Whether it names one path: no wildcard in it.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.glob.value.contains(['*', '?', '[', '{'])
    }
}

/// One property of `when`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// `env="NAME"` (set and not empty) or `env="NAME=value"`.
    Env(String, Option<String>),
    /// `os="linux"`, by the names of Rust's `std::env::consts::OS`.
    Os(String),
    /// `branch="main"`, a glob.
    Branch(String),
}
