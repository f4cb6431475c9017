//! The lines below a run on a terminal: what runs, and how far the run is.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use crate::report::{Look, Paint, seconds};
use crate::run::{Outcome, PlannedStep, Reason, ReasonKind};

/// Most steps that are shown as running; the others are counted.
const SHOWN: usize = 10;

/// How far a run is.
#[derive(Debug)]
pub(super) struct Progress {
    begun: Instant,
    running: IndexMap<String, Running>,
    /// Steps of the plan that do something, and may still run.
    total: usize,
    groups: HashSet<String>,
    done: usize,
    cached: usize,
    failed: usize,
    over: bool,
}

#[derive(Debug)]
struct Running {
    since: Instant,
    reasons: Vec<Reason>,
    /// Owns the terminal.
    owner: bool,
}

impl Progress {
    /// Nothing happened yet.
    pub(super) fn new(begun: Instant) -> Self {
        let (running, groups) = (IndexMap::new(), HashSet::new());
        Self { begun, running, total: 0, groups, done: 0, cached: 0, failed: 0, over: false }
    }

    /// These are the steps of the run.
    pub(super) fn plan(&mut self, steps: &[PlannedStep]) {
        let groups = steps.iter().filter(|step| step.kind == "group");
        self.groups = groups.map(|step| step.name.clone()).collect();
        self.total = steps.len() - self.groups.len();
    }

    /// A step starts.
    pub(super) fn started(&mut self, step: &str, reasons: &[Reason], owner: bool, now: Instant) {
        self.running.insert(step.to_owned(), Running { since: now, reasons: reasons.to_vec(), owner });
    }

    /// A step ended; why it ran. A group of steps does nothing, and counts for nothing.
    pub(super) fn ended(&mut self, step: &str, outcome: &Outcome) -> Vec<Reason> {
        if self.groups.contains(step) {
            return Vec::new();
        }
        match outcome {
            // What will not run is not to be done.
            Outcome::NotRun { .. } => self.total = self.total.saturating_sub(1),
            _ => self.done += 1,
        }
        match outcome {
            Outcome::Cached { .. } => self.cached += 1,
            Outcome::Failed { .. } => self.failed += 1,
            _ => {}
        }
        self.running.shift_remove(step).map(|running| running.reasons).unwrap_or_default()
    }

    /// Nothing more will happen.
    pub(super) const fn over(&mut self) {
        self.over = true;
    }

    /// Whether no step runs.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }
}

/// The lines, none while the terminal is not hoist's: each fits the width, and
/// together they take at most half of a terminal with `rows`.
pub(super) fn frame(progress: &Progress, look: Look, rows: usize, now: Instant) -> Vec<String> {
    let running = &progress.running;
    if progress.over || running.is_empty() || running.values().any(|running| running.owner) {
        return Vec::new();
    }
    // A line that reaches the last column wraps on some terminals.
    let look = Look { width: look.width.saturating_sub(1), ..look };
    let room = SHOWN.min(rows / 2).max(1);
    let shown = if running.len() > room { room - 1 } else { room };
    let names = running.keys().take(shown).map(|name| console::measure_text_width(name));
    let names = names.max().unwrap_or(0).min(look.width.saturating_sub(14)).max(1);
    let spinner = spinner(look, now.duration_since(progress.begun));
    let mut lines: Vec<String> = Vec::new();
    for (name, running) in running.iter().take(shown) {
        let took = elapsed(now.duration_since(running.since));
        let name = look.pad(&look.cut_amid(name, names), names);
        let head = format!("{spinner} {name} {took:>6}");
        let rest = look.width.saturating_sub(console::measure_text_width(&head) + 2);
        // Too little room says too little.
        let why = running.reasons.first().filter(|reason| rest > 20 && is_telling(reason));
        let why = why.map_or_else(String::new, |why| {
            format!("  {}", look.paint(Paint::Faint, &look.cut(&why.text, rest)))
        });
        lines.push(format!("{} {name} {took:>6}{why}", look.paint(Paint::Name, spinner)));
    }
    let hidden = running.len().saturating_sub(shown);
    if hidden > 0 {
        let more = if look.unicode { "…" } else { "..." };
        lines.push(look.paint(Paint::Faint, &format!("{more} and {hidden} more running")));
    }
    lines.push(foot(progress, look, now));
    lines
}

fn foot(progress: &Progress, look: Look, now: Instant) -> String {
    let Progress { total, done, cached, failed, .. } = *progress;
    let mut text = format!("{done} of {} done", total.max(done));
    if cached > 0 {
        let _ = write!(text, ", {cached} up to date");
    }
    let took = elapsed(now.duration_since(progress.begun));
    let bad = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    let plain = console::measure_text_width(&text) + bad.len() + took.len() + 2;
    let bar = bar(done, total, look, look.width.saturating_sub(plain + 2));
    let line = format!(
        "{bar}{}{}  {}",
        look.paint(Paint::Faint, &text),
        look.paint(Paint::Bad, &bad),
        look.paint(Paint::Faint, &took)
    );
    look.cut(&line, look.width)
}

