//! Repositories at registries (OCI distribution specification 1.1).
//!
//! Owns the protocol, with what makes it work in practice: credentials from
//! where docker and podman keep them, tokens, repetition, redirects, mounts.
//! What comes in is bounded and verified against its digest; secrets are shown
//! to the registry they belong to and to nobody else.

mod account;
mod answer;
mod auth;
mod auth_file;
mod body;
mod certificates;
mod challenge;
mod client;
mod connection;
mod credentials;
mod deletion;
mod download;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod handover;
mod kept;
mod network;
mod page;
mod referrers;
mod repository;
mod retry;
mod secret;
mod tagging;
#[cfg(test)]
mod tests;
mod upload;
mod way;

pub use account::{Account, Who};
pub use connection::Access;
pub use credentials::Surroundings;
pub use deletion::Deletion;
pub use kept::{Kept, forget, keep};
pub use network::Network;
pub use repository::Registry;
pub use retry::Tell;
pub use secret::{Password, find as find_secret, read_secret_file, secret_file};
pub use upload::Delivery;
pub(super) use upload::Offer;
