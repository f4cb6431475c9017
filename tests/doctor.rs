//! What hoist says of engines, and what it removes from them: `doctor` and `clean`.

use serde_json::Value;

use crate::engine_faults::soon;
use crate::engines::{Project, engines};
use crate::schemas::check;

const RELEASE: &str = r#"
builder "gone" "tcp://127.0.0.1:9" platforms="linux/s390x"
image "web" { dockerfile; }
"#;

/// A project with an image that an engine builds.
fn project(engine: &str) -> Project {
    let project = Project::new(engine);
    project.repo.write("release.kdl", RELEASE);
    project.repo.write("Dockerfile", "FROM scratch\nCOPY release.kdl /\n");
    project.repo.commit("Begin");
    project
}

/// What was found of one thing that was checked.
fn found(project: &Project, name: &str) -> (i32, Value) {
    let ended = project.hoist(&["doctor", "--json"]);
    check("doctor", &ended.stdout);
    let value: Value = serde_json::from_str(&ended.stdout).unwrap();
    let checks = value["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name).cloned();
    (ended.code, found.unwrap_or_else(|| panic!("`{name}` is not in {value:#}")))
}

#[test]
fn an_engine_is_told_with_what_it_is_and_what_it_builds() {
    for engine in engines("an_engine_is_told_with_what_it_is_and_what_it_builds") {
        let project = project(&engine);
        let (_, told) = found(&project, "DOCKER_HOST");
        assert_eq!(told["status"], "ok", "{told:#}");
        let is_docker = told["engine"]["program"] != "Podman";
        assert_eq!(told["engine"]["buildkit"], is_docker, "{told:#}");
        assert_eq!(told["engine"]["address"], engine);
        assert_eq!(told["engine"]["builds"], serde_json::json!([told["engine"]["platform"]]));
        assert!(told["found"].as_str().unwrap().contains(&engine), "{told:#}");

        // One that nothing needs is no failure; one that something needs is.
        let (code, gone) = found(&project, "builder gone");
        assert_eq!((code, &gone["status"]), (0, &Value::from("warn")), "{gone:#}");
        project.repo.write(
            "release.kdl",
            RELEASE.replace("{ dockerfile; }", "{ dockerfile; platforms \"linux/s390x\"; }"),
        );
        let (code, none) = found(&project, "build for linux/s390x");
        assert_eq!((code, &none["status"]), (1, &Value::from("fail")), "{none:#}");
    }
}

#[test]
fn a_docker_host_that_is_no_address_is_told_without_what_may_be_secret() {
    let project = project("ssh://ci:s3cret@arm-1");
    let (code, told) = found(&project, "DOCKER_HOST");
    assert_eq!((code, &told["status"]), (1, &Value::from("fail")), "{told:#}");
    assert!(told["found"].as_str().unwrap().contains("a password"), "{told:#}");
    assert!(!told.to_string().contains("s3cret"), "{told:#}");
    let built = project.hoist(&["build"]);
    assert_eq!(built.code, 3, "{}", built.stderr);
    assert!(!built.stderr.contains("s3cret"), "{}", built.stderr);
}

#[test]
fn what_was_left_at_an_engine_is_listed_and_then_removed() {
    for engine in engines("what_was_left_at_an_engine_is_listed_and_then_removed") {
        let (project, other) = (project(&engine), project(&engine));
        project.succeed(&["build"]);
        other.succeed(&["build"]);
        let left = |arguments: &[&str]| {
            let ended = project.hoist(&[&["clean", "--json"], arguments].concat());
            check("clean", &ended.stdout);
            let value: Value = serde_json::from_str(&ended.stdout).unwrap();
            value["engines"].as_array().unwrap().clone()
        };
        if engine.contains("buildkit") {
            assert_eq!(left(&["--dry-run"]), [Value::Null; 0], "it keeps no images");
            continue;
        }
        // An engine that is slow to answer is left for another time.
        let times = 0..20;
        let would = times.map(|_| left(&["--dry-run"])).find(|found| !found.is_empty()).unwrap_or_default();
        assert_eq!(would.len(), 1, "{engine}: {would:#?}");
        let name = would[0]["image"].as_str().unwrap();
        assert!(name.starts_with("hoist.local/project-") && name.contains(":web-build-"), "{name}");
        assert!(soon(|| left(&[]).len() == 1), "{engine}");
        assert_eq!(left(&[]), [Value::Null; 0]);
        // Nothing of another checkout, and the next build goes on as ever.
        let kept = || other.hoist(&["clean", "--dry-run"]).stderr;
        assert!(soon(|| kept().contains("image hoist.local/project-")), "{}", kept());
        project.succeed(&["build", "--force"]);
    }
}
