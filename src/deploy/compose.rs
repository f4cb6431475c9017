//! Services of compose files. Pure.

use crate::deploy::unfit::Unfit;
use crate::deploy::yaml::{Kind, Node, Tree};

/// A service of a compose file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its image, as the file has it.
    pub image: Option<String>,
}

/// The services of a compose file.
///
/// # Errors
/// It is not YAML, or has no services.
pub fn services(text: &str) -> Result<Vec<Service>, Unfit> {
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let tree = Tree::read(bare).map_err(|why| Unfit::new(format!("it is not YAML: {why}")))?;
    let services = tree.documents.first().and_then(|document| document.root.get("services"));
    let Some(Node { kind: Kind::Mapping(entries, _), .. }) = services else {
        return Err(Unfit::new("it has no `services`".to_owned()));
    };
    let service = |(key, value): &(Node, Node)| {
        let image = value.get("image").and_then(Node::text).map(str::to_owned);
        Some(Service { name: key.text()?.to_owned(), image })
    };
    Ok(entries.iter().filter_map(service).collect())
}

/// A compose file that says nothing but the images of services.
#[must_use]
pub fn overriding(images: &[(String, String)]) -> String {
    let services: serde_json::Map<String, serde_json::Value> = images
        .iter()
        .map(|(service, image)| (service.clone(), serde_json::json!({ "image": image })))
        .collect();
    serde_json::json!({ "services": services }).to_string()
}
