//! The order in which steps run: a state machine without clock, thread, or file.
//!
//! The executor says what happened ([`Scheduler::ended`],
//! [`Scheduler::interrupt`], [`Scheduler::abort`]) and carries out the
//! [`Order`]s that follow from it. The scheduler does not know what steps do.

use std::collections::{BinaryHeap, VecDeque};
use std::{cmp, mem};

use crate::plan::{Need, NeedKind, StepIndex};

/// What the scheduler knows of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// Steps that come before; all of them have a lower index.
    pub(super) needs: Vec<Need>,
    /// How long it is expected to take, in any unit that is the same for all.
    pub(super) weight: u64,
    /// It does nothing, so it takes none of the places that jobs take.
    pub(super) instant: bool,
    /// It runs while nothing else does.
    pub(super) exclusive: bool,
    /// It starts only while nothing has failed.
    pub(super) publishing: bool,
    /// The pool that it belongs to, as an index into [`Limits::pools`].
    pub(super) pool: Option<usize>,
}

/// How much may run at once, and how much after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Steps at once; at least 1.
    pub(super) jobs: usize,
    /// Steps at once of each pool; at least 1.
    pub(super) pools: Vec<usize>,
    /// After a failure, still run what does not need the failed step.
    pub(super) keep_going: bool,
}

/// What the executor is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Say that the step could start and waits for its turn.
    Ready(StepIndex),
    /// Start the step, and report its end.
    Start(StepIndex),
    /// Say that the step will not start.
    Drop(StepIndex, Dropped),
}

/// Why a step will not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// This step did not succeed, and the dropped one needs it, maybe by way of
    /// others.
    Need(StepIndex),
    /// This step failed, which ends the run or forbids to publish.
    Failure(StepIndex),
    /// The run was interrupted.
    Interruption,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many of its needs have not ended.
    Waiting(usize),
    Ready,
    Running,
    Succeeded,
    /// Ran, and failed or was stopped.
    Failed,
    Dropped(Dropped),
}

/// Which steps may run, and which will.
#[derive(Debug)]
pub(super) struct Scheduler {
    nodes: Vec<Node>,
    dependents: Vec<Vec<Need>>,
    /// Weight of the heaviest path from the step to the end of the run.
    remaining: Vec<u64>,
    /// Runs even when the run has been stopped: what has an end-need, and what
    /// such a step needs.
    essential: Vec<bool>,
    states: Vec<State>,
    limits: Limits,
    ready: BinaryHeap<Turn>,
    ready_instant: VecDeque<usize>,
    ready_exclusive: BinaryHeap<Turn>,
    /// Ready steps whose pool is full.
    parked: Vec<BinaryHeap<Turn>>,
    pool_running: Vec<usize>,
    running: usize,
    exclusive_running: bool,
    stopped: bool,
    orders: Vec<Order>,
}

/// Heaviest remaining path first, then the order of the plan.
type Turn = (u64, cmp::Reverse<StepIndex>);

impl Scheduler {
    /// A run in which nothing has started.
    pub(super) fn new(nodes: Vec<Node>, limits: Limits) -> Self {
        let dependents = dependents(&nodes);
        let mut scheduler = Self {
            remaining: remaining(&nodes, &dependents),
            essential: essential(&nodes),
            states: nodes.iter().map(|node| State::Waiting(node.needs.len())).collect(),
            ready: BinaryHeap::new(),
            ready_instant: VecDeque::new(),
            ready_exclusive: BinaryHeap::new(),
            parked: vec![BinaryHeap::new(); limits.pools.len()],
            pool_running: vec![0; limits.pools.len()],
            running: 0,
            exclusive_running: false,
            stopped: false,
            orders: Vec::new(),
            dependents,
            nodes,
            limits,
        };
        for index in 0..scheduler.nodes.len() {
            if scheduler.states[index] == State::Waiting(0) {
                scheduler.make_ready(index);
            }
        }
        scheduler
    }

    /// What is to be done now. Steps that are to start count as running.
    pub(super) fn orders(&mut self) -> Vec<Order> {
        while let Some(index) = self.next() {
            self.states[index] = State::Running;
            let node = &self.nodes[index];
            if !node.instant {
                self.running += 1;
                self.exclusive_running = node.exclusive;
                if let Some(pool) = node.pool {
                    self.pool_running[pool] += 1;
                }
            }
            self.orders.push(Order::Start(step(index)));
        }
        mem::take(&mut self.orders)
    }

