//! Whose peer a datagram is: the claim table, one atomic word per peer slot of the node.
//!
//! The control plane opens and releases slots; the cores race for an open slot with one
//! compare-and-swap when the first authenticated check of a peer arrives, and the winner is the
//! peer's home. Nothing in a datagram can fill this table: slots are made by the control plane only.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use common::id::{CoreId, PeerId};
use common::limits;
use engine::Claim;

/// A slot's word: generation in the upper half, then core (8 bits at 8), then state (8 bits at 0).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Word(u64);

impl Word {
    const FREE: u64 = 0;
    const OPEN: u64 = 1;
    const CLAIMED: u64 = 2;

    const fn new(generation: u32, state: u64, core: CoreId) -> Self {
        Self((generation as u64) << 32 | (core.0 as u64) << 8 | state)
    }

    const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    const fn state(self) -> u64 {
        self.0 & 0xff
    }

    const fn core(self) -> CoreId {
        CoreId((self.0 >> 8) as u8)
    }
}

/// Slots that can be opened; touched by the control plane only.
struct Vacant {
    /// Slots from here on were never used.
    fresh: u32,
    /// Released slots, oldest first, so that a generation is reused as late as possible.
    released: VecDeque<u32>,
}

/// The claim table of a node.
pub(crate) struct ClaimTable {
    words: Box<[AtomicU64]>,
    vacant: Mutex<Vacant>,
}

impl ClaimTable {
    /// Makes a table of `slots` free slots, at most [`limits::PEERS_MAX`].
    pub(crate) fn new(slots: usize) -> Self {
        let slots = slots.min(limits::PEERS_MAX);
        Self {
            words: (0..slots).map(|_| AtomicU64::new(0)).collect(),
            vacant: Mutex::new(Vacant { fresh: 0, released: VecDeque::new() }),
        }
    }

    /// Opens a free slot: the first core that claims it becomes its home. None when all are in use.
    pub(crate) fn open(&self) -> Option<PeerId> {
        let index = {
            let mut vacant = self.vacant();
            // Fresh slots first: a released one rests as long as possible.
            if (vacant.fresh as usize) < self.words.len() {
                vacant.fresh += 1;
                vacant.fresh - 1
            } else {
                vacant.released.pop_front()?
            }
        };
        let word = self.words.get(index as usize)?;
        let generation = Word(word.load(Ordering::Acquire)).generation();
        word.store(Word::new(generation, Word::OPEN, CoreId(0)).0, Ordering::Release);
        Some(PeerId::new(index, generation))
    }

