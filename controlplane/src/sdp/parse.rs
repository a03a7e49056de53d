//! Text of a client's description to a [`Description`].
//!
//! Called once per request that carries SDP, with text the client wrote: every bound is checked,
//! nothing panics, cost grows with the length only. `sdp-types` does the line syntax (RFC 8866);
//! this file gives the attributes their types and keeps the line numbers for error texts.
//! Lenient on line ends and on what is not needed; strict on DTLS and ICE (RFC 8829 section 5.8).

use std::collections::BTreeMap;

use common::media::Label;
use sdp_types::{Attribute, Media, ParserError, Session};

use super::SdpError;
use super::channels::Sctp;
use super::description::{
    Description, Direction, ExtensionLine, Format, IceCredentials, Payload, Section, SectionKind,
    Setup,
};

/// Longest description in bytes. Chosen: 64 receiving video sections of Chromium 156 are 350 KB.
const TEXT_MAX: usize = 512 * 1024;
/// Most lines. Chosen: those 64 sections are some 12,000.
const LINES_MAX: usize = 16_384;
/// Longest line in bytes. Chosen: browsers stay below 300.
const LINE_MAX: usize = 4_096;
/// Most media sections, stopped ones included.
pub(super) const SECTIONS_MAX: usize = 256;
/// Most payload types over all sections. Chosen: 64 sections of Chromium's 42 are 2,700; the bound
/// keeps a hostile description under 10 ms.
const PAYLOADS_TOTAL_MAX: usize = 8_192;
/// Most SSRCs, RIDs or extensions of one section; browsers stay below 30 everywhere.
const LIST_MAX: usize = 64;
/// Most simulcast streams of one section that are looked at. Chosen: twice the encodings of a track.
const STREAMS_MAX: usize = 2 * common::limits::ENCODINGS_MAX;
/// Most alternatives of one simulcast stream that are looked at; browsers offer one.
const ALTERNATIVES_MAX: usize = 8;
/// Values of `a=rtcp-fb` that are kept: all that negotiation may ever look at. Each is kept once,
/// so that wildcard lines cannot multiply.
const FEEDBACK: [&str; 5] = ["nack", "nack pli", "ccm fir", "transport-cc", "goog-remb"];

impl Description {
    /// Parses a client's offer or answer.
    ///
    /// Errors: [`super::SdpErrorKind::Malformed`] with the line where there is one: no SDP, over a
    /// bound, sections that are not DTLS-SRTP, no SHA-256 fingerprint, no ICE credentials, numbers
    /// out of range, repeated mids or RIDs.
    /// Cost: allocates; linear in the length of the text.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        check_size(text)?;
        let session = Session::parse(text.as_bytes()).map_err(syntax)?;
        if session.medias.len() > SECTIONS_MAX {
            let reason = format!("more than {SECTIONS_MAX} media sections");
            return Err(SdpError::malformed(None, reason));
        }
        let places = Places::of(text);
        let mut defaults = Attributes::default();
        for (attribute, line) in session.attributes.iter().zip(&places.session) {
            defaults.read(attribute, *line)?;
        }
        let mut mixed = defaults.mixed;
        let mut types = 0usize;
        let mut sections = Vec::with_capacity(session.medias.len());
        for (media, (line, lines)) in session.medias.iter().zip(&places.medias) {
            let mut own = Attributes::default();
            for (attribute, line) in media.attributes.iter().zip(lines) {
                own.read(attribute, *line)?;
            }
            mixed |= own.mixed;
            types += own.slots.len();
            if types > PAYLOADS_TOTAL_MAX {
                return Err(SdpError::malformed(*line, "too many payload types"));
            }
            sections.push(section(media, *line, own, &defaults)?);
        }
        let description = Self { bundle: defaults.bundle, extmap_allow_mixed: mixed, sections };
        description.check()?;
        Ok(description)
    }

    /// Rules that span sections.
    fn check(&self) -> Result<(), SdpError> {
        let mut mids = std::collections::HashSet::new();
        for section in self.sections.iter().filter(|section| !section.mid.is_empty()) {
            if !mids.insert(section.mid.as_str()) {
                let reason = format!("mid {} is used twice", section.mid);
                return Err(SdpError::malformed(section.line, reason));
            }
        }
        let Some(transport) = self.transport_section() else { return Ok(()) };
        if transport.fingerprint.is_none() {
            return Err(SdpError::malformed(transport.line, "no sha-256 fingerprint"));
        }
        if transport.ice.is_none() {
            return Err(SdpError::malformed(transport.line, "no ice-ufrag and ice-pwd"));
        }
        Ok(())
    }
}

