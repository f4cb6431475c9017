//! Services of compose files. Pure, but for what is told of other files.

use std::cell::Cell;
use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::deploy::unfit::Unfit;
use crate::deploy::yaml::{Kind, Node, Tree, anchors};

/// How often one place leads to another: by an alias, a merge, or `extends`. More go in a
/// circle.
const FURTHEST: usize = 32;
/// How many places are looked at in a file: many aliases of many aliases have no end.
const PLACES: usize = 1_000_000;

/// A service of a compose file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its image, as the file has it, or what it merges or extends.
    pub image: Option<String>,
}

/// The services of a compose file, in its order. `read` tells what another file holds, by its
/// path from the directory of this one; what it does not tell is not known.
///
/// # Errors
/// It is not YAML, or has no services.
pub fn services(text: &str, read: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Service>, Unfit> {
    let tree = tree(text)?;
    let file = File::of(&tree);
    if file.services.is_empty() {
        return Err(Unfit::new("it has no `services`".to_owned()));
    }
    let service = |name: &&str| {
        let image = file.image(name, read, FURTHEST);
        Service { name: (*name).to_owned(), image }
    };
    Ok(file.services.keys().map(service).collect())
}

fn tree(text: &str) -> Result<Tree, Unfit> {
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    Tree::read(bare).map_err(|why| Unfit::new(format!("it is not YAML: {why}")))
}

/// A compose file, with what its aliases stand for.
struct File<'a> {
    anchors: BTreeMap<usize, &'a Node>,
    /// How many more places are looked at.
    left: Cell<usize>,
    /// By their names, those of merges behind its own.
    services: IndexMap<&'a str, &'a Node>,
}

impl<'a> File<'a> {
    fn of(tree: &'a Tree) -> Self {
        let root = tree.documents.first().map(|document| &document.root);
        let anchors = root.map(anchors).unwrap_or_default();
        let mut file = Self { anchors, left: Cell::new(PLACES), services: IndexMap::new() };
        let services = root.and_then(|root| file.field(root, "services", FURTHEST));
        let mut found = IndexMap::new();
        if let Some(services) = services {
            file.entries(services, FURTHEST, &mut found);
        }
        file.services = found;
        file
    }

    /// The image of a service: its own, else that of the service that it extends.
    fn image(&self, service: &str, read: &dyn Fn(&str) -> Option<String>, far: usize) -> Option<String> {
        let (service, far) = (*self.services.get(service)?, far.checked_sub(1)?);
        if let Some(image) = self.field(service, "image", far).filter(|image| !image.is_nothing()) {
            return image.text().map(str::to_owned);
        }
        let extends = self.field(service, "extends", far)?;
        let name = extends.text().or_else(|| self.field(extends, "service", far)?.text())?;
        match self.field(extends, "file", far) {
            None => self.image(name, read, far),
            Some(path) => {
                let tree = tree(&read(path.text()?)?).ok()?;
                File::of(&tree).image(name, read, far)
            }
        }
    }

    /// What stands in a place, be it by an alias.
    fn followed(&self, node: &'a Node, far: usize) -> Option<&'a Node> {
        self.left.set(self.left.get().checked_sub(1)?);
        match node.kind {
            Kind::Alias(anchor) => self.followed(self.anchors.get(&anchor)?, far.checked_sub(1)?),
            _ => Some(node),
        }
    }

    /// The value of a key of a mapping, be it of one that is merged into it (`<<`).
    fn field(&self, node: &'a Node, key: &str, far: usize) -> Option<&'a Node> {
        let node = self.followed(node, far)?;
        if let Some(value) = node.get(key) {
            return self.followed(value, far);
        }
        self.merged(node, far).into_iter().find_map(|merged| self.field(merged, key, far.checked_sub(1)?))
    }

    /// The entries of a mapping and of those that are merged into it, each key once.
    fn entries(&self, node: &'a Node, far: usize, found: &mut IndexMap<&'a str, &'a Node>) {
        let Some(node) = self.followed(node, far) else { return };
        let Kind::Mapping(entries, _) = &node.kind else { return };
        for (key, value) in entries {
            let Some(name) = key.text().filter(|name| *name != "<<") else { continue };
            found.entry(name).or_insert(value);
        }
        let Some(far) = far.checked_sub(1) else { return };
        for merged in self.merged(node, far) {
            self.entries(merged, far, found);
        }
    }

    /// The mappings that are merged into one, the one that counts most first.
    fn merged(&self, node: &'a Node, far: usize) -> Vec<&'a Node> {
        let merged = node.get("<<").and_then(|value| self.followed(value, far));
        match merged.map(|value| &value.kind) {
            Some(Kind::Sequence(items, _)) => items.iter().collect(),
            Some(Kind::Mapping(..)) => merged.into_iter().collect(),
            _ => Vec::new(),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `name=image` of all services.
    fn images(text: &str) -> String {
        let read = |path: &str| {
            (path == "../base.yaml").then(|| {
            "services:\n  deep:\n    extends: low\n  low: {image: other/low:1}\n  round: {extends: {file: ../base.yaml, service: round}}\n"
                .to_owned()
        })
        };
        let found = services(text, &read).expect("it has services");
        let told =
            found.iter().map(|Service { name, image }| format!("{name}={}", image.as_deref().unwrap_or("-")));
        told.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_service_has_the_image_that_it_is_given_elsewhere() {
        let merged = "x-a: &a {image: acme/a}\nx-b: &b {image: acme/b}\nservices:\n  own: {<<: *a, image: own}\n  \
                      one: {<<: *a}\n  two:\n    <<: [*b, *a]\n  three: *a\n  four: {image: &i acme/i}\n  five: {image: *i}\n";
        assert_eq!(images(merged), "own=own one=acme/a two=acme/b three=acme/a four=acme/i five=acme/i");
        let all = "x-all: &all\n  db: {image: db}\n  web: {image: old}\nservices:\n  <<: *all\n  web: {image: new}\n";
        assert_eq!(images(all), "web=new db=db");
        assert_eq!(images("x: &all {a: {image: b}}\nservices: *all\n"), "a=b");
        let extends = "services:\n  base: {image: acme/web}\n  web: {extends: base}\n  api: {extends: {service: web}}\n  \
                       far: {extends: {file: ../base.yaml, service: deep}}\n  gone: {extends: {file: x, service: y}}\n  \
                       none: {build: .}\n  null: {image: , extends: base}\n";
        let told = "base=acme/web web=acme/web api=acme/web far=other/low:1 gone=- none=- null=acme/web";
        assert_eq!(images(extends), told);
        // What leads in a circle leads nowhere.
        let round = "services:\n  a: {extends: b}\n  b: {extends: a}\n  c: &c {<<: *c}\n  d: {extends: {file: ../base.yaml, service: round}}\n";
        assert_eq!(images(round), "a=- b=- c=- d=-");
        let many = (1..30).map(|n| format!("a{n}: &a{n} {{<<: [*a{0}, *a{0}]}}\n", n - 1));
        let many = many.collect::<Vec<_>>().concat();
        assert_eq!(images(&format!("a0: &a0 {{}}\n{many}services:\n  web: *a29\n")), "web=-");
        assert!(services("x: 1\n", &|_| None).is_err());
    }
}
