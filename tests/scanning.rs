//! Scans of images. None of the scanners is here: `FakeTrivy`, `FakeGrype`, and `FakeSnyk`
//! are scripts that take the documented arguments, look at what they are to scan, and write
//! the documented reports.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::fixture::{Ended, Repo, installed, refused};
use crate::registry::Registry;
use crate::schemas::check;

/// What all stand-ins do: keep what they are called with, make sure that there is one image
/// to scan and that its blobs are there, and write the report that lies beside them.
const FAKE: &str = r#"#!/bin/sh
here=$(dirname "$0") name=$(basename "$0")
[ "$1" = --version ] && { cat "$here/version"; exit 0; }
echo "$name $*" >> "$here/calls"
layout= archive= report=
while [ $# -gt 0 ]; do
    case $1 in
        --input) layout=$2; shift ;;
        --output) [ "$name" = grype ] || report=$2; shift ;;
        --file) report=$2; shift ;;
        oci-dir:*) layout=${1#oci-dir:} ;;
        oci-archive:*) archive=${1#oci-archive:} ;;
        --json-file-output=*) report=${1#--json-file-output=} ;;
    esac
    shift
done
if [ -n "$archive" ]; then
    layout=$(mktemp -d) && tar -xf "$archive" -C "$layout" || exit 9
fi
[ "$(grep -o '"digest"' "$layout/index.json" | wc -l)" = 1 ] || exit 8
digest=$(sed 's/.*"digest":"sha256:\([0-9a-f]*\)".*/\1/' "$layout/index.json")
(cd "$layout/blobs/sha256" && sha256sum * | while read -r sum file; do [ "$sum" = "$file" ] || exit 7; done) || exit 7
grep -q '"layers"' "$layout/blobs/sha256/$digest" || exit 6
[ -f "$here/says" ] && cat "$here/says"
[ -f "$here/report" ] && cp "$here/report" "$report"
exit "$(cat "$here/status")"
"#;

struct World {
    repo: Repo,
}

fn image(scans: &str) -> String {
    format!(
        r#"
registry "out" "oci:.out"
image "web" {{
    assemble from="scratch" {{ layer {{ copy "web" "/web"; }}; user "1"; }}
    platforms "linux/amd64" "linux/arm64"
    tags {{ raw "dev"; }}
    {scans}
    push "out"
}}
"#
    )
}

impl World {
    fn new(scans: &str) -> Self {
        let repo = Repo::new();
        repo.write(".gitignore", "/.out\n");
        repo.write("web", "1\n");
        repo.write("release.kdl", image(scans));
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo.commit("Begin");
        fs::create_dir(repo.path().join("../bin")).unwrap();
        let world = Self { repo };
        world.beside("status", "0");
        world.beside("version", "Version: 0.58.1\nVulnerability DB:\n  UpdatedAt: 2026-11-26 06:15:11 UTC\n");
        world
    }

    fn bin(&self) -> PathBuf {
        self.repo.path().join("../bin").canonicalize().unwrap()
    }

    /// Puts a stand-in on `PATH`.
    fn with(self, scanner: &str) -> Self {
        let path = self.bin().join(scanner);
        fs::write(&path, FAKE).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn beside(&self, name: &str, text: &str) {
        fs::write(self.bin().join(name), text).unwrap();
    }

    /// What the stand-ins report.
    fn reports(self, report: &Value) -> Self {
        self.beside("report", &report.to_string());
        self
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.bin().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    fn hoist(&self, arguments: &[&str]) -> Ended {
        let path = format!("{}:{}", self.bin().display(), std::env::var("PATH").unwrap());
        self.repo.hoist_with(arguments, &[("PATH", &path)])
    }

    /// The ends of the steps of a run of the goal `scan`.
    fn scanned(&self) -> (i32, Value) {
        let ended = self.hoist(&["scan", "--json"]);
        check("events", &ended.stdout);
        let events = ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let end = events
            .filter(|event| event["event"] == "step-ended")
            .find(|end| end["step"].as_str().unwrap().starts_with("web:scan@"));
        (ended.code, end.unwrap_or_else(|| panic!("{}\n{}", ended.stdout, ended.stderr)))
    }
}

fn vulnerability(id: &str, severity: &str, package: &str) -> Value {
    json!({
        "VulnerabilityID": id, "PkgName": package, "InstalledVersion": "1.0", "FixedVersion": "1.1",
        "Severity": severity, "Title": format!("{package} is weak"),
    })
}

fn trivy(found: &[Value]) -> Value {
    json!({ "SchemaVersion": 2, "ArtifactType": "container_image", "Results": [
        { "Target": "x (debian 12)", "Class": "os-pkgs", "Vulnerabilities": found },
    ] })
}

#[track_caller]
fn failed(ended: &Ended, said: &[&str]) {
    assert_eq!(ended.code, 1, "{}\n{}", ended.stdout, ended.stderr);
    for said in said {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
}

#[test]
fn each_platform_is_scanned_by_itself_before_anything_is_visible() {
    let found =
        [vulnerability("CVE-2024-2", "MEDIUM", "zlib"), vulnerability("CVE-2024-1", "CRITICAL", "openssl")];
    let world = World::new("scan \"trivy\"").with("trivy").reports(&trivy(&found));
    let ended = world.hoist(&["release", "--yes"]);
    failed(
        &ended,
        &[
            "hoist::run::vulnerable",
            "`trivy` has 1 finding of severity high or worse in `web`",
            "critical CVE-2024-1 in openssl 1.0, fixed in 1.1: openssl is weak",
            "trivy 0.58.1: 1 critical, 1 medium",
        ],
    );
    assert_eq!(world.calls().len(), 2, "{:?}", world.calls());
    for call in world.calls() {
        assert!(
            call.starts_with("trivy image --input /") && call.contains(" --format json --output /"),
            "{call}"
        );
        assert!(
            call.ends_with("--severity UNKNOWN,LOW,MEDIUM,HIGH,CRITICAL --exit-code 0 --no-progress"),
            "{call}"
        );
    }
    let index = world.repo.has(".out/web/index.json").then(|| world.repo.read(".out/web/index.json"));
    assert!(!index.unwrap_or_default().contains("\"dev\""));
    // What was laid out for the scanner is gone.
    let images = world.repo.path().join("../cache/v4/images");
    let left = fs::read_dir(images).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(left.into_iter().all(|name| !name.starts_with(".hoist-scan")));

    // What is mended is released; the log has what was found, the worst first.
    world.beside("report", &trivy(&found[..1]).to_string());
    let ended = world.hoist(&["release", "--yes"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("trivy 0.58.1: 1 medium"), "{}", ended.stderr);
    assert!(world.repo.read(".out/web/index.json").contains("\"dev\""));
    let log = world.hoist(&["log", "web:scan@trivy"]);
    assert!(log.stdout.contains("medium     CVE-2024-2  zlib 1.0 -> 1.1  zlib is weak"), "{}", log.stdout);
    let page = world.hoist(&["report", "--html", "page.html"]);
    assert_eq!(page.code, 0, "{}", page.stderr);
    assert!(world.repo.read("page.html").contains("<code>CVE-2024-2</code>"));
    let markdown = world.hoist(&["report", "--format", "markdown"]);
    assert!(markdown.stdout.contains("<code>web trivy 0.58.1</code> | 0 | 0 | 1 | 0"), "{}", markdown.stdout);
    let report = world.hoist(&["report", "--format", "json"]);
    check("report", &report.stdout);
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!(report["scans"][0]["platforms"], json!(["linux/amd64", "linux/arm64"]));
}

#[test]
fn what_a_scanner_knows_changes_so_it_is_asked_each_time() {
    let world = World::new("scan \"trivy\"").with("trivy").reports(&trivy(&[]));
    assert_eq!(world.hoist(&["scan"]).code, 0);
    world.beside("report", &trivy(&[vulnerability("CVE-2024-1", "HIGH", "a")]).to_string());
    failed(&world.hoist(&["scan"]), &["hoist::run::vulnerable"]);
    assert_eq!(world.calls().len(), 4);
}

#[test]
fn what_is_found_is_told_as_events() {
    let found = [
        vulnerability("CVE-2024-1", "CRITICAL", "openssl"),
        vulnerability("CVE-2024-1", "CRITICAL", "openssl"),
        vulnerability("CVE-2024-2", "ODD", "zlib"),
    ];
    let scan = "scan \"trivy\" fail-on=\"low\" unknown=\"negligible\" { allow \"CVE-2024-1\" until=\"9999-01-31\" reason=\"not reachable\"; }";
    let world = World::new(scan).with("trivy").reports(&trivy(&found));
    let (code, end) = world.scanned();
    assert_eq!((code, &end["outcome"]), (0, &json!("ran")), "{end:#}");
    let scan = &end["scan"];
    assert_eq!(
        (&scan["passed"], &scan["allowed"], &scan["fail_on"]),
        (&json!(true), &json!(1), &json!("low"))
    );
    assert_eq!((&scan["version"], &scan["database"]), (&json!("0.58.1"), &json!("2026-11-26 06:15:11 UTC")));
    let counts = json!({ "critical": 0, "high": 0, "medium": 0, "low": 0, "negligible": 0, "unknown": 1 });
    assert_eq!(scan["counts"], counts);
    let findings = scan["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert_eq!(findings[0]["allowed"], json!({ "until": "9999-01-31", "reason": "not reachable" }));
    assert_eq!(findings[1]["severity"], "unknown");
    let shown = world.hoist(&["scan"]);
    let allowed = "allowed until 9999-01-31: critical CVE-2024-1: not reachable";
    assert!(shown.stderr.contains(allowed), "{}", shown.stderr);
}

#[test]
fn grype_and_snyk_are_started_as_they_document_it() {
    let matches = json!([{
        "vulnerability": { "id": "GHSA-1", "severity": "High", "fix": { "versions": ["2"], "state": "fixed" } },
        "relatedVulnerabilities": [{ "id": "CVE-2024-7" }],
        "artifact": { "name": "lodash", "version": "1" },
    }]);
    let grype = json!({ "matches": matches, "descriptor": { "name": "grype", "version": "0.104.1" } });
    let world = World::new("scan \"grype\"").with("grype").reports(&grype);
    // By its own settings, it may end so where it found something.
    world.beside("status", "2");
    let (code, end) = world.scanned();
    assert_eq!((code, &end["scan"]["version"]), (1, &json!("0.104.1")), "{end:#}");
    assert_eq!(end["scan"]["findings"][0]["fixed"], "2");
    assert!(world.calls()[0].starts_with("grype oci-dir:/"), "{:?}", world.calls());

    let snyk = json!({ "ok": false, "vulnerabilities": [{
        "id": "SNYK-JS-1", "severity": "high", "packageName": "lodash", "version": "1", "identifiers": { "CVE": ["CVE-2024-7"] },
    }] });
    let allowed = "scan \"snyk\" { allow \"CVE-2024-7\" until=\"9999-01-01\" reason=\"tests only\"; }";
    let world = World::new(allowed).with("snyk").reports(&snyk);
    world.beside("status", "1");
    world.beside("version", "1.1297.0 (standalone)\n");
    let (code, end) = world.scanned();
    assert_eq!(
        (code, &end["scan"]["version"], &end["scan"]["allowed"]),
        (0, &json!("1.1297.0"), &json!(1)),
        "{end:#}"
    );
    assert!(world.calls()[0].starts_with("snyk container test oci-archive:/"), "{:?}", world.calls());
    // 2 is how it says that it could not.
    world.beside("status", "2");
    failed(&world.hoist(&["scan"]), &["hoist::run::scanner_failed", "it ended with status 2"]);
}

#[test]
fn a_scan_that_did_not_happen_never_passes() {
    let world = World::new("scan \"trivy\"");
    let doctor = world.hoist(&["doctor"]);
    assert!(doctor.stdout.contains("there is no such program in PATH"), "{}", doctor.stdout);
    let missing = world.hoist(&["scan"]);
    let said = ["hoist::run::no_scanner", "there is no `trivy`, which is to scan `web`", "install trivy"];
    refused(&missing, 3, &said);
    assert!(!missing.stderr.contains("ok web:build"), "{}", missing.stderr);
    refused(&world.hoist(&["release", "--event", "branch=main"]), 3, &said);
    let kept_going = world.hoist(&["scan", "--keep-going"]);
    failed(&kept_going, &["ok web:index", "there is no program `trivy` in PATH"]);
    let world = world.with("trivy");
    let doctor = world.hoist(&["doctor"]);
    assert!(
        doctor.stdout.contains("scanner trivy") && doctor.stdout.contains("/bin/trivy"),
        "{}",
        doctor.stdout
    );
    failed(&world.hoist(&["scan"]), &["`trivy` did not report what it found", "it wrote no report"]);
    world.beside("status", "1");
    world.beside("says", "FATAL\tdatabase error: \u{1b}[31mtoo many requests\n");
    let ended = world.hoist(&["scan"]);
    failed(&ended, &["`trivy` did not scan `web`", "it ended with status 1", "too many requests"]);
    assert!(!ended.stderr.contains('\u{1b}'), "{}", ended.stderr);
    world.beside("status", "0");
    for (report, why) in [
        ("", "it is empty"),
        ("{\"SchemaVersion\":2,\"Results\":[{\"Target\"", "it is not JSON"),
        ("{\"SchemaVersion\":99}", "its `SchemaVersion` is 99, and hoist reads 2"),
        ("{\"matches\":[]}", "missing field `SchemaVersion`"),
    ] {
        world.beside("report", report);
        failed(&world.hoist(&["scan"]), &["the report of `trivy` is not understood", why]);
    }
}

#[test]
fn a_flood_of_findings_and_of_output_is_bounded() {
    let found: Vec<Value> =
        (0..3000).map(|at| vulnerability(&format!("CVE-2024-{at}"), "LOW", &"p".repeat(1000))).collect();
    let world = World::new("scan \"trivy\"").with("trivy").reports(&trivy(&found));
    world.beside("says", &"noise of a scanner\n".repeat(50_000));
    let (code, end) = world.scanned();
    assert_eq!((code, &end["scan"]["more"], &end["scan"]["counts"]["low"]), (0, &json!(2500), &json!(3000)));
    assert!(end["scan"]["findings"][0]["package"].as_str().unwrap().chars().count() < 400);
    let shown = world.hoist(&["scan"]);
    assert!(shown.stderr.contains("and 2995 more: `hoist log web:scan@trivy`"), "{}", shown.stderr);
}

#[test]
fn a_secret_that_a_scanner_finds_is_in_no_record() {
    let secret = "correct-horse-battery";
    let found = [vulnerability("CVE-2024-1", "LOW", secret)];
    let world = World::new("scan \"trivy\"").with("trivy").reports(&trivy(&found));
    world.beside("says", secret);
    world.repo.write(".env", format!("TOKEN={secret}\n"));
    let file = format!("dotenv \".env\"\n{}", image("scan \"trivy\""));
    world.repo.write("release.kdl", file);
    world.repo.write(".gitignore", "/.out\n/.env\n");
    world.repo.commit("Hide");
    let (code, end) = world.scanned();
    assert_eq!((code, &end["scan"]["findings"][0]["package"]), (0, &json!("***")), "{end:#}");
    let found = std::process::Command::new("grep")
        .args(["-rl", secret, ".hoist"])
        .current_dir(world.repo.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn an_allowance_that_has_ended_is_told_before_anything_is_built() {
    let scan = "scan \"trivy\" { allow \"CVE-2024-1\" until=\"2020-01-31\" reason=\"gone\"; }";
    let world = World::new(scan).with("trivy").reports(&json!({ "Results": [] }));
    let ended = world.hoist(&["release", "--yes"]);
    refused(&ended, 3, &["hoist::run::allowance_expired", "`CVE-2024-1` was allowed until 2020-01-31"]);
    assert!(!ended.stderr.contains("web:build"), "{}", ended.stderr);
    for looks in [&["plan"][..], &["release", "--dry-run"]] {
        refused(&world.hoist(looks), 3, &["`CVE-2024-1` was allowed until 2020-01-31"]);
    }
    assert_eq!(world.calls(), Vec::<String>::new());
    // Images that nobody publishes are built all the same where all that can be done is asked for.
    refused(&world.hoist(&["scan", "--keep-going"]), 3, &["ok web:index", "was allowed until 2020-01-31"]);
}

#[test]
fn a_command_of_ones_own_reports_in_sarif() {
    let scan = r#"scan "own" fail-on="critical" {
        run "sh scan.sh $HOIST_ARCHIVE"
        allow "CVE-2024-9" until="9999-01-01" reason="gone"
    }"#;
    let world = World::new(scan);
    let sarif = json!({ "version": "2.1.0", "runs": [{ "tool": { "driver": { "name": "own", "version": "3" } },
        "results": [{ "ruleId": "R1", "level": "error", "message": { "text": "bad" } }] }] });
    world.repo.write("own.sarif", sarif.to_string());
    let script = r#"set -e
        test -f "$HOIST_LAYOUT/oci-layout"
        tar -tf "$1" > /dev/null
        cp own.sarif "$HOIST_REPORT"
        echo "$HOIST_PLATFORM $HOIST_DIGEST"
    "#;
    world.repo.write("scan.sh", script);
    let ended = world.hoist(&["scan"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("own 3: 1 high"), "{}", ended.stderr);
    let stale = "`allow \"CVE-2024-9\"` allows nothing that was found: remove it";
    assert!(ended.stderr.contains(stale), "{}", ended.stderr);
    let log = world.hoist(&["log", "web:scan@own"]);
    assert!(log.stdout.contains("linux/arm64 sha256:"), "{}", log.stdout);
}

#[test]
fn a_stage_asks_for_a_scan_and_keeps_what_it_said() {
    if !installed("scans and stages", &["docker-registry", "git"]) {
        return;
    }
    let repo = Repo::new();
    repo.write(".gitignore", "/.registry*\n");
    let registry = Registry::start(&repo);
    let file = |fail_on: &str| {
        format!(
            r#"
registry "dev" "127.0.0.1:{}/team" insecure=#true
image "web" {{
    assemble from="scratch" {{ layer {{ copy "web" "/web"; }}; user "1"; }}
    tags {{ raw "dev"; semver "{{version}}"; }}
    scan "trivy" fail-on="{fail_on}"
    push "dev"
}}
stage "staging" {{ on branch="main"; }}
stage "production" {{ on tag="v*"; from "staging"; require scan="high"; }}
stage "strict" {{ on branch="strict"; require scan="low"; }}
"#,
            registry.port
        )
    };
    repo.write("release.kdl", file("critical"));
    repo.write("web", "1\n");
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    fs::create_dir(repo.path().join("../bin")).unwrap();
    let world =
        World { repo }.with("trivy").reports(&trivy(&[vulnerability("CVE-2024-2", "MEDIUM", "zlib")]));
    world.beside("status", "0");
    world.beside("version", "Version: 0.58.1\n");
    let release = |event: &str| world.hoist(&["release", "--event", event, "--yes"]);
    assert_eq!(release("branch=main").code, 0);
    world.repo.git(&["tag", "v1.0.0"]);
    // It was scanned, and would not have failed of what is asked for.
    let refused = release("tag=v1.0.0");
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    let why = "scan: no scan says of `web` that nothing of severity high or worse is in it; declare `scan \"trivy\" \
               fail-on=\"high\"` in the image, and release it to `staging` again";
    let said: Vec<&str> = refused.stderr.split_whitespace().collect();
    assert!(said.join(" ").contains(why), "{}", refused.stderr);

    world.repo.write("release.kdl", file("high"));
    world.repo.commit("Scan");
    let ended = release("branch=main");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    world.repo.git(&["tag", "v1.0.1"]);
    let calls = world.calls().len();
    let ended = release("tag=v1.0.1");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    // What passed is not scanned again.
    assert_eq!(world.calls().len(), calls);
    let history = world.hoist(&["history", "--json"]);
    check("ledger", &history.stdout);
    let entry: Value = serde_json::from_str(history.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&entry["kind"], &entry["gates"][0]["gate"]),
        (&json!("promote"), &json!("scan")),
        "{entry:#}"
    );
    let evidence = entry["gates"][0]["evidence"].as_str().unwrap();
    assert!(evidence.starts_with("web: trivy 0.58.1 failed on high, and found 1 medium, at 2"), "{evidence}");
    assert_eq!(entry["images"][0]["scans"][0]["counts"]["medium"], 1);
    check("status", &world.hoist(&["status", "--json", "--no-drift"]).stdout);

    // Released there at once, what is asked for is more than the scan does.
    let refused = release("branch=strict");
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    // The same again changes nothing, although it was scanned anew.
    assert_eq!(release("branch=main").code, 0);
    let before = world.hoist(&["history", "--json"]).stdout.lines().count();
    assert_eq!(release("branch=main").code, 0);
    assert_eq!(world.hoist(&["history", "--json"]).stdout.lines().count(), before);
}