/// Bounds of the raw text.
pub(super) fn check_size(text: &str) -> Result<(), SdpError> {
    if text.len() > TEXT_MAX {
        return Err(SdpError::malformed(None, format!("longer than {TEXT_MAX} bytes")));
    }
    for (index, line) in text.lines().enumerate() {
        if index >= LINES_MAX {
            return Err(SdpError::malformed(index + 1, format!("more than {LINES_MAX} lines")));
        }
        if line.len() > LINE_MAX {
            let reason = format!("line longer than {LINE_MAX} bytes");
            return Err(SdpError::malformed(index + 1, reason));
        }
    }
    Ok(())
}

/// A syntax error of the library with its line number apart.
fn syntax(error: ParserError) -> SdpError {
    let line = match &error {
        ParserError::InvalidLineFormat(line, _)
        | ParserError::InvalidFieldEncoding(line, _)
        | ParserError::InvalidFieldFormat(line, _)
        | ParserError::MissingField(line, _)
        | ParserError::FieldTrailingData(line, _)
        | ParserError::InvalidVersion(line, _)
        | ParserError::MultipleVersions(line)
        | ParserError::MultipleOrigins(line)
        | ParserError::MultipleSessionNames(line)
        | ParserError::MultipleConnections(line)
        | ParserError::RepeatWithoutTime(line) => Some(*line),
        _ => None,
    };
    SdpError::malformed(line, error.to_string())
}

/// Line numbers of attributes and media lines: the library keeps the order but not the numbers.
struct Places {
    session: Vec<usize>,
    medias: Vec<(usize, Vec<usize>)>,
}

impl Places {
    fn of(text: &str) -> Self {
        let mut places = Places { session: Vec::new(), medias: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            match line.as_bytes().first() {
                Some(b'm') => places.medias.push((index + 1, Vec::new())),
                Some(b'a') => {
                    let last = places.medias.last_mut();
                    last.map_or(&mut places.session, |(_, lines)| lines).push(index + 1);
                }
                _ => {}
            }
        }
        places
    }
}

/// One payload type while its lines are collected; they come in any order.
#[derive(Default)]
struct Slot {
    codec: Option<(String, u32, u8)>,
    parameters: String,
    feedback: Vec<String>,
}

/// The attributes of a section, or of the session as defaults.
#[derive(Default)]
struct Attributes {
    bundle: Vec<String>,
    bundle_seen: bool,
    mixed: bool,
    mid: Option<String>,
    direction: Option<Direction>,
    ufrag: Option<String>,
    pwd: Option<String>,
    fingerprint: Option<[u8; 32]>,
    setup: Option<Setup>,
    bundle_only: bool,
    rtcp_mux: bool,
    rtcp_rsize: bool,
    slots: BTreeMap<u8, Slot>,
    feedback_for_all: Vec<String>,
    extensions: Vec<ExtensionLine>,
    rids: Vec<(String, bool)>,
    simulcast_send: Vec<Vec<String>>,
    ssrcs: Vec<u32>,
    fid_groups: Vec<(u32, u32)>,
    sctp_port: Option<u16>,
    max_message_size: Option<u32>,
}

