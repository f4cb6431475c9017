//! Images that hoist assembles, run in its own containers and read by others.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hoist::config::{Expect, HttpAnswer, Part, Template};
use hoist::diagnostic::{Code, Problem, Problems, Sources, Span};
use hoist::engine::{Container, Ended, Limits, Request, Right, Runtime, assemble, index, test_with};
use hoist::oci::{Descriptor, LayerCompression, Platform};
use hoist::plan::{
    AssembleStep, BaseSource, CopyPlan, ExpectPlan, ImageSettings, IndexStep, LayerPlan, StepIndex, TestPlan,
    TestStep,
};
use hoist::store::Layout;
use indexmap::IndexMap;

use crate::engine_faults::soon;
use crate::engines::processes;
use crate::fixture::{installed, left_out};

/// A project with a busybox in it, and a layout of images.
struct Bench {
    directory: tempfile::TempDir,
    images: Layout,
    settings: ImageSettings,
    span: Span,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::create_dir(root.join("etc")).unwrap();
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\n",
        )
        .unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\napp:x:1001:\nextra:x:44:app\n").unwrap();
        if let Some(busybox) =
            ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).is_file())
        {
            fs::copy(busybox, root.join("bin/busybox")).unwrap();
        }
        for applet in [
            "sh", "echo", "id", "sleep", "ip", "hostname", "ls", "touch", "stat", "pwd", "nc", "cat", "httpd",
        ] {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let images = Layout::create(directory.path().join("images")).unwrap();
        let span = Span::new(Sources::new().add("release.kdl", ""), 1..2);
        Self { directory, images, settings: settings(), span }
    }

    fn assemble(&self, platform: &str) -> Descriptor {
        let copy = CopyPlan {
            from: "root".to_owned(),
            to: "/".to_owned(),
            mode: None,
            uid: 0,
            gid: 0,
            exclude: Vec::new(),
            span: self.span,
        };
        let step = AssembleStep {
            platform: platform.parse().unwrap(),
            base: BaseSource::Scratch,
            layers: vec![LayerPlan {
                compression: LayerCompression::GZIP,
                removes: Vec::new(),
                copies: vec![copy],
            }],
            settings: self.settings.clone(),
            span: self.span,
        };
        assemble(&step, self.directory.path(), None, &self.images, &|_, _| None).unwrap().image
    }

    fn image(&self) -> Descriptor {
        self.assemble(&Platform::host().to_string())
    }

    fn plan(&self, run: &[&str], expects: Vec<Expect>) -> TestPlan {
        let expects =
            expects.into_iter().map(|what| ExpectPlan { what, span: Span { start: 5, ..self.span } });
        TestPlan {
            name: "smoke".to_owned(),
            env: IndexMap::new(),
            run: run.iter().map(|word| (*word).to_owned()).collect(),
            entrypoint: None,
            user: None,
            expects: expects.collect(),
            timeout: Duration::from_mins(1),
            span: self.span,
        }
    }

    fn test(&self, image: &Descriptor, plan: TestPlan) -> (Result<(), Problems>, String) {
        self.test_until(image, plan, &AtomicBool::new(false))
    }

    fn test_until(
        &self,
        image: &Descriptor,
        plan: TestPlan,
        halt: &AtomicBool,
    ) -> (Result<(), Problems>, String) {
        let step =
            TestStep { image: StepIndex(0), platforms: Vec::new(), tests: vec![plan], expects: Vec::new() };
        let mut log = Vec::new();
        let done = test_with(&runtime(), &step, image, &self.images, &|| None, &mut log, halt);
        (done, String::from_utf8(log).unwrap())
    }

    /// What a shell in the image prints.
    fn shell(&self, script: &str) -> String {
        let (done, log) = self.test(&self.image(), self.plan(&["sh", "-c", script], Vec::new()));
        assert_eq!(done, Ok(()), "{log}");
        log.split_once('\n').unwrap().1.to_owned()
    }
}

