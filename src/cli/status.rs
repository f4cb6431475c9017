//! `hoist status`: what runs in which stage.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::cli::deployed::deployed;
use crate::cli::history::check_stage;
use crate::cli::place::until_signalled;
use crate::cli::resume::look_for_stopped;
use crate::cli::rollback::held;
use crate::cli::session::{Loaded, Session};
use crate::cli::stage_arguments::Status;
use crate::cli::stages::{known_of, told};
use crate::deploy::{Difference, Gitops};
use crate::diagnostic::{Problem, Problems, counted};
use crate::facts::{Environment, Facts, Needs};
use crate::oci::Digest;
use crate::release::{
    Drift, Entering, Entry, EntryKind, Expected, Ledger, Publisher, StageState, State, drifted, expected,
};
use crate::report::{Look, Paint, Table};
use crate::store::{Question, answers};

/// How long all repositories of manifests may take to be read.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most characters of a line of a manifest that are shown.
const LONGEST: usize = 60;

/// What the tags of a stage hold, and its manifests say, against the ledger.
#[derive(Default)]
struct Drifts {
    tags: Vec<Drift>,
    /// Each with whether a pull request asks for what it has to say.
    manifests: Vec<(Difference, bool)>,
    /// Why some could not be read.
    unknown: Option<String>,
}

pub(crate) fn status(session: &mut Session, options: &Status) -> Result<ExitCode, Problems> {
    let loaded = session.load()?;
    let ledger = Ledger::open(&loaded.project.root, &session.host.environment)?;
    let (page, unreachable) = known_of(&ledger)?;
    for stage in &options.stages {
        check_stage(stage, &page.state, &loaded.release)?;
    }
    let facts = session.gather(&loaded, &Needs::default(), &IndexMap::new())?;
    let drifts = if options.no_drift || page.state.stages.is_empty() {
        IndexMap::new()
    } else {
        let written = written(session, &loaded, (&ledger, &page.state), &options.stages);
        let work = look(&loaded, &facts, &page.state, written);
        until_signalled(work, "the status was not shown as a whole")?
    };
    // Stages of the file in its order, then those that are declared no more.
    let declared = loaded.release.stages.keys();
    let gone = page.state.stages.keys().filter(|name| !loaded.release.stages.contains_key(*name));
    let asked = |name: &&String| options.stages.is_empty() || options.stages.contains(name);
    let names: Vec<&String> = declared.chain(gone).filter(asked).collect();
    if session.global.json {
        for name in names {
            let state = page.state.stages.get(name);
            session.output(&format!("{}\n", stage_json(name, state, drifts.get(name), session.host.now)))?;
        }
        return Ok(told(session, unreachable));
    }
    if names.is_empty() {
        session.say("release.kdl declares no stage\n");
        return Ok(told(session, unreachable));
    }
    let text = table(&names, &page.state, &drifts, session.host.now, session.output_look());
    session.output(&text)?;
    if session.global.verbose {
        session.output(&images(&names, &page.state, session.output_look()))?;
    }
    // A stage that was entered may not be deployed yet.
    look_for_stopped(session, &loaded.project.root)?;
    Ok(told(session, unreachable))
}

/// What the deployments of a stage write, with whether a pull request asks for it; or why
/// that is not known.
type Written = (String, Result<Vec<(Gitops, bool)>, Problems>);

/// What the manifests of a stage say instead, likewise.
type Read = (String, Result<Vec<(Difference, bool)>, String>);

/// What the stages that are asked for write into manifests. What is being deployed at the
/// moment is not written yet.
fn written(
    session: &Session,
    loaded: &Loaded,
    (ledger, state): (&Ledger, &State),
    asked: &[String],
) -> Vec<Written> {
    let stages = loaded.release.stages.values().filter_map(|stage| {
        let name = &stage.name.value;
        let known = state.stages.get(name)?;
        let entry = &known.running.as_ref()?.entry;
        let deploys = known.entering.as_ref().is_some_and(Entering::deploys);
        if deploys || !(asked.is_empty() || asked.contains(name)) {
            return None;
        }
        match deployed(session, loaded, ledger, (stage, entry), &IndexMap::new()) {
            Ok(none) if none.is_empty() => None,
            written => Some((name.clone(), written)),
        }
    });
    stages.collect()
}

