//! `hoist log`: what steps wrote and what became of runs, from their records.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher};

use crate::cli::arguments::Log;
use crate::cli::records::{find, read, story, whole_of};
use crate::cli::session::Session;
use crate::diagnostic::{Code, Problem, Problems, nearest};
use crate::facts::Project;
use crate::report::{Look, Paint, Part, Story, Table, digest, ending, render_fault, seconds};
use crate::run::{Event, Fault, Happening, Outcome, begun, recorded};

/// Bytes of output that are written at once.
const AT_ONCE: usize = 64 * 1024;

pub(crate) fn log(session: &mut Session, options: &Log) -> Result<ExitCode, Problems> {
    let root = Project::find(&session.host, session.global.file.as_deref())?.root;
    match &options.step {
        None if options.runs => runs(session, &root)?,
        None => whole(session, &root, options.run.as_deref())?,
        Some(step) => step_of(session, &root, step, options.run.as_deref())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The recorded runs, newest first.
fn runs(session: &Session, root: &Path) -> Result<(), Problems> {
    find(root, None)?;
    let look = session.output_look();
    let mut table = Table::new();
    table.head(["RUN", "AGO", "TOOK", "WHAT", "RESULT"]);
    for id in recorded(root) {
        // A run that begins has no events yet.
        let Ok(events) = read(root, &id) else { continue };
        let events = events.filter(|event| !matches!(event.what, Happening::Output(_)));
        let story = story(root, &id, events, session.host.now);
        let (paint, result) = result(&story);
        if session.global.json {
            let mut value = digest(&story);
            if let Some(value) = value.as_object_mut() {
                value.shift_remove("steps");
            }
            session.output(&format!("{value}\n"))?;
            continue;
        }
        let ago = begun(&id).map(|begun| session.host.now.duration_since(begun).unsigned_abs());
        let goals = if story.goals().is_empty() { "(default)".to_owned() } else { story.goals() };
        table.row([
            (Some(Paint::Name), id.clone()),
            (None, ago.map(rough).unwrap_or_default()),
            (None, seconds(Duration::from_millis(story.milliseconds()))),
            (None, look.cut(&goals, 24)),
            (Some(paint), result),
        ]);
    }
    if session.global.json { Ok(()) } else { session.output(&table.render(look, 0)) }
}

/// How a run ended, in a few words.
fn result(story: &Story) -> (Paint, String) {
    let counts = story.sum();
    match &story.ended {
        Some(ended) if ended.exit == 0 => (Paint::Good, counts),
        // What failed says more than which kind of mistake it was.
        Some(ended) if ["failed", "usage"].contains(&ended.result.as_str()) => (Paint::Bad, counts),
        Some(ended) => (Paint::Bad, format!("{}: {counts}", ended.result)),
        None if story.cut_off => (Paint::Bad, format!("cut off: {counts}")),
        None => (Paint::Warn, format!("still running: {counts}")),
    }
}

/// What failed in a run, with its output; then its steps as they ended; then what is wrong
/// with the run as a whole; then a line on it, and on what it had run to go back.
pub(crate) fn whole(session: &Session, root: &Path, run: Option<&str>) -> Result<(), Problems> {
    let id = find(root, run)?;
    if session.global.json {
        for event in read(root, &id)? {
            session.output(&json(&event))?;
        }
        return Ok(());
    }
    let look = session.output_look();
    let story = story(root, &id, read(root, &id)?, session.host.now);
    let bad = |part: &Part| part.is_bad() || part.is_unfinished();
    let failed: Vec<&str> = story.told().filter(|(_, part)| bad(part)).map(|(name, _)| name).collect();
    for name in &failed {
        heading(session, name, look)?;
        let wrote = lines(session, root, &id, |step| step == *name)?;
        let faults = faults(&story, name).filter(|fault| !fault.code.ends_with("command_failed"));
        let faults: String = faults.map(|fault| render_fault(fault, look)).collect();
        if !wrote && faults.is_empty() {
            session.output(&look.paint(Paint::Faint, "(no output)\n"))?;
        }
        session.output(&faults)?;
    }
    let mut table = Table::new();
    let mut present = 0;
    for (name, part) in story.told() {
        let Some(end) = &part.end else {
            if part.is_unfinished() {
                let (paint, word) =
                    if story.cut_off { (Paint::Bad, "did not end") } else { (Paint::Warn, "still running") };
                table.row([(None, format!("{} {name}  {word}", look.paint(paint, "?")))]);
            }
            continue;
        };
        if part.is_present() && !session.global.verbose {
            present += 1;
        } else {
            table.row([(None, ending(end, &part.reasons, look))]);
        }
    }
    let mut text = if failed.is_empty() { String::new() } else { "\n".to_owned() };
    text += &table.render(look, 0);
    if present > 0 && !table.is_empty() {
        text += &look.paint(Paint::Faint, &format!("and {present} that were up to date\n"));
    }
    for fault in story.ended.iter().flat_map(|ended| &ended.problems) {
        let _ = write!(text, "\n{}\n", render_fault(fault, look).trim_end());
    }
    if story.ended.as_ref().is_some_and(|ended| !ended.problems.is_empty()) {
        text.push('\n');
    }
    text += &summary(&story, &id, look);
    let later = recorded(root).into_iter().take_while(|other| *other != id);
    let mut parts: Vec<String> = later.filter(|other| whole_of(root, other).as_ref() == Some(&id)).collect();
    parts.reverse();
    for part in parts {
        let Ok(events) = read(root, &part) else { continue };
        let events = events.filter(|event| !matches!(event.what, Happening::Output(_)));
        let story = crate::cli::records::story(root, &part, events, session.host.now);
        let _ = write!(text, "  to go back: {}", summary(&story, &part, look));
        let _ = writeln!(text, "  `hoist log --run {part}` shows that");
    }
    session.output(&text)
}

/// What is wrong with a step that failed.
fn faults<'a>(story: &'a Story, step: &str) -> impl Iterator<Item = &'a Fault> + use<'a> {
    let end = story.steps.get(step).and_then(|part| part.end.as_ref());
    end.into_iter().flat_map(|end| match &end.outcome {
        Outcome::Failed { problems } => problems.as_slice(),
        _ => &[],
    })
}

/// A line on a run as a whole.
fn summary(story: &Story, id: &str, look: Look) -> String {
    let (paint, result) = result(story);
    let took = seconds(Duration::from_millis(story.milliseconds()));
    let goals = story.goals();
    let goals = if goals.is_empty() { goals } else { format!(" {goals}") };
    format!("{}{goals}: {} in {took}\n", look.paint(Paint::Name, id), look.paint(paint, &result))
}

/// The lines of the steps that are meant, of the newest run in which one of them
/// had its turn.
fn step_of(session: &Session, root: &Path, step: &str, run: Option<&str>) -> Result<(), Problems> {
    let ids = match run {
        Some(run) => vec![find(root, Some(run))?],
        None => recorded(root),
    };
    let mut seen: Vec<String> = Vec::new();
    for id in &ids {
        let Ok(events) = read(root, id) else { continue };
        let mut story = Story::default();
        events
            .filter(|event| !matches!(event.what, Happening::Output(_)))
            .for_each(|event| story.see(&event));
        let names: Vec<&str> =
            story.told().filter(|(_, part)| had_its_turn(part)).map(|(name, _)| name).collect();
        let meant = meant(step, &names);
        if meant.is_empty() {
            seen.extend(story.told().map(|(name, _)| name.to_owned()));
            continue;
        }
        if let Some(whole) = whole_of(root, id).filter(|whole| run.is_none() && ids.contains(whole)) {
            session.say(&format!(
                "this is of {id}, which went back; what had failed is in `hoist log {step} --run {whole}`\n"
            ));
        }
        return show(session, root, id, &meant, &story);
    }
    // A step that was to run, and did not, is no better named by its name.
    let near = nearest(step, seen.iter().map(String::as_str).filter(|name| *name != step));
    let help = near
        .map(|name| format!("did you mean `hoist log {name}`? `hoist log` lists the steps of the last run"));
    let problem = match (run, ids.first()) {
        (Some(_), Some(id)) => {
            Problem::new(Code::NoRecord, format!("`{step}` had no turn in the run `{id}`")).help(format!(
                "`hoist log --run {id}` shows what had; `hoist log {step}` the newest run of it"
            ))
        }
        _ => Problem::new(Code::NoRecord, format!("no run of `{step}` is recorded"))
            .help("run it first")
            .maybe_help(help),
    };
    Err(problem.into())
}

/// Whether the step ran, was found done, or was running when the run ended.
fn had_its_turn(part: &Part) -> bool {
    match part.end.as_ref().map(|end| &end.outcome) {
        Some(outcome) => !matches!(outcome, Outcome::NotRun { .. } | Outcome::Skipped { .. }),
        None => part.is_unfinished(),
    }
}

/// The steps that a text means: the one of that name; else all of the target or
/// image of that name; else what it matches as a glob.
fn meant<'a>(text: &str, names: &[&'a str]) -> Vec<&'a str> {
    let exact: Vec<_> = names.iter().copied().filter(|name| *name == text).collect();
    if !exact.is_empty() {
        return exact;
    }
    let of_owner =
        |name: &&str| name.strip_prefix(text).is_some_and(|rest| rest.starts_with(['[', ':', '@']));
    let owned: Vec<_> = names.iter().copied().filter(of_owner).collect();
    if !owned.is_empty() {
        return owned;
    }
    let glob = glob(text);
    names.iter().copied().filter(|name| glob.as_ref().is_some_and(|glob| glob.is_match(name))).collect()
}

