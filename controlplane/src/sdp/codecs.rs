//! Codecs: which ones pass, when two descriptions of one are the same codec, and how a publisher's
//! payload types map onto a subscriber's.
//!
//! Called by the answer and offer builders. Level is never compared: a decoder copes or drops, and
//! browsers declare levels they exceed. RFC 7587 (Opus), 6184 (H.264), 9628 (VP9), 7798 (H.265),
//! 4588 (RTX), 2198 (RED).

use common::command::PayloadMapping;
use common::media::{Codec, MediaKind};

use super::description::{Format, Payload};
use super::outcome::SourceMedia;

/// What a payload type is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Carries the medium.
    Primary,
    /// Goes along with a primary audio codec: comfort noise, telephone events, RED.
    Companion,
    /// Retransmission stream.
    Rtx,
    /// Not passed: forward error correction, unknown codecs.
    Refused,
}

/// `a=rtcp-fb` value of transport-wide feedback.
pub(crate) const TRANSPORT_CC: &str = "transport-cc";
/// `a=rtcp-fb` value of REMB.
pub(crate) const REMB: &str = "goog-remb";
/// Feedback kept in either direction (RFC 4585, 5104).
const FEEDBACK: [&str; 3] = ["nack", "nack pli", "ccm fir"];

/// How the congestion of a section is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Congestion {
    /// By transport-wide feedback: the section has the header extension.
    TransportWide,
    /// By REMB, where the client sends and offers it.
    Remb,
    /// Not at all.
    None,
}

impl Format {
    /// The codec as the data plane distinguishes it.
    pub fn codec(&self) -> Codec {
        const NAMES: [(&str, Codec); 9] = [
            ("opus", Codec::Opus),
            ("pcmu", Codec::Pcmu),
            ("pcma", Codec::Pcma),
            ("red", Codec::Red),
            ("vp8", Codec::Vp8),
            ("vp9", Codec::Vp9),
            ("h264", Codec::H264),
            ("h265", Codec::H265),
            ("av1", Codec::Av1),
        ];
        let known = NAMES.iter().find(|(name, _)| self.name.eq_ignore_ascii_case(name));
        known.map_or(Codec::Other, |(_, codec)| *codec)
    }

    /// Whether `name` is this format's encoding name.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// What a payload type of this format is for in a section of `kind`.
    pub(crate) fn role(&self, kind: MediaKind) -> Role {
        if self.is("rtx") {
            return Role::Rtx;
        }
        match (kind, self.codec()) {
            (MediaKind::Audio, Codec::Opus | Codec::Pcmu | Codec::Pcma) => Role::Primary,
            (MediaKind::Audio, Codec::Red) => Role::Companion,
            (MediaKind::Audio, Codec::Other) if self.is("g722") => Role::Primary,
            (MediaKind::Audio, Codec::Other) if self.is("cn") || self.is("telephone-event") => {
                Role::Companion
            }
            (
                MediaKind::Video,
                Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::H265 | Codec::Av1,
            ) => Role::Primary,
            _ => Role::Refused,
        }
    }

    /// Value of a `key=value` parameter.
    pub(crate) fn parameter(&self, key: &str) -> Option<&str> {
        self.parameters.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case(key).then(|| value.trim())
        })
    }

    /// Payload type an RTX format belongs to (RFC 4588 section 8.1).
    pub(crate) fn apt(&self) -> Option<u8> {
        self.parameter("apt")?.parse().ok()
    }

    /// Payload type the blocks of an RED format have (RFC 2198 section 5).
    pub(crate) fn red_inner(&self) -> Option<u8> {
        self.parameters.split('/').next()?.trim().parse().ok()
    }

    /// Whether both describe one codec a decoder of the other can take.
    pub(crate) fn matches(&self, other: &Format) -> bool {
        if !self.name.eq_ignore_ascii_case(&other.name)
            || self.clock_rate != other.clock_rate
            || self.channels != other.channels
        {
            return false;
        }
        let same = |key: &str, default: &str| {
            self.parameter(key).unwrap_or(default) == other.parameter(key).unwrap_or(default)
        };
        match self.codec() {
            Codec::H264 => {
                same("packetization-mode", "0") && H264Profile::of(self) == H264Profile::of(other)
            }
            Codec::Vp9 => same("profile-id", "0"),
            Codec::Av1 => same("profile", "0"),
            Codec::H265 => same("profile-id", "1"),
            _ => true,
        }
    }
}

/// H.264 profiles that `profile_idc` and the constraint flags spell in several ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum H264Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    /// Any other pair of bytes, compared as it is.
    Raw(u8, u8),
}

