//! The key of a step and its explanation, from one walk.

use std::cmp::Ordering;

use crate::cache::part::path_text;
use crate::cache::{Blake3, Key, Part, Reason, Value};
use crate::config::ProjectPath;
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
            let (tag, digest) = value.bytes();
            feed((tag, &digest));
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

    /// The files that the step reads, by their paths, sorted: the digest of what each holds,
    /// from which that of another kind than a plain file is derived.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, Blake3)> {
        self.parts.iter().filter_map(|(part, value)| match (part, value) {
            (Part::Input(path), Value::Digest(digest)) => Some((path.as_str(), *digest)),
            _ => None,
        })
    }

    /// Whether a file is one of those that the step reads.
    #[must_use]
    pub fn reads(&self, path: &ProjectPath) -> bool {
        let path = Part::Input(path_text(path.as_path().as_os_str()));
        self.parts.binary_search_by(|(part, _)| part.cmp(&path)).is_ok()
    }

    /// What is different from an earlier trace; empty exactly if the keys are
    /// equal. What somebody edits comes first, what follows from it last.
    #[must_use]
    pub fn differences(&self, earlier: &Self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let (mut old, mut new) = (earlier.parts.iter().peekable(), self.parts.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((before, _)), Some((after, _))) => before.cmp(after),
            };
            let was = if order.is_le() { old.next() } else { None };
            let is = if order.is_ge() { new.next() } else { None };
            reasons.extend(Reason::between(was, is));
        }
        reasons.sort_by_key(Reason::distance);
        reasons
    }
}

