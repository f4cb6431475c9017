//! The order of steps, in examples and against an oracle.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

fn need(index: usize, kind: NeedKind) -> Need {
    Need { step: step(index), kind }
}

fn node(needs: &[usize]) -> Node {
    let needs = needs.iter().map(|at| need(*at, NeedKind::Success)).collect();
    Node { needs, weight: 1, ..Node::default() }
}

fn limits(jobs: usize) -> Limits {
    Limits { jobs, pools: Vec::new(), keep_going: false }
}

fn started(orders: &[Order]) -> Vec<u32> {
    let start = |order: &Order| match order {
        Order::Start(step) => Some(step.0),
        _ => None,
    };
    orders.iter().filter_map(start).collect()
}

#[test]
fn the_longest_remaining_path_goes_first() {
    let nodes = vec![node(&[]), node(&[]), node(&[1]), Node { weight: 9, ..node(&[]) }];
    let mut scheduler = Scheduler::new(nodes, limits(1));
    assert_eq!(started(&scheduler.orders()), [3]);
    scheduler.ended(step(3), true);
    assert_eq!(started(&scheduler.orders()), [1]);
    scheduler.ended(step(1), true);
    assert_eq!(started(&scheduler.orders()), [0]);
}

#[test]
fn one_more_gets_ready_unless_something_more_urgent_comes_behind_what_runs() {
    let nodes = || vec![node(&[]), node(&[]), Node { weight: 5, ..node(&[0]) }, node(&[]), node(&[1])];
    let mut scheduler = Scheduler::new(nodes(), limits(2));
    assert_eq!(started(&scheduler.orders()), [0, 1]);
    scheduler.ended(step(1), true);
    assert_eq!(started(&scheduler.orders()), [3]);
    scheduler.ended(step(0), true);
    assert_eq!(started(&scheduler.orders()), [2, 4]);
    let mut one_by_one = Scheduler::new(nodes(), limits(1));
    assert_eq!(started(&one_by_one.orders()), [0]);
}

#[test]
fn what_has_not_begun_does_not_begin_after_a_failure() {
    let mut scheduler = Scheduler::new(vec![node(&[]), node(&[]), node(&[]), node(&[2])], limits(2));
    assert_eq!(started(&scheduler.orders()), [2, 0, 1]);
    scheduler.begun(step(2));
    scheduler.begun(step(0));
    scheduler.ended(step(0), false);
    let dropped = |at| Order::Drop(step(at), Dropped::Failure(step(0)));
    assert_eq!(scheduler.orders(), [Order::Withdraw(step(1)), dropped(3)]);
    scheduler.withdrawn(step(1));
    assert_eq!(scheduler.orders(), [dropped(1)]);
}

#[test]
fn a_failure_drops_what_needs_it_and_then_all_others() {
    let nodes = vec![node(&[]), node(&[0]), node(&[1]), node(&[])];
    let mut scheduler = Scheduler::new(nodes, limits(1));
    scheduler.orders();
    scheduler.ended(step(0), false);
    let dropped = [
        Order::Drop(step(1), Dropped::Need(step(0))),
        Order::Drop(step(2), Dropped::Need(step(0))),
        Order::Drop(step(3), Dropped::Failure(step(0))),
    ];
    assert_eq!(scheduler.orders(), dropped);
}

#[test]
fn what_must_end_a_step_runs_after_an_interruption_with_all_that_it_needs() {
    let end = Node { needs: vec![need(0, NeedKind::End), need(1, NeedKind::Success)], ..node(&[]) };
    let nodes = vec![node(&[]), node(&[]), node(&[]), end];
    let mut scheduler = Scheduler::new(nodes, limits(1));
    assert_eq!(started(&scheduler.orders()), [0]);
    scheduler.begun(step(0));
    scheduler.interrupt();
    assert_eq!(scheduler.orders(), [Order::Drop(step(2), Dropped::Interruption)]);
    scheduler.ended(step(0), false);
    assert_eq!(scheduler.orders(), [Order::Start(step(1))]);
    scheduler.ended(step(1), true);
    assert_eq!(scheduler.orders(), [Order::Ready(step(3)), Order::Start(step(3))]);
}

