//! Stages and deployments.

use crate::config::grammar::image::SEVERITY;
use crate::config::grammar::registry::LAST;
use crate::config::grammar::{ArgumentForm, Kind, NodeForm, PropertyForm, project, tags};

const RUN: NodeForm = NodeForm::new("run", "A command that must succeed.")
    .arguments(&[ArgumentForm::many("command", Kind::Command, "")])
    .repeatable();

pub(super) const STAGE: NodeForm = NodeForm::new("stage", "A place that images are promoted to.")
    .arguments(&[ArgumentForm::one("name", Kind::Name, "")])
    .properties(&[project::ABOUT])
    .repeatable()
    .children(&[
        NodeForm::new("on", "An event that enters the stage in `hoist release`.")
            .properties(&[
                PropertyForm::new("branch", Kind::Glob, "A glob over the branch."),
                PropertyForm::new("tag", Kind::Glob, "A glob over the git tag."),
                PropertyForm::new("pr", Kind::Bool, "A pull request."),
                PropertyForm::new("schedule", Kind::Bool, "A schedule."),
            ])
            .some_of(&["branch", "tag", "pr", "schedule"])
            .repeatable(),
        NodeForm::new("from", "The stage whose digests it takes; never a rebuild.")
            .arguments(&[ArgumentForm::many("stage", Kind::NameOf("stage"), "")])
            .notes(
                "Of several stages, the first is taken that runs what was made from the tree of the commit: a \
                 hotfix need not pass the stage that runs what comes next.",
            ),
        NodeForm::new("images", "Its images.")
            .arguments(&[ArgumentForm::many("name", Kind::NameOf("image"), "")])
            .repeatable()
            .notes("By default all that have `push`."),
        NodeForm::new("registry", "The registry that promoted images are copied to, by digest.")
            .arguments(&[ArgumentForm::one("name", Kind::NameOf("registry"), "")]),
        NodeForm::new("tags", "Names that are added to the images' own.")
            .arguments(&[ArgumentForm::any("set", Kind::NameOf("tags"), "A named set of rules.")])
            .children(tags::RULES)
            .repeatable()
            .notes("The rules are those of [`tags`](#tags)."),
        REQUIRE,
        NodeForm::new("approve", "Who must agree.")
            .arguments(&[ArgumentForm::many("group", Kind::Text, "")])
            .children(&[NodeForm::new(
                "pull-request",
                "A merged pull request approves it, by which the commit came.",
            )
            .properties(&[
                PropertyForm::new("base", Kind::Text, "The branch that it was merged into.").default("any"),
                FORGE,
                FORGE_API,
                FORGE_TOKEN,
            ])
            .notes(
                "Somebody else than its author, who may write there, has to have approved what was merged, or to \
                 have merged it. The commit is what the merge made, or the head that was merged, and the images \
                 are of it alone. It is looked for in the repository that has the ledger.",
            )])
            .notes(
                "`HOIST_APPROVED_BY` of the environment says who approved it, else the pull request, else it is asked \
                 on a terminal. `--yes` does not approve. hoist does not know who belongs to a group: what lets CI \
                 run, and pull requests be merged, does.",
            ),
        GITOPS,
        KUBECTL,
        COMPOSE,
        NodeForm::new("deploy", "Runs commands.")
            .variant("run")
            .arguments(&[ArgumentForm::one("kind", Kind::Text, "")])
            .children(&[RUN.required()])
            .repeatable()
            .notes(
                "The commands see the caller's environment, `HOIST_STAGE`, and for each image `HOIST_IMAGE_WEB` \
                 (`REPOSITORY@DIGEST`) and `HOIST_DIGEST_WEB`, by its name in capitals.",
            ),
        VERIFY,
        RETAIN,
        RECORD,
    ])
    .notes(
        "`hoist release` enters every stage whose `on` matches the event; `hoist promote STAGE` enters \
         one by hand. An image is promoted by digest: built once, and the same bytes everywhere.",
    )
    .example(
        r#"stage "production" about="What customers use" {
    on tag="v*.*.*"
    from "staging"
    images "web"
    registry "prod"
    tags { semver "v{version}"; }
    require tests=#true scan="high" signed=#true soak="24h" branch="main" clean=#true
    approve "release-managers"
    deploy "gitops" repo="git@host:acme/manifests.git" branch="main" {
        kustomize "overlays/production" image="placeholder/web"
        yaml "values.yaml" set="image.tag" to="{version}"
        replace "app.yaml" "newTag:.*" "newTag: {version}"
        commit "Release {version} to production"
        pull-request title="Release {version}"
    }
    deploy "kubectl" namespace="shop" { set "deployment/django" container="django"; }
    deploy "compose" { file "compose.yaml"; service "web"; }
    deploy "run" { run "./deploy.sh"; }
    verify within="5m" { http "https://example.com/healthz" status=200; }
    retain last=20 younger="90d"
    record
}

