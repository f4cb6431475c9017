//! What the user sees.
//!
//! Owns the looks of everything that is printed: problems, tables, the progress
//! of a run on a terminal, in a log of CI, and as JSON lines. Reads events and
//! values of the stations before it and changes nothing. The only place that
//! prints; must not import interop or cli.

mod diagnostic;
mod ending;
mod forecast;
mod inspection;
mod list;
mod live;
mod look;
mod plain;
mod print;
mod table;
mod view;

pub use diagnostic::{problems_json, render};
pub use ending::{ending, seconds};
pub use forecast::{forecast_json, forecast_text, why_text};
pub use inspection::{inspection, inspection_json};
pub use list::{list, list_json};
pub use live::Live;
pub use look::{Look, Paint};
pub use plain::Plain;
pub use print::{output, output_log, record_log, status};
pub use table::Table;
pub use view::View;
