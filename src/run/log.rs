//! What a step wrote, as it is kept: one file a step, written as the output comes.
//!
//! A log is a sequence of frames: the stream as the digit `1` or `2`, the number
//! of bytes (4 bytes, little endian), when they came (8 bytes, milliseconds
//! since the epoch, 0 where that is not known), and the bytes as they were
//! written, secrets masked. Whoever reads a log that is still written, or whose
//! writer was killed, sees all frames but a last one that is not whole.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, IoSlice, Read, Seek as _, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::run::line::Line;
use crate::run::{Event, Happening, Stream, Written};

/// Bytes of a frame before its contents.
const HEADER: usize = 13;

/// Most bytes of a frame: it is read at once.
const LARGEST: usize = 1024 * 1024;

/// Bytes that are read at once.
const BATCH: usize = 128 * 1024;

/// How many frames are looked at for the last lines.
const RECENT: usize = 32;

/// What stands before the contents of a frame.
#[derive(Clone, Copy, Debug)]
struct Header {
    stream: Stream,
    size: usize,
    /// Milliseconds since the epoch; 0 where that is not known.
    time: i64,
}

impl Header {
    fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = match self.stream {
            Stream::Stdout => b'1',
            Stream::Stderr => b'2',
        };
        let size = u32::try_from(self.size).unwrap_or(u32::MAX);
        bytes[1..5].copy_from_slice(&size.to_le_bytes());
        bytes[5..].copy_from_slice(&self.time.to_le_bytes());
        bytes
    }

    /// `None` if this is not the beginning of a frame.
    fn from_bytes(bytes: [u8; HEADER]) -> Option<Self> {
        let [digit, a, b, c, d, time @ ..] = bytes;
        let stream = match digit {
            b'1' => Stream::Stdout,
            b'2' => Stream::Stderr,
            _ => return None,
        };
        let size = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
        (size <= LARGEST).then(|| Self { stream, size, time: i64::from_le_bytes(time) })
    }
}

/// The log of a step that runs. The file comes with the first output.
#[derive(Debug)]
pub(super) struct Log {
    path: Arc<Path>,
    file: Option<File>,
    size: u64,
    /// Where the output of the current attempt begins.
    attempt: u64,
    /// Where its last frames begin.
    recent: VecDeque<u64>,
}

impl Log {
    /// Nothing written yet.
    pub(super) const fn new(path: Arc<Path>) -> Self {
        Self { path, file: None, size: 0, attempt: 0, recent: VecDeque::new() }
    }

    /// Appends what a step wrote at a time.
    ///
    /// # Errors
    /// The file cannot be written: what did not fit is not in the log.
    pub(super) fn write(&mut self, stream: Stream, time: Timestamp, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(create(&self.path)?),
        };
        for piece in bytes.chunks(LARGEST) {
            let header = Header { stream, size: piece.len(), time: time.as_millisecond() };
            if let Err(error) = write_frame(file, header, piece) {
                // A frame that is not whole would hide what comes behind it.
                file.set_len(self.size)?;
                file.seek(SeekFrom::Start(self.size))?;
                return Err(error);
            }
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(self.size);
            self.size += (HEADER + piece.len()) as u64;
        }
        Ok(())
    }

    /// Where the log lies, and how much of it is written.
    pub(super) fn written(&self) -> (Arc<Path>, u64) {
        (Arc::clone(&self.path), self.size)
    }

    /// Begins a further attempt: what was written before belongs to one that
    /// failed.
    pub(super) fn begin_attempt(&mut self) {
        self.attempt = self.size;
        self.recent.clear();
    }

    /// The last lines of the current attempt, at most so many, of its last frames.
    pub(super) fn tail(&self, lines: usize) -> Option<String> {
        let mut reader = self.reader()?;
        reader.at = *self.recent.front()?;
        let mut tail = VecDeque::new();
        for event in reader.lines(String::new(), false, Timestamp::UNIX_EPOCH) {
            if tail.len() == lines {
                tail.pop_front();
            }
            if let Happening::Output(line) = event.what {
                tail.push_back(line.text);
            }
        }
        (!tail.is_empty()).then(|| Vec::from(tail).join("\n"))
    }

    /// What the current attempt wrote, without times: equal output is equal
    /// bytes. `None` if it wrote nothing.
    pub(super) fn timeless(&self) -> Option<impl Read + use<>> {
        self.reader().map(|reader| Timeless { reader, bytes: Vec::new(), at: 0 })
    }

    /// Reads the current attempt.
    fn reader(&self) -> Option<LogReader> {
        if self.size == self.attempt {
            return None;
        }
        let mut reader = LogReader::open(&self.path).ok()?;
        reader.at = self.attempt;
        reader.end = self.size;
        Some(reader)
    }
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    File::create_new(path)
}

fn write_frame(file: &mut File, header: Header, bytes: &[u8]) -> io::Result<()> {
    let header = header.to_bytes();
    let written = file.write_vectored(&[IoSlice::new(&header), IoSlice::new(bytes)])?;
    file.write_all(header.get(written..).unwrap_or_default())?;
    file.write_all(bytes.get(written.saturating_sub(HEADER)..).unwrap_or_default())
}

