//! The text of our answers and offers.
//!
//! Called by the answer and offer builders with a finished state. Lines end with CR LF; every value
//! that came from a client went through the parser, which lets no line end through. Candidates
//! stand in every section: a browser whose first section was stopped, and clients that do not
//! bundle their candidates, look for them there.

use std::fmt::Write as _;
use std::net::SocketAddr;

use common::command::DtlsRole;
use common::media::MediaKind;

use super::channels;
use super::codecs::Role;
use super::description::{Direction, SectionKind};
use super::lines::{Line, State};
use super::negotiation::{LocalTransport, Negotiation};

/// Type preference of host candidates (RFC 8445 section 5.1.2.2).
const HOST_PREFERENCE: u32 = 126;
/// The same over TCP: below everything UDP (RFC 6544 section 4.2 leaves the number open; libwebrtc
/// has this one, `ICE_TYPE_PREFERENCE_HOST_TCP`).
const HOST_TCP_PREFERENCE: u32 = 90;
/// Preference of the passive direction among a host's TCP candidates (RFC 6544 section 4.2).
const PASSIVE_PREFERENCE: u32 = 4;

/// Appends one line; writing to a `String` cannot fail.
macro_rules! line {
    ($out:expr, $($arg:tt)*) => {{
        let _ = write!($out, $($arg)*);
        $out.push_str("\r\n");
    }};
}

impl Negotiation {
    /// The current state as an answer.
    pub(super) fn write_answer(&mut self) -> String {
        let version = self.take_version();
        let setup = match self.dtls_role() {
            DtlsRole::Server => "passive",
            DtlsRole::Client => "active",
        };
        Writer { transport: &self.transport, session_id: self.session_id, version, setup }
            .description(&self.state)
    }

    /// A proposed state as an offer.
    pub(super) fn write_offer(&mut self, state: &State) -> String {
        let version = self.take_version();
        let setup = "actpass";
        Writer { transport: &self.transport, session_id: self.session_id, version, setup }
            .description(state)
    }

    /// Our side of the ICE session as a fragment (RFC 8840 section 9, RFC 9725 section 4.3.3): all
    /// of it stands in the section of the group's transport.
    pub fn write_fragment(&self) -> String {
        let mut out = String::with_capacity(512);
        line!(out, "a=ice-lite");
        if !self.state.bundle.is_empty() {
            line!(out, "a=group:BUNDLE {}", self.state.bundle.join(" "));
        }
        let tag = self.state.tag.as_ref().and_then(|tag| self.state.line(tag));
        if let Some(line) = tag {
            let format = line.payloads.first().map_or(0, |payload| payload.payload_type);
            line!(out, "m={} 9 {} {format}", line.media, line.protocol);
            line!(out, "a=mid:{}", line.mid);
        }
        ice(&mut out, &self.transport);
        candidates(&mut out, &self.transport);
        out
    }

    fn take_version(&mut self) -> u64 {
        let version = self.version;
        self.version = self.version.wrapping_add(1);
        version
    }
}

/// What all lines of one description share.
struct Writer<'a> {
    transport: &'a LocalTransport,
    session_id: u64,
    version: u64,
    setup: &'static str,
}

impl Writer<'_> {
    fn description(&self, state: &State) -> String {
        let mut out = String::with_capacity(512 + state.lines.len() * 2_048);
        line!(out, "v=0");
        line!(out, "o=- {} {} IN IP4 0.0.0.0", self.session_id, self.version);
        line!(out, "s=-");
        line!(out, "t=0 0");
        if !state.bundle.is_empty() {
            line!(out, "a=group:BUNDLE {}", state.bundle.join(" "));
        }
        if state.mixed {
            line!(out, "a=extmap-allow-mixed");
        }
        line!(out, "a=msid-semantic: WMS *");
        line!(out, "a=ice-lite");
        for section in &state.lines {
            if section.stopped {
                self.stopped(&mut out, section);
            } else {
                self.section(&mut out, section);
            }
        }
        out
    }

    /// A live section.
    fn section(&self, out: &mut String, line: &Line) {
        if line.kind == SectionKind::Application {
            return self.application(out, line);
        }
        let numbers: Vec<String> =
            line.payloads.iter().map(|payload| payload.payload_type.to_string()).collect();
        line!(out, "m={} 9 {} {}", line.media, line.protocol, numbers.join(" "));
        line!(out, "c=IN IP4 0.0.0.0");
        line!(out, "a=rtcp:9 IN IP4 0.0.0.0");
        self.transport(out);
        line!(out, "a=mid:{}", line.mid);
        for (id, extension) in &line.extensions {
            line!(out, "a=extmap:{id} {}", extension.uri());
        }
        let direction = line.direction();
        line!(out, "a={}", direction.name());
        if let Some(outbound) = line.outbound.as_ref().filter(|_| direction.sends()) {
            line!(out, "a=msid:{} {}", outbound.msid.stream, outbound.msid.track);
        }
        line!(out, "a=rtcp-mux");
        if line.rtcp_rsize {
            line!(out, "a=rtcp-rsize");
        }
        payloads(out, line);
        simulcast(out, line, direction);
        ssrcs(out, line, direction);
    }

    /// A live application section (RFC 8841 section 4).
    fn application(&self, out: &mut String, line: &Line) {
        line!(out, "m={} 9 {} {}", line.media, line.protocol, line.formats.join(" "));
        line!(out, "c=IN IP4 0.0.0.0");
        self.transport(out);
        line!(out, "a=mid:{}", line.mid);
        line!(out, "a=sctp-port:{}", channels::PORT);
        line!(out, "a=max-message-size:{}", common::limits::CHANNEL_MESSAGE_MAX);
    }

    /// A section that was rejected or is stopped (RFC 8829 section 5.2.2). It has a transport's lines too,
    /// though it has no transport: aiortc takes no description without them.
    fn stopped(&self, out: &mut String, line: &Line) {
        let formats = if line.formats.is_empty() { "0".to_owned() } else { line.formats.join(" ") };
        line!(out, "m={} 0 {} {formats}", line.media, line.protocol);
        line!(out, "c=IN IP4 0.0.0.0");
        self.credentials(out);
        if !line.mid.is_empty() {
            line!(out, "a=mid:{}", line.mid);
        }
        line!(out, "a=inactive");
        if line.kind != SectionKind::Application {
            line!(out, "a=rtcp-mux");
        }
        for payload in &line.payloads {
            rtpmap(out, line.kind.media(), payload);
        }
    }

    /// ICE and DTLS attributes (RFC 8839, RFC 8842).
    fn transport(&self, out: &mut String) {
        self.credentials(out);
        candidates(out, self.transport);
    }

    /// All of them but the candidates.
    fn credentials(&self, out: &mut String) {
        ice(out, self.transport);
        let hex: Vec<String> =
            self.transport.fingerprint.iter().map(|byte| format!("{byte:02X}")).collect();
        line!(out, "a=fingerprint:sha-256 {}", hex.join(":"));
        line!(out, "a=setup:{}", self.setup);
    }
}

