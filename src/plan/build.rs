//! A selection and facts to a plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Condition, Release};
use crate::diagnostic::{Code, Problem, Problems, Span};
use crate::facts::Facts;
use crate::plan::collision::shared_names;
use crate::plan::edge::{Edge, Outline, Why};
use crate::plan::followed::hidden_needs;
use crate::plan::lower::Lower;
use crate::plan::name::glob_matches;
use crate::plan::order::{Graph, order, reachable};
use crate::plan::permission::Publishing;
use crate::plan::unit::{Job, Unit};
use crate::plan::{Gap, Need, NeedKind, Options, Plan, Selection, StepIndex};

/// The graph of what a selection needs under these facts, which answer
/// [`Selection::needs`].
///
/// What a target needs that is skipped, and what cleans up after it, is left
/// out. What publishes is left out where the event or the tree forbid it, which
/// the plan then says.
///
/// # Errors
/// Cycles, overlapping outputs, templates without a value, and goals that name
/// what may not be published.
pub fn build(
    release: &Release,
    facts: &Facts,
    selection: &Selection,
    options: &Options,
) -> Result<Plan, Problems> {
    let outline = Outline::new(release, Some(facts), &selection.links).entering(&selection.entering);
    let mut problems = Problems::new();
    let name = |unit: Unit| unit.id(release, &facts.platform).to_string();
    let runs = |unit: Unit| skipped(release, facts, unit).is_none();
    problems.extend(outline.files.overlaps(runs, name));
    let mut reach = Reach {
        outline: &outline,
        facts,
        publishing: Publishing::new(release, facts, &selection.entering, *options),
        edges: BTreeMap::new(),
        unpublished: false,
        problems,
    };
    reach.follow(selection);
    reach.hold_tags_back();
    let Reach { publishing, edges, unpublished, mut problems, .. } = reach;
    if selection.release && unpublished {
        problems.extend(publishing.refusal());
    }
    problems.extend(hidden_needs(&outline, facts, selection, &edges, name));
    let graph = graph_of(&edges);
    let ordered = match order(&graph) {
        Ok(ordered) => ordered,
        Err(cycles) => {
            problems.extend(cycles.iter().map(|cycle| cycle_problem(cycle, &edges, name)));
            return Err(problems);
        }
    };
    let places: BTreeMap<Unit, StepIndex> = ordered.iter().copied().zip((0u32..).map(StepIndex)).collect();
    let mut lower = Lower::new(release, facts, selection, &places, problems);
    let steps = ordered
        .iter()
        .map(|unit| {
            let needs = needs_of(edges.get(unit).map(Vec::as_slice).unwrap_or_default(), &places);
            let skip = skipped(release, facts, *unit);
            lower.step(*unit, edges.get(unit).map(Vec::as_slice).unwrap_or_default(), needs, skip)
        })
        .collect();
    let mut problems = lower.problems;
    let published = places.keys().any(|unit| matches!(unit, Unit::Image { .. }) && unit.publishes());
    let unpublished = (unpublished && !published).then(|| publishing.why());
    let plan = Plan { steps, unpublished, gaps: gaps(release) };
    problems.extend(shared_names(&plan));
    problems.or(plan)
}

/// Steps and edges that take place, found from the goals on.
struct Reach<'a> {
    outline: &'a Outline<'a>,
    facts: &'a Facts,
    publishing: Publishing<'a>,
    edges: BTreeMap<Unit, Vec<Edge>>,
    /// Whether a step was left out because it may not publish.
    unpublished: bool,
    problems: Problems,
}

