//! Which source a subscription shows and which layers of it: what is wanted, what is shown now, and
//! where one may turn into the other. A change of encoding waits for a key frame while the old one
//! goes on; layers of one encoding are given up at the next picture and taken up where the frame
//! says that a decoder can follow.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use proto::payload::facts::Target;

use crate::kit::packet::Packet;

/// A picture starts without a recognised key frame after this long: what is encrypted end to end
/// cannot be recognised. Chosen: above the time a publisher takes to answer a PLI.
pub(super) const PATIENCE: Duration = Duration::from_millis(1_500);
/// A change of temporal layers usually finds its frame within one pattern of layers; after this long
/// a key frame is asked for.
const TEMPORAL_PATIENCE: Duration = Duration::from_millis(1_000);
/// Fewer spatial layers find theirs within a few pictures, unless only key frames join the layers.
const LOWER_PATIENCE: Duration = Duration::from_millis(200);

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
    /// What there is of the wanted layers, as far as the publisher says.
    wish: Target,
    /// Since when a change of the layers is pending.
    changing: Option<Instant>,
    /// Timestamp of the newest picture.
    picture: Option<u32>,
    /// Nothing is to be sent at all, from the next picture on.
    paused: bool,
    /// Nothing is sent.
    stopped: bool,
    /// The source shown ends, whether its successor is there or not.
    cut: bool,
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
            wish: Target::ALL,
            changing: None,
            picture: None,
            paused: false,
            stopped: false,
            cut: false,
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

    /// Whether nothing is to be sent, from the next picture on at the latest.
    pub(crate) fn paused(&self) -> bool {
        self.paused
    }

    /// Another track: whatever was shown is over.
    pub(super) fn restart(&mut self, wanted: Option<u8>, now: Instant) {
        *self = Self::new(wanted, now);
    }

    /// Stops sending, or starts again at the next key frame.
    pub(super) fn pause(&mut self, paused: bool, now: Instant) {
        if self.stopped && !paused {
            self.wait(now);
            self.stopped = false;
        }
        self.paused = paused;
    }

    /// Wants `encoding`, while `shown` is shown. Returns whether a key frame is needed for it now.
    pub(super) fn want(&mut self, encoding: u8, shown: Option<u8>, now: Instant) -> bool {
        let changed = self.wanted != Some(encoding);
        self.wanted = Some(encoding);
        if shown == Some(encoding) && !self.stopped {
            self.waiting = None;
            return false;
        }
        if changed {
            self.wait(now);
        }
        changed
    }

    /// Ends the source that is shown, within its picture if need be: the path is full, and what goes
    /// on would only keep the wanted encoding waiting. Returns whether it ends.
    pub(crate) fn cut(&mut self) -> bool {
        self.cut = self.waiting.is_some();
        self.cut
    }

    /// Wants the layers of `target`.
    pub(super) fn aim(&mut self, target: Target, now: Instant) {
        if self.wanted_target == target {
            return;
        }
        self.wanted_target = target;
        self.wish = target;
        self.changing = (target != self.target).then_some(now);
    }

    /// The encoding whose key frame is needed, if one is: the wanted one, or encoding 0 while any
    /// will do.
    pub(super) fn waits_for(&self, now: Instant) -> Option<u8> {
        if self.paused {
            return None;
        }
        let patience = match self.wish.spatial().cmp(&self.target.spatial()) {
            Ordering::Greater => Duration::ZERO,
            Ordering::Less => LOWER_PATIENCE,
            Ordering::Equal => TEMPORAL_PATIENCE,
        };
        let pending = self.changing.filter(|_| self.wish != self.target);
        let stuck = pending.is_some_and(|since| now.saturating_duration_since(since) >= patience);
        (self.waiting.is_some() || stuck).then_some(self.wanted.unwrap_or(0))
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
        self.wish = packet.frame.available.nearest(self.wanted_target);
        self.target = if right { self.wish } else { Target::ALL };
        self.changing = None;
        self.cut = false;
        self.picture = Some(packet.timestamp);
    }

    /// Whether sending stops before this packet, which is the newest of the source shown: for a pause
    /// a picture is not cut in two.
    #[inline]
    pub(super) fn stops(&mut self, packet: &Packet) -> bool {
        let stops = self.cut || self.paused && self.picture != Some(packet.timestamp);
        if stops {
            self.stopped = self.paused;
            self.cut = false;
        }
        stops
    }

    /// Looks whether the layers change with this packet, which is the newest of the source shown.
    /// Returns whether they did.
    #[inline(always)]
    pub(super) fn advance(&mut self, packet: &Packet, now: Instant) -> bool {
        let new_picture = self.picture.replace(packet.timestamp) != Some(packet.timestamp);
        let available = packet.frame.available;
        let wish = match available.contains(self.wanted_target) {
            true => self.wanted_target,
            false => available.nearest(self.wanted_target),
        };
        if self.target == wish {
            self.wish = wish;
            return false;
        }
        if std::mem::replace(&mut self.wish, wish) != wish {
            self.changing = Some(now);
        }
        // Fewer temporal layers are allowed at every frame; a picture is not cut in two for that.
        let fewer =
            wish.spatial() == self.target.spatial() && wish.temporal() <= self.target.temporal();
        let change = packet.frame.allows(Some(self.target), wish) && (new_picture || !fewer);
        if change {
            self.target = wish;
            self.changing = None;
        }
        change
    }

    /// Whether a packet of the source shown belongs to what is forwarded.
    #[inline]
    pub(super) fn includes(&self, packet: &Packet) -> bool {
        !self.stopped && !packet.is_padding() && packet.frame.indications.includes(self.target)
    }

    /// The marker bit: the last packet of a picture as far as it is forwarded.
    #[inline]
    pub(super) fn marker(&self, packet: &Packet) -> bool {
        packet.frame.ends_picture(self.target, packet.marker)
    }

    fn wait(&mut self, now: Instant) {
        self.waiting = Some(now);
        self.seen = None;
    }
}
