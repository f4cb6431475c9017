//! The order in which steps run: a state machine without clock, thread, or file.
//!
//! The executor says what happened ([`Scheduler::ended`],
//! [`Scheduler::interrupt`], [`Scheduler::abort`]) and carries out the
//! [`Order`]s that follow from it. The scheduler does not know what steps do.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, BinaryHeap, VecDeque};
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
    /// It starts when all that comes without publishing has been done, and only
    /// if nothing has failed.
    pub(super) publishing: bool,
    /// The pool that it belongs to, as an index into [`Limits::pools`].
    pub(super) pool: Option<usize>,
}

/// How much may run at once, and how much after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Steps that work at once; at least 1. Unless it is 1, one more is started, so
    /// that it is ready to begin when one of them has done its work.
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
    /// Keep a step that was started from beginning to work, if it has not; it is
    /// then reported as [withdrawn](Scheduler::withdrawn).
    Withdraw(StepIndex),
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
    /// Does not work yet: it may find that it need not.
    Started,
    /// The same, and was told not to begin.
    Withdrawing,
    /// Works.
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
    /// such a step needs beside.
    essential: Vec<bool>,
    /// Has to be over before anything is published: what neither publishes nor
    /// comes after what does.
    preparing: Vec<bool>,
    /// How many preparing steps are not over.
    to_prepare: usize,
    states: Vec<State>,
    limits: Limits,
    /// Ready steps without a pool.
    ready: BinaryHeap<Turn>,
    ready_instant: VecDeque<usize>,
    ready_exclusive: BinaryHeap<Turn>,
    /// Publishing steps whose needs are met, until all is prepared.
    ready_to_publish: Vec<usize>,
    /// Ready steps of each pool.
    ready_in_pool: Vec<BinaryHeap<Turn>>,
    pool_running: Vec<usize>,
    /// Weight of what has not started of each pool.
    pool_left: Vec<u64>,
    running: usize,
    exclusive_running: bool,
    /// Why nothing starts any more but what runs whatever happens.
    stopped: Option<Dropped>,
    /// What was started and has not ended.
    active: BTreeSet<usize>,
    /// What failed, so that nothing is published.
    unfit: Option<Dropped>,
    orders: Vec<Order>,
}

/// Heaviest remaining path first, then the order of the plan.
type Turn = (u64, cmp::Reverse<StepIndex>);

/// Where a ready step waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Free,
    /// While one of these has the first turn, nothing else starts.
    Exclusive,
    Pool(usize),
}