impl H264Profile {
    /// Reads `profile-level-id` (RFC 6184 section 8.1, table 5). Absent: Baseline; unreadable: a
    /// value that equals only the same unreadable bytes' class.
    fn of(format: &Format) -> Self {
        let Some(text) = format.parameter("profile-level-id") else {
            return H264Profile::Baseline;
        };
        let bytes = text.get(..4).and_then(|hex| u16::from_str_radix(hex, 16).ok());
        let [idc, iop] = bytes.unwrap_or_default().to_be_bytes();
        let (set0, set1) = (iop & 0x80 != 0, iop & 0x40 != 0);
        match (idc, iop & 0x0f) {
            (0x42, 0) if set1 => H264Profile::ConstrainedBaseline,
            (0x4d, 0) if set0 => H264Profile::ConstrainedBaseline,
            (0x58, 0) if set0 && set1 => H264Profile::ConstrainedBaseline,
            (0x42, 0) => H264Profile::Baseline,
            (0x58, 0) if set0 => H264Profile::Baseline,
            (0x4d, 0) => H264Profile::Main,
            (0x64, 0) => H264Profile::High,
            (0x64, 0x0c) => H264Profile::ConstrainedHigh,
            _ => H264Profile::Raw(idc, iop),
        }
    }
}

/// The payload types of an offered section that we take, as offered. RTX and RED stay only with
/// the payload type they refer to; the order stays the client's, because it sends what stands
/// first.
pub(crate) fn acceptable(offered: &[Payload], kind: MediaKind) -> Vec<Payload> {
    let role = |payload: &Payload| payload.format.role(kind);
    let mut taken = [false; 128];
    for payload in offered.iter().filter(|p| role(p) == Role::Primary) {
        mark(&mut taken, payload.payload_type);
    }
    let has = |taken: &[bool; 128], pt: Option<u8>| {
        pt.is_some_and(|pt| taken.get(usize::from(pt)).copied().unwrap_or(false))
    };
    if !taken.contains(&true) {
        return Vec::new();
    }
    let primaries = taken;
    for payload in offered {
        let format = &payload.format;
        let keep = match role(payload) {
            Role::Companion if format.codec() == Codec::Red => has(&primaries, format.red_inner()),
            Role::Companion => true,
            Role::Rtx => has(&primaries, format.apt()),
            Role::Primary | Role::Refused => false,
        };
        if keep {
            mark(&mut taken, payload.payload_type);
        }
    }
    offered.iter().filter(|payload| has(&taken, Some(payload.payload_type))).cloned().collect()
}

/// Keeps the payload types of a section that an offer of ours numbered, when the client's next offer
/// numbers its codecs anew: what is agreed stays, less the codecs that are not offered any more.
///
/// aiortc offers its own numbers every time, whatever it agreed to, while its senders and receivers
/// go on with those they began with; and a number that means something else in another section must
/// not come into the group (RFC 9143 section 10.1.1).
pub(crate) fn keep_numbers(
    agreed: &[Payload],
    offered: Vec<Payload>,
    kind: MediaKind,
) -> Vec<Payload> {
    let is_offered = |known: &Payload, number: Option<u8>| {
        let twin = |one: &Payload| number.is_none_or(|number| one.payload_type == number);
        offered.iter().any(|one| one.format.matches(&known.format) && twin(one))
    };
    let moved = |known: &Payload| {
        let stays = is_offered(known, Some(known.payload_type));
        !known.format.is("rtx") && !stays && is_offered(known, None)
    };
    if !agreed.iter().any(moved) {
        return offered;
    }
    let kept: Vec<Payload> =
        agreed.iter().filter(|known| is_offered(known, None)).cloned().collect();
    acceptable(&kept, kind)
}

fn mark(taken: &mut [bool; 128], payload_type: u8) {
    if let Some(place) = taken.get_mut(usize::from(payload_type)) {
        *place = true;
    }
}

/// Narrows the offered feedback to what we support. NACK for audio is nothing we offer, browsers
/// neither; a client that offers it gets it, both ways.
pub(crate) fn keep_feedback(payloads: &mut [Payload], congestion: Congestion) {
    let supported = |value: &str| match congestion {
        Congestion::TransportWide if value == TRANSPORT_CC => true,
        Congestion::Remb if value == REMB => true,
        _ => FEEDBACK.contains(&value),
    };
    for payload in payloads {
        payload.feedback.retain(|value| supported(value));
    }
}

/// Feedback we put into an offer in which we send a format. What only marks time between the
/// packets of another codec has none; neither has RED, whose packets are those of its codec.
pub(crate) fn offered_feedback(kind: MediaKind, format: &Format) -> Vec<String> {
    let messages: &[&str] = match (kind, format.role(kind)) {
        (MediaKind::Video, Role::Primary) => &["nack", "nack pli", "ccm fir", TRANSPORT_CC],
        (MediaKind::Audio, Role::Primary) => &[TRANSPORT_CC],
        _ => &[],
    };
    messages.iter().map(|value| (*value).to_owned()).collect()
}

