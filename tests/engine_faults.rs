//! What goes wrong with engines and with what is built: it is told, and nothing of it is
//! left running.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::daemons::Daemon;
use crate::engines::{Project, Published, engines, pids, processes};
use crate::fixture::{Ended, installed, left_out};

const RELEASE: &str = r#"
image "web" { dockerfile context="web"; tags { raw "dev"; }; push "images"; }
registry "images" "oci:dist"
"#;

/// Hides the engines of the machine.
pub(crate) const NO_ENGINE: &str = "mount -t tmpfs tmpfs /run";

/// A project with one image of this Dockerfile, and tools in `bin` of its context.
pub(crate) fn project(engine: &str, dockerfile: &str) -> Project {
    let project = Project::new(engine);
    project.repo.write("release.kdl", RELEASE);
    project.repo.write("web/Dockerfile", dockerfile);
    project.tools("web/bin");
    project.repo.commit("Begin");
    project
}

/// Asserts that a call of hoist ended so, and said something.
pub(crate) fn says(ended: &Ended, code: i32, words: &[&str]) {
    let told = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.code, code, "{told}");
    for word in words {
        assert!(told.contains(word), "no `{word}` in {told}");
    }
    assert!(!told.contains("panicked"), "{told}");
}

/// Waits until something holds, and says whether it came to that.
pub(crate) fn soon(holds: impl Fn() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(30);
    while Instant::now() < until {
        if holds() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    holds()
}

/// The names of the containers that an engine has, running or not; BuildKit's own daemon
/// has none to ask for.
pub(crate) fn containers(engine: &str) -> String {
    if engine.contains("buildkit") {
        return "[]".to_owned();
    }
    let mut stream = UnixStream::connect(engine.trim_start_matches("unix://")).unwrap();
    stream.write_all(b"GET /v1.40/containers/json?all=1 HTTP/1.0\r\nHost: engine\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split("\r\n\r\n").nth(1).unwrap_or_default().trim().to_owned()
}

/// Starts hoist, and waits until a process with this text among its arguments runs.
pub(crate) fn start(project: &Project, text: &str) -> Child {
    let mut command = project.repo.command(&["run", "web", "--color", "never"]);
    command.env("DOCKER_HOST", &project.engine);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(soon(|| !processes(text).is_empty()), "{}: the build runs", project.engine);
    child
}

pub(crate) fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

#[test]
fn an_engine_that_is_not_there_is_told_with_what_to_do() {
    let nowhere = project("unix:///nowhere/docker.sock", "FROM scratch\nCOPY bin /bin\n");
    let told = ["hoist::engine::no_engine", "release.kdl:2:15", "DOCKER_HOST", "systemctl start docker"];
    says(&nowhere.hoist(&["run", "web"]), 3, &told);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("tcp://{closed}");
    says(&nowhere.hoist_with(&["run", "web"], &[("DOCKER_HOST", &nobody)]), 3, &["no_engine", "refused"]);
    // What is no engine, and says so or does not.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = format!("tcp://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1000]);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
    });
    says(&nowhere.hoist_with(&["run", "web"], &[("DOCKER_HOST", &other)]), 3, &["no_engine"]);
    // Who names an engine means no other.
    for wrong in ["docker.sock", "npipe:////./pipe/docker_engine", "tcp://host"] {
        let ended = nowhere.hoist_with(&["run", "web"], &[("DOCKER_HOST", wrong)]);
        says(&ended, 3, &["hoist::engine::no_engine", "DOCKER_HOST"]);
    }
    if !rustix::process::geteuid().is_root() || !installed("a machine without an engine", &["unshare"]) {
        return;
    }
    // `PATH` still leads to what is to be executed.
    let nothing = nowhere.hoist_where(
        &format!("{NO_ENGINE} && PATH=/nowhere"),
        &["run", "web"],
        &[("DOCKER_HOST", "")],
    );
    let told = ["hoist::engine::no_engine", "/var/run/docker.sock", "podman: `podman` is not installed"];
    says(&nothing, 3, &told);
}