fn ice(out: &mut String, transport: &LocalTransport) {
    line!(out, "a=ice-ufrag:{}", transport.ufrag);
    line!(out, "a=ice-pwd:{}", transport.pwd);
}

fn candidates(out: &mut String, transport: &LocalTransport) {
    let candidates = &transport.candidates;
    for (index, address) in candidates.iter().enumerate() {
        candidate(out, index, *address);
    }
    for (index, address) in candidates.iter().enumerate().filter(|_| transport.tcp) {
        tcp_candidate(out, index, candidates.len(), *address);
    }
    line!(out, "a=end-of-candidates");
}

/// One host candidate; earlier ones get the higher priority.
fn candidate(out: &mut String, index: usize, address: SocketAddr) {
    let local = 65_535u32.saturating_sub(u32::try_from(index).unwrap_or(u32::MAX));
    let priority = (HOST_PREFERENCE << 24) | (local << 8) | 255;
    let (ip, port) = (address.ip(), address.port());
    line!(out, "a=candidate:{} 1 udp {priority} {ip} {port} typ host generation 0", index + 1);
}

/// The passive TCP candidate of the same address (RFC 6544 section 4.5); `others` candidates have
/// foundations already.
fn tcp_candidate(out: &mut String, index: usize, others: usize, address: SocketAddr) {
    let other = 8_191u32.saturating_sub(u32::try_from(index).unwrap_or(u32::MAX));
    let local = PASSIVE_PREFERENCE << 13 | other;
    let priority = (HOST_TCP_PREFERENCE << 24) | (local << 8) | 255;
    let (foundation, ip, port) = (others + index + 1, address.ip(), address.port());
    line!(
        out,
        "a=candidate:{foundation} 1 tcp {priority} {ip} {port} typ host tcptype passive generation 0"
    );
}

fn payloads(out: &mut String, line: &Line) {
    for payload in &line.payloads {
        rtpmap(out, line.kind.media(), payload);
        for feedback in &payload.feedback {
            line!(out, "a=rtcp-fb:{} {feedback}", payload.payload_type);
        }
        if !payload.format.parameters.is_empty() {
            line!(out, "a=fmtp:{} {}", payload.payload_type, payload.format.parameters);
        }
    }
}

/// `a=rtpmap`; channels are an audio matter (RFC 8866 section 6.6).
fn rtpmap(out: &mut String, kind: Option<MediaKind>, payload: &super::description::Payload) {
    let format = &payload.format;
    let (number, name, rate) = (payload.payload_type, &format.name, format.clock_rate);
    let audio = kind == Some(MediaKind::Audio);
    if audio && format.channels != 1 && format.role(MediaKind::Audio) != Role::Rtx {
        line!(out, "a=rtpmap:{number} {name}/{rate}/{}", format.channels);
    } else {
        line!(out, "a=rtpmap:{number} {name}/{rate}");
    }
}

/// The simulcast we receive (RFC 8853); never one we send.
fn simulcast(out: &mut String, line: &Line, direction: Direction) {
    if line.rids.is_empty() || !direction.receives() {
        return;
    }
    for rid in &line.rids {
        line!(out, "a=rid:{rid} recv");
    }
    line!(out, "a=simulcast:recv {}", line.rids.join(";"));
}

/// The streams we send (RFC 5576).
fn ssrcs(out: &mut String, line: &Line, direction: Direction) {
    let Some(outbound) = line.outbound.as_ref().filter(|_| direction.sends()) else { return };
    let rtx = line.rtx_ssrc();
    let (ssrc, msid) = (outbound.ssrc, &outbound.msid);
    if let Some(rtx) = rtx {
        line!(out, "a=ssrc-group:FID {ssrc} {rtx}");
    }
    for ssrc in std::iter::once(ssrc).chain(rtx) {
        line!(out, "a=ssrc:{ssrc} cname:{}", msid.stream);
        line!(out, "a=ssrc:{ssrc} msid:{} {}", msid.stream, msid.track);
    }
}
