//! Scans that images passed, as entries keep them.

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::Severity;

/// A scan that an image passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EntryScan {
    /// The scanner.
    pub scanner: String,
    /// Its version, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When its database was made, in its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// When the image was scanned.
    pub at: Timestamp,
    /// The least severity that would have failed: a word of the language.
    pub fail_on: String,
    /// How many findings of each severity there were that nobody had allowed.
    pub counts: IndexMap<String, usize>,
    /// How many were allowed.
    pub allowed: usize,
}

impl EntryScan {
    /// Whether it would have failed of this severity.
    #[must_use]
    pub fn fails_on(&self, severity: Severity) -> bool {
        Severity::named(&self.fail_on).is_some_and(|least| least <= severity)
    }

    /// It in words, as evidence.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { scanner, version, at, fail_on, allowed, .. } = self;
        let found: Vec<String> = self
            .counts
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(severity, count)| format!("{count} {severity}"))
            .collect();
        let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
        let version = version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        let at = Timestamp::from_second(at.as_second()).unwrap_or(*at);
        let allowed = if *allowed > 0 { format!(", and {allowed} allowed") } else { String::new() };
        format!("{scanner}{version} failed on {fail_on}, and found {found}{allowed}, at {at}")
    }
}