#[test]
fn an_engine_that_this_user_may_not_use_is_told_apart() {
    const TEST: &str = "engines of other users";
    if !rustix::process::geteuid().is_root() || !installed(TEST, &["setpriv", "chown"]) {
        return;
    }
    for engine in engines(TEST) {
        let project = project(&engine, "FROM scratch\nCOPY bin /bin\n");
        let above = project.repo.path().parent().unwrap().to_owned();
        let program = above.join("hoist");
        fs::copy(env!("CARGO_BIN_EXE_hoist"), &program).unwrap();
        let all = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        all(&above);
        assert!(Command::new("chown").args(["-R", "4321:4321"]).arg(&above).status().unwrap().success());
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "4321", "--regid", "4321", "--clear-groups"]).arg(&program);
        command.args(["run", "web"]).current_dir(project.repo.path()).env_clear();
        command.env("HOME", above.join("home")).env("HOIST_CACHE_DIR", above.join("cache"));
        command.env("DOCKER_HOST", &engine).env("PATH", std::env::var_os("PATH").unwrap());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        says(&ended(child), 3, &["hoist::engine::no_engine", "ermission denied"]);
    }
}

#[test]
fn a_step_of_a_build_that_fails_is_named_with_what_it_wrote() {
    for engine in engines("builds that fail") {
        let project = project(
            &engine,
            "FROM scratch AS first\nCOPY bin /bin\nRUN echo fine\n\
             FROM first AS second\nRUN echo what went wrong; exit 7\nFROM second\nCOPY --from=second /bin /more\n",
        );
        let before = containers(&engine);
        let failed = project.hoist(&["run", "web"]);
        says(
            &failed,
            1,
            &["hoist::engine::build_failed", "what went wrong", "7", "echo what went wrong; exit 7"],
        );
        assert_eq!(containers(&engine), before);
        assert!(!project.repo.has("dist"));
        // What does not exist is copied.
        project.repo.write("web/Dockerfile", "FROM scratch\nCOPY bin /bin\nCOPY no/such /file\n");
        says(&project.hoist(&["run", "web"]), 1, &["hoist::engine::build_failed", "no/such"]);
    }
}

/// Dockerfiles that fail when they are built, and the line at which they do.
pub(crate) const FAILING: [(usize, &str); 6] = [
    // The same text twice, of which the second fails.
    (
        6,
        "ARG A=1\nFROM scratch\nCOPY bin /bin\nRUN true\nRUN [ ! -e /x ] && echo > /x\nRUN [ ! -e /x ] && echo > /x\n",
    ),
    // What the engine has filled in.
    (4, "FROM scratch\nCOPY bin /bin\nARG CODE=7\nRUN exit $CODE\n"),
    (4, "FROM scratch\nARG NAME=none\nCOPY bin /bin\nCOPY no/$NAME /\n"),
    // A comment within.
    (4, "FROM scratch\nCOPY bin /bin\n\nRUN true \\\n  # not this\n  && exit 7\nRUN true\n"),
    // One of several stages, of which one is not needed.
    (
        9,
        "FROM scratch AS first\nCOPY bin /bin\nFROM first AS other\nRUN echo other\nFROM first AS second\n\
         LABEL a=b\nRUN true\n# A comment\nRUN exit 7\nRUN true\nFROM first\nCOPY --from=second /x /x\n",
    ),
    // After what a base set aside.
    (3, "FROM below\nRUN true\nRUN exit 7\nRUN true\n"),
];

/// Asserts that an image of a Dockerfile, which may start from `below`, fails at a line.
pub(crate) fn fails_at(project: &Project, line: usize, dockerfile: &str) {
    let below = "image \"below\" { dockerfile \"below.Dockerfile\" context=\"web\"; }\n";
    let web = RELEASE.replace("\"web\";", "\"web\" { context \"below\" image=\"below\"; };");
    project.repo.write("release.kdl", web + below);
    project.repo.write("below.Dockerfile", "FROM scratch\nCOPY bin /bin\nONBUILD RUN true\n");
    project.repo.write("web/Dockerfile", dockerfile);
    let place = format!("web/Dockerfile:{line}:1");
    says(&project.hoist(&["run", "web"]), 1, &["hoist::engine::build_failed", &place]);
}

#[test]
fn the_line_that_failed_is_pointed_at() {
    for engine in engines("lines of Dockerfiles that fail") {
        let project = project(&engine, "");
        let fails = |line, dockerfile: &str| fails_at(&project, line, dockerfile);
        for (line, dockerfile) in FAILING {
            fails(line, dockerfile);
        }
        let long = "# What follows fails, whatever is said before.\n".repeat(2000);
        fails(2004, &format!("{long}FROM scratch\nCOPY bin /bin\n\nRUN exit 7\n"));
        if !engine.contains("podman") {
            let heredoc = "FROM scratch\nCOPY bin /bin\nRUN <<END\necho fine\nexit 7\nEND\nRUN true\n";
            fails(3, heredoc);
        }
    }
}

