//! The tags of a repository.

use serde_json::json;

use crate::diagnostic::bytes;
use crate::inspect::TagReport;
use crate::oci::list_tag;
use crate::report::{Look, Paint, Table};

/// A line for each tag: its digest, the size of what is transferred, when the image was
/// made, and its platforms. Platforms that find no room go on below themselves.
#[must_use]
pub fn tag_list(tags: &[TagReport], look: Look) -> String {
    let mut table = Table::new();
    table.head(["tag", "digest", "transfer", "created", "platforms"]);
    for TagReport { tag, image } in tags {
        let name = (Some(Paint::Name), look.tame(&shown(tag, look)));
        let none = || (None, "-".to_owned());
        let image = match image {
            Ok(image) => image,
            Err(problem) => {
                let why = (Some(Paint::Bad), look.tame(&format!("cannot be read: {}", problem.title)));
                table.row([name, none(), none(), none(), why]);
                continue;
            }
        };
        if let Some(what) = list(tag) {
            let digest = (None, image.descriptor.digest.short());
            table.row([name, digest, none(), none(), (Some(Paint::Faint), what.to_owned())]);
            continue;
        }
        let platforms: Vec<_> = image.platforms.iter().map(ToString::to_string).collect();
        let is_image = !platforms.is_empty();
        // To the second, without the zone, which is UTC in practice.
        let created = image.created.as_deref().map(|created| created.get(..19).unwrap_or(created));
        table.row([
            name,
            (None, image.descriptor.digest.short()),
            (None, if is_image { bytes(image.transferred) } else { "-".to_owned() }),
            (None, look.tame(created.unwrap_or("-"))),
            (Some(Paint::Faint), if is_image { platforms.join(" ") } else { "not an image".to_owned() }),
        ]);
    }
    table.render_whole(look, 0)
}

/// A tag as it finds room on a terminal: of the digest of an image that a list is
/// attached to, the first digits, which the row of the image has, too.
fn shown(tag: &str, look: Look) -> String {
    let mark = if look.unicode { "…" } else { "..." };
    match list_tag(tag).filter(|_| look.width != usize::MAX) {
        Some((digits, end)) => format!("sha256-{}{mark}{end}", digits.get(..8).unwrap_or(digits)),
        None => tag.to_owned(),
    }
}

/// What a list holds that is attached to an image by such a tag.
fn list(tag: &str) -> Option<&'static str> {
    Some(match list_tag(tag)?.1 {
        "" => "referrers",
        ".sig" => "signatures",
        ".att" => "attestations",
        ".sbom" => "sbom",
        _ => return None,
    })
}

/// An object for each tag, each on a line. Of one that cannot be read, why.
#[must_use]
pub fn tag_list_json(tags: &[TagReport]) -> String {
    let line = |TagReport { tag, image }: &TagReport| {
        let value = match image {
            Ok(image) => json!({
                "tag": tag,
                "digest": image.descriptor.digest,
                "mediaType": image.descriptor.media_type,
                "transferred": image.transferred,
                "created": image.created,
                "platforms": image.platforms.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }),
            Err(problem) => json!({ "tag": tag, "unreadable": problem.title }),
        };
        format!("{value}\n")
    };
    tags.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_an_image_is_named_by_what_it_holds_and_shortened_for_a_terminal() {
        let digest = "0123456789abcdef".repeat(4);
        let whole = Look { width: usize::MAX, ..Look::PLAIN };
        for (end, what) in [("", "referrers"), (".sig", "signatures"), (".att", "attestations")] {
            let tag = format!("sha256-{digest}{end}");
            assert_eq!(list(&tag), Some(what));
            assert_eq!(shown(&tag, Look::PLAIN), format!("sha256-01234567...{end}"));
            assert_eq!(shown(&tag, whole), tag);
        }
        assert_eq!((list("sha256-1"), shown("1.2", Look::PLAIN)), (None, "1.2".to_owned()));
    }
}
