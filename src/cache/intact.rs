//! Whether what a step made is still as it made it, while others read it.

use crate::cache::local::each;
use crate::cache::restore::differences;
use crate::cache::selection::output_directories;
use crate::cache::{Blake3, Cache, Exactness, Output, Reason};
use crate::config::{Pattern, ProjectPath};
use crate::facts::{Clock, Stat};
use crate::plan::{Effect, StepId};

impl Cache {
    /// What of the workspace is not as the last run of a step made it, which declares
    /// these `patterns`, or why that cannot be told; nothing where it holds exactly that,
    /// with the digest that is `expected`, where one is. Little is read where the file
    /// system says what it said when that was collected or restored; `clock` is that of
    /// the project's [file system](crate::cache::clock).
    ///
    /// What is not as it was made counts as not seen from then on.
    #[must_use]
    pub fn disturbed(
        &self,
        (step, effect): (&StepId, Effect),
        (patterns, exactness): (&[Pattern], Exactness),
        expected: Option<Blake3>,
        clock: Clock,
    ) -> Option<Reason> {
        let Some(made) = self.latest.made(&step.to_string()) else { return Some(Reason::RecordGone) };
        let outputs = &made.outputs;
        if expected.is_some_and(|expected| made.digest != expected) {
            return Some(Reason::NeedChanged { step: step.to_string() });
        }
        if self.are_as_seen(outputs.as_slice(), patterns, clock) {
            return None;
        }
        // What always runs leaves links alone that are somebody's.
        let is_spared = |reason: &Reason| match reason {
            Reason::OutputStale(path) => {
                effect == Effect::Always && self.root.join(path.as_path()).is_symlink()
            }
            _ => false,
        };
        let looks = self.looks.relying_on(clock);
        let disturbed = match differences(&self.root, outputs, (patterns, exactness), &looks) {
            Ok(differences) => differences.into_iter().find(|reason| !is_spared(reason)),
            Err(_) => Some(Reason::NeedChanged { step: step.to_string() }),
        };
        if disturbed.is_some() {
            self.looks.forget(outputs.iter().map(|output| &output.path));
        }
        disturbed
    }

    /// Whether the file system says the same of outputs, and of the directories that
    /// belong to their step, as when they were seen last, so that none has changed.
    fn are_as_seen(&self, outputs: &[Output], patterns: &[Pattern], clock: Clock) -> bool {
        let Ok(own) = output_directories(patterns) else { return false };
        let same = |path: &ProjectPath, digest: Option<Blake3>| {
            let now = self.root.join(path.as_path()).symlink_metadata().map(|found| Stat::of(&found));
            self.looks.of(path).is_some_and(|look| {
                look.digest == digest
                    && look.seen.is_settled(clock)
                    && now.is_ok_and(|now| now == look.seen.stat)
            })
        };
        let is_own = |path: &ProjectPath| outputs.binary_search_by(|output| output.path.cmp(path)).is_ok();
        own.iter().filter(|path| !is_own(path)).all(|path| same(path, None))
            && each(outputs, |output| same(&output.path, output.kind.digest())).into_iter().all(|same| same)
    }
}
