//! One subscription: its numbers, its payload types, what it waits for.

use std::time::{Duration, Instant};

use common::command::{PayloadMapping, SubscribeFacts};
use common::media::{Label, MediaKind};

use super::resend::Budget;
use super::rewrite::Rewrite;
use crate::kit::packet::Packet;
use crate::kit::table::{FeedPlace, PeerPlace};

/// A picture starts without a recognised key frame after this long: what is encrypted end to end
/// cannot be recognised. Chosen: above the time a publisher takes to answer a PLI.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What a subscription does with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pick {
    /// Send it under these numbers.
    Forward {
        /// Outbound packet index: roll-over counter and sequence number.
        index: u64,
        /// Outbound RTP timestamp.
        timestamp: u32,
        /// Outbound payload type.
        payload_type: u8,
    },
    /// Not this one.
    Skip,
}

/// One subscription.
pub(crate) struct Subscription {
    /// The peer that receives it.
    pub peer: PeerPlace,
    /// The feed it shows.
    pub feed: FeedPlace,
    /// SSRC of the outbound stream.
    pub ssrc: u32,
    /// SSRC of its retransmissions.
    pub rtx_ssrc: Option<u32>,
    /// MID of the receiving section.
    pub mid: Label,
    /// Numbers.
    pub rewrite: Rewrite,
    /// Index of the next retransmission packet.
    pub rtx_index: u64,
    /// Bound of resends.
    pub budget: Budget,
    /// Packets from this index on were sent with the names in use now: sealed again they give the
    /// same bytes.
    pub same_since: u64,
    /// Packets sent, for sender reports.
    pub packets: u32,
    /// Payload bytes sent, for sender reports.
    pub octets: u32,
    kind: MediaKind,
    clock_rate: u32,
    payloads: Vec<PayloadMapping>,
    /// Encoding asked for by the control plane.
    pinned: Option<u8>,
    /// Encoding to switch to when a key frame of it comes.
    wanted: Option<u8>,
    /// Since when a start or switch is pending.
    waiting: Option<Instant>,
    /// Timestamp of the newest packet while waiting: tells where a frame begins.
    seen: Option<u32>,
}

impl Subscription {
    /// A subscription that has sent nothing. `random` decides its first numbers.
    pub(crate) fn new(
        facts: &SubscribeFacts,
        peer: PeerPlace,
        feed: FeedPlace,
        random: u64,
        now: Instant,
    ) -> Self {
        Self {
            peer,
            feed,
            ssrc: facts.ssrc,
            rtx_ssrc: facts.rtx_ssrc,
            mid: facts.mid,
            rewrite: Rewrite::new(random as u16, (random >> 32) as u32),
            rtx_index: (random >> 16) & 0x7fff,
            budget: Budget::new(),
            same_since: 0,
            packets: 0,
            octets: 0,
            kind: facts.kind,
            clock_rate: facts.clock_rate,
            payloads: facts.payloads.clone(),
            pinned: facts.layers.preferred,
            wanted: facts.layers.preferred,
            waiting: Some(now),
            seen: None,
        }
    }

    /// Takes new facts over. Returns whether a key frame is needed now.
    pub(crate) fn update(&mut self, facts: &SubscribeFacts, feed: FeedPlace, now: Instant) -> bool {
        let moved = self.feed != feed;
        if self.mid != facts.mid || self.payloads != facts.payloads {
            self.rename();
        }
        self.feed = feed;
        self.mid = facts.mid;
        self.clock_rate = facts.clock_rate;
        self.payloads.clone_from(&facts.payloads);
        self.pinned = facts.layers.preferred;
        if moved {
            self.wanted = facts.layers.preferred;
            self.wait(now);
            self.rewrite.forget_source();
            return true;
        }
        facts.layers.preferred.is_some_and(|encoding| self.want(encoding, now))
    }

    /// The names that packets carry (payload types, MID, ids of header extensions) are others from
    /// now on.
    pub(crate) fn rename(&mut self) {
        self.same_since = self.rewrite.next();
    }

    /// The encoding that the control plane pinned.
    pub(crate) fn pinned(&self) -> Option<u8> {
        self.pinned
    }

