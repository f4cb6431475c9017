//! What the commands that enter stages share: the ledger, what is promoted, and who asks
//! and approves.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::cli::approval::given;
use crate::cli::deployed::{deployed_since, only_deployed};
use crate::cli::place::until_signalled;
use crate::cli::run::{can_ask, ci};
use crate::cli::session::{Loaded, Planned, Session, links_of};
use crate::cli::source::taken_from;
use crate::config::{Fact, Image, ProjectPath, Release, Stage};
use crate::diagnostic::{Code, Problem, Problems, nearest};
use crate::facts::{Event, EventSource, Facts, Git, Needs, Scope, commit_and_event, short};
use crate::plan::{
    Entering, Goals, Options, Plan, Promoted, RegistryPlace, RegistryPlan, entered, images_of_stage,
    no_version, registry_of, select_entering, tests_of,
};
use crate::release::{
    Candidate, Entrance, Entry, EntryImage, EntryKind, Ledger, Page, Publisher, Running, Scans, Vouching,
    before, runs_higher, tree_of_commit, vouched_at_sources,
};

/// Variables by which CI systems say who set off a run.
const ACTORS: &[&str] = &[
    "GITHUB_ACTOR",
    "GITLAB_USER_LOGIN",
    "BUILDKITE_BUILD_CREATOR",
    "CIRCLE_USERNAME",
    "BUILD_REQUESTEDFOR",
    "DRONE_COMMIT_AUTHOR",
    "CHANGE_AUTHOR",
];

/// The stages that a run enters.
pub(crate) struct Entered {
    pub(crate) ledger: Ledger,
    pub(crate) page: Page,
    pub(crate) stages: Vec<(Stage, Candidate)>,
    /// Why it would be refused, where that is only looked at.
    pub(crate) refused: Problems,
    /// Why the ledger is that which was known before, where that is only looked at.
    pub(crate) unreached: Option<Problem>,
    /// Who approved it before, where it goes on.
    pub(crate) approval: Option<String>,
    /// The runs that died: what they were about to do may be done now.
    pub(crate) over: Vec<String>,
    /// What alone changed since the commit that all of them run, where hoist did that.
    pub(crate) deployed: Option<Vec<String>>,
}

impl Entered {
    /// One stage that is entered by hand.
    pub(crate) fn by_hand(ledger: Ledger, page: Page, stage: Stage, candidate: Candidate) -> Self {
        let stages = vec![(stage, Candidate { automatic: false, ..candidate })];
        Self {
            ledger,
            page,
            stages,
            refused: Problems::new(),
            unreached: None,
            approval: None,
            over: Vec::new(),
            deployed: None,
        }
    }

    /// What enters a stage, and instead of what: `1.2.0 (89abcde) instead of 1.1.0 (0123456)`.
    pub(crate) fn words(&self, stage: &str) -> Option<String> {
        let (_, candidate) = self.stages.iter().find(|(known, _)| known.name.value == stage)?;
        let named = |version: &str, commit: &str| {
            if version == commit { version.to_owned() } else { format!("{version} ({commit})") }
        };
        let enters = named(&candidate.version, short(&candidate.commit));
        let running = self.page.state.running(stage).map(|running| &running.entry);
        let running = running.map(|entry| named(&entry.version, entry.short()));
        Some(match running.filter(|running| *running != enters) {
            Some(running) => format!("{enters} instead of {running}"),
            None => enters,
        })
    }

    /// Why there is nothing to release, if that is so.
    pub(crate) fn settled(&self) -> Option<String> {
        let paths: Vec<_> = self.deployed.as_ref()?.iter().map(|path| format!("`{path}`")).collect();
        let (_, candidate) = self.stages.first()?;
        let stages: Vec<_> = self.stages.iter().map(|(stage, _)| stage.name.value.as_str()).collect();
        Some(format!(
            "Nothing to release: commit {} is what deploying {} wrote into {}, and no other change.\n`--force` \
             releases it all the same.\n",
            short(&candidate.commit),
            stages.join(", "),
            paths.join(", ")
        ))
    }

