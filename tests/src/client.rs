//! A remote peer of the simulation with what belongs to it: its links, its sources and where the
//! server sees it. Driven by the run loop in `sim`; knows nothing of the shards.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::id::PeerId;

use crate::decoder::Screen;
use crate::link::Link;
use crate::oracle::{Kind, kind_of};
use crate::peer::{PUBLISHER_TYPES, Peer};
use crate::sim::MIDS;
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
    /// Video it watches and asks key frames for.
    pub(crate) watchers: Vec<Watcher>,
    /// Packets in `peer.received` the watchers have seen.
    pub(crate) seen: usize,
    /// MIDs in use.
    pub(crate) mids: usize,
    /// Video packets, resent ones too, that its link towards the server lost.
    pub(crate) video_lost: u64,
}

/// A viewer of one video stream that asks for a key frame when it waits too long, by the rules of
/// libwebrtc's `VideoReceiveStream2`.
pub(crate) struct Watcher {
    ssrc: u32,
    screen: Screen,
    asked: Option<Instant>,
    packet_at: Option<Instant>,
}

/// libwebrtc `kMaxWaitForKeyFrame`: how long a viewer without a picture waits.
const WAIT_WITHOUT_PICTURE: Duration = Duration::from_millis(200);
/// libwebrtc `kMaxWaitForFrame`: how long a viewer with one waits.
const WAIT_WITH_PICTURE: Duration = Duration::from_secs(3);
/// libwebrtc `kInactiveStreamThreshold`: a stream without packets for so long is not asked.
const INACTIVE: Duration = Duration::from_secs(5);

impl Watcher {
    /// A viewer of the stream `ssrc`.
    pub(crate) fn new(ssrc: u32) -> Self {
        Self { ssrc, screen: Screen::default(), asked: None, packet_at: None }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let packet_at = self.packet_at?;
        let shown = self.screen.shown.last().map(|shown| shown.at);
        let wait = shown.map_or(WAIT_WITHOUT_PICTURE, |_| WAIT_WITH_PICTURE);
        let due = shown.or(Some(packet_at)).max(self.asked)? + wait;
        (due < packet_at + INACTIVE).then_some(due)
    }
}

impl Client {
    /// The next MID in order of use.
    pub(crate) fn next_mid(&mut self) -> &'static str {
        self.mids += 1;
        MIDS[self.mids - 1]
    }

    /// When [`Client::on_deadline`] is due.
    pub(crate) fn next_deadline(&self) -> Instant {
        let sources = self.sources.iter().filter_map(|source| source.next_at);
        let watchers = self.watchers.iter().filter_map(Watcher::next_deadline);
        let own = self.peer.next_deadline();
        sources.chain(watchers).chain([own]).min().unwrap_or(own)
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

    /// Shows the watchers what arrived, and asks for key frames that are due.
    pub(crate) fn watch(&mut self, now: Instant) {
        for packet in self.peer.received.iter().skip(self.seen) {
            let watcher = self.watchers.iter_mut().find(|watcher| watcher.ssrc == packet.ssrc);
            if let (Some(watcher), Some(stamp)) = (watcher, packet.stamp) {
                // Without a picture the wait begins with the first packet.
                if watcher.screen.shown.is_empty() {
                    watcher.asked.get_or_insert(packet.at);
                }
                watcher.packet_at = Some(packet.at);
                watcher.screen.on_packet(packet, stamp);
            }
        }
        self.seen = self.peer.received.len();
        for watcher in &mut self.watchers {
            if watcher.next_deadline().is_some_and(|due| due <= now) {
                watcher.asked = Some(now);
                self.peer.request_key_frame(watcher.ssrc, false, now);
            }
        }
    }

    /// Puts a datagram on the link towards the server: when each copy arrives.
    pub(crate) fn send(&mut self, bytes: &[u8], now: Instant) -> [Option<Instant>; 2] {
        let arrivals = self.up.send(bytes.len(), now);
        let payload_type = bytes.get(1).map_or(0, |octet| octet & 0x7f);
        let video = [PUBLISHER_TYPES.video, PUBLISHER_TYPES.rtx].contains(&payload_type);
        if arrivals[0].is_none() && video && kind_of(bytes) == Kind::Rtp {
            self.video_lost += 1;
        }
        arrivals
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
