//! How a core's counters become visible: it copies the block out as one value about ten times a
//! second. Written by the worker, read by the control plane; the worker never waits for a reader.

use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use common::counters::Counters;

/// How old a published value may be while the core is busy. Chosen: metrics are scraped every few
/// seconds; a copy of 400 bytes ten times a second costs nothing.
pub(crate) const PERIOD: Duration = Duration::from_millis(100);

/// What a core last published.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Published {
    /// Its counters.
    pub(crate) counters: Counters,
    /// Frames from other cores that waited when it published.
    pub(crate) frames_waiting: usize,
}

/// The place where one core publishes.
#[derive(Default)]
pub(crate) struct Board(Mutex<Published>);

impl Board {
    /// The last published value.
    pub(crate) fn read(&self) -> Published {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes, unless a reader holds the board this very moment; then it returns false.
    pub(crate) fn publish(&self, value: Published) -> bool {
        match self.0.try_lock() {
            Ok(mut place) => *place = value,
            Err(TryLockError::Poisoned(place)) => *place.into_inner() = value,
            Err(TryLockError::WouldBlock) => return false,
        }
        true
    }
}

/// When the next copy is due.
pub(crate) struct Schedule {
    next: Instant,
    dirty: bool,
}

impl Schedule {
    /// Nothing to publish yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self { next: now, dirty: true }
    }

    /// Something was counted.
    pub(crate) fn touch(&mut self) {
        self.dirty = true;
    }

    /// Whether a copy is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.dirty && now >= self.next
    }

    /// A copy was made at `now`.
    pub(crate) fn done(&mut self, now: Instant) {
        self.dirty = false;
        self.next = now + PERIOD;
    }

    /// Until when the core may sleep without leaving counts unpublished.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.dirty.then_some(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_never_stops_the_core() {
        let board = Board::default();
        let held = board.0.lock();
        assert!(!board.publish(Published::default()));
        drop(held);
        assert!(board.publish(Published { frames_waiting: 7, ..Published::default() }));
        assert_eq!(board.read().frames_waiting, 7);
    }

    #[test]
    fn an_idle_core_sleeps_on_and_a_busy_one_publishes_in_time() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        assert!(schedule.is_due(start));
        schedule.done(start);
        assert_eq!(schedule.deadline(), None);
        schedule.touch();
        assert_eq!(schedule.deadline(), Some(start + PERIOD));
        assert!(!schedule.is_due(start + PERIOD / 2));
        assert!(schedule.is_due(start + PERIOD));
    }
}
