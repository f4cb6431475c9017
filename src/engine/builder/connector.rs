//! Opens connections to an engine.
#![expect(clippy::disallowed_methods, reason = "ssh carries connections")]

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response, Uri};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use crate::config::{Address, Destination};
use crate::engine::builder::pipe::Pipe;

/// Opens connections to the engine at an address.
#[derive(Clone)]
pub(super) struct Connector {
    address: Address,
    /// How the engine is known and hoist is known to it, where that is asked for.
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Connector {
    pub(super) fn new(address: Address, tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        Self { address, tls }
    }

    /// The same for an engine that speaks HTTP/2 alone, which is said over TLS.
    pub(super) fn with_http2(&self) -> Self {
        let tls = self.tls.as_ref().map(|tls| {
            let mut tls = rustls::ClientConfig::clone(tls);
            tls.alpn_protocols = vec![b"h2".to_vec()];
            Arc::new(tls)
        });
        Self { address: self.address.clone(), tls }
    }

    /// A connection of its own.
    pub(super) async fn open(&self) -> io::Result<Pipe> {
        match &self.address {
            Address::Unix(path) => Ok(Pipe::new(UnixStream::connect(path).await?)),
            Address::Tcp(authority) => {
                let stream = TcpStream::connect(authority.as_str()).await?;
                stream.set_nodelay(true)?;
                let Some(tls) = &self.tls else { return Ok(Pipe::new(stream)) };
                let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(host).map_err(io::Error::other)?;
                Ok(Pipe::new(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?))
            }
            Address::Ssh(destination) => Ok(Pipe::new(dial(destination)?)),
        }
    }

    /// A connection that stops being HTTP once the engine agrees to it: its `/grpc`
    /// and `/session`.
    pub(super) async fn upgraded(&self, path: &str, headers: &[(&str, String)]) -> io::Result<Pipe> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(self.open().await?)).await.map_err(io::Error::other)?;
        let carried = tokio::spawn(connection.with_upgrades());
        let mut request =
            Request::post(path).header(HOST, "engine").header(CONNECTION, "Upgrade").header(UPGRADE, "h2c");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            carried.abort();
            return Err(io::Error::other(not_upgraded(path, &response)));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(io::Error::other)?;
        Ok(Pipe::new(TokioIo::new(upgraded)))
    }
}

fn not_upgraded(path: &str, response: &Response<Incoming>) -> String {
    format!("`{path}` was answered with {}", response.status())
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Pipe>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.open().await.map(TokioIo::new) })
    }
}

/// The standard streams of an ssh whose other end passes on what an engine says.
struct Dialled {
    streams: tokio::io::Join<ChildStdout, ChildStdin>,
    /// Where ssh says why there is no connection, and what it has said so far.
    stderr: ChildStderr,
    words: Vec<u8>,
    /// Whether anything came from the other end.
    answered: bool,
    /// Killed when the connection is dropped.
    _ssh: Child,
}

/// The most that is kept of what ssh says, in bytes.
const WORDS: usize = 4096;

/// Reaches the engine at the other end of ssh as `docker` does: by its own client
/// there, or by that of BuildKit where there is no `docker`.
///
/// ssh authenticates by what its own configuration says, and asks nothing.
fn dial(destination: &Destination) -> io::Result<impl super::pipe::Carrier + use<>> {
    let Destination { user, host, port, socket } = destination;
    let mut ssh = Command::new("ssh");
    ssh.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-T"]);
    if let Some(user) = user {
        ssh.args(["-l", user]);
    }
    if let Some(port) = port {
        ssh.args(["-p", &port.to_string()]);
    }
    let at =
        |option: &str| socket.as_ref().map(|socket| format!(" {option} unix://{socket}")).unwrap_or_default();
    let docker = format!("docker{} system dial-stdio", at("--host"));
    let buildctl = format!("buildctl{} dial-stdio", at("--addr"));
    let script = format!(
        "command -v docker > /dev/null || ! command -v buildctl > /dev/null || exec {buildctl}; exec {docker}"
    );
    ssh.args(["--", host, "sh", "-c", &format!("'{script}'")]);
    ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut ssh = ssh.spawn()?;
    let streams = ssh.stdout.take().zip(ssh.stdin.take()).zip(ssh.stderr.take());
    let ((stdout, stdin), stderr) = streams.ok_or_else(|| io::Error::other("ssh has no standard streams"))?;
    let streams = tokio::io::join(stdout, stdin);
    Ok(Dialled { streams, stderr, words: Vec::new(), answered: false, _ssh: ssh })
}

impl tokio::io::AsyncRead for Dialled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.streams).poll_read(context, buffer))?;
        self.answered |= buffer.filled().len() > before;
        if self.answered {
            return Poll::Ready(Ok(()));
        }
        // It ended before the engine said a word.
        loop {
            let mut piece = [0; 512];
            let mut piece = tokio::io::ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut self.stderr).poll_read(context, &mut piece))?;
            if piece.filled().is_empty() || self.words.len() > WORDS {
                let words = String::from_utf8_lossy(&self.words);
                let last = words.trim().lines().last().unwrap_or("it says nothing");
                return Poll::Ready(Err(io::Error::other(format!("ssh ended: {last}"))));
            }
            self.words.extend_from_slice(piece.filled());
        }
    }
}

impl tokio::io::AsyncWrite for Dialled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.streams).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.streams).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.streams).poll_shutdown(context)
    }
}