stage "staging" { on branch="main"; }

image "web" {
    dockerfile
    expect user="!root"
    scan "trivy" fail-on="high"
    sign key="env:COSIGN_PRIVATE_KEY"
    push "prod"
}
registry "prod" "registry.example.com"
"#,
    );

const RECORD: NodeForm = NodeForm::new(
    "record",
    "Attaches what the ledger says of each entrance to the images, wherever they were brought to.",
)
.arguments(&[ArgumentForm::optional("value", Kind::Bool, "#true", "Whether it does.")])
.notes(
    "It goes along where an image is promoted or copied, and `hoist history --of IMAGE` reads it without the \
     repository, as can whoever may pull the image. Nobody signs it: what counts is the ledger.",
);

const RETAIN: NodeForm = NodeForm::new(
    "retain",
    "How far back it can go: `hoist prune` deletes no image that it ran so lately.",
)
.properties(&[
    PropertyForm::new("last", LAST, "So many releases, the newest, what it runs included."),
    PropertyForm::new("younger", Kind::Duration, "What it ran until less long ago."),
])
.some_of(&["last", "younger"])
.notes(
    "What one of both keeps is kept; by default `last=10 younger=\"30d\"`. What it runs, and what it ran \
             before, always is.",
);

const REQUIRE: NodeForm = NodeForm::new("require", "Conditions that must hold.")
    .properties(&[
        PropertyForm::new("tests", Kind::Bool, "The images' tests passed."),
        PropertyForm::new("scan", SEVERITY, "Scans found nothing of this severity or above."),
        PropertyForm::new("signed", Kind::Bool, "The images are signed."),
        PropertyForm::new("provenance", Kind::Bool, "The images have a provenance statement."),
        PropertyForm::new("soak", Kind::Duration, "How long they ran in the stage before."),
        PropertyForm::new("branch", Kind::Text, "The commit is on this branch."),
        PropertyForm::new("clean", Kind::Bool, "The tree was clean."),
    ])
    .some_of(&["tests", "scan", "signed", "provenance", "soak", "branch", "clean"]);

const KIND: ArgumentForm = ArgumentForm::one("kind", Kind::Text, "");

const GITOPS: NodeForm = NodeForm::new("deploy", "Edits files of a git repository, commits, and pushes.")
    .variant("gitops")
    .arguments(&[KIND])
    .properties(&[
        PropertyForm::new("repo", Kind::Template, "The repository.").default("this one"),
        PropertyForm::new("branch", Kind::Template, "The branch that is edited.")
            .default("the repository's default"),
    ])
    .children(&[
        NodeForm::new("kustomize", "Sets `newName`, `newTag`, or `digest` of an image in a kustomization.")
            .arguments(&[ArgumentForm::one("directory", Kind::Template, "")])
            .properties(&[
                PropertyForm::new("image", Kind::Text, "The `name` that its entry has.").required(),
                PropertyForm::new("is", Kind::NameOf("image"), "The image of the stage that it is set to.")
                    .default("the only one, or the one called as `image` ends"),
                PropertyForm::new("digest", Kind::Bool, "Whether the digest is said, too.")
                    .default("where the entry has one, or no tag stays with the image"),
            ])
            .repeatable()
            .notes(
                "The entry keeps its form: what has `newTag` gets the tag that never moves, what has `digest` \
                 the digest. Comments, order, quotes, and indentation stay. Where there is no list, or \
                 nothing in it, the entry is added.",
            ),
        NodeForm::new("yaml", "Sets a scalar of a YAML file.")
            .arguments(&[ArgumentForm::one("file", Kind::Template, "")])
            .properties(&[
                PropertyForm::new("set", Kind::Text, "Path of the scalar: `image.tag`, `list[0].\"a.b\"`.")
                    .required(),
                PropertyForm::new("to", Kind::Template, "Its new value."),
                PropertyForm::new("digest-of", Kind::NameOf("image"), "The image whose digest is its value."),
                PropertyForm::new("aliases", Kind::Bool, "Whether aliases of it may change with it.")
                    .default("`#false`"),
            ])
            .one_of(&["to", "digest-of"])
            .repeatable()
            .notes(
                "A path that is not there is an error; so is a value with an anchor that has aliases, which \
                 would change, too. What was quoted stays quoted.",
            ),
        NodeForm::new("replace", "Replaces what a regular expression matches; no match is an error.")
            .arguments(&[
                ArgumentForm::one("file", Kind::Template, ""),
                ArgumentForm::one("expression", Kind::Regex, ""),
                ArgumentForm::one("text", Kind::Template, ""),
            ])
            .repeatable(),
        NodeForm::new("commit", "Message of the commit.").arguments(&[ArgumentForm::one(
            "message",
            Kind::Template,
            "",
        )]),
        NodeForm::new("pull-request", "Makes a pull request instead of a push.").properties(&[
            PropertyForm::new("title", Kind::Template, "Its title.").default("the commit's message"),
            FORGE,
            FORGE_API,
            FORGE_TOKEN,
        ]),
    ])
    .some_of(&["kustomize", "yaml", "replace"])
    .repeatable();