impl Attributes {
    /// Takes in one attribute; unknown ones and candidates are skipped.
    fn read(&mut self, attribute: &Attribute, line: usize) -> Result<(), SdpError> {
        let value = attribute.value.as_deref().unwrap_or("").trim();
        let bad = |reason: &str| Err(SdpError::malformed(line, reason));
        match attribute.attribute.as_str() {
            "group" => self.read_group(value),
            "extmap-allow-mixed" => self.mixed = true,
            "mid" => {
                if !is_token(value) || value.len() > Label::LEN_MAX {
                    return bad("mid must be a token of 1 to 16 characters");
                }
                self.mid = Some(value.to_owned());
            }
            "ice-ufrag" => self.ufrag = Some(ice_ufrag(value, line)?),
            "ice-pwd" => self.pwd = Some(ice_pwd(value, line)?),
            "fingerprint" => self.read_fingerprint(value, line)?,
            "setup" => {
                self.setup = Some(match value {
                    "actpass" => Setup::ActPass,
                    "active" => Setup::Active,
                    "passive" => Setup::Passive,
                    _ => return bad("setup must be actpass, active or passive"),
                });
            }
            "bundle-only" => self.bundle_only = true,
            "rtcp-mux" => self.rtcp_mux = true,
            "rtcp-rsize" => self.rtcp_rsize = true,
            "rtpmap" | "fmtp" | "rtcp-fb" => {
                self.read_payload(&attribute.attribute, value, line)?;
            }
            "extmap" => self.read_extension(value, line)?,
            "rid" => self.read_rid(value, line)?,
            "simulcast" => self.read_simulcast(value),
            "ssrc" | "ssrc-group" => self.read_ssrc(&attribute.attribute, value, line)?,
            "sctp-port" => {
                let Ok(port) = value.parse() else { return bad("sctp-port must be 0 to 65535") };
                self.sctp_port = Some(port);
            }
            "max-message-size" => {
                if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
                    return bad("max-message-size must be a number of bytes");
                }
                // Larger numbers than we could ever send mean the same.
                self.max_message_size = Some(value.parse().unwrap_or(u32::MAX));
            }
            name => self.direction = Direction::from_name(name).or(self.direction),
        }
        Ok(())
    }

    fn read_group(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        if words.next() == Some("BUNDLE") && !self.bundle_seen {
            self.bundle_seen = true;
            self.bundle = words.take(SECTIONS_MAX).map(str::to_owned).collect();
        }
    }

    /// RFC 8122 section 5; other hashes than SHA-256 are skipped, the first SHA-256 one counts.
    fn read_fingerprint(&mut self, value: &str, line: usize) -> Result<(), SdpError> {
        let (hash, hex) = value.split_once(' ').unwrap_or((value, ""));
        if !hash.eq_ignore_ascii_case("sha-256") || self.fingerprint.is_some() {
            return Ok(());
        }
        let mut bytes = [0u8; 32];
        let mut pairs = hex.trim().split(':');
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2);
            let parsed = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
            *byte = parsed
                .ok_or_else(|| SdpError::malformed(line, "sha-256 fingerprint is not 32 bytes"))?;
        }
        if pairs.next().is_some() {
            return Err(SdpError::malformed(line, "sha-256 fingerprint is not 32 bytes"));
        }
        self.fingerprint = Some(bytes);
        Ok(())
    }

    /// `a=rtpmap`, `a=fmtp`, `a=rtcp-fb`: a payload type, a space, the rest.
    fn read_payload(&mut self, name: &str, value: &str, line: usize) -> Result<(), SdpError> {
        let (number, rest) = value.split_once(' ').unwrap_or((value, ""));
        let rest = rest.trim();
        if name == "rtcp-fb" && number == "*" {
            add_feedback(&mut self.feedback_for_all, rest);
            return Ok(());
        }
        if name == "fmtp" && number.parse::<u32>().is_err() {
            return Ok(()); // Formats of sections that are not RTP.
        }
        let slot = self.slots.entry(payload_type(number, line)?).or_default();
        match name {
            "fmtp" => slot.parameters = rest.to_owned(),
            "rtcp-fb" => add_feedback(&mut slot.feedback, rest),
            _ => {
                let mut parts = rest.split('/');
                let encoding = parts.next().filter(|encoding| is_token(encoding));
                let clock = parts.next().and_then(|rate| rate.trim().parse().ok());
                let channels = parts.next().map_or(Some(1), |count| count.trim().parse().ok());
                let (Some(encoding), Some(clock), Some(channels)) = (encoding, clock, channels)
                else {
                    return Err(SdpError::malformed(line, "rtpmap is not name/clock[/channels]"));
                };
                slot.codec = Some((encoding.to_owned(), clock, channels));
            }
        }
        Ok(())
    }

    /// RFC 8285 section 5: `<id>[/<direction>] <uri> [<attributes>]`.
    fn read_extension(&mut self, value: &str, line: usize) -> Result<(), SdpError> {
        let bad = |reason: &str| Err(SdpError::malformed(line, reason));
        let mut words = value.split_ascii_whitespace();
        let (Some(head), Some(uri)) = (words.next(), words.next()) else {
            return bad("extmap needs an id and a URI");
        };
        let (number, direction) = head.split_once('/').unwrap_or((head, "sendrecv"));
        let id = number.parse::<u8>().unwrap_or(0);
        if id == 0 {
            return bad("extmap id must be 1 to 255");
        }
        let Some(direction) = Direction::from_name(direction) else {
            return bad("extmap has an unknown direction");
        };
        if self.extensions.iter().any(|known| known.id == id && known.uri != uri) {
            return bad("extmap id is used twice");
        }
        if self.extensions.len() >= LIST_MAX {
            return bad("too many extmap lines");
        }
        self.extensions.push(ExtensionLine { id, uri: uri.to_owned(), direction });
        Ok(())
    }

    /// RFC 8851: `<rid> send|recv [...]`.
    fn read_rid(&mut self, value: &str, line: usize) -> Result<(), SdpError> {
        let mut words = value.split_ascii_whitespace();
        let (rid, direction) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if rid.is_empty() || rid.len() > Label::LEN_MAX || !rid.chars().all(legal) {
            return Err(SdpError::malformed(line, "rid must have 1 to 16 letters or digits"));
        }
        if self.rids.iter().any(|(known, _)| known == rid) {
            return Err(SdpError::malformed(line, format!("rid {rid} is used twice")));
        }
        if self.rids.len() >= LIST_MAX {
            return Err(SdpError::malformed(line, "too many rids"));
        }
        self.rids.push((rid.to_owned(), direction == "send"));
        Ok(())
    }

    /// RFC 8853 section 5.1: streams by `;`, alternatives by `,`, `~` for initially paused.
    fn read_simulcast(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        while let (Some(direction), Some(streams)) = (words.next(), words.next()) {
            if direction != "send" || !self.simulcast_send.is_empty() {
                continue;
            }
            for stream in streams.split(';').take(STREAMS_MAX) {
                let alternatives = stream.split(',').take(ALTERNATIVES_MAX);
                let rids = alternatives.map(|rid| rid.trim_start_matches('~').to_owned());
                self.simulcast_send.push(rids.collect());
            }
        }
    }

    /// The first declared alternative of each simulcast stream, each RID once. Streams without one
    /// are left out.
    fn simulcast(&self, declared: &[String]) -> Vec<String> {
        let mut taken: Vec<String> = Vec::new();
        for stream in &self.simulcast_send {
            let usable = |rid: &&String| declared.contains(rid) && !taken.contains(rid);
            taken.extend(stream.iter().find(usable).cloned());
        }
        taken
    }

    /// RFC 5576: `a=ssrc:<ssrc> ...` and `a=ssrc-group:FID <primary> <rtx>`.
    fn read_ssrc(&mut self, name: &str, value: &str, line: usize) -> Result<(), SdpError> {
        let bad = || SdpError::malformed(line, "not an SSRC");
        let mut words = value.split_ascii_whitespace();
        if name == "ssrc-group" {
            if words.next() != Some("FID") {
                return Ok(());
            }
            let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or_else(bad);
            let pair = (number()?, number()?);
            push_bounded(&mut self.fid_groups, pair);
            return Ok(());
        }
        let ssrc: u32 = words.next().and_then(|word| word.parse().ok()).ok_or_else(bad)?;
        if !self.ssrcs.contains(&ssrc) {
            if self.ssrcs.len() >= LIST_MAX {
                return Err(SdpError::malformed(line, "too many SSRCs"));
            }
            self.ssrcs.push(ssrc);
        }
        Ok(())
    }

    /// Both halves of the ICE credentials, or none.
    fn ice(&self) -> Option<IceCredentials> {
        Some(IceCredentials { ufrag: self.ufrag.clone()?, pwd: self.pwd.clone()? })
    }
}

