//! A step in its sandbox, from what it declares to what is said of it.

use std::fs;
use std::io;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::sync::watch;

use crate::config::Pattern;
use crate::diagnostic::{Code, Problem, Problems, Span, counted};
use crate::facts::{InputQuery, Readable, readable};
use crate::plan::{Action, CommandStep, Effect, NeedKind, Step, StepIndex};
use crate::run::command::{Commands, Unsuccessful};
use crate::run::process::Halt;
use crate::run::room::Room;
use crate::run::sandbox::deed::Deed;
use crate::run::sandbox::notes::Notes;
use crate::run::sandbox::reach::{Kind, directory_of, reach};
use crate::run::sandbox::report::{Led, about, attach, notices};
use crate::run::sandbox::rules::Rules;
use crate::run::sandbox::{Entry, file, proposal};
use crate::run::teller::{Teller, Told};
use crate::run::worker::blocking;
use crate::run::{Outcome, Request};

/// Why a step's calls are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) enum Mode {
    /// To deny it what it does not declare.
    Deny,
    /// To learn what it reads.
    Learn,
}

impl Mode {
    /// Why a step is watched; `None` if it is not.
    pub(in crate::run) fn of(request: &Request, step: &Step, command: &CommandStep) -> Option<Self> {
        let options = &request.options;
        if options.learn && step.goal {
            Some(Self::Learn)
        } else if command.sandbox || options.sandbox && step.effect == Effect::Cacheable {
            Some(Self::Deny)
        } else {
            None
        }
    }
}

/// What is to be said, at the end of a run with `--sandbox`, of the steps that no
/// sandbox checked: those that did not run, and those that ran without one.
pub(in crate::run) fn unchecked(
    request: &Request,
    outcomes: &[Option<Outcome>],
    cached: usize,
) -> Vec<String> {
    if !request.options.sandbox {
        return Vec::new();
    }
    let steps = request.plan.steps.iter().zip(outcomes);
    let open = steps.filter(|(step, outcome)| match &step.action {
        Action::Command(command) => {
            **outcome == Some(Outcome::Ran) && Mode::of(request, step, command).is_none()
        }
        _ => false,
    });
    let open: Vec<String> = open.map(|(step, _)| format!("`{}`", step.id)).collect();
    let mut said = Vec::new();
    match open.as_slice() {
        [] => {}
        [one] => said.push(format!("{one} declares no `inputs`, so it ran without a sandbox")),
        [first, rest @ ..] => said.push(format!(
            "{first} and {} declare no `inputs`, so they ran without a sandbox",
            counted(rest.len(), "other step")
        )),
    }
    if cached > 0 {
        said.push(format!(
            "{cached} of the steps did not run, so no sandbox checked them: `--no-cache` runs all of them"
        ));
    }
    said
}

/// What all commands of a step share.
#[derive(Debug)]
pub(in crate::run) struct Cage {
    directory: TempDir,
    rules: Rules,
    notes: Arc<Notes>,
}

impl Cage {
    fn new(request: &Request, step: &Step, command: &CommandStep, mode: Mode) -> Result<Self, Problems> {
        let unusable = |error: io::Error| no_sandbox(&step.id.to_string(), step.span, &error.to_string());
        let root = request.root.canonicalize().map_err(unusable)?;
        if root.parent().is_none() {
            return Err(no_sandbox(
                &step.id.to_string(),
                step.span,
                "the project is the root of the file system",
            )
            .into());
        }
        let place = request.host.environment.get("TMPDIR").filter(|place| !place.is_empty());
        let place = place.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let directory = tempfile::Builder::new().prefix("hoist-").tempdir_in(place);
        let directory = directory.map_err(unusable)?;
        let free = directory.path().canonicalize().map_err(unusable)?;
        fs::create_dir(free.join(file::TEMPORARY)).map_err(unusable)?;
        let (policy, rules) = match mode {
            Mode::Learn => (None, Rules::default()),
            Mode::Deny => {
                let declared = declared(request, step, &root)?;
                let (policy, rules) = reach(&root, &declared, &command.outputs, &free, &list);
                (Some(policy), rules)
            }
        };
        let notes = Notes {
            root,
            free,
            policy,
            noted: Mutex::default(),
            #[cfg(target_os = "linux")]
            places: Mutex::default(),
        };
        let notes = Arc::new(notes);
        Ok(Self { directory, rules, notes })
    }

    /// Prepares a command.
    ///
    /// # Errors
    /// The private directory cannot be written, or no thread can be started.
    pub(in crate::run) fn enter(&self, argv: &[String]) -> io::Result<Entry> {
        Entry::new(self.directory.path(), argv, &self.rules, &self.notes)
    }

    /// Where the step has its temporary files.
    pub(in crate::run) fn temporary(&self) -> PathBuf {
        self.directory.path().join(file::TEMPORARY)
    }

    /// Forgets what was noted of an attempt that failed.
    pub(in crate::run) fn forget(&self) {
        self.notes.forget();
    }
}

