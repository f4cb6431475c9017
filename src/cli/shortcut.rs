//! The short way to a run: what the last run of the same goals left.

use std::cell::OnceCell;

use crate::cache::{Cache, Changes, GoalFiles, Head, Snapshot, State, Steps, Stored, Subset, clock};
use crate::cli::arguments::Running;
use crate::cli::session::{Loaded, Planned, Session};
use crate::config::{Consulted, Release};
use crate::diagnostic::Problems;
use crate::facts::{
    Clock, Facts, InputFile, KnownFiles, Needs, Origin, Project, Question, Seen, ToolQuery, moment, read_all,
    repository_depth,
};
use crate::plan::{Action, Goals, Options, Plan, Step};
use crate::run::{Outcome, Settled, Summary};

/// The name of the file that holds digests of files.
const DIGESTS: &str = "digests";

/// How long a snapshot is relied on, in nanoseconds.
const DAY: i64 = 24 * 3600 * 1_000_000_000;

/// Goals, ready to be run.
pub(crate) struct Prepared {
    /// The steps that may have to run.
    pub(crate) planned: Planned,
    /// What is known of the others.
    pub(crate) settled: Settled,
    /// What a snapshot of the run is made from, if there is to be one.
    basis: Option<Basis>,
    names: GoalFiles,
}

enum Basis {
    /// The steps are all that there are.
    Whole { origin: Origin, tools: Vec<ToolQuery> },
    /// The steps are part of what this says.
    Part { snapshot: Box<Snapshot>, steps: Steps, subset: Box<Subset> },
    /// Nothing is to be done, and what the snapshot says was put right.
    Same,
}

/// What is asked for.
pub(crate) struct Request<'a> {
    pub(crate) goals: &'a Goals,
    pub(crate) values: &'a indexmap::IndexMap<String, String>,
    pub(crate) running: &'a Running,
    pub(crate) learn: bool,
}

impl Request<'_> {
    /// Whether the run is one of which all is known from its snapshot; the recorded
    /// output of steps that need not run is not.
    fn is_plain(&self, session: &Session) -> bool {
        let Running { force, no_cache, dry_run, .. } = self.running;
        let seen = session.global.verbose || self.learn;
        !force && !no_cache && !dry_run && !seen && !matches!(self.goals, Goals::Release | Goals::Stage(_))
    }

    /// What tells these goals from all others; `None` if it cannot be had.
    fn digest(&self, session: &Session, project: &Project) -> Option<[u8; 32]> {
        let names: Vec<&str> = match self.goals {
            Goals::Named(names) => names.iter().map(|name| name.value.as_str()).collect(),
            Goals::Default => vec![""],
            Goals::Release | Goals::All | Goals::Stage(_) => Vec::new(),
        };
        let values: Vec<_> = self.values.iter().collect();
        // A path need not be text.
        let file = project.file.as_os_str().as_encoded_bytes();
        let asked = (names, values, &session.global.event, file, self.running.allow_dirty);
        Some(*blake3::hash(&postcard::to_stdvec(&asked).ok()?).as_bytes())
    }
}

/// Plans what is asked for, as far as it has to be planned.
pub(crate) fn prepare(session: &mut Session, request: &Request<'_>) -> Result<Prepared, Problems> {
    let project = Project::find(&session.host, session.global.file.as_deref())?;
    let names = request.digest(session, &project).map(|digest| State::goal_files(&digest));
    let state = session.state(&project).filter(|_| names.is_some() && request.is_plain(session));
    let names = names.unwrap_or_default();
    if let Some(state) = &state
        && let Some(prepared) = recall(session, &project, request, state, &names)
    {
        return Ok(prepared);
    }
    let mut loaded = session.load_project(project)?;
    if let Some(state) = &state {
        loaded.known = known(session, state);
    }
    let Loaded { origin, .. } = &loaded;
    let origin = origin.clone();
    let Running { allow_dirty, allow_regress, dry_run, .. } = *request.running;
    let options = Options { allow_dirty, looked_at: dry_run, allow_regress };
    let planned = session.plan(loaded, request.goals, request.values, options)?;
    let tools = planned.tools.clone();
    let basis = state.map(|_| Basis::Whole { origin, tools });
    Ok(Prepared { planned, settled: Settled::default(), basis, names })
}

