//! The application section: SCTP over the transport's DTLS, on which data channels live.
//!
//! Called by the answer and offer builders and by the API layer. A session has one such section at
//! a time; further ones are rejected (RFC 8829 section 5.1.1). It carries no RTP: no payload types,
//! no extensions, no direction. RFC 8841 (SCTP in SDP), RFC 8831 (data channels).

use common::command::SctpFacts;

use super::SdpError;
use super::answer::bundled_mids;
use super::description::{Description, Direction, Section, SectionKind};
use super::lines::{Line, State};
use super::negotiation::Negotiation;
use super::offer::{fresh_mid, place};
use super::outcome::Offered;

/// Our SCTP port (RFC 8841 section 5; what browsers announce).
pub(super) const PORT: u16 = 5_000;
/// The only format of an application section (RFC 8841 section 4.3).
const FORMAT: &str = "webrtc-datachannel";
/// Transports of an application section (RFC 8841 section 4.1); the second one is of clients whose
/// default candidate is TCP.
const PROTOCOLS: [&str; 2] = ["UDP/DTLS/SCTP", "TCP/DTLS/SCTP"];
/// Largest message of a client that says nothing, in bytes (RFC 8841 section 6.1).
const MESSAGE_DEFAULT: u32 = 65_536;

/// SCTP as the writer of an application section announces it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sctp {
    /// Its SCTP port, never 0.
    pub port: u16,
    /// Largest message it takes, in bytes; 0: any.
    pub max_message_size: u32,
}

impl Sctp {
    /// What the lines of an application section say. None when data channels cannot use it: another
    /// protocol or format, or port 0, which ends an association (RFC 8841 section 5.3).
    pub(super) fn of(
        protocol: &str,
        formats: &[String],
        port: Option<u16>,
        max_message_size: Option<u32>,
    ) -> Option<Self> {
        let fits = PROTOCOLS.contains(&protocol) && formats.iter().any(|format| format == FORMAT);
        let port = port.unwrap_or(PORT);
        let max_message_size = max_message_size.unwrap_or(MESSAGE_DEFAULT);
        (fits && port != 0).then_some(Self { port, max_message_size })
    }
}

impl Description {
    /// Whether a session without data channels gets them by answering this offer.
    pub fn has_channels(&self) -> bool {
        chosen(&State::new(), self).is_some()
    }
}

impl Negotiation {
    /// The client's SCTP, while an application section lives.
    pub fn sctp(&self) -> Option<SctpFacts> {
        self.state.lines.iter().filter(|line| !line.stopped).find_map(|line| line.sctp)
    }

    /// Offers an application section beside all sections there are.
    ///
    /// Errors: [`super::SdpErrorKind::Order`] while an offer of ours is open, when the session has
    /// an application section, or has no room for another section.
    pub fn offer_channels(&mut self) -> Result<Offered, SdpError> {
        if self.pending.is_some() {
            return Err(SdpError::order("an earlier offer of this server waits for its answer"));
        }
        if self.sctp().is_some() {
            return Err(SdpError::order("the session has an application section"));
        }
        let mut state = self.state.clone();
        let mut next_mid = self.next_mid;
        let mid = fresh_mid(&state, &mut next_mid);
        let [protocol, _] = PROTOCOLS;
        let line = Line {
            stopped: false,
            client: Direction::SendRecv,
            ..Line::stopped(
                SectionKind::Application,
                "application".to_owned(),
                mid.clone(),
                protocol.to_owned(),
                vec![FORMAT.to_owned()],
                Vec::new(),
            )
        };
        place(&mut state, line)?;
        Ok(self.propose(state, next_mid, vec![mid]))
    }
}

/// The application section the session uses after this offer: the one it has, else the first that
/// can be used.
pub(super) fn chosen(state: &State, offer: &Description) -> Option<String> {
    let bundled = bundled_mids(offer);
    let usable = |section: &&Section| {
        !section.stopped && section.sctp.is_some() && bundled.contains(&section.mid.as_str())
    };
    let known = |section: &&Section| state.line(&section.mid).is_some_and(|l| l.sctp.is_some());
    let sections = || offer.sections.iter().filter(usable);
    sections().find(known).or_else(|| sections().next()).map(|section| section.mid.clone())
}

/// The answered form of the chosen application section; `old` is what this mid was before.
pub(super) fn answer_line(section: &Section, sctp: Sctp, old: Option<Line>) -> Line {
    let formats = vec![FORMAT.to_owned()];
    let (media, mid, protocol) =
        (section.media.clone(), section.mid.clone(), section.protocol.clone());
    let known = old.filter(|old| !old.stopped).and_then(|old| old.sctp);
    let server_events = known.is_some_and(|known| known.server_events);
    Line {
        stopped: false,
        client: Direction::SendRecv,
        sctp: Some(facts(sctp, server_events)),
        ..Line::stopped(section.kind, media, mid, protocol, formats, Vec::new())
    }
}

/// Takes an answer's word on an application section. False when it cannot be used: refused.
pub(super) fn accept_line(line: &mut Line, section: &Section) -> bool {
    // Its first answer is to the offer that made it; a section of the client's making comes here
    // with its facts.
    let server_events = line.sctp.is_none_or(|known| known.server_events);
    line.sctp = section.sctp.map(|sctp| facts(sctp, server_events));
    line.sctp.is_some()
}

fn facts(sctp: Sctp, server_events: bool) -> SctpFacts {
    let Sctp { port, max_message_size } = sctp;
    SctpFacts { port, max_message_size, server_events }
}
