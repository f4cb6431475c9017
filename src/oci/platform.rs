//! Platforms (OCI image specification, "image index", `platform`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a program in an image runs on: `os/architecture[/variant]`, in the
/// names of Go's `GOOS` and `GOARCH`, normalised as containerd does
/// (`x86_64` is `amd64`, `aarch64` and `arm64/v8` are `arm64`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// Operating system.
    pub os: String,
    /// Processor architecture.
    pub architecture: String,
    /// Variant of the architecture, such as `v7` of `arm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Linux on the architecture that this program was compiled for.
    #[must_use]
    pub fn host() -> Self {
        let architecture = normal_architecture(std::env::consts::ARCH);
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// Whether an image of this platform is one for `wanted`: the same, however it is
    /// written, or the same without its variant.
    #[must_use]
    pub fn serves(&self, wanted: &Self) -> bool {
        let normal = self.to_string().parse::<Self>().unwrap_or_else(|_| self.clone());
        normal == *wanted || normal == Self { variant: None, ..wanted.clone() }
    }
}

fn normal_architecture(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" | "x86" => "386",
        "armhf" => "arm",
        "powerpc64le" => "ppc64le",
        other => other,
    }
}

/// A text that is not a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPlatform;

impl fmt::Display for InvalidPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a platform is `os/architecture` or `os/architecture/variant`, such as `linux/amd64`")
    }
}

impl std::error::Error for InvalidPlatform {}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let word = |part: &str| {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '-');
            !part.is_empty() && part.chars().all(fits)
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(|part| word(part)) {
            return Err(InvalidPlatform);
        }
        let architecture = normal_architecture(parts[1]).to_owned();
        let variant = parts.get(2).filter(|variant| !(architecture == "arm64" && **variant == "v8"));
        Ok(Self { os: parts[0].to_owned(), architecture, variant: variant.map(|v| (*v).to_owned()) })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}