impl Reach<'_> {
    fn follow(&mut self, selection: &Selection) {
        let mut open = Vec::new();
        for (unit, root) in &selection.roots {
            match (self.publishing.allows(*unit), root.demanded) {
                (true, _) => open.push(*unit),
                (false, Some(asked)) => self.refuse(*unit, asked),
                (false, None) => self.unpublished |= matches!(unit, Unit::Image { .. }),
            }
        }
        open.reverse();
        let mut cleaning: Vec<(Unit, Edge)> = Vec::new();
        while let Some(unit) = open.pop() {
            if self.edges.contains_key(&unit) {
                continue;
            }
            if skipped(self.outline.release, self.facts, unit).is_some() {
                self.edges.insert(unit, Vec::new());
                continue;
            }
            let mut needs = self.outline.needs(unit, &mut self.problems);
            needs.retain(|edge| self.takes_place(unit, *edge));
            open.extend(needs.iter().map(|edge| edge.to));
            self.edges.insert(unit, needs);
            for (after, span) in self.outline.finally(unit, &mut self.problems) {
                open.push(after);
                cleaning.push((after, Edge { to: unit, kind: NeedKind::End, why: Why::Finally(span) }));
            }
        }
        for (after, edge) in cleaning {
            if skipped(self.outline.release, self.facts, after).is_none() {
                self.edges.entry(after).or_default().push(edge);
            }
        }
    }

    /// Whether what is needed takes place; what is needed by name must.
    fn takes_place(&mut self, unit: Unit, edge: Edge) -> bool {
        if self.publishing.allows(edge.to) {
            return true;
        }
        match edge.why {
            Why::Named(span) if !unit.publishes() => self.refuse(edge.to, span),
            _ => {}
        }
        false
    }

    fn refuse(&mut self, unit: Unit, asked: Span) {
        let id = unit.id(self.outline.release, &self.facts.platform).to_string();
        let problem = self.publishing.refuse(unit, &id, asked);
        // A goal such as `push` names many steps; one refusal says it.
        let said = self
            .problems
            .as_slice()
            .iter()
            .any(|other| other.code == problem.code && other.labels.first() == problem.labels.first());
        if !said {
            self.problems.push(problem);
        }
    }

    /// No tag becomes visible before all that the plan checks and pushes has
    /// succeeded, but for what comes after that tag by the file's own order.
    fn hold_tags_back(&mut self) {
        let is = |unit: &Unit, fits: fn(Job) -> bool| matches!(unit, Unit::Image { job, .. } if fits(*job));
        let tags: Vec<Unit> =
            self.edges.keys().copied().filter(|unit| is(unit, |job| matches!(job, Job::Tag(_)))).collect();
        let before: Vec<Unit> =
            self.edges.keys().copied().filter(|unit| is(unit, Job::comes_before_tags)).collect();
        let mut after: Graph<Unit> = Graph::new();
        for (unit, edge) in
            self.edges.iter().flat_map(|(unit, edges)| edges.iter().map(move |edge| (*unit, edge)))
        {
            after.entry(edge.to).or_default().insert(unit);
        }
        for tag in tags {
            let later = reachable(&after, tag);
            let edges = self.edges.entry(tag).or_default();
            let order = |to: &Unit| Edge { to: *to, kind: NeedKind::Success, why: Why::Order };
            edges.extend(before.iter().filter(|unit| !later.contains(unit)).map(order));
        }
    }
}

/// Why a target is left out, if it is.
pub(super) fn skipped(release: &Release, facts: &Facts, unit: Unit) -> Option<String> {
    let Unit::Target { target, .. } = unit else { return None };
    release.targets[target].when.iter().find_map(|condition| fails(&condition.value, facts))
}

/// Why a condition does not hold, if it does not.
fn fails(condition: &Condition, facts: &Facts) -> Option<String> {
    match condition {
        Condition::Env(name, None) => {
            let set = facts.environment.get(name).is_some_and(|value| !value.is_empty());
            (!set).then(|| format!("`{name}` is not set"))
        }
        Condition::Env(name, Some(value)) => {
            let same = facts.environment.text(name) == Some(value);
            (!same).then(|| format!("`{name}` is not `{value}`"))
        }
        Condition::Os(os) => (facts.os != os).then(|| format!("this is {}, not {os}", facts.os)),
        Condition::Branch(glob) => {
            let branch = match &facts.event {
                crate::facts::Event::Branch(branch) => Some(branch.as_str()),
                _ => facts.git.as_ref().and_then(|git| git.branch.as_deref()),
            };
            match branch {
                Some(branch) if glob_matches(glob, branch) => None,
                Some(branch) => Some(format!("the branch is {branch}, not {glob}")),
                None => Some(format!("this is not on the branch {glob}")),
            }
        }
    }
}

