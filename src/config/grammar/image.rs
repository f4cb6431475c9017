//! Images.

use crate::config::grammar::{ArgumentForm, Kind, NodeForm, PropertyForm, dockerfile, project, tags, target};

/// How bad a finding of a scanner may be, the least first.
pub(super) const SEVERITY: Kind = Kind::Word(&["negligible", "low", "medium", "high", "critical"]);
/// The kinds of event, as the language names them.
pub(super) const EVENTS: Kind = Kind::Words(&["branch", "tag", "pr", "schedule"]);

const WORDS: &[ArgumentForm] = &[ArgumentForm::many("word", Kind::Template, "")];

pub(super) const IMAGE: NodeForm = NodeForm::new(
    "image",
    "A container image: how it is made, checked, named, and published.",
)
.arguments(&[ArgumentForm::one("name", Kind::Name, "Targets and images share one name space.")])
.properties(&[project::ABOUT])
.repeatable()
.one_of(&["dockerfile", "assemble"])
.children(&[
    NodeForm::new("repository", "Path of the repository below each registry's prefix.")
        .arguments(&[ArgumentForm::one("path", Kind::Template, "")])
        .notes("By default the image's name."),
    target::NEEDS,
    dockerfile::DOCKERFILE,
    dockerfile::ASSEMBLE,
    NodeForm::new("platforms", "What it is built for.")
        .arguments(&[ArgumentForm::many("platform", Kind::Platform, "")])
        .notes("By default the platform of the machine."),
    NodeForm::new("label", "Labels beside `org.opencontainers.image.*`, which hoist sets.")
        .open(PropertyForm::new("NAME", Kind::Template, "The value of the label `NAME`."))
        .repeatable(),
    NodeForm::new("tags", "Names that it is published under.")
        .arguments(&[ArgumentForm::any("set", Kind::NameOf("tags"), "A named set of rules.")])
        .children(tags::RULES)
        .repeatable()
        .notes("Named sets, rules in place, or both; the rules are those of [`tags`](#tags)."),
    NodeForm::new("budget", "What it may weigh.")
        .properties(&[
            PropertyForm::new("size", Kind::Size, "Most bytes of its layers, unpacked."),
            PropertyForm::new("layers", Kind::Integer(1, 127), "Most layers."),
            PropertyForm::new(
                "wasted",
                Kind::Waste,
                "Most bytes that lie in a layer and are not visible in the image.",
            ),
            PropertyForm::new(
                "growth",
                Kind::Waste,
                "Most bytes that have to be pulled in addition to those of what was published before.",
            ),
            PropertyForm::new(
                "since",
                Kind::Template,
                "The tag that holds what `growth` compares with, in the first registry that it is pushed to.",
            )
            .default("latest"),
        ])
        .some_of(&["size", "layers", "wasted", "growth"])
        .notes(
            "`growth` compares the layers as they are transferred, of each platform by itself. Where the tag is \
             not there yet, or not for that platform, there is no bound. The step runs each time, and needs the \
             registry where the image is published; else it says that it cannot read there, and goes on.",
        ),
    TEST,
    EXPECT,
    SCAN,
    NodeForm::new(
        "sign",
        "Signs it in each registry before any tag is set, as cosign does: the index and the image of \
                 each platform, in the list under the tag `sha256-….sig` and as a bundle that refers to it.",
    )
    .properties(&[
        PropertyForm::new(
            "key",
            Kind::Secret,
            "The private key, for the curve P-256: as `cosign generate-key-pair` or openssl makes it.",
        )
        .required(),
        PropertyForm::new("password", Kind::Secret, "The password of a key that cosign encrypted.")
            .default("`env:COSIGN_PASSWORD`"),
    ])
    .repeatable(),
    NodeForm::new("attest", "Attaches statements about how it was made and what is in it.")
        .properties(&[
            PropertyForm::new(
                "provenance",
                Kind::Bool,
                "From which commit and which bases it was made, for which event: SLSA provenance, signed \
                         with the keys of `sign`.",
            ),
            PropertyForm::new(
                "sbom",
                Kind::Path,
                "A software bill of materials that is there or that a target makes: CycloneDX or SPDX, in \
                         JSON. It is signed with the keys of `sign`, if there are some.",
            ),
        ])
        .some_of(&["provenance", "sbom"]),
    NodeForm::new("push", "Registries that it is published to.")
        .arguments(&[ArgumentForm::many("registry", Kind::NameOf("registry"), "")])
        .properties(&[PropertyForm::new("on", EVENTS, "Kinds of event that publish it.")
            .default("`branch,tag,schedule`")])
        .repeatable(),
])
.notes(
    "An image becomes the steps `web:build@linux/amd64`, `web:index`, `web:test`, `web:budget`, \
         `web:scan@trivy`, `web:push@ghcr`, `web:sign@ghcr`, `web:tag@ghcr`.",
)
.example(
    r#"image "web" about="The web service" {
    repository "team/web"
    dockerfile "docker/Dockerfile" target="production" {
        arg PYTHON_VERSION="3.12"
        secret "pip_token" env="PIP_TOKEN"
        cache inline=#true
    }
    platforms "linux/amd64" "linux/arm64"
    label com.example.team="core"
    tags "standard"
    budget size="500MB" layers=20 wasted="5%"
    test "check" {
        env SECRET_KEY="test"
        run "python" "manage.py" "check"
        expect exit=0 stdout="no issues"
        timeout "30s"
    }
    test "serves" {
        expect { http port=8080 path="/healthz" body="ok"; }
    }
    expect user="!root" file="/app/manage.py" port=8080
    scan "trivy" fail-on="high" {
        allow "CVE-2024-1234" until="2027-01-31" reason="not reachable"
    }
    sign key="env:COSIGN_PRIVATE_KEY"
    attest provenance=#true sbom="dist/sbom.cdx.json"
    push "ghcr"
}

