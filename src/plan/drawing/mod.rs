//! Pictures of a plan: dot, Mermaid, SVG.
//!
//! All three draw the same [`Drawing`]: a box for each step, an edge for each
//! need that no chain of other edges says already, and a knot where several
//! steps all need the same several others. Positions and colours
//! are the picture's. How steps went, who draws a run says of its [`Sketch`]es.

mod dot;
mod layer;
mod mermaid;
mod place;
mod svg;

pub use dot::dot;
pub use mermaid::mermaid;
pub use svg::{escaped, svg, svg_of};

use std::collections::BTreeMap;

use crate::plan::name::split_outside_brackets;
use crate::plan::{Action, Effect, NeedKind, Plan, Step, Verb};

/// A step as it is drawn that may be of no plan any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch {
    /// Its name.
    pub name: String,
    /// What its box says to whoever points at it.
    pub title: String,
    /// What it is coloured by.
    pub colour: Colour,
    /// Whether a goal names it.
    pub goal: bool,
    /// The steps that come before, by their positions; those that stand behind it count
    /// for nothing.
    pub needs: Vec<usize>,
    /// Where its box leads to, in the page that the image is part of.
    pub link: Option<String>,
}

/// Nodes and edges.
struct Drawing {
    /// Each behind those that lead to it.
    nodes: Vec<Node>,
    /// From what is needed to what needs it, by their positions; sorted.
    edges: Vec<Edge>,
}

/// From, to, and what is needed.
type Edge = (usize, usize, NeedKind);

enum Node {
    Step(Box),
    /// All edges that lead here lead on along all edges from here.
    Knot,
}

/// One step.
struct Box {
    /// The target, image, or stage.
    name: String,
    /// What is done, or the values of a matrix; may be empty.
    detail: String,
    /// The whole name, and what the step does.
    title: String,
    kind: Colour,
    /// Where it leads to.
    link: Option<String>,
    goal: bool,
    /// Whether this version can execute it.
    available: bool,
}

/// What a box is coloured by: in a plan what the step does, in a run how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colour {
    /// Runs commands.
    Target,
    /// Stands for what it needs.
    Group,
    /// Does not apply.
    Skip,
    /// Makes an image.
    Build,
    /// Checks an image.
    Check,
    /// Publishes an image.
    Publish,
    /// Works on a stage.
    Stage,
    /// Failed.
    Failed,
    /// Was stopped, or has no end.
    Stopped,
    /// Did its work.
    Ran,
    /// Was brought back from the cache.
    Restored,
    /// Was as it is to be.
    Present,
    /// Did not start.
    NotRun,
}

impl Colour {
    const ALL: [Self; 13] = [
        Self::Target,
        Self::Group,
        Self::Skip,
        Self::Build,
        Self::Check,
        Self::Publish,
        Self::Stage,
        Self::Failed,
        Self::Stopped,
        Self::Ran,
        Self::Restored,
        Self::Present,
        Self::NotRun,
    ];

    fn of(step: &Step) -> Self {
        match (&step.action, step.id.verb) {
            (_, Some(Verb::Build | Verb::Index)) => Self::Build,
            (_, Some(Verb::Test | Verb::Budget | Verb::Scan)) => Self::Check,
            (_, Some(Verb::Push | Verb::Sign | Verb::Attest | Verb::Tag)) => Self::Publish,
            (_, Some(Verb::Enter | Verb::Deploy | Verb::Verify | Verb::Record)) => Self::Stage,
            (Action::Skip(_), None) => Self::Skip,
            (Action::Group, None) => Self::Group,
            (_, None) => Self::Target,
        }
    }