    /// Wants to show `encoding` from its next key frame on. Returns whether a key frame is needed.
    pub(crate) fn want(&mut self, encoding: u8, now: Instant) -> bool {
        if self.rewrite.encoding() == Some(encoding) {
            self.wanted = Some(encoding);
            return false;
        }
        let changed = self.wanted != Some(encoding);
        self.wanted = Some(encoding);
        if changed {
            self.wait(now);
        }
        changed
    }

    /// The encoding whose key frame this subscription waits for, if it waits: the wanted one, or
    /// encoding 0 while any will do.
    pub(crate) fn waits_for(&self) -> Option<u8> {
        self.waiting?;
        (self.kind == MediaKind::Video).then_some(self.wanted.unwrap_or(0))
    }

    /// Decides about `packet`. Cost: no allocation; a scan of the payload types.
    pub(crate) fn pick(&mut self, packet: &Packet, now: Instant) -> Pick {
        if !self.rewrite.shows(packet) && !self.starts_with(packet, now) {
            return Pick::Skip;
        }
        let Some(mapping) = self.mapping(packet.payload_type) else { return Pick::Skip };
        let payload_type = mapping.to;
        match self.rewrite.map(packet, now) {
            Some((index, timestamp)) => Pick::Forward { index, timestamp, payload_type },
            None => Pick::Skip,
        }
    }

    /// How the publisher's `payload_type` leaves.
    pub(crate) fn mapping(&self, payload_type: u8) -> Option<&PayloadMapping> {
        self.payloads.iter().find(|mapping| mapping.from == payload_type)
    }

