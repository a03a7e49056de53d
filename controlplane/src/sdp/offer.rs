//! Our offers, and the sections of those for tracks the client pulls or is to publish (RFC 8829
//! section 5.2).
//!
//! Called through [`Negotiation::offer`]. The proposal is a copy of the state that replaces it when
//! the answer was accepted (`accept.rs`) and is dropped by a rollback.

use common::media::MediaKind;

use super::SdpError;
use super::codecs::{self, Role};
use super::description::{Direction, Format, Payload, SectionKind};
use super::invite;
use super::lines::{Line, Outbound, State};
use super::negotiation::Negotiation;
use super::outcome::{Ask, Offered, Pull, SendHalf, SourceMedia};

/// One row of [`PREFERRED`]: name, clock rate in Hz, parameters that matter, payload type, and that
/// of its RTX stream (0: none).
type Row = (&'static str, u32, &'static str, u8, u8);

/// Payload types libwebrtc gives codecs when it offers first (Chromium 156; H.265 after its newer
/// builds).
const PREFERRED: [Row; 15] = [
    ("opus", 48_000, "", 111, 112),
    ("red", 48_000, "", 63, 0),
    ("telephone-event", 48_000, "", 110, 0),
    ("telephone-event", 8_000, "", 126, 0),
    ("VP8", 90_000, "", 96, 97),
    ("VP9", 90_000, "profile-id=0", 98, 99),
    ("VP9", 90_000, "profile-id=2", 100, 101),
    ("H264", 90_000, "packetization-mode=1;profile-level-id=42001f", 102, 103),
    ("H264", 90_000, "packetization-mode=0;profile-level-id=42001f", 104, 107),
    ("H264", 90_000, "packetization-mode=1;profile-level-id=42e01f", 108, 109),
    ("H264", 90_000, "packetization-mode=0;profile-level-id=42e01f", 114, 115),
    ("H264", 90_000, "packetization-mode=1;profile-level-id=4d001f", 116, 117),
    ("H264", 90_000, "packetization-mode=0;profile-level-id=4d001f", 39, 40),
    ("AV1", 90_000, "profile=0", 45, 46),
    ("H265", 90_000, "profile-id=1", 49, 50),
];

impl Negotiation {
    /// Offers one new section per ask (or the one a pull names), beside all sections there are.
    ///
    /// Sections behind the one that carries the transport are reused once they were stopped; one
    /// before it is not, because the client's next offer would then list it first in the group and
    /// the browser would start a new transport. Sections of ours that were closed are stopped, so
    /// that the description does not grow with every track that comes and goes.
    ///
    /// Errors: [`super::SdpErrorKind::Order`] while an earlier offer is open, or when no payload
    /// type or section is left.
    pub fn offer(&mut self, asks: &[Ask]) -> Result<Offered, SdpError> {
        if self.pending.is_some() {
            return Err(SdpError::order("an earlier offer of this server waits for its answer"));
        }
        let mut state = self.state.clone();
        let mut next_mid = self.next_mid;
        let mut mids = Vec::with_capacity(asks.len());
        for ask in asks {
            if let Ask::Pull(pull @ Pull { mid: Some(mid), .. }) = ask {
                revive(&mut state, pull, mid)?;
                mids.push(mid.clone());
                continue;
            }
            let mid = fresh_mid(&state, &mut next_mid);
            let line = match ask {
                Ask::Pull(pull) => pull_line(&mut state, pull, mid.clone()),
                Ask::Publish { kind, send } => {
                    publish_line(&mut state, *kind, send.as_ref(), mid.clone())
                }
            };
            let line =
                line.ok_or_else(|| SdpError::order("no payload type is left for this track"))?;
            place(&mut state, line)?;
            mids.push(mid);
        }
        Ok(self.propose(state, next_mid, mids))
    }

    /// Makes a state with new sections of these mids our open offer.
    pub(super) fn propose(
        &mut self,
        mut state: State,
        next_mid: u32,
        mids: Vec<String>,
    ) -> Offered {
        stop_closed(&mut state);
        if state.tag.as_deref().is_none_or(|tag| state.line(tag).is_none()) {
            state.tag = mids.first().cloned();
        }
        state.bundle = group(&state);
        self.next_mid = next_mid;
        let sdp = self.write_offer(&state);
        self.pending = Some(state);
        Offered { sdp, mids }
    }
}

