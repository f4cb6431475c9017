//! The places of steps that work: as many as there are jobs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot::{self, error::TryRecvError};

/// Gives places to steps in the order in which they were started: one that was
/// started later has none while an earlier one may still want it.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    free: usize,
    next: u64,
    /// Those without a place that may want one.
    waiting: BTreeMap<u64, Wait>,
}

#[derive(Debug)]
enum Wait {
    /// It may find that it needs none.
    Preparing,
    Asking(oneshot::Sender<Place>),
}

/// The turn of a step that was started.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    places: Places,
    number: u64,
}

/// What comes of asking for a place.
#[derive(Debug)]
pub(super) enum Asked {
    /// There is one.
    Given(Place),
    /// One comes, or an end of the turn.
    Later(oneshot::Receiver<Place>),
    /// The turn is over.
    Never,
}

/// The right to work, until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Places);

impl Places {
    pub(super) fn new(jobs: usize) -> Self {
        Self(Arc::new(Mutex::new(Inner { free: jobs, next: 0, waiting: BTreeMap::new() })))
    }

    /// The turn of a step that is started now.
    pub(super) fn enter(&self) -> Turn {
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        inner.waiting.insert(number, Wait::Preparing);
        Turn { places: self.clone(), number }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives away what is free; the lock ends before anyone hears of it.
    fn give(&self, mut inner: MutexGuard<'_, Inner>) {
        let first = inner.waiting.iter().take(inner.free);
        let asking = first.filter(|(_, wait)| matches!(wait, Wait::Asking(_)));
        let numbers: Vec<u64> = asking.map(|(number, _)| *number).collect();
        inner.free -= numbers.len();
        let given: Vec<Wait> = numbers.iter().filter_map(|number| inner.waiting.remove(number)).collect();
        drop(inner);
        for wait in given {
            if let Wait::Asking(sender) = wait {
                // Who does not wait any more gives it back by dropping it.
                drop(sender.send(Place(self.clone())));
            }
        }
    }
}

impl Turn {
    /// Asks for a place.
    pub(super) fn ask(&self) -> Asked {
        let (sender, mut receiver) = oneshot::channel();
        let mut inner = self.places.lock();
        let Some(wait) = inner.waiting.get_mut(&self.number) else { return Asked::Never };
        // Dropped, the sender says that none will come.
        *wait = Wait::Asking(sender);
        self.places.give(inner);
        match receiver.try_recv() {
            Ok(place) => Asked::Given(place),
            Err(TryRecvError::Empty) => Asked::Later(receiver),
            Err(TryRecvError::Closed) => Asked::Never,
        }
    }

    /// Asks for a place, and waits for it; `None` if the turn is ended first.
    pub(super) async fn place(&self) -> Option<Place> {
        match self.ask() {
            Asked::Given(place) => Some(place),
            Asked::Later(place) => place.await.ok(),
            Asked::Never => None,
        }
    }

    /// A further place for a step that has one, if there is one that nobody waits for.
    pub(super) fn spare(&self) -> Option<Place> {
        let mut inner = self.places.lock();
        inner.free = if inner.waiting.is_empty() { inner.free.checked_sub(1)? } else { return None };
        Some(Place(self.places.clone()))
    }

    /// Wants no place any more, or is to have none. Whether it had none so far: then
    /// it gets none.
    pub(super) fn end(&self) -> bool {
        let mut inner = self.places.lock();
        let waited = inner.waiting.remove(&self.number).is_some();
        self.places.give(inner);
        waited
    }

    /// Whether it was ended before it had a place.
    pub(super) fn is_over(&self) -> bool {
        !self.places.lock().waiting.contains_key(&self.number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.free += 1;
        self.0.give(inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(turn: &Turn) -> Place {
        match turn.ask() {
            Asked::Given(place) => place,
            other => panic!("{other:?}"),
        }
    }

    fn later(turn: &Turn) -> oneshot::Receiver<Place> {
        match turn.ask() {
            Asked::Later(place) => place,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn places_are_given_in_the_order_of_the_turns() {
        let places = Places::new(2);
        let [one, two, three] = [places.enter(), places.enter(), places.enter()];
        // The first two may want both.
        let mut third = later(&three);
        let second = given(&two);
        assert!(third.try_recv().is_err(), "the first may want one");
        // It found that it needs none.
        assert!(one.end());
        let third = third.try_recv().unwrap();
        let four = places.enter();
        let mut fourth = later(&four);
        drop(second);
        assert!(fourth.try_recv().is_ok());
        drop(third);
    }

    #[tokio::test]
    async fn whose_turn_was_ended_gets_no_place() {
        let places = Places::new(1);
        let [one, two, three] = [places.enter(), places.enter(), places.enter()];
        let first = given(&one);
        let mut second = later(&two);
        assert!(!one.end() && two.end() && three.end());
        drop(first);
        assert!(second.try_recv().is_err() && matches!(three.ask(), Asked::Never) && three.is_over());
        assert!(three.place().await.is_none());
        given(&places.enter());
    }

    #[test]
    fn a_place_that_nobody_took_is_given_to_the_next() {
        let places = Places::new(1);
        let [one, two] = [places.enter(), places.enter()];
        drop(one.ask());
        given(&two);
    }
}