fn settings() -> ImageSettings {
    ImageSettings {
        entrypoint: None,
        cmd: None,
        user: None,
        workdir: None,
        expose: Vec::new(),
        volumes: Vec::new(),
        env: IndexMap::new(),
        labels: IndexMap::new(),
        stop_signal: None,
        created: "2026-01-02T03:04:05Z".parse().unwrap(),
    }
}

fn runtime() -> Runtime {
    Runtime::at(env!("CARGO_BIN_EXE_hoist"))
}

fn template(text: &str) -> Template {
    let span = Span::new(Sources::new().add("release.kdl", ""), 0..0);
    Template { parts: vec![Part::Text(text.to_owned())], span }
}

/// Whether containers run here. Says aloud if not.
fn runs(test: &str) -> bool {
    if !installed(test, &["busybox"]) {
        return false;
    }
    let bench = Bench::new();
    match bench.test(&bench.image(), bench.plan(&["echo", "hi"], Vec::new())).0 {
        Ok(()) => true,
        Err(problems) => {
            left_out(test, &format!("{:?}", problems.as_slice()));
            false
        }
    }
}

#[test]
fn a_command_of_an_image_runs_and_what_it_says_is_judged() {
    if !runs("containers") {
        return;
    }
    let bench = Bench::new();
    let expects = vec![Expect::Exit(3), Expect::Stdout(template("hi")), Expect::Stderr(template("ho"))];
    let script = "echo hi; echo ho >&2; exit 3";
    let (done, log) = bench.test(&bench.image(), bench.plan(&["sh", "-c", script], expects));
    assert_eq!(done, Ok(()));
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["hi", "ho", "smoke: sh -c echo hi; echo ho >&2; exit 3"]);
}

#[test]
fn a_test_that_fails_shows_what_it_said() {
    if !runs("failing containers") {
        return;
    }
    let bench = Bench::new();
    let plan =
        bench.plan(&["sh", "-c", "echo one; echo two >&2; exit 4"], vec![Expect::Stdout(template("three"))]);
    let expected = Problem::new(Code::TestFailed, "the test `smoke` failed")
        .label(bench.span, "expected exit status 0, got 4")
        .label(Span { start: 5, ..bench.span }, "stdout does not contain `three`")
        .note("stdout:\none")
        .note("stderr:\ntwo");
    assert_eq!(bench.test(&bench.image(), plan).0, Err(expected.into()));
    let missing = bench.test(&bench.image(), bench.plan(&["python"], Vec::new())).0.unwrap_err();
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(
        missing.as_slice()[0].labels[0].text,
        format!("the image has no program `python` (looked in {path})")
    );
}