    /// Why what is only looked at would be refused.
    pub(crate) fn refusals(&self, session: &Session, planned: &Planned, allow_regress: bool) -> Problems {
        let mut problems: Problems = self.unreached.iter().cloned().collect();
        problems.extend(self.refused.clone());
        problems.extend(self.entrance(session, planned, allow_regress).err().unwrap_or_default());
        problems
    }

    /// As [`refusals`](Self::refusals), of what is not planned: whether somebody vouches for
    /// images is not asked.
    pub(crate) fn refusals_ahead(&self, session: &Session, root: &Path) -> Problems {
        let mut problems = self.refused.clone();
        problems.extend(self.unsealed(session, root, false).err().unwrap_or_default());
        problems
    }

    /// Says of what is only looked at what the stages would run, and why it would be refused.
    pub(crate) fn tell(&self, session: &Session, refusals: &Problems) {
        if session.global.json {
            return;
        }
        for (stage, _) in &self.stages {
            let name = &stage.name.value;
            session.say(&format!("{name} would run {}\n", self.words(name).unwrap_or_default()));
        }
        for problem in refusals.as_slice() {
            session.say(&format!("It would be refused: {}\n", problem.title));
            for note in &problem.notes {
                session.say(&format!("  {note}\n"));
            }
        }
    }

    /// Refuses what does not meet the conditions of a stage, approvals aside.
    pub(crate) fn entrance(
        &self,
        session: &Session,
        planned: &Planned,
        allow_regress: bool,
    ) -> Result<Entrance, Problems> {
        let entrance = self.unsealed(session, &planned.project.root, allow_regress)?;
        if !entrance.asks_for_seals() {
            return Ok(entrance);
        }
        let publisher = Publisher::new(planned.project.root.clone(), planned.facts.environment.clone());
        let look = vouched_at_sources(&planned.plan, &entrance, &publisher);
        let sources = until_signalled(look, "signatures were not looked for").map_err(before)?;
        let entrance = entrance.vouched(sources);
        entrance.check_before_approval(&self.page.state, can_ask(session))?;
        Ok(entrance)
    }

    /// As [`entrance`](Self::entrance), before it is known what vouches for images.
    fn unsealed(&self, session: &Session, root: &Path, allow_regress: bool) -> Result<Entrance, Problems> {
        let (ledger, stages) = (self.ledger.clone(), self.stages.clone());
        let entrance = Entrance::new(ledger, root.to_owned(), who(session), allow_regress, stages);
        let approval = self.approval.clone().or_else(|| given(session));
        let entrance = entrance.approved(approval.ok_or(None));
        for run in &self.over {
            entrance.take_over(run);
        }
        entrance.check_before_approval(&self.page.state, can_ask(session))?;
        Ok(entrance)
    }
}

/// Who runs hoist, as the CI system says, else by the name of the user.
pub(crate) fn who(session: &Session) -> String {
    let environment = &session.host.environment;
    let actor = ACTORS.iter().filter(|_| ci(session)).find_map(|name| environment.text(name));
    actor.filter(|actor| !actor.is_empty()).unwrap_or(&session.host.user).to_owned()
}

/// What the ledger says; where it cannot be fetched, what was known of it here, and why.
///
/// # Errors
/// It cannot be read.
pub(crate) fn known_of(ledger: &Ledger) -> Result<(Page, Option<Problem>), Problem> {
    let problem = match ledger.fetch() {
        Err(problem) if problem.code == Code::Unreachable => problem,
        fetched => return Ok((fetched?, None)),
    };
    let page = ledger.read()?;
    let newest = page.head.as_ref().map(|head| ledger.entry(head)).transpose()?;
    let problem = match newest {
        Some(entry) => {
            let at = Timestamp::from_second(entry.at.as_second()).unwrap_or(entry.at);
            problem.note(format!("what is shown was known here before: its newest entry is of {at}"))
        }
        None => problem.note("nothing was known of it here before"),
    };
    Ok((page, Some(problem)))
}

/// Says, behind what was shown, why it may be out of date.
pub(crate) fn told(session: &Session, unreachable: Option<Problem>) -> ExitCode {
    unreachable.map_or(ExitCode::SUCCESS, |problem| session.report(&problem.into()))
}

