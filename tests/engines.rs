//! Images of Dockerfiles, built through hoist by Docker, by Podman, and by BuildKit.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use hoist::oci::{
    ArchiveEntry, ArchiveKind, Descriptor, Digest, History, ImageConfig, Index, LayerCompression,
    MAX_ARCHIVE_ENTRIES, Manifest, Platform, decompress, media_type, read_archive,
};
use hoist::store::Layout;
use rustix::process::Pid;

use crate::daemons;
use crate::fixture::{Ended, Repo, installed};
use crate::logins::{HTPASSWD, that_hold};
use crate::registry::{Registry, digest_of};

/// A project whose images an engine builds.
pub(crate) struct Project {
    pub(crate) repo: Repo,
    /// What `DOCKER_HOST` says.
    pub(crate) engine: String,
}

impl Project {
    /// In a repository without a commit.
    pub(crate) fn new(engine: &str) -> Self {
        let repo = Repo::new();
        repo.write(".gitignore", "/.registry*\n/.hidden*\n/dist/\n/.hoist/\n");
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        Self { repo, engine: engine.to_owned() }
    }

    /// Calls hoist.
    pub(crate) fn hoist(&self, arguments: &[&str]) -> Ended {
        self.hoist_with(arguments, &[])
    }

    /// As [`hoist`](Self::hoist), with further variables.
    pub(crate) fn hoist_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
        let variables = [&[("DOCKER_HOST", self.engine.as_str())], variables].concat();
        self.repo.hoist_with(arguments, &variables)
    }

    /// What calls hoist where other things are mounted, which a script for the shell says.
    pub(crate) fn hoist_command_where(
        &self,
        mounts: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Command {
        let hoist = self.repo.command(arguments);
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &format!("{mounts} && exec \"$@\""), "sh"]);
        command.arg(hoist.get_program()).args(arguments).current_dir(self.repo.path()).env_clear();
        command.envs(hoist.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("DOCKER_HOST", &self.engine).envs(variables.iter().copied());
        command
    }

    /// Calls hoist where other things are mounted, which a script for the shell says.
    pub(crate) fn hoist_where(&self, mounts: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
        let mut command = self.hoist_command_where(mounts, arguments, variables);
        let output = command.output().expect("unshare is installed");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Calls hoist, which must succeed, and returns what it tells.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let ended = self.hoist(arguments);
        assert_eq!(ended.code, 0, "{} {arguments:?}\n{}{}", self.engine, ended.stdout, ended.stderr);
        ended.stderr
    }

    /// Publishes all images to their layouts or registries.
    pub(crate) fn release(&self) -> String {
        self.succeed(&["release", "--yes", "--allow-dirty"])
    }

    /// Puts a program with a shell and all that goes with it into a directory, which is
    /// to be `/bin` of an image.
    pub(crate) fn tools(&self, directory: &str) {
        self.repo.write(&format!("{directory}/busybox"), busybox());
        let path = self.repo.path().join(directory);
        fs::set_permissions(path.join("busybox"), fs::Permissions::from_mode(0o755)).unwrap();
        for name in TOOLS {
            symlink("busybox", path.join(name)).unwrap();
        }
    }
}

/// The names under which [`busybox`] is more than one program.
const TOOLS: [&str; 11] = ["sh", "cat", "cp", "dd", "echo", "grep", "ls", "sleep", "stat", "touch", "wc"];

/// A program that needs nothing else.
pub(crate) fn busybox() -> Vec<u8> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|at| at.join("busybox")).find(|path| path.is_file());
    fs::read(found.expect("it is installed")).expect("it can be read")
}

/// The engines of this machine: what `DOCKER_HOST` says for each of them.
pub(crate) fn engines(test: &str) -> Vec<String> {
    if !installed(test, &["busybox"]) {
        return Vec::new();
    }
    let sockets = [daemons::docker(test), daemons::podman(test), daemons::buildkit(test)];
    sockets.into_iter().flatten().map(|socket| format!("unix://{}", socket.display())).collect()
}

/// An image as it was published to a layout.
pub(crate) struct Published {
    pub(crate) digest: Digest,
    pub(crate) config: serde_json::Value,
    pub(crate) layers: usize,
    files: BTreeMap<String, (ArchiveEntry, String)>,
}

impl Published {
    /// The only image of a layout of the project.
    pub(crate) fn read(project: &Project, layout: &str) -> Self {
        let layout = Layout::open(project.repo.path().join(layout)).expect("it is a layout");
        Self::of(&layout, &layout.only().expect("it has one image"))
    }

