//! A bounded queue of events, the newest of them: what a stream can resume from, and what waits for
//! a webhook. Old ones give way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use common::limits::{EVENTS_KEPT_BYTES, EVENTS_KEPT_MAX};

use super::words::Kind;

/// An event as it is sent.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Told {
    /// Its number among those of its app, without gaps.
    pub(super) number: u64,
    /// Its id.
    pub(super) id: String,
    /// Its type.
    pub(super) kind: Kind,
    /// The event in JSON.
    pub(super) json: Bytes,
    /// When it happened.
    pub(super) at: Instant,
}

/// The queue.
#[derive(Default, Debug)]
pub(super) struct Kept {
    events: VecDeque<Arc<Told>>,
    bytes: usize,
}

impl Kept {
    /// Adds an event. Returns how many older ones gave way to it.
    pub(super) fn push(&mut self, told: Arc<Told>) -> u64 {
        self.bytes += told.json.len();
        self.events.push_back(told);
        let mut gone = 0;
        while self.events.len() > 1
            && (self.events.len() > EVENTS_KEPT_MAX || self.bytes > EVENTS_KEPT_BYTES)
        {
            self.pop();
            gone += 1;
        }
        gone
    }

    /// The oldest.
    pub(super) fn first(&self) -> Option<&Arc<Told>> {
        self.events.front()
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<Arc<Told>> {
        let told = self.events.pop_front()?;
        self.bytes -= told.json.len();
        Some(told)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Those from a number on.
    pub(super) fn from(&self, number: u64) -> impl Iterator<Item = &Arc<Told>> {
        self.events.iter().skip(self.events.partition_point(|told| told.number < number))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn told(number: u64, len: usize) -> Arc<Told> {
        let json = Bytes::from(vec![b'x'; len]);
        Arc::new(Told {
            number,
            id: String::new(),
            kind: Kind::AudioLevel,
            json,
            at: Instant::now(),
        })
    }

    #[test]
    fn the_newest_are_kept_within_both_bounds() {
        let mut kept = Kept::default();
        let max = EVENTS_KEPT_MAX as u64;
        let gone: u64 = (0..max + 3).map(|number| kept.push(told(number, 1))).sum();
        assert_eq!((gone, kept.len(), kept.first().unwrap().number), (3, EVENTS_KEPT_MAX, 3));
        assert_eq!(
            kept.from(max).map(|told| told.number).collect::<Vec<_>>(),
            [max, max + 1, max + 2]
        );
        assert_eq!((kept.from(0).count(), kept.from(max + 3).count()), (EVENTS_KEPT_MAX, 0));
        // A large one takes the place of many, but never its own.
        assert_eq!(kept.push(told(max + 3, EVENTS_KEPT_BYTES + 1)), max);
        assert_eq!((kept.len(), kept.bytes), (1, EVENTS_KEPT_BYTES + 1));
        assert_eq!(kept.push(told(max + 4, 7)), 1);
        assert_eq!(kept.pop().map(|told| told.number), Some(max + 4));
        assert_eq!((kept.len(), kept.bytes), (0, 0));
    }
}