/// A glob in which brackets are those of a matrix.
fn glob(text: &str) -> Option<GlobMatcher> {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '[' | ']' => escaped.extend(['[', c, ']']),
            c => escaped.push(c),
        }
    }
    let glob = GlobBuilder::new(&escaped).literal_separator(false).build().ok()?;
    Some(glob.compile_matcher())
}

fn show(session: &Session, root: &Path, id: &str, meant: &[&str], story: &Story) -> Result<(), Problems> {
    if session.global.json {
        for event in read(root, id)?.filter(|event| about(event).is_some_and(|step| meant.contains(&step))) {
            session.output(&json(&event))?;
        }
        return Ok(());
    }
    let look = session.output_look();
    for name in meant {
        if meant.len() > 1 {
            heading(session, name, look)?;
        }
        if !lines(session, root, id, |step| step == *name)? {
            // Who asked for output learns why there is none.
            let end = story.told().find(|(told, _)| told == name).and_then(|(_, part)| part.end.as_ref());
            let ended = end.map(|end| format!(": {}", ending(end, &[], session.status_look())));
            session.say(&format!("`{name}` wrote nothing{}\n", ended.unwrap_or_default().trim_end()));
        }
    }
    Ok(())
}

fn heading(session: &Session, name: &str, look: Look) -> Result<(), Problems> {
    let rule = if look.unicode { "──" } else { "--" };
    session.output(&format!("{}\n", look.paint(Paint::Strong, &format!("{rule} {name}"))))
}

