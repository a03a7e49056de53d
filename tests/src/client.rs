//! A remote peer of the simulation with what belongs to it: its links, its sources and where the
//! server sees it. Driven by the run loop in `sim`; knows nothing of the shards.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::id::PeerId;

use crate::link::Link;
use crate::peer::Peer;
use crate::source::Source;

/// A remote peer and its surroundings.
pub(crate) struct Client {
    pub(crate) peer: Peer,
    pub(crate) id: PeerId,
    /// Its address as the server sees it.
    pub(crate) outside: SocketAddr,
    pub(crate) up: Link,
    pub(crate) down: Link,
    pub(crate) sources: Vec<Source>,
    /// MIDs in use.
    pub(crate) mids: usize,
}

impl Client {
    /// When [`Client::on_deadline`] is due.
    pub(crate) fn next_deadline(&self) -> Instant {
        let sources = self.sources.iter().filter_map(|source| source.next_at);
        sources.chain([self.peer.next_deadline()]).min().unwrap_or(self.peer.next_deadline())
    }

    /// Does what is due; `since` is the time since the run's start.
    pub(crate) fn on_deadline(&mut self, now: Instant, since: Duration) {
        if self.peer.next_deadline() <= now {
            self.peer.on_deadline(now);
        }
        for source in &mut self.sources {
            if source.next_at.is_some_and(|at| at <= now) {
                for packet in source.frame(now, since) {
                    self.peer.send(packet, now);
                }
            }
        }
    }

    /// Starts the sources of a peer that came up.
    pub(crate) fn start_sources(&mut self, now: Instant) {
        if !self.peer.connected {
            return;
        }
        for (place, source) in self.sources.iter_mut().enumerate() {
            if source.next_at.is_none() && source.counter == 0 {
                // Sources of one peer never fire in the same instant: one seed, one order.
                source.next_at = Some(now + Duration::from_micros(5_000 + 1_700 * place as u64));
            }
        }
    }

    /// Hands the key frame wishes that reached the peer to its sources.
    pub(crate) fn take_key_frame_wishes(&mut self) {
        for (mid, rid) in std::mem::take(&mut self.peer.key_frames_wanted) {
            let wanted = |source: &&mut Source| {
                mid == source.mid.into() && rid == source.rid.map(|rid| rid.into())
            };
            if let Some(source) = self.sources.iter_mut().find(wanted) {
                source.key_wanted = true;
            }
        }
    }
}
