//! How images are made: from a Dockerfile, or from files.

use crate::config::grammar::{ArgumentForm, Kind, NodeForm, PropertyForm, target};
use crate::oci::LayerCompression;

const WORDS: &[ArgumentForm] = &[ArgumentForm::many("word", Kind::Template, "")];

pub(super) const DOCKERFILE: NodeForm =
    NodeForm::new("dockerfile", "The image is built by an engine, Docker, Podman, or BuildKit, from a Dockerfile.")
        .arguments(&[ArgumentForm::optional(
            "path",
            Kind::Path,
            "`Dockerfile` in the context",
            "The Dockerfile; it need not lie in the context.",
        )])
        .properties(&[
            PropertyForm::new(
                "context",
                Kind::Path,
                "The directory whose files are sent to the engine, less what its `.dockerignore` names.",
            )
            .default("`.`"),
            PropertyForm::new("target", Kind::Text, "The stage to build; part of the key.")
                .default("the last one"),
            PropertyForm::new(
                "network",
                Kind::Text,
                "Network of its `RUN` steps: `default`, `none`, or `host`, which is that of the engine's \
                 machine; part of the key.",
            )
            .default("what the engine takes: a network of their own with Docker"),
            PropertyForm::new(
                "no-cache",
                Kind::Bool,
                "Whether the engine's layer cache is left aside. Whether hoist builds at all, its own cache says.",
            )
            .default("`#false`"),
        ])
        .children(&[
            NodeForm::new("arg", "Build arguments; part of the key.")
                .open(PropertyForm::new("NAME", Kind::Template, "The value of the argument `NAME`."))
                .repeatable()
                .notes(
                    "An argument shows in the history of the image: for what is secret there is `secret`. \
                     `TARGETPLATFORM`, `BUILDPLATFORM`, and their kin have their values without being given.",
                ),
            NodeForm::new("secret", "A secret that its `RUN` steps may mount.")
                .arguments(&[ArgumentForm::one("id", Kind::Text, "Its id in the Dockerfile.")])
                .properties(&[
                    PropertyForm::new(
                        "env",
                        Kind::Variable,
                        "The variable of the environment, or of a `dotenv`, that holds it.",
                    ),
                    PropertyForm::new(
                        "file",
                        Kind::Text,
                        "The file that holds it; it may lie outside the project (`~/.netrc`).",
                    ),
                ])
                .one_of(&["env", "file"])
                .repeatable()
                .notes(
                    "Its id is in the key, never its value; the value is masked in output, and in no layer. BuildKit, within \
                     Docker or alone, asks for it over a session; Podman gets it as a file beside the context that no `COPY` sees.",
                ),
            NodeForm::new("ssh", "Agents of ssh that its `RUN` steps may use.")
                .arguments(&[ArgumentForm::many(
                    "id",
                    Kind::Text,
                    "`default`, or the `id` of a mount; each is the agent of `$SSH_AUTH_SOCK`.",
                )])
                .repeatable()
                .notes("With Docker and BuildKit; Podman's API has no way to an agent."),
            NodeForm::new(
                "context",
                "What stands in for a name of `FROM`, `COPY --from`, or `RUN --mount=from=`.",
            )
            .arguments(&[ArgumentForm::one("name", Kind::Text, "The name in the Dockerfile.")])
            .properties(&[
                PropertyForm::new(
                    "image",
                    Kind::NameOf("image"),
                    "An image of this file, which is then built first.",
                ),
                PropertyForm::new("dir", Kind::Path, "A directory, less what its `.dockerignore` names."),
            ])
            .one_of(&["image", "dir"])
            .repeatable()
            .notes(
                "On every engine, also those that have no named contexts: hoist gives them an image in its place. \
                 Images may be assembled ones. The digest of the image, or of each file, is part of the key.",
            ),
            NodeForm::new("cache", "Where the engine's layers are kept between machines.")
                .properties(&[
                    PropertyForm::new(
                        "inline",
                        Kind::Bool,
                        "In the image's configuration, for builds elsewhere that name the image with `registry`. With Docker and \
                         BuildKit.",
                    ),
                    PropertyForm::new(
                        "registry",
                        Kind::Template,
                        "Read from, and written to, this reference. Written by BuildKit, and by a Docker whose images lie \
                         in containerd; others read from it. Beside `inline`, it is only read from.",
                    ),
                    PropertyForm::new(
                        "local",
                        Kind::Path,
                        "In this directory, which becomes an image layout, with layers of all stages. With BuildKit.",
                    ),
                    PropertyForm::new(
                        "mode",
                        Kind::Word(&["min", "max"]),
                        "Whether layers of intermediate stages are kept, too; with `registry`.",
                    )
                    .default("`min`"),
                ])
                .one_of(&["inline", "registry", "local"])
                .repeatable()
                .notes(
                    "A cache that the engine cannot have is left out, and a line of the step's output says so: it \
                     changes how long a build takes, and never what comes of it. So it is in no key. What hoist \
                     itself does not build again needs none of this.",
                ),
        ])
        .notes(
            "Which engine builds, and in what engines differ, is told in [Engines](engines.md). Files are sent as \
             they are named by content: changed on 2000-01-01, of owner 0, with mode 0755 where the owner may \
             execute them, else 0644; directories 0755. `.git` and `.hoist` are never sent. The `.dockerignore` \
             that counts is `NAME.dockerignore` beside the Dockerfile `NAME`, else that of the context. In the key \
             are the text of the Dockerfile, the files that are sent, arguments, target, platform, network, ids of \
             secrets and of ssh agents, labels, and the digest that each image of a registry stands for; the engine \
             is told that digest, too, so that no tag can move in between. Which engine builds is in no key.",
        )
        .example(
            r#"image "base" {
    assemble from="scratch" { layer { copy "bin/busybox" "/bin/busybox" mode="0755"; }; }
}
image "web" {
    dockerfile "docker/Dockerfile" target="production" {
        arg GREETING="hello"
        secret "pip_token" env="PIP_TOKEN"
        context "base" image="base"
        context "assets" dir="web/assets"
        cache inline=#true
    }
}
"#,
        );

