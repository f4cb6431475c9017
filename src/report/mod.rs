//! What the user sees.
//!
//! Owns the looks of everything that is printed: problems, tables, the progress
//! of a run on a terminal, in a log of CI, and as JSON lines. Reads events and
//! values of the stations before it and changes nothing. The only place that
//! prints; must not import interop or cli.

mod look;

pub use look::{Look, Paint};
