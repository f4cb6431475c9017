//! A proxy on loopback that harms what passes between hoist and a registry.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is answered with this status, and a `Retry-After` if there is one.
    Status(&'static str, Option<&'static str>),
    /// The connection is cut after so many thousandths of the request's body.
    CutRequest(usize),
    /// The connection is cut after so many thousandths of the answer.
    CutAnswer(usize),
    /// It takes so many milliseconds longer.
    Delay(u64),
    /// It is passed on so many milliseconds later.
    Hold(u64),
    /// The answer is complete, with so many thousandths of its body.
    Shorten(usize),
    /// In the body of the answer one bit is another.
    Flip(usize),
    /// The answer says another digest.
    WrongDigest,
}

/// Says what happens to a request: its method and path, without what is different each
/// time, and how many of the same there were before.
pub(crate) type Harm = Box<dyn Fn(&str, usize) -> Option<Fault> + Send>;

struct State {
    harm: Option<Harm>,
    seen: HashMap<String, usize>,
    /// What happened to which request.
    done: Vec<String>,
    stopped: bool,
}

/// Passes requests on to a registry; stopped when it is dropped.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub(crate) fn start(upstream: u16, harm: Harm) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let state = State { harm: Some(harm), seen: HashMap::new(), done: Vec::new(), stopped: false };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.lock().expect("no thread panics").stopped {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || pass(stream, upstream, &shared));
            }
        });
        Self { port, state }
    }

    /// From here on this is done, as if nothing had been asked for before.
    pub(crate) fn harm(&self, harm: Harm) {
        let mut state = self.state.lock().expect("no thread panics");
        (state.harm, state.seen) = (Some(harm), HashMap::new());
    }

    /// From here on nothing is harmed.
    pub(crate) fn heal(&self) {
        self.state.lock().expect("no thread panics").harm = None;
    }

    /// How often something was asked for, by its method and path.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.state.lock().expect("no thread panics").seen.get(name).copied().unwrap_or_default()
    }

    /// What was done to which request.
    pub(crate) fn told(&self) -> String {
        self.state.lock().expect("no thread panics").done.join("\n")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.lock().expect("no thread panics").stopped = true;
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// The part of a request line that is the same each time: uploads have other names.
fn same(line: &str) -> String {
    let target = line.trim_end().trim_end_matches(" HTTP/1.1");
    let path = target.split('?').next().unwrap_or(target);
    match path.split_once("/blobs/uploads/") {
        Some((before, _)) => {
            let digest = target.split_once("digest=").map_or("", |(_, digest)| digest);
            format!("{before}/blobs/uploads/{}", digest.split('&').next().unwrap_or(digest))
        }
        None => path.to_owned(),
    }
}

/// Passes one request on; where a connection ends early, so does this.
fn pass(stream: TcpStream, upstream: u16, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut head, mut length, mut line) = (String::new(), 0, String::new());
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let name = same(&line);
    while line != "\r\n" {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        assert!(!lower.starts_with("transfer-encoding"), "bodies come with their length");
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
        line.clear();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    }
    head.push_str("Connection: close\r\n\r\n");
    let fault = {
        let mut state = state.lock().expect("no thread panics");
        let before = state.seen.entry(name.clone()).or_default();
        let at = *before;
        *before += 1;
        let fault = state.harm.as_ref().and_then(|harm| harm(&name, at));
        if let Some(fault) = fault {
            state.done.push(format!("  {name} [{at}]: {fault:?}"));
        }
        fault
    };
    let sent = match fault {
        Some(Fault::CutRequest(thousandths)) => length * thousandths / 1000,
        _ => length,
    };
    let mut body = vec![0; sent];
    reader.read_exact(&mut body).ok()?;
    if let Some(Fault::Hold(time)) = fault {
        std::thread::sleep(Duration::from_millis(time));
    }
    let mut answer = if let Some(Fault::Status(status, wait)) = fault {
        let wait = wait.map(|wait| format!("Retry-After: {wait}\r\n")).unwrap_or_default();
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n{wait}\r\n").into_bytes()
    } else {
        let mut registry = TcpStream::connect(("127.0.0.1", upstream)).ok()?;
        registry.write_all(head.as_bytes()).ok()?;
        registry.write_all(&body).ok()?;
        if let Some(Fault::CutRequest(_)) = fault {
            let _ = registry.shutdown(Shutdown::Both);
            return None;
        }
        let mut answer = Vec::new();
        registry.read_to_end(&mut answer).ok()?;
        answer
    };
    harm(&mut answer, fault);
    let mut stream = stream;
    stream.write_all(&answer).ok()?;
    stream.shutdown(Shutdown::Write).ok()
}

/// Harms an answer.
fn harm(answer: &mut Vec<u8>, fault: Option<Fault>) {
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    let body = answer.len() - head;
    match fault {
        Some(Fault::CutAnswer(thousandths)) => answer.truncate(answer.len() * thousandths / 1000),
        Some(Fault::Delay(time)) => std::thread::sleep(Duration::from_millis(time)),
        Some(Fault::Shorten(thousandths)) if body > 0 => {
            let shorter = body * thousandths / 1000;
            answer.truncate(head + shorter);
            let text = String::from_utf8_lossy(&answer[..head]).into_owned();
            let text =
                text.replace(&format!("Content-Length: {body}"), &format!("Content-Length: {shorter}"));
            answer.splice(..head, text.into_bytes());
        }
        Some(Fault::Flip(at)) if body > 0 => answer[head + at % body] ^= 1,
        Some(Fault::WrongDigest) => {
            let text = String::from_utf8_lossy(&answer[..head]).into_owned();
            if let Some((before, after)) = text.split_once("Docker-Content-Digest: sha256:") {
                let other =
                    format!("{before}Docker-Content-Digest: sha256:{}{}", "0".repeat(64), &after[64..]);
                answer.splice(..head, other.into_bytes());
            }
        }
        _ => {}
    }
}

/// What a registry has at a path, asked without a proxy; `None` unless it is there.
pub(crate) fn direct(port: u16, path: &str) -> Option<Vec<u8>> {
    let ask = || -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        let accept: Vec<_> =
            hoist::oci::media_type::MANIFESTS.iter().map(|one| format!("Accept: {one}\r\n")).collect();
        let head = "HTTP/1.0\r\nHost: x\r\nConnection: close\r\n";
        write!(stream, "GET {path} {head}{}\r\n", accept.concat())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().expect("the registry answers");
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("it is an answer") + 4;
    String::from_utf8_lossy(&answer[..head]).contains(" 200 ").then(|| answer[head..].to_vec())
}