impl Scheduler {
    /// A run in which nothing has started.
    pub(super) fn new(nodes: Vec<Node>, limits: Limits) -> Self {
        let dependents = dependents(&nodes);
        let preparing = preparing(&nodes);
        let mut scheduler = Self {
            remaining: remaining(&nodes, &dependents),
            essential: essential(&nodes),
            to_prepare: preparing.iter().filter(|preparing| **preparing).count(),
            preparing,
            states: nodes.iter().map(|node| State::Waiting(node.needs.len())).collect(),
            ready: BinaryHeap::new(),
            ready_instant: VecDeque::new(),
            ready_exclusive: BinaryHeap::new(),
            ready_to_publish: Vec::new(),
            ready_in_pool: vec![BinaryHeap::new(); limits.pools.len()],
            pool_running: vec![0; limits.pools.len()],
            pool_left: pool_left(&nodes, limits.pools.len()),
            running: 0,
            exclusive_running: false,
            stopped: None,
            active: BTreeSet::new(),
            unfit: None,
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

    /// What is to be done now.
    pub(super) fn orders(&mut self) -> Vec<Order> {
        while let Some(index) = self.next() {
            self.states[index] = State::Started;
            self.active.insert(index);
            let node = &self.nodes[index];
            if !node.instant {
                self.running += 1;
                self.exclusive_running = node.exclusive;
                if let Some(pool) = node.pool {
                    self.pool_running[pool] += 1;
                    self.pool_left[pool] = self.pool_left[pool].saturating_sub(node.weight);
                }
            }
            self.orders.push(Order::Start(step(index)));
        }
        mem::take(&mut self.orders)
    }

    /// A step that was started begins to work.
    pub(super) fn begun(&mut self, StepIndex(index): StepIndex) {
        if let Some(state @ (State::Started | State::Withdrawing)) = self.states.get_mut(index as usize) {
            *state = State::Running;
        }
    }

    /// A step that was started did not begin to work, as it was [told](Order::Withdraw).
    pub(super) fn withdrawn(&mut self, StepIndex(index): StepIndex) {
        let index = index as usize;
        if self.states.get(index) == Some(&State::Withdrawing) {
            self.free(index);
            self.settle(index, State::Dropped(self.stopped.or(self.unfit).unwrap_or(Dropped::Interruption)));
        }
    }

    /// A step that was started ended. Says whether it succeeded, or had nothing to do.
    pub(super) fn ended(&mut self, StepIndex(index): StepIndex, success: bool) {
        let index = index as usize;
        let state = self.states.get(index);
        if !matches!(state, Some(State::Started | State::Withdrawing | State::Running)) {
            return;
        }
        self.free(index);
        if success {
            self.settle(index, State::Succeeded);
            return;
        }
        self.settle(index, State::Failed);
        if self.limits.keep_going {
            if self.unfit.is_none() {
                let why = Dropped::Failure(step(index));
                self.unfit = Some(why);
                self.drop_where(|scheduler, at| scheduler.nodes[at].publishing, why);
            }
        } else {
            self.stop(Dropped::Failure(step(index)));
        }
    }

    /// Whether a step is to come to its end even when the run has been stopped: what it
    /// cleans up after has ended.
    pub(super) fn is_final(&self, StepIndex(index): StepIndex) -> bool {
        let node = self.nodes.get(index as usize);
        node.is_some_and(|node| node.needs.iter().any(|need| need.kind == NeedKind::End))
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
        if self.stopped.is_none() {
            self.stopped = Some(why);
            self.drop_where(|scheduler, at| !scheduler.essential[at] || scheduler.nodes[at].publishing, why);
        }
    }

    fn drop_where(&mut self, chosen: impl Fn(&Self, usize) -> bool, why: Dropped) {
        for index in 0..self.nodes.len() {
            if matches!(self.states[index], State::Waiting(_) | State::Ready) && chosen(self, index) {
                self.settle(index, State::Dropped(why));
            } else if self.states[index] == State::Started && chosen(self, index) {
                self.states[index] = State::Withdrawing;
                self.orders.push(Order::Withdraw(step(index)));
            }
        }
    }

    /// Gives back the places that a running step took.
    fn free(&mut self, index: usize) {
        self.active.remove(&index);
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
            self.prepared(index);
            let unmet = match state {
                State::Dropped(why) => {
                    let node = &self.nodes[index];
                    if let (Some(pool), false) = (node.pool, node.instant) {
                        self.pool_left[pool] = self.pool_left[pool].saturating_sub(node.weight);
                    }
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

    /// A step is over: if it was the last one to come before publishing, that may
    /// begin.
    fn prepared(&mut self, index: usize) {
        if self.preparing[index] {
            self.to_prepare -= 1;
            if self.to_prepare == 0 {
                for index in mem::take(&mut self.ready_to_publish) {
                    self.line_up(index);
                }
            }
        }
    }

    fn make_ready(&mut self, index: usize) {
        self.states[index] = State::Ready;
        self.orders.push(Order::Ready(step(index)));
        if self.nodes[index].publishing && self.to_prepare > 0 {
            self.ready_to_publish.push(index);
        } else {
            self.line_up(index);
        }
    }

    fn line_up(&mut self, index: usize) {
        let turn = (self.remaining[index], cmp::Reverse(step(index)));
        match &self.nodes[index] {
            node if node.instant => self.ready_instant.push_back(index),
            node if node.exclusive => self.ready_exclusive.push(turn),
            Node { pool: Some(pool), .. } => self.ready_in_pool[*pool].push(turn),
            _ => self.ready.push(turn),
        }
    }

    /// Takes the next step that may start now.
    fn next(&mut self) -> Option<usize> {
        while let Some(index) = self.ready_instant.pop_front() {
            if self.states[index] == State::Ready {
                return Some(index);
            }
        }
        let (jobs, ahead) = (self.limits.jobs, usize::from(self.limits.jobs > 1));
        if self.exclusive_running || self.running >= jobs + ahead {
            return None;
        }
        let (turn, queue) = self.best()?;
        if queue == Queue::Exclusive && self.running > 0 {
            // Nothing overtakes it: else it would wait for the end of all.
            return None;
        }
        if self.running >= jobs && self.is_less_urgent(turn.0) {
            return None;
        }
        self.queue(queue).pop();
        Some(turn.1.0.0 as usize)
    }

    /// Whether something may come that is more urgent than this when one of those that
    /// run has ended: what needs that one, or the next of its pool.
    fn is_less_urgent(&mut self, path: u64) -> bool {
        let behind = |at: &usize| self.remaining[*at].saturating_sub(self.nodes[*at].weight) > path;
        if self.active.iter().any(behind) {
            return true;
        }
        let pools: BTreeSet<usize> = self.active.iter().filter_map(|at| self.nodes[*at].pool).collect();
        pools.into_iter().any(|pool| self.head(Queue::Pool(pool)).is_some_and(|(head, _)| head > path))
    }

    /// The first of all queues whose head may start.
    fn best(&mut self) -> Option<(Turn, Queue)> {
        let pools =
            (0..self.ready_in_pool.len()).filter(|pool| self.pool_running[*pool] < self.limits.pools[*pool]);
        let queues: Vec<Queue> =
            [Queue::Free, Queue::Exclusive].into_iter().chain(pools.map(Queue::Pool)).collect();
        let heads = queues.into_iter().filter_map(|queue| Some((self.head(queue)?, queue)));
        // Of equals, one that has to wait for all others lets them go first.
        heads.max_by_key(|(turn, queue)| (turn.0, *queue != Queue::Exclusive, turn.1))
    }

    /// The first ready step of a queue. What is left of a pool takes at least its
    /// weight by the pool's size, however short the paths from there.
    fn head(&mut self, queue: Queue) -> Option<Turn> {
        loop {
            let (path, turn) = *self.queue(queue).peek()?;
            if self.states[turn.0.0 as usize] != State::Ready {
                self.queue(queue).pop();
                continue;
            }
            return Some(match queue {
                Queue::Pool(pool) => {
                    let left = self.pool_left[pool] / self.limits.pools[pool] as u64;
                    (path.max(left), turn)
                }
                Queue::Free | Queue::Exclusive => (path, turn),
            });
        }
    }

    fn queue(&mut self, queue: Queue) -> &mut BinaryHeap<Turn> {
        match queue {
            Queue::Free => &mut self.ready,
            Queue::Exclusive => &mut self.ready_exclusive,
            Queue::Pool(pool) => &mut self.ready_in_pool[pool],
        }
    }
}

/// How long steps are expected to take of which only some are known: the others
/// as long as the one in the middle of those that take any time.
pub(super) fn estimated(known: &[Option<u64>]) -> Vec<u64> {
    let mut sorted: Vec<u64> = known.iter().copied().flatten().filter(|known| *known > 0).collect();
    let middle = sorted.len() / 2;
    let unknown = if sorted.is_empty() { 1 } else { *sorted.select_nth_unstable(middle).1 };
    known.iter().map(|known| known.unwrap_or(unknown)).collect()
}

fn pool_left(nodes: &[Node], pools: usize) -> Vec<u64> {
    let mut left = vec![0_u64; pools];
    for node in nodes.iter().filter(|node| !node.instant) {
        if let Some(pool) = node.pool {
            left[pool] = left[pool].saturating_add(node.weight);
        }
    }
    left
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

fn preparing(nodes: &[Node]) -> Vec<bool> {
    let mut preparing: Vec<bool> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let unpublished = node.needs.iter().all(|need| preparing[need.step.0 as usize]);
        preparing.push(!node.publishing && unpublished);
    }
    preparing
}

fn essential(nodes: &[Node]) -> Vec<bool> {
    let mut essential: Vec<bool> =
        nodes.iter().map(|node| node.needs.iter().any(|need| need.kind == NeedKind::End)).collect();
    for index in (0..nodes.len()).rev() {
        if essential[index] {
            // What was not begun need not be cleaned up after.
            let ends = |need: &&Need| nodes[index].needs.contains(&Need { kind: NeedKind::End, ..**need });
            for need in nodes[index].needs.iter().filter(|need| !ends(need)) {
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
