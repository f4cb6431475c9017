//! How finely a file system counts time.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tempfile::tempfile_in;

/// How often two changes have to get times of their own to show that each does.
const ROUNDS: usize = 4;

/// Larger than any step in which the kernels of this century count the times of
/// files, in nanoseconds: 100 times a second is the slowest.
const STEP: i64 = 20_000_000;

/// In which steps the times of files grow in a directory, at most, in
/// nanoseconds; `None` where each change of a file that was looked at gets a time
/// of its own, as Linux gives it since 6.13 on its usual file systems. Found by
/// trying.
#[must_use]
pub fn granularity(dir: &Path) -> Option<i64> {
    let distinct = tempfile_in(dir).and_then(|mut file| {
        let mut last = touched(&mut file)?;
        for _ in 0..ROUNDS {
            let next = touched(&mut file)?;
            if next == last {
                return Ok(false);
            }
            last = next;
        }
        Ok(true)
    });
    if distinct.unwrap_or(false) { None } else { Some(STEP) }
}

/// Changes a file and looks at its times.
fn touched(file: &mut File) -> io::Result<(i64, i64, i64, i64)> {
    file.write_all(b".")?;
    let found = file.metadata()?;
    Ok((found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()))
}
