//! What lies between the shards of a simulation: virtual network, frame lanes, claim table, event
//! and command queues. Implements [`engine::host::Host`] for a shard; the run loop is in `sim`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::address::TransportAddress;
use common::command::Command;
use common::event::Event;
use common::id::{CoreId, PeerId};
use common::limits;
use engine::host::{Claim, FrameHeader, Host};

use crate::oracle::Oracle;
use crate::probe;

/// Something that happens at an instant.
pub(crate) enum What {
    /// A datagram reaches the server; `owner` is the peer that sent it, None for an attacker.
    ToServer { from: SocketAddr, owner: Option<usize>, bytes: Vec<u8> },
    /// A datagram reaches the network edge of whoever is at `to`.
    ToPeer { to: SocketAddr, bytes: Vec<u8> },
    /// A command reaches a core.
    Command { core: CoreId, command: Box<Command> },
    /// A core looks into its lanes.
    Lanes { core: CoreId },
}

struct Entry {
    at: Instant,
    order: u64,
    what: What,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// Chosen: about what a wake-up of another core costs.
const LANE_DELAY: Duration = Duration::from_micros(20);

/// Everything outside the shards and the remote peers.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) cores: usize,
    pub(crate) oracle: Oracle,
    pub(crate) events: Vec<Event>,
    pub(crate) sends: VecDeque<(SocketAddr, Vec<u8>)>,
    /// How often a datagram was not for the destination of the one before it in the same call.
    pub(crate) runs: u64,
    /// Send slots the driver still has in this turn; refilled by the run loop.
    pub(crate) slots: usize,
    pub(crate) lane_depth: usize,
    /// Events until the control plane does not keep up with them.
    pub(crate) event_room: usize,
    queue: BinaryHeap<Reverse<Entry>>,
    order: u64,
    lanes: Vec<VecDeque<(FrameHeader, Vec<u8>)>>,
    lanes_rung: Vec<bool>,
    claims: BTreeMap<(u32, u32), Option<CoreId>>,
    slot: Vec<u8>,
}

impl World {
    pub(crate) fn new(cores: usize, lane_depth: usize, start: Instant) -> Self {
        Self {
            now: start,
            start,
            cores,
            oracle: Oracle::default(),
            events: Vec::new(),
            sends: VecDeque::new(),
            runs: 0,
            slots: usize::MAX,
            lane_depth,
            event_room: usize::MAX,
            queue: BinaryHeap::new(),
            order: 0,
            lanes: (0..cores * cores).map(|_| VecDeque::new()).collect(),
            lanes_rung: vec![false; cores],
            claims: BTreeMap::new(),
            slot: vec![0; limits::SEND_SLOT],
        }
    }

    pub(crate) fn since_start(&self) -> Duration {
        self.now.duration_since(self.start)
    }

    pub(crate) fn schedule(&mut self, at: Instant, what: What) {
        self.order += 1;
        self.queue.push(Reverse(Entry { at, order: self.order, what }));
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes the next thing that happens at or before `now`.
    pub(crate) fn pop_due(&mut self) -> Option<What> {
        if self.next_at()? > self.now {
            return None;
        }
        self.queue.pop().map(|Reverse(entry)| entry.what)
    }

    pub(crate) fn open_claim(&mut self, peer: PeerId) {
        self.claims.insert((peer.index, peer.generation), None);
    }

    pub(crate) fn release_claim(&mut self, peer: PeerId) {
        self.claims.remove(&(peer.index, peer.generation));
    }

    pub(crate) fn claimed_by(&self, peer: PeerId) -> Option<CoreId> {
        self.claims.get(&(peer.index, peer.generation)).copied().flatten()
    }

    /// Takes the next frame waiting for `core`.
    pub(crate) fn take_frame(&mut self, core: CoreId) -> Option<(FrameHeader, Vec<u8>)> {
        self.lanes_rung[usize::from(core.0)] = false;
        let cores = self.cores;
        (0..cores).find_map(|from| self.lanes[from * cores + usize::from(core.0)].pop_front())
    }
}

/// One shard's view of the world.
pub(crate) struct CoreHost<'a> {
    pub(crate) core: CoreId,
    pub(crate) world: &'a mut World,
}

impl Host for CoreHost<'_> {
    fn reserve(&mut self) -> Option<&mut [u8]> {
        (self.world.slots > 0).then_some(&mut self.world.slot[..])
    }

    fn commit(&mut self, to: TransportAddress, len: usize) {
        let was = probe::set_in_engine(false);
        self.world.slots = self.world.slots.saturating_sub(1);
        let bytes = self.world.slot[..len].to_vec();
        // Nothing of one packet may be taken for part of the next.
        self.world.slot.fill(0xa5);
        let to = to.socket();
        let follows = self.world.sends.back().is_some_and(|(last, _)| *last == to);
        self.world.runs += u64::from(!follows);
        self.world.sends.push_back((to, bytes));
        probe::set_in_engine(was);
    }

    fn departure(&self) -> Instant {
        self.world.now
    }

    fn hand(&mut self, to: CoreId, header: FrameHeader, bytes: &[u8]) -> bool {
        let was = probe::set_in_engine(false);
        let (cores, target) = (self.world.cores, usize::from(to.0));
        assert!(target < cores && to != self.core, "frame for {to:?} from {:?}", self.core);
        let depth = self.world.lane_depth;
        let lane = &mut self.world.lanes[usize::from(self.core.0) * cores + target];
        let fits = lane.len() < depth;
        if fits {
            lane.push_back((header, bytes.to_vec()));
            if !std::mem::replace(&mut self.world.lanes_rung[target], true) {
                self.world.schedule(self.world.now + LANE_DELAY, What::Lanes { core: to });
            }
        }
        probe::set_in_engine(was);
        fits
    }

    fn event(&mut self, event: Event) {
        let was = probe::set_in_engine(false);
        self.world.events.push(event);
        self.world.event_room = self.world.event_room.saturating_sub(1);
        probe::set_in_engine(was);
    }

    fn is_heard(&self) -> bool {
        self.world.event_room > 0
    }

    fn claim(&mut self, peer: PeerId) -> Claim {
        match self.world.claims.get_mut(&(peer.index, peer.generation)) {
            None => Claim::Dead,
            Some(place) => match *place {
                Some(home) if home == self.core => Claim::Mine,
                Some(home) => Claim::Other(home),
                None => {
                    *place = Some(self.core);
                    Claim::Mine
                }
            },
        }
    }
}

/// An address as a number.
pub(crate) fn ip_bits(address: SocketAddr) -> u64 {
    match address {
        SocketAddr::V4(v4) => u64::from(v4.ip().to_bits()),
        SocketAddr::V6(v6) => v6.ip().to_bits() as u64,
    }
}
