//! Builds and tests that meet the limits of a machine: its disk, its memory, and the time
//! and space that somebody gives them; and hoist that is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::daemons::Daemon;
use crate::engine_faults::{containers, ended, project, says, soon, start, with_peak};
use crate::engines::{Project, engines, processes};
use crate::fixture::{installed, left_out};

#[test]
fn a_disk_of_an_engine_that_is_full_is_said_to_be() {
    const TEST: &str = "full disks of engines";
    if !rustix::process::geteuid().is_root() || !installed(TEST, &["mount"]) || engines(TEST).is_empty() {
        return;
    }
    for kind in ["docker", "podman", "buildkit"] {
        let daemon = match Daemon::start_with(kind, "small", &[], "64m") {
            Ok(daemon) => daemon,
            Err(why) => return left_out(TEST, &why),
        };
        let engine = format!("unix://{}", daemon.socket.display());
        let dockerfile = |rest: &str| format!("FROM scratch\nCOPY bin /bin\n{rest}");
        let project = project(&engine, &dockerfile("RUN dd if=/dev/zero of=/large bs=1M count=80\n"));
        let told = ["hoist::engine::build_failed", "No space left on device", "prune"];
        says(&project.hoist(&["run", "web"]), 1, &told);
        // What fits is built as ever. BuildKit alone keeps what did not until it is pruned.
        if kind != "buildkit" {
            project.repo.write("web/Dockerfile", dockerfile("RUN echo made > /made\n"));
            let fits = || project.hoist(&["run", "web"]);
            assert!(soon(|| fits().code == 0), "{engine}: {}", fits().stderr);
        }
        // Of what is sent, too.
        let zeros = fs::File::create(project.repo.path().join("web/zeros")).unwrap();
        zeros.set_len(80 << 20).unwrap();
        project.repo.write("web/Dockerfile", dockerfile("COPY zeros /\n"));
        says(&project.hoist(&["run", "web"]), 1, &["hoist::engine::build_failed", "prune"]);
    }
}

#[test]
fn a_build_that_floods_its_output_is_kept_and_never_in_memory() {
    /// Most KiB that hoist may have in memory: less than is written.
    const MOST: u64 = 64 << 10;
    for engine in engines("builds that write very much") {
        let flood = "i=0; while [ $i -lt 20000 ]; do echo line $i of what it wrote; i=$((i + 1)); done";
        // 80 MB without an end of a line, and many short lines.
        let project = project(
            &engine,
            &format!("FROM scratch\nCOPY bin /bin\nRUN dd if=/dev/zero bs=1M count=80 | cat\nRUN {flood}\n"),
        );
        let (ended, peak) = with_peak(&project, &["run", "web"]);
        says(&ended, 0, &[]);
        assert!((1..=MOST).contains(&peak), "{engine}: {peak} KiB");
        let log = project.hoist(&["log", "web:build*"]).stdout;
        assert!(log.contains("line 0 of what it wrote"), "{engine}: {} bytes", log.len());
        // BuildKit itself cuts off what is more than 2 MiB.
        let is_whole = log.contains("line 19999 of what it wrote");
        assert!(is_whole || log.contains("[output clipped, log limit"), "{engine}: {} bytes", log.len());
    }
}

/// A project whose image is assembled, with one test of these settings.
fn tested(settings: &str) -> Project {
    let project = Project::new("unix:///nowhere");
    project.repo.write(
        "release.kdl",
        format!(
            "image \"web\" {{\n    assemble from=\"scratch\" {{ layer {{ copy \"bin\" \"/bin\"; }}; env PATH=\"/bin\"; }}\n    \
             test \"it\" {{ {settings}; }}\n}}\n"
        ),
    );
    project.tools("bin");
    project.repo.commit("Begin");
    project
}

/// Whether images can be run here.
fn runs(test: &str) -> bool {
    if !installed(test, &["busybox"]) {
        return false;
    }
    if let Err(problem) = hoist::engine::Runtime::at(env!("CARGO_BIN_EXE_hoist")).probe() {
        left_out(test, &problem.title);
        return false;
    }
    true
}

