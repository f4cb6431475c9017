//! The steps of a snapshot.

use serde::{Deserialize, Serialize};

use crate::cache::{Blake3, Key, Product};
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
    /// It runs each time.
    pub(super) always: bool,
    /// It does nothing itself.
    pub(super) bare: bool,
    /// It does not apply.
    pub(super) skipped: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum StoredProduct {
    Outputs([u8; 32]),
    Key([u8; 32]),
    Nothing,
}

/// The larger parts of a step, to store.
pub(super) struct StoredStep {
    id: Vec<u8>,
    step: Vec<u8>,
}

impl StoredStep {
    /// `None` for steps that snapshots do not hold: those of images and stages.
    pub(super) fn new(step: &Step) -> Option<Self> {
        Some(Self { id: postcard::to_stdvec(&step.id).ok()?, step: postcard::to_stdvec(step).ok()? })
    }
}

impl<'a> StepRow<'a> {
    /// The row of a step without files.
    pub(super) fn new(stored: &'a StoredStep, step: &Step, product: Option<Product>) -> Self {
        let product = product.and_then(|product| match product {
            Product::Outputs(digest) => Some(StoredProduct::Outputs(digest.0)),
            Product::Key(key) => Some(StoredProduct::Key(key.0)),
            Product::Nothing => Some(StoredProduct::Nothing),
            Product::Image(_) => None,
        });
        let skipped = matches!(step.action, Action::Skip(_));
        let bare = skipped || step.action == Action::Group;
        Self {
            id: &stored.id,
            step: &stored.step,
            needs: Vec::new(),
            inputs: Vec::new(),
            directories: Vec::new(),
            outputs: Vec::new(),
            product,
            always: step.effect != Effect::Cacheable && !bare,
            bare,
            skipped,
        }
    }

    /// Whether it counts as up to date while nothing changes.
    pub(super) const fn is_done(&self) -> bool {
        self.product.is_some() && !self.always && !self.bare
    }

    /// It has to be looked at each time.
    pub(super) const fn doubt(&mut self) {
        self.product = None;
    }

    /// What it adds to the keys of others, if it need not be looked at.
    pub(super) fn product(&self) -> Option<Product> {
        self.product.map(|product| match product {
            StoredProduct::Outputs(digest) => Product::Outputs(Blake3(digest)),
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