    /// One image of a layout.
    pub(crate) fn of(layout: &Layout, image: &Descriptor) -> Self {
        let manifest = Manifest::parse(&layout.read(image).unwrap()).unwrap();
        let config = serde_json::from_slice(&layout.read(&manifest.config).unwrap()).unwrap();
        let mut files = BTreeMap::new();
        for layer in &manifest.layers {
            let compression = media_type::compression(&layer.media_type).expect("it is a layer");
            let archive = decompress(compression, layout.open_blob(layer).unwrap()).unwrap();
            read_archive::<std::io::Error>(archive, MAX_ARCHIVE_ENTRIES, &mut |entry, content| {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes)?;
                let path = String::from_utf8_lossy(&entry.path).into_owned();
                files.insert(path, (entry.clone(), String::from_utf8_lossy(&bytes).into_owned()));
                Ok(())
            })
            .unwrap();
        }
        Self { digest: image.digest, config, layers: manifest.layers.len(), files }
    }

    /// The content of a file.
    pub(crate) fn file(&self, path: &str) -> &str {
        &self.files.get(path).unwrap_or_else(|| panic!("no `{path}` in {:?}", self.files.keys())).1
    }

    /// The paths of all that is in it.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().filter(|path| !path.is_empty()).map(String::as_str)
    }

    fn entry(&self, path: &str) -> (&ArchiveKind, u32) {
        let (entry, _) = &self.files[path];
        (&entry.kind, entry.mode & 0o777)
    }

    fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Whether a text is in a file, a name, or the configuration.
    fn holds(&self, text: &str) -> bool {
        let in_files =
            self.files.iter().any(|(path, (_, content))| path.contains(text) || content.contains(text));
        in_files || self.config.to_string().contains(text)
    }
}

/// The arguments of the processes of this machine that have a text among them.
pub(crate) fn processes(text: &str) -> Vec<String> {
    all_with(text).map(|(_, line)| line).collect()
}

/// The processes of this machine that have a text among their arguments.
pub(crate) fn pids(text: &str) -> Vec<Pid> {
    all_with(text).map(|(process, _)| process).collect()
}

fn all_with(text: &str) -> impl Iterator<Item = (Pid, String)> {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let process = Pid::from_raw(path.file_name()?.to_str()?.parse().ok()?)?;
        let line = fs::read(path.join("cmdline")).ok()?;
        Some((process, String::from_utf8_lossy(&line).replace('\0', " ")))
    });
    all.filter(move |(_, line)| line.contains(text))
}

const STAGES: &str = r#"FROM scratch AS tools
COPY bin /bin
FROM tools AS made
ARG WORD=none
RUN --mount=type=secret,id=token --mount=type=secret,id=password \
    cat /run/secrets/token /run/secrets/password && \
    wc -c /run/secrets/token /run/secrets/password > /sizes && sleep 0.3
RUN echo $WORD > /word
FROM scratch AS final
LABEL com.example.own="of the Dockerfile"
COPY --from=made /word /sizes /
COPY . /site/
FROM final AS broken
RUN exit 1
"#;

const STAGES_RELEASE: &str = r#"
var "word" "seven"
image "web" {
    dockerfile context="service" target="final" {
        arg WORD="{word}"
        secret "token" env="TOKEN"
        secret "password" file=".hidden"
    }
    label com.example.team="core"
    tags { raw "dev"; }
    push "images"
}
registry "images" "oci:dist"
"#;

