//! Texts with a form of their own: durations, sizes, lists, owners, ports.
//!
//! Each is read by one function, which the check of a document and the decoding
//! into the model share. A text that does not fit answers with the reason.

mod file;
mod glob;
mod list;
mod quantity;
mod time;

pub(crate) use file::{mode, owner, port, variable};
pub use glob::{glob_fits, of_directories};
pub(crate) use list::list;
pub(crate) use quantity::{duration, limit, size, waste};
pub(crate) use time::{date_format, requirement};