/// Value of `a=ice-ufrag` (RFC 8839 section 5.4).
pub(super) fn ice_ufrag(value: &str, line: usize) -> Result<String, SdpError> {
    ice_text(value, 4, line, "ice-ufrag must have 4 to 256 characters")
}

/// Value of `a=ice-pwd` (RFC 8839 section 5.4).
pub(super) fn ice_pwd(value: &str, line: usize) -> Result<String, SdpError> {
    ice_text(value, 22, line, "ice-pwd must have 22 to 256 characters")
}

fn ice_text(value: &str, least: usize, line: usize, reason: &str) -> Result<String, SdpError> {
    let fits = (least..=256).contains(&value.len()) && !value.contains(' ');
    fits.then(|| value.to_owned()).ok_or_else(|| SdpError::malformed(line, reason))
}

/// Builds one section from its `m=` line, its attributes and the session's defaults.
fn section(
    media: &Media,
    line: usize,
    mut own: Attributes,
    defaults: &Attributes,
) -> Result<Section, SdpError> {
    let kind = match media.media.as_str() {
        "audio" => SectionKind::Audio,
        "video" => SectionKind::Video,
        "application" => SectionKind::Application,
        _ => SectionKind::Other,
    };
    let zero_port = media.port == 0;
    let stopped = zero_port && !own.bundle_only;
    if !stopped && kind.media().is_some() && !is_dtls_srtp(&media.proto) {
        return Err(SdpError::malformed(line, format!("{} is not DTLS-SRTP", media.proto)));
    }
    let mid = own.mid.take().unwrap_or_default();
    if mid.is_empty() && !stopped {
        return Err(SdpError::malformed(line, "media section without a=mid"));
    }
    let formats: Vec<String> =
        media.fmt.split_ascii_whitespace().take(256).map(str::to_owned).collect();
    let payloads = match kind.media() {
        Some(_) => payloads(&formats, line, &mut own)?,
        None => Vec::new(),
    };
    let sctp = (kind == SectionKind::Application)
        .then(|| Sctp::of(&media.proto, &formats, own.sctp_port, own.max_message_size))
        .flatten();
    let rids_send: Vec<String> =
        own.rids.iter().filter(|(_, send)| *send).map(|(rid, _)| rid.clone()).collect();
    let simulcast_send = own.simulcast(&rids_send);
    Ok(Section {
        kind,
        media: media.media.clone(),
        line,
        stopped,
        zero_port,
        protocol: media.proto.clone(),
        mid,
        direction: own.direction.or(defaults.direction).unwrap_or_default(),
        ice: own.ice().or_else(|| defaults.ice()),
        fingerprint: own.fingerprint.or(defaults.fingerprint),
        setup: own.setup.or(defaults.setup),
        formats,
        payloads,
        extensions: own.extensions,
        rtcp_mux: own.rtcp_mux,
        rtcp_rsize: own.rtcp_rsize,
        rids_send,
        simulcast_send,
        ssrcs: own.ssrcs,
        fid_groups: own.fid_groups,
        sctp,
    })
}