tags "standard" { semver "{version}" "{major}.{minor}"; latest; }
registry "ghcr" "ghcr.io/acme"
"#,
);

const TEST: NodeForm = NodeForm::new("test", "A command that must succeed in the image.")
    .arguments(&[ArgumentForm::one("name", Kind::Text, "Unique in the image; any text.")])
    .repeatable()
    .children(&[
        target::ENV.notes("Beside the image's own."),
        NodeForm::new("run", "Arguments, in place of the image's `CMD`.").arguments(WORDS),
        NodeForm::new("entrypoint", "In place of the image's `ENTRYPOINT`.")
            .arguments(WORDS)
            .notes("The image's `CMD` goes with it: `run` gives the arguments, without it there are none."),
        NodeForm::new("user", "In place of the image's `USER`.")
            .arguments(&[ArgumentForm::one("user", Kind::Template, "")]),
        TEST_EXPECT,
        NodeForm::new("timeout", "How long it may take.")
            .arguments(&[ArgumentForm::one("duration", Kind::Limit, "")])
            .notes("By default 60 seconds."),
    ])
    .notes(
        "It runs in a container of its own, on a fresh copy of the image's files, without a network but its own \
         loopback interface. When the command or the time is over, nothing of it is left. Of several tests as many \
         run at once as there are jobs (`-j`) that no other step wants; their output stands in the order in which \
         they are declared.",
    );

const TEST_EXPECT: NodeForm = NodeForm::new("expect", "What must hold.")
    .properties(&[
        PropertyForm::new("exit", Kind::Integer(0, 255), "Exit status of the command.")
            .default("0; with `http` any"),
        PropertyForm::new("stdout", Kind::Template, "Its standard output contains this."),
        PropertyForm::new("stderr", Kind::Template, "Its standard error contains this."),
        PropertyForm::new("stdout-matches", Kind::Regex, "Its standard output has a match of this, without the line break at its end."),
        PropertyForm::new("stderr-matches", Kind::Regex, "Its standard error has a match of this, without the line break at its end."),
    ])
    .children(&[NodeForm::new("http", "A request that the command, a server, answers so.")
        .properties(&[
            PropertyForm::new("port", Kind::Integer(1, 65535), "The port that it listens on.").required(),
            PropertyForm::new("path", Kind::Template, "What is asked for.").default("`/`"),
            PropertyForm::new("status", Kind::Integer(100, 599), "Status of the answer.").default("200"),
            PropertyForm::new("body", Kind::Template, "The body of the answer contains this."),
        ])
        .repeatable()
        .notes(
            "Asked on the container's loopback interface, again and again until it holds or the `timeout` of the \
             test is over. When all hold, the container is stopped: by the image's `STOPSIGNAL`, and 5 seconds later \
             by force.",
        )])
    .some_of(&["exit", "stdout", "stderr", "stdout-matches", "stderr-matches", "http"])
    .repeatable();

const EXPECT: NodeForm = NodeForm::new("expect", "What must be true of its configuration and files.")
    .properties(&[
        PropertyForm::new("user", Kind::Text, "Its user; `!root` is anyone but root."),
        PropertyForm::new("label", Kind::Text, "`NAME`: it has this label; `NAME=value`: with this value."),
        PropertyForm::new(
            "file",
            Kind::Text,
            "It has this file, or with `/` at its end this directory: an absolute path.",
        ),
        PropertyForm::new("port", Kind::Integer(1, 65535), "It exposes this port."),
    ])
    .some_of(&["user", "label", "file", "port"])
    .repeatable();

const SCAN: NodeForm = NodeForm::new("scan", "A scanner that must find nothing of a severity or above.")
    .arguments(&[ArgumentForm::one("scanner", Kind::Name, "`trivy`, `grype`, `snyk`; with `run`, any name.")])
    .properties(&[
        PropertyForm::new("fail-on", SEVERITY, "The least severity that fails.").default("`high`"),
        PropertyForm::new("unknown", SEVERITY, "What a finding of unknown severity counts as.")
            .default("`medium`"),
        PropertyForm::new(
            "format",
            Kind::Word(&["trivy", "grype", "snyk", "sarif"]),
            "What the command of `run` reports in.",
        )
        .default("that of the scanner of this name, else `sarif`"),
    ])
    .repeatable()
    .children(&[
        NodeForm::new("run", "A command that scans the image in place of what hoist would start.")
            .arguments(&[ArgumentForm::many(
                "command",
                Kind::Command,
                "One string: a script for the shell. More: a program and its arguments.",
            )])
            .repeatable()
            .notes(
                "It runs for each platform, with the image as an OCI layout of this one platform in the \
                 directory `$HOIST_LAYOUT`, and as an archive of that in `$HOIST_ARCHIVE`; it writes its report \
                 to `$HOIST_REPORT`. `$HOIST_PLATFORM` and `$HOIST_DIGEST` say what is scanned. A status other \
                 than 0 means that it did not scan.",
            ),
        NodeForm::new("allow", "A finding that is known, and allowed for a time.")
            .arguments(&[ArgumentForm::one("id", Kind::Text, "Its id, such as `CVE-2024-1234`.")])
            .properties(&[
                PropertyForm::new("until", Kind::Date, "The last day on which it is allowed, in UTC.").required(),
                PropertyForm::new("reason", Kind::Text, "Why.").required(),
            ])
            .repeatable()
            .notes("From the day after `until` on the scan fails, whether the finding is there or not."),
    ])
    .notes(
        "Every platform is scanned, by its digest and before any tag is set. What is found is worst first in the \
         log, the summary, and the report. A scanner that is missing, fails, or says what is not understood fails \
         the step.",
    );