#[test]
fn a_container_is_what_the_image_says_and_nothing_of_the_machine() {
    if !runs("the inside of containers") {
        return;
    }
    let mut bench = Bench::new();
    bench.settings.user = Some("app".to_owned());
    bench.settings.workdir = Some("/srv/new".to_owned());
    bench.settings.env =
        IndexMap::from([("PATH".to_owned(), "/bin".to_owned()), ("A".to_owned(), "1 2".to_owned())]);
    assert_eq!(bench.shell("pwd; hostname; echo $A $HOME $$"), "/srv/new\nhoist\n1 2 /home/app 1\n");
    assert_eq!(bench.shell("id -u; id -g"), "1000\n1001\n");
    assert!(!bench.shell("ls /; env").contains("CARGO"));
    // Nothing but itself is on its network, and that is up.
    assert_eq!(bench.shell("ls /sys/class/net"), "lo\n");
    assert!(bench.shell("ip addr show lo").contains("127.0.0.1/8"));
    assert_eq!(bench.shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start"), "0\n");
}

#[test]
fn every_test_has_a_file_system_of_its_own() {
    if !runs("fresh containers") {
        return;
    }
    let bench = Bench::new();
    let once = "ls /new 2>/dev/null; touch /new && ls /new";
    assert_eq!(bench.shell(once), "/new\n");
    assert_eq!(bench.shell(once), "/new\n");
}

#[test]
fn a_test_sees_nothing_of_what_another_one_wrote() {
    if !runs("tests that share files") {
        return;
    }
    let bench = Bench::new();
    fs::create_dir(bench.directory.path().join("root/srv")).unwrap();
    let once = bench.plan(
        &["sh", "-c", "ls /new && exit 1; touch /new && mv /bin/cat /etc/passwd /srv && ls /new"],
        Vec::new(),
    );
    let step = TestStep {
        image: StepIndex(0),
        platforms: Vec::new(),
        tests: vec![once.clone(), once],
        expects: Vec::new(),
    };
    let mut log = Vec::new();
    let halt = AtomicBool::new(false);
    let done = test_with(&runtime(), &step, &bench.image(), &bench.images, &|| None, &mut log, &halt);
    assert_eq!(done, Ok(()), "{}", String::from_utf8_lossy(&log));
}

/// Tests of these shell scripts, called `t0` and so on.
fn scripts(bench: &Bench, scripts: &[&str]) -> TestStep {
    let plan = |(number, script): (usize, &&str)| TestPlan {
        name: format!("t{number}"),
        ..bench.plan(&["sh", "-c", script], Vec::new())
    };
    let tests = scripts.iter().enumerate().map(plan).collect();
    TestStep { image: StepIndex(0), platforms: Vec::new(), tests, expects: Vec::new() }
}

#[test]
fn tests_that_run_at_once_are_told_in_the_order_in_which_they_are_declared() {
    if !runs("several containers at once") {
        return;
    }
    let bench = Bench::new();
    let step = scripts(
        &bench,
        &["sleep 0.5; echo zero; exit 3", "echo one; sleep 0.2; echo one", "nothing", "echo three; exit 4"],
    );
    let mut log = Vec::new();
    let halt = AtomicBool::new(false);
    let (image, further) = (bench.image(), || Some(Box::new(()) as Right));
    let done = test_with(&runtime(), &step, &image, &bench.images, &further, &mut log, &halt);
    let failed: Vec<String> =
        done.unwrap_err().as_slice().iter().map(|problem| problem.title.clone()).collect();
    assert_eq!(failed, ["the test `t0` failed", "the test `t2` failed", "the test `t3` failed"]);
    let log = String::from_utf8(log).unwrap();
    let written: Vec<&str> = log.lines().filter(|line| !line.starts_with("sh: ")).collect();
    let told = |number: usize| format!("t{number}: sh -c {}", step.tests[number].run[2]);
    assert_eq!(written, [&told(0), "zero", &told(1), "one", "one", &told(2), &told(3), "three"], "{log}");
}

#[test]
fn no_more_tests_run_at_once_than_there_are_rights() {
    if !runs("several containers at once") {
        return;
    }
    let bench = Bench::new();
    let step = scripts(&bench, &["sleep 86.125", "sleep 86.25", "sleep 86.5"]);
    let (image, halt) = (bench.image(), AtomicBool::new(false));
    // One beside the first.
    let given = AtomicBool::new(false);
    let further = || (!given.swap(true, Ordering::Relaxed)).then(|| Box::new(()) as Right);
    let done = std::thread::scope(|scope| {
        let testing = scope
            .spawn(|| test_with(&runtime(), &step, &image, &bench.images, &further, &mut Vec::new(), &halt));
        let run = |text: &str| !processes(text).is_empty();
        assert!(soon(|| run("sleep 86.125") && run("sleep 86.25")), "both run");
        assert!(!run("sleep 86.5"), "there is no right for a third one");
        halt.store(true, Ordering::Relaxed);
        testing.join().unwrap()
    });
    assert_eq!(done.unwrap_err().as_slice()[0].code, Code::Interrupted);
    assert!(soon(|| processes("sleep 86.").is_empty()), "{:?}", processes("sleep 86."));
}

#[test]
fn a_container_that_does_not_end_is_killed() {
    if !runs("killed containers") {
        return;
    }
    let bench = Bench::new();
    let forever = || {
        bench.plan(&["sh", "-c", "trap '' TERM INT; echo up; while true; do sleep 1000; done"], Vec::new())
    };
    let plan = TestPlan { timeout: Duration::from_millis(300), ..forever() };
    let late = bench.test(&bench.image(), plan).0.unwrap_err();
    assert_eq!(late.as_slice()[0].code, Code::TimedOut);
    let stopped = bench.test_until(&bench.image(), forever(), &AtomicBool::new(true)).0.unwrap_err();
    assert_eq!(stopped.as_slice()[0].code, Code::Interrupted);
}

#[test]
fn a_program_that_cannot_be_executed_is_told_apart_from_one_that_fails() {
    if !runs("programs that cannot be executed") {
        return;
    }
    let bench = Bench::new();
    let script = bench.directory.path().join("root/bin/script");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let failed = bench.test(&bench.image(), bench.plan(&["script"], Vec::new())).0.unwrap_err();
    let [failed] = failed.as_slice() else { panic!("{failed:?}") };
    assert_eq!(failed.labels[0].text, "expected exit status 0, got 126");
    assert!(failed.notes[0].contains("its interpreter or loader is not in the image"), "{failed:?}");
}

#[test]
fn only_the_image_of_this_machine_is_run_and_the_others_are_named() {
    if !runs("images of several platforms") {
        return;
    }
    let bench = Bench::new();
    let host = Platform::host();
    let foreign = "linux/mips64le";
    let platforms = [foreign.parse().unwrap(), host.clone()];
    let step = IndexStep {
        platforms: platforms.iter().map(|platform: &Platform| (platform.clone(), StepIndex(0))).collect(),
        annotations: IndexMap::new(),
        local: Vec::new(),
    };
    let manifests = platforms.map(|platform| bench.assemble(&platform.to_string()));
    let both = index(&step, &manifests, &bench.images).unwrap();
    let (done, log) = bench.test(&both, bench.plan(&["echo", "hi"], Vec::new()));
    assert_eq!(
        (done, log),
        (Ok(()), format!("not run for {foreign}: this machine is {host}\n{host}:\nsmoke: echo hi\nhi\n"))
    );
    let refused = bench.test(&manifests[0], bench.plan(&["echo", "hi"], Vec::new())).0.unwrap_err();
    assert_eq!(refused.as_slice()[0].code, Code::NoRuntime);
}

fn http(path: &str, body: Option<&str>) -> Expect {
    Expect::Http(HttpAnswer { port: 8080, path: template(path), status: 200, body: body.map(template) })
}

#[test]
fn a_server_is_asked_until_it_answers_and_is_stopped_then() {
    if !runs("servers in containers") {
        return;
    }
    let bench = Bench::new();
    fs::write(bench.directory.path().join("root/healthz"), "all is ok\n").unwrap();
    let expects = || vec![http("/healthz", Some("ok")), http("/etc/passwd", None)];
    // It listens late, and without a handler for the signal to stop it is killed at once.
    let script = "echo starting; sleep 0.5; exec httpd -f -p 8080 -h /";
    let started = std::time::Instant::now();
    let (done, log) = bench.test(&bench.image(), bench.plan(&["sh", "-c", script], expects()));
    assert_eq!(done, Ok(()), "{log}");
    assert!(started.elapsed() < Duration::from_secs(20));
    // One that has a handler ends by itself, and its status can be expected.
    let script = "trap 'echo bye; exit 3' TERM; httpd -f -p 8080 -h / & while true; do sleep 0.1; done";
    let mut all = expects();
    all.extend([Expect::Exit(3), Expect::Stdout(template("bye"))]);
    assert_eq!(bench.test(&bench.image(), bench.plan(&["sh", "-c", script], all)).0, Ok(()));
}

#[test]
fn a_server_that_does_not_answer_as_expected_says_what_came_back() {
    if !runs("servers that fail in containers") {
        return;
    }
    let bench = Bench::new();
    fs::write(bench.directory.path().join("root/healthz"), "down\n").unwrap();
    let serve = ["sh", "-c", "echo up; exec httpd -f -p 8080 -h /"];
    let late = |expects| TestPlan { timeout: Duration::from_secs(8), ..bench.plan(&serve, expects) };
    let failed = bench.test(&bench.image(), late(vec![http("/healthz", Some("ok"))])).0.unwrap_err();
    let expected = Problem::new(Code::TestFailed, "the test `smoke` failed")
        .label(
            Span { start: 5, ..bench.span },
            "`GET http://localhost:8080/healthz`: the body does not contain `ok`, it is `down`",
        )
        .label(bench.span, "asked for 8s")
        .help("give it more time with `timeout`")
        .note("stdout:\nup");
    assert_eq!(failed, expected.into());
    let failed = bench.test(&bench.image(), late(vec![http("/none", None)])).0.unwrap_err();
    let text = &failed.as_slice()[0].labels[0].text;
    assert!(
        text.starts_with("`GET http://localhost:8080/none`: expected status 200, got 404 with `"),
        "{text}"
    );
    let ended = bench.plan(&["sh", "-c", "exit 4"], vec![http("/", None)]);
    let failed = bench.test(&bench.image(), ended).0.unwrap_err();
    let labels = &failed.as_slice()[0].labels;
    assert_eq!(labels[1].text, "the command ended before it answered: got 4");
}

#[test]
fn a_test_may_have_a_user_and_expect_a_pattern() {
    if !runs("users of tests") {
        return;
    }
    let bench = Bench::new();
    let plan = TestPlan {
        user: Some("app".to_owned()),
        ..bench.plan(&["id", "-u"], vec![Expect::StdoutMatches("^1000$".to_owned())])
    };
    assert_eq!(bench.test(&bench.image(), plan).0, Ok(()));
    let plan = bench.plan(&["id", "-u"], vec![Expect::StdoutMatches("^1000$".to_owned())]);
    let failed = bench.test(&bench.image(), plan).0.unwrap_err();
    assert_eq!(failed.as_slice()[0].labels[0].text, "stdout does not match `^1000$`");
}

/// As root this is not what the other tests do.
#[test]
fn a_user_who_is_not_root_runs_containers_too() {
    const TEST: &str = "containers of a user who is not root";
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0);
    if !is_root || !runs(TEST) || !installed(TEST, &["setpriv"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let rootfs = directory.path().join("rootfs");
    fs::create_dir_all(rootfs.join("bin")).unwrap();
    let busybox =
        ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).is_file()).unwrap();
    fs::copy(busybox, rootfs.join("bin/busybox")).unwrap();
    let program = directory.path().join("hoist");
    fs::copy(env!("CARGO_BIN_EXE_hoist"), &program).unwrap();
    let wrapper = directory.path().join("wrapper");
    let script = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin exec setpriv --reuid 4321 --regid 4321 --clear-groups {} \"$@\"\n",
        program.display()
    );
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let given = Command::new("chown").args(["-R", "4321:4321"]).arg(directory.path()).output().unwrap();
    if !given.status.success() {
        return left_out(TEST, &String::from_utf8_lossy(&given.stderr));
    }
    let container = |uid, gid| Container {
        program: "/bin/busybox".to_owned(),
        args: ["busybox", "sh", "-c", "echo $(busybox id -u) $(busybox id -g); busybox touch /new"]
            .map(str::to_owned)
            .to_vec(),
        env: vec!["PATH=/bin".to_owned()],
        cwd: "/".to_owned(),
        uid,
        gid,
        groups: Vec::new(),
        hostname: "hoist".to_owned(),
        base: None,
        scratch: None,
        requests: Vec::new(),
        stop_signal: None,
    };
    let stop = AtomicBool::new(false);
    for (uid, gid) in [(0, 0), (65532, 1)] {
        let limits = Limits { timeout: Duration::from_mins(1), stop: &stop };
        let ran =
            Runtime::at(&wrapper).run(&container(uid, gid), directory.path(), limits, &mut std::io::sink());
        let (ended, output) = match ran {
            Ok(ran) => ran,
            Err(problem) => return left_out(TEST, &format!("{problem:?}")),
        };
        assert_eq!(
            (ended, String::from_utf8_lossy(&output.stdout).as_ref()),
            (Ended::Exited(0), format!("{uid} {gid}\n").as_str()),
            "{output:?}"
        );
    }
    let base = directory.path().join("base");
    fs::rename(&rootfs, &base).unwrap();
    let writes =
        ["busybox", "sh", "-c", "busybox mkdir /d && busybox mv /bin/busybox /d/ && /d/busybox ls /"];
    let sharing =
        Container { args: writes.map(str::to_owned).to_vec(), base: Some(base.clone()), ..container(0, 0) };
    for _ in 0..2 {
        let limits = Limits { timeout: Duration::from_mins(1), stop: &stop };
        let (ended, output) =
            Runtime::at(&wrapper).run(&sharing, directory.path(), limits, &mut std::io::sink()).unwrap();
        assert_eq!(ended, Ended::Exited(0), "{output:?}");
        assert!(base.join("bin/busybox").is_file() && !base.join("d").exists());
        assert!(!directory.path().join("upper").exists() && !directory.path().join("work").exists());
    }
    fs::rename(&base, directory.path().join("rootfs")).unwrap();
    let request = Request { port: 80, path: "/none".to_owned(), status: 404, body: None };
    let server = Container {
        args: ["busybox", "httpd", "-f", "-p", "80", "-h", "/bin"].map(str::to_owned).to_vec(),
        requests: vec![request.clone()],
        ..container(65532, 1)
    };
    let limits = Limits { timeout: Duration::from_mins(1), stop: &stop };
    let ran = Runtime::at(&wrapper).run(&server, directory.path(), limits, &mut std::io::sink());
    assert_eq!(ran.unwrap().1.answers, [(request, None)]);
}