impl Session {
    /// The stages that the event enters, if it does, and the images that are taken from
    /// others. None where there are no stages for the event.
    ///
    /// A stage that runs a higher version than the one that is released stays as it is, as a
    /// tag does: an older line that gets a patch is published, and takes the place of nothing.
    pub(crate) fn stages_of_event(
        &self,
        loaded: &Loaded,
        overrides: &IndexMap<String, String>,
        options: Options,
    ) -> Result<Option<(Entering, Option<Entered>)>, Problems> {
        let release = &loaded.release;
        if release.stages.is_empty() {
            return Ok(None);
        }
        let facts = self.gather(loaded, &Needs::default(), overrides)?;
        let dirty = facts.git.as_ref().is_some_and(|git| git.dirty);
        let stages: Vec<&Stage> = entered(release, &facts.event).collect();
        if stages.is_empty() || (dirty && !options.allow_dirty) {
            return Ok(None);
        }
        let root = &loaded.project.root;
        let ledger = Ledger::open(root, &self.host.environment)?;
        let (page, unreached) = match ledger.fetch() {
            // What was known before is enough to look ahead.
            Err(problem) if options.looked_at => {
                self.say(&format!("{}: what is told here was known before\n", problem.title));
                (ledger.read()?, Some(problem))
            }
            fetched => (fetched?, None),
        };
        let Some(git) = &facts.git else {
            let problem = Problem::new(Code::NoGit, "a stage is entered with a commit, and there is none");
            return Err(problem.help("`git commit` makes one").into());
        };
        let deployed = only_deployed(self, loaded, &facts, (&ledger, &page.state), &stages);
        let tree = tree_of_commit(root, &git.sha)?;
        let (mut entering, mut problems, mut candidates) = (Entering::default(), Problems::new(), Vec::new());
        for stage in &stages {
            problems.extend(no_version(release, &facts, stage));
            // Deploying there made another commit, and nothing else of it.
            let since =
                |commit: &str| deployed_since(self, loaded, &facts, (&ledger, &page.state), commit).is_some();
            let from = match taken_from(&page.state, stage, &stages, (&git.sha, &tree), since) {
                Ok(from) => from,
                Err(problem) => {
                    problems.push(problem);
                    // What would be taken is not known; that it is not built is.
                    let unknown = images_of_stage(release, stage).map(|(_, image)| {
                        let unknown = Promoted {
                            stays: BTreeMap::new(),
                            image: None,
                            sources: Vec::new(),
                            tests: Vec::new(),
                            tags: None,
                        };
                        (image.name.value.clone(), unknown)
                    });
                    entering.promoted.extend(unknown);
                    continue;
                }
            };
            if let Some((name, running)) = &from {
                let promoted = promoted((release, &facts), stage, (name, &running.entry));
                entering.promoted.extend(problems.take(promoted).unwrap_or_default());
            }
            let candidate = candidate(release, &facts, stage, (git, &tree), from);
            let is_version = matches!(facts.event, Event::Tag(_)) && !options.allow_regress;
            let name = &stage.name.value;
            let higher = || runs_higher(&page.state, name, &candidate.version);
            if let Some(why) = is_version.then(higher).flatten() {
                if !self.global.json {
                    self.say(&format!(
                        "{name} stays as it is: {why}; `hoist release --allow-regress` enters it\n"
                    ));
                }
                entering.passed_over.insert(name.clone());
                continue;
            }
            candidates.push(((*stage).clone(), candidate));
        }
        if !options.looked_at {
            std::mem::take(&mut problems).or(())?;
        }
        let (stages, refused) = (candidates, problems);
        let over = Vec::new();
        let entered = !stages.is_empty() || !refused.is_empty();
        let entered = entered.then(|| Entered {
            ledger,
            page,
            stages,
            refused,
            unreached,
            approval: None,
            over,
            deployed,
        });
        Ok(Some((entering, entered)))
    }