    /// Ends a peer: from now on claims of it find it dead. A stale or unknown id changes nothing.
    pub(crate) fn release(&self, peer: PeerId) {
        let Some(word) = self.words.get(peer.index as usize) else { return };
        let next = Word::new(peer.generation.wrapping_add(1), Word::FREE, CoreId(0));
        let released = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            let now = Word(now);
            let lives = now.generation() == peer.generation && now.state() != Word::FREE;
            lives.then_some(next.0)
        });
        if released.is_ok() {
            self.vacant().released.push_back(peer.index);
        }
    }

    /// Tries to make `core` the home of `peer`.
    ///
    /// Cost: one load, and one compare-and-swap for the first claim of a peer.
    pub(crate) fn claim(&self, peer: PeerId, core: CoreId) -> Claim {
        let Some(word) = self.words.get(peer.index as usize) else { return Claim::Dead };
        let mut now = Word(word.load(Ordering::Acquire));
        loop {
            if now.generation() != peer.generation {
                return Claim::Dead;
            }
            match now.state() {
                Word::CLAIMED if now.core() == core => return Claim::Mine,
                Word::CLAIMED => return Claim::Other(now.core()),
                Word::OPEN => {}
                _ => return Claim::Dead,
            }
            let ours = Word::new(peer.generation, Word::CLAIMED, core);
            match word.compare_exchange(now.0, ours.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Claim::Mine,
                Err(changed) => now = Word(changed),
            }
        }
    }

    /// Slots in use.
    pub(crate) fn used(&self) -> usize {
        let vacant = self.vacant();
        (vacant.fresh as usize).saturating_sub(vacant.released.len())
    }

    fn vacant(&self) -> std::sync::MutexGuard<'_, Vacant> {
        // The two fields are consistent after every statement, so a poisoned lock is still sound.
        self.vacant.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::AtomicUsize;

    const A: CoreId = CoreId(3);
    const B: CoreId = CoreId(63);

    #[test]
    fn the_first_claim_wins_and_stays() {
        let table = ClaimTable::new(4);
        let peer = table.open().unwrap();
        assert_eq!(table.claim(peer, B), Claim::Mine);
        assert_eq!(table.claim(peer, A), Claim::Other(B));
        assert_eq!(table.claim(peer, B), Claim::Mine);
    }

    #[test]
    fn unknown_unopened_and_released_peers_are_dead() {
        let table = ClaimTable::new(2);
        assert_eq!(table.claim(PeerId::new(0, 0), A), Claim::Dead);
        assert_eq!(table.claim(PeerId::new(7, 0), A), Claim::Dead);
        let peer = table.open().unwrap();
        assert_eq!(table.claim(PeerId::new(peer.index, 9), A), Claim::Dead);
        table.claim(peer, A);
        table.release(peer);
        assert_eq!(table.claim(peer, A), Claim::Dead);
    }

    #[test]
    fn a_slot_is_reused_in_its_next_generation_and_only_once() {
        let table = ClaimTable::new(1);
        let first = table.open().unwrap();
        assert_eq!(table.open(), None);
        table.release(first);
        table.release(first);
        table.release(PeerId::new(99, 0));
        assert_eq!(table.used(), 0);
        let second = table.open().unwrap();
        assert_eq!((second.index, second.generation), (first.index, first.generation + 1));
        assert_eq!(table.open(), None);
        assert_eq!(table.claim(first, A), Claim::Dead);
        table.release(first);
        assert_eq!(table.claim(second, A), Claim::Mine);
        assert_eq!(table.used(), 1);
    }

    #[test]
    fn exactly_one_of_two_racing_cores_wins_each_peer() {
        const PEERS: usize = 3_000;
        let table = ClaimTable::new(PEERS);
        let peers: Vec<PeerId> = (0..PEERS).map(|_| table.open().unwrap()).collect();
        let arrived = AtomicUsize::new(0);
        let race = |core| {
            let home = |(round, peer): (usize, &PeerId)| {
                // Both leave this point within nanoseconds, so that the swaps really collide.
                arrived.fetch_add(1, Ordering::AcqRel);
                while arrived.load(Ordering::Acquire) < 2 * (round + 1) {
                    std::hint::spin_loop();
                }
                match table.claim(*peer, core) {
                    Claim::Mine => core,
                    Claim::Other(other) => other,
                    Claim::Dead => panic!("{peer:?} died"),
                }
            };
            peers.iter().enumerate().map(home).collect::<Vec<CoreId>>()
        };
        let (ours, theirs) = std::thread::scope(|scope| {
            let other = scope.spawn(|| race(B));
            (race(A), other.join().unwrap())
        });
        assert!(ours == theirs, "two cores disagree about a home");
    }

    proptest::proptest! {
        /// Any sequence of operations agrees with a plain model of the table.
        #[test]
        fn any_history_agrees_with_the_model(
            steps in proptest::collection::vec((0u8..3, 0usize..8, 0u8..4), 0..200)
        ) {
            let table = ClaimTable::new(3);
            let mut known: Vec<(PeerId, Option<CoreId>, bool)> = Vec::new();
            for (kind, pick, core) in steps {
                let core = CoreId(core);
                if kind == 0 {
                    let lives = known.iter().filter(|entry| entry.2).count();
                    let opened = table.open();
                    assert_eq!(opened.is_some(), lives < 3);
                    known.extend(opened.map(|peer| (peer, None, true)));
                    continue;
                }
                let count = known.len().max(1);
                let Some(entry) = known.get_mut(pick % count) else { continue };
                if kind == 1 {
                    table.release(entry.0);
                    entry.2 = false;
                    continue;
                }
                let expected = match (entry.2, *entry.1.get_or_insert(core)) {
                    (false, _) => Claim::Dead,
                    (true, home) if home == core => Claim::Mine,
                    (true, home) => Claim::Other(home),
                };
                assert_eq!(table.claim(entry.0, core), expected);
            }
        }
    }
}