#[test]
fn other_tools_read_what_hoist_assembles() {
    const TEST: &str = "images in the eyes of others";
    if !installed(TEST, &["skopeo", "umoci", "busybox"]) {
        return;
    }
    let mut bench = Bench::new();
    let long = bench.directory.path().join("root").join("d".repeat(120)).join("n".repeat(120));
    fs::create_dir_all(&long).unwrap();
    fs::write(long.join("caf\u{e9}"), "content").unwrap();
    bench.settings.entrypoint = Some(vec!["/bin/echo".to_owned()]);
    bench.settings.labels = IndexMap::from([("a".to_owned(), "b".to_owned())]);
    let image = bench.image();
    bench.images.set_ref("one", &image).unwrap();
    let at = format!("{}:one", bench.images.path().display());
    let inspected = Command::new("skopeo").args(["inspect", &format!("oci:{at}")]).output().unwrap();
    assert!(inspected.status.success(), "{inspected:?}");
    let inspected: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected["Labels"], serde_json::json!({ "a": "b" }));
    assert_eq!(inspected["Digest"], image.digest.to_string());
    let bundle = bench.directory.path().join("bundle");
    let mut unpack = Command::new("umoci");
    let unpacked = unpack.args(["unpack", "--rootless", "--image", &at]).arg(&bundle).output().unwrap();
    assert!(unpacked.status.success(), "{unpacked:?}");
    let same = Command::new("diff")
        .args(["-r", "--no-dereference"])
        .arg(bench.directory.path().join("root"))
        .arg(bundle.join("rootfs"))
        .output()
        .unwrap();
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
}
