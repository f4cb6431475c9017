//! Running a plan: events out of steps.
//!
//! Owns the order and the parallelism of steps, processes and their output,
//! signals, the decision whether a step has to run, and the record of each run
//! in `.hoist/runs`. What happens is told as [`Event`]s; nothing is printed
//! here. Assumes a sealed plan: needs point backwards. Must not import report,
//! interop, or cli.

mod build;
mod claim;
mod command;
mod deploy;
mod engines;
mod enter;
mod event;
mod exact;
mod executor;
mod fault;
mod figures;
#[cfg(test)]
mod fixture;
mod fold;
mod forecast;
mod forsaken;
mod gap;
mod idle;
mod image;
mod interrupt;
mod jobserver;
mod keep;
mod line;
mod local;
mod log;
mod manifests;
mod mask;
mod narrator;
mod outcome;
mod parents;
mod patterns;
mod place;
mod plain;
mod process;
mod program;
mod reason;
mod record;
mod recorded;
mod request;
mod room;
mod sandbox;
mod scan;
mod scanned;
mod scheduler;
#[cfg(test)]
pub(crate) mod schema;
mod seal;
mod secret;
mod steady;
#[cfg(test)]
mod stories;
mod summary;
mod task;
mod teller;
mod test;
mod tree;
#[cfg(test)]
mod whole;
mod worker;
mod wrapped;

pub use engines::{engines, no_engine, owner};
pub use event::{
    Counts, Event, FORMAT, Happening, LogPlace, Output, PlannedStep, RunEnded, RunStarted, StepEnded, Stream,
    TagMove, Trigger, Written, result_word,
};
pub use executor::{execute, execute_until};
pub use fault::{Fault, Place};
pub use figures::{Bound, BudgetFigures, ImageBefore, ImageFigures, LayerFigures, Reused, Unit};
pub use forecast::{Forecast, Verdict, forecast};
pub use idle::rest;
pub use interrupt::interrupts;
pub use log::{Followed, LogLines, LogReader};
pub use manifests::deployments;
pub use outcome::{Cause, Found, Outcome};
pub use reason::{Reason, ReasonKind};
pub use record::{amend, begun, directory_of, is_written, outline, recorded};
pub use recorded::{events, log};
pub use request::{Confirm, Options, Request, Settled};
pub use sandbox::{Learned, sandbox_main, sandbox_support};
pub use scan::ended_allowances;
pub use scanned::{AllowanceFigures, FindingFigures, ScanFigures, SeverityCounts};
pub use secret::hidden;
pub use summary::Summary;
