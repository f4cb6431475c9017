//! What a stage asks for, and what is to enter it: layouts, and no remote.

use crate::fixture::{Ended, Repo, done, refused};
use crate::schemas::check;

/// An image that is published to a layout.
const WEB: &str = r#"
registry "out" "oci:out"
image "web" {
    assemble from="scratch" { layer { copy "web" "/web"; }; }
    tags { semver "{version}"; branch "{branch}-{short}"; }
    push "out"
}
"#;

/// A project with this behind the image, on the branch `main`.
fn project(stages: &str) -> Repo {
    let repo = Repo::new();
    repo.write(".gitignore", "/out\n/.hoist\n");
    repo.write("web", "1\n");
    repo.write("release.kdl", format!("{WEB}{stages}"));
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    repo
}

fn release(repo: &Repo, event: &str) -> Ended {
    repo.hoist(&["release", "--yes", "--event", event])
}

#[test]
fn a_stage_that_nothing_can_enter_is_found_before_its_event_comes() {
    let repo = project(
        "stage \"staging\" { on branch=\"main\"; }\n\
         stage \"production\" { on tag=\"v*\"; from \"staging\"; require signed=#true tests=#true; }\n",
    );
    let checked = repo.hoist(&["check"]);
    refused(&checked, 2, &["hoist::plan::never_entered", "`production` asks for `signed`", "no `sign`"]);
    assert!(!checked.stderr.contains("is right"), "{}", checked.stderr);
    refused(&repo.hoist(&["check", "--json"]), 2, &[]);
    // The event of another stage does not wait for that, and tells.
    let plan = repo.hoist(&["plan", "--event", "branch=main"]);
    done(&plan);
    assert!(plan.stderr.contains("`production` asks for `tests`"), "{}", plan.stderr);
    // Before anything ran in the stage before, too.
    let plan = repo.hoist(&["plan", "--event", "tag=v1.0.0"]);
    refused(&plan, 3, &["nothing runs in `staging`", "`production` asks for `tests`"]);
    done(&release(&repo, "branch=main"));
    // What is judged is told once.
    let plan = repo.hoist(&["plan", "--event", "tag=v1.0.0"]);
    refused(&plan, 3, &["`signed` are not met"]);
    assert!(!plan.stderr.contains("asks for"), "{}", plan.stderr);
}

#[test]
fn no_version_is_cut_of_which_the_release_would_be_refused() {
    let repo = project(
        "stage \"staging\" { on branch=\"main\"; }\n\
         stage \"production\" { on tag=\"v*\"; from \"staging\"; require soak=\"1h\"; }\n",
    );
    let remote = repo.path().with_file_name("remote.git");
    repo.git(&["init", "--quiet", "--bare", &remote.to_string_lossy()]);
    repo.git(&["remote", "add", "origin", &remote.to_string_lossy()]);
    let cut = |more: &[&str]| repo.hoist(&[&["cut", "minor", "--push", "--yes"], more].concat());
    let why = ["`v0.1.0` is not cut", "`--allow-refused` cuts"];
    refused(&cut(&[]), 3, &[&["nothing runs in `staging`"], &why[..]].concat());
    done(&release(&repo, "branch=main"));
    refused(&cut(&[]), 3, &[&["`soak` is not met", "wait until"], &why[..]].concat());
    let tags = || repo.git(&["tag", "--list"]) + &repo.git(&["ls-remote", "--tags", "origin"]);
    assert_eq!(tags(), "");
    let told = cut(&["--allow-refused"]);
    done(&told);
    assert!(
        told.stderr.contains("its release would be refused now: `production` may not"),
        "{}",
        told.stderr
    );
    assert!(tags().contains("refs/tags/v0.1.0"), "{}", tags());
}

