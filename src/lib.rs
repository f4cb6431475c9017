//! hoist.
pub mod config;
pub mod diagnostic;
pub mod oci;
pub mod syntax;
