//! Engines that are reached over the network, over ssh, and that hoist starts itself.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::daemons::Daemon;
use crate::engine_faults::{NO_ENGINE, containers, says, soon};
use crate::engines::{Project, Published, engines, processes};
use crate::fixture::{Repo, installed, left_out};

const RELEASE: &str = r#"
image "web" { dockerfile context="web"; tags { raw "dev"; }; push "images"; }
registry "images" "oci:dist"
"#;

fn project(engine: &str) -> Project {
    let project = Project::new(engine);
    project.repo.write("release.kdl", RELEASE);
    project.repo.write("web/Dockerfile", "FROM scratch\nCOPY bin /bin\nRUN echo made > /made\n");
    project.tools("web/bin");
    project.repo.commit("Begin");
    project
}

/// Passes what comes at a port of its own on to a socket.
fn forward(socket: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let pass = |mut from: TcpStream, mut to: UnixStream| {
        let (mut back, mut forth) = (to.try_clone().unwrap(), from.try_clone().unwrap());
        thread::spawn(move || {
            let _ = io::copy(&mut back, &mut forth);
            forth.shutdown(std::net::Shutdown::Write)
        });
        let _ = io::copy(&mut from, &mut to);
        to.shutdown(std::net::Shutdown::Write)
    };
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (from, to) = (stream.unwrap(), UnixStream::connect(&socket).unwrap());
            thread::spawn(move || pass(from, to));
        }
    });
    address
}

#[test]
fn an_engine_of_the_network_builds() {
    for engine in engines("engines of the network") {
        let project = project(&forward(engine.trim_start_matches("unix://").into()));
        project.release();
        assert_eq!(Published::read(&project, "dist/web").file("made"), "made\n", "{engine}");
    }
}

/// Certificates of an authority for an engine at `127.0.0.1` and for who uses it, named
/// as `docker` wants them.
fn certificates(directory: &Path) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output();
        let output = output.expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    fs::create_dir_all(directory).unwrap();
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {new} -keyout ca-key.pem -out ca.pem -subj /CN=tests -days 2"));
    for (name, extensions) in [
        ("server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"),
        ("client", "extendedKeyUsage=clientAuth\n"),
    ] {
        fs::write(directory.join(format!("{name}.ext")), extensions).unwrap();
        openssl(&format!("req {new} -keyout {name}-key.pem -out {name}.csr -subj /CN={name}"));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 \
             -extfile {name}.ext -out {name}.pem"
        ));
    }
    fs::rename(directory.join("client.pem"), directory.join("cert.pem")).unwrap();
    fs::rename(directory.join("client-key.pem"), directory.join("key.pem")).unwrap();
}

#[test]
fn an_engine_behind_tls_is_known_by_certificates_and_knows_hoist_by_them() {
    const TEST: &str = "engines behind TLS";
    if !installed(TEST, &["openssl"]) || engines(TEST).is_empty() {
        return;
    }
    let keys = Repo::new();
    let (ours, others) = (keys.path().join("ours"), keys.path().join("others"));
    certificates(&ours);
    certificates(&others);
    let file = |name: &str| ours.join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("server.pem"), file("server-key.pem"));
    for (kind, options) in [("docker", ["--tlsverify", "--host"].as_slice()), ("buildkit", &["--addr"])] {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("tcp://127.0.0.1:{port}");
        let all = [options, &[&address, "--tlscacert", &ca, "--tlscert", &cert, "--tlskey", &key]].concat();
        let daemon = match Daemon::start(kind, "tls", &all) {
            Ok(daemon) => daemon,
            Err(why) => return left_out(TEST, &why),
        };
        let project = project(&address);
        let with = |certificates: &Path| {
            let path = certificates.display().to_string();
            project.hoist_with(
                &["release", "--yes", "--allow-dirty"],
                &[("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", &path)],
            )
        };
        says(&project.hoist(&["run", "web"]), 3, &["hoist::engine::no_engine", "DOCKER_HOST"]);
        says(&with(&others), 3, &["hoist::engine::no_engine", "ertificate"]);
        says(&with(&ours.join("none")), 3, &["hoist::engine::no_engine", "none/ca.pem"]);
        // Known, and a stranger.
        let stranger = keys.path().join(kind);
        fs::create_dir(&stranger).unwrap();
        for (from, name) in [(&ours, "ca.pem"), (&others, "cert.pem"), (&others, "key.pem")] {
            fs::copy(from.join(name), stranger.join(name)).unwrap();
        }
        says(&with(&stranger), 3, &["hoist::engine::no_engine"]);
        says(&with(&ours), 0, &[]);
        assert_eq!(Published::read(&project, "dist/web").file("made"), "made\n");
        drop(daemon);
    }
}

