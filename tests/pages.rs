//! The release files in the pages of `docs/`, and the tags that the pages say they make.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fixture::{Repo, done};

/// The short commit that pages show, for whichever it is.
const SHORT: &str = "1a2b3c4";

/// The pages whose release files are whole; other blocks in them are parts of one.
fn pages() -> Vec<PathBuf> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut pages: Vec<PathBuf> = ["releasing", "deploying", "signing", "scanning"]
        .map(|name| docs.join(name).with_extension("md"))
        .into();
    let others = fs::read_dir(docs.join("coming-from")).expect("there are such pages");
    pages.extend(others.map(|page| page.expect("a page can be listed").path()));
    // It lists the others.
    pages.retain(|page| !page.ends_with("README.md"));
    pages.sort();
    pages
}

/// The blocks of a page, each with its language, in their order.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).collect()
}

/// Whether a block is a whole file, and not a part of one.
fn is_whole(text: &str) -> bool {
    ["project ", "registry ", "image ", "var "].iter().any(|first| text.starts_with(first))
}

/// A project with a release file, and with what release files name.
fn project(release: &str) -> Repo {
    let repo = Repo::new();
    for path in ["Dockerfile", "docker/Dockerfile", "docker/Dockerfile.dev", "docker/worker.Dockerfile"] {
        repo.write(path, "FROM scratch\nCOPY web /web\n");
    }
    repo.write("web", "1\n");
    repo.write("compose.yaml", "services:\n  web:\n    image: web\n");
    repo.write("release.kdl", release);
    repo.git(&["init", "--quiet", "--initial-branch=main"]);
    repo.commit("Begin");
    repo
}

#[test]
fn the_release_files_of_the_pages_are_right_and_formatted() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page can be read");
        let page = page.file_name().expect("it has a name").to_string_lossy().into_owned();
        let whole: Vec<&str> = blocks(&text)
            .into_iter()
            .filter(|(language, block)| *language == "kdl" && is_whole(block))
            .map(|(_, block)| block)
            .collect();
        assert!(!whole.is_empty(), "{page} has no release file");
        for block in whole {
            let repo = project(block);
            let check = repo.hoist(&["check"]);
            assert_eq!(check.code, 0, "{page}:\n{block}\n{}", check.stderr);
            let format = repo.hoist(&["fmt", "--check"]);
            assert_eq!(format.code, 0, "{page}:\n{}", format.stdout);
        }
    }
}

#[test]
fn the_pages_show_the_tags_that_their_release_files_make() {
    let mut shown = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page can be read");
        let mut repo = None;
        for (language, block) in blocks(&text) {
            if language == "kdl" && is_whole(block) {
                repo = Some(project(block));
            }
            let Some(calls) = block.strip_prefix("$ hoist tags ").filter(|_| language == "console") else {
                continue;
            };
            let repo = repo.as_ref().expect("a release file stands before what it makes");
            let short = repo.git(&["rev-parse", "--short=7", "HEAD"]);
            for call in calls.split("\n$ hoist tags ") {
                let (arguments, said) = call.split_once('\n').expect("something is said");
                let arguments: Vec<&str> = ["tags"].into_iter().chain(arguments.split(' ')).collect();
                let ended = repo.hoist(&arguments);
                done(&ended);
                let made = ended.stdout.replace(&short, SHORT);
                assert_eq!(made.trim(), said.trim(), "{}: {arguments:?}", page.display());
                shown += 1;
            }
        }
    }
    assert!(shown > 0, "no page shows tags");
}
