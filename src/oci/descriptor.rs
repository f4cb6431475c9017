//! Content descriptors (OCI image specification, "descriptor").

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize};

use crate::oci::document::nullable;
use crate::oci::written::with_unknown;
use crate::oci::{Digest, Platform, Unknown, Written};

/// Points to content: what it is, how large, and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(remote = "Self")]
pub struct Descriptor {
    /// What the content is.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// What the content runs on, for the entries of an index.
    #[serde(default, deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Further facts about the content.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "IndexMap::is_empty")]
    pub annotations: IndexMap<String, String>,
    /// Other fields: `urls`, `data`, `artifactType`, and those of the future.
    #[serde(flatten, skip_deserializing)]
    pub unknown: Unknown,
}

with_unknown!(Descriptor);

impl Descriptor {
    /// Describes `bytes` as content of a media type.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// Where else the content is, such as a layer that may not be distributed; `None`
    /// if nothing is said of that.
    #[must_use]
    pub fn urls(&self) -> Option<Vec<String>> {
        self.unknown.get("urls").and_then(Written::read).filter(|urls: &Vec<String>| !urls.is_empty())
    }

    /// Describes content whose digest and size are known.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: IndexMap::new(),
            unknown: Unknown::new(),
        }
    }
}

/// A platform that says which system and processor it is: one that leaves out either says
/// no more than none.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Platform>, D::Error> {
    #[derive(Deserialize)]
    struct Partial {
        os: Option<String>,
        architecture: Option<String>,
        variant: Option<String>,
    }
    let said = |text: Option<String>| text.filter(|text| !text.is_empty());
    let whole = |Partial { os, architecture, variant }| {
        Some(Platform { os: said(os)?, architecture: said(architecture)?, variant })
    };
    Ok(Option::<Partial>::deserialize(deserializer)?.and_then(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type;

    #[test]
    fn a_platform_that_leaves_out_what_it_is_for_is_none() {
        let platform = |text: &str| {
            let written = serde_json::to_string(&Descriptor::of(media_type::MANIFEST, b"{}")).unwrap();
            let written = written.replacen('{', &format!(r#"{{"platform":{text},"#), 1);
            serde_json::from_str::<Descriptor>(&written).unwrap().platform.map(|found| found.to_string())
        };
        for text in [
            "null",
            "{}",
            r#"{"architecture":"amd64"}"#,
            r#"{"os":"linux"}"#,
            r#"{"os":"","architecture":""}"#,
        ] {
            assert_eq!(platform(text), None, "{text}");
        }
        let whole = r#"{"os":"linux","architecture":"arm","variant":"v6","os.features":["x"]}"#;
        assert_eq!(platform(whole).as_deref(), Some("linux/arm/v6"));
        let written = serde_json::from_str::<Descriptor>(r#"{"platform":"linux/amd64"}"#);
        assert!(written.is_err());
    }
}
