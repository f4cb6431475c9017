//! A snapshot of what a run left.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::cache::image::parts;
use crate::cache::selection::output_directories;
use crate::cache::snapshot::files::{Digests, Files};
use crate::cache::snapshot::step::{NewStep, Standing, Text, Turn};
use crate::cache::snapshot::{Head, Snapshot, Steps, Subset};
use crate::cache::{Blake3, Cache, Outputs, Product};
use crate::config::Pattern;
use crate::facts::{Clock, Facts, InputFile, InputKind, Seen, Stat, any_number};
use crate::plan::{Action, BaseSource, Effect, NeedKind, Plan, Step};

/// What is known of a step after a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ran {
    /// What it adds to the keys of others; `None` if it did not succeed, or not so
    /// that a later run may rely on it.
    pub product: Option<Product>,
    /// What it made, or has.
    pub outputs: Outputs,
}

/// A snapshot to store.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What it says of the run as a whole, and the table of files.
    pub files: Vec<u8>,
    /// The table of steps.
    pub steps: Vec<u8>,
    /// The texts of the steps, where they are not what they were.
    pub texts: Option<Vec<u8>>,
}

/// What there is to take a snapshot of.
struct Scene<'a> {
    facts: &'a Facts,
    cache: &'a Cache,
    clock: Clock,
    table: Table,
}

/// The table of files, and what is where in it.
#[derive(Default)]
struct Table {
    files: Files,
    digests: Digests,
    /// By paths as bytes: to hash a path by its parts takes longer than all else here.
    places: HashMap<OsString, u32>,
    directories: HashMap<OsString, u32>,
    /// Directories below which all that were looked into are there.
    listed: HashSet<PathBuf>,
    /// Rows that were there before and say what is no longer so. All steps that
    /// they concern are looked at again, so that they may say something else.
    free: HashSet<u32>,
}

impl Snapshot {
    /// A snapshot of a whole plan that ran, to store. `None` where the plan has steps
    /// that snapshots do not hold.
    #[must_use]
    pub fn take(
        head: Head,
        plan: &Plan,
        ran: &[Ran],
        facts: &Facts,
        cache: &Cache,
        clock: Clock,
    ) -> Option<Stored> {
        if !plan.gaps.is_empty() {
            return None;
        }
        let secrets = secrets(&head.passed, facts);
        let mut bytes = Vec::new();
        let texts = plan.steps.iter().map(|step| Text::add(&mut bytes, step, &secrets));
        let texts: Option<Vec<Text>> = texts.collect();
        let closed = texts.is_none();
        if closed && (plan.unpublished.is_some() || plan.steps.iter().any(asks_others)) {
            return None;
        }
        let texts = texts.unwrap_or_else(|| {
            bytes.clear();
            vec![Text::default(); plan.steps.len()]
        });
        let mut scene = Scene { facts, cache, clock, table: Table::default() };
        let (mut steps, mut standings) = (Steps::default(), Vec::new());
        for ((step, text), ran) in plan.steps.iter().zip(texts).zip(ran) {
            let needs = step.needs.iter().map(|need| (need.step.0, need.kind)).collect();
            let step = scene.step(step, text, ran, needs);
            standings.push(step.standing);
            steps.push(&step);
        }
        if closed && (standings.iter().any(Standing::is_pending) || !scene.images(ran)) {
            return None;
        }
        let head = Head { rules: rules(facts, clock).collect(), closed, ..head };
        if closed {
            steps = Steps::default();
        }
        finish(head, scene.table, steps, &standings, Some(bytes))
    }

