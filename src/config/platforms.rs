//! Platforms in the compiled form of a release: as text, since their own form is
//! that of image configurations, which leaves out what is not set.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

use crate::diagnostic::{Span, Spanned};
use crate::oci::Platform;

pub(super) fn serialize<S: Serializer>(
    platforms: &[Spanned<Platform>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let texts: Vec<(String, Span)> = platforms.iter().map(|it| (it.value.to_string(), it.span)).collect();
    texts.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Spanned<Platform>>, D::Error> {
    let texts: Vec<(String, Span)> = Vec::deserialize(deserializer)?;
    let platform = |(text, span): (String, Span)| {
        Ok(Spanned::new(text.parse().map_err(D::Error::custom)?, span))
    };
    texts.into_iter().map(platform).collect()
}
