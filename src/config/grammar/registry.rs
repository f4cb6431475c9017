//! Registries and builders.

use crate::config::grammar::{ArgumentForm, Kind, NodeForm, PropertyForm};

pub(super) const REGISTRY: NodeForm = NodeForm::new("registry", "Where images are published.")
    .arguments(&[ArgumentForm::one("name", Kind::Name, ""), ArgumentForm::one("place", Kind::Place, "")])
    .properties(&[
        PropertyForm::new(
            "insecure",
            Kind::Bool,
            "Plain HTTP is spoken; with a registry on this machine it is unless that speaks TLS.",
        )
        .default("`#false`"),
        PropertyForm::new("ca", Kind::Path, "A certificate authority of its own, in PEM."),
        PropertyForm::new("cert", Kind::Path, "A certificate that says who one is, in PEM (mutual TLS)."),
        PropertyForm::new(
            "key",
            Kind::Text,
            "The private key of `cert`, in PEM: its path, or the [place of a secret](#secrets).",
        ),
    ])
    .children(&[
        NodeForm::new("login", "Credentials.").properties(&[
            PropertyForm::new("username", Kind::Template, "").required(),
            PropertyForm::new("password", Kind::Secret, "").required(),
        ]),
        RETAIN,
    ])
    .repeatable()
    .notes(
        "Without `login`: `~/.docker/config.json`, `auth.json` of containers, credential helpers, then \
         anonymous. Without `ca`, `cert`, and `key`: what docker and podman keep in `certs.d`. [Registries](registries.md) \
         has an example for each of the large ones. `oci:DIR` is a directory of OCI layouts, one per repository. A file that declares no \
         registry publishes to `oci:.hoist/images`.",
    )
    .example(
        r#"registry "ghcr" "ghcr.io/acme" {
    login username="{env.GITHUB_ACTOR}" password="env:GITHUB_TOKEN"
}
registry "ecr" "123456789.dkr.ecr.us-east-1.amazonaws.com" {
    login username="AWS" password="command:aws ecr get-login-password --region us-east-1"
}
registry "lab" "registry.lab:5000/team" insecure=#true
registry "nightly" "ghcr.io/acme/nightly" {
    retain "develop-*" "pr-*" last=10 younger="30d"
}
registry "vault" "registry.example.com" ca="ca.pem" cert="client.pem" key="env:CLIENT_KEY"
registry "out" "oci:dist/images"
"#,
    );

const RETAIN: NodeForm = NodeForm::new(
    "retain",
    "What `hoist prune` keeps of the images with such tags; the rest it deletes.",
)
.arguments(&[ArgumentForm::many("tag", Kind::Glob, "A glob over tags.")])
.properties(&[
    PropertyForm::new("last", LAST, "So many images, the newest."),
    PropertyForm::new("younger", Kind::Duration, "Images that were made less long ago."),
    PropertyForm::new(
        "versions",
        Kind::Bool,
        "Tags that name versions are meant, too: `1.2.3`, `v1.2.3-rc.1`, `1.2`, `1`.",
    )
    .default("`#false`"),
])
.some_of(&["last", "younger"])
.repeatable()
.notes(
    "What `last` or `younger` keeps is kept. Of several, the first that matches a tag decides; a tag that \
             none matches is left alone. `latest`, and what a stage runs or could go back to, always stays: \
             [Retention](registries.md#retention).",
);

/// How many are kept.
pub(super) const LAST: Kind = Kind::Integer(1, 1_000_000);

pub(super) const BUILDER: NodeForm =
    NodeForm::new("builder", "An engine that builds images of Dockerfiles, on another machine.")
        .arguments(&[
            ArgumentForm::one("name", Kind::Name, ""),
            ArgumentForm::one(
                "address",
                Kind::Engine,
                "Where it listens: Docker's daemon, Podman's service, or BuildKit's own daemon; hoist asks which it is.",
            ),
        ])
        .properties(&[
            PropertyForm::new(
                "platforms",
                Kind::Platforms,
                "What it builds natively: it is the one that builds for these, and for no others.",
            )
            .default("the platform that it says it runs on"),
            PropertyForm::new(
                "ca",
                Kind::Path,
                "The certificate authority that vouches for it, in PEM; with it, `tcp://` is TLS.",
            ),
            PropertyForm::new(
                "cert",
                Kind::Path,
                "A certificate that says who one is, in PEM (mutual TLS); with `ca` and `key`.",
            ),
            PropertyForm::new(
                "key",
                Kind::Text,
                "The private key of `cert`, in PEM: its path, or `env:NAME`.",
            ),
        ])
        .repeatable()
        .notes(
            "An image is built by the first `builder` whose `platforms` have its platform, else by the engine of \
             this machine. A builder that is meant for a platform and does not answer is an error: nothing else \
             takes its place. [Engines](engines.md) says how one is chosen, and in what they differ. `ssh://` needs \
             a `docker` command on the other machine, and asks no questions: the key is in the agent or without a \
             passphrase, the host is known. `tcp://` without `ca` is not encrypted, and whoever reaches it is root \
             on that machine. `hoist doctor` asks each builder what it is.",
        )
        .example(
            r#"builder "arm" "ssh://ci@arm-1" platforms="linux/arm64"
builder "big" "tcp://build.example.com:2376" platforms="linux/amd64" ca="ca.pem" cert="client.pem" key="env:BUILDER_KEY"
builder "podman" "ssh://ci@s390x-1/run/user/1000/podman/podman.sock" platforms="linux/s390x"
"#,
        );