/// What all tags of the ledger hold, by the stage that set them last, and what the manifests
/// of stages say.
async fn look(
    loaded: &Loaded,
    facts: &Facts,
    state: &State,
    written: Vec<Written>,
) -> Result<IndexMap<String, Drifts>, Problem> {
    let (root, environment) = (loaded.project.root.clone(), facts.environment.clone());
    let stages: Vec<String> = written.iter().map(|(stage, _)| stage.clone()).collect();
    let read = tokio::task::spawn_blocking(move || read(written, &root, &environment));
    let publisher = Publisher::new(loaded.project.root.clone(), facts.environment.clone());
    let mut by_stage: IndexMap<String, Vec<Expected>> = IndexMap::new();
    for wanted in expected(state) {
        by_stage.entry(wanted.stage.clone()).or_default().push(wanted);
    }
    let mut looks: Vec<Question<'_, _>> = Vec::new();
    for (stage, wanted) in by_stage {
        let publisher = &publisher;
        looks.push(Box::pin(async move { (stage, drifts_of(loaded, facts, publisher, wanted).await) }));
    }
    let mut found: IndexMap<String, Drifts> = answers(looks).await.into_iter().collect();
    let why = format!("the manifests were not read within {} s", PATIENCE.as_secs());
    let late = || stages.into_iter().map(|stage| (stage, Err(why.clone()))).collect();
    let read: Vec<Read> = timeout(PATIENCE, read).await.map_or_else(|_| late(), Result::unwrap_or_default);
    for (stage, read) in read {
        let drifts = found.entry(stage).or_default();
        match read {
            Ok(manifests) => drifts.manifests.extend(manifests),
            Err(why) => drifts.unknown = drifts.unknown.take().or(Some(why)),
        }
    }
    Ok(found)
}

/// What the tags of a stage hold that do not hold what they have to; the first is asked for
/// alone: where that is not answered, the others are not asked for.
async fn drifts_of(loaded: &Loaded, facts: &Facts, publisher: &Publisher, wanted: Vec<Expected>) -> Drifts {
    let mut drifts = Drifts::default();
    let (first, others) = wanted.split_at(wanted.len().min(1));
    for part in [first, others] {
        let mut asked: Vec<Question<'_, _>> = Vec::new();
        for Expected { repository, tag, .. } in part.iter().filter(|_| drifts.unknown.is_none()) {
            asked.push(Box::pin(held(loaded, facts, publisher, (repository, tag))));
        }
        for (wanted, holds) in part.iter().zip(answers(asked).await) {
            match holds {
                Ok(holds) => drifts.tags.extend(drifted(wanted, holds)),
                Err(problem) => drifts.unknown = drifts.unknown.or(Some(problem.title)),
            }
        }
    }
    drifts
}

/// Reads manifests, as a deployment does.
fn read(written: Vec<Written>, root: &Path, environment: &Environment) -> Vec<Read> {
    let of = |deployments: Result<Vec<(Gitops, bool)>, Problems>| {
        let mut found = Vec::new();
        for (gitops, asked) in deployments? {
            let differences = gitops.differences(root, environment)?;
            found.extend(differences.into_iter().map(|difference| (difference, asked)));
        }
        Ok(found)
    };
    let why = |problems: Problems| {
        problems.as_slice().first().map(|problem| problem.title.clone()).unwrap_or_default()
    };
    written.into_iter().map(|(stage, deployments)| (stage, of(deployments).map_err(why))).collect()
}

fn table(
    names: &[&String],
    state: &State,
    drifts: &IndexMap<String, Drifts>,
    now: Timestamp,
    look: Look,
) -> String {
    let mut table = Table::new();
    table.head(["STAGE", "VERSION", "DIGEST", "COMMIT", "AGE", "STATE"]);
    for name in names {
        let strong = |text: &str| (Some(Paint::Name), look.tame(text));
        let Some(running) = state.running(name) else {
            let none = || (Some(Paint::Faint), "-".to_owned());
            table.row([
                strong(name),
                none(),
                none(),
                none(),
                none(),
                match entering(state.stages.get(*name), now) {
                    Some(text) => (Some(Paint::Warn), look.tame(&text)),
                    None => (Some(Paint::Faint), "never entered".to_owned()),
                },
            ]);
            continue;
        };
        let entry = &running.entry;
        let remark = look.tame(&remark(state.stages.get(*name), drifts.get(*name), now));
        let paint = (!remark.is_empty()).then_some(Paint::Warn);
        table.row([
            strong(name),
            (None, look.tame(&entry.version)),
            (None, digest(entry)),
            (None, format!("{}{}", entry.short(), if entry.dirty { "+" } else { "" })),
            (None, age(now, running.since)),
            (paint, if remark.is_empty() { "as released".to_owned() } else { remark }),
        ]);
    }
    table.render_whole(look, 0)
}

