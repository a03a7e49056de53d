//! The media sections of a session as both sides last agreed on them (or as our open offer
//! proposes them), and what each carries.
//!
//! Owned by `negotiation.rs`, changed by the answer and offer builders, read by the writer.
//! Sections are kept by index and by mid apart: a stopped one is reused under a new mid
//! (RFC 8829 section 5.2.2).

use common::command::{DtlsRole, Encoding, PublishedPayload, SctpFacts};
use common::media::{Extension, MediaKind};

use super::codecs::{self, Role};
use super::description::{Direction, Format, IceCredentials, Payload, SectionKind};
use super::extensions::{Bound, Ids};
use super::outcome::{
    Msid, PublishedSection, ReceivingSection, SectionView, SendHalf, SourceMedia, SourcePayload,
};

/// Our half of one section: a subscription, or room that is kept for one.
#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    /// What is sent; None while the half is idle.
    pub(crate) media: Option<SourceMedia>,
    /// SSRC we send.
    pub(crate) ssrc: u32,
    /// SSRC of its RTX stream.
    pub(crate) rtx_ssrc: Option<u32>,
    /// Names shown to the client.
    pub(crate) msid: Msid,
}

impl Outbound {
    /// A half without a subscription in the section `mid`.
    pub(crate) fn idle(state: &State, mid: &str, half: &SendHalf) -> Self {
        let msid = state.unique_msid(mid, &half.msid);
        Self { media: None, ssrc: half.ssrc, rtx_ssrc: half.rtx_ssrc, msid }
    }
}

/// One media section.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Its mid; empty only when stopped.
    pub(crate) mid: String,
    /// Its kind.
    pub(crate) kind: SectionKind,
    /// Media name of its `m=` line.
    pub(crate) media: String,
    /// Protocol of its `m=` line.
    pub(crate) protocol: String,
    /// Formats a stopped section shows.
    pub(crate) formats: Vec<String>,
    /// Rejected or stopped.
    pub(crate) stopped: bool,
    /// Closed through the API: inactive until it is named again.
    pub(crate) closed: bool,
    /// Whether the client sends and receives, by its last word.
    pub(crate) client: Direction,
    /// Negotiated payload types.
    pub(crate) payloads: Vec<Payload>,
    /// Negotiated header extensions.
    pub(crate) extensions: Vec<Bound>,
    /// Reduced-size RTCP.
    pub(crate) rtcp_rsize: bool,
    /// RIDs of accepted simulcast.
    pub(crate) rids: Vec<String>,
    /// Encodings the client sends.
    pub(crate) encodings: Vec<Encoding>,
    /// Whether the API named this section as a publication.
    pub(crate) publishes: bool,
    /// The subscription shown here, or the half kept for one.
    pub(crate) outbound: Option<Outbound>,
    /// Made by an offer of ours: once closed, a later one stops it.
    pub(crate) ours: bool,
    /// The client's SCTP, in an application section it described.
    pub(crate) sctp: Option<SctpFacts>,
}

impl Line {
    /// A rejected or stopped section.
    pub(crate) fn stopped(
        kind: SectionKind,
        media: String,
        mid: String,
        protocol: String,
        formats: Vec<String>,
        payloads: Vec<Payload>,
    ) -> Self {
        Self {
            mid,
            kind,
            media,
            protocol,
            formats,
            stopped: true,
            closed: false,
            client: Direction::Inactive,
            payloads,
            extensions: Vec::new(),
            rtcp_rsize: false,
            rids: Vec::new(),
            encodings: Vec::new(),
            publishes: false,
            outbound: None,
            ours: false,
            sctp: None,
        }
    }

    /// The same section without anything in it, at port 0.
    pub(crate) fn to_stopped(&self) -> Self {
        let number = self.payloads.first().map(|payload| payload.payload_type.to_string());
        let format = number.or_else(|| self.formats.first().cloned());
        Self::stopped(
            self.kind,
            self.media.clone(),
            self.mid.clone(),
            self.protocol.clone(),
            vec![format.unwrap_or_else(|| "0".to_owned())],
            self.payloads.first().cloned().into_iter().collect(),
        )
    }