    /// Plans that images which are there enter a stage by hand, by the facts of the commit
    /// that they were made from.
    pub(crate) fn plan_stage(
        &self,
        loaded: Loaded,
        facts: &Facts,
        stage: &str,
        promoted: BTreeMap<String, Promoted>,
    ) -> Result<Planned, Problems> {
        let (facts, plan) = self.plan_of_stage(&loaded, facts, stage, promoted)?;
        let Loaded { project, release, known, .. } = loaded;
        let (tools, entered, lacking) = (Vec::new(), None, OnceCell::new());
        let unreached = Problems::new();
        Ok(Planned { project, release, facts, plan, tools, known, entered, unreached, lacking })
    }

    /// As [`plan_stage`](Self::plan_stage), to be looked at.
    pub(crate) fn plan_of_stage(
        &self,
        loaded: &Loaded,
        facts: &Facts,
        stage: &str,
        promoted: BTreeMap<String, Promoted>,
    ) -> Result<(Facts, Plan), Problems> {
        let entering = Entering { by_hand: Some(stage.to_owned()), promoted, ..Entering::default() };
        let goals = Goals::Stage(stage.to_owned());
        let selection = select_entering(&loaded.release, &goals, &links_of(loaded), entering)?;
        let mut found = self.gather(loaded, &selection.needs, &facts.overrides)?;
        found.git.clone_from(&facts.git);
        found.event = facts.event.clone();
        found.event_source = facts.event_source.clone();
        let plan = crate::plan::build(&loaded.release, &found, &selection, &Options::default())?;
        Ok((found, plan))
    }
}

/// Facts of the commit of an entry, which need not be checked out. What it is done for is
/// what the command line says, or the version that the commit was tagged with since, else
/// what it was for before; where that was `settled`, it always is.
///
/// # Errors
/// It is not here.
pub(crate) fn facts_of(
    session: &Session,
    loaded: &Loaded,
    entry: &Entry,
    settled: bool,
) -> Result<Facts, Problems> {
    let mut facts = session.gather(loaded, &Needs::default(), &IndexMap::new())?;
    let root = &loaded.project.root;
    let (commit, before) = (entry.commit.as_str(), entry.event.as_str());
    let found = commit_and_event(root, &session.host.environment, &loaded.release, (commit, before))?;
    let Some((git, event)) = found else {
        let title = format!("commit {} is not here, from which the images were made", entry.short());
        let problem = Problem::new(Code::NoGit, title);
        return Err(problem.help("`git fetch --unshallow`, or `git fetch --all`, brings it").into());
    };
    if settled {
        (facts.event, facts.event_source) = (Event::given(before)?, EventSource::Head);
    } else if session.global.event.is_none() {
        (facts.event, facts.event_source) = (event, EventSource::Head);
    }
    facts.git = Some(Git { dirty: entry.dirty, ..git });
    Ok(facts)
}

/// A stage of the file, by its name.
///
/// # Errors
/// There is none.
pub(crate) fn stage_of<'a>(release: &'a Release, name: &str) -> Result<&'a Stage, Problem> {
    release.stages.get(name).ok_or_else(|| {
        let problem = Problem::new(Code::UnknownTarget, format!("there is no stage `{name}`"));
        let names: Vec<_> = release.stages.keys().map(|known| format!("`{known}`")).collect();
        let help = match nearest(name, release.stages.keys().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if names.is_empty() => "`stage \"production\" { … }` declares one".to_owned(),
            None => format!("there are {}", names.join(", ")),
        };
        problem.help(help)
    })
}

