//! Requests to a container, asked on its loopback interface (RFC 9112).

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of an answer that are read; of a longer one this is all.
const MAX_ANSWER: usize = 1 << 20;
/// Characters of a body that are shown, on one line, where it is not as expected.
const SHOWN: usize = 200;

/// What is asked of a container, and what must come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The port that it listens on.
    pub port: u16,
    /// What is asked for: begins with `/`.
    pub path: String,
    /// Status of the answer.
    pub status: u16,
    /// What the body contains.
    pub body: Option<String>,
}

/// Why a request was not answered as it must be, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unmet {
    /// Nothing came back.
    NoAnswer(String),
    /// Something else came back.
    Answer(String),
}

impl Request {
    /// Asks once.
    ///
    /// # Errors
    /// What came back instead of what must.
    pub(super) fn ask(&self) -> Result<(), Unmet> {
        let Self { port, path, status, body } = self;
        let asked = format!("GET http://localhost:{port}{path}");
        let (got, text) =
            self.answer().map_err(|error| Unmet::NoAnswer(format!("`{asked}`: no answer: {error}")))?;
        let text = String::from_utf8_lossy(&text);
        let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: String = words.chars().take(SHOWN).collect();
        let more = if shown.len() < words.len() { "…" } else { "" };
        if got != *status {
            let reason = format!("`{asked}`: expected status {status}, got {got} with `{shown}{more}`");
            return Err(Unmet::Answer(reason));
        }
        match body.as_ref().filter(|body| !text.contains(*body)) {
            None => Ok(()),
            Some(body) => Err(Unmet::Answer(format!(
                "`{asked}`: the body does not contain `{body}`, it is `{shown}{more}`"
            ))),
        }
    }

    fn answer(&self) -> io::Result<(u16, Vec<u8>)> {
        let until = Instant::now() + PATIENCE;
        let mut stream = self.connect()?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let (port, path) = (self.port, encoded(&self.path));
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nUser-Agent: hoist\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let mut bytes = Vec::new();
        let mut buffer = [0; 8 << 10];
        loop {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("it did not end within {PATIENCE:?}"),
                ));
            }
            stream.set_read_timeout(Some(rest))?;
            let count = match stream.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                read => read?,
            };
            bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
            let is_over = count == 0 || bytes.len() >= MAX_ANSWER;
            if let Some(answer) = parse(&bytes, is_over)? {
                return Ok(answer);
            }
            if is_over {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends before its body"));
            }
        }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let at = |address: SocketAddr| TcpStream::connect_timeout(&address, PATIENCE);
        at((Ipv4Addr::LOCALHOST, self.port).into())
            .or_else(|error| at((Ipv6Addr::LOCALHOST, self.port).into()).map_err(|_| error))
    }
}

/// A path as it may stand in a request: without spaces and control characters.
fn encoded(path: &str) -> String {
    let byte = |byte: u8| match byte {
        0x21..=0x7e => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    path.bytes().map(byte).collect()
}

/// Status and body of an answer; `None` if more of it is to come. Of one that is
/// over before its end, the body is what there is.
fn parse(bytes: &[u8], is_over: bool) -> io::Result<Option<(u16, Vec<u8>)>> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut answer = httparse::Response::new(&mut headers);
    let parsed =
        answer.parse(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    let (httparse::Status::Complete(head), Some(status)) = (parsed, answer.code) else { return Ok(None) };
    let body = bytes.get(head..).unwrap_or_default();
    let header = |name: &str| {
        let found = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    };
    if matches!(status, 100..=199 | 204 | 304) {
        return Ok(Some((status, Vec::new())));
    }
    if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        let (body, is_whole) = joined(body);
        return Ok((is_whole || is_over).then_some((status, body)));
    }
    let length = header("content-length").and_then(|length| length.parse::<usize>().ok());
    let body = body.get(..length.unwrap_or(usize::MAX)).map_or_else(|| is_over.then_some(body), Some);
    Ok(body.map(|body| (status, body.to_vec())))
}

/// The chunks of a body, and whether the last one is among them.
fn joined(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(bytes) {
        if size == 0 {
            return (body, true);
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let chunk = bytes.get(start..).unwrap_or_default();
        body.extend_from_slice(chunk.get(..size).unwrap_or(chunk));
        // Behind a chunk there is the end of its line.
        let Some(rest) = size.checked_add(2).and_then(|end| chunk.get(end..)) else { break };
        bytes = rest;
    }
    (body, false)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What comes of a request to a server that says this to whoever asks, with
    /// what it was asked.
    fn asked(says: &'static str, request: &Request) -> (Result<(), String>, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            stream.write_all(says.as_bytes()).unwrap();
            String::from_utf8(head).unwrap().lines().next().unwrap().to_owned()
        });
        let result = Request { port, ..request.clone() }.ask();
        let said = |unmet| match unmet {
            Unmet::NoAnswer(text) | Unmet::Answer(text) => text.replace(&port.to_string(), "PORT"),
        };
        (result.map_err(said), server.join().unwrap())
    }

    fn request(path: &str, status: u16, body: Option<&str>) -> Request {
        Request { port: 1, path: path.to_owned(), status, body: body.map(str::to_owned) }
    }

    #[test]
    fn an_answer_as_expected_is_one_however_its_body_is_sent() {
        for says in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n",
            "HTTP/1.0 200 OK\r\n\r\nall is ok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n2\r\nk!\r\n0\r\n\r\n",
        ] {
            let line = "GET /a%20b HTTP/1.1".to_owned();
            assert_eq!(asked(says, &request("/a b", 200, Some("ok"))), (Ok(()), line), "{says}");
        }
        let none = "HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(asked(none, &request("/", 204, None)).0, Ok(()));
    }

    #[test]
    fn an_answer_that_is_not_as_expected_is_told() {
        let get = "`GET http://localhost:PORT/x`";
        let failed = |says, request: &Request| asked(says, request).0.unwrap_err();
        let says = "HTTP/1.1 503 Busy\r\nContent-Length: 7\r\n\r\nlater\n\n";
        let expected = format!("{get}: expected status 200, got 503 with `later`");
        assert_eq!(failed(says, &request("/x", 200, None)), expected);
        let expected = format!("{get}: the body does not contain `ok`, it is `later`");
        assert_eq!(failed(says, &request("/x", 503, Some("ok"))), expected);
        let expected = format!("{get}: no answer: it ends before its body");
        assert_eq!(failed("HTTP/1.1 200", &request("/x", 200, None)), expected);
        assert!(
            failed("SSH-2.0-x\r\n", &request("/x", 200, None)).starts_with(&format!("{get}: no answer: "))
        );
    }

    #[test]
    fn a_body_is_shown_as_far_as_it_is_short() {
        let says = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort";
        assert_eq!(parse(says.as_bytes(), false).unwrap(), None);
        assert_eq!(parse(says.as_bytes(), true).unwrap(), Some((200, b"short".to_vec())));
        let endless = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nab";
        assert_eq!(parse(endless.as_bytes(), true).unwrap(), Some((200, b"ab".to_vec())));
    }
}