    /// A running step ended. Says whether it succeeded, or had nothing to do.
    pub(super) fn ended(&mut self, StepIndex(index): StepIndex, success: bool) {
        let index = index as usize;
        if self.states.get(index) != Some(&State::Running) {
            return;
        }
        self.free(index);
        if success {
            self.settle(index, State::Succeeded);
            return;
        }
        self.settle(index, State::Failed);
        if self.limits.keep_going {
            let publishes = |scheduler: &Self, at: usize| scheduler.nodes[at].publishing;
            self.drop_where(publishes, Dropped::Failure(step(index)));
        } else {
            self.stop(Dropped::Failure(step(index)));
        }
    }

    /// Lets nothing start any more but what runs whatever happens.
    pub(super) fn interrupt(&mut self) {
        self.stop(Dropped::Interruption);
    }

    /// Lets nothing start any more.
    pub(super) fn abort(&mut self) {
        self.drop_where(|_, _| true, Dropped::Interruption);
    }

    fn stop(&mut self, why: Dropped) {
        if !mem::replace(&mut self.stopped, true) {
            self.drop_where(|scheduler, at| !scheduler.essential[at] || scheduler.nodes[at].publishing, why);
        }
    }

    fn drop_where(&mut self, chosen: impl Fn(&Self, usize) -> bool, why: Dropped) {
        for index in 0..self.nodes.len() {
            if matches!(self.states[index], State::Waiting(_) | State::Ready) && chosen(self, index) {
                self.settle(index, State::Dropped(why));
            }
        }
    }

    /// Gives back the places that a running step took.
    fn free(&mut self, index: usize) {
        let node = &self.nodes[index];
        if node.instant {
            return;
        }
        self.running -= 1;
        self.exclusive_running = false;
        if let Some(pool) = node.pool {
            self.pool_running[pool] -= 1;
        }
    }

    /// Gives a step its last state, and those that wait for it theirs.
    fn settle(&mut self, index: usize, state: State) {
        let mut queue = VecDeque::from([(index, state)]);
        while let Some((index, state)) = queue.pop_front() {
            if matches!(self.states[index], State::Dropped(_)) {
                continue;
            }
            self.states[index] = state;
            let unmet = match state {
                State::Dropped(why) => {
                    self.orders.push(Order::Drop(step(index), why));
                    Some(why)
                }
                State::Failed => Some(Dropped::Need(step(index))),
                _ => None,
            };
            for at in 0..self.dependents[index].len() {
                let Need { step: StepIndex(dependent), kind } = self.dependents[index][at];
                let dependent = dependent as usize;
                let State::Waiting(left) = self.states[dependent] else { continue };
                match unmet {
                    Some(why) if kind != NeedKind::End => queue.push_back((dependent, State::Dropped(why))),
                    _ if left > 1 => self.states[dependent] = State::Waiting(left - 1),
                    _ => self.make_ready(dependent),
                }
            }
        }
    }

    fn make_ready(&mut self, index: usize) {
        self.states[index] = State::Ready;
        self.orders.push(Order::Ready(step(index)));
        let turn = (self.remaining[index], cmp::Reverse(step(index)));
        match &self.nodes[index] {
            node if node.instant => self.ready_instant.push_back(index),
            node if node.exclusive => self.ready_exclusive.push(turn),
            _ => self.ready.push(turn),
        }
    }

    /// Takes the next step that may start now. Exclusive ones wait until nothing
    /// else can run.
    fn next(&mut self) -> Option<usize> {
        while let Some(index) = self.ready_instant.pop_front() {
            if self.states[index] == State::Ready {
                return Some(index);
            }
        }
        if self.exclusive_running || self.running >= self.limits.jobs {
            return None;
        }
        for pool in 0..self.parked.len() {
            while self.has_room(pool) {
                let Some(turn) = self.parked[pool].pop() else { break };
                if self.states[turn.1.0.0 as usize] == State::Ready {
                    self.ready.push(turn);
                    break;
                }
            }
        }
        while let Some(turn) = self.ready.pop() {
            let (_, cmp::Reverse(StepIndex(index))) = turn;
            let index = index as usize;
            match self.nodes[index].pool {
                _ if self.states[index] != State::Ready => {}
                Some(pool) if !self.has_room(pool) => self.parked[pool].push(turn),
                _ => return Some(index),
            }
        }
        self.next_exclusive()
    }

