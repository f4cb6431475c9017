//! The part of a plan that may have to run.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::cache::snapshot::step::{Loaded, Standing, Texts, Turn};
use crate::cache::snapshot::{Changes, Snapshot, Steps};
use crate::cache::{Blake3, Product};
use crate::config::Pattern;
use crate::facts::{InputKind, KnownFiles};
use crate::plan::{Action, Need, NeedKind, Plan, StepId, StepIndex};

/// Steps that may have to run, as a plan of its own.
#[derive(Debug)]
pub struct Subset {
    /// The steps, in the order of the whole plan.
    pub plan: Plan,
    /// For each, the products that it needs of steps that are not part of it.
    pub products: Vec<Vec<(StepId, Product)>>,
    /// For each, the outputs among these, and among what groups stand for.
    pub outputs: Vec<Vec<SettledOutputs>>,
    /// Files that need not be read again.
    pub known: KnownFiles,
    /// Steps that need not be looked at.
    pub up_to_date: usize,
    /// Steps that do not apply, and are not part of it.
    pub skipped: usize,
    /// The place of each step in the whole plan.
    pub(super) places: Vec<u32>,
    pub(super) changed: HashSet<u32>,
}

/// What a step made that need not be looked at, and that another reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledOutputs {
    /// The step that made it.
    pub step: StepId,
    /// The digest of it.
    pub digest: Blake3,
    /// The patterns that the step declares.
    pub patterns: Vec<Pattern>,
}

impl Snapshot {
    /// The steps that changed files concern, those that are looked at each time,
    /// and all that come behind them; `None` if they cannot be planned on their own, or
    /// their texts are gone.
    #[must_use]
    pub fn subset(&self, steps: &Steps, texts: &Texts<'_>, changes: &Changes) -> Option<Subset> {
        let files: HashSet<u32> = changes.changed().collect();
        let bases = self.bases(&files);
        let mut wanted: HashSet<u32> = HashSet::new();
        for (at, row) in steps.rows() {
            let behind = row.needs().any(|(need, _)| wanted.contains(&need));
            let concerned = || row.files().any(|file| files.contains(&file));
            let listed = || row.directories().any(|directory| bases.contains(&directory));
            if behind || row.standing.is_pending() || concerned() || listed() {
                wanted.insert(at);
            }
        }
        // That a step runs whatever happens, what it comes after says.
        for (at, row) in steps.rows().rev() {
            if wanted.contains(&at) {
                wanted.extend(row.needs().filter(|(_, kind)| *kind == NeedKind::End).map(|(need, _)| need));
            }
        }
        let mut places: Vec<u32> = wanted.into_iter().collect();
        places.sort_unstable();
        let taken: HashMap<u32, StepIndex> = places.iter().copied().zip((0..).map(StepIndex)).collect();
        let rest = || steps.rows().filter(|(at, _)| !taken.contains_key(at)).map(|(_, row)| row.standing);
        let mut subset = Subset {
            plan: Plan { steps: Vec::new(), unpublished: None, gaps: Vec::new() },
            products: Vec::new(),
            outputs: Vec::new(),
            known: KnownFiles::new(),
            up_to_date: rest().filter(Standing::is_done).count(),
            skipped: rest().filter(|standing| standing.turn == Turn::Skipped).count(),
            places,
            changed: files,
        };
        let mut learned = HashSet::new();
        let mut library = Library { steps, texts, loaded: HashMap::new() };
        for place in subset.places.clone() {
            let row = steps.row(place)?;
            let mut step = row.text.load(texts)?.step()?;
            let mut products = Vec::new();
            let mut behind = Vec::new();
            for (need, kind) in row.needs() {
                match taken.get(&need).copied() {
                    Some(index) => step.needs.push(Need { step: index, kind }),
                    None if kind == NeedKind::Product => {
                        let product = steps.row(need)?.standing.product?;
                        products.push((library.text(need)?.name()?, product));
                        behind.push(need);
                    }
                    None => {}
                }
            }
            subset.plan.steps.push(step);
            subset.products.push(products);
            let settled = library.settled(behind)?;
            for (need, _) in settled.iter().filter(|(need, _)| learned.insert(*need)) {
                steps.row(*need)?.outputs().for_each(|file| self.learn(steps, file, &mut subset.known));
            }
            subset.outputs.push(settled.into_iter().map(|(_, outputs)| outputs).collect());
            row.files().for_each(|file| self.learn(steps, file, &mut subset.known));
        }
        Some(subset)
    }

    /// The directories of the table in which a directory that changed lies, by
    /// their places.
    fn bases(&self, changed: &HashSet<u32>) -> HashSet<u32> {
        let listed = changed.iter().filter_map(|at| {
            let row = self.files.row(*at)?;
            (row.seen.stat.kind() == Some(InputKind::Directory)).then(|| self.files.path(&row))
        });
        let above: BTreeSet<PathBuf> =
            listed.flat_map(|path| path.ancestors().map(Path::to_owned).collect::<Vec<_>>()).collect();
        let directories = (0..).zip(self.files.directories());
        directories.filter(|(_, path)| above.contains(*path)).map(|(at, _)| at).collect()
    }

    fn learn(&self, steps: &Steps, file: u32, known: &mut KnownFiles) {
        let Some(row) = self.files.row(file).filter(|row| row.settled) else { return };
        if let Some(Blake3(digest)) = steps.digests.get(file) {
            known.insert(self.files.path(&row).as_os_str().as_bytes().to_vec(), row.seen.stat, digest);
        }
    }
}

/// The texts of steps that need not be looked at, each read once.
struct Library<'a> {
    steps: &'a Steps,
    texts: &'a Texts<'a>,
    loaded: HashMap<u32, Loaded>,
}

impl Library<'_> {
    fn text(&mut self, at: u32) -> Option<&Loaded> {
        Some(match self.loaded.entry(at) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(self.steps.row(at)?.text.load(self.texts)?),
        })
    }

    /// What these steps made, and those that groups among them stand for, by their places.
    fn settled(&mut self, mut waiting: Vec<u32>) -> Option<Vec<(u32, SettledOutputs)>> {
        let (mut settled, mut seen) = (Vec::new(), HashSet::new());
        while let Some(at) = waiting.pop() {
            if !seen.insert(at) {
                continue;
            }
            let row = self.steps.row(at)?;
            if row.standing.turn == Turn::Group {
                let products = row.needs().filter(|(_, kind)| *kind == NeedKind::Product);
                waiting.extend(products.map(|(need, _)| need));
            } else if let Some(Product::Outputs(digest)) = row.standing.product {
                let step = self.text(at)?.step()?;
                let Action::Command(command) = step.action else { return None };
                settled.push((at, SettledOutputs { step: step.id, digest, patterns: command.outputs }));
            }
        }
        Some(settled)
    }
}
