//! Images that go on to another stage, tags that are set, a long ledger, and the edit of a
//! manifest.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use hoist::deploy::{Pin, set_image};

use crate::Bench;
use crate::image;
use crate::measure::{Contender, Run, Runs, in_turns, run};
use crate::registry::Registry;
use crate::table::{against, left_out, line};
use crate::{available, directory};

/// What says what stages run, and its copy at the remote.
const LEDGER: &str = "refs/hoist/ledger";

/// Its images.
const IMAGES: [&str; 3] = ["api", "web", "worker"];

/// A repository with one commit on `main`, a tag on it, and a remote.
fn repository(root: &Path) {
    git(root, "init --quiet --initial-branch=main");
    git(root, "config user.name bench");
    git(root, "config user.email bench@example.com");
    git(root, "add release.kdl");
    git(root, "commit --quiet --message=begin");
    git(root, "tag v1.0.0");
    git(root, "init --quiet --bare remote.git");
    git(root, "remote add origin ./remote.git");
    git(root, "push --quiet origin main v1.0.0");
}

/// What git says to some words.
fn git(root: &Path, words: &str) -> String {
    let output = Command::new("git").current_dir(root).args(words.split(' ')).output();
    let output = output.expect("git can be started");
    assert!(output.status.success(), "git {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Bench {
    /// An image for two platforms enters a stage with a repository of its own, at the same
    /// registry and at another one. Beside it goes only the copy, without a ledger.
    pub(crate) fn promotion(&self, files: usize) {
        let directory = directory();
        let root = directory.path();
        let what = format!("image of {files} files and one of 200 MB, two platforms, promoted");
        let second = root.join("second");
        fs::create_dir(&second).expect("a directory can be made");
        let (Some(first), Some(second)) = (Registry::start(root), Registry::start(&second)) else {
            return left_out(&what, "docker-registry is not installed");
        };
        image::write(root, files);
        let (here, there) = (first.place(), second.place());
        let text = format!(
            "project \"bench\"\n\
             registry \"dev\" \"{here}/dev\" insecure=#true\n\
             registry \"near\" \"{here}/prod\" insecure=#true\n\
             registry \"far\" \"{there}/prod\" insecure=#true\n\
             image \"web\" {{ platforms \"linux/amd64\" \"linux/arm64\"; assemble from=\"scratch\" {{ \
             layer {{ copy \"data/small\" \"/data/small\"; }}; layer {{ copy \"data/large\" \"/data/large\"; }}; }}; \
             tags {{ semver \"{{version}}\"; branch \"{{branch}}\"; }}; push \"dev\"; }}\n\
             stage \"staging\" {{ on branch=\"main\"; }}\n\
             stage \"near\" {{ on tag=\"v*\"; from \"staging\"; registry \"near\"; }}\n\
             stage \"far\" {{ on tag=\"v*\"; from \"staging\"; registry \"far\"; }}\n"
        );
        fs::write(root.join("release.kdl"), text).expect("a file can be written");
        repository(root);
        let release = ["release", "--quiet", "--yes", "--allow-dirty", "--event", "branch=main"];
        run(root, &self.hoist(&release).line);
        let entered = git(root, &format!("rev-parse {LEDGER}"));
        let forget = |registry: &Registry, part: &str| {
            registry.forget(part);
            for repository in [root.to_path_buf(), root.join("remote.git")] {
                git(&repository, &format!("update-ref {LEDGER} {entered}"));
            }
        };
        let (first, second, forget) = (&first, &second, &forget);
        let sides = [
            ("near", &here, first, "repositories/prod", "to another repository", "≤ 0.5 × skopeo"),
            ("far", &there, second, "", "to another registry", "≤ 0.7 × skopeo"),
        ];
        for (stage, place, registry, part, how, must) in sides {
            let clear = move |_| forget(registry, part);
            let hoist = self.hoist(&["promote", stage, "--quiet", "--yes"]).before(clear);
            let copy = format!(
                "skopeo copy --all --quiet --src-tls-verify=false --dest-tls-verify=false \
                 docker://{here}/dev/web:main docker://{place}/prod/web:1.0.0"
            );
            let skopeo = Contender::new("skopeo copy --all", &["sh", "-c", &copy]).before(clear);
            self.compare(&directory, &format!("{what} {how}"), must, hoist, [skopeo]);
        }
    }

    /// Tags of three images, all of which are new; beside the bare requests.
    pub(crate) fn tags(&self, tags: usize) {
        let directory = directory();
        let root = directory.path();
        let what = format!("{tags} tags on {} images set", IMAGES.len());
        let Some(registry) = Registry::start(root) else {
            return left_out(&what, "docker-registry is not installed");
        };
        let place = registry.place();
        let rules: String = (0..tags / IMAGES.len()).fold(String::new(), |mut rules, at| {
            let _ = write!(rules, "raw \"t{at}\"; ");
            rules
        });
        let mut text = format!("registry \"out\" \"{place}\" insecure=#true\n");
        for name in IMAGES {
            let _ = writeln!(
                text,
                "image \"{name}\" {{ assemble from=\"scratch\" {{ layer {{ copy \"release.kdl\" \"/{name}\"; }}; }}; \
                 tags {{ {rules}}}; push \"out\"; }}"
            );
        }
        fs::write(root.join("release.kdl"), text).expect("a file can be written");
        let release = ["release", "--quiet", "--yes", "--allow-dirty", "--event", "branch=main"];
        run(root, &self.hoist(&release).line);
        let mut script = String::new();
        let mut requests = String::from("curl --parallel --parallel-max 30 --silent --fail");
        for name in IMAGES {
            let from = format!("http://{place}/v2/{name}/manifests");
            let _ = writeln!(script, "curl --silent -H 'Accept: {MANIFEST}' {from}/t0 > {name}.json");
            for at in 0..tags / IMAGES.len() {
                let next = if requests.contains("-T") { " --next --silent --fail" } else { "" };
                let _ = write!(
                    requests,
                    "{next} -T {name}.json -H 'Content-Type: {MANIFEST}' -o /dev/null {from}/t{at}"
                );
            }
        }
        run(root, &["sh".to_owned(), "-c".to_owned(), script]);
        let clear = |_| {
            for name in IMAGES {
                registry.forget(&format!("repositories/{name}/_manifests/tags"));
            }
        };
        let curl = Contender::new("curl --parallel, the PUTs alone", &["sh", "-c", &requests]).before(clear);
        self.compare(&directory, &what, "one request each", self.hoist(&release).before(clear), [curl]);
    }

    /// `hoist status` of a project with a long ledger, which its remote has, too.
    pub(crate) fn status(&self, entries: usize) {
        let directory = directory();
        let root = directory.path();
        let text = "registry \"out\" \"oci:out\"\nimage \"web\" { assemble from=\"scratch\" { \
             layer { copy \"release.kdl\" \"/it\"; }; }; tags { branch \"{branch}\"; }; push \"out\"; }\n\
             stage \"staging\" { on branch=\"main\"; }\n";
        fs::write(root.join("release.kdl"), text).expect("a file can be written");
        repository(root);
        let release = ["release", "--quiet", "--yes", "--allow-dirty", "--event", "branch=main"];
        run(root, &self.hoist(&release).line);
        // The same entry again and again: the newest alone is read.
        let tree = git(root, &format!("rev-parse {LEDGER}^{{tree}}"));
        let mut stream = String::new();
        for _ in 0..entries {
            let _ = writeln!(
                stream,
                "commit {LEDGER}\ncommitter bench <bench@example.com> 1767225600 +0000\ndata 5\nentry\n{}M 040000 {tree} \n",
                if stream.is_empty() { format!("from {LEDGER}^0\n") } else { String::new() }
            );
        }
        fs::write(root.join("entries"), stream).expect("a file can be written");
        let import = "git fast-import --quiet < entries && git push --quiet origin refs/hoist/ledger";
        run(root, &["sh".to_owned(), "-c".to_owned(), import.to_owned()]);
        let status = in_turns(root, self.rounds, &[self.hoist(&["status", "--quiet"])]).remove(0);
        let what = format!("status, a ledger of {entries} entries");
        against(&what, &status, "", Duration::from_millis(50), "≤ 50 ms");
    }

    /// The edit of one image in a long kustomization, in this process.
    pub(crate) fn edit(&self, lines: usize) {
        let directory = directory();
        let root = directory.path();
        let mut text = String::from("# What runs\nresources:\n  - web.yaml\nimages:\n");
        for at in 0..lines / 3 {
            let _ = writeln!(
                text,
                "  - name: placeholder/{at} # of team {at}\n    newName: example.com/{at}\n    newTag: \"1.{at}\""
            );
        }
        let name = format!("placeholder/{}", lines / 6);
        let digest = format!("sha256:{}", "0".repeat(64));
        let pin = Pin { repository: "example.com/web", tag: Some("2.0"), digest: &digest, by_digest: false };
        let walls = (0..self.rounds).map(|_| {
            let started = Instant::now();
            let edited = set_image(&text, &name, pin).expect("it can be edited");
            let wall = started.elapsed();
            assert_ne!(edited, text);
            Run { wall, peak: 0 }
        });
        let runs = Runs::of(walls);
        let what = format!("kustomization of {lines} lines edited, in the process");
        against(&what, &runs, "", Duration::from_millis(10), "≤ 10 ms");
        fs::write(root.join("web.yaml"), "kind: ConfigMap\n").expect("a file can be written");
        let script = format!("kustomize edit set image {name}=example.com/web:2.0");
        let write = |_| fs::write(root.join("kustomization.yaml"), &text).expect("a file can be written");
        let kustomize = Contender::new("kustomize edit", &["sh", "-c", &script]).before(write);
        if available(&what, &kustomize) {
            line(&what, &runs, kustomize.name, &in_turns(root, self.rounds, &[kustomize]).remove(0), "");
        }
    }
}

/// What a manifest of one platform is (OCI image specification, "Media Types").
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
