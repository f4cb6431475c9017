//! Stages that a merged pull request approves: a repository with a remote, and small servers
//! that answer as GitHub, Gitea, and GitLab do.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::deploying::serve;
use crate::fixture::{Ended, Repo, done, installed, refused};
use crate::registry::Registry;

const TOKEN: &str = "t0ken-of-forge";
/// The commit that the pull request offered, which was squashed when it was merged.
const HEAD: &str = "1111111111111111111111111111111111111111";
const OTHER: &str = "2222222222222222222222222222222222222222";
const FORGES: [&str; 3] = ["github", "gitea", "gitlab"];
/// Who may write, who may only read, and who else there is: of `nell` the token may ask nothing.
const PEOPLE: [&str; 6] = ["ann", "bob", "eve", "mallory", "nell", "stranger"];

/// How the forge answers.
#[derive(Clone, Copy, Default, PartialEq)]
enum Answers {
    #[default]
    AsApi,
    /// The token may not see the repository.
    NotFound,
    /// Another server does: the one of this port.
    Elsewhere(u16),
    /// What is there is a page for people.
    AsPage,
}

/// What the forge says of the pull request by which a commit came.
#[derive(Clone)]
struct Said {
    answers: Answers,
    merged: bool,
    merged_by: &'static str,
    /// Who said what, of which commit.
    reviews: Vec<(&'static str, &'static str, &'static str)>,
    /// The repository that it is for.
    of: &'static str,
    /// What it offered; `None` is the commit that is released.
    head: Option<&'static str>,
    /// What merging it made; `None` is the commit that is released.
    made: Option<&'static str>,
    /// How many others have the commit, none of them merged.
    others: usize,
}

/// Nothing was merged.
fn nothing() -> Said {
    Said {
        answers: Answers::AsApi,
        merged: false,
        merged_by: "ann",
        reviews: Vec::new(),
        of: "acme/shop",
        head: Some(HEAD),
        made: None,
        others: 0,
    }
}

/// It was merged by somebody, and others said this of it.
fn by(merged_by: &'static str, reviews: &[(&'static str, &'static str, &'static str)]) -> Said {
    Said { merged: true, merged_by, reviews: reviews.to_vec(), ..nothing() }
}

struct World {
    repo: Repo,
    registry: Registry,
    forge: &'static str,
    /// What the forge says, and of which commit.
    said: Arc<Mutex<(Said, String)>>,
    asked: Arc<Mutex<Vec<String>>>,
    port: u16,
}

impl World {
    fn new(forge: &'static str) -> Self {
        let repo = Repo::new();
        repo.write(".gitignore", "/.registry*\n");
        let registry = Registry::start(&repo);
        let said = Arc::new(Mutex::new((nothing(), String::new())));
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (known, heard) = (Arc::clone(&said), Arc::clone(&asked));
        let header = match forge {
            "gitea" => format!("authorization: token {TOKEN}"),
            _ => format!("authorization: Bearer {TOKEN}"),
        };
        let port = serve(move |lines, _| {
            let path = lines[0].split(' ').nth(1).unwrap_or_default();
            heard.lock().unwrap().push(path.to_owned());
            if !lines.contains(&header) {
                return (401, json!({ "message": "Bad credentials" }));
            }
            let (said, commit) = &*known.lock().unwrap();
            match said.answers {
                Answers::AsApi => answer(forge, path, said, commit),
                Answers::NotFound => (404, json!({ "message": "Not Found" })),
                Answers::Elsewhere(port) => {
                    (302, json!({ "location": format!("http://127.0.0.1:{port}{path}") }))
                }
                Answers::AsPage => (200, json!("<html>Please log in</html>")),
            }
        });
        repo.write("web", "1\n");
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        let world = Self { repo, registry, forge, said, asked, port };
        world.declare("", "");
        let remote = world.repo.path().with_file_name("acme").join("shop.git");
        let remote = remote.to_string_lossy().into_owned();
        world.repo.git(&["init", "--quiet", "--bare", "--initial-branch=main", &remote]);
        world.repo.git(&["remote", "add", "origin", &remote]);
        world
    }

    fn declare(&self, base: &str, require: &str) {
        let (port, forge) = (self.port, self.forge);
        self.declare_request(
            &format!("{base} forge=\"{forge}\" api=\"http://127.0.0.1:{port}/api\""),
            require,
        );
    }