/// Most sections of one session: what the parser takes back.
const SECTIONS_MAX: usize = 256;

/// The smallest number no section of the session is named by; numbers never come back.
pub(super) fn fresh_mid(state: &State, next: &mut u32) -> String {
    loop {
        let mid = next.to_string();
        *next = next.saturating_add(1);
        if !state.lines.iter().any(|line| line.mid == mid) {
            return mid;
        }
    }
}

/// The section of one pull.
fn pull_line(state: &mut State, pull: &Pull, mid: String) -> Option<Line> {
    let payloads = payloads_for(state, &pull.media, pull.rtx_ssrc.is_some())?;
    let extensions = state.ids.offer(pull.media.kind, false);
    Some(Line {
        client: Direction::RecvOnly,
        extensions,
        outbound: Some(outbound(state, pull, &mid)),
        ..new_line(pull.media.kind, mid, payloads)
    })
}

/// The section of one publication.
fn publish_line(
    state: &mut State,
    kind: MediaKind,
    send: Option<&SendHalf>,
    mid: String,
) -> Option<Line> {
    let payloads = payloads_for(state, &invite::media(kind), true)?;
    let extensions = state.ids.offer(kind, true);
    let outbound = send.map(|half| Outbound::idle(state, &mid, half));
    Some(Line {
        client: Direction::new(true, outbound.is_some()),
        extensions,
        publishes: true,
        outbound,
        ..new_line(kind, mid, payloads)
    })
}

/// A live section of ours with nothing in it.
fn new_line(kind: MediaKind, mid: String, payloads: Vec<Payload>) -> Line {
    let (kind, name) = match kind {
        MediaKind::Audio => (SectionKind::Audio, "audio"),
        MediaKind::Video => (SectionKind::Video, "video"),
    };
    let (name, protocol) = (name.to_owned(), "UDP/TLS/RTP/SAVPF".to_owned());
    let line = Line::stopped(kind, name, mid, protocol, Vec::new(), payloads);
    Line { stopped: false, rtcp_rsize: true, ours: true, ..line }
}

fn outbound(state: &State, pull: &Pull, mid: &str) -> Outbound {
    let msid = state.unique_msid(mid, &pull.msid);
    let (ssrc, rtx_ssrc) = (pull.ssrc, pull.rtx_ssrc);
    Outbound { media: Some(pull.media.clone()), ssrc, rtx_ssrc, msid }
}

/// Puts a pull into a live section that sends nothing.
fn revive(state: &mut State, pull: &Pull, mid: &str) -> Result<(), SdpError> {
    let outbound = outbound(state, pull, mid);
    let line = state.line_mut(mid).filter(|line| !line.sends());
    let line = line.ok_or_else(|| SdpError::order(format!("section {mid} cannot be reused")))?;
    line.client = Direction::new(line.client.sends() && !line.closed, true);
    line.closed = false;
    line.outbound = Some(outbound);
    Ok(())
}

/// Stops sections of ours in which nothing goes on any more; the next offer reuses them. The one
/// that carries the transport stays.
fn stop_closed(state: &mut State) {
    let tag = state.tag.clone();
    let lines = state.lines.iter_mut();
    for line in lines.filter(|line| line.ours && line.closed && !line.stopped) {
        if Some(&line.mid) != tag.as_ref() {
            *line = line.to_stopped();
        }
    }
}

/// Puts a new section in the place of a stopped one behind the transport's, else at the end. Any
/// place will do when no section lives.
pub(super) fn place(state: &mut State, line: Line) -> Result<(), SdpError> {
    let tag = state.tag.as_deref().filter(|tag| state.line(tag).is_some());
    let after = state.lines.iter().position(|known| Some(known.mid.as_str()) == tag);
    let reusable = |(index, known): (usize, &Line)| {
        (known.stopped && after.is_none_or(|after| index > after)).then_some(index)
    };
    let found = state.lines.iter().enumerate().find_map(reusable);
    if let Some(known) = found.and_then(|index| state.lines.get_mut(index)) {
        *known = line;
        return Ok(());
    }
    if state.lines.len() >= SECTIONS_MAX {
        return Err(SdpError::order("the session has too many media sections"));
    }
    state.lines.push(line);
    Ok(())
}

/// All live sections, the one that carries the transport first.
fn group(state: &State) -> Vec<String> {
    let tag = state.tag.clone();
    let live = state.lines.iter().filter(|line| !line.stopped).map(|line| line.mid.clone());
    let rest = live.filter(|mid| Some(mid) != tag.as_ref());
    let first = tag.clone().filter(|tag| state.line(tag).is_some());
    first.into_iter().chain(rest).collect()
}

