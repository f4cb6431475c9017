//! Edits of manifests: what is not asked for stays, to the byte.

use proptest::prelude::*;

use crate::deploy::yaml::{Kind, Node, Tree};
use crate::deploy::{Aliases, Pin, Unfit, replace, set_image};

const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn pin(tag: Option<&'static str>) -> Pin<'static> {
    Pin { repository: "ghcr.io/acme/web", tag, digest: DIGEST, by_digest: false }
}

/// What a kustomization says after an edit.
#[track_caller]
fn becomes(before: &str, after: &str, pin: Pin<'_>) {
    let edited = set_image(before, "web", pin).expect("it can be edited");
    assert_eq!(edited, after);
    assert_eq!(set_image(&edited, "web", pin).as_deref(), Ok(after), "again, it changes nothing");
}

/// One value set, where no alias may change.
fn set_value(text: &str, path: &str, value: &str) -> Result<String, Unfit> {
    crate::deploy::set_value(text, path, value, Aliases::Stay)
}

fn refused(result: Result<String, Unfit>) -> String {
    let Unfit { why, help } = result.expect_err("it is refused");
    format!("{why}; {}", help.unwrap_or_default())
}

#[test]
fn an_entry_of_a_kustomization_keeps_its_form() {
    let tag = pin(Some("1.2.0"));
    becomes(
        "images:\n- name: web\n  newName: ghcr.io/acme/web # ours\n  newTag: 1.1.0 # by hoist\n- name: db\n  newTag: \"15\"\n",
        "images:\n- name: web\n  newName: ghcr.io/acme/web # ours\n  newTag: 1.2.0 # by hoist\n- name: db\n  newTag: \"15\"\n",
        tag,
    );
    becomes(
        "images:\n  - digest: sha256:00\n    name: 'web'\n    newName: other/web\n",
        &format!("images:\n  - digest: {DIGEST}\n    name: 'web'\n    newName: ghcr.io/acme/web\n"),
        tag,
    );
    becomes(
        "images:\n- name: web\n  newName: ghcr.io/acme/web\n  newTag: '1'\n  digest: \"sha256:00\"",
        &format!(
            "images:\n- name: web\n  newName: ghcr.io/acme/web\n  newTag: '1.2.0'\n  digest: \"{DIGEST}\""
        ),
        tag,
    );
    // A name alone, without a final newline.
    becomes(
        "images:\n- name: web",
        "images:\n- name: web\n  newName: ghcr.io/acme/web\n  newTag: 1.2.0",
        tag,
    );
    becomes(
        "images: [{name: web, newTag: v1}, {name: db}]\n",
        "images: [{name: web, newTag: 1.2.0, newName: ghcr.io/acme/web}, {name: db}]\n",
        tag,
    );
    becomes(
        "{\"images\": [{\"name\": \"web\"}]}",
        "{\"images\": [{\"name\": \"web\", \"newName\": \"ghcr.io/acme/web\", \"newTag\": \"1.2.0\"}]}",
        tag,
    );
    // Whatever reads as a number is quoted; an anchor and its bytes stay.
    becomes(
        "x: &t v1\nimages:\n-   name: web\n    newName: ghcr.io/acme/web\n    newTag: &tag v1\ny: *t\n",
        "x: &t v1\nimages:\n-   name: web\n    newName: ghcr.io/acme/web\n    newTag: &tag \"1.10\"\ny: *t\n",
        pin(Some("1.10")),
    );
    // Carriage returns, a byte order mark, a marker, letters of more than one byte.
    becomes(
        "\u{feff}---\r\n# Äpfel 🍎\r\nimages:\r\n- name: web\r\n  newTag: v1 # é\r\n",
        "\u{feff}---\r\n# Äpfel 🍎\r\nimages:\r\n- name: web\r\n  newTag: 1.2.0 # é\r\n  newName: ghcr.io/acme/web\r\n",
        tag,
    );
    // A value that is missing, and one that is the same already.
    becomes(
        "images:\n- name: web\n  newTag: # soon\n  newName: ghcr.io/acme/web\n",
        "images:\n- name: web\n  newTag: 1.2.0 # soon\n  newName: ghcr.io/acme/web\n",
        tag,
    );
    let same = "images:\n- {newTag:   \"1.2.0\" , name: web,newName: ghcr.io/acme/web  }\n";
    becomes(same, same, tag);
}

#[test]
fn a_digest_is_said_where_it_is_asked_for_or_nothing_else_stays() {
    let by_digest = Pin { by_digest: true, ..pin(Some("1.2.0")) };
    becomes(
        "images:\n- name: web\n  newName: ghcr.io/acme/web\n  newTag: 1.1.0\n",
        &format!("images:\n- name: web\n  newName: ghcr.io/acme/web\n  newTag: 1.2.0\n  digest: {DIGEST}\n"),
        by_digest,
    );
    becomes(
        "images:\n- newTag: 1.1.0 # x\n  name: web\n",
        &format!("images:\n- digest: {DIGEST} # x\n  name: web\n  newName: ghcr.io/acme/web\n"),
        Pin { by_digest: true, ..pin(None) },
    );
    becomes(
        "images:\n- name: web\n",
        &format!("images:\n- name: web\n  newName: ghcr.io/acme/web\n  digest: {DIGEST}\n"),
        pin(None),
    );
}

#[test]
fn a_list_that_is_missing_or_empty_is_made() {
    let tag = pin(Some("1.2.0"));
    let entry = "- name: web\n  newName: ghcr.io/acme/web\n  newTag: 1.2.0\n";
    let cases = [
        ("resources:\n- ../base\n", format!("resources:\n- ../base\nimages:\n{entry}")),
        (
            "resources:\n- ../base # end",
            format!("resources:\n- ../base # end\nimages:\n{}", entry.trim_end()),
        ),
        ("images: []\nresources:\n- a\n", format!("images:\n{entry}resources:\n- a\n")),
        ("images: [] # none\n", format!("images: # none\n{entry}")),
        ("images: # none\nresources: []\n", format!("images: # none\n{entry}resources: []\n")),
        ("images:", format!("images:\n{}", entry.trim_end())),
        ("images: null\n", format!("images:\n{entry}")),
        ("a: |\n  text\n\n# end\n", format!("a: |\n  text\n\n# end\nimages:\n{entry}")),
        ("a: 1\n...\n", format!("a: 1\nimages:\n{entry}...\n")),
        ("a: 1\r\n", format!("a: 1\nimages:\n{entry}").replace('\n', "\r\n")),
        (
            "  a: 1\n",
            "  a: 1\n  images:\n  - name: web\n    newName: ghcr.io/acme/web\n    newTag: 1.2.0\n".to_owned(),
        ),
        (
            "{resources: [a]}\n",
            "{resources: [a], images: [{name: web, newName: ghcr.io/acme/web, newTag: 1.2.0}]}\n".to_owned(),
        ),
    ];
    for (before, after) in cases {
        becomes(before, &after, tag);
    }
    becomes(
        "a: 1\n",
        "a: 1\nimages:\n- name: web\n  newTag: v2\n",
        Pin { repository: "web", ..pin(Some("v2")) },
    );
}

#[test]
fn what_cannot_be_edited_as_it_is_meant_is_refused() {
    let edit = |text: &str, tag| refused(set_image(text, "web", pin(tag)));
    let cases = [
        ("images:\n- name: wbe\n- name: db\n", "has no entry for `web`: it has `wbe`, `db`; did you mean"),
        ("images:\n- name: web\n  newTag: *t\n", "it is not YAML"),
        ("t: &t v\nimages:\n- name: web\n  newTag: *t\n", "`newTag` is an alias"),
        ("images:\n- name: web\n  newTag: |\n    v1\n", "a block of text"),
        ("images:\n- name: web\n  newTag: v1\n  tagSuffix: -x\n", "`tagSuffix`"),
        ("b: &b {newTag: v1}\nimages:\n- name: web\n  <<: *b\n", "`<<` takes fields from elsewhere"),
        ("images: 5\n", "`images` is no list"),
        ("- a\n", "it has no keys"),
        ("", "empty"),
        ("a: 1\n---\nb: 1\n", "several documents"),
        ("a: [1\n", "it is not YAML: line"),
    ];
    for (text, said) in cases {
        let why = edit(text, Some("v2"));
        assert!(why.contains(said), "{text:?}: {why}");
    }
    assert!(
        edit("images:\n- name: web\n  newTag: v1\n", None)
            .contains("no tag that stays with it; write `digest=#true`")
    );
    assert!(edit(&"[".repeat(100_000), Some("v2")).contains("not YAML"), "without an end of the stack");
}

#[test]
fn no_alias_changes_with_what_it_stands_for() {
    let edit = |text: &str| refused(set_image(text, "web", pin(Some("v2"))));
    let cases = [
        (
            "images:\n- name: web\n  newTag: &tag v1\n- name: db\n  newTag: *tag\n",
            "`images[0].newTag` has an anchor, and `images[1].newTag` (line 5) is its alias `*tag`, which would \
             change with it; write out what stands there",
        ),
        // A field that would be added, to an entry that is merged elsewhere; a list.
        (
            "images:\n- &web {name: web}\n- {<<: *web, name: db}\n",
            "`images[0]` has an anchor, and `images[1].<<`",
        ),
        ("images: &none []\nresources: *none\n", "`images` has an anchor, and `resources` (line 2)"),
    ];
    for (text, said) in cases {
        let why = edit(text);
        assert!(why.contains(said), "{text:?}: {why}");
    }
    // What says so already changes nothing.
    let same = "images:\n- name: web\n  newName: ghcr.io/acme/web\n  newTag: &tag 1.2.0\n- name: db\n  newTag: *tag\n";
    becomes(same, same, pin(Some("1.2.0")));

    let values = "all: &tag \"1.0\"\nweb: {tag: *tag}\nchart: &a {tag: v1}\n---\nother: &tag 2\nall: x\n";
    let why = refused(set_value(values, "all", "1.1"));
    assert!(why.contains("`all` has an anchor, and `web.tag` (line 2) is its alias `*tag`"), "{why}");
    assert!(why.contains("`yaml … aliases=#true`"), "{why}");
    assert_eq!(set_value(values, "chart.tag", "v2"), Ok(values.replace("v1", "v2")));
    assert_eq!(set_value(values, "other", "3"), Ok(values.replace("tag 2", "tag 3")));
    let followed = crate::deploy::set_value(values, "all", "1.1", Aliases::Follow);
    assert_eq!(followed, Ok(values.replace("1.0", "1.1").replace("all: x", "all: \"1.1\"")));
}

#[test]
fn one_value_of_a_file_is_set() {
    let values = "# chart\nimage:\n  repository: web   # ours\n  tag: \"1.0\"\nreplicas: 3\nlist:\n- a: 1\n  b: x\n- {a: 2, b: y}\n\"a.b\":\n  c: on\n";
    let cases = [
        ("image.tag", "1.1", "tag: \"1.0\"", "tag: \"1.1\""),
        (".image.repository", "a b: c", "repository: web   # ours", "repository: \"a b: c\"   # ours"),
        ("replicas", "5", "replicas: 3", "replicas: 5"),
        ("replicas", "05", "replicas: 3", "replicas: \"05\""),
        ("list[1].b", "z", "b: y}", "b: z}"),
        ("list[-1].b", "a,b", "b: y}", "b: \"a,b\"}"),
        ("list.0.b", "1.10", "b: x", "b: \"1.10\""),
        ("[\"a.b\"].c", "yes", "c: on", "c: \"yes\""),
        ("\"a.b\".c", "ok", "c: on", "c: ok"),
    ];
    for (path, value, from, to) in cases {
        assert_eq!(set_value(values, path, value), Ok(values.replace(from, to)), "{path}");
    }
    // Every document that has it.
    let documents = "kind: A\n---\nkind: B\ntag: v1\n---\ntag: 'v1'\n";
    assert_eq!(set_value(documents, "tag", "v2"), Ok(documents.replace("v1", "v2")));
    let wrong = [
        ("image.tga", "there is no `image.tga`: `image` has `repository`, `tag`; did you mean `image.tag`?"),
        ("list[2]", "`list` is a list of 2; its items are `list[0]` to `list[1]`"),
        ("image", "has keys of its own"),
        ("list", "is a list"),
        ("replicas.x", "`replicas` is a single value"),
        ("", "it names nothing"),
        ("a[", "a `[` is not closed"),
        ("a..b", "a key is missing"),
    ];
    for (path, said) in wrong {
        let why = refused(set_value(values, path, "x"));
        assert!(why.contains(said), "{path}: {why}");
    }
}

#[test]
fn an_expression_is_replaced_and_has_to_match() {
    let text = "a: 1\r\nnewTag: v1\r\nb: newTag: v1";
    assert_eq!(
        replace(text, "^newTag:.*$", "newTag: $1").as_deref(),
        Ok("a: 1\r\nnewTag: $1\r\nb: newTag: v1")
    );
    assert_eq!(replace(text, "newTag:.*", "newTag: v1").as_deref(), Ok(text));
    assert!(refused(replace(text, "newTga", "x")).contains("nothing in it matches `newTga`"));
}

/// A scalar in some way of writing, and what may stand behind it.
fn written() -> impl Strategy<Value = (String, bool)> {
    let word = "[a-z][a-z0-9.]{0,6}";
    prop_oneof![
        word.prop_map(|text| (text, true)),
        word.prop_map(|text| (format!("'{text}'"), false)),
        word.prop_map(|text| (format!("\"{text}\""), false)),
        "[1-9][0-9]{0,3}".prop_map(|text| (text, true)),
        "[é-ü]{1,4}".prop_map(|text| (format!("&a{} {text}", 1), true)),
    ]
}

/// Lines of other keys.
fn around() -> impl Strategy<Value = String> {
    let some = prop_oneof![
        Just("# images:\n"),
        Just("\n"),
        Just("resources:\n- ../base   # base\n-   b.yaml\n"),
        Just("patch: |-\n  images:\n  - name: web\n    newTag: no\n"),
        Just("text: >\n  folded # no comment\n\n  newTag: x\n"),
        Just("q: \"a\\n: b # c\"\n"),
        Just("flow: {a: [1, {b: 2}],\n  c: 'it''s'}\n"),
        Just("labels: &l\n    a: b\nmore:\n    <<: *l\n"),
        Just("ключ: значение # примечание\n"),
        Just("? complex\n: value\n"),
        Just("multi: a\n  b\n  c\n"),
        Just("tagged: !!str 12\n"),
    ];
    proptest::sample::subsequence((0..12).collect::<Vec<usize>>(), 0..6)
        .prop_flat_map(move |_| proptest::collection::vec(some.clone(), 0..4))
        .prop_map(|lines| {
            let mut seen = Vec::new();
            lines
                .into_iter()
                .filter(|line| {
                    let key = line.split(':').next().unwrap_or_default().to_owned();
                    let fresh = line.starts_with(['#', '\n']) || !seen.contains(&key);
                    seen.push(key);
                    fresh
                })
                .collect()
        })
}

/// Values of which some would be read as something else.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "v?[0-9]{1,2}\\.[0-9]{1,2}(\\.[0-9])?(-rc\\.1)?",
        "[0-9a-f]{7}",
        Just("true".to_owned()),
        Just("0x10".to_owned()),
        Just("2026-01-02".to_owned()),
        Just("it's: \"a\" # b".to_owned()),
        "\\PC{1,8}",
    ]
}

