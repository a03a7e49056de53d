//! Publications and subscriptions: the facts both ends of a track share.
//!
//! A publication is shared by its session, the directory and every subscription to it; a
//! subscription belongs to its session's work. Neither sends a command.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use common::command::Encoding;
use common::id::{SubscriptionId, TrackId};
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

    /// The first packet arrived. An ended publication stays ended.
    pub fn start(&self) {
        let (old, new) = (TrackState::Waiting as u8, TrackState::Sending as u8);
        let _ = self.state.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire);
    }

    /// It ended.
    pub fn end(&self) {
        self.state.store(TrackState::Ended as u8, Ordering::Release);
    }

    /// Its media and encodings now.
    pub fn details(&self) -> Details {
        lock(&self.details).clone()
    }

    /// Replaces them after a renegotiation.
    pub fn set_details(&self, details: Details) {
        *lock(&self.details) = details;
    }

    /// Number of the encoding a subscriber asked for. None: no wish, or no such encoding.
    pub fn encoding(&self, simulcast: Option<&Simulcast>) -> Option<u8> {
        let rid = simulcast?.preferred_rid.as_deref().filter(|rid| !rid.is_empty())?;
        let named = |e: &Encoding| e.rid.is_some_and(|label| label.as_bytes() == rid.as_bytes());
        let place = lock(&self.details).encodings.iter().position(named)?;
        u8::try_from(place).ok()
    }

    /// Whether it has encodings to choose from.
    pub fn is_simulcast(&self) -> bool {
        lock(&self.details).encodings.iter().any(|encoding| encoding.rid.is_some())
    }
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
