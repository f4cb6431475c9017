//! A run as a page of HTML: what failed, the images with their figures, what scans found, when the steps
//! ran, how they depend on each other, each of them, and the runs before.
//!
//! The page is one file, loads nothing, and has no script; places in it are links. What
//! steps wrote and how they are called is escaped wherever it stands. What is drawn is
//! bounded, whatever the run was, and says what is left out.

mod failures;
mod graph;
mod history;
mod images;
mod scans;
mod steps;
mod timeline;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

pub use history::Past;

use crate::report::document::{begin, colours, end, escape};
use crate::report::seconds;
use crate::report::story::{Part, Story};
use crate::report::trace::critical;
use crate::run::{Found, Outcome};

/// What all sections of a page know.
struct Sheet<'a> {
    story: &'a Story,
    /// The steps that the run waited for.
    critical: BTreeSet<&'a str>,
    /// The steps that the table lists, by name, with where in it they stand.
    listed: HashMap<&'a str, usize>,
}

/// A page that shows a run, and how it compares with those `before` it, the newest first.
#[must_use]
pub fn html(story: &Story, before: &[Past]) -> String {
    let (project, goals) = (project(story), story.goals());
    let title = format!("{project} {goals}");
    let mut page = begin(title.trim_end(), &[include_str!("run.css"), &colours()]);
    let order = steps::order(story);
    let listed = order.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
    let sheet = Sheet { story, critical: critical(story), listed };
    let sections = [
        ("failures", failures::title(story), failures::section(&sheet)),
        ("images", "Images".to_owned(), images::section(&sheet, before)),
        ("scans", "Scans".to_owned(), scans::section(&sheet)),
        ("timeline", "Timeline".to_owned(), timeline::section(&sheet)),
        ("graph", "Graph".to_owned(), graph::section(&sheet)),
        ("steps", "Steps".to_owned(), steps::section(&sheet, &order)),
        ("history", "History".to_owned(), history::section(story, before)),
    ];
    header(&mut page, story);
    page.push_str("<nav>");
    let there = || sections.iter().filter(|(_, _, html)| !html.is_empty());
    for (id, title, _) in there() {
        let _ = write!(page, "<a href=\"#{id}\">{title}</a>");
    }
    page.push_str("</nav>\n<main>\n");
    for (id, title, html) in there() {
        let _ = write!(page, "<section id=\"{id}\">\n<h2>{title}</h2>\n{html}</section>\n");
    }
    page.push_str("</main>\n");
    if let Some(started) = &story.started {
        let _ = writeln!(page, "<footer>hoist {}</footer>", escape(&started.hoist));
    }
    end(page)
}

fn project(story: &Story) -> &str {
    story.started.as_ref().map_or("hoist", |started| started.project.as_str())
}

fn header(page: &mut String, story: &Story) {
    let goals = story.goals();
    let goals = if goals.is_empty() { goals } else { format!(" <span>{}</span>", escape(&goals)) };
    let (class, word) = result(story);
    let _ = write!(
        page,
        "<header>\n<h1><em class=\"pill {class}\">{word}</em>{}{goals}</h1>\n<p class=\"sum\">{} in {}</p>\n",
        escape(project(story)),
        escape(&story.sum()),
        time(story.milliseconds()),
    );
    let mut facts: Vec<String> = Vec::new();
    if let Some(started) = &story.started {
        let trigger = &started.trigger;
        let name = trigger.name.as_ref().map(|name| format!(" <code>{}</code>", escape(name)));
        facts.push(format!("{}{}", escape(&trigger.kind), name.unwrap_or_default()));
        let commit = trigger.commit.as_ref().and_then(|commit| Some((commit, commit.get(..7)?)));
        facts.extend(commit.map(|(commit, short)| {
            format!("commit <code title=\"{}\">{}</code>", escape(commit), escape(short))
        }));
        facts.extend(story.begun.map(|begun| begun.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()));
        facts.push(format!("run <code>{}</code>", escape(&started.run)));
        facts.push(format!("{} at once", started.jobs));
    }
    let _ = writeln!(page, "<p class=\"facts\">{}</p>", facts.join(" · "));
    if let Some(reason) = story.started.as_ref().and_then(|started| started.unpublished.as_ref()) {
        let _ = writeln!(page, "<p class=\"facts\">Nothing is published: {}</p>", escape(reason));
    }
    if let Some(meaning) = story.ended.as_ref().and_then(|ended| meaning(ended.exit)) {
        let _ = writeln!(page, "<p class=\"facts\">{meaning}</p>");
    }
    for notice in &story.notices {
        let _ = writeln!(page, "<p class=\"facts\">{}</p>", escape(notice));
    }
    bar(page, story);
    page.push_str("</header>\n");
}