#[test]
fn a_link_that_leads_out_of_a_context_is_named_where_an_engine_does_not_take_it() {
    for engine in engines("links out of contexts") {
        let project = project(&engine, "FROM scratch\nCOPY bin /bin\n");
        let link = |text: &str| std::os::unix::fs::symlink(text, project.repo.path().join("web/deep/link"));
        fs::create_dir_all(project.repo.path().join("web/deep")).unwrap();
        for fine in ["../bin/../bin/busybox", "/bin/busybox", "../none"] {
            link(fine).unwrap();
            says(&project.hoist(&["run", "web"]), 0, &[]);
            fs::remove_file(project.repo.path().join("web/deep/link")).unwrap();
        }
        link("../../outside").unwrap();
        let ended = project.hoist(&["run", "web"]);
        if !engine.contains("podman") {
            says(&ended, 0, &[]);
            continue;
        }
        let told = [
            "`web/deep/link` leads out of the context, to `../../outside`",
            ".dockerignore",
            "release.kdl:2",
        ];
        says(&ended, 1, &told);
        project.repo.write("web/.dockerignore", "deep\n");
        says(&project.hoist(&["run", "web"]), 0, &[]);
    }
}

#[test]
fn what_a_build_is_missing_is_told_before_it_begins() {
    for engine in engines("what builds are missing") {
        let project = project(&engine, "FROM scratch\nCOPY bin /bin\n");
        let write = |settings: &str| {
            let text = RELEASE.replace("dockerfile context=\"web\"", &format!("dockerfile {settings}"));
            project.repo.write("release.kdl", text);
        };
        write("context=\"web\" { secret \"token\" env=\"NO_TOKEN\"; }");
        says(
            &project.hoist(&["run", "web"]),
            3,
            &["hoist::engine::build_secret", "`NO_TOKEN`", "release.kdl:2:"],
        );
        write("context=\"web\" { secret \"token\" file=\"none\"; }");
        says(
            &project.hoist(&["run", "web"]),
            3,
            &["hoist::engine::build_secret", "`none`", "release.kdl:2:"],
        );
        write("context=\"web\" { ssh \"default\"; }");
        let no_agent: &[&str] = if engine.contains("podman") {
            &["hoist::engine::no_engine", "reaches no agent of ssh"]
        } else {
            &["hoist::engine::build_secret", "SSH_AUTH_SOCK"]
        };
        says(&project.hoist(&["run", "web"]), 3, no_agent);
        write("context=\"web\" target=\"other\"");
        says(&project.hoist(&["run", "web"]), 2, &["hoist::dockerfile::unknown_stage", "other"]);
        write("\"none/Dockerfile\"");
        says(&project.hoist(&["run", "web"]), 2, &["none/Dockerfile", "release.kdl:2:"]);
        write("context=\"none\"");
        says(&project.hoist(&["run", "web"]), 2, &["none", "release.kdl:2:"]);
        write("context=\"web\"");
        project.repo.write("web/Dockerfile", "FROM scratch\nCOPPY bin /bin\n");
        says(&project.hoist(&["run", "web"]), 2, &["web/Dockerfile:2:1", "COPPY"]);
        project.repo.write("web/Dockerfile", "FROM scratch\nCOPY bin /bin\n");
        assert_eq!(project.hoist(&["run", "web"]).code, 0);
    }
}

#[test]
fn a_build_that_is_interrupted_ends_at_the_engine() {
    for engine in engines("builds that are interrupted") {
        // Podman lets an instruction end that runs, and begins no other.
        let is_podman = engine.contains("podman");
        let (first, then) = (if is_podman { "sleep 3.125" } else { "sleep 86.5" }, "sleep 86.75");
        let project = project(&engine, &format!("FROM scratch\nCOPY bin /bin\nRUN {first}\nRUN {then}\n"));
        let before = containers(&engine);
        let child = start(&project, first);
        let since = Instant::now();
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let ended = ended(child);
        assert_eq!(ended.code, 130, "{engine}: {}", ended.stderr);
        assert!(since.elapsed() < Duration::from_secs(3), "{engine}: {:?}", since.elapsed());
        assert!(soon(|| processes(first).is_empty()), "{engine}: {:?}", processes(first));
        thread::sleep(Duration::from_millis(500));
        assert_eq!(processes(then), Vec::<String>::new(), "{engine}");
        assert!(soon(|| containers(&engine) == before), "{engine}: {}", containers(&engine));
    }
}

