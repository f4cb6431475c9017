//! A run on a terminal: what ended scrolls up, what runs stands below.

use std::io;
use std::time::Duration;

use indexmap::IndexMap;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report::ending::{aside, closing, ending, tag_lines, unpublished};
use crate::report::{Look, Paint, output, status};
use crate::run::{Event, Happening, Outcome, Output, Reason, StepEnded, Stream};

/// Most steps that are shown as running; the others are counted.
const SHOWN: usize = 8;

/// Tells a run as it goes: lines of output as they come, each with its step's
/// name; below them the steps that run.
#[derive(Debug)]
pub struct Live {
    look: Look,
    verbose: bool,
    /// Steps that own the terminal while they run: nothing is drawn then.
    owners: Vec<String>,
    bars: MultiProgress,
    foot: ProgressBar,
    running: IndexMap<String, Running>,
    /// Steps that will end, and those that did.
    total: usize,
    done: usize,
    /// Width of the longest name of a step that may write.
    names: usize,
    /// Why standard output could not be written, the first time.
    lost: Option<io::Error>,
}

#[derive(Debug)]
struct Running {
    bar: Option<ProgressBar>,
    reasons: Vec<Reason>,
}

impl Live {
    /// A view on standard error. `verbose` shows each cached step and its
    /// recorded output, too; `owners` are the steps that own the terminal while
    /// they run.
    #[must_use]
    pub fn new(look: Look, verbose: bool, owners: Vec<String>) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let foot = bars.add(ProgressBar::new_spinner());
        foot.set_style(style("{msg}"));
        Self {
            look,
            verbose,
            owners,
            bars,
            foot,
            running: IndexMap::new(),
            total: 0,
            done: 0,
            names: 0,
            lost: None,
        }
    }

    /// Why some of the output of steps could not be written, if so.
    #[must_use]
    pub const fn lost(&self) -> Option<&io::Error> {
        self.lost.as_ref()
    }

    /// Whether the recorded output of cached steps is shown.
    #[must_use]
    pub const fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Tells what happened.
    pub fn see(&mut self, event: &Event) {
        match &event.what {
            Happening::RunStarted(run) => {
                let working = || run.steps.iter().filter(|step| step.kind != "group");
                self.total = working().count();
                let writers = working().filter(|step| step.kind == "command" || step.kind == "test");
                // With one writer there is nothing to tell apart.
                if writers.clone().count() > 1 {
                    self.names = writers.map(|step| step.name.chars().count()).max().unwrap_or(0).min(24);
                }
                if let Some(reason) = &run.unpublished {
                    self.say(&unpublished(reason, self.look));
                }
            }
            Happening::StepReady { .. } | Happening::Written(_) => {}
            Happening::StepStarted { step, reasons } => self.step_started(step, reasons),
            Happening::Output(line) => self.line(line),
            what @ (Happening::StepRetried { .. } | Happening::Notice { .. }) => self.say(&aside(what)),
            what @ Happening::Interrupted { .. } => {
                self.say(&self.look.paint(Paint::Warn, &aside(what)));
            }
            Happening::StepEnded(ended) => self.step_ended(ended),
            Happening::RunEnded(ended) => {
                self.foot.finish_and_clear();
                status(&closing(ended, self.look));
            }
        }
        self.draw_foot();
    }

    fn step_started(&mut self, step: &str, reasons: &[Reason]) {
        let shown = self.running.values().filter(|running| running.bar.is_some()).count();
        let owner = self.owners.iter().any(|owner| owner == step);
        let bar = (shown < SHOWN && !owner).then(|| {
            let bar = self.bars.insert_before(&self.foot, ProgressBar::new_spinner());
            bar.set_style(style(if self.look.unicode {
                "{spinner} {msg} {elapsed}"
            } else {
                "* {msg} {elapsed}"
            }));
            bar.set_message(self.look.cut(step, self.look.width.saturating_sub(12)));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        self.running.insert(step.to_owned(), Running { bar, reasons: reasons.to_vec() });
    }

    fn step_ended(&mut self, ended: &StepEnded) {
        self.done += 1;
        let running = self.running.shift_remove(&ended.step);
        let reasons = running.as_ref().map(|running| running.reasons.clone()).unwrap_or_default();
        if let Some(bar) = running.and_then(|running| running.bar) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        let quietly = match ended.outcome {
            Outcome::Cached { .. } | Outcome::NotRun { .. } => !self.verbose,
            _ => false,
        };
        if !quietly {
            self.say(&format!("{}\n", ending(ended, &reasons, self.look)));
        }
        let moved = ended.tags.iter().any(|tag| tag.from.as_ref() != Some(&tag.to));
        if moved || self.verbose {
            self.say(&tag_lines(&ended.tags, self.look));
        }
    }

    fn line(&mut self, line: &Output) {
        if line.replayed && !self.verbose {
            return;
        }
        let written = last_written(&line.text);
        // A colour that a line leaves on ends with it.
        let reset = if written.contains('\u{1b}') { "\u{1b}[0m" } else { "" };
        let text = if self.names == 0 {
            format!("{written}{reset}\n")
        } else {
            let name = self.look.pad(&self.look.cut(&line.step, self.names), self.names);
            let bar = if self.look.unicode { "│" } else { "|" };
            format!("{} {written}{reset}\n", self.look.paint(Paint::Faint, &format!("{name} {bar}")))
        };
        let result = self.bars.suspend(|| match line.stream {
            Stream::Stdout => output(&text),
            Stream::Stderr => {
                status(&text);
                Ok(())
            }
        });
        self.lost = self.lost.take().or(result.err());
    }

    fn say(&self, text: &str) {
        if !text.is_empty() {
            self.bars.suspend(|| status(text));
        }
    }

    fn draw_foot(&self) {
        if self.foot.is_finished() || self.running.is_empty() {
            self.foot.set_message("");
            return;
        }
        if self.running.keys().any(|step| self.owners.contains(step)) {
            self.foot.set_message("");
            return;
        }
        let hidden = self.running.values().filter(|running| running.bar.is_none()).count();
        let more = if hidden > 0 { format!(", {hidden} more running") } else { String::new() };
        let text = format!("{} of {} steps done{more}", self.done, self.total);
        self.foot.set_message(self.look.paint(Paint::Faint, &text));
    }
}

/// What stands on a terminal of a line that went back to its beginning, as bars of
/// progress do.
fn last_written(text: &str) -> &str {
    text.rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default()
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_spinner()).tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}