/// What is to enter a stage, by the facts.
pub(crate) fn candidate(
    release: &Release,
    facts: &Facts,
    stage: &Stage,
    (git, tree): (&Git, &str),
    from: Option<(String, Running)>,
) -> Candidate {
    let version = Scope::new(release, facts).known(Fact::Version).unwrap_or_else(|| git.describe.clone());
    let images = images_of_stage(release, stage).map(|(_, image)| {
        let name = &image.name.value;
        let passed = from.as_ref().and_then(|(_, running)| image_in(&running.entry, name));
        let tests = match (&from, passed) {
            (None, _) => tests_of(image),
            (Some(_), passed) => passed.map(|image| image.tests.clone()).unwrap_or_default(),
        };
        (name.clone(), tests)
    });
    let images = images.collect();
    let scans = images_of_stage(release, stage).map(|(_, image)| {
        let name = image.name.value.clone();
        let declared = image.scans.iter().map(|scan| (scan.scanner.value.clone(), scan.fail_on));
        let scans = match &from {
            Some((_, running)) => passed(&running.entry, &name),
            None => Scans::Declared(declared.collect()),
        };
        (name, scans)
    });
    let scans = scans.collect();
    Candidate {
        kind: if from.is_some() { EntryKind::Promote } else { EntryKind::Release },
        automatic: true,
        event: facts.event.spelled().unwrap_or_default(),
        commit: git.sha.clone(),
        tree: tree.to_owned(),
        version,
        dirty: git.dirty,
        untracked: from.as_ref().is_some_and(|(_, running)| running.entry.untracked),
        images,
        scans,
        vouching: images_of_stage(release, stage).map(|(_, image)| vouching(image)).collect(),
        source: from.as_ref().and_then(|(_, running)| running.id.clone()),
        leaves: None,
        from,
        reason: None,
    }
}

/// What an entry had enter its stage, to enter it again.
pub(crate) fn again(entry: &Entry, candidate: Candidate) -> Candidate {
    Candidate {
        event: entry.event.clone(),
        version: entry.version.clone(),
        dirty: entry.dirty,
        untracked: entry.untracked,
        ..candidate
    }
}

/// The scans that an image passed before it was part of an entry.
fn passed(entry: &Entry, image: &str) -> Scans {
    Scans::Passed(image_in(entry, image).map(|image| image.scans.clone()).unwrap_or_default())
}

/// The scans that the images of an entry passed.
pub(crate) fn scans_of(entry: &Entry) -> Vec<(String, Scans)> {
    entry.images.iter().map(|image| (image.name.clone(), passed(entry, &image.name))).collect()
}

fn vouching(image: &Image) -> Vouching {
    Vouching {
        image: image.name.value.clone(),
        keys: image.signs.clone(),
        provenance: image.provenance.as_ref().is_some_and(|wanted| wanted.value),
    }
}

fn image_in<'a>(entry: &'a Entry, name: &str) -> Option<&'a EntryImage> {
    entry.images.iter().find(|image| image.name == name)
}

/// The images of a stage as an entry has them, which another stage ran.
///
/// # Errors
/// It does not have all of them.
pub(crate) fn promoted(
    (release, facts): (&Release, &Facts),
    stage: &Stage,
    (from, entry): (&str, &Entry),
) -> Result<BTreeMap<String, Promoted>, Problems> {
    let (mut promoted, mut problems) = (BTreeMap::new(), Problems::new());
    for (_, image) in images_of_stage(release, stage) {
        let name = &image.name.value;
        let Some(found) = image_in(entry, name) else {
            let title = format!("`{name}` does not run in `{from}`, and is not built again");
            let problem =
                Problem::new(Code::NotPromotable, title).label(stage.name.span, "it belongs to this stage");
            problems.push(problem.help(format!(
                "release `{name}` to `{from}` first; or `git checkout {}`, whose release.kdl may not have it",
                entry.short()
            )));
            continue;
        };
        let sources = found.places.iter();
        let sources = sources.filter_map(|place| registry(release, facts, &place.repository)).collect();
        let stays = found.places.iter().filter_map(|place| {
            let immutable = place.tags.iter().filter(|tag| tag.immutable);
            // Of several, the one that names the version.
            let tag = immutable.min_by_key(|tag| !tag.tag.contains(&entry.version))?;
            Some((place.repository.clone(), tag.tag.clone()))
        });
        let stays = stays.collect();
        let tests = found.tests.clone();
        let one = Promoted { image: Some(found.descriptor()), sources, tests, tags: None, stays };
        promoted.insert(name.clone(), one);
    }
    problems.or(promoted)
}

/// How a repository of the ledger is reached.
pub(crate) fn registry(release: &Release, facts: &Facts, repository: &str) -> Option<RegistryPlan> {
    if let Some(directory) = repository.strip_prefix("oci:") {
        let path = ProjectPath::root().join(directory).ok()?;
        return Some(RegistryPlan::with_defaults(repository, RegistryPlace::Layout(path)));
    }
    Some(registry_of(release, facts, &repository.parse().ok()?))
}