/// The publication's codecs under this session's payload types. Codecs for which no payload type is
/// left are left out; None when that leaves no primary one.
fn payloads_for(state: &mut State, media: &SourceMedia, rtx: bool) -> Option<Vec<Payload>> {
    let kind = media.kind;
    let mut payloads: Vec<Payload> = Vec::new();
    let mut numbers: Vec<(u8, u8)> = Vec::new();
    let is_red = |format: &Format| format.codec() == common::media::Codec::Red;
    // RED names another payload type of the section, so that one has to have its number first.
    let (red, plain): (Vec<_>, Vec<_>) =
        media.payloads.iter().partition(|source| is_red(&source.format));
    for source in plain.into_iter().chain(red) {
        let mut format = source.format.clone();
        if is_red(&format) {
            let inner = format.red_inner();
            let Some((_, to)) = numbers.iter().find(|(from, _)| Some(*from) == inner) else {
                continue;
            };
            format.parameters = format!("{to}/{to}");
        }
        let Some(number) = number_for(state, kind, &format) else { continue };
        if payloads.iter().any(|known| known.payload_type == number) {
            continue;
        }
        numbers.push((source.payload_type, number));
        let feedback = codecs::offered_feedback(kind, &format);
        payloads.push(Payload { payload_type: number, format, feedback });
        state.payloads.note(kind, payloads.get(payloads.len() - 1..).unwrap_or_default());
    }
    let first = payloads.iter().find(|p| p.format.role(kind) == Role::Primary)?;
    debug_assert!(first.payload_type <= 127);
    if rtx && kind == MediaKind::Video {
        add_rtx(state, kind, &mut payloads);
    }
    Some(payloads)
}

/// Adds an RTX payload type behind each primary one (RFC 4588 section 8.6).
fn add_rtx(state: &mut State, kind: MediaKind, payloads: &mut Vec<Payload>) {
    let mut with_rtx = Vec::with_capacity(payloads.len() * 2);
    for payload in payloads.drain(..) {
        let primary = payload.payload_type;
        let preferred = preferred(&payload.format).map(|(_, rtx)| rtx).filter(|rtx| *rtx != 0);
        let known = state.payloads.find_rtx(kind, primary);
        let clock_rate = payload.format.clock_rate;
        with_rtx.push(payload);
        let Some(payload_type) = known.or_else(|| free(state, preferred)) else { continue };
        let format = Format {
            name: "rtx".to_owned(),
            clock_rate,
            channels: 1,
            parameters: format!("apt={primary}"),
        };
        let rtx = Payload { payload_type, format, feedback: Vec::new() };
        state.payloads.note(kind, std::slice::from_ref(&rtx));
        with_rtx.push(rtx);
    }
    *payloads = with_rtx;
}

/// The payload type of a format in this session: the known one, the static one, the preferred one
/// or a free one.
fn number_for(state: &State, kind: MediaKind, format: &Format) -> Option<u8> {
    if let Some(known) = state.payloads.find(kind, format) {
        return Some(known);
    }
    let fixed = [("PCMU", 0), ("PCMA", 8), ("G722", 9), ("CN", 13)];
    let fixed = fixed.into_iter().find(|(name, _)| format.is(name) && format.clock_rate == 8_000);
    let preferred = fixed.map(|(_, pt)| pt).or_else(|| preferred(format).map(|(pt, _)| pt));
    free(state, preferred)
}

/// The payload types [`PREFERRED`] has for a format.
fn preferred(format: &Format) -> Option<(u8, u8)> {
    PREFERRED.iter().find_map(|(name, clock_rate, parameters, payload_type, rtx)| {
        let row = Format {
            name: (*name).to_owned(),
            clock_rate: *clock_rate,
            channels: format.channels,
            parameters: (*parameters).to_owned(),
        };
        row.matches(format).then_some((*payload_type, *rtx))
    })
}

/// A free payload type: the preferred one, else one that no row of [`PREFERRED`] names, else any.
fn free(state: &State, preferred: Option<u8>) -> Option<u8> {
    let named = |number: u8| PREFERRED.iter().any(|row| row.3 == number || row.4 == number);
    state.payloads.free(preferred, |number| !named(number))
}
