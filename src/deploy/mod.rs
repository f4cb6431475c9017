//! What a stage does with its images, and whether it works then.
//!
//! Owns the questions that are asked of what was deployed ([`status_of`]). Knows
//! nothing of steps, of who asks, or of what follows from the answer; must not import
//! plan, store, release, or anything behind them.

mod http;

pub use http::status_of;