/// Frames without their times, as bytes.
struct Timeless {
    reader: LogReader,
    bytes: Vec<u8>,
    at: usize,
}

impl Read for Timeless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.bytes.len() {
            (self.at, self.bytes) = (0, Vec::new());
            if let Some((header, bytes)) = self.reader.frame() {
                self.bytes.extend_from_slice(&Header { time: 0, ..header }.to_bytes());
                self.bytes.extend_from_slice(&bytes);
            }
        }
        let read = (&self.bytes[self.at..]).read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

/// Reads a log, which may grow meanwhile.
#[derive(Debug)]
pub struct LogReader {
    file: File,
    at: u64,
    end: u64,
    /// Which stream is within a line, of what was copied.
    open: [bool; 2],
    /// What is copied at once.
    batch: Vec<u8>,
}

impl LogReader {
    /// Opens a log at its beginning.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, at: 0, end: u64::MAX, open: [false; 2], batch: Vec::new() })
    }

    /// Reads no further than that many bytes from the beginning of the file.
    pub const fn extend(&mut self, end: u64) {
        self.end = end;
    }

    /// Copies what is left, as the step wrote it; goes on there the next time.
    ///
    /// # Errors
    /// One of the writers failed; the log itself is never a failure: what cannot
    /// be read of it is left out.
    pub fn copy_to(
        &mut self,
        stdout: &mut (impl Write + AsFd),
        stderr: &mut (impl Write + AsFd),
    ) -> io::Result<()> {
        let mut size = BATCH;
        loop {
            let room = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
            self.batch.resize(size.min(room), 0);
            let count = read_at(&self.file, &mut self.batch, self.at);
            let (mut rest, begun) = (self.batch.get(..count).unwrap_or_default(), self.at);
            let mut large = None;
            while let Some((header, bytes)) = split(rest) {
                let Some(content) = bytes.get(..header.size) else {
                    large = Some(header);
                    break;
                };
                match header.stream {
                    Stream::Stdout => stdout.write_all(content)?,
                    Stream::Stderr => stderr.write_all(content)?,
                }
                self.open[header.stream as usize] = content.last().is_some_and(|last| *last != b'\n');
                self.at += (HEADER + header.size) as u64;
                rest = bytes.get(header.size..).unwrap_or_default();
            }
            match large {
                // It is one of many that are read at once.
                Some(header) if self.at == begun && size < BATCH && header.size < BATCH / 4 => size = BATCH,
                Some(header) if self.is_whole(header) => {
                    match header.stream {
                        Stream::Stdout => self.send(header, stdout)?,
                        Stream::Stderr => self.send(header, stderr)?,
                    }
                    // Another such frame may follow, of which little is to be read here.
                    size = HEADER;
                }
                _ if self.at == begun => return Ok(()),
                _ => size = BATCH,
            }
        }
    }

    /// Whether all of the next frame, which begins with this, is there to be read.
    fn is_whole(&self, header: Header) -> bool {
        let end = self.at + (HEADER + header.size) as u64;
        end <= self.end && self.file.metadata().is_ok_and(|found| end <= found.len())
    }

    /// Copies the next frame, which is whole and begins with this, within the kernel
    /// where that can be done.
    fn send(&mut self, header: Header, to: &mut (impl Write + AsFd)) -> io::Result<()> {
        to.flush()?;
        let mut at = self.at + HEADER as u64;
        let end = at + header.size as u64;
        #[cfg(target_os = "linux")]
        while at < end {
            let count = usize::try_from(end - at).unwrap_or(usize::MAX);
            // A file that is appended to, for one, takes nothing in this way.
            match rustix::fs::sendfile(&*to, &self.file, Some(&mut at), count) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        while at < end {
            let count = usize::try_from(end - at).unwrap_or(usize::MAX).min(BATCH);
            self.batch.resize(count, 0);
            let count = read_at(&self.file, &mut self.batch, at);
            if count == 0 {
                break;
            }
            to.write_all(&self.batch[..count])?;
            at += count as u64;
        }
        let mut last = [b'\n'];
        let _gone = self.file.read_exact_at(&mut last, end - 1);
        self.open[header.stream as usize] = last != [b'\n'];
        self.at = end;
        Ok(())
    }

    /// Gives a stream a line break that ended within a line.
    ///
    /// # Errors
    /// One of the writers failed.
    pub fn end_lines(&mut self, stdout: &mut impl Write, stderr: &mut impl Write) -> io::Result<()> {
        let [out, err] = std::mem::take(&mut self.open);
        if out {
            stdout.write_all(b"\n")?;
        }
        if err {
            stderr.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Ends the line that standard error is within, so that something else can be said
    /// there; `both` where standard output goes to the same place.
    ///
    /// # Errors
    /// The writer failed.
    pub fn break_line(&mut self, stderr: &mut impl Write, both: bool) -> io::Result<()> {
        let [out, err] = &mut self.open;
        if std::mem::take(err) | (both && std::mem::take(out)) {
            stderr.write_all(b"\n")?;
        }
        Ok(())
    }

    /// The lines that are left, as events of this step. `time` is that of lines
    /// whose time is not known.
    #[must_use]
    pub const fn lines(self, step: String, replayed: bool, time: Timestamp) -> LogLines {
        let pending = [Vec::new(), Vec::new()];
        LogLines { reader: self, step, replayed, time, pending, given: [0; 2] }
    }

    /// What stands before the next frame, if that is whole.
    fn header(&self) -> Option<Header> {
        let mut bytes = [0; HEADER];
        if self.at + HEADER as u64 > self.end || self.file.read_exact_at(&mut bytes, self.at).is_err() {
            return None;
        }
        Header::from_bytes(bytes).filter(|header| self.is_whole(*header))
    }

    fn frame(&mut self) -> Option<(Header, Vec<u8>)> {
        let header = self.header()?;
        let mut bytes = vec![0; header.size];
        self.file.read_exact_at(&mut bytes, self.at + HEADER as u64).ok()?;
        self.at += (HEADER + header.size) as u64;
        Some((header, bytes))
    }
}

/// The first header of some frames, and what comes behind it.
fn split(frames: &[u8]) -> Option<(Header, &[u8])> {
    let (header, rest) = frames.split_first_chunk::<HEADER>()?;
    Some((Header::from_bytes(*header)?, rest))
}

/// Fills a buffer from a place in a file; says how much there was.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> usize {
    let mut count = 0;
    while let Some(space) = buffer.get_mut(count..).filter(|space| !space.is_empty()) {
        match file.read_at(space, at + count as u64) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    count
}

/// The lines of a log as events. Where it may still grow, a line that has not
/// ended is kept back until the rest of it comes.
#[derive(Debug)]
pub struct LogLines {
    reader: LogReader,
    step: String,
    replayed: bool,
    /// When the frame came that is read, or a time for those without one.
    time: Timestamp,
    /// What was read and not yet given out, of each stream.
    pending: [Vec<u8>; 2],
    /// How much of that has been given out since.
    given: [usize; 2],
}

impl LogLines {
    /// Goes on reading up to that many bytes from the beginning of the file.
    pub const fn extend(&mut self, end: u64) {
        self.reader.extend(end);
    }

    /// The next line that has ended.
    pub fn next_whole(&mut self) -> Option<Event> {
        loop {
            for stream in [Stream::Stdout, Stream::Stderr] {
                let (pending, given) = (&self.pending[stream as usize], &mut self.given[stream as usize]);
                if let Some((line, taken)) = Line::first(stream, &pending[*given..]) {
                    *given += taken;
                    return Some(self.event(line));
                }
            }
            let (header, bytes) = self.reader.frame()?;
            let at = header.stream as usize;
            self.pending[at].drain(..self.given[at]);
            self.given[at] = 0;
            self.pending[at].extend_from_slice(&bytes);
            if header.time != 0 {
                self.time = Timestamp::from_millisecond(header.time).unwrap_or(self.time);
            }
        }
    }

    /// What is left of a stream that ended within a line.
    pub fn next_open(&mut self) -> Option<Event> {
        let stream = [Stream::Stdout, Stream::Stderr].into_iter().find(|stream| {
            let at = *stream as usize;
            self.given[at] < self.pending[at].len()
        })?;
        let at = stream as usize;
        let bytes = self.pending[at].split_off(self.given[at]);
        Some(self.event(Line { stream, bytes, open: true }))
    }

    fn event(&self, line: Line) -> Event {
        Event { time: self.time, what: Happening::Output(line.output(self.step.clone(), self.replayed)) }
    }
}

impl Iterator for LogLines {
    type Item = Event;

    /// The next line; where nothing more comes, what has not ended, too.
    fn next(&mut self) -> Option<Event> {
        self.next_whole().or_else(|| self.next_open())
    }
}

/// Turns what is told of logs into the lines that stand there, for who wants to
/// see each line.
#[derive(Debug, Default)]
pub struct Followed {
    logs: HashMap<String, LogLines>,
}

impl Followed {
    /// Hands an event on to `to`: for one that tells that a step wrote something,
    /// the lines; before the end of a step, those that have not ended.
    pub fn see(&mut self, event: &Event, to: &mut dyn FnMut(&Event)) {
        match &event.what {
            Happening::Written(written) => {
                let Some(lines) = self.lines(written, event.time) else { return };
                lines.extend(written.size);
                while let Some(line) = lines.next_whole() {
                    to(&line);
                }
            }
            Happening::StepEnded(ended) => {
                for line in self.logs.remove(&ended.step).into_iter().flatten() {
                    to(&line);
                }
                to(event);
            }
            _ => to(event),
        }
    }

    fn lines(&mut self, written: &Written, now: Timestamp) -> Option<&mut LogLines> {
        if !self.logs.contains_key(&written.step) {
            let log = LogReader::open(&written.log).ok()?;
            self.logs.insert(written.step.clone(), log.lines(written.step.clone(), written.replayed, now));
        }
        self.logs.get_mut(&written.step)
    }
}