/// The payload types of the `m=` line with what the attributes said of them. One without a codec
/// is left out.
fn payloads(
    formats: &[String],
    line: usize,
    own: &mut Attributes,
) -> Result<Vec<Payload>, SdpError> {
    let mut payloads: Vec<Payload> = Vec::with_capacity(formats.len().min(128));
    let mut seen = 0u128;
    for token in formats {
        let payload_type = payload_type(token, line)?;
        let slot = own.slots.remove(&payload_type).unwrap_or_default();
        let Some((name, clock_rate, channels)) = slot.codec.or_else(|| static_codec(payload_type))
        else {
            continue;
        };
        let bit = 1u128 << payload_type;
        if seen & bit != 0 {
            continue;
        }
        seen |= bit;
        let mut feedback = slot.feedback;
        for value in &own.feedback_for_all {
            add_feedback(&mut feedback, value);
        }
        let format = Format { name, clock_rate, channels, parameters: slot.parameters };
        payloads.push(Payload { payload_type, format, feedback });
    }
    Ok(payloads)
}

/// Static payload types of RFC 3551 table 4 that need no `a=rtpmap`.
fn static_codec(payload_type: u8) -> Option<(String, u32, u8)> {
    let name = match payload_type {
        0 => "PCMU",
        8 => "PCMA",
        9 => "G722",
        13 => "CN",
        _ => return None,
    };
    Some((name.to_owned(), 8_000, 1))
}

/// Protocols of DTLS-SRTP (RFC 8829 section 5.1.2).
fn is_dtls_srtp(protocol: &str) -> bool {
    ["UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVP"]
        .contains(&protocol)
}

fn payload_type(text: &str, line: usize) -> Result<u8, SdpError> {
    let number = text.parse::<u8>().ok().filter(|number| *number <= 127);
    number.ok_or_else(|| SdpError::malformed(line, "payload type is not 0 to 127"))
}

/// RFC 8866 section 9, `token`.
fn is_token(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`{|}~".contains(c);
    !text.is_empty() && text.chars().all(legal)
}

/// Keeps a known feedback value once.
fn add_feedback(list: &mut Vec<String>, value: &str) {
    if FEEDBACK.contains(&value) && !list.iter().any(|known| known == value) {
        list.push(value.to_owned());
    }
}

/// Keeps the first [`LIST_MAX`] values; the rest brings nothing a browser would send.
fn push_bounded<T>(list: &mut Vec<T>, value: T) {
    if list.len() < LIST_MAX {
        list.push(value);
    }
}
