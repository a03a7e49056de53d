//! A remote session description as typed values, reduced to what negotiation looks at.
//!
//! Built by `parse.rs`, read by `answer.rs`, `accept.rs` and the API layer. It keeps no candidate:
//! the server is ICE-lite and learns addresses from authenticated checks (RFC 8445 section 2.5).

use common::media::MediaKind;

use super::channels::Sctp;

/// A client's offer or answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    /// Mids of the first BUNDLE group, in its order (RFC 9143). Empty when there is none.
    pub bundle: Vec<String>,
    /// Whether one-byte and two-byte header extensions may be mixed (RFC 8285 section 6).
    pub extmap_allow_mixed: bool,
    /// Media sections in the order of their lines.
    pub sections: Vec<Section>,
}

/// What a media section is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SectionKind {
    /// `m=audio`.
    Audio,
    /// `m=video`.
    Video,
    /// `m=application`: data channels.
    Application,
    /// Anything else; always rejected.
    Other,
}

impl SectionKind {
    /// The media kind, when the section carries RTP.
    pub fn media(self) -> Option<MediaKind> {
        match self {
            SectionKind::Audio => Some(MediaKind::Audio),
            SectionKind::Video => Some(MediaKind::Video),
            SectionKind::Application | SectionKind::Other => None,
        }
    }
}

/// Direction of a media section as its writer sees it (RFC 8866 section 6.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// Both ways; what a section without the attribute means.
    #[default]
    SendRecv,
    /// The writer sends.
    SendOnly,
    /// The writer receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The direction with the given halves.
    pub fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// Whether the writer sends.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether the writer receives.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The attribute's name.
    pub fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    /// The direction an attribute names.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sendrecv" => Some(Direction::SendRecv),
            "sendonly" => Some(Direction::SendOnly),
            "recvonly" => Some(Direction::RecvOnly),
            "inactive" => Some(Direction::Inactive),
            _ => None,
        }
    }
}

/// DTLS role a description asks for (RFC 8842 section 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setup {
    /// Either role; the answerer picks.
    ActPass,
    /// The writer is the DTLS client.
    Active,
    /// The writer is the DTLS server.
    Passive,
}

/// ICE credentials (RFC 8839 section 5.4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IceCredentials {
    /// User name fragment, 4 to 256 characters.
    pub ufrag: String,
    /// Password, 22 to 256 characters.
    pub pwd: String,
}

/// A codec with its parameters, without a payload type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format {
    /// Encoding name as written; compare it ignoring case.
    pub name: String,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
    /// Channels; 1 when unsaid.
    pub channels: u8,
    /// Value of `a=fmtp` behind the payload type; empty when there is none.
    pub parameters: String,
}

/// One payload type of a section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload {
    /// RTP payload type, 0 to 127.
    pub payload_type: u8,
    /// Its codec.
    pub format: Format,
    /// Values of `a=rtcp-fb` (RFC 4585), as `nack` or `nack pli`.
    pub feedback: Vec<String>,
}

/// One `a=extmap` line (RFC 8285 section 5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExtensionLine {
    /// Local identifier, 1 to 255.
    pub id: u8,
    /// Name of the extension.
    pub uri: String,
    /// Direction behind the id, as the writer sees it.
    pub direction: Direction,
}

/// One media section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// What it is for.
    pub kind: SectionKind,
    /// Media name of its `m=` line as written.
    pub media: String,
    /// Its `m=` line, counted from 1.
    pub line: usize,
    /// Port 0 without `a=bundle-only`: rejected, or stopped by the client (RFC 8829 section 5.2.2).
    pub stopped: bool,
    /// Port 0, with or without `a=bundle-only`; in an answer it always means rejected.
    pub zero_port: bool,
    /// Transport protocol as written.
    pub protocol: String,
    /// Identification tag (RFC 5888); empty only in a stopped section without one.
    pub mid: String,
    /// Direction from the client's view.
    pub direction: Direction,
    /// ICE credentials, the section's own or the session's.
    pub ice: Option<IceCredentials>,
    /// SHA-256 certificate fingerprint, the section's own or the session's.
    pub fingerprint: Option<[u8; 32]>,
    /// DTLS role, the section's own or the session's.
    pub setup: Option<Setup>,
    /// Format tokens of the `m=` line as written.
    pub formats: Vec<String>,
    /// RTP payload types in the order of the `m=` line; RTX and FEC ones included.
    pub payloads: Vec<Payload>,
    /// Header extensions.
    pub extensions: Vec<ExtensionLine>,
    /// RTP and RTCP on one port (RFC 5761).
    pub rtcp_mux: bool,
    /// Reduced-size RTCP (RFC 5506).
    pub rtcp_rsize: bool,
    /// RIDs of `a=rid ... send` in their order (RFC 8851).
    pub rids_send: Vec<String>,
    /// First declared alternative of each simulcast stream the client sends, paused or not, in its
    /// order (RFC 8853); no RID twice.
    pub simulcast_send: Vec<String>,
    /// SSRCs in the order of their first mention (RFC 5576).
    pub ssrcs: Vec<u32>,
    /// `a=ssrc-group:FID`: primary stream and its RTX stream.
    pub fid_groups: Vec<(u32, u32)>,
    /// SCTP, in an application section that data channels can use.
    pub sctp: Option<Sctp>,
}

impl Section {
    /// Whether the client will send RTP in this section.
    pub fn sends(&self) -> bool {
        !self.stopped && self.direction.sends() && self.kind.media().is_some()
    }

    /// Whether the client wants to receive RTP in this section.
    pub fn receives(&self) -> bool {
        !self.stopped && self.direction.receives() && self.kind.media().is_some()
    }
}

impl Description {
    /// The section with this mid.
    pub fn section(&self, mid: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.mid == mid && !mid.is_empty())
    }

    /// Sections in which the client sends, in offer order: what unnamed publish entries and
    /// automatic discovery go by.
    pub fn sending(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(|section| section.sends())
    }

    /// The section whose transport attributes hold for the whole group: the first live member of
    /// the BUNDLE group (RFC 9143 section 7.1.2), else the first live section.
    pub fn transport_section(&self) -> Option<&Section> {
        self.bundle
            .iter()
            .filter_map(|mid| self.section(mid))
            .find(|section| !section.stopped)
            .or_else(|| self.sections.iter().find(|section| !section.stopped))
    }
}
