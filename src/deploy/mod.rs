//! What a stage does with its images, and whether it works then.
//!
//! Owns the edits of manifests ([`set_image`], [`set_value`], [`replace`]: a text in, a text
//! out, pure), the commits that put them into git repositories ([`Gitops`]), pull
//! requests ([`Project`]), what manifests say instead ([`Difference`]), what compose files say
//! ([`services`]), the call of git ([`Git`]), and the questions that are asked of
//! what was deployed ([`status_of`]). Knows
//! nothing of steps, of who asks, or of what follows from the answer; must not import
//! plan, store, release, or anything behind them.

mod approval;
mod compose;
mod difference;
mod forge;
mod git;
mod gitops;
mod http;
mod kustomize;
mod manifests;
mod proposal;
mod replace;
#[cfg(test)]
mod tests;
mod unfit;
mod value;
mod yaml;

pub use compose::{Service, overriding, services};
pub use difference::{Changed, Difference};
pub use forge::{Opened, Project, Request};
pub use git::{Ended, Git};
pub use gitops::{Change, Committed, FileEdit, Gitops};
pub use http::{Authorities, status_of};
pub use kustomize::{Pin, set_image};
pub use proposal::Proposed;
pub use replace::replace;
pub use unfit::Unfit;
pub use value::{Aliases, set_value};
