//! What tests write that run at once, in one log.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A log of tests that run at once, one after the other as they are numbered: what the
/// first that has not ended writes is there at once; what the others write is kept in
/// files, which have no names, until all before them have ended.
pub(super) struct Logs<'a>(Mutex<Inner<'a>>);

struct Inner<'a> {
    log: &'a mut (dyn Write + Send),
    /// Where files are made.
    place: PathBuf,
    /// The first that has not ended.
    turn: usize,
    /// By their numbers.
    tests: Vec<Kept>,
}

/// What a test wrote so far that is not in the log.
#[derive(Default)]
struct Kept {
    file: Option<File>,
    /// Why some of it is lost, if so.
    lost: Option<io::Error>,
    has_ended: bool,
}

impl<'a> Logs<'a> {
    /// The log of so many tests. Files are made in `place`.
    pub(super) fn new(log: &'a mut (dyn Write + Send), place: PathBuf, tests: usize) -> Self {
        let tests = std::iter::repeat_with(Kept::default).take(tests).collect();
        Self(Mutex::new(Inner { log, place, turn: 0, tests }))
    }

    /// Where the test of this number writes. It has ended when that is dropped.
    pub(super) fn of(&self, number: usize) -> Log<'_, 'a> {
        Log { logs: self, number }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<'a>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner<'_> {
    /// Puts what was kept of a test into the log.
    fn bring(&mut self, number: usize) {
        let Some(Kept { file, lost, .. }) = self.tests.get_mut(number) else { return };
        let copied = file.take().map_or(Ok(0), |mut file| {
            file.rewind()?;
            io::copy(&mut file, self.log)
        });
        if let Some(error) = lost.take().or(copied.err()) {
            // What cannot be logged is no reason to fail.
            let _ = writeln!(self.log, "some of its output is lost: {error}");
        }
    }
}

/// What one test writes.
pub(super) struct Log<'l, 'a> {
    logs: &'l Logs<'a>,
    number: usize,
}

impl Write for Log<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.logs.lock();
        let Inner { log, place, turn, tests } = &mut *inner;
        let kept = tests.get_mut(self.number).filter(|_| *turn != self.number);
        let Some(Kept { file, lost, .. }) = kept else { return log.write(bytes) };
        let written = match file {
            Some(file) => file.write_all(bytes),
            None => tempfile::tempfile_in(place).and_then(|new| file.insert(new).write_all(bytes)),
        };
        if let Err(error) = written {
            lost.get_or_insert(error);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Log<'_, '_> {
    fn drop(&mut self) {
        let mut inner = self.logs.lock();
        if let Some(kept) = inner.tests.get_mut(self.number) {
            kept.has_ended = true;
        }
        while inner.tests.get(inner.turn).is_some_and(|kept| kept.has_ended) {
            inner.turn += 1;
            let turn = inner.turn;
            inner.bring(turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_write_at_once_stands_one_after_the_other() {
        let place = tempfile::tempdir().unwrap();
        let mut log = Vec::new();
        let logs = Logs::new(&mut log, place.path().to_owned(), 3);
        let [mut first, mut second, mut third] = [0, 1, 2].map(|number| logs.of(number));
        let write = |log: &mut Log<'_, '_>, text: &str| log.write_all(text.as_bytes()).unwrap();
        write(&mut third, "3a ");
        write(&mut second, "2a ");
        write(&mut first, "1a ");
        drop(third);
        write(&mut second, "2b ");
        write(&mut first, "1b ");
        drop(first);
        write(&mut second, "2c ");
        drop(second);
        drop(logs);
        assert_eq!(String::from_utf8(log).unwrap(), "1a 1b 2a 2b 2c 3a ");
    }

    #[test]
    fn of_output_that_cannot_be_kept_it_is_said_that_it_is_lost() {
        let mut log = Vec::new();
        let logs = Logs::new(&mut log, "/nowhere".into(), 2);
        let (first, mut second) = (logs.of(0), logs.of(1));
        second.write_all(b"gone\n").unwrap();
        drop(first);
        second.write_all(b"here\n").unwrap();
        drop(second);
        drop(logs);
        let log = String::from_utf8(log).unwrap();
        assert!(log.starts_with("some of its output is lost: ") && log.ends_with("\nhere\n"), "{log}");
    }
}
