//! The language as one table.
//!
//! Owns what each node may hold: arguments, properties, children, how often,
//! and what excludes what. From this table documents are checked, the schema
//! and the reference are written, and whoever completes or explains a file
//! takes his words. Says nothing of what a node does: that is decoded into the
//! model. Must not import what is decoded, but for the list of facts and the
//! forms of values.

mod cache;
mod check;
mod dockerfile;
mod form;
mod image;
mod kind;
mod misfit;
mod project;
mod reference;
mod registry;
mod schema;
mod stage;
mod tags;
mod target;
mod typing;
mod unknown;

pub(crate) use check::check;
pub use form::{ArgumentForm, Count, NodeForm, PropertyForm};
pub use kind::Kind;
pub(crate) use kind::article;
pub use reference::reference;
pub use schema::schema;

/// The nodes of a `release.kdl`, in the order of the reference.
pub const ROOT: &[NodeForm] = &[
    project::PROJECT,
    project::VAR,
    project::DOTENV,
    project::INCLUDE,
    project::DEFAULT,
    project::SETTINGS,
    target::TARGET,
    target::POOL,
    image::IMAGE,
    tags::TAGS,
    registry::REGISTRY,
    stage::STAGE,
    registry::BUILDER,
    cache::CACHE,
    cache::EXECUTE,
];

/// Every form of the language with the names of the nodes around it, outermost
/// first, in the order of the reference.
pub(crate) fn walk() -> Vec<(Vec<&'static str>, &'static NodeForm)> {
    fn below(
        path: &[&'static str],
        forms: &'static [NodeForm],
        all: &mut Vec<(Vec<&'static str>, &'static NodeForm)>,
    ) {
        for form in forms {
            all.push((path.to_vec(), form));
            let inner: Vec<_> = path.iter().copied().chain([form.name]).collect();
            below(&inner, form.children, all);
        }
    }
    let mut all = Vec::new();
    below(&[], ROOT, &mut all);
    all
}
