//! The commands that run nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::fixture::{Repo, done, refused};
use crate::schemas::check;

const RELEASE: &str = r#"project "shop"
default "lint"
var "python" "3.12" env="PYTHON" about="Version of Python"
target "lint" about="Run the linters" {
    run "true"
}
target "unit" {
    needs "lint"
    matrix {
        python "3.11" "3.12"
    }
    run "true"
}
target "secret" {
    private
    run "true"
}
image "web" about="The shop" {
    needs "unit"
    assemble from="scratch" {
        layer {
            copy "web" "/web"
        }
    }
    platforms "linux/amd64" "linux/arm64"
    tags {
        semver "{version}" "{major}.{minor}"
        latest
        branch "{branch}-{short}"
        sha
    }
    push "out"
}
registry "out" "oci:out"
stage "production" about="What customers see" {
    on tag="v*"
}
"#;

fn shop() -> Repo {
    let repo = Repo::new();
    repo.write("release.kdl", RELEASE);
    repo.write("web", "1\n");
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    repo
}

#[test]
fn a_bare_hoist_lists_what_is_declared() {
    let ended = shop().hoist(&[]);
    let expected = "\
shop

Targets
  lint  Run the linters (default)
  unit

Images
  web  to out  The shop

Stages
  production  What customers see

Variables
  python  3.12  Version of Python
";
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, expected, ""));
}

