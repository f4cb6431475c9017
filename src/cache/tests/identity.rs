//! Saving and restoring any tree.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;

use super::{Fixture, chmod, tree};
use crate::cache::Restoration;

/// What a tree may hold at a path.
#[derive(Clone, Debug)]
enum Node {
    File(Vec<u8>, u32),
    Link(String),
    Dir(u32),
}

fn nodes() -> impl Strategy<Value = BTreeMap<String, Node>> {
    let name = prop::sample::select(vec!["a", "b", "c.txt", "é", ".d", "e f"]);
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let node = prop_oneof![
        3 => (prop::collection::vec(any::<u8>(), 0..40), prop::sample::select(vec![0o644, 0o755, 0o400, 0o600]))
            .prop_map(|(bytes, mode)| Node::File(bytes, mode)),
        1 => "[a-z./]{1,8}".prop_map(Node::Link),
        1 => prop::sample::select(vec![0o755, 0o700, 0o555]).prop_map(Node::Dir),
    ];
    prop::collection::btree_map(path, node, 0..8)
}

/// Makes a tree; what does not fit below another node is left out.
fn grow(root: &Path, nodes: &BTreeMap<String, Node>) {
    fs::create_dir_all(root).unwrap();
    let mut modes = Vec::new();
    for (path, node) in nodes {
        let path = root.join(path);
        let above = path.parent().unwrap();
        let fits = above
            .ancestors()
            .take_while(|above| *above != root)
            .all(|above| fs::symlink_metadata(above).map_or(true, |found| found.is_dir()));
        if !fits || fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        fs::create_dir_all(above).unwrap();
        match node {
            Node::File(bytes, mode) => {
                fs::write(&path, bytes).unwrap();
                chmod(&path, *mode);
            }
            Node::Link(text) => symlink(text, &path).unwrap(),
            Node::Dir(mode) => {
                fs::create_dir(&path).unwrap();
                modes.push((path, *mode));
            }
        }
    }
    for (path, mode) in modes.iter().rev() {
        chmod(path, *mode);
    }
}

/// Makes everything removable again.
fn unlock(root: &Path) {
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        chmod(&dir, 0o755);
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn restoring_what_was_saved_is_the_identity_over_any_other_tree(made in nodes(), other in nodes()) {
        let fixture = Fixture::new(&["out"]);
        grow(&fixture.path("out"), &made);
        let expected = tree(&fixture.root());
        fixture.save(1);
        unlock(&fixture.root());
        fixture.wipe();
        grow(&fixture.path("out"), &other);
        let was_equal = tree(&fixture.root()) == expected;
        let restoration = fixture.restore(1).unwrap();
        prop_assert_eq!(restoration == Restoration::Current, was_equal);
        if fixture.path(".hoist").exists() {
            unlock(&fixture.path(".hoist"));
            fs::remove_dir_all(fixture.path(".hoist")).unwrap();
        }
        prop_assert_eq!(tree(&fixture.root()), expected);
        prop_assert_eq!(fixture.restore(1).unwrap(), Restoration::Current);
        unlock(&fixture.root());
    }
}