fn graph_of(edges: &BTreeMap<Unit, Vec<Edge>>) -> Graph<Unit> {
    let before = |edges: &Vec<Edge>| -> BTreeSet<Unit> { edges.iter().map(|edge| edge.to).collect() };
    edges.iter().map(|(unit, edges)| (*unit, before(edges))).collect()
}

/// Edges as places, each step once with the strongest of its kinds; and once more
/// if the other cleans up after what it needs.
fn needs_of(edges: &[Edge], places: &BTreeMap<Unit, StepIndex>) -> Vec<Need> {
    let mut kinds: BTreeMap<(StepIndex, bool), NeedKind> = BTreeMap::new();
    for edge in edges {
        let Some(place) = places.get(&edge.to) else { continue };
        let kind = kinds.entry((*place, edge.kind == NeedKind::End)).or_insert(edge.kind);
        if edge.kind == NeedKind::Product {
            *kind = NeedKind::Product;
        }
    }
    kinds.into_iter().map(|((step, _), kind)| Need { step, kind }).collect()
}

/// Most needs of a cycle that are told one by one.
const TOLD: usize = 12;

/// The whole of a cycle: in the title by name, in the labels by who says so. Of one that
/// nobody would read to its end, the beginning and the end.
fn cycle_problem(
    cycle: &[Unit],
    edges: &BTreeMap<Unit, Vec<Edge>>,
    name: impl Fn(Unit) -> String,
) -> Problem {
    let round: Vec<Unit> = cycle.iter().chain(cycle.first()).copied().collect();
    let hidden = cycle.len().saturating_sub(TOLD);
    let is_told = |at: usize| hidden == 0 || at + 1 < TOLD || at + 1 >= cycle.len();
    let mut names: Vec<String> = Vec::new();
    for (at, unit) in round.iter().enumerate() {
        if is_told(at) {
            names.push(format!("`{}`", name(*unit)));
        } else if at + 1 == TOLD {
            names.push(format!("… ({hidden} more) …"));
        }
    }
    let title = match names.as_slice() {
        [one, other] if one == other => format!("{one} needs itself"),
        names => format!("steps need each other: {}", names.join(" needs ")),
    };
    let mut problem = Problem::new(Code::Cycle, title);
    let mut guess = false;
    for (_, pair) in round.windows(2).enumerate().filter(|(at, _)| is_told(*at)) {
        let &[unit, before] = pair else { continue };
        let edge = edges.get(&unit).into_iter().flatten().find(|edge| edge.to == before);
        let (unit, before) = (name(unit), name(before));
        problem = match edge.map(|edge| edge.why) {
            Some(Why::Named(span)) => problem.label(span, format!("`{unit}` needs `{before}`")),
            Some(Why::Finally(span)) => problem.label(span, format!("`{unit}` runs after `{before}`")),
            Some(Why::Reads(read, made, guessed)) => {
                guess |= guessed;
                let made_by = if guessed { "may be a directory that `{}` makes" } else { "made by `{}`" };
                problem
                    .label(read, format!("`{unit}` reads what `{before}` makes"))
                    .label(made, made_by.replace("{}", &before))
            }
            Some(Why::Order) | None => problem.note(format!("`{unit}` comes after `{before}`")),
        };
    }
    problem.help(if guess {
        "if what may be a directory is a file, take it out of the inputs: `\"!PATH\"`"
    } else {
        "remove one of these"
    })
}

/// What a run would need as a whole.
fn gaps(release: &Release) -> Vec<Gap> {
    let remote = release.cache.remote.as_ref().map(|remote| ("a cache on the network", remote.span));
    let execute = release.execute.as_ref().map(|execute| ("running on other machines", execute.span));
    let gaps = remote.into_iter().chain(execute);
    gaps.map(|(what, span)| Gap { what: what.to_owned(), span }).collect()
}
