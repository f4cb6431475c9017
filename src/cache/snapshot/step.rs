//! The steps of a snapshot.

use serde::Serialize;

use crate::cache::sealed::{CHECK, check};
use crate::cache::{Blake3, Key, Product};
use crate::plan::{Action, Effect, NeedKind, Step, StepId};

/// Reads so many bytes from there, of the texts of a snapshot's steps.
pub type Texts<'t> = dyn Fn(u64, usize) -> Option<Vec<u8>> + 't;

/// What becomes of a step when its turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It runs each time.
    Always,
    /// It runs if something changed.
    Cacheable,
    /// It does nothing itself.
    Group,
    /// It does not apply.
    Skipped,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Standing {
    pub(super) turn: Turn,
    /// What it adds to the keys of others; `None`: it has to be looked at each time.
    pub(super) product: Option<Product>,
}

/// Where the larger parts of a step lie, which are read only when they are needed: its
/// name, and behind it the step itself. Of a step that holds a secret only the name is
/// there: it has to be planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    start: u64,
    name: u32,
    step: u32,
    check: [u8; CHECK],
}

/// The larger parts of a step as they were read.
#[derive(Debug)]
pub(super) struct Loaded {
    name: Vec<u8>,
    step: Vec<u8>,
}

/// A step to store, with the places of its files in the snapshot's table.
#[derive(Debug)]
pub(super) struct NewStep {
    pub(super) standing: Standing,
    pub(super) text: Text,
    /// Steps that come before.
    pub(super) needs: Vec<(u32, NeedKind)>,
    /// Files that it reads.
    pub(super) inputs: Vec<u32>,
    /// Directories in which all files may be its inputs, by their places among
    /// the directories of the table.
    pub(super) directories: Vec<u32>,
    /// Files, links, and directories that it made.
    pub(super) outputs: Vec<u32>,
}

impl Standing {
    /// How a step stands after a run.
    pub(super) const fn of(step: &Step, product: Option<Product>) -> Self {
        let turn = match (&step.action, step.effect) {
            (Action::Skip(_), _) => Turn::Skipped,
            (Action::Group, _) => Turn::Group,
            (_, Effect::Cacheable) => Turn::Cacheable,
            (_, Effect::Always | Effect::Publishing) => Turn::Always,
        };
        Self { turn, product }
    }

    /// Whether it counts as up to date while nothing changes.
    pub(super) const fn is_done(&self) -> bool {
        self.product.is_some() && matches!(self.turn, Turn::Cacheable)
    }

    /// Whether it has to be looked at although nothing changed.
    pub(super) const fn is_pending(&self) -> bool {
        self.product.is_none() || matches!(self.turn, Turn::Always)
    }

    /// As 33 bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let turn = match self.turn {
            Turn::Always => 0,
            Turn::Cacheable => 1,
            Turn::Group => 2,
            Turn::Skipped => 3,
        };
        let (kind, digest) = match self.product {
            // Steps of images are not stored.
            None | Some(Product::Image(_)) => (0, [0; 32]),
            Some(Product::Nothing) => (1, [0; 32]),
            Some(Product::Outputs(Blake3(digest))) => (2, digest),
            Some(Product::Key(Key(digest))) => (3, digest),
        };
        out.push(turn << 4 | kind);
        out.extend(digest);
    }

    pub(super) fn read(tag: u8, digest: [u8; 32]) -> Option<Self> {
        let turn = match tag >> 4 {
            0 => Turn::Always,
            1 => Turn::Cacheable,
            2 => Turn::Group,
            3 => Turn::Skipped,
            _ => return None,
        };
        let product = match tag & 0xf {
            0 => None,
            1 => Some(Product::Nothing),
            2 => Some(Product::Outputs(Blake3(digest))),
            3 => Some(Product::Key(Key(digest))),
            _ => return None,
        };
        Some(Self { turn, product })
    }
}

impl Text {
    /// Adds the text of a step to others. `None` for steps that cannot be planned on
    /// their own: those of images and stages.
    pub(super) fn add(texts: &mut Vec<u8>, step: &Step, secrets: &[&str]) -> Option<Self> {
        let name = postcard::to_stdvec(&step.id).ok()?;
        let whole = postcard::to_stdvec(&alone(step)).ok()?;
        let step = if holds_secret(step, secrets) { Vec::new() } else { whole };
        let start = texts.len() as u64;
        let length = |part: &[u8]| u32::try_from(part.len()).ok();
        let (name_length, step_length) = (length(&name)?, length(&step)?);
        let text = [name, step].concat();
        let check = check(&text);
        texts.extend(text);
        Some(Self { start, name: name_length, step: step_length, check })
    }

    /// As 32 bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.start.to_le_bytes());
        out.extend(self.name.to_le_bytes());
        out.extend(self.step.to_le_bytes());
        out.extend(self.check);
    }

    pub(super) fn read(bytes: &[u8; 32]) -> Option<Self> {
        let (start, rest) = bytes.split_first_chunk()?;
        let (name, rest) = rest.split_first_chunk()?;
        let (step, check) = rest.split_first_chunk()?;
        Some(Self {
            start: u64::from_le_bytes(*start),
            name: u32::from_le_bytes(*name),
            step: u32::from_le_bytes(*step),
            check: check.try_into().ok()?,
        })
    }

    /// Reads it. `None` where it is gone, or is not what was stored.
    pub(super) fn load(&self, texts: &Texts<'_>) -> Option<Loaded> {
        let mut name = texts(self.start, (self.name as usize).checked_add(self.step as usize)?)?;
        let is_same = cfg!(fuzzing) || check(&name) == self.check;
        let step =
            (is_same && self.name as usize <= name.len()).then(|| name.split_off(self.name as usize))?;
        Some(Loaded { name, step })
    }
}

impl Loaded {
    /// The name of the step.
    pub(super) fn name(&self) -> Option<StepId> {
        postcard::from_bytes(&self.name).ok()
    }

    /// The step. `None` where it is not stored.
    pub(super) fn step(&self) -> Option<Step> {
        postcard::from_bytes(&self.step).ok()
    }
}

fn holds_secret(step: &Step, secrets: &[&str]) -> bool {
    let hidden = |text: &String| secrets.iter().any(|secret| text.contains(secret));
    match &step.action {
        Action::Command(command) => {
            let words = command.commands.iter().flat_map(|command| &command.argv);
            words.chain(command.variables.set.values()).any(hidden)
        }
        _ => false,
    }
}

/// A step without the steps before it, which the table has, and without the files that
/// it reads: they are found anew before it is looked at, and their names need not be text.
fn alone(step: &Step) -> impl Serialize {
    Step {
        id: step.id.clone(),
        action: step.action.clone(),
        needs: Vec::new(),
        definition: step.definition.with_inputs(&[]),
        inputs: step.inputs.clone(),
        answer: None,
        effect: step.effect,
        pool: step.pool.clone(),
        span: step.span,
        goal: step.goal,
    }
}
