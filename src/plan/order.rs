//! Steps in an order in which they could run, or the cycles that forbid it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// For each node the nodes that come before it.
pub(super) type Graph<N> = BTreeMap<N, BTreeSet<N>>;

/// All nodes, each behind those that come before it; among those that could be
/// next the least one is.
///
/// # Errors
/// The cycles, each as nodes of which every one needs the next and the last one
/// the first: one shortest cycle of each knot, starting with its least node.
pub(super) fn order<N: Copy + Ord>(graph: &Graph<N>) -> Result<Vec<N>, Vec<Vec<N>>> {
    let mut waiting: BTreeMap<N, usize> = graph.iter().map(|(node, before)| (*node, before.len())).collect();
    let mut after: BTreeMap<N, Vec<N>> = BTreeMap::new();
    for (node, before) in graph {
        for earlier in before {
            after.entry(*earlier).or_default().push(*node);
        }
    }
    let mut ready: BTreeSet<N> =
        waiting.iter().filter(|(_, count)| **count == 0).map(|(node, _)| *node).collect();
    let mut ordered = Vec::with_capacity(graph.len());
    while let Some(node) = ready.pop_first() {
        ordered.push(node);
        waiting.remove(&node);
        for later in after.get(&node).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(later) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(*later);
                }
            }
        }
    }
    if waiting.is_empty() { Ok(ordered) } else { Err(cycles(graph, &waiting.into_keys().collect())) }
}

/// One shortest cycle of each knot among the nodes that have no order.
fn cycles<N: Copy + Ord>(graph: &Graph<N>, stuck: &BTreeSet<N>) -> Vec<Vec<N>> {
    let mut found = Vec::new();
    let mut done: BTreeSet<N> = BTreeSet::new();
    for node in stuck {
        if done.contains(node) {
            continue;
        }
        if let Some(cycle) = shortest_cycle(graph, stuck, *node) {
            done.extend(knot(graph, stuck, *node));
            found.push(cycle);
        }
    }
    found
}

/// The shortest way from a node back to itself.
fn shortest_cycle<N: Copy + Ord>(graph: &Graph<N>, among: &BTreeSet<N>, start: N) -> Option<Vec<N>> {
    let mut from: BTreeMap<N, N> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(node) = open.pop_front() {
        for next in graph.get(&node).into_iter().flatten().filter(|next| among.contains(next)) {
            if *next == start {
                let back = std::iter::successors(Some(node), |node| from.get(node).copied());
                let mut cycle: Vec<N> = back.collect();
                cycle.reverse();
                return Some(cycle);
            }
            if !from.contains_key(next) {
                from.insert(*next, node);
                open.push_back(*next);
            }
        }
    }
    None
}

/// The nodes that are needed by a node and need it, too.
fn knot<N: Copy + Ord>(graph: &Graph<N>, among: &BTreeSet<N>, node: N) -> BTreeSet<N> {
    let mut after: Graph<N> = BTreeMap::new();
    for (later, before) in graph.iter().filter(|(later, _)| among.contains(later)) {
        for earlier in before {
            after.entry(*earlier).or_default().insert(*later);
        }
    }
    let behind = reachable(graph, node);
    reachable(&after, node).intersection(&behind).copied().collect()
}

/// A node and all that it leads to.
pub(super) fn reachable<N: Copy + Ord>(graph: &Graph<N>, node: N) -> BTreeSet<N> {
    let mut seen = BTreeSet::from([node]);
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        let next = graph.get(&node).into_iter().flatten();
        open.extend(next.filter(|next| seen.insert(**next)).copied().collect::<Vec<_>>());
    }
    seen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn graph(nodes: usize, edges: &[(usize, usize)]) -> Graph<usize> {
        let mut graph: Graph<usize> = (0..nodes).map(|node| (node, BTreeSet::new())).collect();
        for (node, before) in edges {
            graph.entry(node % nodes).or_default().insert(before % nodes);
        }
        graph
    }

    /// Whether a node leads back to itself, by trying all ways.
    fn leads_back(graph: &Graph<usize>, node: usize) -> bool {
        let direct = graph.get(&node).into_iter().flatten();
        direct.into_iter().any(|next| reachable(graph, *next).contains(&node))
    }

    #[test]
    fn the_shortest_cycle_of_each_knot_is_told() {
        let edges = [(0, 1), (1, 2), (2, 0), (1, 0), (3, 4), (4, 3), (5, 3), (6, 6)];
        assert_eq!(order(&graph(8, &edges)), Err(vec![vec![0, 1], vec![3, 4], vec![6]]));
    }

    proptest! {
        #[test]
        fn an_order_keeps_every_edge_and_a_cycle_is_one(
            nodes in 1usize..9,
            edges in prop::collection::vec((0usize..9, 0usize..9), 0..14),
        ) {
            let graph = graph(nodes, &edges);
            let knotted: Vec<usize> = graph.keys().copied().filter(|node| leads_back(&graph, *node)).collect();
            match order(&graph) {
                Ok(ordered) => {
                    prop_assert!(knotted.is_empty());
                    prop_assert_eq!(ordered.len(), nodes);
                    let place = |node: &usize| ordered.iter().position(|other| other == node);
                    for (node, before) in &graph {
                        prop_assert!(before.iter().all(|earlier| place(earlier) < place(node)));
                    }
                }
                Err(cycles) => {
                    let within: BTreeSet<usize> = cycles.iter().flatten().copied().collect();
                    prop_assert!(within.iter().all(|node| knotted.contains(node)));
                    for cycle in &cycles {
                        let next = cycle.iter().cycle().skip(1);
                        prop_assert!(cycle.iter().zip(next).all(|(node, next)| graph[node].contains(next)));
                    }
                    // Each knot is told: without the nodes of all knots told there is an order.
                    let told: BTreeSet<usize> = cycles.iter().flat_map(|cycle| knot(&graph, &knotted.iter().copied().collect(), cycle[0])).collect();
                    prop_assert!(knotted.iter().all(|node| told.contains(node)));
                }
            }
        }
    }
}
