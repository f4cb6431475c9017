//! Names of steps as they are typed: `lint`, `lint[python=3.11]`, `web:push@ghcr`,
//! and globs of them.

use std::borrow::Cow;

use globset::{GlobBuilder, GlobMatcher};

use crate::config::{GOALS, Image, Release, Stage, Target, glob_fits};
use crate::diagnostic::{Code, Problem, Spanned, nearest};
use crate::oci::Platform;
use crate::plan::unit::{Job, Unit, channels, image_jobs, row_values, rows, stage_jobs};
use crate::plan::{StepId, Verb};

/// Who names a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    /// The command line, which cannot name what is private.
    User,
    /// The file.
    File,
}

/// A name, taken apart. Each part may be a glob, in which `*` stands for any
/// characters.
struct StepName<'a> {
    owner: Cow<'a, str>,
    /// Values of a matrix: `python=3.11`.
    cells: Vec<(&'a str, &'a str)>,
    verb: Option<&'a str>,
    qualifier: Option<&'a str>,
}

impl<'a> StepName<'a> {
    fn new(text: &'a str) -> Self {
        let (owner, work) = split_outside_brackets(text);
        let (verb, qualifier) = match work.map(|work| (work, work.split_once('@'))) {
            None => (None, None),
            Some((work, None)) => (Some(work), None),
            Some((_, Some((verb, qualifier)))) => (Some(verb), Some(qualifier)),
        };
        let bracket = owner.strip_suffix(']').and_then(|inside| inside.rsplit_once('['));
        let (owner, cells) = match bracket {
            Some((owner, inside)) if inside.contains('=') => {
                (owner, inside.split(',').map(|cell| cell.split_once('=').unwrap_or((cell, ""))).collect())
            }
            _ => (owner, Vec::new()),
        };
        Self { owner: Cow::Borrowed(owner), cells, verb, qualifier }
    }
}

/// What stands before and behind the first `:` of a step's name that is no part of the
/// values of a matrix.
pub(super) fn split_outside_brackets(text: &str) -> (&str, Option<&str>) {
    let mut depth = 0u32;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => return (&text[..at], text.get(at + 1..)),
            _ => {}
        }
    }
    (text, None)
}

/// One part of a name: a word, or a glob.
enum Word<'a> {
    Exact(&'a str),
    Glob(Box<GlobMatcher>),
}

impl<'a> Word<'a> {
    fn new(text: &'a str) -> Self {
        if !text.contains(['*', '?', '[', '{']) {
            return Self::Exact(text);
        }
        // What is not a valid glob is a name that nothing has.
        let glob =
            glob_fits(text).ok().and_then(|()| GlobBuilder::new(text).literal_separator(false).build().ok());
        glob.map_or(Self::Exact(text), |glob| Self::Glob(Box::new(glob.compile_matcher())))
    }

    const fn is_glob(&self) -> bool {
        matches!(self, Self::Glob(_))
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(word) => *word == text,
            Self::Glob(glob) => glob.is_match(text),
        }
    }
}

/// Whether a glob matches the name of a branch or tag; `*` does not match a `/`,
/// as in the rules of tags.
pub(super) fn glob_matches(glob: &str, name: &str) -> bool {
    let glob = GlobBuilder::new(glob).literal_separator(true).build();
    glob.is_ok_and(|glob| glob.compile_matcher().is_match(name))
}

/// Whether a text names one thing, not what a glob happens to match.
pub(super) fn is_explicit(text: &str) -> bool {
    let name = StepName::new(text);
    let words = [Some(name.owner.as_ref()), name.verb, name.qualifier];
    !words.into_iter().flatten().any(|word| Word::new(word).is_glob())
}

/// The steps that a name stands for, in the order of their declaration; never
/// none.
///
/// # Errors
/// A name that nothing has, or that may not be named here.
pub(super) fn resolve(
    release: &Release,
    name: &Spanned<String>,
    speaker: Speaker,
) -> Result<Vec<Unit>, Problem> {
    let parts = StepName::new(&name.value);
    let owner = Word::new(&parts.owner);
    let mut units = Vec::new();
    for (at, target) in owners(&release.targets, &owner) {
        let hidden = speaker == Speaker::User && target.private;
        if hidden && !owner.is_glob() {
            return Err(private(name, target));
        }
        if !hidden && parts.verb.is_none() {
            units.extend(target_units(at, target, &parts)?);
        }
    }
    for (at, image) in owners(&release.images, &owner) {
        if parts.cells.is_empty() {
            let jobs = image_jobs(release, image);
            let chosen =
                jobs.into_iter().filter(|job| chooses(&parts, Unit::Image { image: at, job: *job }, release));
            units.extend(chosen.map(|job| Unit::Image { image: at, job }));
        }
    }
    for (at, stage) in owners(&release.stages, &owner) {
        if parts.cells.is_empty() && parts.verb.is_some() {
            let units_of_stage = stage_jobs(stage).into_iter().map(|job| Unit::Stage { stage: at, job });
            units.extend(units_of_stage.filter(|unit| chooses(&parts, *unit, release)));
        }
    }
    if units.is_empty() { Err(unknown(release, name, speaker)) } else { Ok(units) }
}