const FORGE: PropertyForm =
    PropertyForm::new("forge", Kind::Word(&["github", "gitlab", "gitea"]), "What keeps the repository.")
        .default("by the name of its host");
const FORGE_API: PropertyForm =
    PropertyForm::new("api", Kind::Text, "The address of its API.").default("that of its host");
const FORGE_TOKEN: PropertyForm = PropertyForm::new("token", Kind::Secret, "What lets one in.")
    .default("`env:GITHUB_TOKEN`, `env:GITLAB_TOKEN`, or `env:GITEA_TOKEN`");

const KUBECTL: NodeForm = NodeForm::new("deploy", "Sets images of a Kubernetes cluster.")
    .variant("kubectl")
    .arguments(&[KIND])
    .properties(&[
        PropertyForm::new("namespace", Kind::Template, "The namespace."),
        PropertyForm::new("context", Kind::Template, "The context of the client's configuration."),
        PropertyForm::new("within", Kind::Duration, "How long a rollout may take.").default("`5m`"),
    ])
    .children(&[NodeForm::new("set", "Sets the image of a container.")
        .arguments(&[ArgumentForm::one("workload", Kind::Text, "`kind/name`.")])
        .properties(&[
            PropertyForm::new("container", Kind::Text, "The container.").required(),
            PropertyForm::new("image", Kind::NameOf("image"), "The image, where the stage has several."),
        ])
        .repeatable()
        .required()])
    .repeatable();

const COMPOSE: NodeForm = NodeForm::new("deploy", "Restarts services of a compose file.")
    .variant("compose")
    .arguments(&[KIND])
    .children(&[
        NodeForm::new("file", "The compose file.")
            .arguments(&[ArgumentForm::one("path", Kind::Path, "")])
            .required(),
        NodeForm::new("service", "The services.")
            .arguments(&[ArgumentForm::many("name", Kind::Text, "")])
            .repeatable()
            .notes("By default those that are called as an image of the stage, or run one."),
    ])
    .repeatable();

const VERIFY: NodeForm = NodeForm::new("verify", "What must hold after the deployment.")
    .properties(&[
        PropertyForm::new("within", Kind::Duration, "How long it may take to hold.").default("`5m`"),
        PropertyForm::new("rollback", Kind::Bool, "Whether a failure rolls back by itself.")
            .default("`#true`"),
    ])
    .children(&[
        NodeForm::new("http", "A request that must succeed.")
            .arguments(&[ArgumentForm::one("url", Kind::Template, "")])
            .properties(&[
                PropertyForm::new("status", Kind::Integer(100, 599), "The status that is expected.")
                    .default("200"),
                PropertyForm::new("ca", Kind::Path, "A certificate authority of its own, in PEM."),
            ])
            .notes("Redirects are followed to their end, unless `status` is that of one.")
            .repeatable(),
        RUN,
    ])
    .some_of(&["http", "run"]);