    fn has_room(&self, pool: usize) -> bool {
        self.pool_running[pool] < self.limits.pools[pool]
    }

    fn next_exclusive(&mut self) -> Option<usize> {
        while self.running == 0 {
            let (_, cmp::Reverse(StepIndex(index))) = self.ready_exclusive.pop()?;
            if self.states[index as usize] == State::Ready {
                return Some(index as usize);
            }
        }
        None
    }
}

/// The edges turned around: for each step those that need it.
fn dependents(nodes: &[Node]) -> Vec<Vec<Need>> {
    let mut dependents = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        for need in &node.needs {
            dependents[need.step.0 as usize].push(Need { step: step(index), kind: need.kind });
        }
    }
    dependents
}

fn remaining(nodes: &[Node], dependents: &[Vec<Need>]) -> Vec<u64> {
    let mut remaining = vec![0_u64; nodes.len()];
    for index in (0..nodes.len()).rev() {
        let after = dependents[index].iter().map(|need| remaining[need.step.0 as usize]).max();
        remaining[index] = nodes[index].weight.saturating_add(after.unwrap_or(0));
    }
    remaining
}

fn essential(nodes: &[Node]) -> Vec<bool> {
    let mut essential: Vec<bool> =
        nodes.iter().map(|node| node.needs.iter().any(|need| need.kind == NeedKind::End)).collect();
    for index in (0..nodes.len()).rev() {
        if essential[index] {
            for need in nodes[index].needs.iter().filter(|need| need.kind != NeedKind::End) {
                essential[need.step.0 as usize] = true;
            }
        }
    }
    essential
}

#[expect(clippy::cast_possible_truncation, reason = "a plan's steps are numbered in 32 bits")]
const fn step(index: usize) -> StepIndex {
    StepIndex(index as u32)
}

#[cfg(test)]
mod tests {
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
        scheduler.interrupt();
        assert_eq!(scheduler.orders(), [Order::Drop(step(2), Dropped::Interruption)]);
        scheduler.ended(step(0), false);
        assert_eq!(scheduler.orders(), [Order::Start(step(1))]);
        scheduler.ended(step(1), true);
        assert_eq!(scheduler.orders(), [Order::Ready(step(3)), Order::Start(step(3))]);
    }

    #[test]
    fn after_an_abort_nothing_starts() {
        let end = Node { needs: vec![need(0, NeedKind::End)], ..node(&[]) };
        let mut scheduler = Scheduler::new(vec![node(&[]), end], limits(1));
        scheduler.orders();
        scheduler.interrupt();
        scheduler.abort();
        scheduler.ended(step(0), false);
        assert_eq!(scheduler.orders(), [Order::Drop(step(1), Dropped::Interruption)]);
    }

    /// A graph, what each step's fate is, and whether the run is interrupted.
    #[derive(Clone, Debug)]
    struct Case {
        nodes: Vec<Node>,
        limits: Limits,
        fails: Vec<bool>,
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
            order,
        )
            .prop_map(|(nodes, jobs, pools, keep_going, interrupt_after, order)| {
                let (nodes, fails) = nodes.into_iter().unzip();
                let limits = Limits { jobs, pools: vec![pools.0, pools.1], keep_going };
                Case { nodes, limits, fails, interrupt_after, order }
            })
    }

    /// What was seen of a run from outside.
    #[derive(Debug, Default)]
    struct Seen {
        running: BTreeSet<usize>,
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
            let stopped = self.interrupted || (!self.failed.is_empty() && !case.limits.keep_going);
            assert!(!stopped || essential(&case.nodes)[at], "{at} starts after the stop");
        }

        fn check_limits(&self, case: &Case) {
            let working = || self.running.iter().filter(|at| !case.nodes[**at].instant);
            assert!(working().count() <= case.limits.jobs, "too many jobs");
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
            seen.running.remove(&at);
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
        fn what_can_succeed_does(case in a_case()) {
            let mut case = Case { interrupt_after: None, ..case };
            case.limits.keep_going = true;
            case.nodes.iter_mut().for_each(|node| node.publishing = false);
            let seen = play(&case);
            prop_assert_eq!(seen.succeeded, expected(&case));
        }
    }
}
