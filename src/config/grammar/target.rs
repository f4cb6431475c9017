//! Targets and pools.

use crate::config::grammar::{ArgumentForm, Kind, NodeForm, PropertyForm, project};

const OS: Kind = Kind::Word(&[
    "linux",
    "macos",
    "windows",
    "freebsd",
    "netbsd",
    "openbsd",
    "dragonfly",
    "solaris",
    "illumos",
]);
const ON: ArgumentForm = ArgumentForm::optional("value", Kind::Bool, "#true", "");

pub(super) const NEEDS: NodeForm = NodeForm::new("needs", "What comes before it.")
    .arguments(&[ArgumentForm::many("name", Kind::Work, "")])
    .repeatable()
    .notes(
        "In the brackets of a step, `{key}` is the value of the target's own `matrix`: `unit[python={python}]`.",
    );

pub(super) const ENV: NodeForm = NodeForm::new("env", "Sets variables of the environment.")
    .open(PropertyForm::new("NAME", Kind::Template, "The value of the variable `NAME`."))
    .repeatable();

pub(super) const TARGET: NodeForm =
    NodeForm::new("target", "A named piece of work: commands with declared needs, inputs, and outputs.")
        .arguments(&[ArgumentForm::one("name", Kind::Name, "Targets and images share one name space.")])
        .properties(&[project::ABOUT])
        .repeatable()
        .children(&[
            NEEDS,
            NodeForm::new("run", "A command.")
                .arguments(&[ArgumentForm::many(
                    "word",
                    Kind::Command,
                    "One string is a script for the shell; several are a program and its arguments.",
                )])
                .repeatable()
                .notes("Several `run` are run one after the other until one fails."),
            NodeForm::new("inputs", "The files that it reads; they make it cacheable.")
                .arguments(&[ArgumentForm::many(
                    "pattern",
                    Kind::Pattern,
                    "With a leading `!` it takes away what earlier patterns matched.",
                )])
                .repeatable()
                .notes(
                    "Relative to `dir`. Wildcards pass over what `.gitignore` names; a path without a \
                 wildcard must exist, or be an output of another target, which is then needed.",
                ),
            NodeForm::new("outputs", "The files that it makes; restored from the cache, byte for byte.")
                .arguments(&[ArgumentForm::many("pattern", Kind::Pattern, "")])
                .repeatable()
                .notes(
                    "Relative to `dir`. No two targets may write the same path. One that ends with `/` is a \
                 directory, one whose name has an extension (`a.o`, `*.js`) is a file; any other may be \
                 either: `outputs \"dist/web\"` is needed by who has `inputs \"dist/**/*.js\"`.",
                ),
            ENV.notes("Part of the cache key."),
            NodeForm::new("pass-env", "Variables that reach it from the caller's environment.")
                .arguments(&[ArgumentForm::many("name", Kind::Variable, "")])
                .repeatable()
                .notes("Their values are secret: not part of the key, masked in output."),
            NodeForm::new("tool", "A command whose output is part of the cache key.")
                .arguments(&[ArgumentForm::many("command", Kind::Command, "")])
                .repeatable(),
            NodeForm::new("dir", "Where its commands run, and what its patterns are relative to.")
                .arguments(&[ArgumentForm::one("path", Kind::Path, "")])
                .notes("By default the directory of the file."),
            NodeForm::new("matrix", "Expands it over every combination of some values.")
                .children(&[NodeForm::new("", "The values of one variable.")
                    .arguments(&[ArgumentForm::many("value", Kind::Text, "")])
                    .required()
                    .repeatable()])
                .notes(
                    "`lint` over `python` and `os` becomes `lint[python=3.11,os=a]`, …; `lint` alone means \
                 all of them. The value is `$python` in a script; `{python}` in a `run` of several \
                 strings, `env`, `inputs`, and `outputs`. It hides a `var` of the same name.",
                ),
            NodeForm::new("when", "It runs only if every one of these holds.")
                .properties(&[
                    PropertyForm::new(
                        "env",
                        Kind::Text,
                        "`NAME`: set and not empty; `NAME=value`: has this value.",
                    ),
                    PropertyForm::new("os", OS, "The operating system that hoist runs on."),
                    PropertyForm::new("branch", Kind::Glob, "A glob over the branch."),
                ])
                .some_of(&["env", "os", "branch"])
                .repeatable(),
            NodeForm::new("timeout", "How long one attempt may take.")
                .arguments(&[ArgumentForm::one("duration", Kind::Limit, "")])
                .notes(
                    "When it is over, all that the attempt started is asked to end (SIGTERM); what is left 10 seconds \
                     later is killed.",
                ),
            NodeForm::new("retries", "How often it is tried again after a failure.")
                .arguments(&[ArgumentForm::one("count", Kind::Integer(0, 100), "")]),
            NodeForm::new("pool", "The pool that bounds how many run at once.")
                .arguments(&[ArgumentForm::one("name", Kind::NameOf("pool"), "")]),
            NodeForm::new("confirm", "A question that is asked before it runs.")
                .arguments(&[ArgumentForm::one("question", Kind::Text, "")]),
            NodeForm::new("interactive", "It owns the terminal while it runs.").arguments(&[ON]),
            NodeForm::new("private", "It is not listed, and cannot be named on the command line.")
                .arguments(&[ON]),
            NodeForm::new("finally", "Targets that run after it, whatever happened but a second Ctrl-C.")
                .arguments(&[ArgumentForm::many("name", Kind::NameOf("target"), "")])
                .repeatable(),
            NodeForm::new("sandbox", "The kernel denies it files of the project that it does not declare.")
                .arguments(&[ON])
                .notes(
                    "Needs `inputs`, and Linux 5.19 or newer. `--sandbox` does it for all cacheable targets \
                     of a run; `hoist run --learn NAME` shows the `inputs` that a target really reads.",
                ),
        ])
        .notes(
            "Without `inputs` a target always runs. With `inputs` it is cacheable, and runs in a **strict \
         environment**: `PATH`, `HOME`, `USER`, `LANG`, `TERM`, `TMPDIR`, and what it declares. A \
         variable or a fact reaches it only if its script names it (`$python`, `$HOIST_SHA`) or `env` \
         sets it, and whatever reaches it is part of the key.",
        )
        .example(
            r#"target "lint" about="Run the linters" {
    needs "generate"
    run "ruff check ."
    run "ruff" "format" "--check" "--target-version" "py{python}"
    inputs "src/**/*.py" "!**/*_pb2.py"
    outputs "reports/{python}.xml"
    env RUFF_CACHE_DIR=".ruff"
    pass-env "CI_TOKEN"
    tool "ruff --version"
    matrix { python "311" "312"; }
    when env="CI" branch="main"
    timeout "10m"
    retries 1
    pool "db"
    finally "teardown"
}

target "generate" { run "make generate"; }

target "teardown" {
    run "docker compose down"
    private
}

pool "db" 1
"#,
        );

pub(super) const POOL: NodeForm = NodeForm::new("pool", "Bounds how many targets of the pool run at once.")
    .arguments(&[
        ArgumentForm::one("name", Kind::Name, ""),
        ArgumentForm::one("size", Kind::Integer(1, 4096), ""),
    ])
    .repeatable();
