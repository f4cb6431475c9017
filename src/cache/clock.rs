//! How finely a file system counts time.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tempfile::tempfile_in;

use crate::facts::Clock;

/// How often two changes have to get times of their own to show that each does.
const ROUNDS: usize = 4;

/// How finely the file system of a directory counts the times of its files. Found
/// by trying.
#[must_use]
pub fn clock(dir: &Path) -> Clock {
    let tried = tempfile_in(dir).and_then(|mut file| {
        let device = file.metadata()?.dev();
        let mut last = touched(&mut file)?;
        for _ in 0..ROUNDS {
            let next = touched(&mut file)?;
            if next == last {
                return Ok(Clock { device, fine: false });
            }
            last = next;
        }
        Ok(Clock { device, fine: true })
    });
    tried.unwrap_or_default()
}

/// Changes a file and looks at its times.
fn touched(file: &mut File) -> io::Result<(i64, i64, i64, i64)> {
    file.write_all(b".")?;
    let found = file.metadata()?;
    Ok((found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()))
}