#[test]
fn a_hotfix_passes_a_stage_of_its_own() {
    let repo = project(
        "stage \"staging\" { on branch=\"main\"; }\n\
         stage \"hotfix\" { on branch=\"hotfix-*\"; }\n\
         stage \"production\" { on tag=\"v*\"; from \"staging\" \"hotfix\"; require soak=\"1ms\"; }\n",
    );
    done(&repo.hoist(&["check"]));
    refused(
        &repo.hoist(&["promote", "production", "--yes"]),
        2,
        &["`production` comes from one of several stages", "--from staging", "--from hotfix"],
    );
    done(&release(&repo, "branch=main"));
    repo.git(&["tag", "v1.0.0"]);
    done(&release(&repo, "tag=v1.0.0"));
    // What comes next is in staging, and a fix of what runs is not.
    repo.write("web", "2\n");
    repo.commit("Next");
    done(&release(&repo, "branch=main"));
    repo.git(&["checkout", "--quiet", "-b", "hotfix-1.0", "v1.0.0"]);
    repo.write("web", "1.1\n");
    repo.commit("Fix");
    repo.git(&["tag", "v1.0.1"]);
    refused(
        &release(&repo, "tag=v1.0.1"),
        3,
        &["runs in none of `staging`, `hotfix`", "`staging` runs", "nothing runs in `hotfix`"],
    );
    done(&release(&repo, "branch=hotfix-1.0"));
    done(&release(&repo, "tag=v1.0.1"));
    let history = repo.hoist(&["history", "production"]);
    done(&history);
    assert!(history.stdout.contains("from hotfix"), "{}", history.stdout);
    assert!(history.stdout.contains("from staging"), "{}", history.stdout);
    // And the line that goes on comes from where it always did.
    repo.git(&["checkout", "--quiet", "main"]);
    repo.git(&["tag", "v1.1.0"]);
    done(&release(&repo, "tag=v1.1.0"));
}

#[test]
fn of_several_stages_that_one_is_taken_from_where_it_works() {
    let fails = "verify within=\"1s\" rollback=#false { run \"test -e ok\"; }";
    let file = format!(
        "{WEB}stage \"staging\" {{ on branch=\"main\"; {fails}; }}\n\
         stage \"hotfix\" {{ on branch=\"hotfix\"; {fails}; }}\n\
         stage \"production\" {{ on tag=\"v*\"; from \"staging\" \"hotfix\"; }}\n"
    );
    let repo = project("");
    repo.write("release.kdl", &file);
    repo.write(".gitignore", "/out\n/.hoist\n/ok\n");
    repo.commit("Stages");
    repo.git(&["branch", "hotfix"]);
    refused(&release(&repo, "branch=main"), 5, &["`staging` does not work, and stands"]);
    let nowhere = ["works in none of `staging`, `hotfix`", "which failed there:", "nothing runs in `hotfix`"];
    refused(&release(&repo, "tag=v1.0.0"), 3, &nowhere);
    refused(&release(&repo, "branch=hotfix"), 5, &["`hotfix` does not work, and stands"]);
    refused(&release(&repo, "tag=v1.0.0"), 3, &["works in none of `staging`, `hotfix`"]);
    repo.write("ok", "");
    done(&repo.hoist(&["release", "--yes", "--event", "branch=hotfix", "--lift-hold"]));
    done(&release(&repo, "tag=v1.0.0"));
    let history = repo.hoist(&["history", "production"]);
    assert!(history.stdout.contains("from hotfix"), "{}", history.stdout);
    // Where another commit runs, it is said why.
    done(&repo.hoist(&["release", "--yes", "--event", "branch=main", "--lift-hold"]));
    repo.write("web", "2\n");
    repo.commit("Next");
    done(&release(&repo, "branch=main"));
    done(&repo.hoist(&["rollback", "staging", "--yes", "--reason", "it is slow"]));
    let went_back = ["runs in none of `staging`, `hotfix`", "and is on hold: it is slow"];
    refused(&release(&repo, "tag=v1.1.0"), 3, &went_back);
}

