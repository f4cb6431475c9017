//! The key of a step and its explanation, from one walk.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::cache::{Blake3, Key, Part, Reason, Value};
use crate::oci::Digest;
use crate::plan::{Definition, StepId};

/// Separates keys from every other use of BLAKE3, and from keys of other
/// formats: it changes whenever the walk does.
const DOMAIN: &str = "hoist 2026-11 step key v1";

/// What a step adds to the keys of those that need its product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// It made outputs: their digest, so that equal outputs stop the rebuild.
    Outputs(Blake3),
    /// It made an image.
    Image(Digest),
    /// It is cacheable and made nothing that is kept: its key.
    Key(Key),
    /// It runs each time and made nothing that is kept: ordering alone.
    Nothing,
}

impl Product {
    fn value(self) -> Option<Value> {
        match self {
            Self::Outputs(digest) => Some(Value::Digest(digest)),
            Self::Image(digest) => Some(Value::Text(digest.to_string())),
            Self::Key(key) => Some(Value::Key(key)),
            Self::Nothing => None,
        }
    }
}

/// All that a step's result depends on, in a fixed order, and the digest of it.
///
/// The parts that explain a miss are those that were hashed, so that the
/// explanation cannot drift from the key: two traces have
/// [differences](Trace::differences) exactly if their keys differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    step: String,
    key: Key,
    parts: Vec<(Part, Value)>,
}

impl Trace {
    /// The trace of a step: its definition and the products of the steps that
    /// it needs by [`NeedKind::Product`](crate::plan::NeedKind::Product).
    pub fn new<'a>(
        step: &StepId,
        definition: &Definition,
        products: impl IntoIterator<Item = (&'a StepId, Product)>,
    ) -> Self {
        let defined = definition.parts.iter().map(|part| (Part::from(&part.subject), (&part.value).into()));
        let needed = products
            .into_iter()
            .filter_map(|(need, product)| product.value().map(|value| (Part::Need(need.to_string()), value)));
        Self::walk(step.to_string(), defined.chain(needed).collect())
    }

    /// Sorts the parts and hashes them, each behind its tags and lengths.
    fn walk(step: String, mut parts: Vec<(Part, Value)>) -> Self {
        parts.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut hasher = blake3::Hasher::new_derive_key(DOMAIN);
        let mut feed = |(tag, bytes): (u8, &[u8])| {
            hasher.update(&[tag]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        for (part, value) in &parts {
            let (tag, name) = part.bytes();
            feed((tag, &name));
            feed(value.bytes());
        }
        Self { step, key: hasher.finalize().into(), parts }
    }

    /// The name of the step.
    #[must_use]
    pub fn step(&self) -> &str {
        &self.step
    }

    /// The digest of all parts.
    #[must_use]
    pub const fn key(&self) -> Key {
        self.key
    }

    /// The parts, sorted.
    #[must_use]
    pub fn parts(&self) -> &[(Part, Value)] {
        &self.parts
    }

    /// What is different from an earlier trace; empty exactly if the keys are
    /// equal.
    #[must_use]
    pub fn differences(&self, earlier: &Self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let (mut old, mut new) = (earlier.parts.iter().peekable(), self.parts.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return reasons,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((before, _)), Some((after, _))) => before.cmp(after),
            };
            let was = if order.is_le() { old.next() } else { None };
            let is = if order.is_ge() { new.next() } else { None };
            reasons.extend(Reason::between(was, is));
        }
    }
}

/// A trace as it lies on disk.
#[derive(Serialize, Deserialize)]
struct StoredTrace {
    format: u32,
    step: String,
    parts: Vec<(Part, Value)>,
}

impl Trace {
    const FORMAT: u32 = 1;

    /// The bytes to store.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let (step, parts) = (self.step.clone(), self.parts.clone());
        serde_json::to_vec(&StoredTrace { format: Self::FORMAT, step, parts }).unwrap_or_default()
    }

    /// The trace that was stored under `key`; `None` if it is not that.
    pub(super) fn from_json(key: Key, bytes: &[u8]) -> Option<Self> {
        let stored: StoredTrace = serde_json::from_slice(bytes).ok()?;
        let trace = Self::walk(stored.step, stored.parts);
        (stored.format == Self::FORMAT && trace.key == key).then_some(trace)
    }
}
