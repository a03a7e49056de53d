//! What waits in one association to be sent or acknowledged: how much, so that it has a bound.
//!
//! Called by `mod.rs`. The library tells the unacknowledged bytes of a stream but neither their sum
//! nor the number of messages, and a message weighs more than its bytes; so their lengths are kept
//! here until the library has let go of them.

use std::collections::{BTreeMap, VecDeque};

use common::limits::{CHANNEL_MESSAGE_COST, SCTP_SEND_QUEUE};

use super::backend::Backend;

/// The streams of one association.
#[derive(Default, Debug)]
pub(super) struct Queues {
    streams: BTreeMap<u16, Queue>,
    /// What all of them weigh, at most.
    weight: usize,
}

#[derive(Default, Debug)]
struct Queue {
    lengths: VecDeque<u32>,
    bytes: usize,
}

impl Queues {
    /// Adds an open stream.
    pub(super) fn add(&mut self, stream: u16) {
        self.streams.entry(stream).or_default();
    }

    /// Whether the stream was added.
    pub(super) fn contains(&self, stream: u16) -> bool {
        self.streams.contains_key(&stream)
    }

    /// Whether a message of `len` bytes may be queued. Cost: looks at every stream, but only when
    /// the bound seems to be reached.
    pub(super) fn has_room(&mut self, len: usize, backend: &mut Backend) -> bool {
        let fits = |weight| weight + len + CHANNEL_MESSAGE_COST <= SCTP_SEND_QUEUE;
        if !fits(self.weight) {
            for (stream, queue) in &mut self.streams {
                // A stream that was reset may have messages in flight all the same: they weigh
                // until both directions are done.
                if let Some(left) = backend.queued(*stream) {
                    self.weight -= queue.settle(left);
                }
            }
        }
        fits(self.weight)
    }

    /// A message of `len` bytes was queued.
    pub(super) fn push(&mut self, stream: u16, len: usize) {
        if let Some(queue) = self.streams.get_mut(&stream) {
            queue.lengths.push_back(len as u32);
            queue.bytes += len;
            self.weight += len + CHANNEL_MESSAGE_COST;
        }
    }

    /// Both directions of a stream are reset: all it sent was acknowledged.
    pub(super) fn remove(&mut self, stream: u16) {
        if let Some(queue) = self.streams.remove(&stream) {
            self.weight -= queue.bytes + queue.lengths.len() * CHANNEL_MESSAGE_COST;
        }
    }
}

impl Queue {
    /// Forgets messages until no more than `left` bytes remain, and one in part. Returns what they
    /// weighed.
    fn settle(&mut self, left: usize) -> usize {
        let mut gone = 0;
        while let Some(first) = self.lengths.front().map(|len| *len as usize) {
            if self.bytes - first < left {
                break;
            }
            self.lengths.pop_front();
            self.bytes -= first;
            gone += first + CHANNEL_MESSAGE_COST;
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_keeps_what_is_not_acknowledged() {
        let mut queues = Queues::default();
        queues.add(3);
        for len in [10, 20, 30] {
            queues.push(3, len);
        }
        assert_eq!(queues.weight, 60 + 3 * CHANNEL_MESSAGE_COST);
        let queue = queues.streams.get_mut(&3).expect("added");
        assert_eq!(queue.settle(51), 0, "the first is acknowledged in part");
        assert_eq!(queue.settle(50), 10 + CHANNEL_MESSAGE_COST);
        assert_eq!(queue.settle(0), 50 + 2 * CHANNEL_MESSAGE_COST);
        queues.push(9, 5);
        assert!(!queues.contains(9), "not added");
    }
}
