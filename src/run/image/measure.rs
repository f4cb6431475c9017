//! Measures images, for what is told at the ends of steps. Nothing depends on it: what
//! cannot be measured is left out.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::Weight;
use crate::inspect::{ImageReport, View, image};
use crate::oci::Descriptor;
use crate::plan::{Action, Step, TagStep};
use crate::run::image::{Images, Known};
use crate::run::task::{Done, Ended};
use crate::run::{ImageBefore, ImageFigures, Reused, TagMove, Unit};
use crate::store::Repository;

/// Where in the store of built images it is remembered what was released last.
const MEMORY: &str = "released";
/// Most bytes of what is remembered of an image.
const MAX_KNOWN: u64 = 1 << 20;
/// Most characters that are told of what made a layer.
const LONGEST: usize = 200;
/// How long a registry may take to show what was released before.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was released of an image last, by platform.
#[derive(Default, Serialize, Deserialize)]
struct Released(BTreeMap<String, ImageBefore>);

impl Images {
    /// What is measured of the images that a step made, found, or weighed; of those that
    /// it released, what they took the place of, where that was not known before.
    pub(in crate::run) async fn measure(&self, step: &Step, known: &Known, done: &Done) -> Vec<ImageFigures> {
        if !matches!(done.ended, Ended::Ran | Ended::Cached(_) | Ended::Failed(_)) {
            return Vec::new();
        }
        let name = &step.id.owner;
        match &step.action {
            Action::Assemble(_) | Action::Dockerfile(_) => {
                let Some(image) = &done.image else { return Vec::new() };
                let mut made = self.figures(name, image).await;
                let released = self.released(name);
                for one in &mut made {
                    let layers = one.layers.len();
                    let all = Reused { unit: Unit::Layer, all: layers, reused: layers };
                    one.reused = matches!(done.ended, Ended::Ran).then(|| done.reused.unwrap_or(all));
                    one.before = released.0.get(&one.platform).cloned();
                }
                made
            }
            Action::Budget(budget) => match known.get(&budget.image) {
                Some(image) => {
                    let weighed = self.figures(name, image).await;
                    weighed.into_iter().map(|one| one.within(&budget.budget)).collect()
                }
                None => Vec::new(),
            },
            Action::Tag(tag) if !matches!(done.ended, Ended::Failed(_)) => match known.get(&tag.image) {
                Some(image) => self.release(name, tag, image, &done.tags).await,
                None => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    async fn figures(&self, name: &str, descriptor: &Descriptor) -> Vec<ImageFigures> {
        let built = Repository::Layout(self.built.clone());
        let Ok(report) = image(&built, descriptor, &View::default()).await else { return Vec::new() };
        self.figures_of(name, &report)
    }

    fn figures_of(&self, name: &str, report: &ImageReport) -> Vec<ImageFigures> {
        let figures = report.platforms.iter().map(|platform| {
            let weight = Weight::recall(&platform.manifest.digest, &self.built);
            let mut figures = ImageFigures::new(name, platform, weight.as_ref());
            for text in figures.layers.iter_mut().filter_map(|layer| layer.created_by.as_mut()) {
                // Shortened only then: half of a secret is not recognised.
                *text = self.secrets.hide(text).chars().take(LONGEST).collect();
            }
            figures
        });
        figures.collect()
    }

    /// Takes note of what is released, and tells what it took the place of if there is no
    /// note of that.
    async fn release(
        &self,
        name: &str,
        step: &TagStep,
        image: &Descriptor,
        tags: &[TagMove],
    ) -> Vec<ImageFigures> {
        let named = |tag: &TagMove| self.secrets.hide(&format!("{}:{}", tag.repository, tag.tag));
        let Some(tag) = tags.iter().find(|tag| tag.kept.is_none()) else { return Vec::new() };
        let mut ours = self.figures(name, image).await;
        let mut told = Vec::new();
        let Released(mut known) = self.released(name);
        if known.is_empty()
            && let Some(moved) = tags.iter().find(|tag| tag.kept.is_none() && moves(tag))
        {
            let before = tokio::time::timeout(PATIENCE, self.held(name, step, moved)).await;
            for before in before.unwrap_or_default() {
                let now = ours.iter_mut().find(|now| now.platform == before.platform);
                told.extend(now.map(|now| ImageFigures {
                    before: Some(before.as_before(named(moved), None)),
                    ..now.clone()
                }));
            }
        }
        let time = Some(self.now.to_string());
        let mut before = |one: ImageFigures| {
            // What was released already was not released again.
            let same = known.remove(&one.platform).filter(|known| known.digest == one.digest);
            (one.platform.clone(), same.unwrap_or_else(|| one.as_before(named(tag), time.clone())))
        };
        let released = Released(ours.into_iter().map(&mut before).collect());
        let _forgotten = self.built.keep_note(MEMORY, &self.memory_of(name), &released);
        told
    }

    /// What a tag held before it moved.
    async fn held(&self, name: &str, step: &TagStep, tag: &TagMove) -> Vec<ImageFigures> {
        let Some(from) = &tag.from else { return Vec::new() };
        let Ok(repository) = self.publisher.open_to_read(&step.registry).await else { return Vec::new() };
        let Ok(Some(found)) = repository.resolve(from).await else { return Vec::new() };
        match image(&repository, &found, &View::default()).await {
            Ok(report) => self.figures_of(name, &report),
            Err(_) => Vec::new(),
        }
    }

    fn released(&self, name: &str) -> Released {
        self.built.note(MEMORY, &self.memory_of(name), MAX_KNOWN).unwrap_or_default()
    }

    /// Where what was released of an image of this project is noted.
    fn memory_of(&self, name: &str) -> String {
        let mut sum = blake3::Hasher::new_derive_key("hoist 2026-11 released image");
        sum.update(self.root.as_os_str().as_encoded_bytes()).update(b"\0").update(name.as_bytes());
        sum.finalize().to_hex().to_string()
    }
}

fn moves(tag: &TagMove) -> bool {
    tag.from.as_ref().is_some_and(|from| *from != tag.to)
}
