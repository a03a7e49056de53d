//! Remote address to peer. Only authenticated connectivity checks add entries, and each peer holds
//! at most [`common::limits::PATHS_PER_PEER_MAX`], so strangers cannot fill the table. Entries that
//! point to another core are soft: they go when unused.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use common::address::TransportAddress;
use common::id::CoreId;
use common::limits::{PATHS_PER_PEER_MAX, PEERS_MAX};
use foldhash::fast::FixedState;

use crate::kit::table::PeerPlace;

/// Where datagrams of one remote address belong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flow {
    /// A peer of this core.
    Peer(PeerPlace),
    /// A peer whose home is another core.
    Core(CoreId),
}

struct Entry {
    flow: Flow,
    used: Instant,
}

/// The address table of one core.
pub(crate) struct Flows {
    entries: HashMap<TransportAddress, Entry, FixedState>,
}

/// Entries that point to other cores go after this long without a datagram. Chosen: twice the
/// consent time of RFC 7675.
const FOREIGN_IDLE: Duration = Duration::from_secs(60);
/// Bound of the whole table.
const ENTRIES_MAX: usize = PEERS_MAX * PATHS_PER_PEER_MAX;

impl Flows {
    /// An empty table whose hash is keyed by `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { entries: HashMap::with_hasher(FixedState::with_seed(seed)) }
    }

    /// The flow of `from`. Cost: one hash of the address, no allocation.
    pub(crate) fn find(&mut self, from: TransportAddress, now: Instant) -> Option<Flow> {
        let entry = self.entries.get_mut(&from)?;
        entry.used = now;
        Some(entry.flow)
    }

    /// Binds `from`, replacing what was there. Returns false when the table is full.
    pub(crate) fn bind(&mut self, from: TransportAddress, flow: Flow, now: Instant) -> bool {
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(&from) {
            return false;
        }
        self.entries.insert(from, Entry { flow, used: now });
        true
    }

    /// Removes `from` if it belongs to `peer`.
    pub(crate) fn unbind(&mut self, from: TransportAddress, peer: PeerPlace) {
        if self.entries.get(&from).is_some_and(|entry| entry.flow == Flow::Peer(peer)) {
            self.entries.remove(&from);
        }
    }

    /// Forgets unused entries of other cores. Call about once a second.
    pub(crate) fn sweep(&mut self, now: Instant) {
        self.entries.retain(|_, entry| {
            matches!(entry.flow, Flow::Peer(_))
                || now.saturating_duration_since(entry.used) < FOREIGN_IDLE
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::table::Table;
    use common::id::PeerId;

    #[test]
    fn foreign_entries_go_when_unused_and_own_ones_stay() {
        let start = Instant::now();
        let mut peers = Table::new();
        let peer = peers.insert(PeerId::new(0, 0), ()).expect("free");
        let stranger = peers.insert(PeerId::new(1, 0), ()).expect("free");
        let mut flows = Flows::new(1);
        let own = TransportAddress::Udp(([10, 0, 0, 1], 1000).into());
        let foreign = TransportAddress::Udp(([10, 0, 0, 2], 1000).into());
        assert!(flows.bind(own, Flow::Peer(peer), start));
        assert!(flows.bind(foreign, Flow::Core(CoreId(1)), start));
        flows.sweep(start + FOREIGN_IDLE - Duration::from_secs(1));
        assert_eq!(flows.find(foreign, start), Some(Flow::Core(CoreId(1))));
        flows.sweep(start + FOREIGN_IDLE);
        assert_eq!(flows.find(foreign, start), None);
        assert_eq!(flows.find(own, start), Some(Flow::Peer(peer)));
        flows.unbind(own, stranger);
        assert!(flows.find(own, start).is_some(), "another peer cannot unbind it");
        flows.unbind(own, peer);
        assert_eq!(flows.find(own, start), None);
    }
}
