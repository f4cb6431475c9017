//! The one place that writes to standard output and standard error.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

use crate::run::LogReader;

/// Writes a text to standard output. A reader that went away is no failure.
///
/// # Errors
/// The stream cannot be written, for another reason than that nobody reads it.
pub fn output(text: &str) -> io::Result<()> {
    write(&mut io::stdout().lock(), text.as_bytes())
}

/// Writes a text to standard error. What cannot be said there is dropped: there
/// is no other place to say so.
pub fn status(text: &str) {
    let _ = write(&mut io::stderr().lock(), text.as_bytes());
}

/// Writes what a step wrote, as it wrote it, to standard output and standard
/// error: what is left of a log up to that byte. At its end, lines are ended. A
/// reader that went away is no failure.
///
/// # Errors
/// Standard output cannot be written, for another reason.
pub fn output_log(log: &mut LogReader, size: u64, is_end: bool) -> io::Result<()> {
    log.extend(size);
    copy(log, &mut io::stderr().lock(), is_end)
}

/// Ends a line that a step began on standard error, or, with `both`, on standard output
/// that goes to the same place. What cannot be written there is not missed.
pub(super) fn break_line(log: &mut LogReader, both: bool) {
    drop(log.break_line(&mut io::stderr().lock(), both));
}

/// The same for a log that was recorded: all of it goes to standard output. A log
/// that is not there is left out.
///
/// # Errors
/// As [`output_log`].
pub fn record_log(log: &Path) -> io::Result<()> {
    let Ok(mut log) = LogReader::open(log) else { return Ok(()) };
    copy(&mut log, &mut io::stdout().lock(), true)
}

fn copy(log: &mut LogReader, stderr: &mut (impl Write + AsFd), is_end: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let mut copied = log.copy_to(&mut stdout, stderr);
    if is_end {
        copied = copied.and_then(|()| log.end_lines(&mut stdout, stderr));
    }
    copied.and_then(|()| stdout.flush()).or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    })
}

fn write(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let written = stream.write_all(bytes).and_then(|()| stream.flush());
    written.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}
