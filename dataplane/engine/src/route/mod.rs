//! Stage 6: where a track's packets go. One feed per track that this core publishes or has
//! subscribers of; a target is a local subscription or another core.

mod meter;

use std::time::{Duration, Instant};

use common::id::{CoreId, PeerId, TrackId};
use common::media::{Codec, MediaKind};

use crate::kit::clock::ClockPair;
use crate::kit::cores::CoreSet;
use crate::kit::packet::Packet;
use crate::kit::table::SubscriptionPlace;

pub(crate) use meter::Meter;

/// An encoding without packets for this long, while others of its track have some, is not alive.
const ENCODING_SILENCE: Duration = Duration::from_millis(450);

/// One encoding as its subscribers on this core see it. `I` indexes the history.
pub(crate) struct FeedEncoding<I> {
    /// Its packets in the history.
    pub index: I,
    /// Epoch of those packets.
    pub epoch: u32,
    /// Arrival of its newest packet.
    pub newest_at: Option<Instant>,
    /// Its clock, once a sender report told it.
    pub clock: Option<ClockPair>,
    /// What its layers cost.
    pub meter: Meter,
    /// Timestamp of the newest key frame.
    key_picture: Option<u32>,
}

/// Packets of one feed that wait for the end of the turn; a longer burst is forwarded in parts. Chosen:
/// what is left to gain by longer runs is 4 % of a send (kernel, 1,200-byte segments).
pub(crate) const FRESH_MAX: usize = 16;

/// A packet that is forwarded at the end of the turn.
#[derive(Clone, Copy)]
pub(crate) struct Fresh {
    /// Its number in the history.
    pub number: u64,
    /// When it arrived.
    pub arrival: Instant,
    /// Who sent it, where that is a peer of this core.
    pub publisher: Option<PeerId>,
}

/// A track's packets on one core. `I` indexes the history.
pub(crate) struct Feed<I> {
    /// The track.
    pub track: TrackId,
    /// Audio or video.
    pub kind: MediaKind,
    /// Core of the publisher.
    pub home: CoreId,
    /// Whether this core publishes it (then it stays without subscriptions).
    pub published: bool,
    /// Subscriptions of this core.
    pub subscriptions: Vec<SubscriptionPlace>,
    /// Packets that came in this turn, at most [`FRESH_MAX`].
    pub fresh: Vec<Fresh>,
    /// Encodings seen.
    pub encodings: Vec<FeedEncoding<I>>,
    /// Other cores that want the packets.
    cores: CoreSet,
}

impl<I> FeedEncoding<I> {
    /// Counts a packet of `len` bytes. Key frames are left out: each comes because somebody asked,
    /// and is no part of what the encoding costs from then on.
    pub(crate) fn count(&mut self, packet: &Packet, len: usize, now: Instant) {
        // Of sound, and of codecs that are not known, every packet is one.
        let predicted = !packet.codec.is_audio() && packet.codec != Codec::Other;
        if packet.frame.key && predicted {
            self.key_picture = Some(packet.timestamp);
        }
        if self.key_picture != Some(packet.timestamp) {
            self.meter.count(&packet.frame, len, now);
        }
    }
}

impl<I> Feed<I> {
    /// A feed without targets.
    pub(crate) fn new(track: TrackId, kind: MediaKind, home: CoreId) -> Self {
        Self {
            track,
            kind,
            home,
            published: false,
            subscriptions: Vec::new(),
            fresh: Vec::with_capacity(FRESH_MAX),
            encodings: Vec::new(),
            cores: CoreSet::default(),
        }
    }

    /// Whether nobody needs this feed any more.
    pub(crate) fn is_idle(&self) -> bool {
        !self.published && !self.is_watched()
    }

    /// Whether anyone gets its packets.
    pub(crate) fn is_watched(&self) -> bool {
        !self.subscriptions.is_empty() || !self.cores.is_empty()
    }

    /// The other cores that want the packets.
    pub(crate) fn cores(&self) -> impl Iterator<Item = CoreId> + use<I> {
        self.cores.iter()
    }

    /// Adds or removes a core.
    pub(crate) fn reach(&mut self, core: CoreId, wanted: bool) {
        self.cores.set(core, wanted);
    }

    /// The track is gone for good: only subscriptions keep the feed.
    pub(crate) fn end(&mut self) {
        self.published = false;
        self.cores = CoreSet::default();
    }

    /// Removes a subscription.
    pub(crate) fn leave(&mut self, subscription: SubscriptionPlace) {
        self.subscriptions.retain(|kept| *kept != subscription);
    }

    /// The clock of an encoding, once it is known.
    pub(crate) fn clock(&self, encoding: u8) -> Option<ClockPair> {
        self.encodings.get(usize::from(encoding))?.clock
    }

    /// Whether an encoding sends: it has not been silent while others were heard. (All silent is a
    /// pause of the whole track, not the end of one encoding.)
    pub(crate) fn is_alive(&self, encoding: u8, now: Instant) -> bool {
        let newest = self.encodings.iter().filter_map(|encoding| encoding.newest_at).max();
        let own = self.encodings.get(usize::from(encoding)).and_then(|state| state.newest_at);
        let (Some(newest), Some(own)) = (newest, own) else { return false };
        // Who fell silent long ago is not revived by the silence of the others.
        let behind = newest.saturating_duration_since(own) < ENCODING_SILENCE;
        behind || now.saturating_duration_since(own) < ENCODING_SILENCE
    }

    /// The encoding of `packet`, made by `new_index` when it is the first one. Returns whether the
    /// packet starts a new epoch of it.
    pub(crate) fn encoding(
        &mut self,
        packet: &Packet,
        new_index: impl Fn() -> I,
    ) -> Option<(&mut FeedEncoding<I>, bool)> {
        let number = usize::from(packet.encoding);
        if number >= common::limits::ENCODINGS_MAX {
            return None;
        }
        while self.encodings.len() <= number {
            self.encodings.push(FeedEncoding {
                index: new_index(),
                epoch: packet.epoch,
                newest_at: None,
                clock: None,
                meter: Meter::new(),
                key_picture: None,
            });
        }
        let encoding = self.encodings.get_mut(number)?;
        let fresh = encoding.epoch != packet.epoch;
        if fresh {
            encoding.epoch = packet.epoch;
            encoding.clock = None;
        }
        Some((encoding, fresh))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_feed_has_no_cores() {
        let mut feed: Feed<()> = Feed::new(TrackId::new(1, 1), MediaKind::Video, CoreId(0));
        feed.reach(CoreId(63), true);
        assert!(feed.cores().eq([CoreId(63)]));
        assert!(feed.is_watched() && !feed.is_idle());
        feed.end();
        assert!(!feed.is_watched() && feed.is_idle());
    }
}
