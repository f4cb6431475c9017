//! Signals that ask hoist to stop.

use std::fs;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;

/// The signals that ask hoist to stop, as they come. From now on they do nothing
/// else. Those that whoever started hoist wants ignored, as `nohup` does, stay
/// ignored.
#[must_use]
pub fn interrupts() -> mpsc::UnboundedReceiver<Signal> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let kinds = [
        (SignalKind::interrupt(), Signal::INT),
        (SignalKind::terminate(), Signal::TERM),
        (SignalKind::hangup(), Signal::HUP),
    ];
    let ignored = ignored();
    for (kind, signal) in kinds {
        if ignored >> (signal.as_raw() - 1) & 1 == 1 {
            continue;
        }
        let Ok(mut stream) = unix::signal(kind) else { continue };
        let sender = sender.clone();
        tokio::spawn(async move { while stream.recv().await.is_some() && sender.send(signal).is_ok() {} });
    }
    receiver
}

/// The signals that are ignored, the first one as the lowest bit; none where the
/// system does not tell.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// The name of a signal that asks hoist to stop.
pub(super) fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "SIGINT",
        Signal::HUP => "SIGHUP",
        _ => "SIGTERM",
    }
}
