//! What others wrote, turned into what hoist reads.
//!
//! Owns the first release.kdl of a project, made from the files that it has.
//! Reads names and texts that are given to it; touches no file itself.

mod makefile;
mod starter;

pub use starter::{Found, starter};
