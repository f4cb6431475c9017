//! Engines that build from Dockerfiles: Docker and Podman by their API, and BuildKit, within
//! Docker or as a daemon of its own.

mod archive;
mod build;
mod cause;
mod classic;
mod connector;
mod context;
mod directory;
mod engine;
mod engines;
mod error;
mod finish;
#[cfg(test)]
mod fixture;
mod layers;
mod leftover;
mod load;
mod local_cache;
mod memory;
mod pipe;
mod progress;
mod save;
mod service;
mod session;
mod solve;
mod stream;
#[cfg(test)]
mod tests;

pub use build::{Build, Built};
pub use context::{Context, fingerprint};
pub use directory::directory_image;
pub use engine::{About, Engine, EngineKind};
pub use engines::{Certificates, Engines, NoEngine, Place, PrivateKey, Surveyed};
pub use error::EngineError;
pub use finish::finish;
pub use leftover::{Leftover, repository};
pub use memory::{BuildKey, recall_build, remember_build, take_turn};
pub use progress::CacheHits;
pub use session::{ByteStream, Login, Logins, Offer, Source};
