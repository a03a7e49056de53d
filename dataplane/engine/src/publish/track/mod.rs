//! A published track: its payload types and the state of its encodings.

use std::time::{Duration, Instant};

use common::command::{Encoding, PublishFacts, PublishedPayload};
use common::id::TrackId;
use common::media::{Extension, Label, MediaKind};
use proto::payload::FrameReader;

use super::keyframe::{Asking, KeyFrames};
use super::loss::{Filled, Gaps, Way};
use super::reception::Reception;
use super::round_trip::RoundTrip;
use super::speech::{Speech, Voice};
use crate::kit::packet::Packet;
use crate::kit::table::PeerPlace;

/// An encoding without packets for this long is not alive.
const ENCODING_SILENCE: Duration = Duration::from_secs(1);

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
    key_frames: KeyFrames,
    /// What its packets say of frames and layers.
    pub frames: FrameReader,
    newest_at: Option<Instant>,
    /// Whether it was last reported to send.
    told: bool,
    frame: Frame,
}

/// Where the newest frame begins, as far as timestamps tell.
#[derive(Default)]
struct Frame {
    timestamp: u32,
    /// Highest number seen of earlier frames: all lower ones are theirs.
    end_before: u64,
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
    Missing(Filled),
    /// Known already, or given up.
    Known,
}

impl EncodingState {
    /// An encoding without packets, of a track of this `kind`.
    fn new(facts: Encoding, kind: MediaKind, epoch: u32, now: Instant) -> Self {
        Self {
            facts,
            ssrc: None,
            epoch,
            reception: Reception::default(),
            gaps: Gaps::new(kind, now),
            key_frames: KeyFrames::default(),
            frames: FrameReader::default(),
            newest_at: None,
            told: false,
            frame: Frame::default(),
        }
    }

    /// Judges the number of a packet that arrived in this `way`, and notes it as arrived.
    /// `clock_rate` in Hz.
    fn admit(
        &mut self,
        packet: &Packet,
        way: Way,
        clock_rate: u32,
        now: Instant,
        path: &mut RoundTrip,
    ) -> Arrival {
        let sequence = packet.sequence;
        let newest = self.reception.newest();
        let arrival = match newest {
            Some(newest) if sequence > newest => {
                Arrival::Newer { repairable: self.gaps.on_jump(newest, sequence, now) }
            }
            Some(_) => match self.gaps.fill(sequence, way, now, path) {
                Some(filled) => Arrival::Missing(filled),
                None => Arrival::Known,
            },
            None => Arrival::Newer { repairable: true },
        };
        if way == Way::Repeated || arrival == Arrival::Missing(Filled::Answered) {
            self.reception.on_repeated(sequence);
        } else {
            self.reception.on_packet(sequence, packet.timestamp, clock_rate, now);
        }
        if let (Arrival::Newer { .. }, true) = (arrival, self.frame.timestamp != packet.timestamp) {
            let end_before = newest.unwrap_or(sequence);
            self.frame = Frame { timestamp: packet.timestamp, end_before };
        }
        if arrival != Arrival::Known {
            self.newest_at = Some(now);
        }
        arrival
    }

    /// A packet that was admitted as `arrival` begins a key frame. Gaps between it and the frames
    /// before may be its own (parameter sets in packets of their own), older ones are pointless.
    pub(crate) fn on_key_frame(&mut self, arrival: Arrival, now: Instant) {
        self.key_frames.arrived(now);
        if let Arrival::Newer { .. } = arrival {
            self.gaps.on_key_frame(self.frame.end_before);
        }
    }

    /// Someone needs a key frame. Returns whether to ask for one now.
    pub(crate) fn want_key_frame(&mut self, now: Instant, path: &RoundTrip) -> bool {
        self.key_frames.want();
        self.is_key_frame_due(now, path)
    }

    /// Whether a kept wish for a key frame is to be sent now; if so it counts as sent.
    pub(crate) fn is_key_frame_due(&mut self, now: Instant, path: &RoundTrip) -> bool {
        let asking = self.asking(now, path);
        self.known_ssrc().is_some() && self.key_frames.due(asking)
    }

