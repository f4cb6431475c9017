//! What steps read through links that only the files themselves tell of.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Recipe, Release};
use crate::diagnostic::{Code, Problem, Span};
use crate::facts::Facts;
use crate::plan::Selection;
use crate::plan::build::skipped;
use crate::plan::edge::{Edge, Outline, Why};
use crate::plan::files::Named;
use crate::plan::unit::{Job, Unit};

/// Steps that read what another makes through a link which a wildcard matches: that the
/// other has to come before can be seen of no declaration.
pub(super) fn hidden_needs(
    outline: &Outline<'_>,
    facts: &Facts,
    selection: &Selection,
    edges: &BTreeMap<Unit, Vec<Edge>>,
    name: impl Fn(Unit) -> String,
) -> Vec<Problem> {
    let release = outline.release;
    let mut problems = Vec::new();
    for (unit, edges) in edges {
        let Some(read) = reader(release, *unit) else { continue };
        let answer = selection.answers.get(unit).and_then(|answers| facts.inputs.get(answers.inputs?));
        let Some(inputs) = answer.filter(|inputs| inputs.open) else { continue };
        if skipped(release, facts, *unit).is_some() {
            continue;
        }
        let reads = edges.iter().filter(|edge| matches!(edge.why, Why::Reads(..)));
        let mut known: BTreeSet<Unit> = reads.map(|edge| edge.to).collect();
        for file in &inputs.files {
            let path = file.path.to_string();
            for named in Named::copied(&path, read, outline.links) {
                for edge in outline.made(&named) {
                    let Why::Reads(_, made, false) = edge.why else { continue };
                    if is_same(*unit, edge.to)
                        || skipped(release, facts, edge.to).is_some()
                        || !known.insert(edge.to)
                    {
                        continue;
                    }
                    let (unit, maker) = (name(*unit), name(edge.to));
                    let title = format!("`{unit}` reads what `{maker}` makes, behind a link");
                    problems.push(
                        Problem::new(Code::HiddenNeed, title)
                            .label(read, format!("a link that this finds leads to `{path}`"))
                            .label(made, format!("made by `{maker}`"))
                            .help(format!("name the place itself as well: `{path}`")),
                    );
                }
            }
        }
    }
    problems
}

/// Where it is declared what a step reads, if it reads what a wildcard may find.
fn reader(release: &Release, unit: Unit) -> Option<Span> {
    match unit {
        Unit::Target { target, .. } => Some(release.targets[target].inputs.as_ref()?.first()?.glob.span),
        Unit::Image { image, job: Job::Build(_) } => match &release.images[image].recipe {
            Recipe::Assemble(recipe) => {
                Some(recipe.layers.iter().flat_map(|layer| &layer.copies).next()?.from.span)
            }
            // What lies in a context need not be made before.
            Recipe::Dockerfile(_) => None,
        },
        _ => None,
    }
}

/// Whether both are of one target.
const fn is_same(one: Unit, other: Unit) -> bool {
    matches!((one, other), (Unit::Target { target, .. }, Unit::Target { target: other, .. }) if target == other)
}
