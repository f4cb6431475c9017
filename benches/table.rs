//! What was measured, as lines of a table.

use std::time::Duration;

use crate::measure::Runs;

const MIB: f64 = 1024.0 * 1024.0;

/// Begins the table.
pub(crate) fn head() {
    println!("| what | hoist | compared with | ratio | must reach | peak memory: hoist | compared |");
    println!("|---|---|---|---|---|---|---|");
}

/// One line: hoist against something that did the same work in the same minutes.
pub(crate) fn line(what: &str, hoist: &Runs, name: &str, other: &Runs, must: &str) {
    let ratio = hoist.median().wall.as_secs_f64() / other.median().wall.as_secs_f64();
    println!(
        "| {what} | {} | {name}: {} | {ratio:.2} | {must} | {:.0} MiB | {:.0} MiB |",
        shown(hoist),
        shown(other),
        mib(hoist),
        mib(other)
    );
}

/// One line: hoist against what is computed.
pub(crate) fn against(what: &str, hoist: &Runs, name: &str, bound: Duration, must: &str) {
    let ratio = hoist.median().wall.as_secs_f64() / bound.as_secs_f64();
    println!(
        "| {what} | {} | {name}: {} | {ratio:.2} | {must} | {:.0} MiB | – |",
        shown(hoist),
        time(bound),
        mib(hoist)
    );
}

/// Says what is not measured, and why.
pub(crate) fn left_out(what: &str, why: &str) {
    println!("| {what} | left out: {why} | | | | | |");
}

/// The median, and the shortest and the longest.
fn shown(runs: &Runs) -> String {
    let (shortest, longest) = runs.spread();
    format!("{} ({}–{})", time(runs.median().wall), time(shortest), time(longest))
}

fn time(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1000.0;
    if milliseconds < 10.0 { format!("{milliseconds:.1} ms") } else { format!("{milliseconds:.0} ms") }
}

fn mib(runs: &Runs) -> f64 {
    // Bytes of a process are far below what a double counts exactly.
    #[expect(clippy::cast_precision_loss, reason = "a size is shown to the MiB")]
    let bytes = runs.peak() as f64;
    bytes / MIB
}