    /// Our direction: we receive whatever the client sends unless the section was closed, and send
    /// where there is a subscription the client receives, or room for one.
    pub(crate) fn direction(&self) -> Direction {
        if self.stopped || self.closed {
            return Direction::Inactive;
        }
        Direction::new(self.sends(), self.client.sends())
    }

    /// Whether a subscription is sent here, or can be without a description.
    pub(crate) fn sends(&self) -> bool {
        !self.stopped && !self.closed && self.client.receives() && self.outbound.is_some()
    }

    /// Ends what the section carries.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.publishes = false;
        self.outbound = None;
    }

    /// Facts of the client's stream in this section, named as a publication or not.
    pub(crate) fn published(&self) -> Option<PublishedSection> {
        let kind = self.kind.media()?;
        if self.stopped || self.closed || self.encodings.is_empty() {
            return None;
        }
        let primaries = || self.payloads.iter().filter(|p| p.format.role(kind) != Role::Rtx);
        let has = |payload: &Payload, value: &str| payload.feedback.iter().any(|f| f == value);
        Some(PublishedSection {
            mid: self.mid.clone(),
            kind,
            payloads: primaries()
                .map(|payload| PublishedPayload {
                    payload_type: payload.payload_type,
                    codec: payload.format.codec(),
                    clock_rate: payload.format.clock_rate,
                    rtx: codecs::rtx_of(&self.payloads, payload.payload_type),
                    nack: has(payload, "nack"),
                    pli: has(payload, "nack pli"),
                    remb: has(payload, codecs::REMB),
                })
                .collect(),
            encodings: self.encodings.clone(),
            media: SourceMedia {
                kind,
                payloads: primaries()
                    .map(|payload| SourcePayload {
                        payload_type: payload.payload_type,
                        format: payload.format.clone(),
                        rtx: codecs::rtx_of(&self.payloads, payload.payload_type),
                    })
                    .collect(),
            },
        })
    }

    /// Facts of the subscription in this section; None without one or without a shared codec.
    pub(crate) fn receiving(&self) -> Option<ReceivingSection> {
        let kind = self.kind.media()?;
        let outbound = self.outbound.as_ref().filter(|_| self.sends())?;
        let media = outbound.media.as_ref()?;
        let payloads = codecs::map(media, &self.payloads, outbound.rtx_ssrc.is_some())?;
        let rtx = payloads.iter().any(|mapping| mapping.rtx.is_some());
        Some(ReceivingSection {
            mid: self.mid.clone(),
            kind,
            payloads,
            ssrc: outbound.ssrc,
            rtx_ssrc: outbound.rtx_ssrc.filter(|_| rtx),
        })
    }

    /// SSRC of the RTX stream of our half, where RTX was negotiated for what it may send.
    pub(crate) fn rtx_ssrc(&self) -> Option<u32> {
        let outbound = self.outbound.as_ref()?;
        let rtx = match &outbound.media {
            Some(_) => self.receiving().is_some_and(|receiving| receiving.rtx_ssrc.is_some()),
            None => self.payloads.iter().any(|payload| payload.format.is("rtx")),
        };
        outbound.rtx_ssrc.filter(|_| rtx)
    }

    /// Whether the client reports on the transport-wide numbers of what is sent here.
    pub(crate) fn transport_feedback(&self) -> bool {
        let numbers = self.extensions.iter().any(|(_, known)| *known == Extension::TransportCc);
        let messages = |p: &Payload| p.feedback.iter().any(|f| f == codecs::TRANSPORT_CC);
        self.sends() && numbers && self.payloads.iter().any(messages)
    }

    /// What the API layer may see.
    pub(crate) fn view(&self, index: usize) -> SectionView {
        SectionView {
            mid: self.mid.clone(),
            index,
            kind: self.kind.media(),
            direction: self.direction(),
            stopped: self.stopped,
            publishes: self.publishes && !self.stopped,
            receives: self.outbound.as_ref().map(|outbound| outbound.ssrc),
        }
    }
}

/// What the session knows of the client's transport.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Remote {
    /// Its ICE credentials.
    pub(crate) ice: IceCredentials,
    /// Its certificate.
    pub(crate) fingerprint: [u8; 32],
}