impl Trace {
    /// The trace of the parts that were stored for a key; `None` if they make
    /// another one.
    pub(super) fn stored(key: Key, step: String, parts: Vec<(Part, Value)>) -> Option<Self> {
        let trace = Self::walk(step, parts);
        (trace.key == key).then_some(trace)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::config::ProjectPath;
    use crate::plan::{KeyPart, PartValue, Subject};

    type Parts = BTreeMap<Subject, PartValue>;

    fn subject() -> impl Strategy<Value = Subject> {
        let name = || prop::sample::select(vec!["", "a", "ab", "b", "%"]).prop_map(str::to_owned);
        let path = || name().prop_map(|name| ProjectPath::root().join(name).unwrap());
        prop_oneof![
            (0..3usize).prop_map(Subject::Command),
            (0..3usize).prop_map(Subject::Output),
            (0..3usize).prop_map(Subject::Layer),
            name().prop_map(Subject::Variable),
            name().prop_map(Subject::Tool),
            name().prop_map(Subject::Setting),
            name().prop_map(Subject::Check),
            path().prop_map(Subject::Input),
            Just(Subject::Directory),
            Just(Subject::Platform),
            Just(Subject::Base),
            Just(Subject::Format),
        ]
    }

    fn parts() -> impl Strategy<Value = Parts> {
        let text =
            prop::sample::select(vec!["", "a", "ab", "b"]).prop_map(|text| PartValue::Text(text.into()));
        let digest = (0..2u8).prop_map(|byte| PartValue::Digest([byte; 32]));
        prop::collection::btree_map(subject(), prop_oneof![text, digest], 0..6)
    }

    fn trace(parts: &Parts) -> Trace {
        let parts = parts.clone().into_iter().map(|(subject, value)| KeyPart { subject, value });
        Trace::new(&StepId::target("a"), &Definition { parts: parts.collect() }, [])
    }

    proptest! {
        #[test]
        fn what_differs_is_said_exactly(old in parts(), new in parts()) {
            let all: BTreeSet<&Subject> = old.keys().chain(new.keys()).collect();
            let mut expected: Vec<(Part, char)> = all
                .into_iter()
                .filter(|subject| old.get(subject) != new.get(subject))
                .map(|subject| match (old.contains_key(subject), new.contains_key(subject)) {
                    (true, true) => (subject.into(), '~'),
                    (false, _) => (subject.into(), '+'),
                    (true, false) => (subject.into(), '-'),
                })
                .collect();
            expected.sort();
            let (old, new) = (trace(&old), trace(&new));
            let reasons = new.differences(&old);
            prop_assert!(reasons.is_sorted_by_key(Reason::distance));
            let mut said: Vec<(Part, char)> = reasons
                .iter()
                .map(|reason| match reason {
                    Reason::Changed { part, .. } => (part.clone(), '~'),
                    Reason::Added(part, _) => (part.clone(), '+'),
                    Reason::Removed(part) => (part.clone(), '-'),
                    other => panic!("{other}"),
                })
                .collect();
            said.sort();
            prop_assert_eq!(&said, &expected);
            prop_assert_eq!(reasons.is_empty(), old.key() == new.key());
        }

        #[test]
        fn the_order_of_a_definition_does_not_matter(parts in parts()) {
            let mut definition = Definition::default();
            for (subject, value) in parts.iter().rev() {
                definition.parts.push(KeyPart { subject: subject.clone(), value: value.clone() });
            }
            prop_assert_eq!(Trace::new(&StepId::target("a"), &definition, []), trace(&parts));
        }

        #[test]
        fn a_stored_trace_is_read_back(parts in parts()) {
            let trace = trace(&parts);
            let stored = |key| Trace::stored(key, trace.step().to_owned(), trace.parts().to_vec());
            prop_assert_eq!(stored(trace.key()), Some(trace.clone()));
            prop_assert_eq!(stored(Key([7; 32])), None);
        }
    }

    #[test]
    fn the_key_of_known_parts_stays_what_it_is() {
        let mut definition = Definition::default();
        definition.text(Subject::Command(0), "sh\0-c\0make");
        definition.digest(Subject::Input(ProjectPath::root().join("src/main.c").unwrap()), [1; 32]);
        let need = StepId::target("gen");
        let trace =
            Trace::new(&StepId::target("a"), &definition, [(&need, Product::Outputs(Blake3([2; 32])))]);
        // Another key here makes everything that was ever cached run again:
        // bump the format in the domain, and say so in the changelog.
        assert_eq!(
            trace.key().to_string(),
            "6f6a63fb55e9ecc941de9fb2f791011db557fc3d8fc51414fa97f3067b5f76a2"
        );
    }

    #[test]
    fn a_product_is_part_of_the_key_unless_it_is_ordering_alone() {
        let (step, need) = (StepId::target("a"), StepId::target("b"));
        let key = |product| Trace::new(&step, &Definition::default(), [(&need, product)]).key();
        let alone = Trace::new(&step, &Definition::default(), []).key();
        assert_eq!(key(Product::Nothing), alone);
        let same_bytes = [key(Product::Outputs(Blake3([1; 32]))), key(Product::Key(Key([1; 32])))];
        assert_ne!(same_bytes[0], same_bytes[1]);
        assert!(!same_bytes.contains(&alone));
    }

    #[test]
    fn reasons_read_as_lines() {
        let (step, need) = (StepId::target("a"), StepId::target("gen"));
        let path = |path: &str| Subject::Input(ProjectPath::root().join(path).unwrap());
        let mut old = Definition::default();
        old.text(Subject::Command(0), "make\nmake install");
        old.text(Subject::Variable("PORT".into()), "1");
        old.text(Subject::Variable("EMPTY".into()), "");
        old.digest(Subject::Variable("SECRET".into()), [1; 32]);
        old.digest(path("src/main.rs"), [1; 32]);
        old.digest(path("x"), [1; 32]);
        old.text(Subject::Tool("cc --version".into()), "12.2");
        let base = |digit: &str| format!("registry.example/a:1@sha256:{}", digit.repeat(64));
        old.text(Subject::Base, base("1"));
        old.text(Subject::Setting("Labels version".into()), "1");
        let mut new = Definition::default();
        new.text(Subject::Command(0), "make");
        new.text(Subject::Variable("PORT".into()), "2");
        new.text(Subject::Variable("EMPTY".into()), "full");
        new.digest(Subject::Variable("SECRET".into()), [2; 32]);
        new.text(Subject::Variable("NEW".into()), "n");
        new.digest(path("src/main.rs"), [2; 32]);
        new.digest(path("y\u{1b}[31m"), [1; 32]);
        new.text(Subject::Tool("cc --version".into()), "13.0");
        new.text(Subject::Base, base("2"));
        new.text(Subject::Setting("Labels version".into()), "2");
        let old = Trace::new(&step, &old, [(&need, Product::Key(Key([1; 32])))]);
        let new = Trace::new(&step, &new, [(&need, Product::Key(Key([2; 32])))]);
        let said: Vec<String> = new.differences(&old).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "src/main.rs changed",
                "no longer reads x",
                "now reads y\\u{1b}[31m",
                "variable EMPTY: nothing → full",
                "variable NEW is new: n",
                "variable PORT: 1 → 2",
                "variable SECRET changed",
                "the command changed",
                "tool `cc --version`: 12.2 → 13.0",
                "the base image: registry.example/a:1@sha256:111111111111 → registry.example/a:1@sha256:222222222222",
                "`gen` made something else",
                "Labels version: 1 → 2",
            ]
        );
    }
}
