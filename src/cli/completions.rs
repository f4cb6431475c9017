//! `hoist completions`: completions for a shell, with the names that release.kdl declares.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use clap_complete::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};
use indexmap::IndexSet;

use crate::cli::arguments::{Arguments, Completions};
use crate::cli::session::{Loaded, Session, unwritable};
use crate::diagnostic::Problems;
use crate::release::Ledger;
use crate::report::output;

/// The variable by which the script for a shell asks what may come next.
const ASKS: &str = "HOIST_COMPLETE";

/// Prints the script for a shell, which asks hoist for whatever may come next.
pub(crate) fn completions(options: &Completions) -> Result<ExitCode, Problems> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let written = shells
        .completer(&options.shell.to_string())
        .map_or(Ok(()), |shell| shell.write_registration(ASKS, "hoist", "hoist", "hoist", &mut script));
    let written = written.and_then(|()| output(&String::from_utf8_lossy(&script)));
    written.map_err(|error| unwritable(&error))?;
    Ok(ExitCode::SUCCESS)
}

/// Tells a shell what may come next, if it asks.
pub(crate) fn answer() -> Option<ExitCode> {
    let asked = CompleteEnv::with_factory(Arguments::command).var(ASKS);
    match asked.try_complete(std::env::args_os(), None) {
        Ok(false) => None,
        Ok(true) => Some(ExitCode::SUCCESS),
        // Whoever types a line is not told why it cannot be completed.
        Err(_) => Some(ExitCode::FAILURE),
    }
}

/// The targets that are not private, and images.
pub(crate) fn goals() -> Vec<CompletionCandidate> {
    let Some((_, loaded)) = here() else { return Vec::new() };
    let targets = loaded.release.targets.values().filter(|target| !target.private);
    let targets = targets.map(|target| candidate(&target.name.value, target.about.as_deref()));
    let images = loaded.release.images.values();
    targets.chain(images.map(|image| candidate(&image.name.value, image.about.as_deref()))).collect()
}

/// The images.
pub(crate) fn images() -> Vec<CompletionCandidate> {
    let Some((_, loaded)) = here() else { return Vec::new() };
    let images = loaded.release.images.values();
    images.map(|image| candidate(&image.name.value, image.about.as_deref())).collect()
}

/// The stages.
pub(crate) fn stages() -> Vec<CompletionCandidate> {
    let Some((_, loaded)) = here() else { return Vec::new() };
    let stages = loaded.release.stages.values();
    stages.map(|stage| candidate(&stage.name.value, stage.about.as_deref())).collect()
}

/// The versions that stages ran, as far as it is known here.
pub(crate) fn versions() -> Vec<CompletionCandidate> {
    let known = here().and_then(|(session, loaded)| {
        let ledger = Ledger::open(&loaded.project.root, &session.host.environment).ok()?;
        ledger.history(None, usize::MAX).ok()
    });
    let known: IndexSet<String> = known.into_iter().flatten().map(|(_, entry)| entry.version).collect();
    known.into_iter().map(|version| candidate(&version, None)).collect()
}

/// The project that the shell stands in, or that the line names.
fn here() -> Option<(Session, Loaded)> {
    // What stands behind is not written yet.
    let line = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let mut named = vec!["hoist".into()];
    let mut words = line.skip(1).peekable();
    while let Some(word) = words.next() {
        if ["-C", "--directory", "--file"].iter().any(|option| word == *option) && words.peek().is_some() {
            named.extend([Some(word), words.next()].into_iter().flatten());
        }
    }
    let Arguments { global, .. } = Arguments::try_parse_from(named).ok()?;
    let mut session = Session::open(global).ok()?;
    session.enter().ok()?;
    let loaded = session.load().ok()?;
    Some((session, loaded))
}

fn candidate(name: &str, about: Option<&str>) -> CompletionCandidate {
    CompletionCandidate::new(name).help(about.map(|about| about.to_owned().into()))
}