    /// Its name in a style sheet.
    const fn class(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Group => "group",
            Self::Skip => "skip",
            Self::Build => "build",
            Self::Check => "check",
            Self::Publish => "publish",
            Self::Stage => "stage",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Ran => "ran",
            Self::Restored => "restored",
            Self::Present => "present",
            Self::NotRun => "not-run",
        }
    }

    /// What it is called in a legend.
    const fn legend(self) -> &'static str {
        match self {
            Self::Target => "runs commands",
            Self::Group => "stands for its needs",
            Self::Skip => "skipped",
            Self::Build => "makes an image",
            Self::Check => "checks an image",
            Self::Publish => "publishes an image",
            Self::Stage => "works on a stage",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Ran => "ran",
            Self::Restored => "restored",
            Self::Present => "up to date",
            Self::NotRun => "not run",
        }
    }

    /// Background, border, and text of its boxes on a light page.
    const fn light(self) -> [&'static str; 3] {
        match self {
            Self::Target => ["#eef2f9", "#5b7bb4", "#1d2b45"],
            Self::Group => ["#f5f5f6", "#9a9ca3", "#33353b"],
            Self::Skip => ["#fbfbfb", "#c3c5ca", "#8a8d94"],
            Self::Build => ["#fdf3e3", "#c98a2b", "#46300c"],
            Self::Check => ["#e9f6f1", "#3d9a78", "#113a2b"],
            Self::Publish => ["#f4eefb", "#8b62c4", "#32204f"],
            Self::Stage => ["#fcedef", "#c4566a", "#4b1720"],
            Self::Failed => ["#fdeaea", "#c8323c", "#4b1014"],
            Self::Stopped => ["#fdf1e3", "#c9782b", "#46280c"],
            Self::Ran => ["#e8f0fe", "#2f6fdb", "#10294f"],
            Self::Restored => ["#e4f5f2", "#2a8f82", "#0d352f"],
            Self::Present => ["#f3f4f6", "#9aa1ac", "#3f444d"],
            Self::NotRun => ["#ffffff", "#c3c5ca", "#8a8d94"],
        }
    }
}

impl Drawing {
    fn new(plan: &Plan) -> Self {
        let nodes = plan.steps.iter().map(|step| Node::Step(Box::new(step))).collect();
        let needs = |step: &Step| step.needs.iter().map(|need| (need.step.0 as usize, need.kind)).collect();
        tie(nodes, &edges(&plan.steps.iter().map(needs).collect::<Vec<_>>()))
    }

    fn of(steps: &[Sketch]) -> Self {
        let nodes = steps.iter().map(|step| Node::Step(Box::sketched(step))).collect();
        let needs = steps.iter().enumerate().map(|(at, step)| {
            let mut needs: Vec<_> = step.needs.iter().copied().filter(|need| *need < at).collect();
            needs.sort_unstable();
            needs.into_iter().map(|need| (need, NeedKind::Product)).collect()
        });
        tie(nodes, &edges(&needs.collect::<Vec<_>>()))
    }

    fn boxes(&self) -> impl Iterator<Item = (usize, &Box)> {
        self.nodes.iter().enumerate().filter_map(|(at, node)| match node {
            Node::Step(step) => Some((at, step)),
            Node::Knot => None,
        })
    }
}

/// Draws one knot in place of the edges from each of some nodes to each of some
/// others, where that makes fewer edges.
fn tie(nodes: Vec<Node>, edges: &[Edge]) -> Drawing {
    let mut ends: BTreeMap<usize, Vec<(usize, NeedKind)>> = BTreeMap::new();
    for (from, to, kind) in edges {
        ends.entry(*from).or_default().push((*to, *kind));
    }
    let mut starts: BTreeMap<Vec<(usize, NeedKind)>, Vec<usize>> = BTreeMap::new();
    for (from, ends) in ends {
        starts.entry(ends).or_default().push(from);
    }
    // By old positions, a knot at half a position behind the last that leads to it.
    let mut tied: Vec<(usize, usize, NeedKind)> = Vec::new();
    let mut knots: Vec<usize> = Vec::new();
    for (ends, starts) in starts {
        if starts.len() * ends.len() > starts.len() + ends.len() {
            let knot = nodes.len() + knots.len();
            knots.extend(starts.last());
            let kind = ends.iter().map(|(_, kind)| *kind).min().unwrap_or(NeedKind::Product);
            tied.extend(starts.iter().map(|start| (*start, knot, kind)));
            tied.extend(ends.iter().map(|(end, kind)| (knot, *end, *kind)));
        } else {
            tied.extend(starts.iter().flat_map(|start| ends.iter().map(|(end, kind)| (*start, *end, *kind))));
        }
    }
    let steps = nodes.len();
    let mut all: Vec<(usize, usize, Node)> =
        nodes.into_iter().enumerate().map(|(at, node)| (at, at, node)).collect();
    all.extend(knots.iter().enumerate().map(|(at, behind)| (*behind, steps + at, Node::Knot)));
    // A step comes before the knots behind it.
    all.sort_by_key(|(behind, old, _)| (*behind, *old));
    let mut places = vec![0; all.len()];
    for (new, (_, old, _)) in all.iter().enumerate() {
        places[*old] = new;
    }
    let mut edges: Vec<Edge> =
        tied.into_iter().map(|(from, to, kind)| (places[from], places[to], kind)).collect();
    edges.sort_unstable();
    Drawing { nodes: all.into_iter().map(|(_, _, node)| node).collect(), edges }
}

