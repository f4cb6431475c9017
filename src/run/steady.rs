//! Whether what a step read is still what it was planned with.

use std::path::Path;

use rayon::prelude::*;

use crate::facts::{Clock, Facts, Seen, Stat};
use crate::plan::Step;

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