    fn declare_request(&self, properties: &str, require: &str) {
        let images = self.registry.port;
        let text = format!(
            r#"registry "prod" "127.0.0.1:{images}/team" insecure=#true
image "web" {{
    assemble from="scratch" {{ layer {{ copy "web" "/web"; }}; entrypoint "/web"; }}
    tags {{ semver "{{version}}"; }}
    push "prod"
}}
stage "production" {{
    on tag="v*"
    {require}
    approve "managers" {{ pull-request {properties}; }}
    deploy "run" {{ run "echo $DEPLOY_TOKEN"; }}
}}
"#
        );
        self.repo.write("release.kdl", text);
        self.repo.commit("Next");
    }

    /// Makes the forge say something of the commit, gives that a tag, and returns the
    /// environment to release it in.
    fn say(&self, version: &str, said: Said) -> [(&'static str, &'static str); 2] {
        *self.said.lock().unwrap() = (said, self.repo.git(&["rev-parse", "HEAD"]));
        self.repo.git(&["tag", "--force", version]);
        let variable = match self.forge {
            "github" => "GITHUB_TOKEN",
            "gitea" => "GITEA_TOKEN",
            _ => "GITLAB_TOKEN",
        };
        [(variable, TOKEN), ("DEPLOY_TOKEN", TOKEN)]
    }

    fn release(&self, version: &str, said: Said) -> Ended {
        let environment = self.say(version, said);
        let event = format!("tag={version}");
        self.repo.hoist_with(&["release", "--event", &event, "--yes"], &environment)
    }

    /// Makes sure that it is not approved, and that this is said.
    #[track_caller]
    fn unapproved(&self, said: Said, why: &str) {
        let nobody = format!("approve: nobody of managers approved it: {why}");
        let words = ["hoist::release::gate", &nobody, "HOIST_APPROVED_BY"];
        refused(&self.release("v1.0.0", said), 3, &words);
    }

    /// Releases it with somebody at a terminal who answers so, and returns what is shown
    /// there, and the code.
    fn on_terminal(&self, version: &str, said: Said, answer: &str) -> (String, Option<i32>) {
        let environment = self.say(version, said);
        let hoist = self.repo.command(&[]);
        let line = format!("{} release --event tag={version} --yes", env!("CARGO_BIN_EXE_hoist"));
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).current_dir(self.repo.path()).env_clear();
        command.envs(hoist.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.envs(environment).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it is installed");
        let mut input = child.stdin.take().expect("it is piped");
        writeln!(input, "{answer}").expect("it is read");
        let output = child.wait_with_output().expect("it ends");
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
    }

    /// The evidence of the newest entry.
    fn evidence(&self) -> Value {
        let history = self.repo.hoist(&["history", "--json"]);
        let entry: Value = serde_json::from_str(history.stdout.lines().next().unwrap()).unwrap();
        let gates = entry["gates"].as_array().unwrap().clone();
        gates.into_iter().find(|gate| gate["gate"] == "approve").unwrap()["evidence"].clone()
    }
}

fn person(login: &str) -> Value {
    let kind = if login.ends_with("[bot]") { "Bot" } else { "User" };
    let id = PEOPLE.iter().position(|known| *known == login);
    json!({ "id": id, "login": login, "username": login, "type": kind })
}

/// One page of a list: as long as it is asked for, and as the forge lets it be.
fn page(forge: &str, query: &str, all: &[Value]) -> Value {
    let number = |name: &str| {
        let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        found.and_then(|found| found.parse::<usize>().ok())
    };
    let size = if forge == "gitea" {
        number("limit").unwrap_or(30).min(50)
    } else {
        number("per_page").unwrap_or(20)
    };
    let pages: Vec<_> = all.chunks(size).collect();
    json!(pages.get(number("page").unwrap_or(1) - 1).copied().unwrap_or_default())
}

