//! Signals that ask hoist to stop.

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;

/// The signals that ask hoist to stop, as they come. From now on they do nothing
/// else. Where the system refuses, they do what they did before.
pub(super) fn interrupts() -> mpsc::UnboundedReceiver<Signal> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let kinds = [
        (SignalKind::interrupt(), Signal::INT),
        (SignalKind::terminate(), Signal::TERM),
        (SignalKind::hangup(), Signal::HUP),
    ];
    for (kind, signal) in kinds {
        let Ok(mut stream) = unix::signal(kind) else { continue };
        let sender = sender.clone();
        tokio::spawn(async move { while stream.recv().await.is_some() && sender.send(signal).is_ok() {} });
    }
    receiver
}

/// The name of a signal that asks hoist to stop.
pub(super) fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "SIGINT",
        Signal::HUP => "SIGHUP",
        _ => "SIGTERM",
    }
}