/// A project of [`STAGES`], whose password is this. What an engine built for another test is
/// nothing that it can take for this one.
fn of_stages(engine: &str, password: &str) -> Project {
    let project = Project::new(engine);
    let Project { repo, .. } = &project;
    repo.write("release.kdl", STAGES_RELEASE);
    repo.write("service/Dockerfile", STAGES);
    repo.write("service/.dockerignore", "**/*.log\n/notes\n");
    project.tools("service/bin");
    repo.write("service/bin/own", repo.path().display().to_string());
    repo.write("service/plain", "plain\n");
    repo.write("service/run.sh", "#!/bin/sh\necho run\n");
    let service = repo.path().join("service");
    fs::set_permissions(service.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("plain", service.join("link")).unwrap();
    symlink("nothing/there", service.join("dangling")).unwrap();
    fs::create_dir_all(service.join("empty/inner")).unwrap();
    repo.write("service/deep/a.log", "1\n");
    repo.write("service/notes/a", "1\n");
    repo.write(".hidden", password);
    repo.commit("Begin");
    // A label says that the tree is not that of the commit: from the beginning.
    repo.write("service/notes/a", "2\n");
    project
}

#[test]
fn an_image_is_made_of_stages_arguments_and_the_files_that_are_not_ignored() {
    const TOKEN: &str = "token-of-17-bytes";
    for engine in engines("an image of several stages") {
        let project = of_stages(&engine, "any password");
        let release = |arguments: &[&str]| {
            let arguments = [&["release", "--yes", "--allow-dirty"], arguments].concat();
            let ended = project.hoist_with(&arguments, &[("TOKEN", TOKEN)]);
            assert_eq!(ended.code, 0, "{engine}: {}{}", ended.stdout, ended.stderr);
            (ended.stderr, Published::read(&project, "dist/web"))
        };
        let (_, first) = release(&[]);
        let labels = &first.config["config"]["Labels"];
        assert_eq!(labels["com.example.team"], "core", "{engine}: {labels}");
        assert_eq!(labels["com.example.own"], "of the Dockerfile", "{engine}: {labels}");
        assert_eq!(labels["org.opencontainers.image.revision"], *project.repo.git(&["rev-parse", "HEAD"]));
        assert!(!labels.to_string().contains("dev.hoist"), "{engine}: {labels}");
        assert_eq!(first.config["created"], "2026-01-02T03:04:05Z");
        assert_eq!(first.file("word"), "seven\n");
        assert!(first.file("sizes").contains("17 /run/secrets/token"), "{engine}: {}", first.file("sizes"));
        assert_eq!(first.entry("site/plain"), (&ArchiveKind::File, 0o644));
        assert_eq!(first.entry("site/run.sh"), (&ArchiveKind::File, 0o755));
        assert_eq!(first.entry("site/link").0, &ArchiveKind::Symlink(b"plain".to_vec()));
        assert_eq!(first.entry("site/dangling").0, &ArchiveKind::Symlink(b"nothing/there".to_vec()));
        assert_eq!(first.entry("site/empty/inner").0, &ArchiveKind::Directory);
        for absent in ["site/deep/a.log", "site/notes", "site/notes/a", "bin/busybox", "site/release.kdl"] {
            assert!(!first.has(absent), "{engine}: {absent}");
        }

        assert!(release(&[]).0.contains("Nothing to do"), "{engine}");
        // Where nothing is known any more, the engine makes the same again.
        assert_eq!(project.hoist(&["clean", "--cache"]).code, 0);
        let (told, again) = release(&[]);
        assert!(told.contains("web:build"), "{engine}: {told}");
        assert_eq!(again.digest, first.digest, "{engine}");

        project.repo.write("service/deep/a.log", "2\n");
        project.repo.write("service/notes/b", "2\n");
        assert!(release(&[]).0.contains("Nothing to do"), "{engine}");
        project.repo.write("service/deep/sent", "3\n");
        project.repo.write("service/plain", "other\n");
        let why = project.hoist(&["why", "web:build*"]).stdout;
        assert!(why.contains("service/plain") && why.contains("service/deep/sent"), "{engine}: {why}");
        let (_, other) = release(&[]);
        assert_ne!(other.digest, first.digest);
        assert_eq!((other.file("site/plain"), other.file("site/deep/sent")), ("other\n", "3\n"));
        let why = project.hoist(&["why", "web:build*", "word=eight"]).stdout;
        assert!(why.contains("ARG WORD"), "{engine}: {why}");
        assert_eq!(release(&["word=eight"]).1.file("word"), "eight\n");
    }
}

#[test]
fn a_secret_of_a_build_is_nowhere_but_in_the_build() {
    // Engines are shared, and keep secrets while a build runs: no other test has these.
    const SECRETS: [&str; 2] = ["t0ken-of-one-test", "passw0rd-of-one-test"];
    for engine in engines("secrets of builds") {
        let project = of_stages(&engine, SECRETS[1]);
        let mut child = project.repo.command(&["release", "--yes", "--allow-dirty", "--json"]);
        child.env("DOCKER_HOST", &engine).env("TOKEN", SECRETS[0]);
        let seen = std::thread::scope(|scope| {
            let hoist = scope.spawn(|| child.output().unwrap());
            let mut seen = Vec::new();
            while !hoist.is_finished() {
                seen.extend(SECRETS.iter().flat_map(|secret| processes(secret)));
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            let output = hoist.join().unwrap();
            let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{engine}: {text}");
            assert!(text.contains("***"), "{engine}: the build wrote them, {text}");
            assert!(!SECRETS.iter().any(|secret| text.contains(secret)), "{engine}: {text}");
            seen
        });
        assert_eq!(seen, Vec::<String>::new(), "{engine}");
        let image = Published::read(&project, "dist/web");
        let log = project.hoist(&["log", "web:build*"]).stdout;
        assert!(log.contains("***"), "{engine}: {log}");
        let kept = Path::new(engine.trim_start_matches("unix://")).with_file_name("data");
        for secret in SECRETS {
            assert!(!image.holds(secret), "{engine}");
            assert!(!log.contains(secret), "{engine}: {log}");
            let here = project.repo.path();
            let files = that_hold(here.parent().unwrap(), secret);
            assert_eq!(files, [".hidden"].into_iter().filter(|_| secret == SECRETS[1]).collect::<Vec<_>>());
            let at_engine = Command::new("grep").args(["-rlF", secret]).arg(&kept).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&at_engine.stdout), "", "{engine}");
        }
        // Its value is no part of the key.
        let again = project.hoist_with(&["release", "--yes", "--allow-dirty"], &[("TOKEN", "another")]);
        assert!(again.stderr.contains("Nothing to do"), "{engine}: {}", again.stderr);
    }
}