/// What the last run of these goals left, if it still holds.
fn recall(
    session: &mut Session,
    project: &Project,
    request: &Request<'_>,
    state: &State,
    names: &GoalFiles,
) -> Option<Prepared> {
    let mut snapshot = Snapshot::read(state.read(&names.files)?, &session.build())?;
    let head = &snapshot.head;
    // Once a day the long way is taken, on which the cache learns what is in use.
    if !(0..DAY).contains(&moment().saturating_sub(head.planned)) {
        return None;
    }
    let cache = session.cache_directory(&head.release, project).ok()?;
    if Cache::identity(&cache)? != head.store || !snapshot.has_same_rules(&project.root) {
        return None;
    }
    if !head.origin.holds(project, &session.sources) {
        return None;
    }
    let commit_only = head.consulted.commit_only();
    let needs = Needs { tools: head.tools.clone(), commit_only, ..Needs::default() };
    let known = KnownFiles::new();
    let waiting = |tool: &str| session.say_waiting(tool);
    let question = Question {
        needs: &needs,
        known: &known,
        overrides: request.values,
        event: session.global.event.as_deref(),
        waiting: &waiting,
    };
    let (facts, suspects) = rayon::join(
        || crate::facts::gather(&session.host, project, &head.release, &question),
        || snapshot.suspects(&project.root),
    );
    let mut facts = facts.ok()?;
    if facts.world(&head.release, &head.consulted) != head.world {
        return None;
    }
    let steps = match (suspects.is_empty(), snapshot.head.pending) {
        (true, false) => None,
        _ => Some(Steps::read(state.read(&names.steps)?, &snapshot)?),
    };
    let changes = match &steps {
        Some(steps) if !suspects.is_empty() => {
            snapshot.changes(&project.root, &suspects, steps, clock(&project.root.join(".hoist")))
        }
        _ => Changes::default(),
    };
    if snapshot.head.closed && (!changes.is_empty() || snapshot.head.pending) {
        return None;
    }
    let settled = snapshot.settle(&changes);
    let release = snapshot.head.release.clone();
    let planned = |plan: Plan, facts: Facts| Planned {
        project: project.clone(),
        release,
        facts,
        plan,
        tools: Vec::new(),
        known: KnownFiles::new(),
        entered: None,
        unreached: Problems::new(),
        lacking: OnceCell::new(),
    };
    if changes.is_empty() && !snapshot.head.pending {
        if settled && let Some(bytes) = snapshot.to_bytes() {
            state.write(&names.files, &bytes);
        }
        let Head { up_to_date, skipped, passed, .. } = snapshot.head;
        let nothing = Plan { steps: Vec::new(), unpublished: None, gaps: Vec::new() };
        let settled = Settled { up_to_date, skipped, passed, ..Settled::default() };
        let (basis, names) = (Some(Basis::Same), names.clone());
        return Some(Prepared { planned: planned(nothing, facts), settled, basis, names });
    }
    let sources = snapshot.head.origin.read_again(project, &session.sources)?;
    let steps = steps?;
    let subset = snapshot.subset(&steps, &state.parts(&names.texts), &changes)?;
    let mut subset = with_files(project, &snapshot, subset, &mut facts)?;
    // What a sandbox lets a step read of other steps, only their plan says.
    let caged = |step: &Step| request.running.sandbox || step.action.is_sandboxed();
    let mut steps_of = subset.plan.steps.iter().zip(&subset.products);
    if steps_of.any(|(step, products)| !products.is_empty() && caged(step)) {
        return None;
    }
    session.sources = sources;
    let settled = Settled {
        up_to_date: subset.up_to_date,
        skipped: subset.skipped,
        passed: snapshot.head.passed.clone(),
        products: std::mem::take(&mut subset.products),
        outputs: std::mem::take(&mut subset.outputs),
    };
    let mut planned = planned(subset.plan.clone(), facts);
    planned.known = std::mem::take(&mut subset.known);
    let basis = Basis::Part { snapshot: Box::new(snapshot), steps, subset: Box::new(subset) };
    Some(Prepared { planned, settled, basis: Some(basis), names: names.clone() })
}

