//! Names in the engine of this machine.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use crate::engines::{Project, Published, engines};

/// What an engine says of an image; nothing if it has none of that name.
fn inspected(engine: &str, name: &str) -> Option<serde_json::Value> {
    let mut stream = UnixStream::connect(engine.trim_start_matches("unix://")).unwrap();
    let ask = format!("GET /v1.40/images/{name}/json HTTP/1.0\r\nHost: engine\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let body = &body[body.find('{')?..=body.rfind('}')?];
    head.starts_with("HTTP/1.0 200").then(|| serde_json::from_str(body).unwrap())
}

#[test]
fn an_image_is_called_by_its_local_tags_at_the_engine_whoever_made_it() {
    for engine in engines("names in the local engine") {
        let project = Project::new(&engine);
        let repo = &project.repo;
        repo.write(
            "release.kdl",
            r#"
image "built" { repository "names/built"; dockerfile; tags { local "local-{short}" "again"; raw "dev"; }; push "images"; }
image "made" { repository "names/made"; assemble from="scratch" { layer { copy "Dockerfile" "/"; }; }; tags { local "mine"; }; }
registry "images" "oci:dist"
"#,
        );
        repo.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\nLABEL a=b\n");
        repo.commit("Begin");
        let told = project.succeed(&["build"]);
        let short = &repo.git(&["rev-parse", "HEAD"])[..7];
        let names = [
            format!("names/built:local-{short}"),
            "names/built:again".to_owned(),
            "names/made:mine".to_owned(),
        ];
        if engine.contains("buildkit") {
            assert!(told.contains("no engine of this machine keeps images"), "{told}");
            continue;
        }
        for name in &names {
            assert!(inspected(&engine, name).is_some(), "{engine} {name}: {told}");
        }
        // It is the image that is published, and nothing else of it is.
        project.release();
        let published = Published::read(&project, "dist/names/built");
        let found = inspected(&engine, &names[0]).unwrap();
        assert_eq!(found["Config"]["Labels"], published.config["config"]["Labels"], "{engine}");
        assert!(!repo.read("dist/names/built/index.json").contains("local-"), "{engine}");
        // What has its name is not named again: no engine is asked.
        let project = Project { engine: "unix:///nowhere/socket".to_owned(), ..project };
        project.succeed(&["build"]);
    }
}
