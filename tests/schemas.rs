//! What commands print with `--json` is what the schemas in `schema/` say.

use std::path::Path;

use serde_json::Value;

use crate::fixture::{Repo, installed};
use crate::registry::Registry;

#[path = "../src/run/schema/validator.rs"]
mod validator;

/// Makes sure that each line is an object of a schema, and there is one.
pub(crate) fn check(schema: &str, printed: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schema/{schema}.schema.json"));
    let text = std::fs::read_to_string(path).expect("there is such a schema");
    let schema: Value = serde_json::from_str(&text).expect("it is JSON");
    assert!(!printed.is_empty(), "nothing was printed");
    for line in printed.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(validator::wrong(&schema, &value, &schema), None, "{value:#}");
    }
}

#[test]
fn json_of_each_command_is_as_its_schema_says() {
    if !installed("JSON of commands that use a registry", &["docker-registry"]) {
        return;
    }
    let repo = Repo::new();
    repo.write(".gitignore", "/.registry*\n/out\n");
    let registry = Registry::start(&repo);
    let host = format!("127.0.0.1:{}", registry.port);
    repo.write(
        "release.kdl",
        format!(
            "registry \"local\" \"{host}/team\"\nregistry \"gone\" \"127.0.0.1:1/x\"\n\
             target \"make\" {{ run \"mkdir -p out && echo made > out/made\"; inputs \"release.kdl\"; outputs \"out/made\"; }}\n\
             image \"web\" {{\n    assemble from=\"scratch\" {{ layer {{ copy \"release.kdl\" \"/a\"; }}; }}\n    \
             tags {{ raw \"dev\"; }}\n    push \"local\"\n}}\n"
        ),
    );
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    let json = |arguments: &[&str]| repo.hoist(&[arguments, &["--json"]].concat()).stdout;
    assert_eq!(repo.hoist(&["run", "web", "make"]).code, 0);
    let web = format!("{host}/team/web");
    check("copy", &json(&["copy", "web", &format!("{web}:a"), &web, "oci:out/layout:a"]));
    check("remove", &json(&["remove", &format!("{web}:a"), "oci:out/layout:a", "--yes"]));
    check("doctor", &json(&["doctor"]));
    check("login", &json(&["login"]));
    check("login", &json(&["logout", &host]));
    check("problems", &json(&["nope"]));
    check("problems", &json(&["run", "--nope"]));
    let would = json(&["clean", "--dry-run"]);
    check("clean", &would);
    assert!(would.contains("out/made") && would.contains("\"removed\":false"), "{would}");
    assert!(repo.has("out/made"));
    check("clean", &json(&["clean"]));
    assert!(!repo.has("out/made"));
}
