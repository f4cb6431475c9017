//! What a run would do, as text and as JSON.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cache::Reason;
use crate::diagnostic::counted;
use crate::plan::{Action, Deployment, Plan, StageImage, Step, StepIndex, TagStep};
use crate::report::{Look, Paint};
use crate::run::{Forecast, Verdict};

/// Reasons of a step that are listed among others; the rest are counted.
const SHOWN: usize = 3;
/// Reasons that are listed of a step that is asked for by itself.
const SHOWN_ALONE: usize = 20;

/// Each step with what would be done with it and why, and a line that counts. `all`
/// shows the steps that are up to date and each reason, too.
#[must_use]
pub fn forecast_text(plan: &Plan, forecasts: &[Forecast], look: Look, all: bool) -> String {
    let mut out = String::new();
    let (mut runs, mut maybe, mut restored, mut rests, mut gaps) = (0, 0, 0, 0, 0);
    for forecast in forecasts {
        let Some(step) = plan.steps.get(forecast.step.0 as usize) else { continue };
        let (mark, paint, words) = words(plan, forecast);
        let about = subjects(plan, step);
        match forecast.verdict {
            Verdict::Group => continue,
            Verdict::UpToDate | Verdict::Skip(_) => rests += 1,
            Verdict::WouldRun(_) | Verdict::Always => runs += 1,
            Verdict::Unknown(_) | Verdict::Publishing => maybe += 1,
            Verdict::WouldRestore(_) => restored += 1,
            Verdict::NotAvailable(_) => gaps += 1,
        }
        if matches!(forecast.verdict, Verdict::UpToDate) && !all {
            continue;
        }
        let mark = if look.unicode { mark.0 } else { mark.1 };
        let name = step.id.to_string();
        let _ = writeln!(out, "{} {}", look.paint(paint, mark), look.paint(Paint::Strong, &name));
        let shown = if all { words.len() } else { SHOWN };
        let more = words.len().saturating_sub(shown);
        for subject in &about {
            let _ = writeln!(out, "    {subject}");
        }
        for word in words.iter().take(shown) {
            let line = look.cut(word, look.width.saturating_sub(4));
            let _ = writeln!(out, "    {}", look.paint(Paint::Faint, &line));
        }
        if more > 0 {
            let _ = writeln!(out, "    {}", look.paint(Paint::Faint, &format!("and {more} more")));
        }
    }
    if let Some(reason) = &plan.unpublished {
        let _ = writeln!(out, "{} nothing would be published: {reason}", look.paint(Paint::Warn, "!"));
    }
    let parts = [
        (runs, "would run"),
        (maybe, "may run"),
        (gaps, "cannot run"),
        (restored, "would be restored"),
        (rests, "up to date"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<_> = parts.map(|(count, what)| format!("{} {what}", counted(count, "step"))).collect();
    out + &if parts.is_empty() { "Nothing to do\n".to_owned() } else { format!("{}\n", parts.join(", ")) }
}

/// One step with its reasons: the first ones, or all; and of one that only may run, the
/// reasons of those among the `others` that it depends on.
#[must_use]
pub fn why_text(plan: &Plan, forecast: &Forecast, others: &[Forecast], look: Look, all: bool) -> String {
    let Some(step) = plan.steps.get(forecast.step.0 as usize) else { return String::new() };
    let (_, paint, words) = words(plan, forecast);
    let said = match &forecast.verdict {
        Verdict::UpToDate => "is up to date",
        Verdict::WouldRestore(_) => "would be restored",
        Verdict::Group | Verdict::Skip(_) => "does nothing",
        Verdict::NotAvailable(_) => "cannot run",
        Verdict::Unknown(_) | Verdict::Publishing => "may run",
        Verdict::WouldRun(_) | Verdict::Always => "would run",
    };
    let mut out =
        format!("{} {}\n", look.paint(Paint::Strong, &step.id.to_string()), look.paint(paint, said));
    let shown = if all { words.len() } else { SHOWN_ALONE };
    for word in words.iter().take(shown) {
        let _ = writeln!(out, "  {word}");
    }
    let more = words.len().saturating_sub(shown);
    if more > 0 {
        let _ = writeln!(out, "  {}", look.paint(Paint::Faint, &format!("and {more} more; `-v` shows all")));
    }
    for root in roots(plan, forecast, others) {
        let _ = writeln!(out, "  {root}");
    }
    out
}

/// Why a step that only may run would: the steps behind it that would run, each with its
/// first reason.
fn roots(plan: &Plan, forecast: &Forecast, others: &[Forecast]) -> Vec<String> {
    let needs = |step: StepIndex| {
        let needs = plan.steps.get(step.0 as usize).map(|step| step.needs.as_slice()).unwrap_or_default();
        needs.iter().map(|need| need.step)
    };
    let mut next = match &forecast.verdict {
        Verdict::Unknown(steps) => steps.clone(),
        Verdict::Publishing => needs(forecast.step).collect(),
        _ => return Vec::new(),
    };
    let (mut seen, mut found) = (BTreeSet::new(), BTreeSet::new());
    while let Some(step) = next.pop() {
        if !seen.insert(step) {
            continue;
        }
        let verdict = others.iter().find(|other| other.step == step).map(|other| &other.verdict);
        match verdict {
            Some(Verdict::WouldRun(_) | Verdict::Always) => drop(found.insert(step)),
            Some(Verdict::Unknown(steps)) => next.extend(steps),
            Some(Verdict::Group | Verdict::Publishing) => next.extend(needs(step)),
            _ => {}
        }
    }
    let told = found.into_iter().filter_map(|step| {
        let (_, _, words) = words(plan, others.iter().find(|other| other.step == step)?);
        let more = words.len().checked_sub(2).map(|more| format!(", and {} more", more + 1));
        let name = &plan.steps.get(step.0 as usize)?.id;
        Some(format!("`{name}` would run: {}{}", words.first()?, more.unwrap_or_default()))
    });
    told.collect()
}

/// A forecast as a JSON value.
#[must_use]
pub fn forecast_json(plan: &Plan, forecast: &Forecast) -> Value {
    let step = plan.steps.get(forecast.step.0 as usize);
    let (_, _, words) = words(plan, forecast);
    json!({
        "step": step.map(|step| step.id.to_string()),
        "verdict": forecast.verdict.word(),
        "reasons": words,
        "names": step.map(names).unwrap_or_default(),
    })
}

/// What a step would make visible, as people name it: a tag with its repository each.
fn names(step: &Step) -> Vec<String> {
    let Action::Tag(tag) = &step.action else { return Vec::new() };
    let TagStep { registry, tags, .. } = tag.as_ref();
    let tags = tags.iter().filter(|tag| !tag.local);
    tags.map(|tag| format!("{}:{}", registry.place, tag.tag)).collect()
}

/// What a step that publishes is about, as far as that is known before: a line each.
fn subjects(plan: &Plan, step: &Step) -> Vec<String> {
    let digest = |at: StepIndex| match &plan.steps.get(at.0 as usize)?.action {
        Action::Found(found) => Some(found.image.as_ref()?.digest),
        _ => None,
    };
    let pinned = |place: &str, at: StepIndex| match digest(at) {
        Some(digest) => format!("{place}@sha256:{}", digest.short()),
        None => place.to_owned(),
    };
    let of_stage = |images: &[StageImage]| {
        let places = images.iter().filter_map(|image| Some(pinned(image.place.as_deref()?, image.image)));
        places.collect::<Vec<_>>()
    };
    match &step.action {
        Action::Tag(_) => names(step),
        Action::Push(push) => vec![pinned(&push.registry.place.to_string(), push.image)],
        Action::Enter(enter) => of_stage(&enter.images),
        Action::Deploy(deploy) => match &deploy.work {
            Deployment::Gitops(gitops) => gitops.edits.iter().map(|edit| edit.path.clone()).collect(),
            Deployment::Kubectl(kubectl) => {
                kubectl.sets.iter().map(|(workload, ..)| workload.value.clone()).collect()
            }
            Deployment::Compose(_) | Deployment::Run(_) => of_stage(&deploy.images),
        },
        _ => Vec::new(),
    }
}

/// When a step that publishes does something.
const fn condition(action: &Action) -> &'static str {
    match action {
        Action::Found(_) => "nothing is built: it is where another stage runs it",
        Action::Tag(_) => "where a tag does not hold the image yet",
        Action::Enter(_) => "if the stage runs something else",
        Action::Deploy(_) => "once the stage runs these images",
        Action::Verify(_) => "once they are deployed",
        Action::Record(_) => "if the ledger's entry is not attached yet",
        _ => "if what it publishes is not there yet",
    }
}

type Mark = (&'static str, &'static str);

fn words(plan: &Plan, forecast: &Forecast) -> (Mark, Paint, Vec<String>) {
    const RUN: Mark = ("▸", ">");
    const REST: Mark = ("✓", "=");
    let step = plan.steps.get(forecast.step.0 as usize);
    match &forecast.verdict {
        Verdict::Group => (REST, Paint::Faint, vec!["it stands for what it needs".to_owned()]),
        Verdict::UpToDate => (REST, Paint::Good, vec!["nothing that it depends on has changed".to_owned()]),
        Verdict::WouldRestore(reasons) => {
            (("↺", "<"), Paint::Good, reasons.iter().map(ToString::to_string).collect())
        }
        Verdict::WouldRun(reasons) => (RUN, Paint::Warn, reasons.iter().map(ToString::to_string).collect()),
        Verdict::Always => {
            let declares_inputs = step.is_some_and(|step| step.inputs.is_some());
            (RUN, Paint::Warn, vec![Reason::always(declares_inputs).to_string()])
        }
        Verdict::Publishing => {
            let condition = step.map(|step| condition(&step.action).to_owned());
            (("?", "?"), Paint::Warn, condition.into_iter().collect())
        }
        Verdict::Unknown(steps) => {
            let names = steps.iter().filter_map(|step| plan.steps.get(step.0 as usize));
            let names: Vec<_> = names.map(|step| format!("`{}`", step.id)).collect();
            (("?", "?"), Paint::Warn, vec![format!("if {} makes something else", names.join(" or "))])
        }
        Verdict::Skip(reason) => (("–", "-"), Paint::Faint, vec![reason.clone()]),
        Verdict::NotAvailable(gap) => {
            (("✗", "x"), Paint::Bad, vec![format!("{} is not available in this version", gap.what)])
        }
    }
}