/// A server of ssh on a port of its own, and a client that reaches it.
pub(crate) struct Ssh {
    server: Child,
    directory: PathBuf,
    pub(crate) port: u16,
}

impl Ssh {
    /// `settings` are further ones of the server.
    pub(crate) fn start(directory: PathBuf, settings: &str) -> Result<Self, String> {
        fs::create_dir_all(&directory).unwrap();
        // The system makes it where the server is started as a service.
        let _ = fs::create_dir_all("/run/sshd");
        for key in ["host", "user"] {
            let path = directory.join(key);
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
            assert!(made.unwrap().success());
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = directory.display();
        let settings = format!(
            "{settings}Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nAuthorizedKeysFile {at}/user.pub\n\
             PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nMaxSessions 50\nMaxStartups 50\n"
        );
        fs::write(directory.join("sshd.conf"), settings).unwrap();
        let client = format!(
            "Host *\nIdentityFile {at}/user\nIdentitiesOnly yes\nUserKnownHostsFile {at}/known\n\
             StrictHostKeyChecking accept-new\nHost engine\nHostName 127.0.0.1\nPort {port}\nUser root\n"
        );
        fs::write(directory.join("ssh.conf"), client).unwrap();
        // ssh takes the home directory from where the system has it, and not from `HOME`.
        let ssh = "/usr/bin/ssh";
        fs::write(directory.join("ssh"), format!("#!/bin/sh\nexec {ssh} -F {at}/ssh.conf \"$@\"\n")).unwrap();
        fs::set_permissions(directory.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        let log = fs::File::create(directory.join("log")).unwrap();
        let mut server = Command::new("/usr/sbin/sshd");
        server.args(["-D", "-e", "-f"]).arg(directory.join("sshd.conf")).stdin(Stdio::null()).stderr(log);
        let server = server.spawn().map_err(|error| format!("/usr/sbin/sshd: {error}"))?;
        let ssh = Self { server, directory, port };
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if since.elapsed() > Duration::from_secs(20) {
                return Err(fs::read_to_string(ssh.directory.join("log")).unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(ssh)
    }

    /// `PATH` with the client before all others.
    pub(crate) fn path(&self) -> String {
        format!("{}:{}", self.directory.display(), std::env::var("PATH").unwrap())
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn an_engine_behind_ssh_builds_and_a_builder_comes_before_the_engine_of_the_machine() {
    const TEST: &str = "engines behind ssh";
    if !rustix::process::geteuid().is_root() || !installed(TEST, &["ssh", "ssh-keygen", "docker"]) {
        return;
    }
    let keys = Repo::new();
    let ssh = match Ssh::start(keys.path().join("ssh"), "") {
        Ok(ssh) => ssh,
        Err(why) => return left_out(TEST, &why),
    };
    let path = ssh.path();
    for engine in engines(TEST) {
        let socket = engine.trim_start_matches("unix://");
        let remote = format!("ssh://root@127.0.0.1:{}{socket}", ssh.port);
        let project = project(&remote);
        let run = |engine: &str| {
            let variables = [("PATH", path.as_str()), ("DOCKER_HOST", engine)];
            project.hoist_with(&["release", "--yes", "--allow-dirty"], &variables)
        };
        says(&run(&remote), 0, &["ssh://root@127.0.0.1"]);
        let first = Published::read(&project, "dist/web");
        assert_eq!(first.file("made"), "made\n", "{engine}");

        // By a name of ssh's own configuration, as a builder.
        let builder = |address: &str| {
            let platform = hoist::oci::Platform::host();
            let text = format!("{RELEASE}builder \"other\" \"{address}\" platforms=\"{platform}\"\n");
            project.repo.write("release.kdl", text);
            project.repo.write("web/new", address);
        };
        builder(&format!("ssh://engine{socket}"));
        says(&run("unix:///nowhere"), 0, &["ssh://engine"]);
        builder("ssh://engine/nowhere/docker.sock");
        says(&run(&engine), 3, &["hoist::engine::no_engine", "builder `other`"]);
        builder("ssh://nobody@engine");
        says(&run(&engine), 3, &["hoist::engine::no_engine", "builder `other`"]);
        assert_eq!(containers(&engine), "[]", "{engine}");
    }
    let dialled = || processes(&ssh.directory.display().to_string()).len();
    let until = Instant::now() + Duration::from_secs(10);
    while dialled() > 1 && Instant::now() < until {
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(
        dialled(),
        1,
        "the server, and no client: {:?}",
        processes(&ssh.directory.display().to_string())
    );
}

/// The settings of a Podman that hoist starts, which keeps all that it has beside the project;
/// `None` where there can be none.
fn started_podman(test: &str, project: &Project) -> Option<[(&'static str, String); 2]> {
    if !rustix::process::geteuid().is_root() || !installed(test, &["podman", "runc", "unshare"]) {
        return None;
    }
    let podman = engines(test).into_iter().find(|engine| engine.contains("podman"))?;
    let settings = Path::new(podman.trim_start_matches("unix://")).with_file_name("containers.conf");
    let storage = project.repo.path().with_file_name("storage.conf");
    let at = project.repo.path().with_file_name("podman");
    fs::write(
        &storage,
        format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{0}/data\"\nrunroot = \"{0}/run\"\n",
            at.display()
        ),
    )
    .unwrap();
    let (settings, storage) = (settings.display().to_string(), storage.display().to_string());
    Some([("CONTAINERS_CONF", settings), ("CONTAINERS_STORAGE_CONF", storage)])
}

/// The directories of services of Podman.
fn services() -> Vec<std::ffi::OsString> {
    let all = fs::read_dir(std::env::temp_dir()).unwrap().filter_map(|entry| Some(entry.ok()?.file_name()));
    all.filter(|name| name.to_string_lossy().starts_with("hoist-podman-")).collect()
}

#[test]
fn a_service_of_podman_is_started_for_a_run_and_ends_with_it() {
    let project = project("");
    let Some(variables) = started_podman("a service of Podman that hoist starts", &project) else { return };
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let ended = project.hoist_where(NO_ENGINE, &["release", "--yes"], &variables);
    says(&ended, 0, &["built by Podman", "hoist-podman-"]);
    assert_eq!(Published::read(&project, "dist/web").file("made"), "made\n");
    assert!(soon(|| processes("/hoist-podman-").is_empty()), "{:?}", processes("/hoist-podman-"));
    assert!(soon(|| services().is_empty()), "{:?}", services());

    // As it is when hoist is killed while it builds.
    project.repo.write("web/Dockerfile", "FROM scratch\nCOPY bin /bin\nRUN sleep 3.625\nRUN sleep 91.5\n");
    let mut hoist = project.hoist_command_where(NO_ENGINE, &["run", "web"], &variables);
    let mut hoist = hoist.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(soon(|| !processes("sleep 3.625").is_empty()), "the build runs");
    assert!(!processes("/hoist-podman-").is_empty());
    hoist.kill().unwrap();
    hoist.wait().unwrap();
    assert!(soon(|| processes("/hoist-podman-").is_empty()), "{:?}", processes("/hoist-podman-"));
    assert!(soon(|| processes("sleep 3.625").is_empty()), "{:?}", processes("sleep 3.625"));
    assert_eq!(processes("sleep 91.5"), Vec::<String>::new());
    assert!(soon(|| services().is_empty()), "{:?}", services());
}