/// What steps wrote, with its colours where they can be seen; `false` if they wrote
/// nothing.
fn lines(session: &Session, root: &Path, id: &str, wanted: impl Fn(&str) -> bool) -> Result<bool, Problems> {
    let look = session.output_look();
    let terminal = session.host.output_is_terminal;
    let (mut waiting, mut any) = (String::new(), false);
    for event in read(root, id)? {
        let Happening::Output(line) = event.what else { continue };
        if wanted(&line.step) {
            let text = match (terminal, look.color) {
                (true, _) => look.tame(&line.text),
                // Whoever asks for colours in a file gets what was written.
                (false, true) => line.text,
                (false, false) => console::strip_ansi_codes(&line.text).into_owned(),
            };
            any = true;
            waiting.extend([text.as_str(), "\n"]);
            if waiting.len() > AT_ONCE {
                session.output(&std::mem::take(&mut waiting))?;
            }
        }
    }
    session.output(&waiting)?;
    Ok(any)
}

fn json(event: &Event) -> String {
    format!("{}\n", serde_json::to_string(event).unwrap_or_default())
}

/// A duration without what nobody asks of a time ago.
fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The step that an event is about.
fn about(event: &Event) -> Option<&str> {
    match &event.what {
        Happening::StepReady { step }
        | Happening::StepStarted { step, .. }
        | Happening::StepRetried { step, .. } => Some(step),
        Happening::Output(line) => Some(&line.step),
        Happening::StepEnded(ended) => Some(&ended.step),
        Happening::Notice { step, .. } => step.as_deref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_step_or_all_steps_of_its_owner_or_a_glob() {
        let names =
            ["unit", "unit2", "lint[python=3.11]", "lint[python=3.12]", "web:build@linux/amd64", "web:test"];
        assert_eq!(meant("unit", &names), ["unit"]);
        assert_eq!(meant("lint[python=3.11]", &names), ["lint[python=3.11]"]);
        assert_eq!(meant("lint", &names), ["lint[python=3.11]", "lint[python=3.12]"]);
        assert_eq!(meant("lint[*12]", &names), ["lint[python=3.12]"]);
        assert_eq!(meant("web:build", &names), ["web:build@linux/amd64"]);
        assert_eq!(meant("*:build@*", &names), ["web:build@linux/amd64"]);
        assert_eq!(meant("un", &names), [""; 0]);
    }
}