/// The steps that may have to run, with the files that they read now. Where one
/// is missing, planning as a whole tells it best.
fn with_files(
    project: &Project,
    snapshot: &Snapshot,
    mut subset: Subset,
    facts: &mut Facts,
) -> Option<Subset> {
    let mut queries = Vec::new();
    for step in &mut subset.plan.steps {
        if let Some(query) = &step.inputs {
            step.answer = Some(queries.len());
            queries.push(query.clone());
        }
    }
    let release = &snapshot.head.release;
    let (inputs, walked) = read_all(&project.root, release, facts, &queries, &subset.known).ok()?;
    for step in &mut subset.plan.steps {
        if let Some(inputs) = step.answer.and_then(|at| inputs.get(at)) {
            step.definition = step.definition.with_inputs(&inputs.files);
        }
    }
    (facts.inputs, facts.walked) = (inputs, walked);
    Some(subset)
}

/// Digests of files that were read before, by whatever goals.
fn known(session: &Session, state: &State) -> KnownFiles {
    let bytes = state.read_sealed(DIGESTS).unwrap_or_default();
    let bytes = bytes.strip_prefix(&session.build());
    bytes.and_then(|bytes| postcard::from_bytes(bytes).ok()).unwrap_or_default()
}

/// What remains of a prepared run once its plan runs.
pub(crate) struct Remembering {
    basis: Basis,
    names: GoalFiles,
    state: State,
    build: [u8; 32],
    store: [u8; 16],
}

impl Prepared {
    /// Of which nothing is remembered.
    pub(crate) fn alone(planned: Planned) -> Self {
        Self { planned, settled: Settled::default(), basis: None, names: GoalFiles::default() }
    }

    /// What it takes to remember the run, if it is to be remembered.
    pub(crate) fn remembering(&mut self, session: &Session) -> Option<Remembering> {
        let basis = self.basis.take().filter(|basis| !matches!(basis, Basis::Same))?;
        let Planned { project, release, .. } = &self.planned;
        let store = Cache::identity(&session.cache_directory(release, project).ok()?)?;
        let state = session.state(project)?;
        Some(Remembering { basis, names: self.names.clone(), state, build: session.build(), store })
    }
}