impl Box {
    fn new(step: &Step) -> Self {
        let (owner, cells) = match step.id.owner.split_once('[') {
            Some((owner, cells)) if step.id.verb.is_none() => (owner, cells.trim_end_matches(']')),
            _ => (step.id.owner.as_str(), ""),
        };
        let verb = step.id.verb.map(Verb::as_str).unwrap_or_default();
        let detail = match &step.id.qualifier {
            Some(qualifier) => format!("{verb} {qualifier}"),
            None => format!("{verb}{}", cells.replace(',', ", ")),
        };
        let does = match (&step.action, step.effect) {
            (Action::Group, _) => "stands for its needs".to_owned(),
            (Action::Skip(reason), _) => format!("skipped: {reason}"),
            (Action::NotAvailable(gap), _) => format!("not available yet: {}", gap.what),
            (_, Effect::Always) => "runs each time".to_owned(),
            (_, Effect::Cacheable) => "runs when what it depends on changed".to_owned(),
            (_, Effect::Publishing) => "changes what others see".to_owned(),
        };
        Self {
            name: owner.to_owned(),
            detail,
            title: format!("{}\n{does}", step.id),
            kind: Colour::of(step),
            link: None,
            goal: step.goal,
            available: !matches!(step.action, Action::NotAvailable(_)),
        }
    }

    fn sketched(step: &Sketch) -> Self {
        let (owner, work) = split_outside_brackets(&step.name);
        let (name, detail) = match (work, owner.split_once('[')) {
            (None, Some((owner, cells))) => (owner, cells.trim_end_matches(']').replace(',', ", ")),
            (work, _) => (owner, work.unwrap_or_default().replacen('@', " ", 1)),
        };
        Self {
            name: name.to_owned(),
            detail,
            title: format!("{}\n{}", step.name, step.title),
            kind: step.colour,
            link: step.link.clone(),
            goal: step.goal,
            available: true,
        }
    }
}

/// The needs of each step, sorted, that are not said by a chain of others.
fn edges(needs: &[Vec<(usize, NeedKind)>]) -> Vec<(usize, usize, NeedKind)> {
    let words = needs.len().div_ceil(64);
    let mut edges = Vec::new();
    // For each step all that come before it, a bit each.
    let mut before: Vec<Vec<u64>> = Vec::with_capacity(needs.len());
    for (at, needs) in needs.iter().enumerate() {
        let mut all = vec![0u64; words];
        // Nearest first: what it brings along needs no edge of its own.
        for &(from, kind) in needs.iter().rev() {
            let bit = 1u64 << (from % 64);
            if all.get(from / 64).is_some_and(|word| word & bit == 0) {
                edges.push((from, at, kind));
                all[from / 64] |= bit;
                for (word, earlier) in all.iter_mut().zip(before.get(from).into_iter().flatten()) {
                    *word |= earlier;
                }
            }
        }
        before.push(all);
    }
    edges.sort_unstable_by_key(|(from, to, _)| (*from, *to));
    edges
}

/// The kinds that a drawing has boxes of, in order.
fn kinds(drawing: &Drawing) -> Vec<Colour> {
    let there = |kind: &Colour| drawing.boxes().any(|(_, step)| step.kind == *kind);
    Colour::ALL.into_iter().filter(there).collect()
}
