//! The side of hoist that takes rules on and becomes the command.
#![expect(clippy::disallowed_methods, reason = "this process was started to become another program")]

use std::ffi::OsString;
use std::fs;
use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, make_bitflags,
};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::Signal;

use crate::run::sandbox::call::{LOOKING, USING};
use crate::run::sandbox::filter::announcing;
use crate::run::sandbox::rules::{Access, Rules};
use crate::run::sandbox::{COMMAND, file, notification};

/// What a shell says of a program that cannot be started.
const NOT_STARTED: u8 = 127;

/// Becomes a command in a sandbox if the process was started for that: `hoist
/// __sandbox DIRECTORY PROGRAM ARGUMENT…`. Called first in `main`, before there is
/// a second thread, which the rules would not bind.
///
/// `None` if the process was started for something else.
#[must_use]
pub fn sandbox_main() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != COMMAND {
        return None;
    }
    let directory = PathBuf::from(arguments.next()?);
    let program = arguments.next()?;
    // Without hoist each announced call fails, and a command that tries again and
    // again would do so forever. If hoist is gone by now, nobody is connected to.
    let _refused = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let Ok(mut stream) = connect(&directory) else { return Some(ExitCode::from(NOT_STARTED)) };
    let told = match enter(&directory, &mut stream) {
        Ok(()) => {
            let error = become_command(program, arguments);
            format!("X {}\n", error.raw_os_error().unwrap_or_default())
        }
        Err(why) => format!("R {why}\n"),
    };
    // Nobody is left to tell if hoist is gone.
    drop(stream.write_all(told.as_bytes()));
    Some(ExitCode::from(NOT_STARTED))
}

/// Connects to hoist. Through the open directory: the path of a socket may have
/// no more than 108 bytes.
fn connect(directory: &Path) -> io::Result<UnixStream> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    UnixStream::connect(super::watch::socket_in(directory.as_fd()))
}

fn enter(directory: &Path, stream: &mut UnixStream) -> Result<(), String> {
    let rules = fs::read(directory.join(file::RULES)).map_err(|error| error.to_string())?;
    let rules = Rules::decode(&rules).ok_or("its rules cannot be read")?;
    if rules.deny {
        restrict(&rules)?;
    } else {
        rustix::thread::set_no_new_privs(true).map_err(|error| error.to_string())?;
    }
    let calls = USING.iter().chain(LOOKING.iter().filter(|_| !rules.deny));
    let listener = announcing(calls)
        .ok_or_else(|| io::Error::other("not known for this processor"))
        .and_then(|mut program| notification::listen(&mut program));
    let sent = match listener {
        Ok(listener) => send(stream, &listener),
        Err(error) => stream.write_all(format!("U {error}\n").as_bytes()),
    };
    sent.map_err(|error| error.to_string())
}

fn send(stream: &UnixStream, listener: &OwnedFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [listener.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(stream, &[IoSlice::new(b"W\n")], &mut control, SendFlags::empty())?;
    Ok(())
}

fn become_command(program: OsString, arguments: impl Iterator<Item = OsString>) -> io::Error {
    Command::new(program).args(arguments).exec()
}

/// The rights that Landlock knows of since Linux 6.2; those of 5.19 are insisted
/// on: without them a file could not be moved from one directory to another.
const KNOWN: ABI = ABI::V3;
const NEEDED: ABI = ABI::V2;

/// Whether the kernel would give a sandbox; if not, why.
///
/// # Errors
/// It does not know Landlock, or too little of it.
pub fn sandbox_support() -> Result<(), String> {
    ruleset().map(drop)
}

fn ruleset() -> Result<RulesetCreated, String> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(NEEDED))
        .and_then(|ruleset| {
            ruleset.set_compatibility(CompatLevel::BestEffort).handle_access(AccessFs::from_all(KNOWN))
        })
        .and_then(Ruleset::create)
        .map_err(|error| error.to_string())
}

fn restrict(rules: &Rules) -> Result<(), String> {
    let told = |error: &dyn std::error::Error| error.to_string();
    let mut ruleset = ruleset()?;
    for (access, path) in &rules.places {
        // What went away since the rules were written needs none.
        let Ok(place) = PathFd::new(path) else { continue };
        let metadata = rustix::fs::fstat(&place).map_err(|error| told(&error))?;
        let is_directory = FileType::from_raw_mode(metadata.st_mode) == FileType::Directory;
        let mut rights = rights(*access);
        if !is_directory {
            rights &= AccessFs::from_file(KNOWN);
        }
        if !rights.is_empty() {
            ruleset = ruleset.add_rule(PathBeneath::new(place, rights)).map_err(|error| told(&error))?;
        }
    }
    match ruleset.restrict_self() {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => {
            Err("the kernel does not know Landlock".to_owned())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(told(&error)),
    }
}

fn rights(access: Access) -> BitFlags<AccessFs> {
    match access {
        Access::All => AccessFs::from_all(KNOWN),
        Access::Read => AccessFs::from_read(KNOWN),
        Access::List => make_bitflags!(AccessFs::{ReadDir}),
        Access::Make => AccessFs::from_write(KNOWN),
    }
}
