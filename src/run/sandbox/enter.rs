//! One command of a step in its sandbox.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::run::sandbox::notes::Notes;
use crate::run::sandbox::rules::Rules;
use crate::run::sandbox::watch::{Hello, last_words, socket_in, watch};
use crate::run::sandbox::{COMMAND, file};

/// A command that is about to run in a sandbox.
#[derive(Debug)]
pub(in crate::run) struct Entry {
    argv: Vec<String>,
    directory: File,
    hello: Receiver<Hello>,
}

/// What became of entering the sandbox.
#[derive(Debug)]
pub(in crate::run) enum Left {
    /// The command ran.
    Ran,
    /// The command could not be started.
    NotStarted(io::Error),
    /// The kernel gives no sandbox, for this reason.
    Refused(String),
}

impl Entry {
    /// Prepares a sandbox for a command, in the private directory of its step.
    ///
    /// # Errors
    /// The directory cannot be written, or no thread can be started.
    pub(super) fn new(
        directory: &Path,
        argv: &[String],
        rules: &Rules,
        notes: &Arc<Notes>,
    ) -> io::Result<Self> {
        fs::write(directory.join(file::RULES), rules.encode())?;
        let opened = File::open(directory)?;
        match fs::remove_file(directory.join(file::SOCKET)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixListener::bind(socket_in(opened.as_fd()))?;
        let (sender, hello) = mpsc::channel();
        let notes = Arc::clone(notes);
        thread::Builder::new().name("sandbox".to_owned()).spawn(move || watch(&socket, &notes, &sender))?;
        let own = ["/proc/self/exe", COMMAND].map(str::to_owned);
        let mut with = own.to_vec();
        with.push(directory.to_string_lossy().into_owned());
        with.extend(argv.iter().cloned());
        Ok(Self { argv: with, directory: opened, hello })
    }

    /// What is to be started in place of the command.
    pub(in crate::run) fn argv(&self) -> &[String] {
        &self.argv
    }

    /// What became of it, after the command has ended.
    pub(in crate::run) fn left(self) -> Left {
        // If the child never came, the watch still waits for it.
        drop(UnixStream::connect(socket_in(self.directory.as_fd())));
        let Ok(Hello { words, stream }) = self.hello.recv() else {
            return Left::Refused("hoist could not be started again".to_owned());
        };
        if let Some(why) = words.strip_prefix("R ") {
            return Left::Refused(why.trim_end().to_owned());
        }
        let last = last_words(&stream);
        let error = last.strip_prefix("X ").or_else(|| words.split_once("\nX ").map(|(_, code)| code));
        match error.and_then(|code| code.trim_end().parse().ok()) {
            Some(code) => Left::NotStarted(io::Error::from_raw_os_error(code)),
            None => Left::Ran,
        }
    }
}
