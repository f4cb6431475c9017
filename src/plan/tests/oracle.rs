//! Plans of any targets against what their definition says.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::diagnostic::Code;
use crate::plan::fixture::{World, edges, steps};

/// A file of `count` targets with these needs.
fn file(count: usize, needs: &[(usize, usize)]) -> String {
    let target = |at: usize| {
        let names: BTreeSet<String> = needs
            .iter()
            .filter(|(from, _)| from % count == at)
            .map(|(_, to)| format!("\"t{}\"", to % count))
            .collect();
        let names: Vec<String> = names.into_iter().collect();
        let needs = if names.is_empty() { String::new() } else { format!("needs {};", names.join(" ")) };
        format!("target \"t{at}\" {{ {needs} run \"x\"; }}\n")
    };
    (0..count).map(target).collect()
}

/// All that a target needs, by walking every way.
fn needed(graph: &BTreeMap<usize, BTreeSet<usize>>, from: usize) -> BTreeSet<usize> {
    let mut all = BTreeSet::new();
    let mut open: Vec<usize> = graph[&from].iter().copied().collect();
    while let Some(next) = open.pop() {
        if all.insert(next) {
            open.extend(graph[&next].iter().copied());
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_plan_is_what_its_goal_needs_in_order_or_a_cycle(
        count in 1usize..7,
        needs in prop::collection::vec((0usize..7, 0usize..7), 0..9),
    ) {
        let graph: BTreeMap<usize, BTreeSet<usize>> = (0..count)
            .map(|at| (at, needs.iter().filter(|(from, _)| from % count == at).map(|(_, to)| to % count).collect()))
            .collect();
        let mut reached = needed(&graph, 0);
        reached.insert(0);
        let cyclic = reached.iter().any(|at| needed(&graph, *at).contains(at));
        let mut world = World::new(&file(count, &needs));
        let goals = world.typed(&["t0"]);
        match world.try_plan(&goals) {
            Ok(plan) => {
                prop_assert!(!cyclic);
                let names = steps(&plan);
                let expected: BTreeSet<String> = reached.iter().map(|at| format!("t{at}")).collect();
                prop_assert_eq!(names.iter().cloned().collect::<BTreeSet<_>>(), expected);
                prop_assert_eq!(names.len(), reached.len());
                let told: BTreeSet<String> = edges(&plan).into_iter().collect();
                let wanted = reached.iter().flat_map(|from| graph[from].iter().map(move |to| format!("t{from} <- t{to}")));
                prop_assert_eq!(told, wanted.collect::<BTreeSet<_>>());
                for (at, step) in plan.steps.iter().enumerate() {
                    prop_assert!(step.needs.iter().all(|need| (need.step.0 as usize) < at));
                }
                // Maps with other seeds make the same plan.
                let again = World::new(&file(count, &needs)).plan(&["t0"]);
                prop_assert_eq!(plan, again);
            }
            Err(problems) => {
                prop_assert!(cyclic);
                prop_assert!(problems.as_slice().iter().all(|problem| problem.code == Code::Cycle));
            }
        }
    }
}
