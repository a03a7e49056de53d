//! A published track: its payload types and the state of its encodings.

use std::time::Instant;

use common::command::{Encoding, PublishFacts, PublishedPayload};
use common::id::TrackId;
use common::media::{Label, MediaKind};

use super::keyframe::KeyFrames;
use super::loss::Gaps;
use super::reception::Reception;
use crate::kit::table::PeerPlace;

/// One encoding as it is received.
pub(crate) struct EncodingState {
    /// What the control plane said of it.
    pub facts: Encoding,
    /// SSRC it arrives with, once a packet came.
    pub ssrc: Option<u32>,
    /// Changes whenever its sequence numbers start anew.
    pub epoch: u16,
    /// Arrival of its newest packet.
    pub newest_at: Instant,
    /// Statistics.
    pub reception: Reception,
    /// Missing packets.
    pub gaps: Gaps,
    /// Key frames asked for.
    pub key_frames: KeyFrames,
}

/// One published track.
pub(crate) struct Track {
    /// Its name.
    pub id: TrackId,
    /// Its publisher.
    pub peer: PeerPlace,
    /// Audio or video.
    pub kind: MediaKind,
    /// MID of its section.
    pub mid: Label,
    /// Its encodings.
    pub encodings: Vec<EncodingState>,
    /// Arrival of its newest packet (its beginning until one came).
    pub newest_at: Instant,
    /// Whether any packet arrived since it began or was silent.
    pub active: bool,
    /// Whether its silence was reported.
    pub silent: bool,
    payloads: Vec<PublishedPayload>,
}

impl Track {
    /// A track without packets. `epoch` is a random start for the epochs of its encodings.
    pub(crate) fn new(facts: &PublishFacts, peer: PeerPlace, epoch: u16, now: Instant) -> Self {
        let encodings = facts.encodings.iter().map(|encoding| EncodingState {
            facts: *encoding,
            ssrc: None,
            epoch,
            newest_at: now,
            reception: Reception::default(),
            gaps: Gaps::new(),
            key_frames: KeyFrames::default(),
        });
        Self {
            id: facts.track,
            peer,
            kind: facts.kind,
            mid: facts.mid,
            encodings: encodings.collect(),
            newest_at: now,
            active: false,
            silent: false,
            payloads: facts.payloads.clone(),
        }
    }

    /// Takes new facts over (renegotiation); encodings that stay keep their state. Returns false
    /// when the encodings are others: the track must then be made anew.
    pub(crate) fn update(&mut self, facts: &PublishFacts) -> bool {
        let same_rids = self.encodings.len() == facts.encodings.len()
            && self.encodings.iter().zip(&facts.encodings).all(|(a, b)| a.facts.rid == b.rid);
        if !same_rids || self.kind != facts.kind {
            return false;
        }
        self.mid = facts.mid;
        self.payloads.clone_from(&facts.payloads);
        for (state, encoding) in self.encodings.iter_mut().zip(&facts.encodings) {
            state.facts = *encoding;
        }
        true
    }

    /// The primary payload type `payload_type`.
    pub(crate) fn payload(&self, payload_type: u8) -> Option<&PublishedPayload> {
        self.payloads.iter().find(|payload| payload.payload_type == payload_type)
    }

    /// The primary payload type whose retransmissions have `payload_type`.
    pub(crate) fn retransmitted(&self, payload_type: u8) -> Option<&PublishedPayload> {
        self.payloads.iter().find(|payload| payload.rtx == Some(payload_type))
    }

    /// Whether the publisher answers NACK.
    pub(crate) fn answers_nack(&self) -> bool {
        self.payloads.iter().any(|payload| payload.nack)
    }

    /// The encoding that signalled `ssrc`, and whether that is its retransmission SSRC.
    pub(crate) fn signalled(&self, ssrc: u32) -> Option<(u8, bool)> {
        self.encodings.iter().zip(0u8..).find_map(|(state, number)| {
            if state.facts.ssrc == Some(ssrc) {
                Some((number, false))
            } else if state.facts.rtx_ssrc == Some(ssrc) {
                Some((number, true))
            } else {
                None
            }
        })
    }

    /// The encoding with `rid`.
    pub(crate) fn with_rid(&self, rid: Label) -> Option<u8> {
        self.encodings
            .iter()
            .zip(0u8..)
            .find_map(|(state, number)| (state.facts.rid == Some(rid)).then_some(number))
    }

    /// Binds an encoding to the SSRC it arrives with. When it had another one before, its sequence
    /// numbers start anew: the epoch moves and statistics begin again.
    pub(crate) fn bind(&mut self, encoding: u8, ssrc: u32) {
        let Some(state) = self.encodings.get_mut(usize::from(encoding)) else { return };
        if state.ssrc.is_some_and(|bound| bound != ssrc) {
            state.epoch = state.epoch.wrapping_add(1);
            state.reception = Reception::default();
            state.gaps.clear();
        }
        state.ssrc = Some(ssrc);
    }
}