fn owners<'a, T>(
    map: &'a indexmap::IndexMap<String, T>,
    owner: &Word<'_>,
) -> Box<dyn Iterator<Item = (usize, &'a T)> + 'a> {
    match owner {
        Word::Exact(word) => Box::new(map.get_full(*word).map(|(at, _, value)| (at, value)).into_iter()),
        Word::Glob(glob) => {
            let glob = glob.clone();
            let all = map.iter().enumerate();
            Box::new(
                all.filter(move |(_, (name, _))| glob.is_match(name)).map(|(at, (_, value))| (at, value)),
            )
        }
    }
}

fn target_units(at: usize, target: &Target, name: &StepName<'_>) -> Result<Vec<Unit>, Problem> {
    let cells: Vec<(&str, Word<'_>)> =
        name.cells.iter().map(|(key, value)| (*key, Word::new(value))).collect();
    let fits = |row: &usize| {
        let values = row_values(target, *row);
        cells.iter().all(|(key, word)| values.get(*key).is_some_and(|value| word.matches(value)))
    };
    Ok((0..rows(target)?).filter(fits).map(|row| Unit::Target { target: at, row }).collect())
}

/// Whether a name chooses this step of its owner. The name of an image alone,
/// and its `build` for no particular platform, are its builds joined.
fn chooses(name: &StepName<'_>, unit: Unit, release: &Release) -> bool {
    let id = unit.id(release, &Platform::host());
    let Some(verb) = id.verb else { return false };
    match (name.verb, name.qualifier) {
        (None, _) | (Some("build"), None) => matches!(verb, Verb::Build | Verb::Index),
        (Some(wanted), None) => Word::new(wanted).matches(verb.as_str()),
        (Some(wanted), Some(qualifier)) => {
            let there = id.qualifier.as_deref().unwrap_or_default();
            Word::new(wanted).matches(verb.as_str()) && Word::new(qualifier).matches(there)
        }
    }
}

/// The steps that a goal of the language stands for, of every image.
///
/// # Errors
/// No image has such a step.
pub(super) fn goal(release: &Release, goal: &Spanned<String>) -> Result<Vec<Unit>, Problem> {
    let wanted = |job: &Job| match goal.value.as_str() {
        "build" => matches!(job, Job::Build(_) | Job::Index),
        "test" => matches!(job, Job::Test),
        "scan" => matches!(job, Job::Scan(_)),
        _ => matches!(job, Job::Push(_) | Job::Tag(_)),
    };
    // Where an image goes with a stage alone, it goes when that is entered.
    let own = |image: &Image, job: &Job| {
        let channels = channels(release, image);
        job.channel().and_then(|at| channels.get(at)).is_none_or(|channel| !channel.of_stages)
    };
    let images = release.images.values().enumerate();
    let units: Vec<Unit> = images
        .flat_map(|(image, declared)| {
            image_jobs(release, declared)
                .into_iter()
                .filter(|job| wanted(job) && own(declared, job))
                .map(move |job| Unit::Image { image, job })
        })
        .collect();
    if units.is_empty() { Err(nothing(release, goal)) } else { Ok(units) }
}

fn nothing(release: &Release, goal: &Spanned<String>) -> Problem {
    let why = match (release.images.is_empty(), goal.value.as_str()) {
        (true, _) => "the file declares no image",
        (_, "test") => "no image declares a `test` or an `expect`",
        (_, "scan") => "no image declares a `scan`",
        _ => "no image declares a `push`",
    };
    let title = format!("there is nothing to {}: {why}", goal.value);
    Problem::new(Code::UnknownTarget, title)
        .label(goal.span, "")
        .help(format!("declare it, or declare a `target \"{}\"`", goal.value))
}

fn private(name: &Spanned<String>, target: &Target) -> Problem {
    Problem::new(Code::UnknownTarget, format!("`{}` is private", name.value))
        .label(name.span, "named here")
        .label(target.name.span, "declared here")
        .help("name a target that needs it, or remove `private`")
}

fn unknown(release: &Release, name: &Spanned<String>, speaker: Speaker) -> Problem {
    let parts = StepName::new(&name.value);
    let mut known = known_names(release, speaker);
    let declared = release.declared(&parts.owner).is_some();
    if declared {
        let own = |step: &String| {
            step.strip_prefix(parts.owner.as_ref()).is_some_and(|rest| rest.starts_with([':', '[']))
        };
        known.retain(own);
    }
    let title = match release.stages.get(parts.owner.as_ref()) {
        _ if !is_explicit(&name.value) => format!("nothing matches `{}`", name.value),
        _ if declared => format!("`{}` has no step `{}`", parts.owner, name.value),
        Some(stage) => return is_stage(name, stage, speaker),
        None => format!("no target, image, or step is called `{}`", name.value),
    };
    let problem = Problem::new(Code::UnknownTarget, title).label(name.span, "");
    if let Some(meant) = nearest(&name.value, known.iter().map(String::as_str)) {
        return problem.help(format!("did you mean `{meant}`?"));
    }
    let steps: Vec<String> =
        known.iter().filter(|step| !is_short(step)).map(|step| format!("`{step}`")).collect();
    match (declared, speaker) {
        (true, _) if steps.is_empty() => {
            problem.help(format!("it has no steps of its own: name it `{}`", parts.owner))
        }
        (true, _) => problem.help(format!("its steps are {}", steps.join(", "))),
        (false, Speaker::User) => problem.help("`hoist` lists what there is"),
        (false, Speaker::File) => problem.help("declare it, or remove the name"),
    }
}

/// That a stage is no target, and how it is entered.
fn is_stage(name: &Spanned<String>, stage: &Stage, speaker: Speaker) -> Problem {
    let title = format!("`{}` is a stage, not a target", name.value);
    let problem = Problem::new(Code::UnknownTarget, title).label(name.span, "");
    let stage_name = &stage.name.value;
    if speaker == Speaker::File {
        return problem.help("remove the name: a stage is entered by `hoist release` and `hoist promote`");
    }
    problem.help(match (stage.on.is_empty(), stage.from.is_empty()) {
        (true, true) => format!("`hoist promote {stage_name} --from STAGE` has it run what another stage runs"),
        (true, false) => format!("`hoist promote {stage_name}` has it run what the stage before it runs"),
        (false, true) => "`hoist release` enters it, for an event that its `on` names".to_owned(),
        (false, false) => format!(
            "`hoist promote {stage_name}` has it run what the stage before it runs, and so does `hoist release` \
             for an event that its `on` names"
        ),
    })
}

/// Whether the name of a step leaves out for what or where it is.
fn is_short(step: &str) -> bool {
    let kinds = [Verb::Build, Verb::Scan, Verb::Push, Verb::Sign, Verb::Attest, Verb::Tag];
    let verb = step.rsplit(':').next().unwrap_or_default();
    kinds.iter().any(|kind| kind.as_str() == verb)
}

/// All that could have been meant: targets, images, goals, and steps.
fn known_names(release: &Release, speaker: Speaker) -> Vec<String> {
    let host = Platform::host();
    let visible = release
        .targets
        .iter()
        .enumerate()
        .filter(|(_, (_, target))| speaker == Speaker::File || !target.private);
    let mut names: Vec<String> = visible.clone().map(|(_, (name, _))| name.clone()).collect();
    names.extend(release.images.keys().cloned());
    if speaker == Speaker::User {
        names.extend(GOALS.iter().map(|goal| (*goal).to_owned()));
    }
    let step = |unit: Unit| -> StepId { unit.id(release, &host) };
    for (target, (_, declared)) in visible.filter(|(_, (_, target))| !target.matrix.is_empty()) {
        let rows = rows(declared).unwrap_or_default();
        names.extend((0..rows).map(|row| step(Unit::Target { target, row }).to_string()));
    }
    for (image, declared) in release.images.values().enumerate() {
        for job in image_jobs(release, declared) {
            let id = step(Unit::Image { image, job });
            if id.qualifier.is_some() {
                names.extend(id.verb.map(|verb| format!("{}:{}", id.owner, verb.as_str())));
            }
            names.push(id.to_string());
        }
    }
    names
}