impl Remembering {
    /// Keeps what the run left for the next one of these goals.
    pub(crate) fn keep(self, request: &crate::run::Request, summary: &Summary) {
        let crate::run::Request { plan, release, facts, cache, root, sources, .. } = request;
        let clock = clock(&root.join(".hoist"));
        // What steps do not declare any more they remove by a plan of the whole.
        let forsakes = |(step, outcome): (&Step, &Outcome)| match &step.action {
            Action::Command(command) => {
                !outcome.is_success() && cache.has_forsaken(&step.id, &command.outputs)
            }
            _ => false,
        };
        if plan.steps.iter().zip(&summary.outcomes).any(forsakes) {
            return;
        }
        let stored = match self.basis {
            Basis::Whole { origin, tools } => {
                let learn = || learn(request, clock, self.build, &self.state);
                let of_target =
                    |action: &Action| matches!(action, Action::Group | Action::Skip(_) | Action::Command(_));
                let only_targets = plan.steps.iter().all(|step| of_target(&step.action));
                let consulted = if only_targets {
                    Consulted::of(release)
                } else {
                    Consulted::all_of(release, sources.iter().map(|(_, source)| source.text.as_str()))
                };
                let head = Head {
                    build: self.build,
                    planned: moment(),
                    store: self.store,
                    origin,
                    world: facts.world(release, &consulted),
                    release: without_targets(release),
                    consulted,
                    tools,
                    depth: repository_depth(root),
                    rules: Vec::new(),
                    passed: passed(release),
                    up_to_date: 0,
                    skipped: 0,
                    pending: false,
                    closed: false,
                    run: 0,
                };
                let take = || {
                    let again = looked_again(request);
                    Snapshot::take(head, plan, &summary.ran, again.as_ref().unwrap_or(facts), cache, clock)
                };
                rayon::join(learn, take).1
            }
            Basis::Part { snapshot, steps, subset } => {
                snapshot.after(steps, &subset, &summary.ran, facts, cache, clock)
            }
            Basis::Same => None,
        };
        if let Some(Stored { files, steps, texts }) = stored {
            // Whoever reads between these finds that they do not belong together.
            if let Some(texts) = texts {
                self.state.write(&self.names.texts, &texts);
            }
            rayon::join(
                || self.state.write(&self.names.steps, &steps),
                || self.state.write(&self.names.files, &files),
            );
            self.state.forget();
        }
    }
}

/// Keeps the digests of files that were read, unless they were known before.
fn learn(request: &crate::run::Request, clock: Clock, build: [u8; 32], state: &State) {
    let crate::run::Request { facts, cache, root, .. } = request;
    let mut known = cache.seen(clock);
    let read = || facts.inputs.iter().flat_map(|inputs| &inputs.files);
    if known.is_empty() && cache.known().has_all(read(), clock) {
        return;
    }
    known.learn(read(), clock);
    known.join(cache.known(), root);
    if let Ok(bytes) = postcard::to_extend(&known, build.to_vec()) {
        state.write_sealed(DIGESTS, bytes);
    }
}

/// The facts with directories as they are now, where the run made or removed something
/// in them and the steps read the same files all the same.
///
/// A first run makes directories in that of the project: without this, the second would
/// take it for another.
fn looked_again(request: &crate::run::Request) -> Option<Facts> {
    let crate::run::Request { plan, release, facts, cache, root, .. } = request;
    let mut directories = facts.walked.directories.iter();
    if directories.all(|(path, seen)| Seen::of(&root.join(path)).is_ok_and(|now| now.stat == seen.stat)) {
        return None;
    }
    let mut queries = vec![None; facts.inputs.len()];
    for step in &plan.steps {
        if let Some(place) = step.answer.and_then(|at| queries.get_mut(at)) {
            place.clone_from(&step.inputs);
        }
    }
    let queries: Vec<_> = queries.into_iter().collect::<Option<_>>()?;
    let mut known = cache.known().clone();
    let read = facts.inputs.iter().flat_map(|inputs| &inputs.files);
    known.learn(read, clock(&root.join(".hoist")));
    let (inputs, walked) = read_all(root, release, facts, &queries, &known).ok()?;
    let like = |one: &InputFile, other: &InputFile| {
        (&one.path, one.kind, one.digest) == (&other.path, other.kind, other.digest)
    };
    let same = inputs.iter().zip(&facts.inputs).all(|(now, then)| {
        now.open == then.open
            && now.directories == then.directories
            && now.files.len() == then.files.len()
            && now.files.iter().zip(&then.files).all(|(now, then)| like(now, then))
    });
    same.then(|| Facts { walked, ..Facts::clone(facts) })
}

/// Variables that are passed to any target.
fn passed(release: &Release) -> Vec<String> {
    let named = release.targets.values().flat_map(|target| &target.pass_env);
    named.map(|name| name.value.clone()).collect()
}

/// All that a release says beside its targets.
fn without_targets(release: &Release) -> Release {
    let mut rest = release.clone();
    rest.targets.clear();
    rest
}
