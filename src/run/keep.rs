//! Keeps what steps made.

use std::fs::Metadata;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::cache::{Made, Miss, Outcome, Outputs, Saved, Standing};
use crate::config::Pattern;
use crate::diagnostic::{Code, Problems};
use crate::oci::Descriptor;
use crate::plan::{Effect, Step};
use crate::run::task::{Done, Ended};
use crate::run::teller::{Teller, Told};
use crate::run::worker::{CHANGED, LARGE, Worker, at, blocking, blocking_if, outputs};

/// Why what a step made is not kept although nothing is wrong with that.
const CUT: &str = "its log is not whole, so it runs again the next time";

/// A run of a step that is over.
pub(super) struct Ran {
    pub(super) miss: Miss,
    pub(super) started: Timestamp,
    pub(super) took: Duration,
    /// What it found where it makes its outputs.
    pub(super) standing: Standing,
}

impl Worker {
    /// Keeps what a step made that succeeded.
    pub(super) async fn keep(
        &self,
        step: &Step,
        run: Ran,
        image: Option<Descriptor>,
        doubt: Option<String>,
        teller: Teller,
    ) -> Done {
        let cache = self.request().cache.clone();
        let patterns = outputs(step).to_vec();
        // A later run would show what is left of it as all that the step writes.
        let doubt = doubt.or_else(|| teller.has_lost().then(|| CUT.to_owned()));
        let (teller, log) = teller.into_parts();
        let bytes = log.written().1.saturating_add(size_of_outputs(&self.request().root, &patterns));
        let is_steady = doubt.is_none();
        let saved = blocking_if(bytes > LARGE, move || {
            let Ran { miss, started, took, standing } = run;
            let made = || {
                let none = patterns.is_empty();
                let outputs = if none { Outputs::default() } else { cache.collect(&patterns, &standing)? };
                let (image, steady) = (image.clone(), is_steady);
                Ok::<_, Problems>(Made { outputs, image, log: None, started, duration: took, steady })
            };
            let save = || {
                let made = made()?;
                // What always runs is never replayed.
                let log = log.timeless().filter(|_| miss.is_kept());
                let log = log.map(|log| cache.keep_log(log)).transpose()?;
                cache.save(&miss, Made { log, ..made }).map_err(Problems::from)
            };
            let saved = save().or_else(|problems| {
                if is_unusable(&problems) {
                    cache.make_room();
                    return save();
                }
                Err(problems)
            });
            match saved {
                // It succeeded all the same.
                Err(problems) if is_unusable(&problems) => {
                    Ok((cache.pass(&miss, made()?), unsaved(&problems)))
                }
                saved => saved.map(|saved| (saved, None)),
            }
        });
        match saved.await {
            Err(problems) => Done::failed(at(step, problems)),
            Ok((Saved { record, kept }, unsaved)) => {
                if !kept && step.effect == Effect::Cacheable && !self.request().options.no_cache {
                    let text = unsaved.or(doubt).unwrap_or_else(|| CHANGED.to_owned());
                    teller.tell(Told::Notice(text)).await;
                }
                let product = record.product(step.effect);
                let lasting = kept.then_some(record.outputs);
                Done { product, image: record.image, lasting, ..Done::new(Ended::Ran) }
            }
        }
    }

    /// Keeps in mind what a step made that did not come to its end, and what is wrong
    /// with that.
    pub(super) async fn keep_rest(&self, step: &Step, run: Ran, outcome: Outcome) -> Problems {
        let cache = self.request().cache.clone();
        let Ran { miss, started, took, standing } = run;
        let patterns = outputs(step).to_vec();
        let save = move || cache.save_rest(&miss, (patterns.as_slice(), &standing), outcome, started, took);
        blocking(save).await.map_or_else(Problems::from, |()| Problems::new())
    }
}

/// About how many bytes lie where a step makes its outputs; very many for those
/// that have to be looked for.
fn size_of_outputs(root: &Path, patterns: &[Pattern]) -> u64 {
    let size = |pattern: &Pattern| {
        let found = root.join(&pattern.glob.value).symlink_metadata().ok().filter(Metadata::is_file);
        found.map_or(u64::MAX, |found| found.len())
    };
    patterns.iter().map(size).fold(0, u64::saturating_add)
}

/// Whether nothing is wrong but with the cache.
fn is_unusable(problems: &Problems) -> bool {
    problems.as_slice().iter().all(|problem| problem.code == Code::CacheUnusable)
}

/// What is said of a step that cannot be saved.
fn unsaved(problems: &Problems) -> Option<String> {
    let problem = problems.as_slice().first()?;
    let why = problem.notes.first().map(|note| format!(" ({note})")).unwrap_or_default();
    Some(format!("{}{why}, so it runs again the next time", problem.title))
}