#[test]
fn a_git_tag_that_is_no_version_enters_no_stage_of_versions() {
    let stage = "stage \"live\" { on tag=\"v*\"; tags { raw \"live\"; }; }\n";
    let repo = project(stage);
    repo.git(&["tag", "vendor-1"]);
    let said = ["`vendor-1` is no version, and would enter `live`", "`on tag=\"v*.*.*\"`"];
    refused(&repo.hoist(&["plan", "--event", "tag=vendor-1"]), 3, &said[..1]);
    refused(&release(&repo, "tag=vendor-1"), 3, &said);
    assert!(!repo.has("out"));
    let told = repo.hoist(&["tags", "--event", "tag=vendor-1"]);
    refused(&told, 3, &said);
    assert!(told.stdout.contains("Rules that yield nothing here"), "{}", told.stdout);
    let with = |file: &str| {
        repo.write("release.kdl", file);
        repo.commit("Other rules");
        repo.git(&["tag", "--force", "vendor-1"]);
        repo.hoist(&["plan", "--event", "tag=vendor-1"])
    };
    let file = format!("{WEB}{stage}");
    // A stage that any tag enters is for such ones as well, as long as something names the image.
    let any = file.replace("on tag=\"v*\"; tags { raw \"live\"; }", "on tag=\"*\"");
    refused(&with(&any), 3, &said[..1]);
    done(&with(&any.replace("branch \"", "sha short=#true; branch \"")));
    done(&repo.hoist(&["tags", "--event", "tag=vendor-1"]));
    refused(&with(&file.replace("branch \"", "sha short=#true; branch \"")), 3, &said[..1]);
    // A stage that no version enters is for such tags.
    done(&with(&file.replace("on tag=\"v*\"", "on tag=\"vendor-*\"")));
    // Whoever names such tags means them.
    done(&with(&file.replace("semver \"{version}\";", "semver \"{version}\"; raw \"{tag}\";")));
    let named = file.replace("semver \"{version}\";", "semver \"{version}\"; raw \"{tag}\" on=\"tag\";");
    repo.write("release.kdl", named);
    repo.commit("Name it");
    repo.git(&["tag", "vendor-2"]);
    done(&release(&repo, "tag=vendor-2"));
    assert!(repo.hoist(&["status"]).stdout.contains("vendor-2"));
}