/// Runs a step's commands while they are watched, and says what was found: whether
/// they were denied nothing.
///
/// # Errors
/// As [`Commands::run`]; and there is no sandbox to be had ([`Code::NoSandbox`]).
pub(in crate::run) async fn run(
    (request, commands): (&Request, &Commands),
    (step, command): (&Step, &CommandStep),
    (mode, place): (Mode, &mut Room<'_>),
    halt: &mut watch::Receiver<Halt>,
    teller: &mut Teller,
) -> Result<bool, Unsuccessful> {
    let (asked, owned) = (request.clone(), step.clone());
    let cage = blocking(move || match &owned.action {
        Action::Command(command) => Cage::new(&asked, &owned, command, mode),
        _ => Err(Problems::new()),
    });
    let cage = cage.await.map_err(Unsuccessful::Failed)?;
    let result = commands.run(&step.id.to_string(), command, (Some(&cage), place), halt, teller).await;
    let (deeds, blind) = {
        let noted = cage.notes.lock();
        let deeds: Vec<Deed> = noted.deeds.iter().cloned().collect();
        (deeds, noted.blind.first().cloned())
    };
    match mode {
        Mode::Learn => {
            if let Some(why) = blind {
                let problem = no_sandbox(
                    &step.id.to_string(),
                    step.span,
                    &format!("its calls cannot be watched: {why}"),
                );
                return Err(Unsuccessful::failed(problem));
            }
            let (asked, step) = (request.clone(), step.clone());
            let root = cage.notes.root.clone();
            let learned = blocking(move || proposal::learn(&asked, &step, &root, &deeds)).await;
            teller.tell(Told::Learned(Box::new(learned))).await;
            result.map(|()| true)
        }
        Mode::Deny => {
            let led = led(&cage.notes.root, &command.outputs);
            let denied = about(step, command, (cage.notes.policy.as_ref(), &led), &deeds);
            match result {
                Ok(()) => {
                    for text in notices(&denied) {
                        teller.tell(Told::Notice(text)).await;
                    }
                    Ok(denied.is_empty())
                }
                Err(Unsuccessful::Failed(problems)) => {
                    Err(Unsuccessful::Failed(attach(problems, denied, blind)))
                }
                Err(Unsuccessful::Halted) => Err(Unsuccessful::Halted),
            }
        }
    }
}

/// What a step may read: the files of its own inputs, and what steps made whose
/// products are part of its key.
pub(super) fn declared(request: &Request, step: &Step, root: &Path) -> Result<Readable, Problems> {
    let mut found = Readable::default();
    let own = step.inputs.iter().cloned();
    let made = needed_outputs(request, step).into_iter();
    let made = made.map(|patterns| InputQuery {
        // That an optional output was not made is no mistake of this step.
        generated: patterns.clone(),
        patterns,
        ..InputQuery::default()
    });
    for query in own.chain(made) {
        let Readable { files, directories } = readable(root, &request.release, &request.facts, &query)?;
        found.files.extend(files);
        found.directories.extend(directories);
    }
    found.files.sort();
    found.files.dedup();
    found.directories.sort();
    found.directories.dedup();
    Ok(found)
}

/// The outputs of the steps that a step needs, through groups, too.
fn needed_outputs(request: &Request, step: &Step) -> Vec<Vec<Pattern>> {
    let at = |at: StepIndex| request.plan.steps.get(at.0 as usize);
    let groups = request.plan.groups_behind(step);
    let mut found = Vec::new();
    for step in iter::once(step).chain(groups.into_iter().filter_map(at)) {
        for need in step.needs.iter().filter(|need| need.kind == NeedKind::Product) {
            if let Some(Action::Command(command)) = at(need.step).map(|needed| &needed.action)
                && !command.outputs.is_empty()
            {
                found.push(command.outputs.clone());
            }
        }
    }
    found
}

/// The directories of outputs that a symbolic link of the project leads to, each with what
/// it is called where the output is declared, and with the place of that.
fn led(root: &Path, outputs: &[Pattern]) -> Vec<Led> {
    let lead = |pattern: &Pattern| {
        let named = directory_of(&pattern.glob.value);
        let real = root.join(&named).canonicalize().ok()?;
        let real = real.strip_prefix(root).ok()?.to_owned();
        (real != named).then_some(Led { named, real, span: pattern.glob.span })
    };
    outputs.iter().filter(|pattern| !pattern.negated).filter_map(lead).collect()
}

fn list(directory: &Path) -> Vec<(std::ffi::OsString, Kind)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let entry = |entry: fs::DirEntry| {
        let kind = entry.file_type().ok()?;
        let kind = match () {
            () if kind.is_symlink() => Kind::Link,
            () if kind.is_dir() => Kind::Directory,
            () => Kind::Other,
        };
        Some((entry.file_name(), kind))
    };
    entries.flatten().filter_map(entry).collect()
}

/// There is no sandbox here, for this reason.
pub(in crate::run) fn no_sandbox(name: &str, span: Span, why: &str) -> Problem {
    Problem::new(Code::NoSandbox, format!("`{name}` cannot have a sandbox here"))
        .label(span, "is to run in one")
        .note(why)
        .help("Linux 5.19 or newer with Landlock (`lsm=landlock,…`) has it; else run it without `sandbox`")
}