pub(super) const ASSEMBLE: NodeForm = NodeForm::new(
    "assemble",
    "The image is assembled from files by hoist itself: no engine, reproducible, for any platform.",
)
.properties(&[
    PropertyForm::new("from", Kind::Base, "What it starts from.").required(),
    COMPRESSION.default("`gzip`"),
    LEVEL.default("6 of `gzip`, 3 of `zstd`"),
])
.children(&[
    LAYER,
    NodeForm::new("entrypoint", "`ENTRYPOINT`.").arguments(WORDS).notes("Without it, the base's."),
    NodeForm::new("cmd", "`CMD`.")
        .arguments(WORDS)
        .notes("Without it, the base's, unless an `entrypoint` is given."),
    NodeForm::new("user", "`USER`.").arguments(&[ArgumentForm::one("user", Kind::Template, "")]),
    NodeForm::new("workdir", "`WORKDIR`, an absolute path.").arguments(&[ArgumentForm::one(
        "path",
        Kind::Template,
        "",
    )]),
    NodeForm::new("expose", "`EXPOSE`.")
        .arguments(&[ArgumentForm::many("port", Kind::Port, "")])
        .repeatable(),
    NodeForm::new("volume", "`VOLUME`.")
        .arguments(&[ArgumentForm::many("path", Kind::Template, "")])
        .repeatable(),
    target::ENV.notes("Added to the base's."),
    NodeForm::new("stop-signal", "`STOPSIGNAL`.").arguments(&[ArgumentForm::one("signal", Kind::Text, "")]),
])
.notes(
    "The digest that a reference or a layout resolves to is part of the cache key. The same files make the same \
     bytes on every machine: entries are sorted, times are 0, owners and permissions are those that are declared, \
     and compression does not depend on the number of processors. A layer that is the same in the image of another \
     platform, or in an earlier one, is not compressed again. Layers of the base stay as they are; \
     a layer that adds something to a directory of lower ones describes it as it is there, for engines would give \
     it to root otherwise.",
)
.example(
    r#"image "web" {
    assemble from="scratch" {
        layer { copy "dist/{platform.arch}/web" "/web" mode="0755"; }
        layer compression="zstd" compression-level=9 {
            copy "static" "/srv/static" exclude="**/*.map" owner="65532:65532"
        }
        entrypoint "/web"
        cmd "--port" "8080"
        user "65532"
        workdir "/srv"
        expose 8080
        env PORT="8080"
    }
    platforms "linux/amd64" "linux/arm64"
}
"#,
);

const COMPRESSION: PropertyForm =
    PropertyForm::new("compression", Kind::Word(&["gzip", "zstd"]), "How its layers are compressed.");

const LEVEL: PropertyForm = PropertyForm::new(
    "compression-level",
    Kind::Integer(1, LayerCompression::MAX_ZSTD as i128),
    "How hard: to 9 of `gzip`, to 19 of `zstd`.",
);

const LAYER: NodeForm = NodeForm::new("layer", "A layer on top.")
    .properties(&[
        COMPRESSION.default("that of `assemble`"),
        LEVEL.default("that of `assemble` where the compression is the same, else the usual one"),
    ])
    .children(&[
        COPY,
        NodeForm::new(
            "remove",
            "What is deleted of the layers below: a file, or a directory with all it holds.",
        )
        .arguments(&[ArgumentForm::many("path", Kind::Template, "An absolute path that is there.")])
        .repeatable()
        .notes(
            "Written as a whiteout, so that no runtime shows it; the bytes stay in the layer that has them. \
                 Whatever the order, all of it is deleted before anything is copied. A path that no layer below has is \
                 an error: it is misspelled, or the base has changed.",
        ),
    ])
    .repeatable()
    .some_of(&["copy", "remove"])
    .notes("In a layer, a later `copy` wins over an earlier one.");

const COPY: NodeForm = NodeForm::new("copy", "Files of the project, and where they lie in the image.")
    .arguments(&[
        ArgumentForm::one(
            "from",
            Kind::Template,
            "A file, a directory (its contents are copied), or a glob; relative to this file.",
        ),
        ArgumentForm::one(
            "to",
            Kind::Template,
            "An absolute path. With a trailing `/`, or where `from` is a glob, a directory to copy into.",
        ),
    ])
    .properties(&[
        PropertyForm::new("mode", Kind::Mode, "Permission bits of files.")
            .default("0755 where the owner may execute the source, else 0644"),
        PropertyForm::new("owner", Kind::Owner, "Owner, and group.").default("`0:0`"),
        PropertyForm::new("exclude", Kind::Glob, "A glob relative to `from` that is left out; `x/` means directories alone."),
    ])
    .children(&[NodeForm::new("exclude", "Globs relative to `from` that are left out.")
        .arguments(&[ArgumentForm::many("glob", Kind::Glob, "")])
        .repeatable()])
    .repeatable()
    .notes(
        "Symbolic links are copied as links. Several names of one file (hard links) are copied as files of their \
         own: which names share a file differs from checkout to checkout. A name that begins with `.wh.` cannot be \
         copied, since layers have such names for what they delete.",
    );