#[test]
fn a_test_that_floods_its_output_is_kept_and_never_in_memory() {
    const MOST: u64 = 96 << 10;
    if !runs("tests that write very much") {
        return;
    }
    let project = tested(r#"run "sh" "-c" "dd if=/dev/zero bs=1M count=120; echo the end of it""#);
    let (ended, peak) = with_peak(&project, &["run", "web:test"]);
    says(&ended, 0, &[]);
    assert!((1..=MOST).contains(&peak), "{peak} KiB");
    assert!(project.hoist(&["log", "web:test"]).stdout.contains("the end of it"));
}

#[test]
fn a_test_that_never_ends_is_killed_and_leaves_nothing() {
    if !runs("tests that never end") {
        return;
    }
    let project = tested(r#"run "sh" "-c" "trap '' TERM INT; sleep 88.125 & sleep 88.25"; timeout "1s""#);
    let temporary = temporary(&project).display().to_string();
    let ended = project.hoist_with(&["run", "web:test"], &[("TMPDIR", &temporary)]);
    says(&ended, 1, &["timed_out", "release.kdl:3:10", "timeout"]);
    for sleep in ["sleep 88.125", "sleep 88.25"] {
        assert!(soon(|| processes(sleep).is_empty()), "{:?}", processes(sleep));
    }
    assert_eq!(left_by(&project), Vec::<PathBuf>::new());
}

/// A directory for what hoist makes for a while, beside the project.
fn temporary(project: &Project) -> PathBuf {
    let path = project.repo.path().with_file_name("tmp");
    fs::create_dir_all(&path).unwrap();
    path
}

/// What is still [there](temporary) of containers and of what they share.
fn left_by(project: &Project) -> Vec<PathBuf> {
    let made = fs::read_dir(temporary(project)).unwrap().map(|entry| entry.unwrap().path());
    made.filter(|path| {
        path.to_string_lossy().rsplit('/').next().is_some_and(|name| name.starts_with("hoist-test-"))
    })
    .collect()
}

/// A part of the machine with little memory, while this is there.
struct Cage(PathBuf);

impl Cage {
    /// `None` where memory cannot be shared out.
    fn new(bytes: u64) -> Option<Self> {
        for root in ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"] {
            let path = Path::new(root).join(format!("hoist-test-{}", std::process::id()));
            if fs::create_dir(&path).is_err() {
                continue;
            }
            let cage = Self(path);
            for limit in ["memory.limit_in_bytes", "memory.max"] {
                let limit = cage.0.join(limit);
                if limit.exists() && fs::write(limit, bytes.to_string()).is_ok() {
                    return Some(cage);
                }
            }
        }
        None
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_test_that_needs_more_memory_than_there_is_is_told_to_be_killed() {
    const TEST: &str = "tests without memory";
    if !rustix::process::geteuid().is_root() || !runs(TEST) {
        return;
    }
    let Some(cage) = Cage::new(128 << 20) else { return left_out(TEST, "no memory can be shared out") };
    let project = tested(r#"run "dd" "if=/dev/zero" "of=/dev/null" "bs=1500M" "count=1""#);
    let hoist = project.repo.command(&["run", "web:test"]);
    let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", cage.0.display());
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(hoist.get_program()).args(hoist.get_args());
    command.current_dir(project.repo.path()).env_clear();
    command.envs(hoist.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("TMPDIR", temporary(&project));
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn();
    says(&ended(child.unwrap()), 1, &["test_failed", "killed by signal 9", "memory"]);
    assert_eq!(left_by(&project), Vec::<PathBuf>::new());
}

#[test]
fn a_step_of_a_build_that_is_killed_is_said_to_be() {
    for engine in engines("instructions that are killed") {
        let project = project(&engine, "FROM scratch\nCOPY bin /bin\nRUN sh -c 'kill -9 $$'; exit $?\n");
        says(&project.hoist(&["run", "web"]), 1, &["hoist::engine::build_failed", "137", "memory"]);
    }
}

#[test]
fn nothing_is_left_of_a_build_when_hoist_is_killed() {
    for engine in engines("builds whose hoist is killed") {
        // Podman lets an instruction end that runs, and begins no other.
        let is_podman = engine.contains("podman");
        let (first, then) = (if is_podman { "sleep 3.375" } else { "sleep 89.5" }, "sleep 89.75");
        let project = project(&engine, &format!("FROM scratch\nCOPY bin /bin\nRUN {first}\nRUN {then}\n"));
        let before = containers(&engine);
        let child = start(&project, first);
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        assert_eq!(ended(child).code, -1);
        assert!(soon(|| processes(first).is_empty()), "{engine}: {:?}", processes(first));
        assert!(soon(|| containers(&engine) == before), "{engine}: {}", containers(&engine));
        assert_eq!(processes(then), Vec::<String>::new(), "{engine}");
        // What it held is free again, and the next one builds.
        project.repo.write("web/Dockerfile", "FROM scratch\nCOPY bin /bin\nRUN echo made > /made\n");
        project.release();
    }
}

#[test]
fn nothing_is_left_of_tests_when_hoist_is_killed() {
    if !runs("tests whose hoist is killed") {
        return;
    }
    let other = |name: &str, sleep: &str| format!(r#"}}; test "{name}" {{ run "sleep" "{sleep}""#);
    let project = tested(&format!(
        r#"run "sh" "-c" "sleep 90.125 & sleep 90.25"{}{}"#,
        other("second", "90.375"),
        other("third", "90.5")
    ));
    let all = ["sleep 90.125", "sleep 90.25", "sleep 90.375", "sleep 90.5"];
    let run = |text: &&&str| !processes(text).is_empty();
    for (jobs, expected) in [("-j1", &all[..2]), ("-j2", &all[..3]), ("-j8", &all[..])] {
        let mut command = project.repo.command(&["run", jobs, "web:test"]);
        command.env("TMPDIR", temporary(&project));
        let child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let running = || all.iter().filter(run).count();
        assert!(soon(|| running() == expected.len()), "{jobs}: {} of them run", running());
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        assert_eq!(ended(child).code, -1);
        assert!(soon(|| running() == 0), "{jobs}: {} of them still run", running());
        assert!(soon(|| left_by(&project).is_empty()), "{jobs}: {:?}", left_by(&project));
    }
}

#[test]
fn a_dockerfile_need_not_lie_in_its_context() {
    for engine in engines("Dockerfiles outside of contexts") {
        let project = project(&engine, "");
        let text = project.repo.read("release.kdl");
        project
            .repo
            .write("release.kdl", text.replace("dockerfile context", "dockerfile \"docker/Own\" context"));
        project.repo.write(
            "docker/Own",
            "FROM scratch\nCOPY bin /bin\nRUN test ! -e /docker\nRUN echo made > /made\n",
        );
        fs::remove_file(project.repo.path().join("web/Dockerfile")).unwrap();
        project.repo.write("docker/Own", "FROM scratch\nCOPY . /\nRUN echo made > /made\n");
        project.release();
        let image = crate::engines::Published::read(&project, "dist/web");
        assert_eq!(image.file("made"), "made\n", "{engine}");
        let why = |text: &str| {
            project.repo.write("docker/Own", text);
            project.hoist(&["why", "web:build*"]).stdout
        };
        assert!(why("FROM scratch\nCOPY . /\nRUN echo other > /made\n").contains("docker/Own"), "{engine}");
        // Beyond the project there is none.
        project
            .repo
            .write("release.kdl", text.replace("dockerfile context", "dockerfile \"../Own\" context"));
        says(&project.hoist(&["run", "web"]), 2, &["outside", "release.kdl:2:"]);
    }
}

#[test]
fn a_platform_that_no_engine_runs_is_told_before_anything_is_sent() {
    for engine in engines("platforms that no engine runs") {
        let project = project(&engine, "FROM scratch\nCOPY bin /bin\n");
        let text = project.repo.read("release.kdl").replace("tags {", "platforms \"linux/s390x\"; tags {");
        project.repo.write("release.kdl", &text);
        let told = ["hoist::engine::no_engine", "linux/s390x", "release.kdl:2:", "qemu-user-static"];
        says(&project.hoist(&["run", "web"]), 3, &told);
    }
}
