//! What may stand on the command line behind `hoist prune`.

use std::time::Duration;

use clap::Args;

use crate::config::{duration, glob_fits};

/// `hoist prune`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("bounds").args(["last", "younger"]).multiple(true)))]
pub(crate) struct Prune {
    /// Registries and images of release.kdl. Without a registry: all of them; without an
    /// image: all
    #[arg(value_name = "REGISTRY | IMAGE")]
    pub(crate) names: Vec<String>,
    /// Judge the images with such tags by `--last` and `--younger`, and not by `retain` of
    /// release.kdl; several for several globs
    #[arg(long = "match", value_name = "GLOB", value_parser = glob, requires = "bounds")]
    pub(crate) globs: Vec<String>,
    /// Keep so many of them, the newest
    #[arg(long, value_name = "N", requires = "globs",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) last: Option<u32>,
    /// Keep those that were made less long ago: `30d`, `12h`
    #[arg(long, value_name = "DURATION", requires = "globs", value_parser = duration)]
    pub(crate) younger: Option<Duration>,
    /// Judge tags that name versions, too, where they match
    #[arg(long, requires = "globs")]
    pub(crate) versions: bool,
    /// Show what would be deleted, and do not ask
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Delete it, and do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// A glob of the command line.
fn glob(text: &str) -> Result<String, String> {
    glob_fits(text).map(|()| text.to_owned())
}
