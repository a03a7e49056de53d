//! A published track: its payload types and the state of its encodings.

use std::time::Instant;

use common::command::{Encoding, PublishFacts, PublishedPayload};
use common::id::TrackId;
use common::media::{Label, MediaKind};
use proto::payload::FrameReader;

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
    pub epoch: u32,
    /// Statistics.
    pub reception: Reception,
    /// Missing packets.
    pub gaps: Gaps,
    /// Key frames asked for.
    pub key_frames: KeyFrames,
    /// What its packets say of frames and layers.
    pub frames: FrameReader,
}

/// What the number of a packet says of it. A number is taken once per epoch, as [`Arrival::Newer`]
/// or as [`Arrival::Missing`]: so no number is ever forwarded with two different contents, whatever
/// the publisher repeats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// Higher than all before it.
    Newer {
        /// Whether what it shows as lost can be asked for again.
        repairable: bool,
    },
    /// One that was missing.
    Missing,
    /// Known already, or given up.
    Known,
}

impl EncodingState {
    /// Judges the number of a packet that arrived, and notes it as arrived.
    pub(crate) fn admit(&mut self, sequence: u64, now: Instant) -> Arrival {
        match self.reception.newest() {
            Some(newest) if sequence > newest => {
                Arrival::Newer { repairable: self.gaps.on_jump(newest, sequence, now) }
            }
            Some(_) if self.gaps.on_late(sequence) => Arrival::Missing,
            Some(_) => Arrival::Known,
            None => Arrival::Newer { repairable: true },
        }
    }
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
    /// A track without packets. `epoch` is a number that no track of this node had before.
    pub(crate) fn new(facts: &PublishFacts, peer: PeerPlace, epoch: u32, now: Instant) -> Self {
        let encodings = facts.encodings.iter().map(|encoding| EncodingState {
            facts: *encoding,
            ssrc: None,
            epoch,
            reception: Reception::default(),
            gaps: Gaps::new(),
            key_frames: KeyFrames::default(),
            frames: FrameReader::default(),
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
    /// numbers start anew: it gets `epoch`, a number that no track of this node had before, and
    /// statistics begin again.
    pub(crate) fn bind(&mut self, encoding: u8, ssrc: u32, epoch: u32) {
        let Some(state) = self.encodings.get_mut(usize::from(encoding)) else { return };
        if state.ssrc.is_some_and(|bound| bound != ssrc) {
            state.epoch = epoch;
            state.reception = Reception::default();
            state.gaps.clear();
            state.frames = FrameReader::default();
        }
        state.ssrc = Some(ssrc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::command::Encoding;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::time::Duration;

    fn encoding() -> EncodingState {
        EncodingState {
            facts: Encoding { rid: None, ssrc: None, rtx_ssrc: None },
            ssrc: None,
            epoch: 0,
            reception: Reception::default(),
            gaps: Gaps::new(),
            key_frames: KeyFrames::default(),
            frames: FrameReader::default(),
        }
    }

    #[test]
    fn a_missing_number_is_taken_once_and_a_known_one_never() {
        let now = Instant::now();
        let mut state = encoding();
        let mut arrive = |sequence| {
            let arrival = state.admit(sequence, now);
            state.reception.on_packet(sequence, 0, 90_000, now);
            arrival
        };
        assert_eq!(arrive(10), Arrival::Newer { repairable: true });
        assert_eq!(arrive(12), Arrival::Newer { repairable: true });
        assert_eq!(arrive(11), Arrival::Missing);
        for known in [11, 10, 12, 9, 0] {
            assert_eq!(arrive(known), Arrival::Known, "{known}");
        }
        assert_eq!(arrive(1_000), Arrival::Newer { repairable: false });
        assert_eq!(arrive(500), Arrival::Known, "given up");
    }

    proptest! {
        /// In whatever order and however often numbers arrive, and whenever gaps are asked for.
        #[test]
        fn no_number_is_taken_twice(
            steps in prop::collection::vec((0u64..400, 0u64..60), 1..600),
        ) {
            let mut now = Instant::now();
            let (mut state, mut taken, mut numbers) = (encoding(), HashSet::new(), [0; 8]);
            for (sequence, wait) in steps {
                now += Duration::from_millis(wait);
                if wait % 3 == 0 {
                    state.gaps.due(now, &mut numbers);
                }
                if state.admit(sequence, now) != Arrival::Known {
                    prop_assert!(taken.insert(sequence), "{} twice", sequence);
                    state.reception.on_packet(sequence, 0, 90_000, now);
                }
            }
        }
    }
}
