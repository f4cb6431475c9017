//! The steps of a snapshot.

use serde::{Deserialize, Serialize};

use crate::cache::{Blake3, Key, Product};
use crate::oci::Digest;
use crate::plan::{Action, Effect, NeedKind, Step, StepId};

/// A step, with the places of its files in the snapshot's table. Its larger parts
/// are read only when they are needed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StepRow<'a> {
    /// Its name, stored.
    id: &'a [u8],
    /// The step, stored.
    step: &'a [u8],
    /// Steps that come before.
    pub(super) needs: Vec<(u32, NeedKind)>,
    /// Files that it reads.
    pub(super) inputs: Vec<u32>,
    /// Directories in which all files may be its inputs, by their places among
    /// the directories of the table.
    pub(super) directories: Vec<u32>,
    /// Files, links, and directories that it made.
    pub(super) outputs: Vec<u32>,
    /// What it adds to the keys of others; `None`: it has to be looked at each time.
    product: Option<StoredProduct>,
    /// What becomes of it when its turn comes.
    pub(super) turn: Turn,
}

/// What becomes of a step when its turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum StoredProduct {
    Outputs([u8; 32]),
    Image(Digest),
    Key([u8; 32]),
    Nothing,
}

/// The larger parts of a step, to store. Of a step that holds a secret nothing
/// is stored: it has to be planned.
pub(super) struct StoredStep {
    id: Vec<u8>,
    step: Vec<u8>,
}

impl StoredStep {
    /// Of a step nothing is stored: it cannot be planned on its own.
    pub(super) const fn opaque() -> Self {
        Self { id: Vec::new(), step: Vec::new() }
    }

    /// `None` for steps that cannot be planned on their own: those of images and stages.
    pub(super) fn new(step: &Step, secrets: &[&str]) -> Option<Self> {
        let id = postcard::to_stdvec(&step.id).ok()?;
        let whole = postcard::to_stdvec(&without_inputs(step)).ok()?;
        let hidden = |text: &String| secrets.iter().any(|secret| text.contains(secret));
        let holds_secret = match &step.action {
            Action::Command(command) => {
                let words = command.commands.iter().flat_map(|command| &command.argv);
                words.chain(command.variables.set.values()).any(hidden)
            }
            _ => false,
        };
        Some(Self { id, step: if holds_secret { Vec::new() } else { whole } })
    }
}

/// A step without the files that it reads: they are found anew before it is
/// looked at, and their names need not be text.
fn without_inputs(step: &Step) -> Step {
    let definition = step.definition.with_inputs(&[]);
    Step {
        id: step.id.clone(),
        action: step.action.clone(),
        needs: step.needs.clone(),
        definition,
        inputs: step.inputs.clone(),
        answer: None,
        effect: step.effect,
        pool: step.pool.clone(),
        span: step.span,
        goal: step.goal,
    }
}

impl<'a> StepRow<'a> {
    /// The row of a step without files.
    pub(super) fn new(stored: &'a StoredStep, step: &Step, product: Option<Product>) -> Self {
        let product = product.map(|product| match product {
            Product::Outputs(digest) => StoredProduct::Outputs(digest.0),
            Product::Image(digest) => StoredProduct::Image(digest),
            Product::Key(key) => StoredProduct::Key(key.0),
            Product::Nothing => StoredProduct::Nothing,
        });
        let turn = match (&step.action, step.effect) {
            (Action::Skip(_), _) => Turn::Skipped,
            (Action::Group, _) => Turn::Group,
            (_, Effect::Cacheable) => Turn::Cacheable,
            (_, Effect::Always | Effect::Publishing) => Turn::Always,
        };
        Self {
            id: &stored.id,
            step: &stored.step,
            needs: Vec::new(),
            inputs: Vec::new(),
            directories: Vec::new(),
            outputs: Vec::new(),
            product,
            turn,
        }
    }

    /// Whether it counts as up to date while nothing changes.
    pub(super) fn is_done(&self) -> bool {
        self.product.is_some() && self.turn == Turn::Cacheable
    }

    /// Whether it has to be looked at although nothing changed.
    pub(super) fn is_pending(&self) -> bool {
        self.product.is_none() || self.turn == Turn::Always
    }

    /// It has to be looked at each time.
    pub(super) const fn doubt(&mut self) {
        self.product = None;
    }

    /// What it adds to the keys of others, if it need not be looked at.
    pub(super) fn product(&self) -> Option<Product> {
        self.product.map(|product| match product {
            StoredProduct::Outputs(digest) => Product::Outputs(Blake3(digest)),
            StoredProduct::Image(digest) => Product::Image(digest),
            StoredProduct::Key(key) => Product::Key(Key(key)),
            StoredProduct::Nothing => Product::Nothing,
        })
    }

    pub(super) fn id(&self) -> Option<StepId> {
        postcard::from_bytes(self.id).ok()
    }

    pub(super) fn step(&self) -> Option<Step> {
        postcard::from_bytes(self.step).ok()
    }
}
