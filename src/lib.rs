//! hoist: a declarative build DSL and Makefile replacement for container images.
//!
//! A repository checks in a `release.kdl`; hoist plans it as one graph of typed
//! steps and runs the graph in parallel, with cached steps.
//!
//! The modules, in the order in which data passes them; each may import only
//! those before it.

pub mod cache;
pub mod cli;
pub mod config;
pub mod deploy;
pub mod diagnostic;
pub mod dockerfile;
pub mod engine;
pub mod facts;
pub mod inspect;
pub mod interop;
pub mod oci;
pub mod plan;
pub mod release;
pub mod report;
pub mod run;
pub mod seal;
pub mod store;
pub mod syntax;
pub mod tags;
