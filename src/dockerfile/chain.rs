//! Which stages need which.

use crate::diagnostic::Span;

/// For each stage those that it needs, and where it says so.
pub(super) type Edges = Vec<Vec<(usize, Span)>>;

/// Stages that need each other, as the places that say so; `None` if there are none.
pub(super) fn cycle(edges: &Edges) -> Option<Vec<(usize, Span)>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut states = vec![State::New; edges.len()];
    for first in 0..edges.len() {
        // Each stage on the way, and how many of its edges were followed.
        let mut way = vec![(first, 0)];
        while let Some((stage, followed)) = way.last_mut() {
            let stage = *stage;
            if *followed == 0 && states.get(stage) == Some(&State::Done) {
                way.pop();
                continue;
            }
            set(&mut states, stage, State::Open);
            let edge = edges.get(stage).and_then(|edges| edges.get(*followed));
            *followed += 1;
            match edge {
                None => {
                    set(&mut states, stage, State::Done);
                    way.pop();
                }
                Some((to, _)) if states.get(*to) == Some(&State::Open) => {
                    let from = way.iter().position(|(on, _)| on == to).unwrap_or_default();
                    let said = |(stage, followed): &(usize, usize)| {
                        let edge = edges.get(*stage)?.get(followed.checked_sub(1)?)?;
                        Some((*stage, edge.1))
                    };
                    return Some(way.get(from..).unwrap_or_default().iter().filter_map(said).collect());
                }
                Some((to, _)) => way.push((*to, 0)),
            }
        }
    }
    None
}

fn set<T>(states: &mut [T], at: usize, to: T) {
    if let Some(state) = states.get_mut(at) {
        *state = to;
    }
}

/// A stage and all that it needs, in the order of the file.
pub(super) fn needed(edges: &Edges, target: usize) -> Vec<usize> {
    let mut found = vec![false; edges.len()];
    let mut waiting = vec![target];
    while let Some(stage) = waiting.pop() {
        if found.get(stage) == Some(&false) {
            set(&mut found, stage, true);
            waiting.extend(edges.get(stage).into_iter().flatten().map(|(to, _)| *to));
        }
    }
    found.into_iter().zip(0..).filter_map(|(needed, stage)| needed.then_some(stage)).collect()
}
