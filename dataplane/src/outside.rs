//! What an engine reaches the world with: the implementation of [`engine::Host`] for one core,
//! borrowed together for the length of one call into the engine.

use std::time::Instant;

use common::address::TransportAddress;
use common::event::Event;
use common::id::{CoreId, PeerId};
use engine::{Claim, FrameHeader, Host};
use io::SendQueue;

use crate::mailbox::{EventLane, Outbound};
use crate::steer::ClaimTable;

/// One core's way out.
pub(crate) struct Outside<'a> {
    /// Number of this core.
    pub(crate) core: CoreId,
    /// The instant of the worker's turn, at whose end everything leaves.
    pub(crate) now: Instant,
    /// Send slots of its driver.
    pub(crate) sends: &'a mut SendQueue,
    /// Lanes to the other cores.
    pub(crate) outbound: &'a mut Outbound,
    /// Lane to the control plane.
    pub(crate) events: &'a EventLane,
    /// Whose peer is whose.
    pub(crate) claims: &'a ClaimTable,
}

impl Host for Outside<'_> {
    fn reserve(&mut self) -> Option<&mut [u8]> {
        self.sends.reserve()
    }

    fn commit(&mut self, to: TransportAddress, len: usize) {
        self.sends.commit(to, len);
    }

    fn departure(&self) -> Instant {
        self.now
    }

    fn hand(&mut self, to: CoreId, header: FrameHeader, bytes: &[u8]) -> bool {
        if let FrameHeader::Datagram { from: TransportAddress::Tcp(connection), .. } = header {
            return self.sends.detach(connection, to);
        }
        self.outbound.push(to, header, bytes)
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    fn is_heard(&self) -> bool {
        self.events.has_room()
    }

    fn claim(&mut self, peer: PeerId) -> Claim {
        self.claims.claim(peer, self.core)
    }
}
