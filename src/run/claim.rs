//! The right to make a step's outputs, which one hoist has at a time.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;

use crate::plan::StepId;
use crate::run::command::Unsuccessful;
use crate::run::process::Halt;
use crate::run::teller::{Teller, Told};

/// Where the claims of a project lie, below its directory.
const DIRECTORY: &str = ".hoist/claims";

/// How often it is looked whether another hoist is done.
const TICK: Duration = Duration::from_millis(50);

/// Held while a step's outputs are looked for, made, and kept: of two processes
/// that write one file at once, each would keep what both wrote. Ends with the
/// process that holds it, however that ends.
#[derive(Debug)]
pub(super) struct Claim {
    _file: Option<File>,
}

impl Claim {
    /// Waits until no other hoist makes the outputs of this step of the project
    /// in `root`. Where the file system knows no locks, it does not wait.
    ///
    /// # Errors
    /// The step was asked to stop.
    pub(super) async fn of(
        root: &Path,
        step: &StepId,
        halt: &mut watch::Receiver<Halt>,
        teller: &Teller,
    ) -> Result<Self, Unsuccessful> {
        let Some(file) = open(root, step) else { return Ok(Self { _file: None }) };
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: Some(file) }),
                Err(TryLockError::Error(_)) => return Ok(Self { _file: None }),
                Err(TryLockError::WouldBlock) => {}
            }
            if !told {
                let text = "another hoist makes the same here: waits for it";
                teller.tell(Told::Notice(text.to_owned())).await;
                told = true;
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                _ = halt.wait_for(|halt| *halt != Halt::No) => return Err(Unsuccessful::Halted),
            }
        }
    }
}

/// The file that is locked; it stays, since another process may have it open.
fn open(root: &Path, step: &StepId) -> Option<File> {
    let directory = root.join(DIRECTORY);
    // A step's name can hold a `/` and be longer than a file's name.
    let mut name = blake3::hash(step.to_string().as_bytes()).to_hex().to_string();
    name.truncate(32);
    let file = directory.join(name);
    File::create(&file).or_else(|_| fs::create_dir_all(&directory).and_then(|()| File::create(&file))).ok()
}