/// A bar of at most 20 columns; nothing where there is no room for one.
fn bar(done: usize, total: usize, look: Look, room: usize) -> String {
    let width = room.min(22).saturating_sub(2);
    if width < 6 || total == 0 {
        return String::new();
    }
    let full = (done.min(total) * width) / total;
    let (on, off) = if look.unicode { ("━", "─") } else { ("#", ".") };
    let bar = format!("{}{}", on.repeat(full), look.paint(Paint::Faint, &off.repeat(width - full)));
    format!("{bar}  ")
}

fn spinner(look: Look, since: Duration) -> &'static str {
    const DOTS: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
    const LINES: [&str; 4] = ["|", "/", "-", "\\"];
    let turn = usize::try_from(since.as_millis() / 100).unwrap_or(0);
    let of = |all: &[&'static str]| all.get(turn % all.len()).copied().unwrap_or_default();
    if look.unicode { of(&DOTS) } else { of(&LINES) }
}

/// That a step has no inputs or publishes is no news.
const fn is_telling(reason: &Reason) -> bool {
    !matches!(reason.kind, ReasonKind::NoInputs | ReasonKind::Publishing | ReasonKind::NeverRan)
}

/// Tenths of a second are of interest only at first.
fn elapsed(duration: Duration) -> String {
    match duration.as_millis() {
        0..10_000 => format!("{}.{}s", duration.as_secs(), duration.subsec_millis() / 100),
        10_000..60_000 => format!("{}s", duration.as_secs()),
        _ => seconds(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Cause;

    const ASCII: Look = Look { width: 60, bounded: true, ..Look::PLAIN };

    fn drawn(steps: &[&str], look: Look, rows: usize) -> String {
        let begun = Instant::now();
        let mut progress = Progress::new(begun);
        progress.total = 30;
        let why = Reason::new(ReasonKind::Changed, "src/main.rs changed");
        for name in steps {
            progress.started(name, std::slice::from_ref(&why), false, begun);
        }
        progress.ended("before", &Outcome::Ran);
        frame(&progress, look, rows, begun + Duration::from_millis(12_345)).join("\n")
    }

    #[test]
    fn what_runs_is_shown_with_its_time_and_reason() {
        let expected = "\
\\ lint            12s  src/main.rs changed
\\ unit[日本=3]    12s  src/main.rs changed
....................  1 of 30 done  12s";
        assert_eq!(drawn(&["lint", "unit[日本=3]"], ASCII, 40), expected);
    }

    #[test]
    fn groups_and_what_will_not_run_are_not_to_be_done() {
        let step = |name: &str, kind: &str| PlannedStep {
            name: name.to_owned(),
            kind: kind.to_owned(),
            effect: "always".to_owned(),
            goal: false,
            needs: Vec::new(),
        };
        let begun = Instant::now();
        let mut progress = Progress::new(begun);
        progress.plan(&[
            step("a", "command"),
            step("b", "command"),
            step("c", "command"),
            step("all", "group"),
        ]);
        progress.started("c", &[], false, begun);
        progress.ended("a", &Outcome::Failed { problems: Vec::new() });
        progress.ended("b", &Outcome::NotRun { cause: Cause::Need { step: "a".to_owned() } });
        progress.ended("all", &Outcome::NotRun { cause: Cause::Need { step: "a".to_owned() } });
        let text = frame(&progress, ASCII, 40, begun).join("\n");
        assert!(text.contains("1 of 2 done, 1 failed"), "{text}");
    }

    #[test]
    fn many_are_counted_and_each_line_fits_a_narrow_terminal() {
        let names: Vec<String> =
            (0..300).map(|n| format!("a/very/long/directory/of/things/step-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let narrow = Look { width: 40, ..ASCII };
        let text = drawn(&names, narrow, 12);
        assert_eq!(text.lines().count(), 7, "{text}");
        assert!(text.lines().all(|line| console::measure_text_width(line) < 40), "{text}");
        assert!(text.contains("... and 295 more running\n"), "{text}");
    }

    #[test]
    fn a_step_that_owns_the_terminal_has_it_alone() {
        let mut progress = Progress::new(Instant::now());
        progress.started("a", &[], false, Instant::now());
        progress.started("shell", &[], true, Instant::now());
        assert_eq!(frame(&progress, ASCII, 40, Instant::now()), [""; 0]);
    }
}
