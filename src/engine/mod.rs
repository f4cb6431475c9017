//! Making images from files, and running them, without any other program.
//!
//! Owns the assembling of images ([`assemble`]) and of indexes ([`index`]), the
//! embedded runtime ([`Runtime`]), and the tests of images ([`test`]). What is
//! made depends on the step and the files alone: the same bytes on every machine.
//! Assumes nothing of what a base image holds: its paths and links are hostile
//! until shown otherwise. Works synchronously, on the threads of its caller and
//! of rayon; but for [`builder`], which speaks to engines that build from Dockerfiles.
//! Must not import cache, release, or run.

mod account;
mod assemble;
mod base;
mod base_files;
mod bench;
pub mod builder;
mod command;
mod copy;
mod emulation;
mod expect;
mod image;
mod index;
mod layer;
mod logs;
mod placement;
mod runtime;
mod test;
mod unpack;
mod weight;

pub use assemble::{Assembled, assemble};
pub(crate) use image::{Image, compression, unreadable};
pub use index::index;
pub use layer::KnownContent;
pub use runtime::{Container, Ended, Limits, Output, Request, Runtime, Stream, runtime_main};
pub use test::{Further, Right, test, test_with};
pub use weight::Weight;