/// One agreed (or proposed) state of a session.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// Sections by index.
    pub(crate) lines: Vec<Line>,
    /// Mid of the section whose transport the group uses.
    pub(crate) tag: Option<String>,
    /// Mids of the group in the order of the last description.
    pub(crate) bundle: Vec<String>,
    /// Header extension ids.
    pub(crate) ids: Ids,
    /// First meaning of each payload type.
    pub(crate) payloads: PayloadBook,
    /// The client's transport, after the first exchange.
    pub(crate) remote: Option<Remote>,
    /// Our DTLS role on the transport, once an exchange settled it (RFC 8842 section 5).
    pub(crate) role: Option<DtlsRole>,
    /// Both sides mix one-byte and two-byte extensions.
    pub(crate) mixed: bool,
}

impl State {
    /// A session before its first exchange.
    pub(crate) fn new() -> Self {
        Self {
            lines: Vec::new(),
            tag: None,
            bundle: Vec::new(),
            ids: Ids::default(),
            payloads: PayloadBook::default(),
            remote: None,
            role: None,
            mixed: true,
        }
    }

    /// The live section with this mid.
    pub(crate) fn line_mut(&mut self, mid: &str) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.mid == mid && !line.stopped)
    }

    /// The live section with this mid.
    pub(crate) fn line(&self, mid: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.mid == mid && !line.stopped)
    }

    /// A name that no other live section shows: Chromium refuses a description in which two
    /// sections share one.
    pub(crate) fn unique_msid(&self, mid: &str, msid: &Msid) -> Msid {
        let clean = |text: &str| {
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`{|}~".contains(c);
            let text: String =
                text.chars().take(64).map(|c| if token(c) { c } else { '_' }).collect();
            if text.is_empty() { "-".to_owned() } else { text }
        };
        let mut msid = Msid { stream: clean(&msid.stream), track: clean(&msid.track) };
        let taken = |line: &Line| {
            line.mid != mid && line.outbound.as_ref().is_some_and(|outbound| outbound.msid == msid)
        };
        if self.lines.iter().any(taken) {
            msid.track = format!("{}-{mid}", msid.track);
        }
        msid
    }
}

/// Which codec each payload type of the session means; one table for the whole BUNDLE group.
#[derive(Clone, Debug)]
pub(crate) struct PayloadBook {
    formats: Vec<Option<(MediaKind, Format)>>,
}

impl Default for PayloadBook {
    fn default() -> Self {
        Self { formats: vec![None; 128] }
    }
}

impl PayloadBook {
    /// Notes what the client or our offer used; the first meaning of a payload type stays.
    pub(crate) fn note(&mut self, kind: MediaKind, payloads: &[Payload]) {
        for payload in payloads {
            if let Some(place) = self.formats.get_mut(usize::from(payload.payload_type)) {
                place.get_or_insert_with(|| (kind, payload.format.clone()));
            }
        }
    }

    /// The payload type this session uses for a primary or companion format.
    pub(crate) fn find(&self, kind: MediaKind, format: &Format) -> Option<u8> {
        self.position(|(known, other)| *known == kind && format.matches(other))
    }

    /// The payload type of the RTX stream of `primary`.
    pub(crate) fn find_rtx(&self, kind: MediaKind, primary: u8) -> Option<u8> {
        self.position(|(known, other)| {
            *known == kind && other.is("rtx") && other.apt() == Some(primary)
        })
    }

    /// The preferred payload type if it is free, else a free dynamic one, `first_choice` ones
    /// before others: 96 to 127, then 35 to 63 (RFC 5761 section 4 keeps 64 to 95 for RTCP).
    pub(crate) fn free(
        &self,
        preferred: Option<u8>,
        first_choice: impl Fn(u8) -> bool,
    ) -> Option<u8> {
        let free = |pt: &u8| matches!(self.formats.get(usize::from(*pt)), Some(None));
        let dynamic = || (96..=127).chain(35..=63).filter(free);
        let preferred = preferred.filter(free);
        preferred.or_else(|| dynamic().find(|pt| first_choice(*pt))).or_else(|| dynamic().next())
    }

    fn position(&self, test: impl Fn(&(MediaKind, Format)) -> bool) -> Option<u8> {
        let found = self.formats.iter().position(|place| place.as_ref().is_some_and(&test))?;
        u8::try_from(found).ok()
    }
}
