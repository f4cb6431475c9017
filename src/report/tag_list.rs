//! The tags of a repository.

use serde_json::json;

use crate::diagnostic::bytes;
use crate::inspect::TagReport;
use crate::report::{Look, Paint, Table};

/// A line for each tag: its digest, the size of what is transferred, when the image was
/// made, and its platforms. Platforms that find no room go on below themselves.
#[must_use]
pub fn tag_list(tags: &[TagReport], look: Look) -> String {
    let mut table = Table::new();
    table.head(["tag", "digest", "transfer", "created", "platforms"]);
    for TagReport { tag, image } in tags {
        let name = (Some(Paint::Name), look.tame(tag));
        let none = || (None, "-".to_owned());
        let image = match image {
            Ok(image) => image,
            Err(problem) => {
                let why = (Some(Paint::Bad), look.tame(&format!("cannot be read: {}", problem.title)));
                table.row([name, none(), none(), none(), why]);
                continue;
            }
        };
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