    /// The snapshot after a subset of its steps ran, to store.
    #[must_use]
    pub fn after(
        self,
        mut steps: Steps,
        subset: &Subset,
        ran: &[Ran],
        facts: &Facts,
        cache: &Cache,
        clock: Clock,
    ) -> Option<Stored> {
        let mut places = HashMap::new();
        for place in &subset.places {
            for file in steps.row(*place)?.files() {
                places.insert(self.files.path(&self.files.row(file)?).into_os_string(), file);
            }
        }
        places.extend(self.files.places_of_directories().map(|(path, at)| (path.into_os_string(), at)));
        let directories = self.files.directories().iter().map(|path| path.clone().into_os_string());
        let directories = directories.zip(0..).collect();
        let Self { mut head, files } = self;
        let (listed, free) = (HashSet::new(), subset.changed.clone());
        let digests = std::mem::take(&mut steps.digests);
        let table = Table { files, digests, places, directories, listed, free };
        let mut scene = Scene { facts, cache, clock, table };
        for ((place, step), ran) in subset.places.iter().zip(&subset.plan.steps).zip(ran) {
            let row = steps.row(*place)?;
            // Its text is without what can be different now.
            let step = scene.step(step, row.text, ran, row.needs().collect());
            steps.replace(*place, &step);
        }
        // Nobody reads or makes what is neither as it was nor seen anew.
        for at in std::mem::take(&mut scene.table.free) {
            scene.table.files.forget(at);
        }
        // Those that it has stay as they are: by them all other steps were planned. Where one
        // was changed meanwhile, the next run finds that, and plans all of them.
        let had: HashSet<Vec<u8>> = head.rules.iter().map(|(path, _)| path.clone()).collect();
        head.rules.extend(rules(facts, clock).filter(|(path, _)| !had.contains(path)));
        let standings: Vec<Standing> = steps.rows().map(|(_, row)| row.standing).collect();
        finish(head, scene.table, steps, &standings, None)
    }
}

/// Counts, and gives table and steps what ties them together.
fn finish(
    mut head: Head,
    Table { files, digests, .. }: Table,
    mut steps: Steps,
    standings: &[Standing],
    texts: Option<Vec<u8>>,
) -> Option<Stored> {
    head.run = any_number();
    head.up_to_date = standings.iter().filter(|standing| standing.is_done()).count();
    head.skipped = standings.iter().filter(|standing| standing.turn == Turn::Skipped).count();
    head.pending = standings.iter().any(Standing::is_pending);
    steps.digests = digests;
    let (build, run) = (head.build, head.run);
    let (steps, files) = rayon::join(|| steps.to_bytes(&build, run), || Snapshot { head, files }.to_bytes());
    Some(Stored { files: files?, steps, texts })
}

/// Whether a step depends on what is neither in the release nor in the project: the
/// image that a tag of a registry stands for, or what lies in another layout.
fn asks_others(step: &Step) -> bool {
    match &step.action {
        Action::Assemble(assemble) => match &assemble.base {
            BaseSource::Registry(base) => base.reference.digest.is_none(),
            BaseSource::Layout(..) => true,
            BaseSource::Scratch | BaseSource::Step(_) => false,
        },
        Action::Dockerfile(build) => build.bases.iter().any(|base| base.reference.digest.is_none()),
        _ => false,
    }
}

/// What must not be stored: values of `dotenv` files, and what is passed to targets.
fn secrets<'f>(passed: &[String], facts: &'f Facts) -> Vec<&'f str> {
    let values = passed.iter().chain(&facts.dotenv).filter_map(|name| facts.environment.text(name));
    values.filter(|value| !value.is_empty()).collect()
}