#[test]
fn it_lists_from_a_directory_below_and_from_elsewhere() {
    let repo = shop();
    repo.write("below/x", "");
    let below = repo.path().join("below");
    let listed = repo.hoist(&[]).stdout;
    assert_eq!(repo.hoist(&["-C", "below"]).stdout, listed);
    let output = repo.command(&["--file", "../release.kdl"]).current_dir(below).output().expect("hoist runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), listed);
}

#[test]
fn tags_show_the_rule_that_made_each_and_whether_it_moves() {
    let repo = shop();
    let sha = repo.git(&["rev-parse", "HEAD"]);
    let ended = repo.hoist(&["tags", "--event", "tag=v1.2.3"]);
    let expected = format!(
        "\
For the tag v1.2.3

web
  1.2.3                                     immutable  by semver
  {sha}  immutable  by sha
  1.2                                       moving     by semver
  latest                                    moving     by latest
  Rules that yield nothing here:
    branch  it is for a branch
"
    );
    assert_eq!((ended.code, ended.stdout.as_str()), (0, expected.as_str()), "{}", ended.stderr);
    let json = repo.hoist(&["tags", "web", "--json", "--event", "branch=feature/a"]);
    let value: serde_json::Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    assert_eq!(value["tags"][0]["tag"], format!("feature-a-{}", &sha[..7]));
    assert_eq!(value["tags"][0]["kind"], "immutable");
}

#[test]
fn the_event_comes_from_the_ci_system() {
    let repo = shop();
    let first = |environment: &[(&str, &str)]| {
        let ended = repo.hoist_with(&["tags"], environment);
        ended.stdout.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(first(&[]), "For a commit on the branch main");
    let github =
        [("GITHUB_ACTIONS", "true"), ("GITHUB_EVENT_NAME", "push"), ("GITHUB_REF", "refs/tags/v2.0.0")];
    assert_eq!(first(&github), "For the tag v2.0.0");
    let gitlab = [("GITLAB_CI", "true"), ("CI_COMMIT_BRANCH", "develop")];
    assert_eq!(first(&gitlab), "For a commit on the branch develop");
    repo.git(&["checkout", "--quiet", "--detach"]);
    assert_eq!(first(&[]), "For a state without a name");
    repo.git(&["tag", "v3.0.0"]);
    assert_eq!(first(&[]), "For the tag v3.0.0");
}

#[test]
fn graphs_are_drawn_in_three_languages() {
    let repo = shop();
    let dot = repo.hoist(&["graph", "web:index"]);
    assert!(dot.stdout.starts_with("digraph") && dot.stdout.contains("unit[python=3.11]"), "{}", dot.stdout);
    let mermaid = repo.hoist(&["graph", "--format", "mermaid", "web:index"]);
    assert!(
        mermaid.stdout.starts_with("flowchart") || mermaid.stdout.starts_with("graph"),
        "{}",
        mermaid.stdout
    );
    let svg = repo.hoist(&["graph", "--format", "svg"]);
    assert!(svg.stdout.starts_with("<svg") && svg.stdout.contains("web:build@linux/arm64"), "{}", svg.stdout);
}

#[test]
fn a_pull_request_publishes_nothing_and_the_plan_says_so() {
    let ended = shop().hoist(&["plan", "--event", "pr=42"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("nothing would be published"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("web:tag@out"), "{}", ended.stdout);
}

#[test]
fn a_plan_of_nothing_named_says_of_what_it_is() {
    let said = |repo: Repo| repo.hoist(&["plan"]).stderr;
    assert_eq!(said(shop()), "plan of `hoist release`:\n");
    let lint = "target \"lint\" { run \"true\"; }\ntarget \"deep\" { run \"true\"; }\ndefault \"lint\"\n";
    let repo = Repo::with(lint);
    assert_eq!(repo.hoist(&["plan"]).stdout, repo.hoist(&["plan", "lint"]).stdout);
    assert_eq!(said(repo), "plan of `hoist run`, for the file declares no image:\n");
}

#[test]
fn help_version_and_completions_are_printed() {
    let repo = Repo::new();
    let help = repo.hoist(&["--help"]);
    assert!(help.code == 0 && help.stdout.contains("release"), "{}", help.stdout);
    assert_eq!(repo.hoist(&["help"]).stdout, help.stdout);
    assert_eq!(repo.hoist(&["help", "why"]).stdout, repo.hoist(&["why", "--help"]).stdout);
    assert_eq!(repo.hoist(&["--version"]).stdout, format!("hoist {}\n", env!("CARGO_PKG_VERSION")));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = repo.hoist(&["completions", shell]);
        assert!(script.code == 0 && script.stdout.contains("hoist"), "{shell}");
    }
    assert_eq!(repo.hoist(&["--nonsense"]).code, 2);
}

#[test]
fn a_shell_completes_the_names_that_the_file_declares() {
    let repo = Repo::with(
        "target \"unit\" about=\"Tests\" { run \"true\"; }\ntarget \"helper\" { private; run \"true\"; }\n\
         image \"uploader\" { assemble from=\"scratch\"; }\nstage \"staging\" { on branch=\"x\"; }\n",
    );
    let hoist = Path::new(env!("CARGO_BIN_EXE_hoist")).parent().expect("it lies in a directory");
    let path = format!("{}:{}", hoist.display(), std::env::var("PATH").unwrap_or_default());
    let completed = |line: &[&str]| {
        let script = "eval \"$(hoist completions bash)\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9; \
                      _clap_complete_hoist hoist \"${!#}\"; IFS=,; echo \"${COMPREPLY[*]}\"";
        let mut bash = std::process::Command::new("bash");
        bash.args(["-c", script, "bash"]).args(line).current_dir(repo.path()).env("PATH", &path);
        String::from_utf8(bash.output().expect("there is bash").stdout).expect("it is text").trim().to_owned()
    };
    assert_eq!(completed(&["hoist", "un"]), "unit");
    assert_eq!(completed(&["hoist", "run", "u"]), "unit,uploader");
    assert_eq!(completed(&["hoist", "run", "help"]), "");
    assert_eq!(completed(&["hoist", "promote", "s"]), "staging");
    assert_eq!(completed(&["hoist", "promot"]), "promote");
    repo.write("below/release.kdl", "target \"under\" { run \"true\"; }\n");
    assert_eq!(completed(&["hoist", "-C", "below", "run", "u"]), "under");
    repo.write("release.kdl", "image {");
    assert_eq!(completed(&["hoist", "promote", "s"]), "");
}

#[test]
fn a_project_that_cannot_be_written_is_left_alone() {
    if rustix::process::geteuid().is_root() {
        // Nothing is read-only to root: a place that is no directory stands in.
        let repo = shop();
        repo.write(".hoist", "a file\n");
        let ended = repo.hoist(&["lint"]);
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        assert!(ended.stderr.contains("hoist::run::read_only"), "{}", ended.stderr);
        assert_eq!(repo.read(".hoist"), "a file\n");
        return;
    }
    let repo = shop();
    let mode = |mode| std::fs::set_permissions(repo.path(), std::fs::Permissions::from_mode(mode));
    mode(0o555).expect("the mode can be changed");
    let ended = repo.hoist(&["lint"]);
    mode(0o755).expect("the mode can be changed");
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("hoist::run::read_only"), "{}", ended.stderr);
}

#[test]
fn formatting_changes_the_look_and_nothing_else() {
    let repo = Repo::new();
    repo.write("release.kdl", "// A comment.\ntarget   \"a\" {\n\n\n  run \"true\" // said\n}\n");
    assert_eq!(repo.hoist(&["fmt", "--check"]).code, 1);
    assert_eq!(repo.hoist(&["fmt"]).code, 0);
    let text = repo.read("release.kdl");
    assert!(
        text.starts_with("// A comment.\ntarget \"a\" {\n") && text.contains("    run \"true\" // said\n"),
        "{text}"
    );
    assert_eq!(repo.hoist(&["fmt", "--check"]).code, 0);
    repo.write("release.kdl", "target \"a\" {\n");
    assert_eq!(repo.hoist(&["fmt"]).code, 2);
    assert_eq!(repo.read("release.kdl"), "target \"a\" {\n");
}

#[test]
fn included_files_have_their_prefix() {
    let repo = Repo::with("include \"services/*/release.kdl\"\n");
    let service = "target \"test\" { run \"echo in $PWD\"; }\n";
    repo.write("services/api/release.kdl", service);
    repo.write("services/web/release.kdl", service);
    let ended = repo.hoist(&["services/api/test"]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "in [DIR]/project/services/api\n"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_template_makes_no_path_in_an_image_that_does_not_begin_at_its_root() {
    let repo = Repo::new();
    repo.write("a", "1\n");
    for layer in ["copy \"a\" \"{to}\"", "copy \"a\" \"/a\"; remove \"{to}/x\""] {
        let image = format!("image \"web\" {{ assemble from=\"scratch\" {{ layer {{ {layer}; }}; }}; }}\n");
        repo.write("release.kdl", format!("var \"to\" \"srv\"\n{image}"));
        let refused = repo.hoist(&["plan", "web"]);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains("is not an absolute path"), "{}", refused.stderr);
        assert!(refused.stderr.contains("help: write `/{to}"), "{}", refused.stderr);
        assert_eq!(repo.hoist(&["plan", "web", "to=/srv"]).code, 0);
    }
}

/// An image of two stages, of which one tag never moves.
const STAGES: &str = r#"image "web" {
    assemble from="scratch" { layer { copy "web" "/web"; }; }
    tags { sha; }
    push "out"
}
registry "out" "oci:out"
stage "dev" { on branch="main"; }
stage "prod" { from "dev"; on tag="v*"; }
"#;

fn stages() -> Repo {
    let repo = Repo::new();
    repo.write("release.kdl", STAGES);
    repo.write(".gitignore", "/out\n/.hoist\n");
    repo.write("web", "1\n");
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    repo
}

#[test]
fn a_stage_that_goes_back_becomes_visible_without_a_tag() {
    let repo = stages();
    done(&repo.hoist(&["release", "--yes"]));
    repo.write("web", "2\n");
    repo.commit("Change");
    done(&repo.hoist(&["release", "--yes"]));
    let back = repo.hoist(&["rollback", "dev", "--yes"]);
    done(&back);
    assert!(!back.stderr.contains("Nothing becomes visible"), "{}", back.stderr);
    done(&repo.hoist(&["status", "dev"]));
    let whole = repo.hoist(&["status", "dev", "--verbose"]).stdout;
    let digest = whole.split("\n  web  sha256:").nth(1).and_then(|rest| rest.lines().next());
    assert_eq!(digest.map(str::len), Some(64), "{whole}");
    let none = repo.hoist(&["history", "-n", "0"]);
    assert!(!none.stderr.contains("nothing was entered yet"), "{}", none.stderr);
    let written = repo.hoist(&["report", "-o", "report.md"]);
    assert!(written.stderr.starts_with("wrote ") && repo.has("report.md"), "{}", written.stderr);
}

#[test]
fn images_that_would_have_one_name_are_found_whatever_the_event_is() {
    let repo = Repo::new();
    let image = |name: &str| {
        format!(
            "image \"{name}\" {{\n    repository \"team/web\"\n    assemble from=\"scratch\" {{ cmd \"/a\"; }}\n    \
             tags {{ semver \"{{version}}\"; }}\n}}\n"
        )
    };
    repo.write("release.kdl", format!("{}{}", image("a"), image("b")));
    let checked = repo.hoist(&["check"]);
    refused(&checked, 2, &["hoist::tags::collision", "`a` and `b` would both be", "the tag of `a`"]);
}

#[test]
fn a_registry_that_is_out_of_reach_is_shown_where_it_is_declared() {
    let repo = stages();
    let text = repo.read("release.kdl").replace("oci:out", "127.0.0.1:1/team");
    repo.write("release.kdl", text);
    repo.commit("Elsewhere");
    let gone = repo.hoist(&["release", "--yes"]);
    let said = [
        "the registry `127.0.0.1:1` cannot be reached",
        "-- the registry",
        "published by this",
        "help: `hoist doctor`",
    ];
    refused(&gone, 3, &said);
}

#[test]
fn a_flag_without_its_value_says_so() {
    let repo = Repo::new();
    refused(&repo.hoist(&["lint", "--jobs"]), 2, &["a value is required for `--jobs <N>`"]);
    refused(&repo.hoist(&["--color"]), 2, &["`--color <WHEN>` needs a value", "write one of `auto`"]);
}

#[test]
fn flags_of_a_command_come_before_those_of_all() {
    let help = Repo::new().hoist(&["run", "--help"]).stdout;
    let at = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text}: {help}"));
    assert!(at("--keep-going") < at("Global options:") && at("Global options:") < at("--directory"));
    assert!(at("--learn") < at("Global options:") && at("Global options:") < at("--color"), "{help}");
}

#[test]
fn json_of_a_plan_says_why_it_would_be_refused() {
    let repo = stages();
    let refused = |words: &[&str]| {
        let ended = repo.hoist(&[words, &["--json"]].concat());
        assert_eq!(ended.code, if words == ["plan"] { 0 } else { 3 }, "{}", ended.stderr);
        check("forecast", &ended.stdout);
        let first: serde_json::Value =
            serde_json::from_str(ended.stdout.lines().next().unwrap_or_default()).expect("it is JSON");
        first["refused"][0]["code"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(refused(&["plan", "--event", "tag=v9.9.9"]), "hoist::release::not_promotable");
    assert_eq!(refused(&["release", "--dry-run", "--event", "tag=v9.9.9"]), "hoist::release::not_promotable");
    assert_eq!(refused(&["plan"]), "");
    repo.git(&["tag", "v1.0.0"]);
    repo.commit("Go on");
    assert_eq!(refused(&["plan", "web:push@out", "--event", "tag=v1.0.0"]), "hoist::plan::not_publishable");
}

#[test]
fn the_log_of_an_older_run_is_shown_by_a_part_of_its_id() {
    let repo = Repo::with(
        r#"target "a" { inputs "in"; run "cat in"; }
        target "b" { run "echo b"; }"#,
    );
    for text in ["one\n", "two\n"] {
        repo.write("in", text);
        done(&repo.hoist(&["run", "a"]));
    }
    done(&repo.hoist(&["run", "b"]));
    let runs = repo.command(&["log", "--runs"]).output().expect("it starts").stdout;
    let runs = String::from_utf8(runs).expect("it is text");
    let ids: Vec<&str> = runs.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    let [newest, _, oldest] = ids[..] else { panic!("{runs}") };
    let part = oldest.rsplit('-').next().unwrap_or_default();
    assert_eq!(repo.hoist(&["log", "a", "--run", part]).stdout, "one\n");
    assert_eq!(repo.hoist(&["log", "a", "--run", oldest]).stdout, "one\n");
    assert_eq!(repo.hoist(&["log", "a"]).stdout, "two\n");
    assert!(repo.hoist(&["log", "--run", oldest]).stdout.contains("1 ran"));
    let ended = repo.hoist(&["log", "a", "--run", newest]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("`a` had no turn in the run"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("run it first"), "{}", ended.stderr);
}
