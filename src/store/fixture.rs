//! Images and registries for tests.
#![expect(clippy::disallowed_methods, reason = "tests make their own world")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::oci::{Descriptor, ImageConfig, Index, Manifest, Platform, media_type};
use crate::store::Layout;

/// An image of one platform in a layout, with a layer of these bytes.
pub(crate) fn image(layout: &Layout, platform: &str, layer: &[u8], labels: &[(&str, &str)]) -> Descriptor {
    let platform: Platform = platform.parse().unwrap();
    let mut config = ImageConfig::new(&platform);
    let layer = layout.write(media_type::LAYER, layer).unwrap();
    config.rootfs.diff_ids.push(layer.digest);
    for (name, value) in labels {
        config.config.labels.insert((*name).to_owned(), (*value).to_owned());
    }
    let config = layout.write(media_type::CONFIG, &config.to_bytes()).unwrap();
    let manifest = Manifest::new(config, vec![layer]).to_bytes();
    let manifest = layout.write(media_type::MANIFEST, &manifest).unwrap();
    Descriptor { platform: Some(platform), ..manifest }
}

/// An index of images in a layout.
pub(crate) fn index(layout: &Layout, manifests: Vec<Descriptor>) -> Descriptor {
    layout.write(media_type::INDEX, &Index::new(manifests).to_bytes()).unwrap()
}

/// A tar archive of no files: what real tools take for a layer.
pub(crate) fn empty_archive() -> Vec<u8> {
    vec![0; 1024]
}

/// A tar archive of these files.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        archive.append_data(&mut header, name, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

/// The path of a program, or nothing, and word of the test that is left out.
/// Where all tests are asked for, a program that is missing is a failure.
pub(crate) fn program(test: &str, name: &str, variable: &str) -> Option<String> {
    let path = std::env::var(variable).unwrap_or_else(|_| name.to_owned());
    let found = Command::new(&path).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok() {
        return Some(path);
    }
    assert!(std::env::var_os("HOIST_TEST_REQUIRE").is_none(), "{test} needs `{name}`");
    // Not captured, unlike what the macros print.
    writeln!(io::stderr(), "left out: {test} (there is no `{name}`)").unwrap();
    None
}

/// The registry of Docker (the package `docker-registry`), on a port of its own.
pub(crate) struct DockerRegistry {
    child: Child,
    /// Host and port.
    pub(crate) address: String,
    _directory: tempfile::TempDir,
}

impl DockerRegistry {
    /// Starts one; `settings` are added to its configuration in YAML.
    pub(crate) fn start(test: &str, http: &str, settings: &str) -> Option<Self> {
        Self::start_with(test, http, settings, "")
    }

    /// As [`start`](Self::start); `storage` is added to how it stores.
    pub(crate) fn start_with(test: &str, http: &str, settings: &str, storage: &str) -> Option<Self> {
        let program = program(test, "docker-registry", "HOIST_TEST_REGISTRY_BIN")?;
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}, {storage}}}\nhttp:\n  addr: 127.0.0.1:0\n{http}\n{settings}\n",
            data.display()
        );
        let path = directory.path().join("config.yml");
        std::fs::write(&path, config).unwrap();
        let mut child = Command::new(program)
            .arg("serve")
            .arg(&path)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = loop {
            let line = lines.next().unwrap_or_else(|| panic!("the registry ended: {said}")).unwrap();
            if let Some((_, after)) = line.split_once("listening on ") {
                break after.split(['"', ',', ' ']).next().unwrap().to_owned();
            }
            said.push_str(&line);
        };
        // What it logs must be read, or it stops when the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, address, _directory: directory })
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request as [`FakeServer`] received it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Method and target: `GET /v2/`.
    pub(crate) line: String,
    /// Headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// A header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Stands in for servers that are broken, busy, or hostile.
pub(crate) struct FakeServer {
    /// Host and port.
    pub(crate) address: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl FakeServer {
    /// Answers every request with what `answer` makes of it: status line,
    /// headers, and body, without `Content-Length` and `Connection`.
    pub(crate) fn start(answer: impl Fn(&Received) -> Answer + Send + 'static) -> Self {
        Self::start_cutting(|_| None, answer)
    }

    /// As [`start`](Self::start); where `cut` says so of a request without its body, no
    /// more than so many bytes of it are read, and what is answered is not sent.
    pub(crate) fn start_cutting(
        cut: impl Fn(&Received) -> Option<u64> + Send + 'static,
        answer: impl Fn(&Received) -> Answer + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut reader = BufReader::new(&stream);
                let Some(mut request) = receive_head(&mut reader) else { continue };
                let cut = cut(&request);
                let length = request.header("content-length").and_then(|length| length.parse().ok());
                let length: u64 = cut.or(length).unwrap_or(0);
                if reader.take(length).read_to_end(&mut request.body).is_err() {
                    continue;
                }
                log.lock().unwrap().push(request.clone());
                let answer = answer(&request);
                if cut.is_none() {
                    let _ = answer.send(&mut stream, request.line.starts_with("HEAD"));
                }
            }
        });
        Self { address, received }
    }

    /// The requests so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The method and target of each request so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.received().into_iter().map(|request| request.line).collect()
    }
}

fn receive_head(reader: &mut impl BufRead) -> Option<Received> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let line = line.trim().strip_suffix(" HTTP/1.1")?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(Received { line, headers, body: Vec::new() })
}

/// An answer of [`FakeServer`].
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// So many bytes of the body are sent.
    sent: usize,
}

impl Answer {
    /// An answer without headers and body.
    pub(crate) fn new(status: &'static str) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), sent: usize::MAX }
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets the body.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Breaks off after so many bytes of the body.
    pub(crate) fn cut(mut self, sent: usize) -> Self {
        self.sent = sent;
        self
    }

    fn send(&self, stream: &mut TcpStream, head: bool) -> io::Result<()> {
        write!(stream, "HTTP/1.1 {}\r\nConnection: close\r\n", self.status)?;
        write!(stream, "Content-Length: {}\r\n", self.body.len())?;
        for (name, value) in &self.headers {
            write!(stream, "{name}: {value}\r\n")?;
        }
        write!(stream, "\r\n")?;
        if head { Ok(()) } else { stream.write_all(&self.body[..self.body.len().min(self.sent)]) }
    }
}

/// Runs `openssl` in a directory.
pub(crate) fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