fn answer(forge: &str, address: &str, said: &Said, commit: &str) -> (u16, Value) {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let by = if said.merged { person(said.merged_by) } else { Value::Null };
    let (at, seen) = (said.merged.then_some("2026-01-02T03:04:05Z"), "https://forge/acme/shop/7");
    let (head, made) = (said.head.unwrap_or(commit), said.made.unwrap_or(commit));
    let denied = (403, json!({ "message": "Must have push access to view collaborator permission." }));
    if forge == "gitlab" {
        let Some(path) = path.strip_prefix("/api/projects/acme%2Fshop/") else {
            return (500, json!({ "message": format!("nobody should ask for {path}") }));
        };
        let state = if said.merged { "merged" } else { "opened" };
        // Merging makes a merge commit, or a squashed one that the branch is moved to.
        let (merge, squash) = if said.merged_by == "eve" { (None, Some(made)) } else { (Some(made), None) };
        let whole = json!({ "iid": 7, "state": state, "target_branch": "main", "author": person("ann"),
            "merge_user": by, "sha": head, "merge_commit_sha": merge, "squash_commit_sha": squash, "web_url": seen });
        return if path == "merge_requests/7/approvals" {
            let given = said.reviews.iter().filter(|(_, state, _)| *state == "APPROVED");
            let given: Vec<_> = given.map(|(who, ..)| json!({ "user": person(who) })).collect();
            (200, json!({ "approved_by": given }))
        } else if path == "merge_requests/7" {
            (200, whole)
        } else if path == format!("repository/commits/{commit}/merge_requests") {
            let mut all = vec![json!({ "iid": 8, "state": "opened", "target_branch": "main" }); said.others];
            all.push(json!({ "iid": 7, "state": state }));
            (200, page(forge, query, &all))
        } else if let Some(id) = path.strip_prefix("members/all/") {
            match PEOPLE[id.parse::<usize>().unwrap()] {
                "stranger" => (404, json!({ "message": "404 Not found" })),
                "nell" => denied,
                "mallory" => (200, json!({ "access_level": 20 })),
                _ => (200, json!({ "access_level": 30 })),
            }
        } else {
            (500, json!({ "message": format!("nobody should ask for {path}") }))
        };
    }
    let Some(path) = path.strip_prefix("/api/repos/acme/shop") else {
        return (500, json!({ "message": format!("nobody should ask for {path}") }));
    };
    let base = json!({ "ref": "main", "repo": { "full_name": said.of } });
    let mut whole = json!({ "number": 7, "base": base, "head": { "sha": head }, "merge_commit_sha": made,
        "user": person("ann"), "merged_by": by, "html_url": seen });
    match forge {
        "github" => whole["merged_at"] = json!(at),
        _ => whole["merged"] = json!(said.merged),
    }
    if path == "/pulls/7/reviews" {
        let reviews = said.reviews.iter().map(|(who, state, commit)| {
            let mut review = json!({ "user": person(who), "state": state, "commit_id": commit });
            if forge == "gitea" {
                review["dismissed"] = json!(false);
                review["official"] = json!(!["mallory", "nell", "stranger"].contains(who));
            }
            review
        });
        return (200, page(forge, query, &reviews.collect::<Vec<_>>()));
    }
    match forge {
        "github" if path == "/pulls/7" => (200, whole),
        "github" if path == format!("/commits/{commit}/pulls") => {
            let mut all = vec![json!({ "number": 8, "merged_at": null, "base": base }); said.others];
            // A list does not say who merged.
            whole["merged_by"].take();
            all.push(whole);
            (200, page(forge, query, &all))
        }
        "github" if path.starts_with("/collaborators/") && path.ends_with("/permission") => {
            match path.split('/').nth(2).unwrap() {
                "stranger" => (200, json!({ "permission": "none", "role_name": "none" })),
                "nell" => denied,
                "mallory" => (200, json!({ "permission": "read", "role_name": "triage" })),
                _ => (200, json!({ "permission": "write", "role_name": "maintain" })),
            }
        }
        "gitea" if path.is_empty() => (200, json!({ "full_name": "acme/shop" })),
        "gitea" if path == format!("/commits/{commit}/pull") => {
            // It knows what the merge made alone.
            if said.merged && made == commit {
                (200, whole)
            } else {
                (404, json!({ "message": "not found" }))
            }
        }
        _ => (500, json!({ "message": format!("nobody should ask for {path}") })),
    }
}

const ALONE: &str = "nobody but its author approved or merged https://forge/acme/shop/7";

fn ready() -> bool {
    installed("approvals", &["docker-registry", "git"])
}

