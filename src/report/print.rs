//! The one place that writes to standard output and standard error.

use std::io::{self, Write};
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
/// error: the beginning of its log, of that many bytes. A log that is not there
/// is left out, and so is a reader that went away.
///
/// # Errors
/// Standard output cannot be written, for another reason.
pub fn output_log(log: &Path, size: u64) -> io::Result<()> {
    let Ok(log) = LogReader::open(log) else { return Ok(()) };
    copy(log.until(size), &mut io::stderr().lock())
}

/// The same for a log that was recorded: all of it goes to standard output.
///
/// # Errors
/// As [`output_log`].
pub fn record_log(log: &Path) -> io::Result<()> {
    let Ok(log) = LogReader::open(log) else { return Ok(()) };
    copy(log, &mut io::stdout().lock())
}

fn copy(log: LogReader, stderr: &mut impl Write) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let copied = log.copy_to(&mut stdout, stderr).and_then(|()| stdout.flush());
    copied.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

fn write(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let written = stream.write_all(bytes).and_then(|()| stream.flush());
    written.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}
