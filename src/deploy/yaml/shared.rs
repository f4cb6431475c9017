//! What stands in several places at once: a node with an anchor, and the aliases of it.

use std::collections::BTreeMap;

use crate::deploy::Unfit;
use crate::deploy::yaml::path::Step;
use crate::deploy::yaml::{Document, Kind, Node, Path};

/// Makes sure that no alias in a document would mean something else, if the document became
/// what is `meant`.
///
/// # Errors
/// One would: where it is, and where its anchor.
pub(in crate::deploy) fn unshared(text: &str, before: &Document, meant: &Document) -> Result<(), Unfit> {
    let (before, meant) = (Places::of(&before.root), Places::of(&meant.root));
    let changed = before.aliases.into_iter().find_map(|(anchor, path, alias)| {
        let (place, old) = before.anchors.get(&anchor)?;
        let (_, new) = meant.anchors.get(&anchor)?;
        (!old.is_same(new)).then_some((place, path, alias))
    });
    let Some((place, path, alias)) = changed else { return Ok(()) };
    let spelled = text.get(alias.span.clone()).unwrap_or_default();
    let line = text[..alias.span.start].matches('\n').count() + 1;
    Err(Unfit::new(format!(
        "`{place}` has an anchor, and `{path}` (line {line}) is its alias `{spelled}`, which would change with it"
    )))
}

/// What the anchors of a document name, by their numbers.
pub(in crate::deploy) fn anchors(root: &Node) -> BTreeMap<usize, &Node> {
    Places::of(root).anchors.into_iter().map(|(anchor, (_, node))| (anchor, node)).collect()
}

/// Where the anchors and the aliases of a document are.
#[derive(Default)]
struct Places<'a> {
    /// By their numbers.
    anchors: BTreeMap<usize, (Path, &'a Node)>,
    /// Each with the number of its anchor.
    aliases: Vec<(usize, Path, &'a Node)>,
}

impl<'a> Places<'a> {
    fn of(root: &'a Node) -> Self {
        let mut places = Self::default();
        places.take(root, &Path::default());
        places
    }

    fn take(&mut self, node: &'a Node, path: &Path) {
        if node.anchor != 0 {
            self.anchors.insert(node.anchor, (path.clone(), node));
        }
        match &node.kind {
            Kind::Scalar(..) => {}
            Kind::Alias(anchor) => self.aliases.push((*anchor, path.clone(), node)),
            Kind::Sequence(items, _) => {
                for (at, item) in (0..).zip(items) {
                    self.take(item, &path.child(Step::Index(at)));
                }
            }
            Kind::Mapping(entries, _) => {
                for (key, value) in entries {
                    let path = path.child(Step::Key(key.text().unwrap_or("?").to_owned()));
                    self.take(key, &path);
                    self.take(value, &path);
                }
            }
        }
    }
}