#[test]
fn what_needs_the_step_that_it_ends_runs_if_that_was_begun() {
    let end = Node { needs: vec![need(0, NeedKind::Product), need(0, NeedKind::End)], ..node(&[]) };
    let nodes = vec![node(&[]), node(&[]), end];
    let mut scheduler = Scheduler::new(nodes.clone(), limits(2));
    assert_eq!(started(&scheduler.orders()), [0, 1]);
    scheduler.begun(step(0));
    scheduler.ended(step(1), false);
    assert_eq!(scheduler.orders(), []);
    scheduler.ended(step(0), true);
    assert_eq!(scheduler.orders(), [Order::Ready(step(2)), Order::Start(step(2))]);

    let nodes = vec![node(&[]), Node { weight: 9, ..nodes[1].clone() }, nodes[2].clone()];
    let mut scheduler = Scheduler::new(nodes, limits(1));
    assert_eq!(started(&scheduler.orders()), [1]);
    scheduler.ended(step(1), false);
    let dropped = [0, 2].map(|at| Order::Drop(step(at), Dropped::Failure(step(1))));
    assert_eq!(scheduler.orders(), dropped);
}

#[test]
fn nothing_is_published_before_all_else_is_done() {
    let publish = Node { publishing: true, weight: 99, ..node(&[0]) };
    let nodes = vec![node(&[]), publish, node(&[1]), node(&[])];
    let mut scheduler = Scheduler::new(nodes, limits(2));
    assert_eq!(started(&scheduler.orders()), [0, 3]);
    scheduler.ended(step(0), true);
    assert_eq!(scheduler.orders(), [Order::Ready(step(1))]);
    scheduler.ended(step(3), true);
    assert_eq!(scheduler.orders(), [Order::Start(step(1))]);
}

#[test]
fn after_an_abort_nothing_starts() {
    let end = Node { needs: vec![need(0, NeedKind::End)], ..node(&[]) };
    let mut scheduler = Scheduler::new(vec![node(&[]), end], limits(1));
    scheduler.orders();
    scheduler.interrupt();
    scheduler.abort();
    let dropped = Order::Drop(step(1), Dropped::Interruption);
    assert_eq!(scheduler.orders(), [Order::Withdraw(step(0)), dropped]);
    scheduler.begun(step(0));
    scheduler.ended(step(0), false);
    assert_eq!(scheduler.orders(), []);
}

#[test]
fn a_step_that_runs_alone_has_its_turn_before_what_is_less_urgent() {
    let alone = Node { exclusive: true, weight: 5, ..node(&[]) };
    let nodes = vec![Node { weight: 9, ..node(&[]) }, alone, node(&[]), node(&[])];
    let mut scheduler = Scheduler::new(nodes, limits(2));
    assert_eq!(started(&scheduler.orders()), [0]);
    scheduler.ended(step(0), true);
    assert_eq!(started(&scheduler.orders()), [1]);
    scheduler.ended(step(1), true);
    assert_eq!(started(&scheduler.orders()), [2, 3]);
}

#[test]
fn a_full_pool_keeps_nothing_else_from_its_place_and_a_long_one_begins_early() {
    let pooled = Node { pool: Some(0), weight: 2, ..node(&[]) };
    let mut nodes = vec![Node { weight: 3, ..node(&[]) }; 4];
    nodes.extend(vec![pooled; 9]);
    let mut scheduler = Scheduler::new(nodes, Limits { pools: vec![1], ..limits(3) });
    assert_eq!(started(&scheduler.orders()), [4, 0, 1]);
}

#[test]
fn what_is_not_known_takes_as_long_as_others() {
    assert_eq!(estimated(&[Some(9), None, Some(2), Some(5)]), [9, 5, 2, 5]);
    assert_eq!(estimated(&[None, None]), [1, 1]);
}

/// How long a run of these steps takes where each takes its weight.
fn makespan(nodes: &[Node], limits: Limits) -> u64 {
    let mut places = limits.jobs;
    let mut scheduler = Scheduler::new(nodes.to_vec(), limits);
    let (mut now, mut working, mut waiting) = (0, BinaryHeap::new(), VecDeque::new());
    loop {
        waiting.extend(started(&scheduler.orders()));
        while let Some(at) = waiting.pop_front() {
            let Node { instant, weight, .. } = nodes[at as usize];
            if !instant && places == 0 {
                waiting.push_front(at);
                break;
            }
            places -= usize::from(!instant);
            working.push(cmp::Reverse((now + if instant { 0 } else { weight }, at)));
        }
        let Some(cmp::Reverse((end, at))) = working.pop() else { return now };
        now = end;
        places += usize::from(!nodes[at as usize].instant);
        scheduler.ended(StepIndex(at), true);
    }
}