#[test]
fn the_ignore_file_beside_a_dockerfile_replaces_that_of_the_context() {
    for engine in engines("ignore files of Dockerfiles") {
        let project = Project::new(&engine);
        let Project { repo, .. } = &project;
        repo.write(
            "release.kdl",
            "image \"web\" { dockerfile \"docker/web.Dockerfile\" context=\".\"; tags { raw \"dev\"; }; push \"images\"; }\n\
             registry \"images\" \"oci:dist\"\n",
        );
        repo.write("docker/web.Dockerfile", "FROM scratch\nCOPY . /\n");
        repo.write(
            "docker/web.Dockerfile.dockerignore",
            "*\n!site\n!.dockerignore\nsite/*.tmp\n!site/kept.tmp\n",
        );
        repo.write(".dockerignore", "site\n");
        for file in ["site/a", "site/b.tmp", "site/kept.tmp", "other"] {
            repo.write(file, "1\n");
        }
        repo.commit("Begin");
        repo.write("other", "2\n");
        project.release();
        let image = Published::read(&project, "dist/web");
        let files: Vec<_> = image.paths().collect();
        assert_eq!(files, [".dockerignore", "site", "site/a", "site/kept.tmp"], "{engine}");
        repo.write("other", "3\n");
        assert!(project.release().contains("Nothing to do"), "{engine}");
        repo.write("docker/web.Dockerfile.dockerignore", "*\n!other\n");
        let why = project.hoist(&["why", "web:build*"]).stdout;
        assert!(why.contains("other"), "{engine}: {why}");
        // It may itself be what is copied, and nothing else.
        repo.write("docker/web.Dockerfile.dockerignore", "*\n!.dockerignore\n");
        repo.write("docker/web.Dockerfile", "FROM scratch\nCOPY .dockerignore /kept\n");
        project.release();
        assert_eq!(Published::read(&project, "dist/web").file("kept"), "site\n", "{engine}");
    }
}

#[test]
fn a_stage_is_known_by_its_name_in_letters_of_any_case() {
    for engine in engines("names of stages") {
        let project = Project::new(&engine);
        let Project { repo, .. } = &project;
        repo.write(
            "release.kdl",
            "image \"web\" { dockerfile context=\"web\" target=\"MADE\"; tags { raw \"dev\"; }; push \"images\"; }\n\
             registry \"images\" \"oci:dist\"\n",
        );
        repo.write("web/a", "1234567\n");
        repo.write("web/Dockerfile", "FROM scratch AS Made\nCOPY a /\nFROM scratch\nCOPY a /b\n");
        repo.commit("Begin");
        project.release();
        let image = Published::read(&project, "dist/web");
        assert_eq!(image.paths().collect::<Vec<_>>(), ["a"], "{engine}");
        // It is known what its files are, though nothing bounds it.
        let report = project.hoist(&["report", "--json"]).stdout;
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["images"][0]["size"], 8, "{engine}: {report:#}");
    }
}

