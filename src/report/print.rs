//! The one place that writes to standard output and standard error.

use std::io::{self, Write};

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

fn write(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let written = stream.write_all(bytes).and_then(|()| stream.flush());
    written.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}