/// Payload type of the RTX stream of `primary` within a section.
pub(crate) fn rtx_of(payloads: &[Payload], primary: u8) -> Option<u8> {
    let found = payloads.iter().find(|p| p.format.is("rtx") && p.format.apt() == Some(primary));
    found.map(|payload| payload.payload_type)
}

/// Maps a publication's payload types onto a section's. None when no primary codec is shared.
///
/// RED is mapped only beside the codec inside it, and only where that has one number on both sides:
/// its blocks name the number (RFC 2198 section 3), and nothing rewrites them. Without a mapping the
/// data plane forwards the primary block alone.
pub(crate) fn map(
    media: &SourceMedia,
    payloads: &[Payload],
    with_rtx: bool,
) -> Option<Vec<PayloadMapping>> {
    let mut mapped: Vec<PayloadMapping> = Vec::new();
    let mut primary = false;
    let mut reds = Vec::new();
    for source in &media.payloads {
        let twin = payloads.iter().find(|payload| source.format.matches(&payload.format));
        let Some(twin) = twin else { continue };
        primary |= source.format.role(media.kind) == Role::Primary;
        if source.format.codec() == Codec::Red {
            reds.push((source.payload_type, source.format.red_inner(), twin.format.red_inner()));
        }
        mapped.push(PayloadMapping {
            from: source.payload_type,
            to: twin.payload_type,
            rtx: rtx_of(payloads, twin.payload_type).filter(|_| with_rtx),
        });
    }
    for (red, ours, theirs) in reds {
        let same = |inner: &PayloadMapping| Some(inner.from) == ours && Some(inner.to) == theirs;
        if ours != theirs || !mapped.iter().any(same) {
            mapped.retain(|mapping| mapping.from != red);
        }
    }
    primary.then_some(mapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(name: &str, clock_rate: u32, channels: u8, parameters: &str) -> Format {
        Format { name: name.into(), clock_rate, channels, parameters: parameters.into() }
    }

    fn h264(parameters: &str) -> Format {
        format("H264", 90_000, 1, parameters)
    }

    #[test]
    fn h264_matches_by_profile_class_and_mode_and_ignores_the_level() {
        let base = h264("packetization-mode=1;profile-level-id=42e01f");
        let cases = [
            ("profile-level-id=42e034;packetization-mode=1;level-asymmetry-allowed=1", true),
            ("profile-level-id=42E01F; packetization-mode=1", true),
            ("profile-level-id=42c01f;packetization-mode=1", true),
            ("profile-level-id=4d801f;packetization-mode=1", true),
            ("profile-level-id=42001f;packetization-mode=1", false),
            ("profile-level-id=4d001f;packetization-mode=1", false),
            ("profile-level-id=42e01f;packetization-mode=0", false),
            ("profile-level-id=42e01f", false),
            ("packetization-mode=1", false),
            ("packetization-mode=1;profile-level-id=zz", false),
        ];
        for (parameters, expected) in cases {
            assert_eq!(base.matches(&h264(parameters)), expected, "{parameters}");
        }
    }

    #[test]
    fn names_ignore_case_and_clock_and_channels_count() {
        let opus = format("opus", 48_000, 2, "useinbandfec=1");
        assert!(opus.matches(&format("OPUS", 48_000, 2, "")));
        assert!(!opus.matches(&format("opus", 48_000, 1, "")));
        assert!(!opus.matches(&format("opus", 16_000, 2, "")));
        let vp9 = format("VP9", 90_000, 1, "");
        assert!(vp9.matches(&format("VP9", 90_000, 1, "profile-id=0")));
        assert!(!vp9.matches(&format("VP9", 90_000, 1, "profile-id=2")));
    }

    #[test]
    fn companions_alone_make_no_section() {
        let payload = |payload_type, format| Payload { payload_type, format, feedback: vec![] };
        let offered = [payload(13, format("CN", 8_000, 1, ""))];
        assert!(acceptable(&offered, MediaKind::Audio).is_empty());
    }

    #[test]
    fn red_and_rtx_stay_only_with_what_they_refer_to() {
        let payload = |payload_type, format| Payload { payload_type, format, feedback: vec![] };
        let offered = [
            payload(63, format("red", 48_000, 2, "111/111")),
            payload(64, format("red", 48_000, 2, "50/50")),
            payload(111, format("opus", 48_000, 2, "")),
            payload(112, format("rtx", 48_000, 1, "apt=111")),
            payload(113, format("rtx", 48_000, 1, "apt=63")),
            payload(114, format("rtx", 48_000, 1, "apt=999")),
        ];
        let kept: Vec<u8> =
            acceptable(&offered, MediaKind::Audio).iter().map(|p| p.payload_type).collect();
        assert_eq!(kept, [63, 111, 112]);
    }
}
