//! Which source a subscription shows and which layers of it: what is wanted, what is shown now, and
//! where one may turn into the other. A change of encoding waits for a key frame while the old one
//! goes on; layers of one encoding are given up at the next picture and taken up where the frame
//! says that a decoder can follow.

use std::time::{Duration, Instant};

use proto::payload::facts::{Indication, Target};

use crate::kit::packet::Packet;

/// A picture starts without a recognised key frame after this long: what is encrypted end to end
/// cannot be recognised. Chosen: above the time a publisher takes to answer a PLI.
pub(super) const PATIENCE: Duration = Duration::from_millis(1_500);
/// Higher temporal layers usually find a frame to begin at within one pattern of layers; after this
/// long a key frame is asked for.
const RAISE_PATIENCE: Duration = Duration::from_millis(1_000);

/// The layers of one subscription.
pub(crate) struct Layers {
    /// Encoding to switch to when a key frame of it comes; None while any will do.
    wanted: Option<u8>,
    /// Since when a start or a switch of the encoding is pending.
    waiting: Option<Instant>,
    /// Timestamp of the newest packet while waiting: tells where a frame begins.
    seen: Option<u32>,
    /// Layers of the encoding that are forwarded.
    target: Target,
    /// Layers that are wanted.
    wanted_target: Target,
    /// Since when higher layers are wanted than forwarded.
    raising: Option<Instant>,
    /// Timestamp of the newest picture.
    picture: Option<u32>,
    /// Nothing is to be sent at all.
    paused: bool,
}

impl Layers {
    /// Waits for its first key frame, of `wanted` if that is given.
    pub(super) fn new(wanted: Option<u8>, now: Instant) -> Self {
        Self {
            wanted,
            waiting: Some(now),
            seen: None,
            target: Target::ALL,
            wanted_target: Target::ALL,
            raising: None,
            picture: None,
            paused: false,
        }
    }

    /// The encoding wanted.
    pub(crate) fn wanted(&self) -> Option<u8> {
        self.wanted
    }

    /// The layers wanted.
    pub(crate) fn wanted_target(&self) -> Target {
        self.wanted_target
    }

    /// Whether nothing is to be sent.
    pub(crate) fn paused(&self) -> bool {
        self.paused
    }

    /// Another track: whatever was shown is over.
    pub(super) fn restart(&mut self, wanted: Option<u8>, now: Instant) {
        *self = Self::new(wanted, now);
    }

    /// Stops sending, or starts again at the next key frame.
    pub(super) fn pause(&mut self, paused: bool, now: Instant) {
        if self.paused && !paused {
            self.wait(now);
        }
        self.paused = paused;
    }

    /// Wants `encoding`, while `shown` is shown. Returns whether a key frame is needed for it now.
    pub(super) fn want(&mut self, encoding: u8, shown: Option<u8>, now: Instant) -> bool {
        let changed = self.wanted != Some(encoding);
        self.wanted = Some(encoding);
        if shown == Some(encoding) && !self.paused {
            self.waiting = None;
            return false;
        }
        if changed {
            self.wait(now);
        }
        changed
    }

    /// Wants the layers of `target`.
    pub(super) fn aim(&mut self, target: Target, now: Instant) {
        self.wanted_target = target;
        self.raising = match is_within(target, self.target) {
            true => None,
            false => self.raising.or(Some(now)),
        };
    }

    /// The encoding whose key frame is needed, if one is: the wanted one, or encoding 0 while any
    /// will do.
    pub(super) fn waits_for(&self, now: Instant) -> Option<u8> {
        if self.paused {
            return None;
        }
        let late = |since| now.saturating_duration_since(since) >= RAISE_PATIENCE;
        let higher = self.wanted_target.spatial() > self.target.spatial();
        let raises = self.raising.is_some_and(|since| higher || late(since));
        (self.waiting.is_some() || raises).then_some(self.wanted.unwrap_or(0))
    }

    /// Whether a new source may begin with this packet, while `shown` is shown.
    pub(super) fn may_begin(&mut self, packet: &Packet, shown: Option<u8>, now: Instant) -> bool {
        let right = match self.wanted {
            Some(wanted) => packet.encoding == wanted || shown == Some(packet.encoding),
            None => shown.is_none_or(|shown| shown == packet.encoding),
        };
        if self.paused || !right {
            return false;
        }
        let waiting = *self.waiting.get_or_insert(now);
        let begins = self.seen.replace(packet.timestamp) != Some(packet.timestamp);
        let impatient = begins && now.saturating_duration_since(waiting) >= PATIENCE;
        packet.frame.key || impatient
    }

    /// A source began with this packet.
    pub(super) fn begun(&mut self, packet: &Packet) {
        if self.wanted.is_none_or(|wanted| wanted == packet.encoding) {
            self.waiting = None;
        }
        // A key frame of another encoding than the wanted one: all of it until the wanted one comes.
        let right = self.wanted.is_none_or(|wanted| wanted == packet.encoding);
        self.target = if right { self.wanted_target } else { Target::ALL };
        self.raising = None;
        self.picture = Some(packet.timestamp);
    }

    /// Looks whether the layers change with this packet, which is the newest of the source shown.
    /// Returns whether they did.
    pub(super) fn advance(&mut self, packet: &Packet) -> bool {
        let new_picture = self.picture.replace(packet.timestamp) != Some(packet.timestamp);
        if self.target == self.wanted_target {
            return false;
        }
        let change = if is_within(self.wanted_target, self.target) {
            new_picture
        } else {
            let follows = packet.frame.indications.of(self.wanted_target) == Indication::Switch;
            packet.frame.starts && follows || packet.frame.key
        };
        if change {
            self.target = self.wanted_target;
            self.raising = None;
        }
        change
    }

    /// Whether a packet of the source shown belongs to what is forwarded.
    pub(super) fn includes(&self, packet: &Packet) -> bool {
        !self.paused
            && !packet.is_padding()
            && packet.frame.indications.of(self.target) != Indication::Absent
    }

    /// The marker bit: the last packet of a picture as far as it is forwarded.
    pub(super) fn marker(&self, packet: &Packet) -> bool {
        packet.marker || packet.frame.ends && packet.frame.spatial == self.target.spatial()
    }

    fn wait(&mut self, now: Instant) {
        self.waiting = Some(now);
        self.seen = None;
    }
}

/// Whether every layer of `small` is one of `large`.
fn is_within(small: Target, large: Target) -> bool {
    small.spatial() <= large.spatial() && small.temporal() <= large.temporal()
}
