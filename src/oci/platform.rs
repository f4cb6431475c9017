//! Platforms (OCI image specification, "image index", `platform`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a program in an image runs on: `os/architecture[/variant]`, in the
/// names of Go's `GOOS` and `GOARCH`, normalised as containerd does
/// (`x86_64` is `amd64`, `aarch64` and `arm64/v8` are `arm64`, `arm` is `arm/v7`).
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
        Self::normal("linux", std::env::consts::ARCH, None)
    }

    /// Whether both are of one operating system and architecture, however they are written.
    #[must_use]
    pub fn is_of_the_kind_of(&self, other: &Self) -> bool {
        let kind = |platform: &Self| {
            let Self { os, architecture, variant } = platform;
            let Self { os, architecture, .. } = Self::normal(os, architecture, variant.as_deref());
            (os, architecture)
        };
        kind(self) == kind(other)
    }

    /// Whether an image of this platform is one for `wanted`: the same, however it is
    /// written, or the same in a lower variant, or in none.
    #[must_use]
    pub fn serves(&self, wanted: &Self) -> bool {
        self.fitness(wanted).is_some()
    }

    /// How well an image of this platform is one for `wanted`: the higher the better, and
    /// `None` if it is not. Variants that go up in number run what was made for a lower one.
    pub(super) fn fitness(&self, wanted: &Self) -> Option<u32> {
        let own = Self::normal(&self.os, &self.architecture, self.variant.as_deref());
        let wanted = Self::normal(&wanted.os, &wanted.architecture, wanted.variant.as_deref());
        if (&own.os, &own.architecture) != (&wanted.os, &wanted.architecture) {
            return None;
        }
        if own.variant == wanted.variant {
            return Some(u32::MAX);
        }
        match (own.level(), wanted.level()) {
            (Some(own), Some(wanted)) => (own < wanted).then_some(own),
            _ => own.variant.is_none().then_some(0),
        }
    }

    /// The number of the variant, as tenths; `None` where they do not go up in number.
    fn level(&self) -> Option<u32> {
        let lowest = match self.architecture.as_str() {
            "amd64" => "v1",
            "arm64" => "v8",
            "arm" => "v7",
            _ => return None,
        };
        let number = self.variant.as_deref().unwrap_or(lowest).strip_prefix('v')?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        Some(10 * whole.parse::<u32>().ok()?.min(1000) + part.parse::<u32>().ok()?.min(9))
    }

    /// The platform by its normal name.
    pub(super) fn normal(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let [os, architecture] = [os, architecture].map(str::to_ascii_lowercase);
        let variant = variant.filter(|variant| !variant.is_empty()).map(str::to_ascii_lowercase);
        let (architecture, variant) = match (architecture.as_str(), variant.as_deref()) {
            ("amd64" | "x86_64" | "x86-64", None | Some("v1")) => ("amd64", None),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("arm64" | "aarch64", None | Some("8" | "v8" | "v8.0")) => ("arm64", None),
            ("arm64" | "aarch64", Some("9" | "9.0" | "v9.0")) => ("arm64", Some("v9")),
            ("aarch64", variant) => ("arm64", variant),
            ("i386" | "i686" | "x86", _) => ("386", None),
            ("armhf", _) | ("arm", None | Some("7")) => ("arm", Some("v7")),
            ("armel", _) | ("arm", Some("6")) => ("arm", Some("v6")),
            ("arm", Some("5")) => ("arm", Some("v5")),
            ("arm", Some("8")) => ("arm", Some("v8")),
            ("powerpc64le", variant) => ("ppc64le", variant),
            other => other,
        };
        let os = if os == "macos" { "darwin" } else { &os };
        Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(ToOwned::to_owned),
        }
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
        Ok(Self::normal(parts[0], parts[1], parts.get(2).copied()))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_platform_is_the_same_however_it_is_written() {
        let of = |architecture: &str| Platform {
            os: "Linux".into(),
            architecture: architecture.into(),
            variant: None,
        };
        let plain: Platform = "linux/amd64".parse().unwrap();
        assert!(of("x86_64").is_of_the_kind_of(&plain) && !of("aarch64").is_of_the_kind_of(&plain));
    }

    #[test]
    fn a_platform_has_one_normal_name() {
        for (written, normal) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64/8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/7", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/i386", "linux/386"),
            ("macos/arm64", "darwin/arm64"),
        ] {
            assert_eq!(written.parse::<Platform>().unwrap().to_string(), normal, "{written}");
        }
    }

    #[test]
    fn what_others_write_in_any_case_is_understood() {
        let odd = Platform { os: "Linux".to_owned(), architecture: "AMD64".to_owned(), variant: None };
        assert!(odd.serves(&"linux/amd64".parse().unwrap()));
        let mut config = crate::oci::ImageConfig::new(&odd);
        config.variant = Some(String::new());
        assert_eq!(config.platform().to_string(), "linux/amd64");
    }

    #[test]
    fn a_platform_is_served_by_itself_and_by_lower_variants_of_its_processor() {
        let serves = |own: &str, wanted: &str| {
            let platform = |text: &str| text.parse::<Platform>().unwrap();
            platform(own).serves(&platform(wanted))
        };
        for (own, wanted) in [
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v7"),
            ("linux/arm/v5", "linux/arm"),
            ("linux/amd64", "linux/amd64/v3"),
            ("linux/amd64/v2", "linux/amd64/v3"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64", "linux/arm64/v8.2"),
            ("linux/ppc64le", "linux/ppc64le/power9"),
        ] {
            assert!(serves(own, wanted), "{own} {wanted}");
        }
        for (own, wanted) in [
            ("linux/arm/v7", "linux/arm/v6"),
            ("linux/arm", "linux/arm64"),
            ("linux/arm64/v9", "linux/arm64"),
            ("linux/amd64/v3", "linux/amd64"),
            ("linux/386", "linux/amd64"),
            ("windows/amd64", "linux/amd64"),
            ("linux/ppc64le/power9", "linux/ppc64le/power8"),
        ] {
            assert!(!serves(own, wanted), "{own} {wanted}");
        }
    }
}