    /// Counts a packet that was sent for the first time.
    pub(crate) fn on_sent(&mut self, payload_len: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_len as u32);
        self.budget.earn();
    }

    /// Whether the source changes with this packet; if so the new segment has begun.
    fn starts_with(&mut self, packet: &Packet, now: Instant) -> bool {
        if self.mapping(packet.payload_type).is_none() {
            return false;
        }
        let current = self.rewrite.encoding();
        let right = match self.wanted {
            Some(wanted) => packet.encoding == wanted || current == Some(packet.encoding),
            None => current.is_none_or(|shown| shown == packet.encoding),
        };
        if !right {
            return false;
        }
        let waiting = *self.waiting.get_or_insert(now);
        let begins = self.seen.replace(packet.timestamp) != Some(packet.timestamp);
        let impatient = begins && now.saturating_duration_since(waiting) >= PATIENCE;
        if self.kind == MediaKind::Video && !packet.frame.key && !impatient {
            return false;
        }
        self.rewrite.begin(packet, self.clock_rate, now);
        if self.wanted.is_none_or(|wanted| wanted == packet.encoding) {
            self.waiting = None;
        }
        true
    }

    fn wait(&mut self, now: Instant) {
        self.waiting = Some(now);
        self.seen = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::table::{FeedName, Table};
    use common::command::LayerChoice;
    use common::id::{CoreId, PeerId, SubscriptionId, TrackId};
    use proto::payload::facts::FrameFacts;

    fn subscription(kind: MediaKind, encoding: Option<u8>, now: Instant) -> Subscription {
        let (mut peers, mut feeds) = (Table::new(), Table::new());
        let peer = peers.insert(PeerId::new(1, 0), ()).expect("free");
        let feed = feeds.insert(FeedName(TrackId::new(1, 0)), ()).expect("free");
        Subscription::new(&facts(kind, encoding), peer, feed, 0, now)
    }

    fn facts(kind: MediaKind, encoding: Option<u8>) -> SubscribeFacts {
        SubscribeFacts {
            subscription: SubscriptionId::new(1, 0),
            peer: PeerId::new(1, 0),
            track: TrackId::new(1, 0),
            track_core: CoreId(0),
            kind,
            clock_rate: 90_000,
            mid: Label::new(b"0").expect("short"),
            ssrc: 1,
            rtx_ssrc: None,
            payloads: vec![PayloadMapping { from: 96, to: 100, rtx: None }],
            layers: LayerChoice { preferred: encoding, ..LayerChoice::default() },
        }
    }

    fn packet(encoding: u8, sequence: u64, key_frame: bool) -> Packet {
        let timestamp = sequence as u32 * 3_000;
        let frame = FrameFacts { key: key_frame, ..FrameFacts::UNKNOWN };
        Packet { encoding, sequence, frame, timestamp, payload_type: 96, ..Packet::blank() }
    }

    fn index(pick: Pick) -> Option<u64> {
        match pick {
            Pick::Forward { index, .. } => Some(index),
            Pick::Skip => None,
        }
    }

    #[test]
    fn video_starts_at_a_key_frame_and_audio_at_once() {
        let now = Instant::now();
        let mut video = subscription(MediaKind::Video, None, now);
        assert_eq!(video.waits_for(), Some(0));
        assert_eq!(video.pick(&packet(0, 10, false), now), Pick::Skip);
        assert_eq!(index(video.pick(&packet(0, 11, true), now)), Some(1));
        assert_eq!(index(video.pick(&packet(0, 12, false), now)), Some(2));
        assert_eq!(video.waits_for(), None);
        let mut audio = subscription(MediaKind::Audio, None, now);
        assert_eq!(audio.waits_for(), None);
        assert_eq!(index(audio.pick(&packet(0, 10, false), now)), Some(1));
    }

    #[test]
    fn the_old_encoding_flows_until_the_new_one_has_a_key_frame() {
        let now = Instant::now();
        let mut sub = subscription(MediaKind::Video, Some(1), now);
        assert_eq!(sub.pick(&packet(0, 10, true), now), Pick::Skip, "pinned to the other");
        assert_eq!(index(sub.pick(&packet(1, 500, true), now)), Some(1));
        let feed = sub.feed;
        assert!(sub.update(&facts(MediaKind::Video, Some(0)), feed, now));
        assert_eq!(sub.waits_for(), Some(0));
        assert_eq!(index(sub.pick(&packet(1, 501, false), now)), Some(2));
        assert_eq!(sub.pick(&packet(0, 11, false), now), Pick::Skip);
        assert_eq!(index(sub.pick(&packet(0, 12, true), now)), Some(3));
        assert_eq!(sub.pick(&packet(1, 502, false), now), Pick::Skip, "the old one ended");
        assert_eq!(sub.waits_for(), None);
    }

    #[test]
    fn what_was_sent_under_other_names_is_not_the_same_any_more() {
        let now = Instant::now();
        let mut sub = subscription(MediaKind::Audio, None, now);
        assert_eq!(index(sub.pick(&packet(0, 10, false), now)), Some(1));
        let (feed, same) = (sub.feed, facts(MediaKind::Audio, None));
        sub.update(&same, feed, now);
        assert!(sub.same_since <= 1, "nothing changed");
        let payloads = vec![PayloadMapping { from: 96, to: 101, rtx: None }];
        sub.update(&SubscribeFacts { payloads, ..same }, feed, now);
        assert_eq!(sub.same_since, 2);
        assert_eq!(index(sub.pick(&packet(0, 11, false), now)), Some(2));
    }

    #[test]
    fn a_new_epoch_waits_for_a_key_frame() {
        let now = Instant::now();
        let mut sub = subscription(MediaKind::Video, None, now);
        assert_eq!(index(sub.pick(&packet(0, 9_000, true), now)), Some(1));
        let restarted = |sequence, key_frame| Packet { epoch: 1, ..packet(0, sequence, key_frame) };
        assert_eq!(sub.pick(&restarted(5, false), now), Pick::Skip);
        assert_eq!(sub.waits_for(), Some(0));
        assert_eq!(index(sub.pick(&restarted(6, true), now)), Some(2));
    }

    #[test]
    fn what_shows_no_key_frame_starts_at_a_frame_after_a_while() {
        let now = Instant::now();
        let mut sub = subscription(MediaKind::Video, None, now);
        let same_frame = Packet { timestamp: 30_000, ..packet(0, 11, false) };
        assert_eq!(sub.pick(&packet(0, 10, false), now), Pick::Skip);
        assert_eq!(sub.pick(&same_frame, now + PATIENCE), Pick::Skip, "middle of a frame");
        assert_eq!(index(sub.pick(&packet(0, 12, false), now + PATIENCE)), Some(1));
    }
}