fn holds(text: &str, path: &[&str]) -> Option<String> {
    let tree = Tree::read(text).ok()?;
    let mut node: &Node = &tree.documents.first()?.root;
    for step in path {
        node = match step.parse() {
            Ok(at) => node.child(at)?,
            Err(_) => node.get(step)?,
        };
    }
    match &node.kind {
        Kind::Scalar(value, _) => Some(value.clone()),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// However a file is written, nothing but the bytes of the value changes, and it is read as what was asked for.
    #[test]
    fn nothing_but_the_value_changes(
        before in around(), after in around(), (old, _) in written(), new in value(),
        indent in 0usize..4, gap in 1usize..4, comment in any::<bool>(), windows in any::<bool>(), open in any::<bool>(),
        flow in any::<bool>(),
    ) {
        let tail = if comment { "  # a: b" } else { "" };
        let (head, mut foot) = if flow {
            (format!("images: [{{name: web, newName: ghcr.io/acme/web,{:gap$}newTag: ", ""), format!("}}]{tail}\n"))
        } else {
            (
                format!("images:\n{:indent$}-{:gap$}name: web\n{:indent$} {:gap$}newName: ghcr.io/acme/web\n{:indent$} {:gap$}newTag: ", "", "", "", "", "", ""),
                format!("{tail}\n{:indent$}-{:gap$}name: db\n", "", ""),
            )
        };
        if open && after.is_empty() { foot.truncate(foot.trim_end().len()); }
        // The same keys are not written twice.
        let after: String = after.lines().filter(|line| line.starts_with('#') || line.is_empty()).flat_map(|line| [line, "\n"]).collect();
        let ends = |text: String| if windows { text.replace('\n', "\r\n") } else { text };
        let (pre, post) = (ends(format!("{before}{head}")), ends(format!("{foot}{after}")));
        let (mark, bare) = old.rsplit_once(' ').map_or(("", old.as_str()), |(mark, bare)| (mark, bare));
        let mark = if mark.is_empty() { String::new() } else { format!("{mark} ") };
        let text = format!("{pre}{mark}{bare}{post}");
        prop_assume!(Tree::read(&text).is_ok());
        let wanted = Pin { repository: "ghcr.io/acme/web", tag: Some(&new), digest: DIGEST, by_digest: false };
        let by_name = set_image(&text, "web", wanted);
        let by_path = set_value(&text, "images[0].newTag", &new);
        prop_assert_eq!(&by_name, &by_path);
        let edited = by_name.map_err(|unfit| TestCaseError::fail(format!("{text:?}: {unfit:?}")))?;
        let kept = edited.strip_prefix(&format!("{pre}{mark}")).and_then(|rest| rest.strip_suffix(&post));
        prop_assert!(kept.is_some(), "{text:?} -> {edited:?}");
        let found = holds(&edited, &["images", "0", "newTag"]);
        prop_assert_eq!(found.as_deref(), Some(new.as_str()), "{:?}", edited);
        prop_assert_eq!(set_value(&edited, "images[0].newTag", &new), Ok(edited.clone()));
    }

    /// Whatever a text is, an edit is refused or leads to what was asked for.
    #[test]
    fn no_text_is_too_strange(text in "[ a:\\-\\[\\]{},#&*!|>'\"%@`?\\n\\ré\\t]{0,40}", value in "\\PC{0,4}") {
        for path in ["a", "a.a", "a[0]", "a[0].a"] {
            if let Ok(edited) = set_value(&text, path, &value) {
                prop_assert_eq!(set_value(&edited, path, &value), Ok(edited.clone()), "{:?}", text);
            }
        }
        if let Ok(edited) = set_image(&text, "a", pin(Some("v1"))) {
            prop_assert_eq!(set_image(&edited, "a", pin(Some("v1"))), Ok(edited.clone()), "{:?}", text);
        }
    }
}