fn bounds(nodes: &[Node], jobs: usize) -> (u64, u64) {
    let path = remaining(nodes, &dependents(nodes)).into_iter().max().unwrap_or(0);
    (path, nodes.iter().map(|node| node.weight).sum::<u64>().div_ceil(jobs as u64))
}

#[test]
fn heavy_tailed_steps_take_hardly_longer_than_they_must() {
    for seed in 1..40_u64 {
        let mut random = seed;
        let mut weight = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Of a Pareto distribution: few steps make up most of the work.
            2_000_000 / ((random >> 33) % 1000 + 1)
        };
        let nodes: Vec<Node> = (0..300).map(|_| Node { weight: weight(), ..node(&[]) }).collect();
        let (path, work) = bounds(&nodes, 8);
        let took = makespan(&nodes, limits(8));
        assert!(took * 100 <= path.max(work) * 105, "{took} for {path} and {work}");
    }
}

#[test]
fn a_pool_that_is_the_bottleneck_is_never_idle() {
    let mut nodes = vec![Node { weight: 10, ..node(&[]) }; 100];
    nodes.extend(vec![Node { weight: 7, pool: Some(0), ..node(&[]) }; 60]);
    assert_eq!(makespan(&nodes, Limits { pools: vec![1], ..limits(4) }), 420);
}

/// A graph, what each step's fate is, and whether the run is interrupted.
#[derive(Clone, Debug)]
struct Case {
    nodes: Vec<Node>,
    limits: Limits,
    fails: Vec<bool>,
    /// Which of them say that they begin to work before they end.
    works: Vec<bool>,
    interrupt_after: Option<usize>,
    order: Vec<Index>,
}

fn a_node(index: usize) -> impl Strategy<Value = (Node, bool)> {
    let kind =
        prop_oneof![4 => Just(NeedKind::Success), 2 => Just(NeedKind::Product), 1 => Just(NeedKind::End)];
    let needs = prop::collection::btree_map(0..index.max(1), kind, 0..4);
    let rare = || prop::bool::weighted(0.1);
    let pool = prop::option::weighted(0.4, 0..2_usize);
    (needs, 1..9_u64, rare(), rare(), rare(), pool, rare()).prop_map(
        move |(needs, weight, instant, exclusive, publishing, pool, fails)| {
            let needs = needs.into_iter().filter(|(at, _)| *at < index);
            let needs = needs.map(|(at, kind)| need(at, kind)).collect();
            (Node { needs, weight, instant, exclusive, publishing, pool }, fails && !instant)
        },
    )
}

fn a_case() -> impl Strategy<Value = Case> {
    let nodes = (0..14_usize).prop_flat_map(|count| (0..count).map(a_node).collect::<Vec<_>>());
    let order = prop::collection::vec(any::<Index>(), 30);
    (
        nodes,
        1..5_usize,
        (1..3_usize, 1..3_usize),
        any::<bool>(),
        prop::option::weighted(0.3, 0..14_usize),
        (order, prop::collection::vec(any::<bool>(), 14)),
    )
        .prop_map(|(nodes, jobs, pools, keep_going, interrupt_after, (order, works))| {
            let (nodes, fails) = nodes.into_iter().unzip();
            let limits = Limits { jobs, pools: vec![pools.0, pools.1], keep_going };
            Case { nodes, limits, fails, works, interrupt_after, order }
        })
}

/// What was seen of a run from outside.
#[derive(Debug, Default)]
struct Seen {
    running: BTreeSet<usize>,
    /// Those of the running ones that work.
    begun: BTreeSet<usize>,
    withdrawn: BTreeSet<usize>,
    succeeded: BTreeSet<usize>,
    failed: BTreeSet<usize>,
    dropped: BTreeSet<usize>,
    interrupted: bool,
}

impl Seen {
    fn settled(&self, at: usize) -> bool {
        [&self.succeeded, &self.failed, &self.dropped].iter().any(|set| set.contains(&at))
    }

    fn check_start(&self, case: &Case, at: usize) {
        let node = &case.nodes[at];
        assert!(!self.running.contains(&at) && !self.settled(at), "{at} starts twice");
        for need in &node.needs {
            let before = need.step.0 as usize;
            let met = if need.kind == NeedKind::End {
                self.settled(before)
            } else {
                self.succeeded.contains(&before)
            };
            assert!(met, "{at} starts before {before}");
        }
        assert!(!node.publishing || self.failed.is_empty(), "{at} publishes after a failure");
        let prepared = |at: usize| !preparing(&case.nodes)[at] || self.settled(at);
        assert!(!node.publishing || (0..case.nodes.len()).all(prepared), "{at} publishes too early");
        let stopped = self.interrupted || (!self.failed.is_empty() && !case.limits.keep_going);
        assert!(!stopped || essential(&case.nodes)[at], "{at} starts after the stop");
    }

