//! Whether what a step read is still what it was planned with.

use std::path::Path;

use rayon::prelude::*;

use crate::cache::{Blake3, Product, SettledOutputs};
use crate::config::Pattern;
use crate::facts::{Clock, Facts, Seen, Stat};
use crate::plan::{Action, Effect, NeedKind, Step, StepId};
use crate::run::Request;
use crate::run::task::Task;
use crate::run::worker::{blocking, outputs};

/// Whether the file system says of all that a step reads what it said when the
/// step was planned, so that none of it can have changed. `clock` is that of
/// the project's [file system](crate::cache::clock). What cannot be told
/// this way has to be read again.
pub(super) fn is_as_planned(root: &Path, facts: &Facts, step: &Step, clock: Clock) -> bool {
    if step.inputs.is_none() {
        return true;
    }
    let Some(inputs) = step.answer.and_then(|at| facts.inputs.get(at)).filter(|inputs| !inputs.open) else {
        return false;
    };
    let same = |path: &Path, seen: &Seen| {
        let now = root.join(path).symlink_metadata().map(|found| Stat::of(&found));
        now.is_ok_and(|now| now == seen.stat) && seen.is_settled(clock)
    };
    let below = |path: &Path| inputs.directories.iter().any(|base| path.starts_with(base.as_path()));
    let mut listed = facts.walked.directories.iter().filter(|(path, _)| below(path));
    inputs.files.par_iter().all(|file| same(file.path.as_path(), &file.seen))
        && (inputs.directories.is_empty() || listed.all(|(path, seen)| same(path, seen)))
}

/// Whether all is as it was made that other steps made for a step, in this run or
/// before: another hoist, or somebody's hand, may have changed it while the step ran.
pub(super) async fn are_products_intact(request: &Request, task: &Task, clock: Clock) -> bool {
    let made = made_for(request, task);
    if made.is_empty() {
        return true;
    }
    let cache = request.cache.clone();
    blocking(move || {
        made.iter().all(|made| cache.is_intact((&made.step, made.effect), &made.patterns, made.digest, clock))
    })
    .await
}

/// What a step that is needed made.
struct MadeFor {
    step: StepId,
    effect: Effect,
    patterns: Vec<Pattern>,
    /// Its digest, where that is in the key of the one who needs it. What a group
    /// stands for is so with the group's.
    digest: Option<Blake3>,
}

/// What other steps made that a step may read since it is in its key, through groups, too.
fn made_for(request: &Request, task: &Task) -> Vec<MadeFor> {
    let (mut waiting, mut made) = (vec![task.step], Vec::new());
    while let Some(at) = waiting.pop() {
        let settled = request.settled.outputs_of(at).iter().cloned();
        made.extend(settled.map(|SettledOutputs { step, digest, patterns }| MadeFor {
            step,
            effect: Effect::Cacheable,
            patterns,
            digest: Some(digest),
        }));
        let Some(step) = request.plan.steps.get(at.0 as usize) else { continue };
        for need in step.needs.iter().filter(|need| need.kind == NeedKind::Product) {
            let Some(needed) = request.plan.steps.get(need.step.0 as usize) else { continue };
            if matches!(needed.action, Action::Group) {
                waiting.push(need.step);
            } else if !outputs(needed).is_empty() {
                let product = task.products.iter().find(|(of, _)| *of == need.step);
                let digest = product.and_then(|(_, product)| match product {
                    Product::Outputs(digest) => Some(*digest),
                    _ => None,
                });
                made.push(MadeFor {
                    step: needed.id.clone(),
                    effect: needed.effect,
                    patterns: outputs(needed).to_vec(),
                    digest,
                });
            }
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::cache::clock;
    use crate::facts::{KnownFiles, read_all};
    use crate::run::fixture::{Project, facts, release};

    use super::*;

    #[test]
    fn files_that_change_and_files_that_come_are_noticed() {
        let mut project = Project::new();
        project.write("a.txt", "a");
        let step = project.reading("step", "true", &[], "*.txt").clone();
        let planned = |project: &Project| {
            let mut facts = facts(&project.environment);
            let queries = [step.inputs.clone().unwrap()];
            let known = KnownFiles::new();
            (facts.inputs, facts.walked) =
                read_all(&project.root(), &release(), &facts, &queries, &known).unwrap();
            facts
        };
        let step = Step { answer: Some(0), ..step.clone() };
        let same = |facts: &Facts| is_as_planned(&project.root(), facts, &step, clock(&project.root()));
        let before = planned(&project);
        assert!(same(&before));
        project.write("a.txt", "b");
        assert!(!same(&before));
        let before = planned(&project);
        project.write("b.txt", "b");
        assert!(!same(&before));
        let before = planned(&project);
        fs::remove_file(project.root().join("b.txt")).unwrap();
        assert!(!same(&before) && same(&planned(&project)));
    }
}
