//! What a run measures of its images, and the page that shows it.

use serde_json::{Value, json};

use crate::bases::noise;
use crate::fixture::{Repo, done, installed, refused};
use crate::registry::Registry;
use crate::schemas::check;

/// An image of two layers for two platforms, in this registry.
fn web(registry: &str) -> String {
    format!(
        "project \"shop\"\nregistry \"r\" {registry}\nimage \"web\" {{\n    assemble from=\"scratch\" {{\n        \
         layer {{ copy \"still\" \"/a/still\"; }}\n        layer {{ copy \"moving\" \"/b/moving\"; }}\n    }}\n    \
         platforms \"linux/amd64\" \"linux/arm64\"\n    tags {{ raw \"dev\"; }}\n    \
         budget size=\"10kB\" layers=3 wasted=\"5%\"\n    push \"r\"\n}}\n"
    )
}

fn shop(registry: &str) -> Repo {
    let repo = Repo::new();
    repo.write("release.kdl", web(registry));
    repo.write(".gitignore", "/out\n/.registry*\n");
    repo.write("still", "x".repeat(1000));
    repo.write("moving", "y".repeat(2000));
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    repo
}

/// The images of the last run, as it is reported.
fn images(repo: &Repo) -> Vec<Value> {
    let printed = repo.hoist(&["report", "--json"]).stdout;
    check("report", &printed);
    let report: Value = serde_json::from_str(&printed).expect("it is JSON");
    report["images"].as_array().expect("there are images").clone()
}