/// The images that run in stages, each with its whole digest, which no line break parts.
fn images(names: &[&String], state: &State, look: Look) -> String {
    let mut text = String::new();
    for (name, running) in names.iter().filter_map(|name| Some((name, state.running(name)?))) {
        let _ = writeln!(text, "\n{}", look.paint(Paint::Name, &look.tame(name)));
        for image in &running.entry.images {
            let _ = writeln!(text, "  {}  {}", look.tame(&image.name), image.digest);
        }
    }
    text
}

/// What is to be said of a stage beside what runs there.
fn remark(stage: Option<&StageState>, drifts: Option<&Drifts>, now: Timestamp) -> String {
    let mut parts: Vec<String> = entering(stage, now).into_iter().collect();
    if let Some(hold) = stage.and_then(|stage| stage.hold.as_ref()) {
        parts.push(match stage.and_then(StageState::failure) {
            Some(why) => format!("does not work: {why}; on hold by {}", hold.by),
            None => format!("on hold by {}: {}", hold.by, hold.reason),
        });
    }
    for Drift { expected, holds } in drifts.iter().flat_map(|drifts| &drifts.tags) {
        let holds = holds.map_or_else(|| "is gone".to_owned(), |digest| format!("holds {}", short(digest)));
        parts.push(format!("drift: {}:{} {holds}", expected.repository, expected.tag));
    }
    for (difference, asked) in drifts.iter().flat_map(|drifts| &drifts.manifests) {
        let Difference { repository, branch, path, line } = difference;
        let says = match line {
            _ if *asked => "waits for its pull request, or was edited".to_owned(),
            Some((says, meant)) => format!("says `{}`, and not `{}`", cut(says), cut(meant)),
            None => "was edited".to_owned(),
        };
        parts.push(format!("drift: `{path}` on `{branch}` of {repository} {says}"));
    }
    if let Some(unknown) = drifts.and_then(|drifts| drifts.unknown.as_ref()) {
        parts.push(format!("drift is not known: {unknown}"));
    }
    parts.join("; ")
}

/// The beginning of a line.
fn cut(line: &str) -> String {
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Who enters a stage at the moment, or died over that.
fn entering(stage: Option<&StageState>, now: Timestamp) -> Option<String> {
    let entering = stage?.entering.as_ref()?;
    let entry = &entering.entry;
    let does = match (entering.deploys(), entering.does()) {
        (true, _) => "being deployed with",
        (false, EntryKind::Rollback) => "going back to",
        (false, _) => "being entered with",
    };
    Some(format!("{does} {} by {} since {}", entry.version, entry.by, age(now, entry.at)))
}

/// The digest of the only image, or how many there are.
fn digest(entry: &Entry) -> String {
    match entry.images.as_slice() {
        [one] => short(one.digest),
        images => counted(images.len(), "image"),
    }
}

/// The first 12 hex digits, with the algorithm.
pub(crate) fn short(digest: Digest) -> String {
    format!("sha256:{}", digest.short())
}

/// A time that passed, in its largest unit.
pub(crate) fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn stage_json(name: &str, state: Option<&StageState>, drifts: Option<&Drifts>, now: Timestamp) -> Value {
    let running = state.and_then(|state| state.running.as_ref());
    let hold = state.and_then(|state| state.hold.as_ref());
    let entering = state.and_then(|state| state.entering.as_ref());
    let drift = drifts.map(|drifts| {
        let tags = drifts.tags.iter().map(|Drift { expected, holds }| {
            json!({
                "repository": expected.repository,
                "tag": expected.tag,
                "expected": expected.digest.to_string(),
                "holds": holds.map(|digest| digest.to_string()),
            })
        });
        let manifests = drifts.manifests.iter().map(|(Difference { repository, branch, path, .. }, asked)| {
            json!({ "repository": repository, "branch": branch, "path": path, "pull-request": asked })
        });
        json!({
            "tags": tags.collect::<Vec<_>>(),
            "manifests": manifests.collect::<Vec<_>>(),
            "unknown": drifts.unknown,
        })
    });
    json!({
        "stage": name,
        "version": running.map(|running| &running.entry.version),
        "commit": running.map(|running| &running.entry.commit),
        "event": running.map(|running| &running.entry.event),
        "since": running.map(|running| running.since),
        "age": running.map(|running| now.duration_since(running.since).as_secs().max(0)),
        "by": running.map(|running| &running.entry.by),
        "entry": running.and_then(|running| running.id.as_ref()),
        "images": running.map(|running| &running.entry.images),
        "hold": hold,
        "failure": state.and_then(StageState::failure),
        "entering": entering.map(|entering| json!({
            "run": entering.run(),
            "by": entering.entry.by,
            "at": entering.entry.at,
            "does": entering.does(),
            "deploys": entering.deploys(),
            "version": entering.entry.version,
            "commit": entering.entry.commit,
        })),
        "drift": drift,
    })
}