#[test]
fn a_merged_pull_request_approves_what_came_by_it() {
    if !ready() {
        return;
    }
    for forge in FORGES {
        let world = World::new(forge);
        world.unapproved(nothing(), "no merged pull request of `acme/shop` brought commit `");
        world.unapproved(by("ann", &[]), ALONE);
        world.unapproved(by("ann", &[("ann", "APPROVED", HEAD)]), ALONE);
        if forge != "gitlab" {
            // Of another commit, taken back, or of a bot.
            world.unapproved(by("ann", &[("bob", "APPROVED", OTHER)]), ALONE);
            let changed = if forge == "github" { "CHANGES_REQUESTED" } else { "REQUEST_CHANGES" };
            world.unapproved(by("ann", &[("bob", "APPROVED", HEAD), ("bob", changed, HEAD)]), ALONE);
        }
        if forge == "github" {
            world.unapproved(by("queue[bot]", &[("check[bot]", "APPROVED", HEAD)]), ALONE);
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
        world.declare("base=\"production\"", "");
        let ended = world.release("v3.0.0", by("eve", &[]));
        refused(&ended, 3, &["no merged pull request of `acme/shop` brought", "to `production`"]);
        let ended = world.repo.hoist_with(
            &["release", "--event", "tag=v3.0.0", "--yes"],
            &[("GITHUB_TOKEN", "wrong"), ("GITEA_TOKEN", "wrong"), ("GITLAB_TOKEN", "wrong")],
        );
        let said = [
            "answers 401 Unauthorized for `acme/shop`: Bad credentials; the token has to be one that may",
            "what may approve it",
        ];
        refused(&ended, 3, &said);
        let ended = world.repo.hoist(&["release", "--event", "tag=v3.0.0", "--yes"]);
        let said =
            ["approve: nobody of managers approved it: ", "_TOKEN", "in the environment or in a `dotenv`"];
        refused(&ended, 3, &said);

        // What the environment says needs nobody else.
        world.asked.lock().unwrap().clear();
        let words = ["release", "--event", "tag=v3.0.0", "--yes"];
        done(&world.repo.hoist_with(&words, &[("HOIST_APPROVED_BY", "ada"), ("DEPLOY_TOKEN", TOKEN)]));
        assert_eq!(*world.asked.lock().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn who_may_not_write_approves_nothing() {
    if !ready() {
        return;
    }
    for forge in FORGES {
        let world = World::new(forge);
        for who in ["mallory", "stranger"] {
            let why = format!("{ALONE}: the approval of `{who}` does not count, who may not write there; ");
            world.unapproved(by("ann", &[(who, "APPROVED", HEAD)]), &why);
        }
        if forge != "gitea" {
            // Nor does who cannot be asked about.
            let why = format!(
                "{ALONE}: whether `nell`, who approved it, may write there is not known: \
                 `http://127.0.0.1:{}/api` answers 403 Forbidden for `acme/shop`: Must have push access to view \
                 collaborator permission.; the token has to be one that may ask who may write there; or answer",
                world.port
            );
            world.unapproved(by("ann", &[("nell", "APPROVED", HEAD)]), &why);
        }
        let all = ["nell", "mallory", "bob"].map(|who| (who, "APPROVED", HEAD));
        done(&world.release("v1.0.0", by("ann", &all)));
        assert_eq!(world.evidence(), "bob approved https://forge/acme/shop/7, for managers");
    }
}

#[test]
fn only_the_end_of_a_pull_request_was_approved() {
    if !ready() {
        return;
    }
    for forge in FORGES {
        let world = World::new(forge);
        let of_head = || by("eve", &[("bob", "APPROVED", HEAD)]);
        if forge == "gitea" {
            let brought = "no merged pull request of `acme/shop` brought commit `";
            world.unapproved(Said { made: Some(OTHER), ..of_head() }, brought);
        } else {
            let commit = &world.repo.git(&["rev-parse", "HEAD"])[..7];
            let within = format!(
                "commit `{commit}` is neither what merging https://forge/acme/shop/7 made, nor the head that was \
                 merged; release commit `2222222`; or answer on a terminal"
            );
            world.unapproved(Said { made: Some(OTHER), ..of_head() }, &within);
            // The head was: it is the commit that is released.
            let head = Said { made: Some(OTHER), head: None, ..by("eve", &[]) };
            done(&world.release("v1.0.0", head));
            assert_eq!(world.evidence(), "eve merged https://forge/acme/shop/7, for managers");
        }
        if forge != "gitlab" {
            let why = "https://forge/acme/shop/7 is for another repository than `acme/shop`; ";
            world.unapproved(Said { of: "mallory/shop", ..of_head() }, why);
        }
        // What is made of anything else than the commit was approved by nobody.
        let environment = world.say("v1.0.0", of_head());
        world.repo.write("web", "changed\n");
        let words = ["release", "--event", "tag=v1.0.0", "--yes", "--allow-dirty"];
        let more = "the images are not of the commit alone: the images were made from a tree with changes";
        refused(&world.repo.hoist_with(&words, &environment), 3, &[more]);
    }
}

#[test]
fn a_token_of_a_forge_is_shown_to_nobody_else() {
    if !ready() {
        return;
    }
    for forge in FORGES {
        let world = World::new(forge);
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let heard = Arc::clone(&asked);
        let elsewhere = serve(move |lines, _| {
            heard.lock().unwrap().extend_from_slice(lines);
            (200, json!([]))
        });
        let api = format!("http://127.0.0.1:{}/api", world.port);
        let led = format!(
            "`{api}` leads to `http://127.0.0.1:{elsewhere}`, where the token is not sent; say where the API is: \
             `pull-request api=\"https://…\"`"
        );
        world.unapproved(Said { answers: Answers::Elsewhere(elsewhere), ..by("eve", &[]) }, &led);
        assert_eq!(*asked.lock().unwrap(), Vec::<String>::new());

        let page = format!("`{api}` does not answer as an API; say where the API is");
        world.unapproved(Said { answers: Answers::AsPage, ..by("eve", &[]) }, &page);
        let hidden = format!(
            "`{api}` answers 404 Not Found for `acme/shop`: Not Found; what the token may not see is not found either"
        );
        world.unapproved(Said { answers: Answers::NotFound, ..by("eve", &[]) }, &hidden);
    }
}

#[test]
fn a_pull_request_is_found_behind_many_others() {
    if !ready() {
        return;
    }
    for forge in ["github", "gitlab"] {
        let world = World::new(forge);
        let commented = vec![("bob", "COMMENTED", HEAD); 120];
        let said = by("ann", &[commented, vec![("bob", "APPROVED", HEAD)]].concat());
        done(&world.release("v1.0.0", Said { others: 120, ..said }));
        assert_eq!(world.evidence(), "bob approved https://forge/acme/shop/7, for managers");
        let read = world.asked.lock().unwrap().iter().filter(|path| path.ends_with("/8")).count();
        assert_eq!(read, 0, "those that are not merged are not read");
    }
}

#[test]
fn who_is_asked_is_told_why_and_nobody_is_announced_who_is_not() {
    if !ready() || !installed("who approves on a terminal", &["script"]) {
        return;
    }
    let world = World::new("github");
    let shown = |said: Said, answer: &str| {
        let (text, code) = world.on_terminal("v1.0.0", said, answer);
        (text.replace('\r', ""), code)
    };
    let (text, code) = shown(by("ann", &[("mallory", "APPROVED", HEAD)]), "n");
    let asked = format!(
        "No pull request approves it: {ALONE}: the approval of `mallory` does not count, who may not write there\n\
         Do you approve 1.0.0 ({}) for production, as one of managers? [y/N]",
        world.repo.git(&["rev-parse", "--short=7", "v1.0.0^{commit}"]).trim()
    );
    assert!(text.contains(&asked), "{text}");
    assert_eq!(code, Some(3), "{text}");
    let (text, code) = shown(by("ann", &[]), "y");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(world.evidence(), "tester, on a terminal, for managers");

    // A pull request that is declared wrong says so, and where.
    world.declare_request("base=\"main\"", "");
    let said = [
        "nobody of managers approved it: what keeps the repository is not known; say it: `pull-request forge=",
        "pull-request base=\"main\"",
        "what may approve it",
    ];
    refused(&world.release("v2.0.0", nothing()), 3, &said);

    // While something else is not met, only who will be asked is named.
    world.declare("", "require tests=#true");
    let sought = "approve: whether a merged pull request approves it is looked at, once all else is met";
    refused(&world.release("v3.0.0", by("eve", &[])), 3, &["tests: ", sought]);
    let (text, code) = world.on_terminal("v3.0.0", by("eve", &[]), "n");
    let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let awaited = "approve: unless a merged pull request approves it, one of managers will be asked, once";
    assert!(words.contains(awaited) && code == Some(3), "{text}");
    let approved = [("HOIST_APPROVED_BY", "alice"), ("DEPLOY_TOKEN", TOKEN)];
    let ended = world.repo.hoist_with(&["release", "--event", "tag=v3.0.0", "--yes"], &approved);
    refused(&ended, 3, &["tests: "]);
    assert!(!ended.stderr.contains("approve:"), "{}", ended.stderr);
}