#[test]
fn a_release_says_what_its_images_weigh_and_how_they_grew() {
    let repo = shop("\"oci:out\"");
    let ended = repo.hoist(&["release", "--json"]);
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    check("events", &ended.stdout);
    for image in images(&repo) {
        assert_eq!((&image["size"], &image["wasted"]), (&json!(3000), &json!(0)), "{image:#}");
        let sizes: Vec<&Value> =
            image["layers"].as_array().expect("layers").iter().map(|one| &one["size"]).collect();
        assert_eq!(sizes, [&json!(1000), &json!(2000)]);
        let budget = json!({
            "size": { "used": 3000, "most": 10_000 },
            "layers": { "used": 2, "most": 3 },
            "wasted": { "used": 0, "most": 150 },
        });
        assert_eq!(image["budget"], budget);
        assert_eq!(image.get("growth"), None, "nothing was released before");
        assert!(image["built"].is_u64() && image["queued"].is_u64(), "{image:#}");
    }

    repo.write("moving", "z".repeat(2500));
    repo.commit("Grow");
    let ended = repo.hoist(&["release", "-j1", "--html", "out/run.html"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let line = "3.5 kB in 2 layers, +500 B since oci:out/web:dev; 1 of 2 layers reused";
    assert!(ended.stderr.contains(line), "{}", ended.stderr);
    assert!(ended.stderr.contains("size 6.5 kB left, layers 1 left, wasted 175 B left"), "{}", ended.stderr);
    let grown = images(&repo);
    let platforms: Vec<&Value> = grown.iter().map(|image| &image["platform"]).collect();
    assert_eq!(platforms, [&json!("linux/amd64"), &json!("linux/arm64")]);
    // What one platform wrote, the other need not.
    let mut reused: Vec<&Value> = grown.iter().map(|image| &image["reused"]["reused"]).collect();
    reused.sort_by_key(|count| count.as_u64());
    assert_eq!(reused, [&json!(1), &json!(2)]);
    for image in &grown {
        assert_eq!((&image["growth"], &image["before"]["size"]), (&json!(500), &json!(3000)), "{image:#}");
        assert!(image["before"]["released"].is_string(), "{image:#}");
    }
    let summary = repo.hoist(&["report"]).stdout;
    assert!(summary.contains("| <code>web linux/amd64</code> | 3.5 kB | +500 B |"), "{summary}");

    // The page that the run wrote is the one of its record.
    let page = repo.read("out/run.html");
    repo.hoist(&["report", "--html", "out/again.html"]);
    assert_eq!(repo.read("out/again.html"), page);
    let digest = grown[0]["digest"].as_str().expect("a digest");
    for part in [
        "<dd>3.5 kB</dd><dd>+500 B since oci:out/web:dev, ",
        "<div><span>size</span><div class=\"meter\"><i style=\"width:35.00%\"></i></div><span>3.5 kB of 10.0 kB",
        "title=\"layer 2, 2.5 kB\"",
        digest,
        "<td class=\"by\">hoist: copy moving /b/moving",
        "<code>oci:out/web:dev</code>",
        "<h2>History</h2>",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
}

#[test]
fn an_image_that_was_made_before_is_measured_too() {
    let repo = Repo::new();
    repo.write("release.kdl", web("\"oci:out\""));
    repo.write("still", "x".repeat(1000));
    repo.write("moving", "y".repeat(2000));
    assert_eq!(repo.hoist(&["run", "web:budget"]).code, 0);
    repo.write("release.kdl", web("\"oci:out\"").replace("layers=3", "layers=4"));
    assert_eq!(repo.hoist(&["run", "web:budget"]).code, 0);
    let image = &images(&repo)[0];
    assert_eq!((&image["budget"]["layers"]["most"], &image["size"]), (&json!(4), &json!(3000)), "{image:#}");
    assert_eq!((image.get("built"), image.get("reused")), (None, None), "{image:#}");
}

#[test]
fn an_image_that_grows_by_more_than_it_may_is_refused() {
    let repo = shop("\"oci:out\"");
    let bounded = |growth: &str| {
        let bound = web("\"oci:out\"").replace("wasted=\"5%\"", growth).replace("10kB", "1MB");
        repo.write("release.kdl", bound);
        repo.commit("A bound");
    };
    repo.write("still", &noise(100_000)[..10_000]);
    repo.write("moving", &noise(100_000)[20_000..30_000]);
    // Nothing was published before, not even a directory is there.
    bounded("growth=\"10%\" since=\"dev\"");
    let first = repo.hoist(&["run", "web:budget"]);
    done(&first);
    assert!(first.stderr.contains("`growth` has no bound: oci:out/web:dev is not there"), "{}", first.stderr);
    assert!(!repo.has("out"));
    let release = || repo.hoist(&["release", "--event", "branch=main", "--yes"]);
    done(&release());
    repo.write("moving", &noise(100_000)[40_000..51_500]);
    repo.commit("Grow a little");
    done(&release());
    repo.write("moving", &noise(100_000)[60_000..75_000]);
    repo.commit("Grow too much");
    let refusal = [
        "hoist::run::over_budget",
        "the image for `linux/amd64` grew by 3.5 kB (16.1 %)",
        "the image for `linux/arm64` grew by",
        "at most 10 %",
        "21.8 kB for oci:out/web:dev",
        "layer 2",
    ];
    let ended = release();
    refused(&ended, 1, &refusal);
    assert!(!ended.stderr.contains("layer 1"), "{}", ended.stderr);
    // What is published changes without release.kdl: the step runs each time.
    refused(&release(), 1, &refusal);
    bounded("growth=\"4kB\" since=\"dev\"");
    done(&release());
    bounded("growth=\"10%\" since=\"dev\"");
    done(&repo.hoist(&["run", "web:budget"]));

    // Where nothing is published, what was may not be readable: that is said, and no failure.
    let there = repo.read("release.kdl");
    repo.write("release.kdl", there.replace("\"oci:out\"", "\"127.0.0.1:9/team\" insecure=#true"));
    let fork = repo.hoist(&["run", "web:budget", "--event", "pr=1"]);
    done(&fork);
    let said = ["`growth` is not looked at", "127.0.0.1:9/team/web:dev cannot be read"];
    assert!(said.iter().all(|said| fork.stderr.contains(said)), "{}", fork.stderr);

    bounded("growth=\"10%\" since=\"-x\"");
    refused(&repo.hoist(&["check"]), 2, &["hoist::tags::invalid_tag", "`-x` is not a tag"]);
    bounded("since=\"dev\"");
    refused(&repo.hoist(&["check"]), 2, &["hoist::config::missing_property", "`since` is for `growth`"]);
    bounded("growth=\"10%\"");
    let text = repo.read("release.kdl").replace("    push \"r\"\n", "");
    repo.write("release.kdl", text);
    refused(&repo.hoist(&["plan", "web:budget"]), 2, &["this one is not", "give the image a `push`"]);
}

#[test]
fn an_image_beyond_its_budget_is_measured_too() {
    let repo = shop("\"oci:out\"");
    repo.write("moving", "y".repeat(20_000));
    repo.commit("Grow too much");
    let ended = repo.hoist(&["release"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let image = &images(&repo)[0];
    assert_eq!(image["budget"]["size"], json!({ "used": 21_000, "most": 10_000 }), "{image:#}");
    let page = repo.hoist(&["report", "--format", "html"]).stdout;
    assert!(page.contains("21.0 kB of 10.0 kB, <b>11.0 kB over</b>"), "{page}");
}

#[test]
fn a_machine_that_released_nothing_asks_the_registry_what_the_tag_held() {
    if !installed("the figures of what a registry holds", &["docker-registry"]) {
        return;
    }
    let repo = Repo::new();
    let registry = Registry::start(&repo);
    let host = format!("127.0.0.1:{}", registry.port);
    let repo = shop(&format!("\"{host}/team\""));
    assert_eq!(repo.hoist(&["release", "--yes"]).code, 0);
    repo.write("moving", "z".repeat(2500));
    repo.commit("Grow");
    let elsewhere = repo.path().join("out/cache");
    let environment = [("HOIST_CACHE_DIR", elsewhere.to_str().expect("the path is text"))];
    let ended = repo.hoist_with(&["release", "--yes"], &environment);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for image in images(&repo) {
        let before = &image["before"];
        assert_eq!(before["name"], format!("{host}/team/web:dev"), "{image:#}");
        assert_eq!((before["layers"].as_u64(), before.get("released")), (Some(2), None));
        let (now, then) = (image["transferred"].as_i64(), before["transferred"].as_i64());
        assert_eq!(image["growth"].as_i64(), Some(now.expect("known") - then.expect("known")));
    }
}

#[test]
fn a_page_shows_no_secret_runs_nothing_and_loads_nothing() {
    let repo = Repo::with(
        "target \"<b>x\" {\n    pass-env \"TOKEN\"\n    \
         run \"echo \\\"token $TOKEN </pre><script src=//evil.example>alert(1)</script>\\\"; exit 3\"\n}\n",
    );
    let environment = [("TOKEN", "s3cr3t-value")];
    let ended = repo.hoist_with(&["run", "<b>x", "--html", "out/run.html"], &environment);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let page = repo.read("out/run.html");
    assert!(page.contains("token *** &lt;/pre&gt;&lt;script src=//evil.example&gt;"), "{page}");
    for word in ["s3cr3t", "<script", "<b>x", "@import", "url(", "<link", "<img"] {
        assert!(!page.contains(word), "{word} is in {page}");
    }
    assert!(page.contains("default-src 'none'"), "{page}");
}

#[test]
fn what_made_a_layer_is_told_without_secrets() {
    let repo = Repo::with(
        "target \"t\" { pass-env \"TOKEN\"; run \"true\"; }\nimage \"web\" {\n    \
         assemble from=\"scratch\" { layer { copy \"a\" \"/s3cr3t-value/a\"; }; }\n}\n",
    );
    repo.write("a", "x");
    let ended = repo.hoist_with(&["run", "web:build*", "--json"], &[("TOKEN", "s3cr3t-value")]);
    assert_eq!(ended.code, 0, "{}", ended.stdout);
    assert!(ended.stdout.contains("\"created_by\":\"hoist: copy a /***/a\""), "{}", ended.stdout);
    assert!(!ended.stdout.contains("s3cr3t"), "{}", ended.stdout);
}

#[test]
fn a_page_is_written_where_it_is_asked_for_or_not_at_all() {
    let repo = Repo::with("target \"a\" { run \"true\"; }\n");
    let ended = repo.hoist(&["report", "--html", "run.html"]);
    assert_ne!(ended.code, 0, "nothing has run: {}", ended.stderr);
    assert!(!repo.has("run.html"));
    assert_eq!(repo.hoist(&["a"]).code, 0);
    let ended = repo.hoist(&["report", "--html", "run.html"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));
    assert!(ended.stderr.starts_with("wrote "), "{}", ended.stderr);
    assert!(repo.read("run.html").starts_with("<!doctype html>"));
    assert_eq!(repo.hoist(&["report", "--html", "release.kdl/x"]).code, 2);
    assert_eq!(repo.hoist(&["report", "--html", "x", "--format", "json"]).code, 2);
}