#[test]
fn a_cache_that_has_no_effect_is_told_with_what_has_it() {
    for engine in engines("caches without effect") {
        let project = Project::new(&engine);
        let Project { repo, .. } = &project;
        repo.write("web/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
        let told = |cache: &str| {
            let image = format!("image \"web\" {{ dockerfile context=\"web\" {{ {cache}; }}; }}\n");
            repo.write("release.kdl", image);
            let told = project.succeed(&["run", "web", "--force", "--color", "never"]);
            told.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let local = told("cache local=\".hidden-layers\"");
        let registry = told("cache registry=\"127.0.0.1:1/layers:cache\"");
        let inline = told("cache inline=#true");
        let is_told = |told: &str| told.contains("`cache` has no effect with this engine");
        let found = [&local, &registry, &inline].map(|told| is_told(told));
        let expected = match () {
            () if engine.contains("podman") => [true; 3],
            () if engine.contains("docker") => [true, true, false],
            () => [false; 3],
        };
        assert_eq!(found, expected, "{engine}: {local}\n{registry}\n{inline}");
    }
}

/// A layout with one image: the tools of the tests, and a file that says which.
pub(crate) fn base(project: &Project, word: &str, platform: &str) -> String {
    let name = format!(".hidden-base-{word}");
    let layout = Layout::create(project.repo.path().join(&name)).unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let header = |kind, mode, size| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header
    };
    for (path, mode, content) in [("bin/busybox", 0o755, busybox()), ("base", 0o644, word.into())] {
        let mut header = header(tar::EntryType::Regular, mode, content.len() as u64);
        archive.append_data(&mut header, path, content.as_slice()).unwrap();
    }
    for name in TOOLS {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        archive.append_link(&mut header, format!("bin/{name}"), "busybox").unwrap();
    }
    let archive = archive.into_inner().unwrap();
    let mut layer = layout.writer().unwrap();
    LayerCompression::GZIP.compress(&mut archive.as_slice(), &mut layer).unwrap();
    let layer = layer.commit(media_type::LAYER_GZIP).unwrap();
    let platform: Platform = platform.parse().unwrap();
    let mut config = ImageConfig::new(&platform);
    config.config.env = vec!["PATH=/bin".to_owned()];
    config.rootfs.diff_ids = vec![Digest::of(&archive)];
    config.history = vec![History { created_by: Some("the tests".to_owned()), ..History::default() }];
    let config = layout.write(media_type::CONFIG, &config.to_bytes()).unwrap();
    let manifest =
        layout.write(media_type::MANIFEST, &Manifest::new(config, vec![layer]).to_bytes()).unwrap();
    // As most bases are: one of several platforms.
    let manifest = Descriptor { platform: Some(platform), ..manifest };
    let index = layout.write(media_type::INDEX, &Index::new(vec![manifest]).to_bytes()).unwrap();
    layout.set_ref("1", &index).unwrap();
    name
}

/// Puts an image of a layout into a registry.
pub(crate) fn publish(project: &Project, layout: &str, reference: &str) {
    project.succeed(&["copy", &format!("oci:{layout}:1"), reference]);
}

/// The place of the credentials that `docker login` writes.
fn config_json(project: &Project) -> PathBuf {
    let directory = project.repo.path().with_file_name("home").join(".docker");
    fs::create_dir_all(&directory).unwrap();
    directory.join("config.json")
}

const BASED: &str = "ARG BASE=scratch\nARG TAG=1\nFROM ${BASE}:$TAG\nRUN echo made > /made\n";

#[test]
fn a_base_is_asked_for_with_a_login_and_decides_by_its_digest() {
    const TEST: &str = "bases of registries with logins";
    if !installed(TEST, &["docker-registry"]) {
        return;
    }
    for engine in engines(TEST) {
        let project = Project::new(&engine);
        let Project { repo, .. } = &project;
        repo.write(".registry-users", HTPASSWD);
        let users = repo.path().join(".registry-users").display().to_string();
        let more = format!("auth: {{ htpasswd: {{ realm: test, path: {users} }} }}\n");
        let registry = Registry::start_with(repo, &more);
        let team = format!("127.0.0.1:{}/team", registry.port);
        // `user:s3cret`.
        let login = r#"{ "auth": "dXNlcjpzM2NyZXQ=" }"#;
        let logins = format!(r#"{{ "auths": {{ "127.0.0.1:{}": {login} }} }}"#, registry.port);
        let credentials = config_json(&project);
        let image = format!(
            r#"
image "web" {{
    dockerfile context="web" {{ arg BASE="{team}/base"; }}
    tags {{ raw "dev"; }}
    push "images"
}}
registry "images" "oci:dist"
"#
        );
        repo.write(
            "release.kdl",
            format!(
                "{image}registry \"local\" \"{team}\" {{ login username=\"user\" password=\"file:.hidden\"; }}\n"
            ),
        );
        repo.write(".hidden", "s3cret\n");
        repo.write("web/Dockerfile", BASED);
        repo.commit("Begin");
        let push = |word: &str, platform: &str, tag: &str| {
            fs::write(&credentials, &logins).unwrap();
            publish(&project, &base(&project, word, platform), &format!("{team}/base:{tag}"));
            fs::remove_file(&credentials).unwrap();
        };
        let host = Platform::host().to_string();
        push("one", &host, "1");
        project.release();
        let first = Published::read(&project, "dist/web");
        assert_eq!((first.file("base"), first.file("made")), ("one", "made\n"), "{engine}");

        // The name stands for what it stood for.
        push("one", &host, "1");
        assert!(project.release().contains("Nothing to do"), "{engine}");
        push("two", &host, "1");
        let why = project.hoist(&["why", "web:build*"]).stdout;
        assert!(why.contains("FROM") && why.contains("/team/base:1"), "{engine}: {why}");

        // The same password from where `docker login` puts it.
        repo.write("release.kdl", &image);
        let stranger = project.hoist(&["run", "web"]);
        assert_eq!(stranger.code, 3, "{engine}: {}", stranger.stderr);
        assert!(stranger.stderr.contains("::unauthorized"), "{engine}: {}", stranger.stderr);
        fs::write(&credentials, &logins).unwrap();
        project.release();
        assert_eq!(Published::read(&project, "dist/web").file("base"), "two", "{engine}");
        push("three", "linux/s390x", "1");
        fs::write(&credentials, &logins).unwrap();
        for (tag, why) in [("1", "is not for `linux/"), ("none", "::unknown_base")] {
            repo.write("release.kdl", image.replace("{ arg", &format!("{{ arg TAG=\"{tag}\"; arg")));
            let wrong = project.hoist(&["run", "web"]);
            assert_eq!(wrong.code, 2, "{engine}: {}", wrong.stderr);
            assert!(wrong.stderr.contains(why), "{engine}: {}", wrong.stderr);
            // Where the Dockerfile names it.
            assert!(wrong.stderr.contains("web/Dockerfile:3:6"), "{engine}: {}", wrong.stderr);
        }
    }
}

#[test]
fn a_stage_for_the_builder_starts_from_the_image_for_what_that_runs_on() {
    const TEST: &str = "bases for what builds";
    if !installed(TEST, &["docker-registry"]) {
        return;
    }
    for engine in engines(TEST) {
        let project = Project::new(&engine);
        let registry = Registry::start(&project.repo);
        let team = format!("127.0.0.1:{}/team", registry.port);
        publish(&project, &base(&project, "one", &Platform::host().to_string()), &format!("{team}/base:1"));
        let text = "image \"web\" { dockerfile context=\"web\"; tags { raw \"dev\"; }; push \"images\"; }\n\
                    registry \"images\" \"oci:dist\"\n";
        project.repo.write("release.kdl", text);
        let stages = format!(
            "FROM --platform=$BUILDPLATFORM {team}/base:1 AS made\nRUN echo made > /made\n\
             FROM scratch\nCOPY --from=made /base /made /\n"
        );
        project.repo.write("web/Dockerfile", stages);
        project.repo.commit("Begin");
        project.release();
        let image = Published::read(&project, "dist/web");
        assert_eq!((image.file("base"), image.file("made")), ("one", "made\n"), "{engine}");
    }
}

#[test]
fn an_image_starts_from_others_of_the_file_and_copies_from_directories() {
    for engine in engines("contexts that are images and directories") {
        let project = Project::new(&engine);
        let Project { repo, .. } = &project;
        repo.write(
            "release.kdl",
            r#"
image "tools" { assemble from="scratch" { layer { copy "tools" "/bin"; }; env PATH="/bin"; }; }
image "middle" {
    dockerfile "middle.Dockerfile" context="none" { context "below" image="tools"; }
}
image "web" {
    dockerfile context="web" {
        context "base" image="middle"
        context "conf" dir="conf"
        context "other" image="tools"
    }
    test "files" { run "cat" "/a" "/b" "/middle" "/made"; expect stdout="of a\nof b\nmiddle\nof b middle\n"; }
    tags { raw "dev"; }
    push "images"
}
registry "images" "oci:dist"
"#,
        );
        project.tools("tools");
        fs::create_dir(repo.path().join("none")).unwrap();
        repo.write("middle.Dockerfile", "FROM below\nRUN echo middle > /middle\n");
        repo.write(
            "web/Dockerfile",
            "FROM base\nCOPY --from=conf a /\nCOPY --from=conf / /conf/\n\
             RUN --mount=type=bind,from=conf,target=/conf cp /conf/b /b && \
             echo $(cat /conf/b /middle) > /made\n\
             COPY --from=other /bin/busybox /other\n",
        );
        repo.write("conf/a", "of a\n");
        repo.write("conf/b", "of b\n");
        repo.write("dirty", "0\n");
        repo.commit("Begin");
        repo.write("dirty", "1\n");
        project.succeed(&["run", "web:test"]);
        project.release();
        let image = Published::read(&project, "dist/web");
        assert_eq!((image.file("b"), image.file("made")), ("of b\n", "of b middle\n"), "{engine}");
        assert_eq!(image.layers, 6, "{engine}: of `tools`, of `middle`, and its own");
        assert!(image.has("other"));
        for of_the_engine in ["dev.hoist.project", "\"container", "Hostname"] {
            assert!(!image.holds(of_the_engine), "{engine}: {}", image.config);
        }

        repo.write("conf/c", "c\n");
        let plan = project.hoist(&["why", "web:build*"]).stdout;
        assert!(plan.contains("conf/c"), "{engine}: {plan}");
        let told = project.release();
        assert!(told.contains("web:build") && !told.contains("middle:build"), "{engine}: {told}");
        assert_eq!(Published::read(&project, "dist/web").file("conf/c"), "c\n");
        // What the lowest of them holds is in all of them.
        repo.write("tools/lowest", "low\n");
        let told = project.release();
        for step in ["tools:build", "middle:build", "web:build"] {
            assert!(told.contains(step), "{engine}: {told}");
        }
        assert_eq!(Published::read(&project, "dist/web").file("bin/lowest"), "low\n");
    }
}

#[test]
fn of_stages_that_are_built_at_once_the_one_that_failed_is_told() {
    for engine in engines("stages at once of which one fails") {
        let project = Project::new(&engine);
        let Project { repo, .. } = &project;
        repo.write(
            "release.kdl",
            "image \"tools\" { assemble from=\"scratch\" { layer { copy \"tools\" \"/bin\"; }; env PATH=\"/bin\"; }; }\n\
             image \"web\" { dockerfile context=\"none\" { context \"base\" image=\"tools\"; }; }\n",
        );
        project.tools("tools");
        fs::create_dir(repo.path().join("none")).unwrap();
        repo.write(
            "none/Dockerfile",
            "FROM base AS good\nRUN sleep 20; echo good\nFROM base AS bad\nRUN sleep 1; exit 3\n\
             FROM good\nCOPY --from=bad /bin/sh /x\n",
        );
        let ended = project.hoist(&["run", "web"]);
        assert_eq!(ended.code, 1, "{engine}");
        assert!(ended.stderr.contains("Dockerfile:4"), "{engine}: {}", ended.stderr);
        assert!(!ended.stderr.contains("too little memory"), "{engine}: {}", ended.stderr);
    }
}

#[test]
fn directories_that_an_assembled_layer_adds_to_stay_whose_they_are_and_what_they_are() {
    for engine in engines("directories below assembled layers") {
        let project = Project::new(&engine);
        let Project { repo, .. } = &project;
        repo.write(
            "release.kdl",
            r#"
image "tools" { assemble from="scratch" { layer { copy "tools" "/bin"; }; env PATH="/bin"; }; }
image "below" { dockerfile "below.Dockerfile" context="none" { context "tools" image="tools"; }; }
image "web" {
    assemble from="image:below" {
        layer { copy "file" "/tmp/file"; copy "file" "/home/app/file"; }
        layer { copy "file" "/data/file"; remove "/home/app/old"; }
    }
}
image "seen" {
    dockerfile "seen.Dockerfile" context="none" { context "web" image="web"; }
    tags { raw "dev"; }
    push "images"
}
registry "images" "oci:dist"
"#,
        );
        project.tools("tools");
        symlink("busybox", repo.path().join("tools/chmod")).unwrap();
        symlink("busybox", repo.path().join("tools/chown")).unwrap();
        symlink("busybox", repo.path().join("tools/mkdir")).unwrap();
        fs::create_dir(repo.path().join("none")).unwrap();
        repo.write("file", "1\n");
        let made = "mkdir -p /tmp /home/app /data && echo 1 > /home/app/old && chmod 1777 /tmp && \
                    chown 1000:1001 /home/app && chmod 700 /home/app && chown 65532:65532 /data";
        repo.write("below.Dockerfile", format!("FROM tools\nRUN {made}\n"));
        repo.write("seen.Dockerfile", "FROM web\nRUN stat -c '%n %a %u:%g' /tmp /home/app /data > /seen\n");
        repo.commit("Begin");
        project.release();
        let seen = Published::read(&project, "dist/seen");
        let expected = "/tmp 1777 0:0\n/home/app 700 1000:1001\n/data 755 65532:65532\n";
        assert_eq!(seen.file("seen"), expected, "{engine}");
    }
}

#[test]
fn an_image_is_tested_and_released_to_a_registry_with_files_that_a_target_makes() {
    const TEST: &str = "releases of images of Dockerfiles";
    if !installed(TEST, &["docker-registry", "skopeo"]) {
        return;
    }
    for engine in engines(TEST) {
        let project = Project::new(&engine);
        let Project { repo, .. } = &project;
        let registry = Registry::start(repo);
        let team = format!("127.0.0.1:{}/team", registry.port);
        publish(&project, &base(&project, "one", &Platform::host().to_string()), &format!("{team}/base:1"));
        let release = format!(
            r#"
target "generate" {{
    run "mkdir -p web/made; cat words > all; wc -l < all > web/made/count; rm all"
    inputs "words"
    outputs "web/made/"
}}
image "web" {{
    needs "generate"
    dockerfile context="web" {{ arg BASE="{team}/base"; }}
    budget size="20MB" layers=4
    test "count" {{ run "cat" "/site/made/count"; expect stdout="2"; }}
    expect file="/site/made/count" label="org.opencontainers.image.version"
    tags {{ semver "{{version}}" "{{major}}"; latest; }}
    push "local"
}}
registry "local" "{team}"
"#
        );
        repo.write("release.kdl", &release);
        repo.write(".gitignore", "/.registry*\n/.hidden*\n/web/made/\n/.hoist/\n");
        repo.write("words", "a\nb\n");
        repo.write("web/Dockerfile", format!("{BASED}COPY . /site/\n"));
        repo.commit("Begin");
        let release =
            |version: &str| project.succeed(&["release", "--event", &format!("tag=v{version}"), "--yes"]);
        let told = release("1.0.0");
        // Nothing but the configuration: what was built was put there when it was.
        assert!(told.contains("1 blob sent"), "{engine}: {told}");
        let image = || {
            let report = project.hoist(&["report", "--json"]).stdout;
            let report: serde_json::Value = serde_json::from_str(&report).unwrap();
            report["images"][0].clone()
        };
        let built = image();
        let reused = &built["reused"];
        assert_eq!(reused["unit"], "instruction", "{engine}: {built:#}");
        assert!(reused["all"].as_u64() > Some(0) && reused["reused"].is_u64(), "{engine}: {built:#}");
        assert!(built["built"].is_u64() && built["budget"]["size"]["used"].is_u64(), "{engine}: {built:#}");
        let tag = |tag: &str| digest_of(registry.port, &format!("web:{tag}"));
        let first = tag("1.0.0");
        assert_ne!(first, "none", "{engine}");
        assert_eq!([tag("1"), tag("latest")], [first.clone(), first.clone()], "{engine}");
        assert!(release("1.0.0").contains("Nothing to do"), "{engine}");

        // Another commit and another file, of which the same is made.
        repo.write("words", "c\nd\n");
        assert_eq!(project.hoist(&["run", "generate"]).code, 0);
        let why = project.hoist(&["why", "web:build*"]).stdout;
        assert!(!why.contains("made"), "{engine}: {why}");
        // Another number is another image, whose test fails before a tag moves.
        repo.write("words", "a\nb\nc\n");
        repo.commit("Another word");
        let failed = project.hoist(&["release", "--event", "tag=v1.1.0", "--yes"]);
        assert_eq!(failed.code, 1, "{engine}: {}", failed.stderr);
        assert!(failed.stderr.contains("::test_failed"), "{engine}: {}", failed.stderr);
        assert_eq!([tag("1.1.0"), tag("1")], ["none".to_owned(), first.clone()], "{engine}");

        let text = repo.read("release.kdl").replace("stdout=\"2\"", "stdout=\"3\"");
        repo.write("release.kdl", text.replace("layers=4", "layers=2"));
        repo.commit("A budget");
        repo.git(&["tag", "--force", "v1.1.0"]);
        let over = project.hoist(&["release", "--event", "tag=v1.1.0", "--yes"]);
        assert_eq!(over.code, 1, "{engine}: {}", over.stderr);
        assert!(over.stderr.contains("over_budget"), "{engine}: {}", over.stderr);
        assert_eq!([tag("1.1.0"), tag("1")], ["none".to_owned(), first.clone()], "{engine}");

        repo.write("release.kdl", &text);
        repo.commit("Three");
        repo.git(&["tag", "--force", "v1.1.0"]);
        release("1.1.0");
        // It was built when its budget was too small, and is one line longer.
        let built = image();
        let layers = built["layers"].as_array().map(Vec::len);
        let all = serde_json::json!({ "unit": "layer", "all": layers, "reused": layers });
        assert_eq!(built["reused"], all, "{engine}: {built:#}");
        assert_eq!(built["before"]["name"], format!("{team}/web:1.0.0"), "{engine}: {built:#}");
        let second = tag("1.1.0");
        assert_eq!([tag("1"), tag("latest"), tag("1.0.0")], [second.clone(), second, first], "{engine}");
    }
}
