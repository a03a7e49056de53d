//! Which committed slots leave together: runs of equal-sized datagrams to one destination, for
//! segmentation offload (UDP_SEGMENT). Pure: no socket, no memory of slots. Called by [`crate::slots`]
//! at each submit.
//!
//! Slots are added in the order they were committed. Runs are sent in the order they began, so
//! datagrams to one destination never overtake each other; between destinations they may.

use std::net::{IpAddr, SocketAddr};

/// Most datagrams of one run. Chosen: 64 is the limit of kernels before 6.8 (UDP_MAX_SEGMENTS).
pub(crate) const SEGMENTS_MAX: u16 = 64;
/// Most bytes of one run: an IP packet's 65,535 less headers, rounded down.
pub(crate) const RUN_BYTES_MAX: u32 = 64_000;
/// Places of the table of open runs (a power of two). Two destinations at one place cost each
/// other their grouping, nothing else.
const PLACES: usize = 4_096;
/// End of a chain of slots.
pub(crate) const NONE: u32 = u32::MAX;

/// Slots that leave in one message, chained through the `next` array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    /// First slot.
    pub(crate) head: u32,
    /// Last slot.
    tail: u32,
    /// Number of slots.
    pub(crate) count: u16,
    /// Length of every datagram but the last, which may be shorter.
    pub(crate) segment: u16,
    /// Sum of lengths in bytes.
    bytes: u32,
    /// Whether another datagram may join.
    open: bool,
}

/// A run of one batch at a place of the table.
#[derive(Clone, Copy)]
struct Place {
    batch: u32,
    run: u32,
}

/// Builds the runs of one batch.
pub(crate) struct Grouper {
    runs: Vec<Run>,
    places: Box<[Place]>,
    batch: u32,
}

impl Grouper {
    /// For batches of at most `slots` slots.
    pub(crate) fn new(slots: usize) -> Self {
        let places = vec![Place { batch: 0, run: 0 }; PLACES].into_boxed_slice();
        Self { runs: Vec::with_capacity(slots), places, batch: 0 }
    }

    /// Begins a batch.
    pub(crate) fn begin(&mut self) {
        self.runs.clear();
        self.batch = self.batch.wrapping_add(1);
        if self.batch == 0 {
            // After 2^32 batches old marks would look new.
            self.places.fill(Place { batch: 0, run: 0 });
            self.batch = 1;
        }
    }

    /// Adds a slot of `lengths[slot]` bytes to `destinations[slot]`; `alone` keeps it out of runs.
    /// Writes `next` so that each run's slots are chained.
    pub(crate) fn add(
        &mut self,
        slot: u32,
        alone: bool,
        destinations: &[SocketAddr],
        lengths: &[u16],
        next: &mut [u32],
    ) {
        let index = slot as usize;
        let (to, len) = (destinations[index], lengths[index]);
        next[index] = NONE;
        let place = &mut self.places[place_of(&to)];
        if place.batch == self.batch
            && let Some(run) = self.runs.get_mut(place.run as usize)
            && !alone
            && destinations[run.head as usize] == to
            && run.take(slot, len, next)
        {
            return;
        }
        *place = Place { batch: self.batch, run: self.runs.len() as u32 };
        let bytes = u32::from(len);
        let open = !alone && len != 0;
        self.runs.push(Run { head: slot, tail: slot, count: 1, segment: len, bytes, open });
    }

    /// The batch's runs, in the order they are to be sent.
    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }
}

impl Run {
    /// Takes one more datagram if it fits; a shorter one is the last.
    fn take(&mut self, slot: u32, len: u16, next: &mut [u32]) -> bool {
        let bytes = self.bytes + u32::from(len);
        if !self.open
            || len == 0
            || len > self.segment
            || self.count >= SEGMENTS_MAX
            || bytes > RUN_BYTES_MAX
        {
            return false;
        }
        next[self.tail as usize] = slot;
        self.tail = slot;
        self.count += 1;
        self.bytes = bytes;
        self.open = len == self.segment;
        true
    }
}

/// Slots of the run that starts at `head`.
pub(crate) fn chain(head: u32, next: &[u32]) -> impl Iterator<Item = u32> + '_ {
    std::iter::successors((head != NONE).then_some(head), |slot| {
        next.get(*slot as usize).copied().filter(|slot| *slot != NONE)
    })
}

