//! Publications and subscriptions: the facts both ends of a track share.
//!
//! A publication is shared by its session, the directory and every subscription to it; a
//! subscription belongs to its session's work. Neither sends a command.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

use common::command::Encoding;
use common::id::{SubscriptionId, TrackId};
use common::limits::ENCODINGS_MAX;
use common::media::MediaKind;

use super::lock;
use crate::sdp::{ReceivingSection, SourceMedia};
use crate::wire::Simulcast;

/// What is known of a publication's packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrackState {
    /// No packet arrived yet.
    Waiting,
    /// Packets arrived.
    Sending,
    /// Closed, silent, or its session ended.
    Ended,
}

/// One published track.
#[derive(Debug)]
pub struct Publication {
    /// Its id on the data plane.
    pub track: TrackId,
    /// The publishing session.
    pub session_id: String,
    /// Name within that session.
    pub name: String,
    /// Mid of its section.
    pub mid: String,
    /// Audio or video.
    pub kind: MediaKind,
    state: AtomicU8,
    sound: AtomicU16,
    rates: Mutex<[u32; ENCODINGS_MAX]>,
    details: Mutex<Details>,
}

/// What renegotiation may change of a publication.
#[derive(Clone, Debug)]
pub struct Details {
    /// What it carries, for subscribers' negotiations.
    pub media: SourceMedia,
    /// Its encodings in the order of the offer.
    pub encodings: Vec<Encoding>,
}

impl Publication {
    /// A publication without packets.
    pub fn new(
        track: TrackId,
        session_id: String,
        name: String,
        mid: String,
        details: Details,
    ) -> Self {
        Self {
            track,
            session_id,
            name,
            mid,
            kind: details.media.kind,
            state: AtomicU8::new(TrackState::Waiting as u8),
            sound: AtomicU16::new(0),
            rates: Mutex::default(),
            details: Mutex::new(details),
        }
    }

    /// What is known of its packets.
    pub fn state(&self) -> TrackState {
        match self.state.load(Ordering::Acquire) {
            0 => TrackState::Waiting,
            1 => TrackState::Sending,
            _ => TrackState::Ended,
        }
    }

    /// Whether it did not end.
    pub fn is_live(&self) -> bool {
        self.state() != TrackState::Ended
    }

    /// The first packet arrived. An ended publication stays ended. True when nobody knew before.
    pub fn start(&self) -> bool {
        let (old, new) = (TrackState::Waiting as u8, TrackState::Sending as u8);
        self.state.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// It ended. True when packets of it had arrived, and it had not ended before.
    pub fn end(&self) -> bool {
        let old = self.state.swap(TrackState::Ended as u8, Ordering::AcqRel);
        old == TrackState::Sending as u8
    }

    /// Its media and encodings now.
    pub fn details(&self) -> Details {
        lock(&self.details).clone()
    }

    /// Replaces them after a renegotiation.
    pub fn set_details(&self, details: Details) {
        *lock(&self.details) = details;
    }

    /// RIDs of its encodings in the order of the offer; none without simulcast.
    pub fn rids(&self) -> Vec<String> {
        let details = lock(&self.details);
        let rids = details.encodings.iter().filter_map(|encoding| encoding.rid.as_ref());
        rids.map(|rid| String::from_utf8_lossy(rid.as_bytes()).into_owned()).collect()
    }

    /// Notes what its encodings cost, in bit/s.
    pub fn set_rates(&self, rates: [u32; ENCODINGS_MAX]) {
        *lock(&self.rates) = rates;
    }

    /// What its encodings cost, in bit/s; 0 for one that is not sent.
    pub fn rates(&self) -> [u32; ENCODINGS_MAX] {
        *lock(&self.rates)
    }

    /// Notes what the cores heard of it. Of no use for a publication that ended. True when somebody
    /// began to speak or stopped.
    pub fn hear(&self, level: u8, speaking: bool) -> bool {
        let spoken = if speaking { SPEAKING } else { 0 };
        let new = HEARD | spoken | u16::from(level.min(127));
        let old = self.sound.swap(new, Ordering::AcqRel);
        (old ^ new) & SPEAKING != 0
    }

    /// The newest audio level, of a live publication whose packets tell one.
    pub fn sound(&self) -> Option<Sound> {
        let sound = self.sound.load(Ordering::Acquire);
        let level = sound.to_le_bytes()[0];
        let known = self.is_live() && sound & HEARD != 0;
        known.then_some(Sound { level, speaking: sound & SPEAKING != 0 })
    }
}

/// Bit of [`Publication::sound`]'s word: a level was heard; the level is in the low byte.
const HEARD: u16 = 0x100;
/// Bit of the same: that is speech.
const SPEAKING: u16 = 0x200;

/// How loud a track is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sound {
    /// Smoothed level in -dBov (RFC 6464): 0 is the loudest, 127 silence.
    pub level: u8,
    /// Whether that is speech rather than background.
    pub speaking: bool,
}

/// One subscription of a session, by its mid.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Its id on the data plane.
    pub id: SubscriptionId,
    /// What it shows.
    pub publication: std::sync::Arc<Publication>,
    /// Settings as given.
    pub simulcast: Option<Simulcast>,
    /// Negotiated facts; None while our offer waits for its answer.
    pub receiving: Option<ReceivingSection>,
    /// Re-pointed while our offer was open: the answer's payload types are of another publication.
    pub repointed: bool,
    /// Closed by the client; stays listed as inactive until its mid is used again.
    pub closed: bool,
}

impl Subscription {
    /// Whether media can flow.
    pub fn is_active(&self) -> bool {
        !self.closed && self.publication.is_live()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_level_is_kept_until_the_publication_ends() {
        let media = SourceMedia { kind: MediaKind::Audio, payloads: Vec::new() };
        let details = Details { media, encodings: Vec::new() };
        let name = || "a".to_owned();
        let publication = Publication::new(TrackId::new(1, 0), name(), name(), name(), details);
        assert_eq!(publication.sound(), None, "nothing was heard yet");
        for (level, speaking) in [(0, false), (30, true), (127, false), (31, true)] {
            assert_eq!(publication.hear(level, speaking), level > 0);
            assert_eq!(publication.sound(), Some(Sound { level, speaking }));
        }
        assert!(publication.hear(255, false) && !publication.hear(200, false));
        assert_eq!(publication.sound(), Some(Sound { level: 127, speaking: false }));
        publication.end();
        assert_eq!(publication.sound(), None);
    }
}
