//! What the user sees.
//!
//! Owns the looks of everything that is printed: problems, tables, the progress
//! of a run on a terminal, in a log of CI, and as JSON lines. Reads events and
//! values of the stations before it and changes nothing. The only place that
//! prints; must not import interop or cli.

mod checkup;
mod diagnostic;
mod dialect;
mod digest;
mod document;
mod ending;
mod excerpt;
#[cfg(test)]
mod fixture;
mod folded;
mod forecast;
mod found;
mod frame;
mod gauge;
mod held;
mod inspection;
mod junit;
mod learned;
mod list;
mod live;
mod look;
mod markdown;
mod measured;
mod page;
mod plain;
mod print;
mod screen;
mod story;
mod table;
mod tag_list;
mod trace;
mod treemap;
mod view;
mod writer;

pub use checkup::{Check, EngineFound, Level, checkup, checkup_json};
pub use diagnostic::{problems_json, refused_json, render, render_fault, render_warning, unreached_json};
pub use dialect::Dialect;
pub use digest::digest;
pub use ending::{ending, seconds, tag_lines, tally};
pub use folded::Folded;
pub use forecast::{forecast_json, forecast_text, why_text};
pub use gauge::Gauge;
pub use inspection::{inspection, inspection_json};
pub use junit::junit;
pub use list::{list, list_json};
pub use live::Live;
pub use look::{Look, Paint};
pub use markdown::{markdown, refusal};
pub use measured::{Measured, measured};
pub use page::{Past, html};
pub use plain::Plain;
pub use print::{output, output_log, record_log, status};
pub use story::{Part, Story, Tail};
pub use table::{Table, wrap};
pub use tag_list::{tag_list, tag_list_json};
pub use trace::trace;
pub use treemap::treemap;
pub use view::{Json, View};