/// The files that say what is ignored. One that may change without showing it is
/// put down as what it is not.
fn rules(facts: &Facts, clock: Clock) -> impl Iterator<Item = (Vec<u8>, Option<Stat>)> {
    let said = move |seen: Seen| if seen.is_settled(clock) { seen.stat } else { Stat::default() };
    facts.walked.rules.iter().map(move |(path, seen)| (bytes(path).to_vec(), seen.map(said)))
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

impl Scene<'_> {
    fn step(&mut self, step: &Step, text: Text, ran: &Ran, needs: Vec<(u32, NeedKind)>) -> NewStep {
        let (inputs, directories, outputs) = (Vec::new(), Vec::new(), Vec::new());
        let standing = Standing::of(step, ran.product);
        let mut row = NewStep { standing, text, needs, inputs, directories, outputs };
        if step.effect != Effect::Cacheable || ran.product.is_none() {
            return row;
        }
        if let Some(inputs) = step.answer.and_then(|at| self.facts.inputs.get(at)) {
            row.inputs = inputs.files.iter().map(|file| self.input(file)).collect();
            for base in &inputs.directories {
                let place = self.table.directory(base.as_path());
                row.directories.push(place);
                self.listings(base.as_path());
            }
            if inputs.open {
                row.standing.product = None;
            }
        }
        if let Action::Command(command) = &step.action
            && !self.outputs(&mut row, &ran.outputs, &command.outputs)
        {
            row.standing.product = None;
        }
        row
    }

    /// Adds what the images consist of that steps made; whether all of it is there.
    fn images(&mut self, ran: &[Ran]) -> bool {
        let images = self.cache.images();
        let made = ran.iter().filter_map(|ran| match ran.product {
            Some(Product::Image(digest)) => Some(digest),
            _ => None,
        });
        let mut blobs = BTreeSet::new();
        if !made.into_iter().all(|digest| parts(images, digest, &mut blobs)) {
            return false;
        }
        // Links on the way are not followed when the table is looked at.
        let Ok(root) = images.path().canonicalize() else { return false };
        blobs.iter().all(|digest| {
            let blob = images.blob_path(digest);
            let path = blob.strip_prefix(images.path()).map_or(blob.clone(), |below| root.join(below));
            let Ok(seen) = Seen::of(&path) else { return false };
            self.table.file(&path, seen, seen.is_settled(self.clock), None);
            true
        })
    }

    fn input(&mut self, file: &InputFile) -> u32 {
        let is_file = matches!(file.kind, InputKind::File | InputKind::Executable);
        let digest = is_file.then_some(Blake3(file.digest));
        self.table.file(file.path.as_path(), file.seen, file.seen.is_settled(self.clock), digest)
    }

    /// The directories below one in which files were looked for.
    fn listings(&mut self, base: &Path) {
        if !self.table.listed.insert(base.to_owned()) {
            return;
        }
        let facts = self.facts;
        for (path, seen) in facts.walked.directories.iter().filter(|(path, _)| path.starts_with(base)) {
            self.table.file(path, *seen, seen.is_settled(self.clock), None);
        }
    }

    /// Adds what a step made; whether all of it was seen.
    fn outputs(&mut self, row: &mut NewStep, outputs: &Outputs, patterns: &[Pattern]) -> bool {
        let made = outputs.iter().map(|output| output.path.clone());
        let Ok(own) = output_directories(patterns) else { return false };
        for path in made.chain(own) {
            let Some(look) = self.cache.look(&path) else { return false };
            // It was changed since it was made.
            if outputs.get(&path).is_some_and(|kind| look.digest != kind.digest()) {
                return false;
            }
            let settled = look.seen.is_settled(self.clock);
            row.outputs.push(self.table.file(path.as_path(), look.seen, settled, look.digest));
        }
        true
    }
}

impl Table {
    /// The place of a file as it was seen.
    fn file(&mut self, path: &Path, seen: Seen, settled: bool, digest: Option<Blake3>) -> u32 {
        if let Some(at) = self.places.get(path.as_os_str()).copied()
            && let Some(row) = self.files.row(at)
        {
            let same = self.digests.get(at) == digest && (digest.is_some() || row.seen.stat == seen.stat);
            let free = self.free.remove(&at);
            if same || free {
                self.files.replace(at, &row.renewed(seen, settled));
                self.digests.put(at, digest);
                return at;
            }
        }
        let directory = self.directory(path.parent().unwrap_or(Path::new("")));
        // The project's own directory has no name in itself.
        let name = path.file_name().unwrap_or(OsStr::from_bytes(b"."));
        let at = self.files.push(directory, name, seen, settled);
        self.digests.put(at, digest);
        self.places.insert(path.as_os_str().to_owned(), at);
        at
    }

    fn directory(&mut self, path: &Path) -> u32 {
        if let Some(at) = self.directories.get(path.as_os_str()) {
            return *at;
        }
        let at = self.files.push_directory(path.to_owned());
        self.directories.insert(path.as_os_str().to_owned(), at);
        at
    }
}