    /// The SSRC it arrives with, or will.
    pub(crate) fn known_ssrc(&self) -> Option<u32> {
        self.ssrc.or(self.facts.ssrc)
    }

    fn asking(&self, now: Instant, path: &RoundTrip) -> Asking {
        let silent = |at| now.saturating_duration_since(at) >= ENCODING_SILENCE;
        Asking { now, wait: path.wait(), alive: self.newest_at.is_some_and(|at| !silent(at)) }
    }

    /// Forgets the stream so far: sequence numbers start anew with `epoch`.
    fn restart(&mut self, epoch: u32) {
        self.epoch = epoch;
        self.reception = Reception::default();
        self.gaps.clear();
        self.frames = FrameReader::default();
        self.key_frames.restart();
        self.frame = Frame::default();
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
    /// Round-trip time towards its publisher.
    pub round_trip: RoundTrip,
    /// Who speaks, of an audio track.
    pub speech: Speech,
    /// Whether it is on the list of tracks with open gaps.
    pub listed: bool,
    payloads: Vec<PublishedPayload>,
}

impl Track {
    /// A track without packets. `epoch` is a number that no track of this node had before.
    pub(crate) fn new(facts: &PublishFacts, peer: PeerPlace, epoch: u32, now: Instant) -> Self {
        let kind = facts.kind;
        let encodings = facts.encodings.iter();
        let encodings = encodings.map(|encoding| EncodingState::new(*encoding, kind, epoch, now));
        Self {
            id: facts.track,
            peer,
            kind,
            mid: facts.mid,
            encodings: encodings.collect(),
            newest_at: now,
            active: false,
            silent: false,
            round_trip: RoundTrip::default(),
            speech: Speech::default(),
            listed: false,
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

    /// Whether the publisher answers PLI.
    pub(crate) fn answers_pli(&self) -> bool {
        self.payloads.iter().any(|payload| payload.pli)
    }

    /// Judges the number of a packet of this track, and notes it as arrived. `repeated`: it came on
    /// the SSRC of retransmissions. None: no such encoding.
    pub(crate) fn admit(
        &mut self,
        packet: &Packet,
        payload: &PublishedPayload,
        repeated: bool,
        now: Instant,
    ) -> Option<Arrival> {
        let way = match (repeated, payload.rtx) {
            (true, _) => Way::Repeated,
            (false, Some(_)) => Way::Original,
            (false, None) => Way::Shared,
        };
        let state = self.encodings.get_mut(usize::from(packet.encoding))?;
        Some(state.admit(packet, way, payload.clock_rate, now, &mut self.round_trip))
    }

    /// What `packet` of an audio track changes about who speaks. `plain` is the packet.
    pub(crate) fn voice(&mut self, packet: &Packet, plain: &[u8], now: Instant) -> Option<Voice> {
        if self.kind != MediaKind::Audio {
            return None;
        }
        let mut elements = packet.elements().iter();
        let element = elements.find(|element| element.extension == Extension::AudioLevel)?;
        let start = usize::from(element.offset);
        let data = plain.get(start..start + usize::from(element.len))?;
        self.speech.on_level(data, now)
    }

    /// An encoding with a RID that began to send since this was asked last, or stopped while others
    /// of the track went on. All silent is a pause of the track, not the end of an encoding.
    pub(crate) fn layer_change(&mut self) -> Option<(Label, bool)> {
        let newest = self.encodings.iter().filter_map(|state| state.newest_at).max()?;
        self.encodings.iter_mut().find_map(|state| {
            let rid = state.facts.rid?;
            let behind = state.newest_at.map(|at| newest.saturating_duration_since(at));
            let sends = behind.is_some_and(|behind| behind < ENCODING_SILENCE);
            let told = std::mem::replace(&mut state.told, sends);
            (told != sends).then_some((rid, sends))
        })
    }

    /// Whether any of its encodings has open gaps.
    pub(crate) fn has_gaps(&self) -> bool {
        self.encodings.iter().any(|state| !state.gaps.is_empty())
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
            state.restart(epoch);
        }
        state.ssrc = Some(ssrc);
    }
}

#[cfg(test)]
mod tests;
