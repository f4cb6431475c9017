//! The tags of a repository.

use serde_json::json;

use crate::diagnostic::bytes;
use crate::inspect::TagReport;
use crate::report::{Look, Paint, Table};

/// A line for each tag: its digest, the size of what is transferred, when the image was
/// made, and its platforms.
#[must_use]
pub fn tag_list(tags: &[TagReport], look: Look) -> String {
    let mut table = Table::new();
    table.head(["tag", "digest", "transfer", "created", "platforms"]);
    for found in tags {
        let platforms: Vec<_> = found.platforms.iter().map(ToString::to_string).collect();
        let is_image = !platforms.is_empty();
        // To the second, without the zone, which is UTC in practice.
        let created = found.created.as_deref().map(|created| created.get(..19).unwrap_or(created));
        table.row([
            (Some(Paint::Name), look.tame(&found.tag)),
            (None, found.descriptor.digest.short()),
            (None, if is_image { bytes(found.transferred) } else { "-".to_owned() }),
            (None, look.tame(created.unwrap_or("-"))),
            (Some(Paint::Faint), if is_image { platforms.join(" ") } else { "not an image".to_owned() }),
        ]);
    }
    table.render(look, 0)
}

/// An object for each tag, each on a line.
#[must_use]
pub fn tag_list_json(tags: &[TagReport]) -> String {
    let line = |found: &TagReport| {
        let value = json!({
            "tag": found.tag,
            "digest": found.descriptor.digest,
            "mediaType": found.descriptor.media_type,
            "transferred": found.transferred,
            "created": found.created,
            "platforms": found.platforms.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        format!("{value}\n")
    };
    tags.iter().map(line).collect()
}
