//! The cache, and machines that execute.

use crate::config::grammar::{ArgumentForm, Kind, NodeForm, PropertyForm};

const INSTANCE: PropertyForm =
    PropertyForm::new("instance", Kind::Text, "The instance's name there.").default("`\"\"`");

pub(super) const CACHE: NodeForm = NodeForm::new("cache", "Where results of steps are kept.")
    .properties(&[
        PropertyForm::new("dir", Kind::Text, "Its directory; a leading `~` is the home directory.")
            .default("`$HOIST_CACHE_DIR`, `$XDG_CACHE_HOME/hoist`, or `~/.cache/hoist`"),
        PropertyForm::new("max-size", Kind::Size, "Most bytes that are kept."),
        PropertyForm::new("registry", Kind::Bool, "Whether built images are shared through their registry.")
            .default("`#true`"),
    ])
    .children(&[NodeForm::new("remote", "A cache on the network: Bazel's Remote Execution API.")
        .arguments(&[ArgumentForm::one("address", Kind::Address, "")])
        .properties(&[
            INSTANCE,
            PropertyForm::new("read-only", Kind::Bool, "Nothing is written there.").default("`#false`"),
        ])])
    .example(
        r#"cache dir="~/.cache/hoist" max-size="20GB" {
    remote "grpcs://cache.acme.dev" instance="main" read-only=#false
}
"#,
    );

pub(super) const EXECUTE: NodeForm = NodeForm::new(
    "execute",
    "A cluster that targets with inputs and outputs run on: the Remote Execution API.",
)
.arguments(&[ArgumentForm::one("address", Kind::Address, "")])
.properties(&[INSTANCE])
.children(&[NodeForm::new("platform", "Properties of the machines that are asked for.")
    .open(PropertyForm::new("NAME", Kind::Text, "The value of the property `NAME`."))
    .repeatable()])
.example(
    r#"execute "grpcs://rbe.acme.dev" instance="main" {
    platform OSFamily="linux"
}
"#,
);
