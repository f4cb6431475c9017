//! Stages that a merged pull request approves: a repository with a remote, and small servers
//! that answer as GitHub, Gitea, and GitLab do.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::deploying::serve;
use crate::fixture::{Ended, Repo, done, installed, refused};
use crate::registry::Registry;

const TOKEN: &str = "t0ken-of-forge";
/// The commit that the pull request offered, which was squashed when it was merged.
const HEAD: &str = "1111111111111111111111111111111111111111";

/// What the forge says of the pull request by which a commit came.
#[derive(Clone, Default)]
struct Said {
    merged: bool,
    merged_by: &'static str,
    /// Who said what, of which commit.
    reviews: Vec<(&'static str, &'static str, &'static str)>,
}

struct World {
    repo: Repo,
    registry: Registry,
    forge: &'static str,
    said: Arc<Mutex<Said>>,
    asked: Arc<Mutex<Vec<String>>>,
    port: u16,
}

impl World {
    fn new(forge: &'static str) -> Self {
        let repo = Repo::new();
        repo.write(".gitignore", "/.registry*\n");
        let registry = Registry::start(&repo);
        let (said, asked) = (Arc::<Mutex<Said>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (known, heard) = (Arc::clone(&said), Arc::clone(&asked));
        let header = match forge {
            "github" => format!("authorization: Bearer {TOKEN}"),
            "gitea" => format!("authorization: token {TOKEN}"),
            _ => format!("private-token: {TOKEN}"),
        };
        let port = serve(move |lines, _| {
            let path = lines[0].split(' ').nth(1).unwrap_or_default();
            heard.lock().unwrap().push(path.to_owned());
            if !lines.contains(&header) {
                return (401, json!({ "message": "Bad credentials" }));
            }
            answer(forge, path, &known.lock().unwrap())
        });
        repo.write("web", "1\n");
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        let world = Self { repo, registry, forge, said, asked, port };
        world.declare("");
        let remote = world.repo.path().with_file_name("acme").join("shop.git");
        let remote = remote.to_string_lossy().into_owned();
        world.repo.git(&["init", "--quiet", "--bare", "--initial-branch=main", &remote]);
        world.repo.git(&["remote", "add", "origin", &remote]);
        world
    }

    fn declare(&self, base: &str) {
        let (images, port, forge) = (self.registry.port, self.port, self.forge);
        let text = format!(
            r#"registry "prod" "127.0.0.1:{images}/team" insecure=#true
image "web" {{
    assemble from="scratch" {{ layer {{ copy "web" "/web"; }}; entrypoint "/web"; }}
    tags {{ semver "{{version}}"; }}
    push "prod"
}}
stage "production" {{
    on tag="v*"
    approve "managers" {{ pull-request {base} forge="{forge}" api="http://127.0.0.1:{port}/api"; }}
    deploy "run" {{ run "echo $DEPLOY_TOKEN"; }}
}}
"#
        );
        self.repo.write("release.kdl", text);
        self.repo.commit("Next");
    }

    fn release(&self, version: &str, said: Said) -> Ended {
        *self.said.lock().unwrap() = said;
        self.repo.git(&["tag", "--force", version]);
        let event = format!("tag={version}");
        let variable = match self.forge {
            "github" => "GITHUB_TOKEN",
            "gitea" => "GITEA_TOKEN",
            _ => "GITLAB_TOKEN",
        };
        let environment = [(variable, TOKEN), ("DEPLOY_TOKEN", TOKEN)];
        self.repo.hoist_with(&["release", "--event", &event, "--yes"], &environment)
    }

    /// The evidence of the newest entry.
    fn evidence(&self) -> Value {
        let history = self.repo.hoist(&["history", "--json"]);
        let entry: Value = serde_json::from_str(history.stdout.lines().next().unwrap()).unwrap();
        let gates = entry["gates"].as_array().unwrap().clone();
        gates.into_iter().find(|gate| gate["gate"] == "approve").unwrap()["evidence"].clone()
    }
}

fn answer(forge: &str, path: &str, said: &Said) -> (u16, Value) {
    let person = |login: &str| {
        let kind = if login.ends_with("[bot]") { "Bot" } else { "User" };
        json!({ "login": login, "username": login, "type": kind })
    };
    let page = |all: Vec<Value>| if path.ends_with("page=1") { json!(all) } else { json!([]) };
    let reviews = || {
        let one = |(who, state, commit): &(&str, &str, &str)| json!({ "user": person(who), "state": state, "commit_id": commit, "dismissed": false });
        said.reviews.iter().map(one).collect::<Vec<_>>()
    };
    let by = if said.merged { person(said.merged_by) } else { Value::Null };
    let (at, text) = (said.merged.then_some("2026-01-02T03:04:05Z"), "https://forge/acme/shop/7");
    match forge {
        "gitlab" if path.ends_with("/approvals") => {
            let given = said.reviews.iter().filter(|(_, state, _)| *state == "APPROVED");
            let given: Vec<_> = given.map(|(who, ..)| json!({ "user": person(who) })).collect();
            (200, json!({ "approved_by": given }))
        }
        "gitlab" if path.starts_with("/api/projects/acme%2Fshop/repository/commits/") => {
            let state = if said.merged { "merged" } else { "opened" };
            let one = json!({ "iid": 7, "state": state, "target_branch": "main", "author": person("ann"),
                "merge_user": by, "web_url": text });
            (200, json!([one]))
        }
        _ if path.contains("/pulls/7/reviews?") => (200, page(reviews())),
        "github" if path == "/api/repos/acme/shop/pulls/7" => (
            200,
            json!({ "number": 7, "merged_at": at, "base": { "ref": "main" }, "head": { "sha": HEAD },
                "user": person("ann"), "merged_by": by, "html_url": text }),
        ),
        "github" if path.starts_with("/api/repos/acme/shop/commits/") && path.ends_with("/pulls") => {
            (200, json!([{ "number": 7, "merged_at": at, "base": { "ref": "main" } }]))
        }
        "gitea" if path.starts_with("/api/repos/acme/shop/commits/") && path.ends_with("/pull") => {
            if !said.merged {
                return (404, json!({ "message": "not found" }));
            }
            let one = json!({ "number": 7, "merged": true, "base": { "ref": "main" }, "head": { "sha": HEAD },
                "user": person("ann"), "merged_by": by, "html_url": text });
            (200, one)
        }
        _ => (500, json!({ "message": format!("nobody should ask for {path}") })),
    }
}

#[test]
fn a_merged_pull_request_approves_what_came_by_it() {
    if !installed("approvals", &["docker-registry", "git"]) {
        return;
    }
    for forge in ["github", "gitea", "gitlab"] {
        let world = World::new(forge);
        let by = |merged_by, reviews: &[_]| Said { merged: true, merged_by, reviews: reviews.to_vec() };
        let unapproved = |version: &str, said: Said, why: &str| {
            let nobody = format!("approve: nobody of managers approved it: {why}");
            refused(
                &world.release(version, said),
                3,
                &["hoist::release::gate", &nobody, "HOIST_APPROVED_BY"],
            );
        };
        unapproved("v1.0.0", Said::default(), "no merged pull request brought the commit (");
        let alone = "nobody but its author approved or merged https://forge/acme/shop/7";
        unapproved("v1.0.0", by("ann", &[]), alone);
        unapproved("v1.0.0", by("ann", &[("ann", "APPROVED", HEAD)]), alone);
        if forge != "gitlab" {
            // Of another commit, taken back, or of a bot.
            unapproved("v1.0.0", by("ann", &[("bob", "APPROVED", "2222")]), alone);
            let changed = if forge == "github" { "CHANGES_REQUESTED" } else { "REQUEST_CHANGES" };
            let back = [("bob", "APPROVED", HEAD), ("bob", changed, HEAD)];
            unapproved("v1.0.0", by("ann", &back), alone);
        }
        if forge == "github" {
            unapproved("v1.0.0", by("queue[bot]", &[("check[bot]", "APPROVED", HEAD)]), alone);
        }

        let ended =
            world.release("v1.0.0", by("ann", &[("bob", "APPROVED", HEAD), ("bob", "COMMENTED", HEAD)]));
        done(&ended);
        assert!(!ended.stderr.contains(TOKEN), "{}", ended.stderr);
        assert_eq!(world.evidence(), "bob approved https://forge/acme/shop/7, for managers");
        world.repo.write("web", "2\n");
        world.repo.commit("2");
        done(&world.release("v2.0.0", by("eve", &[])));
        assert_eq!(world.evidence(), "eve merged https://forge/acme/shop/7, for managers");

        // Into another branch it does not count; a forge that refuses is no approval.
        world.declare("base=\"production\"");
        let elsewhere = "no merged pull request brought the commit to `production` (";
        unapproved("v3.0.0", by("eve", &[]), elsewhere);
        let ended = world.repo.hoist_with(
            &["release", "--event", "tag=v3.0.0", "--yes"],
            &[("GITHUB_TOKEN", "wrong"), ("GITEA_TOKEN", "wrong"), ("GITLAB_TOKEN", "wrong")],
        );
        refused(&ended, 3, &["answers 401 Unauthorized for `acme/shop`: Bad credentials"]);
        let ended = world.repo.hoist(&["release", "--event", "tag=v3.0.0", "--yes"]);
        refused(&ended, 3, &["approve: nobody of managers approved it: ", "_TOKEN"]);

        // What the environment says needs nobody else.
        world.asked.lock().unwrap().clear();
        let words = ["release", "--event", "tag=v3.0.0", "--yes"];
        done(&world.repo.hoist_with(&words, &[("HOIST_APPROVED_BY", "ada"), ("DEPLOY_TOKEN", TOKEN)]));
        assert_eq!(*world.asked.lock().unwrap(), Vec::<String>::new());
    }
}
