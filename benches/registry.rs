//! An image that goes to a registry on this machine, taken there by several programs.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Bench;
use crate::image;
use crate::measure::{Contender, run};
use crate::table::left_out;
use crate::{available, directory};

/// Where buildah keeps images.
const STORE: &str = "--root $PWD/store --runroot $PWD/run --storage-driver vfs";

/// A registry with a directory of its own, stopped when it is dropped.
pub(crate) struct Registry {
    child: Child,
    port: u16,
    storage: PathBuf,
}

impl Registry {
    pub(crate) fn start(root: &Path) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("there is a free port").port();
        let storage = root.join("registry");
        let settings = format!(
            "version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\n\
             storage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: \"127.0.0.1:{port}\" }}\n",
            storage.display()
        );
        let file = root.join("registry.yml");
        fs::write(&file, settings).expect("a file can be written");
        let mut command = Command::new("docker-registry");
        let child =
            command.arg("serve").arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the registry answers");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { child, port, storage })
    }

    /// Its host and port.
    pub(crate) fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Forgets all that was pushed, or a part of it.
    pub(crate) fn forget(&self, part: &str) {
        let _not_there = fs::remove_dir_all(self.storage.join("docker/registry/v2").join(part));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bench {
    /// An image that is pushed, pushed again, named again, and copied.
    pub(crate) fn registry(&self, files: usize) {
        let directory = directory();
        let root = directory.path();
        let what = format!("image of {files} files and one of 200 MB");
        let Some(registry) = Registry::start(root) else {
            return left_out(&format!("{what}, pushed"), "docker-registry is not installed");
        };
        image::write(root, files);
        image::release(root);
        run(root, &self.hoist(&["release", "--quiet", "--yes", "--allow-dirty"]).line);
        let place = registry.place();
        let (from, to) = ("oci:dist/web:1.0.0", format!("{place}/bench/web:1"));
        let sh = |name: &'static str, script: String| Contender::new(name, &["sh", "-c", &script]);
        let skopeo = |from: &str, to: &str| {
            let script = format!(
                "skopeo copy --quiet --src-tls-verify=false --dest-tls-verify=false {from} docker://{to}"
            );
            sh("skopeo", script)
        };
        let buildah = |to: &str| {
            sh("buildah", format!("buildah {STORE} push --quiet --tls-verify=false web docker://{to}"))
        };
        let docker =
            |to: &str| sh("docker", format!("docker tag bench-web {to} && docker push --quiet {to}"));
        let mut engines: Vec<&dyn Fn(&str) -> Contender<'static>> = Vec::new();
        let pull = sh(
            "buildah",
            format!("buildah {STORE} pull --quiet {from} > id && buildah tag {STORE} $(cat id) web"),
        );
        if available(&what, &pull) {
            run(root, &pull.line);
            engines.push(&buildah);
        }
        let load = format!("skopeo copy --quiet {from} docker-daemon:bench-web:latest");
        if Command::new("sh").current_dir(root).args(["-c", &load]).status().is_ok_and(|it| it.success()) {
            engines.push(&docker);
        } else {
            left_out(&format!("{what}, pushed by docker"), "no engine that skopeo reaches");
        }
        let others = |to: &str, before: &'static str| {
            let engines = engines.iter().map(|engine| engine(to));
            let all = engines.chain([skopeo(from, to)]);
            let registry = &registry;
            all.map(move |it| it.before(move |_| registry.forget(before))).collect::<Vec<_>>()
        };
        let hoist = |from: &str, to: &str, before: &'static str| {
            let registry = &registry;
            self.hoist(&["copy", "--quiet", from, to]).before(move |_| registry.forget(before))
        };

        let must = "≤ 0.8 × the best engine";
        self.compare(&directory, &format!("{what}, pushed"), must, hoist(from, &to, ""), others(&to, ""));
        let must = "≤ 0.5 × the best";
        let what_now = format!("{what}, pushed again");
        self.compare(&directory, &what_now, must, hoist(from, &to, "none"), others(&to, "none"));

        let (named, tag) = (format!("{place}/bench/web:2"), "repositories/bench/web/_manifests/tags/2");
        let skopeo_names = skopeo(&format!("docker://{to}"), &named).before(|_| registry.forget(tag));
        let what_now = format!("{what}, a tag added");
        self.compare(&directory, &what_now, must, hoist(&to, &named, tag), [skopeo_names]);

        let (copied, repository) = (format!("{place}/other/web:1"), "repositories/other");
        let skopeo_copies =
            skopeo(&format!("docker://{to}"), &copied).before(|_| registry.forget(repository));
        let must = "≤ 0.3 × skopeo";
        let what_now = format!("{what}, copied to another repository");
        self.compare(&directory, &what_now, must, hoist(&to, &copied, repository), [skopeo_copies]);
    }
}
