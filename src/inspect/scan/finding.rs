//! What a scanner found.

use std::fmt;

use serde::Deserialize;

use crate::config::Severity;

/// Most characters of a text of a report that are kept.
const LONGEST: usize = 300;

/// Something that a scanner found in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its id: `CVE-2024-1234`, or what the scanner calls it.
    pub id: String,
    /// Other names of the same.
    pub aliases: Vec<String>,
    /// How bad it is; none where the scanner does not know, or has a word for it that
    /// hoist does not.
    pub severity: Option<Severity>,
    /// The package, or the file, that it was found in.
    pub package: String,
    /// The version of that; empty where there is none.
    pub installed: String,
    /// The version, or versions, in which it is mended.
    pub fixed: Option<String>,
    /// What it is, on one line.
    pub title: Option<String>,
}

/// What a scanner said of an image for one platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScannerReport {
    /// The version of the scanner, if it says so.
    pub version: Option<String>,
    /// When its database was made, as it says it.
    pub database: Option<String>,
    /// What it found, in its order.
    pub findings: Vec<Finding>,
}

/// Why a report is not understood: a sentence without a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misread(String);

impl Misread {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads JSON of a form.
pub(super) fn document<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Misread> {
    // Some programs write a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(|error| {
        Misread::new(match error.classify() {
            serde_json::error::Category::Data => error.to_string(),
            _ => format!("it is not JSON: {error}"),
        })
    })
}

/// A severity by the word of a scanner.
pub(super) fn severity(word: &str) -> Option<Severity> {
    Severity::named(&word.trim().to_ascii_lowercase())
}

/// The first line of a text, bounded; none of an empty one.
pub(super) fn line(text: &str) -> Option<String> {
    let line = text.trim().lines().next()?.trim();
    let end = line.char_indices().nth(LONGEST).map(|(end, _)| end);
    let short = match end {
        Some(end) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    };
    Some(short).filter(|short| !short.is_empty())
}

/// The id of a finding.
///
/// # Errors
/// There is none, by which it could be allowed.
pub(super) fn id(text: &str) -> Result<String, Misread> {
    line(text).ok_or_else(|| Misread::new("it has a finding without an id"))
}

/// Several versions as one text.
pub(super) fn versions<S: AsRef<str>>(versions: impl IntoIterator<Item = S>) -> Option<String> {
    let versions: Vec<String> = versions.into_iter().filter_map(|version| line(version.as_ref())).collect();
    line(&versions.join(", "))
}
