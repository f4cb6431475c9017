//! What plans are, from the text of a `release.kdl` to steps and edges.

mod drawing;
mod files;
mod goals;
mod image;
mod oracle;
mod publish;
mod stage;
mod target;
