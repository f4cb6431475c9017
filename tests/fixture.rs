//! A project in a directory of its own, and hoist called in it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

/// A project with its own home, cache, and history; nothing of the machine's
/// configuration reaches it.
pub(crate) struct Repo {
    directory: TempDir,
}

/// How a call of hoist ended, with paths and durations made the same everywhere.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Makes sure that hoist did what it was to do.
#[track_caller]
pub(crate) fn done(ended: &Ended) {
    assert_eq!(ended.code, 0, "{}\n{}", ended.stdout, ended.stderr);
}

/// Makes sure that hoist ended with a code, and said all of this.
#[track_caller]
pub(crate) fn refused(ended: &Ended, code: i32, said: &[&str]) {
    assert_eq!(ended.code, code, "{}\n{}", ended.stdout, ended.stderr);
    for said in said {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
}

/// The files below a directory that hold a text.
pub(crate) fn files_with(directory: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
        {
            found.push(path);
        }
    }
    found
}

impl Repo {
    /// An empty directory.
    pub(crate) fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// As [`new`](Self::new), in a directory of its own below another.
    pub(crate) fn below(above: &Path) -> Self {
        // Podman takes the path of a layout for a name, and names are lower-case.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hoist-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = tempfile::Builder::new().prefix(&name).rand_bytes(0).tempdir_in(above);
        let directory = directory.expect("a temporary directory can be made");
        let repo = Self { directory };
        for name in ["project", "home", "cache"] {
            fs::create_dir(repo.directory.path().join(name)).expect("a directory can be made");
        }
        repo
    }

    /// A project with this release.kdl, in a repository with one commit.
    pub(crate) fn with(release: &str) -> Self {
        let repo = Self::new();
        repo.write("release.kdl", release);
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo.commit("Begin");
        repo
    }

    /// The project's directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("project")
    }

    /// Writes a file, with the directories above it.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("a directory can be made");
        fs::write(path, text).expect("a file can be written");
    }

    /// Writes a file that may be executed.
    pub(crate) fn write_program(&self, path: &str, text: impl AsRef<[u8]>) {
        self.write(path, text);
        let path = self.path().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    }

    /// Reads a file.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Whether there is something at this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.path().join(path).symlink_metadata().is_ok()
    }

    /// Commits everything.
    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
    }

    /// Calls git, which must succeed, and returns what it prints.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        self.isolate(&mut command);
        let output = command.args(arguments).output().expect("git is installed");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Calls hoist in the project's directory.
    pub(crate) fn hoist(&self, arguments: &[&str]) -> Ended {
        self.hoist_with(arguments, &[])
    }

    /// Calls hoist with variables in its environment.
    pub(crate) fn hoist_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
        let output = self
            .command(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("hoist can be started");
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: self.same_everywhere(&output.stdout),
            stderr: self.same_everywhere(&output.stderr),
        }
    }

    /// A call of hoist, not yet made. The git tag or branch that something is released or
    /// promoted for is made before, where it is not there.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let named = arguments.iter().find_map(|word| word.split_once('='));
        let named = named.filter(|(kind, _)| ["tag", "branch"].contains(kind));
        let looks = arguments.contains(&"--dry-run");
        if let (Some((kind, name)), Some(&("release" | "promote")), false) = (named, arguments.first(), looks)
        {
            let mut make = Command::new("git");
            self.isolate(&mut make);
            // There may be one, or nothing that could have one.
            drop(make.args([kind, name]).stderr(Stdio::null()).status());
        }
        self.untagged(arguments)
    }

    /// A call of hoist, not yet made, and nothing else.
    pub(crate) fn untagged(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
        self.isolate(&mut command);
        command.args(arguments);
        command
    }

    /// An environment that is the same on every machine, but for `PATH`.
    fn isolate(&self, command: &mut Command) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let kept = ["CARGO_HOME", "RUSTUP_HOME"].map(|name| (name, std::env::var_os(name)));
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        command.env_clear().current_dir(self.path());
        command.env("PATH", path).env("HOME", self.directory.path().join("home"));
        command.env("LANG", "C.UTF-8").env("USER", "tester").env("TERM", "dumb");
        command.env("HOIST_CACHE_DIR", self.directory.path().join("cache"));
        // Where rustup finds its toolchains although HOME is another.
        for (name, value) in kept {
            let default = home.join(if name == "CARGO_HOME" { ".cargo" } else { ".rustup" });
            command.env(name, value.unwrap_or_else(|| default.into()));
        }
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Tester");
            command.env(format!("GIT_{role}_EMAIL"), "tester@example.com");
            command.env(format!("GIT_{role}_DATE"), "2026-01-02T03:04:05Z");
        }
    }

    fn same_everywhere(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let text = text.replace(&*self.directory.path().to_string_lossy(), "[DIR]");
        let time = regex::Regex::new(r"\b(\d+ms|\d+\.\d+s|\d+m\d\ds)\b").expect("the expression is right");
        time.replace_all(&text, "[TIME]").into_owned()
    }
}

/// Whether all of these programs are installed. If not, says aloud which tests
/// are left out, past the capture of the test harness; where everything is
/// required, as in `tests/all`, that is a failure.
pub(crate) fn installed(what: &str, programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().copied().filter(|program| !on_path(program)).collect();
    if missing.is_empty() {
        return true;
    }
    let reason = format!("{} not installed", missing.join(", "));
    left_out(what, &reason);
    false
}

/// Says that tests are left out, and why.
pub(crate) fn left_out(what: &str, reason: &str) {
    assert!(std::env::var_os("HOIST_TEST_REQUIRE").is_none(), "{what}: {reason}");
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {what}: {reason} (`tests/all` runs everything)");
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |directory: &Path| directory.join(OsStr::new(program)).is_file();
    std::env::split_paths(&path).any(|directory| there(&directory))
}
