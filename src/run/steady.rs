//! Whether what a step read is still what it was planned with.

use std::iter;
use std::path::Path;

use rayon::prelude::*;

use crate::cache::{Blake3, Part, Product, Reason, SettledOutputs, Trace, covers};
use crate::config::Pattern;
use crate::facts::{Clock, Facts, Seen, Stat};
use crate::plan::{Effect, NeedKind, Step, StepId};
use crate::run::Request;
use crate::run::exact::exactness_for;
use crate::run::task::Task;
use crate::run::worker::{CHANGED, blocking, outputs};

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

/// What is not as it was made of what other steps made for a step, in this run or before:
/// another hoist, or somebody's hand, may have changed it while the step ran.
pub(super) async fn disturbed(
    request: &Request,
    (step, task): (&Step, &Task),
    clock: Clock,
) -> Option<String> {
    let made = made_for(request, task);
    if made.is_empty() {
        return None;
    }
    let (cache, exactness) = (request.cache.clone(), exactness_for(step));
    blocking(move || {
        made.iter().find_map(|made| {
            let patterns = (made.patterns.as_slice(), exactness);
            let reason = cache.disturbed((&made.step, made.effect), patterns, made.digest, clock)?;
            Some(match reason {
                Reason::OutputStale(path) => format!(
                    "`{path}` came to lie where `{}` makes its outputs, so it runs again the next time; \
                     `\"!{path}\"` takes that out of them",
                    made.step
                ),
                Reason::OutputMissing(_) | Reason::OutputChanged(_) => {
                    format!("{reason}, which `{}` made for it, so it runs again the next time", made.step)
                }
                _ => CHANGED.to_owned(),
            })
        })
    })
    .await
}

/// What is said of a step whose own files are others after it ran: it may have made them
/// itself.
pub(super) fn moved(planned: &Trace, now: &Trace, step: &Step) -> String {
    let made = now.differences(planned).into_iter().find_map(|reason| match reason {
        Reason::Added(part @ Part::Input(_), _) => {
            let path = part.to_string();
            covers(outputs(step), Path::new(&path)).then_some(path)
        }
        _ => None,
    });
    made.map_or_else(
        || CHANGED.to_owned(),
        |path| {
            format!(
                "it made `{path}`, which is one of its own inputs, so it runs again the next time; \
                 `\"!{path}\"` takes that out of them"
            )
        },
    )
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
    let plan = &request.plan;
    let groups = plan.steps.get(task.step.0 as usize).map(|step| plan.groups_behind(step));
    let mut made = Vec::new();
    for at in iter::once(task.step).chain(groups.unwrap_or_default()) {
        let settled = request.settled.outputs_of(at).iter().cloned();
        made.extend(settled.map(|SettledOutputs { step, digest, patterns }| MadeFor {
            step,
            effect: Effect::Cacheable,
            patterns,
            digest: Some(digest),
        }));
        let Some(step) = plan.steps.get(at.0 as usize) else { continue };
        for need in step.needs.iter().filter(|need| need.kind == NeedKind::Product) {
            let needed = plan.steps.get(need.step.0 as usize).filter(|needed| !outputs(needed).is_empty());
            let Some(needed) = needed else { continue };
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
