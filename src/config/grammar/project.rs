//! The nodes that say what holds for the whole project.

use crate::config::grammar::{ArgumentForm, Kind, NodeForm, PropertyForm};

pub(super) const ABOUT: PropertyForm =
    PropertyForm::new("about", Kind::Text, "What it is for, in one line; shown by `hoist`.");

pub(super) const PROJECT: NodeForm = NodeForm::new("project", "Names the project.")
    .arguments(&[ArgumentForm::one("name", Kind::Text, "The value of `{project}`.")])
    .notes("Without it the project has the name of its directory.");

pub(super) const VAR: NodeForm = NodeForm::new("var", "Declares a variable.")
    .arguments(&[
        ArgumentForm::one(
            "name",
            Kind::Variable,
            "Letters, digits, and `_`; not the name of a [fact](#facts).",
        ),
        ArgumentForm::optional("value", Kind::Template, "", "Its value where nothing overrides it."),
    ])
    .properties(&[
        PropertyForm::new("env", Kind::Variable, "A variable of the environment that overrides the value."),
        ABOUT,
    ])
    .repeatable()
    .notes(
        "The value is, in this order: `NAME=value` on the command line, the environment variable \
         named by `env`, the value in the file. A variable without any of them is an error where it \
         is used. In a template it is `{name}`, in a script `$name`.",
    )
    .example(
        r#"var "python" "3.12" env="PYTHON" about="Python version of the base image"
var "registry" "ghcr.io/acme"

registry "main" "{registry}"

target "version" { run "echo $python"; }
"#,
    );

pub(super) const DOTENV: NodeForm = NodeForm::new("dotenv", "Reads variables of the environment from files.")
    .arguments(&[ArgumentForm::many("file", Kind::Path, "A file of `NAME=value` lines.")])
    .repeatable()
    .notes(
        "A later file wins over an earlier one, and the environment itself over all. The values are \
         secret: never printed, and never in a cache key unless a target declares them.",
    );

pub(super) const INCLUDE: NodeForm = NodeForm::new("include", "Reads further files.")
    .arguments(&[ArgumentForm::many("file", Kind::Pattern, "A path or glob, relative to this file.")])
    .properties(
        &[PropertyForm::new("as", Kind::Name, "Prefix of the names.").default("the file's directory")],
    )
    .repeatable()
    .notes(
        "What an included file declares has its prefix before its name: `lint` of \
         `services/api/release.kdl` is `services/api/lint`, or `api/lint` with `as=\"api\"`. A file of the same directory is a part of the one that includes it, without a prefix. A name \
         that an included file uses is looked for under its own prefix first, then outwards; so a service may use the registries, tag sets, and variables of the root \
         file. Paths are relative to the file that says them. `project` and `default` of an included \
         file have no effect; `cache`, `execute`, and `settings` other than `hoist` are errors there.",
    );

pub(super) const DEFAULT: NodeForm = NodeForm::new("default", "Says what a bare `hoist run` does.")
    .arguments(&[ArgumentForm::many("name", Kind::Work, "As on the command line: also a goal or a glob.")])
    .notes("A bare `hoist` lists what there is.");

pub(super) const SETTINGS: NodeForm = NodeForm::new("settings", "Settings of the whole project.")
    .children(&[
        NodeForm::new("jobs", "How many steps run at once.")
            .arguments(&[ArgumentForm::one("count", Kind::Integer(1, 4096), "")])
            .notes("By default the number of processors; `-j` overrides it."),
        NodeForm::new("shell", "What scripts are given to: a program and its arguments.")
            .arguments(&[ArgumentForm::many("word", Kind::Text, "")])
            .notes("The script is the last argument. By default `sh -eu -c`."),
        NodeForm::new("timeout", "How long a step may take where it does not say so itself.")
            .arguments(&[ArgumentForm::one("duration", Kind::Limit, "")]),
        NodeForm::new("hoist", "The versions of hoist that the file is written for.")
            .arguments(&[ArgumentForm::one("requirement", Kind::Requirement, "")])
            .notes("Checked before anything else: another version stops with `hoist::config::newer_hoist`."),
    ])
    .example(
        r#"settings {
    jobs 8
    shell "bash" "-euo" "pipefail" "-c"
    timeout "30m"
    hoist ">=0.1"
}
"#,
    );
