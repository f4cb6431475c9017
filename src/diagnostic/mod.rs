//! What can be wrong, and where.
//!
//! Owns the one diagnostic type ([`Problem`]), the places it points to
//! ([`Span`], [`Sources`]), and the list of all codes ([`Code`]).
//! Knows nothing of how a problem is shown (that is `report`) and imports no
//! other module of the crate.

mod code;
mod nearest;
mod problem;
mod size;
mod source;

pub use code::{Class, Code};
pub use nearest::nearest;
pub use problem::{Label, Problem, Problems, causes};
pub use size::{bytes, counted};
pub use source::{Source, SourceId, Sources, Span, Spanned};
