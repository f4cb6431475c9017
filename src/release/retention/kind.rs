//! What tags are, by their names.

use crate::oci::{Digest, LATEST, Tag, list_tag};
use crate::release::shared::is_content_tag;

/// What keep-alive tags begin with.
const KEEP_ALIVE: &str = "keep-";
/// Hex digits of the image in a keep-alive tag.
const DIGITS: usize = 12;
/// The largest first number that a part of a version has: more digits are a date, or the
/// number of a build.
const LARGEST: u64 = 9999;

/// What a tag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A list of what is said about a manifest: the fallback tag, or one of cosign's.
    List(Digest),
    /// What was built for a key.
    Content,
    /// One that lets a registry not drop an image.
    KeepAlive,
    /// `latest`.
    Latest,
    /// A version, or the first one or two numbers of one.
    Version,
    /// Any other.
    Other,
}

impl Kind {
    /// What a tag is that holds a manifest.
    pub(super) fn of(tag: &str, digest: &Digest) -> Self {
        if let Some(subject) = subject_of(tag) {
            return Self::List(subject);
        }
        if is_content_tag(tag) {
            return Self::Content;
        }
        if keep_alive_tag(digest).is_some_and(|keep| keep.as_str() == tag) {
            return Self::KeepAlive;
        }
        match tag {
            LATEST => Self::Latest,
            _ if is_version(tag) => Self::Version,
            _ => Self::Other,
        }
    }

    /// What globs begin with that mean tags of a kind which hoist makes for itself; the
    /// globs for other tags do not.
    pub(super) const fn prefix(self) -> Option<&'static str> {
        match self {
            Self::Content => Some("k-"),
            Self::KeepAlive => Some(KEEP_ALIVE),
            _ => None,
        }
    }
}

/// The tag by which a registry keeps an image whose other tags move on.
#[must_use]
pub fn keep_alive_tag(image: &Digest) -> Option<Tag> {
    let hex = image.hex();
    format!("{KEEP_ALIVE}{}", hex.get(..DIGITS)?).parse().ok()
}

/// What a list is about: `sha256-<hex>`, or that and an ending such as `.sig`.
fn subject_of(tag: &str) -> Option<Digest> {
    let (hex, _) = list_tag(tag)?;
    format!("sha256:{hex}").parse().ok()
}

/// `1.2.3`, `v1.2.3-rc.1`, `1.2`, `v1`.
fn is_version(tag: &str) -> bool {
    let bare = tag.strip_prefix('v').unwrap_or(tag);
    if semver::Version::parse(bare).is_ok() {
        return true;
    }
    let numbers: Vec<Option<u64>> = bare.split('.').map(|part| part.parse().ok()).collect();
    let plain = bare.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain && numbers.len() <= 2 && numbers.iter().all(|number| number.is_some_and(|n| n <= LARGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_by_their_names() {
        let image = Digest::of(b"web");
        let kind = |tag: &str| Kind::of(tag, &image);
        for tag in ["1.2.3", "v1.2.3-rc.1", "1.2", "v1", "1", "2026.11"] {
            assert_eq!(kind(tag), Kind::Version, "{tag}");
        }
        for tag in ["main-1.2.3", "1.2.3.4", "20261127", "vv1", "v", "+1", "a0a0a0a", "k-1", "keep-me"] {
            assert_eq!(kind(tag), Kind::Other, "{tag}");
        }
        assert_eq!(kind("latest"), Kind::Latest);
        assert_eq!(kind(&format!("k-{}", "a0".repeat(20))), Kind::Content);
        let list = format!("sha256-{}", image.hex());
        assert_eq!(kind(&list), Kind::List(image));
        assert_eq!(kind(&format!("{list}.sig")), Kind::List(image));
        assert_eq!(kind("sha256-1.sig"), Kind::Other);
    }

    #[test]
    fn a_keep_alive_tag_is_one_of_the_image_that_it_holds() {
        let (image, other) = (Digest::of(b"web"), Digest::of(b"other"));
        let tag = keep_alive_tag(&image).unwrap();
        assert_eq!(Kind::of(tag.as_str(), &image), Kind::KeepAlive);
        assert_eq!(Kind::of(tag.as_str(), &other), Kind::Other);
    }
}