#[test]
fn an_engine_that_goes_away_is_told() {
    const TEST: &str = "engines that go away";
    for (kind, signal) in [("docker", Signal::TERM), ("podman", Signal::KILL)] {
        if engines(TEST).is_empty() {
            return;
        }
        let daemon = match Daemon::start(kind, "mortal", &[]) {
            Ok(daemon) => daemon,
            Err(why) => return left_out(TEST, &why),
        };
        let process = fs::read_to_string(daemon.socket.with_file_name("daemon")).unwrap();
        let process = Pid::from_raw(process.trim().parse().unwrap()).unwrap();
        let sleep = format!("sleep 87{process}");
        let engine = format!("unix://{}", daemon.socket.display());
        let project = project(&engine, &format!("FROM scratch\nCOPY bin /bin\nRUN {sleep}\n"));
        let child = start(&project, &sleep);
        kill_process(process, signal).unwrap();
        says(&ended(child), 1, &["hoist::engine::build_failed"]);
        // What a daemon that was killed leaves behind is not hoist's.
        for left in pids(&sleep) {
            let _ = kill_process(left, Signal::KILL);
        }
        assert!(soon(|| processes(&sleep).is_empty()));
    }
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_no_part_of_an_image() {
    for engine in engines("files that change while they are sent") {
        let project = project(&engine, "FROM scratch\nCOPY . /\n");
        // What is sent before the file takes its time.
        File::create(project.repo.path().join("web/a")).unwrap().set_len(64 << 20).unwrap();
        project.repo.write("web/z", "0");
        let ends = AtomicBool::new(false);
        let attempt = || {
            let ended = project.hoist(&["run", "web"]);
            // It may have held still for as long as it was looked at.
            assert!(ended.code != 0 || ended.stderr.contains("changed while it ran"), "{}", ended.stderr);
            ended
        };
        let ended = thread::scope(|scope| {
            scope.spawn(|| {
                let (next, path) = (project.repo.path().join("next"), project.repo.path().join("web/z"));
                for number in 1_u64.. {
                    if ends.load(Ordering::Relaxed) {
                        break;
                    }
                    fs::write(&next, number.to_string()).unwrap();
                    fs::rename(&next, &path).unwrap();
                    thread::sleep(Duration::from_millis(2));
                }
            });
            let ended = (0..5).map(|_| attempt()).find(|ended| ended.code != 0);
            ends.store(true, Ordering::Relaxed);
            ended
        });
        let ended = ended.expect("it changes all the time");
        says(&ended, 1, &["hoist::engine::", "web/z", "changed"]);
        says(&project.hoist(&["release", "--yes", "--allow-dirty"]), 0, &[]);
        assert_eq!(Published::read(&project, "dist/web").file("z"), project.repo.read("web/z"));
    }
}

/// Calls hoist, and returns how it ended and the most memory that it was seen to have, in
/// KiB: without its program, of which a test's is larger than any other.
pub(crate) fn with_peak(project: &Project, arguments: &[&str]) -> (Ended, u64) {
    let mut command = project.repo.command(arguments);
    command.env("DOCKER_HOST", &project.engine).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let size = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(size.unwrap_or(0));
        thread::sleep(Duration::from_millis(10));
    }
    (ended(child), peak)
}

#[test]
fn a_context_is_never_in_memory_as_a_whole() {
    /// Bytes of a file without content; and how much hoist may have in memory.
    const SIZE: u64 = 512 << 20;
    const MOST: u64 = 64 << 10;
    for engine in engines("large contexts") {
        let project = project(&engine, "FROM scratch\nCOPY bin /bin\n");
        File::create(project.repo.path().join("web/large")).unwrap().set_len(SIZE).unwrap();
        let (ended, peak) = with_peak(&project, &["run", "web"]);
        says(&ended, 0, &[]);
        assert!((1..=MOST).contains(&peak), "{engine}: {peak} KiB");
    }
}

#[test]
fn two_builds_of_one_image_at_once_make_one_result() {
    for engine in engines("two builds of one image") {
        let project = project(&engine, "FROM scratch\nCOPY bin /bin\nRUN sleep 0.5; echo made > /made\n");
        let both = thread::scope(|scope| {
            [(); 2]
                .map(|()| scope.spawn(|| project.hoist(&["run", "web"])))
                .map(|hoist| hoist.join().unwrap())
        });
        for ended in &both {
            says(ended, 0, &[]);
        }
        let built = both.iter().filter(|ended| ended.stderr.contains("built by")).count();
        assert_eq!(
            built, 1,
            "{engine}: one builds, and the other waits: {} {}",
            both[0].stderr, both[1].stderr
        );
        says(&project.hoist(&["release", "--yes"]), 0, &[]);
        assert_eq!(Published::read(&project, "dist/web").file("made"), "made\n");
        says(&project.hoist(&["run", "web"]), 0, &["Nothing to do"]);
    }
}