#[test]
fn a_git_tag_that_is_not_there_is_planned_and_not_released() {
    let repo = project("stage \"live\" { on tag=\"v*\"; }\n");
    repo.git(&["tag", "v1.0.0"]);
    done(&repo.hoist(&["plan", "--event", "tag=v2.0.0"]));
    let release = |event: &str| {
        let ended = repo.untagged(&["release", "--yes", "--event", event]).output().expect("it starts");
        (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
    };
    let (code, said) = release("tag=v2.0.0");
    assert_eq!(code, Some(3), "{said}");
    for part in ["there is no git tag `v2.0.0` here", "did you mean `v1.0.0`?"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!repo.has("out"));
    // What is not published needs none.
    done(&repo.hoist(&["run", "build", "--event", "tag=v2.0.0"]));
    assert_eq!(release("tag=v1.0.0").0, Some(0));
}

#[test]
fn a_branch_that_is_not_there_is_planned_and_not_released() {
    let repo = project("stage \"live\" { on branch=\"*\"; }\n");
    done(&repo.hoist(&["plan", "--event", "branch=mian"]));
    let release = |event: &str| {
        let ended = repo.untagged(&["release", "--yes", "--event", event]).output().expect("it starts");
        (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
    };
    let (code, said) = release("branch=mian");
    assert_eq!(code, Some(3), "{said}");
    for part in ["there is no branch `mian` here", "did you mean `main`?"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!repo.has("out"));
    done(&repo.hoist(&["run", "build", "--event", "branch=mian"]));
    assert_eq!(release("branch=main").0, Some(0));
    // A CI system may have checked out the commit alone.
    repo.git(&["checkout", "--quiet", "--detach"]);
    assert_eq!(release("branch=next").0, Some(0));
}

#[test]
fn what_is_promoted_is_of_the_event_that_the_command_line_names() {
    let repo = project("stage \"staging\" { on branch=\"main\"; }\nstage \"live\" { from \"staging\"; }\n");
    done(&release(&repo, "branch=main"));
    let promote = |event: &str| {
        let ended =
            repo.untagged(&["promote", "live", "--yes", "--event", event]).output().expect("it starts");
        (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
    };
    let (code, said) = promote("tag=v1.0.0");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("there is no git tag `v1.0.0` here"), "{said}");
    let (code, said) = promote("branch=mian");
    assert_eq!(code, Some(3), "{said}");
    repo.write("web", "2\n");
    repo.commit("Next");
    repo.git(&["tag", "v1.0.0"]);
    let (code, said) = promote("tag=v1.0.0");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("the git tag `v1.0.0` names commit"), "{said}");
    // A commit of the same tree is as good.
    repo.write("web", "1\n");
    repo.commit("Back");
    repo.git(&["tag", "--force", "v1.0.0"]);
    let (code, said) = promote("tag=v1.0.0");
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_plan_says_what_it_could_not_ask_as_its_release_would_be_refused() {
    let repo = project("stage \"live\" { on branch=\"main\"; }\n");
    done(&repo.hoist(&["plan", "--event", "branch=main"]));
    repo.git(&["remote", "add", "origin", "nowhere"]);
    let said = ["what is told here was known before", "It would be refused: "];
    refused(&repo.hoist(&["plan", "--event", "branch=main"]), 3, &said);
    let json = repo.hoist(&["plan", "--event", "branch=main", "--json"]);
    assert_eq!(json.code, 3, "{}", json.stderr);
    check("forecast", &json.stdout);
    assert!(
        json.stdout.starts_with("{\"refused\":[{\"code\":\"hoist::release::unreachable\""),
        "{}",
        json.stdout
    );
    refused(&release(&repo, "branch=main"), 3, &["hoist::release::unreachable"]);
    // What asks nobody is planned as ever.
    done(&repo.hoist(&["plan", "build"]));
    // A base is left open, and that is said.
    repo.git(&["remote", "remove", "origin"]);
    repo.write("Dockerfile", "FROM 127.0.0.1:9/base:1\n");
    repo.write("release.kdl", "registry \"out\" \"oci:out\"\nimage \"web\" { dockerfile; push \"out\"; }\n");
    repo.commit("On a base");
    let open = repo.hoist(&["plan", "--event", "branch=main"]);
    done(&open);
    let said = "As long as that is so, it is refused: the registry `127.0.0.1:9` cannot be reached";
    assert!(open.stderr.contains(said), "{}", open.stderr);
    let json = repo.hoist(&["plan", "--event", "branch=main", "--json"]);
    done(&json);
    check("forecast", &json.stdout);
    let first = "{\"unreached\":[{\"code\":\"hoist::release::unreachable\"";
    assert!(json.stdout.starts_with(first), "{}", json.stdout);
}

#[test]
fn the_names_that_a_stage_adds_are_told_with_the_tags() {
    let repo = project("stage \"live\" { on tag=\"v*\"; tags { raw \"live\" \"1.0.0\"; }; }\n");
    let ended = repo.hoist(&["tags", "--event", "tag=v1.0.0"]);
    done(&ended);
    assert!(ended.stdout.contains("by raw of the stage live"), "{}", ended.stdout);
    let json = repo.hoist(&["tags", "--event", "tag=v1.0.0", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    let named: Vec<_> = json["tags"].as_array().expect("a list").iter().map(|one| &one["tag"]).collect();
    assert_eq!(named, ["1.0.0", "live"]);
    let other = repo.hoist(&["tags", "--event", "branch=main"]).stdout;
    assert!(!other.contains("live"), "{other}");
}

#[test]
fn two_images_of_one_name_are_told_with_the_tags() {
    let repo = project(
        "image \"twin\" { repository \"web\"; assemble from=\"scratch\"; tags { raw \"1.0.0\"; }; push \"out\"; }\n",
    );
    done(&repo.hoist(&["tags", "--event", "branch=main"]));
    let ended = repo.hoist(&["tags", "--event", "tag=v1.0.0"]);
    refused(&ended, 2, &["`web` and `twin` would both be `oci:out/web:1.0.0`"]);
    assert!(ended.stdout.contains("by semver"), "{}", ended.stdout);
}

#[test]
fn a_command_of_verify_that_takes_too_long_is_told_what_bounds_it() {
    let repo =
        project("stage \"live\" { on branch=\"main\"; verify within=\"1s\" { run \"sleep 60\"; }; }\n");
    let ended = release(&repo, "branch=main");
    refused(&ended, 5, &["did not end in time", "raise `within`"]);
    assert!(!ended.stderr.contains("`timeout`"), "{}", ended.stderr);
}

#[test]
fn what_is_attached_to_images_is_part_of_the_question() {
    let repo = project("stage \"live\" { on branch=\"main\"; record; }\n");
    let asked = repo.hoist(&["release", "--event", "branch=main"]);
    refused(&asked, 3, &["stage live: ", "live:record: what the ledger says of live, with its images"]);
}