/// The place of a destination. Not keyed: who makes addresses collide gains nothing.
fn place_of(address: &SocketAddr) -> usize {
    let ip = match address.ip() {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        IpAddr::V6(ip) => {
            let bits = u128::from(ip);
            (bits >> 64) as u64 ^ bits as u64
        }
    };
    // Fibonacci hashing: the upper bits of the product depend on all bits of the input.
    let mixed = (ip ^ u64::from(address.port()) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 52) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    /// Groups `(port, length, alone)` and returns the runs as lists of slots.
    fn group(input: &[(u16, u16, bool)]) -> Vec<Vec<u32>> {
        let destinations: Vec<_> = input.iter().map(|entry| address(entry.0)).collect();
        let lengths: Vec<_> = input.iter().map(|entry| entry.1).collect();
        let mut next = vec![7; input.len()];
        let mut grouper = Grouper::new(input.len());
        // A batch before it must leave no trace.
        grouper.begin();
        for slot in 0..input.len() {
            grouper.add(slot as u32, false, &destinations, &lengths, &mut next);
        }
        grouper.begin();
        for (slot, entry) in input.iter().enumerate() {
            grouper.add(slot as u32, entry.2, &destinations, &lengths, &mut next);
        }
        let runs = grouper.runs();
        runs.iter()
            .map(|run| {
                let slots: Vec<u32> = chain(run.head, &next).collect();
                assert_eq!(slots.len(), usize::from(run.count));
                slots
            })
            .collect()
    }

    #[test]
    fn equal_sizes_to_one_destination_share_a_run_and_a_shorter_one_ends_it() {
        let fan_out = [(1, 1200, false), (2, 1200, false), (1, 1200, false), (2, 1200, false)];
        assert_eq!(group(&fan_out), [vec![0, 2], vec![1, 3]]);
        let frame = [(1, 1200, false), (1, 1200, false), (1, 300, false), (1, 1200, false)];
        assert_eq!(group(&frame), [vec![0, 1, 2], vec![3]]);
        let growing = [(1, 100, false), (1, 101, false)];
        assert_eq!(group(&growing), [vec![0], vec![1]]);
        let alone = [(1, 100, false), (1, 100, true), (1, 100, false)];
        assert_eq!(group(&alone), [vec![0], vec![1], vec![2]]);
    }

    #[test]
    fn a_run_is_bounded_in_datagrams_and_bytes() {
        let many = vec![(1, 100, false); 65];
        assert_eq!(group(&many).iter().map(Vec::len).collect::<Vec<_>>(), [64, 1]);
        let long = vec![(1, 1500, false); 50];
        assert_eq!(group(&long).iter().map(Vec::len).collect::<Vec<_>>(), [42, 8]);
    }

    proptest! {
        #[test]
        fn runs_hold_every_slot_once_and_keep_the_order_of_each_destination(
            input in proptest::collection::vec(
                (0u16..5, prop_oneof![Just(1200u16), 0..1500u16], proptest::bool::weighted(0.1)),
                0..300,
            )
        ) {
            let runs = group(&input);
            let mut all: Vec<u32> = runs.iter().flatten().copied().collect();
            for port in 0..5 {
                let of_port = |slot: &&u32| input[**slot as usize].0 == port;
                let sent: Vec<u32> = all.iter().filter(of_port).copied().collect();
                prop_assert!(sent.is_sorted());
            }
            for run in &runs {
                let first = input[run[0] as usize];
                let total: u32 = run.iter().map(|slot| u32::from(input[*slot as usize].1)).sum();
                prop_assert!(total <= RUN_BYTES_MAX && run.len() <= usize::from(SEGMENTS_MAX));
                for (at, slot) in run.iter().enumerate() {
                    let entry = input[*slot as usize];
                    prop_assert_eq!(entry.0, first.0);
                    let fits = if at + 1 == run.len() { entry.1 <= first.1 } else { entry.1 == first.1 };
                    prop_assert!(fits);
                    prop_assert!(run.len() == 1 || !entry.2);
                }
            }
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..input.len() as u32));
        }
    }
}
