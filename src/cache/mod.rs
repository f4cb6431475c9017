//! What steps made, so that none runs twice: keys, records, contents, outputs.
//!
//! Owns the step cache on this machine: how a step's key comes about
//! ([`Trace`]), why a step runs ([`Reason`]), what a run left behind
//! ([`Record`]), the store of contents, collecting and restoring outputs, what
//! `clean` removes, and the directory `<cache>/v4` with all that lies in it.
//! Assumes that other hoist processes use the same directory at the same time,
//! that any of its files may be damaged or gone, and that a record is only a
//! promise: contents are verified when they are read. Holds no lock.
//! Must not import engine, inspect, release, run, or anything behind them.

mod clean;
mod clear;
mod clock;
mod collect;
mod content;
mod evict;
mod exactness;
mod forsaken;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hash;
mod image;
mod intact;
mod journal;
mod latest;
mod local;
mod looks;
mod lookup;
mod outputs;
mod part;
mod reason;
mod record;
mod restore;
mod sealed;
mod selection;
mod small;
mod snapshot;
mod staged;
mod state;
mod trace;

#[cfg(test)]
mod tests;

pub use clean::{Cleaning, Extent, Item};
pub use clear::{Room, Standing};
pub use clock::clock;
pub use collect::stay_inside;
pub use evict::{Evicted, MAX_SIZE};
pub use exactness::Exactness;
pub use hash::{Blake3, Key};
pub use latest::{LastRun, Outcome};
pub use local::Cache;
pub use looks::Look;
pub use lookup::{Hit, Lookup, Made, Miss, Restoration, Saved};
pub use outputs::{Output, OutputKind, Outputs};
pub use part::{Part, Value};
pub use reason::Reason;
pub use record::{KeptLog, Record};
pub use restore::no_directory;
pub use selection::covers;
pub use snapshot::{Changes, Head, Ran, SettledOutputs, Snapshot, Steps, Stored, Subset, Texts};
pub use state::{GoalFiles, State};
pub use trace::{Product, Trace};
