//! Dockerfiles and ignore files as values: text in, what a build needs out.
//!
//! Owns the reading of Dockerfiles as BuildKit's `dockerfile.v0` frontend does
//! ([`Dockerfile`]), what one build of them needs ([`Dockerfile::resolve`]), and
//! the rules of `.dockerignore` files ([`IgnoreRules`]). Every place is a span of
//! bytes in the file. Touches no file, starts nothing, asks no registry; a text
//! of any shape costs bounded time, memory, and stack. Must not import config,
//! facts, or anything behind them.

mod argument;
mod base;
mod chain;
mod directive;
mod effect;
mod feature;
mod flag;
mod heredoc;
mod ignore;
mod instruction;
mod keyword;
mod line;
mod pattern;
mod platform;
mod scope;
mod spot;
mod stage;
#[cfg(test)]
mod tests;
mod word;

pub use base::{ExternalBase, Origin, Request, Resolved, context_name};
pub use directive::Directives;
pub use effect::Effect;
pub use feature::{Feature, FeatureKind};
pub use flag::Flag;
pub use heredoc::Heredoc;
pub use ignore::{IgnoreRules, Matched};
pub use instruction::Instruction;
pub use keyword::Keyword;
pub use spot::Spot;
pub use stage::{Dockerfile, MAX_BYTES, Stage};