/// What an exit code says beyond that a step failed.
const fn meaning(exit: u8) -> Option<&'static str> {
    match exit {
        2 => Some("Exit code 2: the file or the command line is wrong."),
        3 => Some("Exit code 3: refused before anything was done."),
        4 => Some("Exit code 4: what entered a stage failed there, and was put back."),
        5 => Some("Exit code 5: it failed, and something that was published stands."),
        130 => Some("Exit code 130: interrupted."),
        _ => None,
    }
}

/// How many steps ended how, as parts of a bar.
fn bar(page: &mut String, story: &Story) {
    let counts = story.counts();
    let parts = [
        (counts.failed, "failed", "failed"),
        (counts.cancelled, "stopped", "stopped"),
        (counts.ran, "ran", "ran"),
        (counts.restored, "restored", "restored"),
        (counts.cached.saturating_sub(counts.restored), "present", "up to date"),
        (counts.skipped, "skip", "skipped"),
        (counts.not_run, "not-run", "not run"),
    ];
    let there = || parts.iter().filter(|(count, ..)| *count > 0);
    if there().next().is_none() {
        return;
    }
    page.push_str("<div class=\"bar\">");
    for (count, class, word) in there() {
        let _ =
            write!(page, "<i class=\"{class}\" style=\"flex:{count} 0 4px\" title=\"{count} {word}\"></i>");
    }
    page.push_str("</div>\n<p class=\"legend\">");
    for (count, class, word) in there() {
        let _ = write!(page, "<span><i class=\"{class}\"></i>{count} {word}</span>");
    }
    page.push_str("</p>\n");
}

/// How the run ended, as a class and a word.
fn result(story: &Story) -> (&'static str, String) {
    match &story.ended {
        Some(ended) if ended.exit == 0 => ("good", "done".to_owned()),
        Some(ended) => ("failed", escape(&ended.result)),
        None if story.cut_off => ("failed", "cut off".to_owned()),
        None => ("stopped", "unfinished".to_owned()),
    }
}

/// The class that draws how a step ended.
fn class(part: &Part) -> &'static str {
    match part.end.as_ref().map(|end| &end.outcome) {
        Some(Outcome::Ran) => "ran",
        Some(Outcome::Cached { found: Found::Restored }) => "restored",
        Some(Outcome::Cached { found: Found::Present }) => "present",
        Some(Outcome::Skipped { .. }) => "skip",
        Some(Outcome::Failed { .. }) => "failed",
        Some(Outcome::Cancelled) => "stopped",
        None if part.is_unfinished() => "stopped",
        Some(Outcome::NotRun { .. }) | None => "not-run",
    }
}

impl Sheet<'_> {
    /// A step's name that leads to its row, if the table has one.
    fn link(&self, name: &str) -> String {
        match self.listed.get(name) {
            Some(at) => format!("<a href=\"#s{at}\">{}</a>", named(name)),
            None => named(name),
        }
    }
}

/// A name that may break where its parts end.
fn named(name: &str) -> String {
    let mut out = escape(name);
    for end in [':', '@', '/', ','] {
        out = out.replace(end, &format!("{end}<wbr>"));
    }
    out.replace('[', "<wbr>[")
}

fn time(milliseconds: u64) -> String {
    seconds(Duration::from_millis(milliseconds))
}

/// A text of several lines, without what colours a terminal.
fn lines(text: &str) -> String {
    console::strip_ansi_codes(text).lines().map(|line| escape(&line.replace('\t', "    ")) + "\n").collect()
}

/// A part of a whole, in percent with two digits.
#[expect(clippy::cast_precision_loss, reason = "a place is seen, not counted")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 * 100.0 / whole as f64).min(100.0) }
}

#[cfg(test)]
mod tests;