    fn check_limits(&self, case: &Case) {
        let working = || self.running.iter().filter(|at| !case.nodes[**at].instant);
        let ahead = usize::from(case.limits.jobs > 1);
        assert!(working().count() <= case.limits.jobs + ahead, "too many jobs");
        for (pool, size) in case.limits.pools.iter().enumerate() {
            assert!(
                working().filter(|at| case.nodes[**at].pool == Some(pool)).count() <= *size,
                "pool {pool}"
            );
        }
        let exclusive = working().any(|at| case.nodes[*at].exclusive);
        assert!(!exclusive || working().count() == 1, "an exclusive step has company");
    }

    fn take(&mut self, case: &Case, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Ready(_) => {}
                Order::Withdraw(StepIndex(at)) => {
                    assert!(self.running.contains(&(at as usize)) && !self.begun.contains(&(at as usize)));
                    self.withdrawn.insert(at as usize);
                }
                Order::Start(StepIndex(at)) => {
                    self.check_start(case, at as usize);
                    self.running.insert(at as usize);
                    self.check_limits(case);
                }
                Order::Drop(StepIndex(at), _) => {
                    assert!(!self.running.contains(&(at as usize)) && !self.settled(at as usize));
                    self.dropped.insert(at as usize);
                }
            }
        }
    }
}

fn play(case: &Case) -> Seen {
    let mut scheduler = Scheduler::new(case.nodes.clone(), case.limits.clone());
    let mut seen = Seen::default();
    for round in 0.. {
        if case.interrupt_after == Some(round) {
            seen.interrupted = true;
            scheduler.interrupt();
        }
        seen.take(case, scheduler.orders());
        if seen.running.is_empty() {
            break;
        }
        let running: Vec<usize> = seen.running.iter().copied().collect();
        let at = *case.order[round % case.order.len()].get(&running);
        if case.works[at] && !seen.withdrawn.contains(&at) && seen.begun.insert(at) {
            scheduler.begun(step(at));
            continue;
        }
        seen.running.remove(&at);
        if seen.withdrawn.remove(&at) {
            scheduler.withdrawn(step(at));
            continue;
        }
        if case.fails[at] { &mut seen.failed } else { &mut seen.succeeded }.insert(at);
        scheduler.ended(step(at), !case.fails[at]);
    }
    seen
}

/// Which steps succeed where nothing stops the run: those that do not fail
/// and whose needs succeed.
fn expected(case: &Case) -> BTreeSet<usize> {
    let mut succeeds = BTreeSet::new();
    for (at, node) in case.nodes.iter().enumerate() {
        let met = |need: &Need| need.kind == NeedKind::End || succeeds.contains(&(need.step.0 as usize));
        if !case.fails[at] && node.needs.iter().all(met) {
            succeeds.insert(at);
        }
    }
    succeeds
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_step_ends_once_and_starts_only_after_its_needs(case in a_case()) {
        let seen = play(&case);
        prop_assert_eq!(seen.succeeded.len() + seen.failed.len() + seen.dropped.len(), case.nodes.len());
    }

    #[test]
    fn no_place_is_idle_while_something_could_run(case in a_case()) {
        let mut nodes = case.nodes;
        for node in &mut nodes {
            (node.pool, node.exclusive, node.publishing) = (None, false, false);
            if node.instant {
                node.weight = 0;
            }
        }
        let jobs = case.limits.jobs as u64;
        let work: u64 = nodes.iter().map(|node| node.weight).sum();
        let (path, _) = bounds(&nodes, 1);
        // No list schedule takes longer (Graham, 1966).
        prop_assert!(makespan(&nodes, case.limits) * jobs <= work + path * (jobs - 1));
    }

    #[test]
    fn what_can_succeed_does(case in a_case()) {
        let mut case = Case { interrupt_after: None, ..case };
        case.limits.keep_going = true;
        case.nodes.iter_mut().for_each(|node| node.publishing = false);
        let seen = play(&case);
        prop_assert_eq!(seen.succeeded, expected(&case));
    }
}
