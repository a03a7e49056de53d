//! The sections of our offer in which the client is to publish: what a Chromium offer would have
//! in their place.
//!
//! Called by `offer.rs`. The client picks from it by its answer (`accept.rs`). Numbers the session
//! knows are used; the others are those of libwebrtc (Chromium 156).

use common::media::MediaKind;

use super::description::Format;
use super::outcome::{SourceMedia, SourcePayload};

/// Name, clock rate in Hz, channels, parameters, and libwebrtc's payload type.
type Row = (&'static str, u32, u8, &'static str, u8);

/// Opus first, as in every browser's offer.
const AUDIO: [Row; 8] = [
    ("opus", 48_000, 2, "minptime=10;useinbandfec=1", 111),
    ("red", 48_000, 2, "111/111", 63),
    ("G722", 8_000, 1, "", 9),
    ("PCMU", 8_000, 1, "", 0),
    ("PCMA", 8_000, 1, "", 8),
    ("CN", 8_000, 1, "", 13),
    ("telephone-event", 48_000, 1, "", 110),
    ("telephone-event", 8_000, 1, "", 126),
];

const H264_BASELINE_1: &str =
    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f";
const H264_BASELINE_0: &str =
    "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f";
const H264_CONSTRAINED_1: &str =
    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
const H264_CONSTRAINED_0: &str =
    "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f";
const H264_MAIN_1: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f";
const H264_MAIN_0: &str = "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=4d001f";

/// In Chromium's order; H.265 at the end, for clients with nothing else.
const VIDEO: [Row; 11] = [
    ("VP8", 90_000, 1, "", 96),
    ("H264", 90_000, 1, H264_BASELINE_1, 102),
    ("H264", 90_000, 1, H264_BASELINE_0, 104),
    ("H264", 90_000, 1, H264_CONSTRAINED_1, 108),
    ("H264", 90_000, 1, H264_CONSTRAINED_0, 114),
    ("H264", 90_000, 1, H264_MAIN_1, 116),
    ("H264", 90_000, 1, H264_MAIN_0, 39),
    ("AV1", 90_000, 1, "level-idx=5;profile=0;tier=0", 45),
    ("VP9", 90_000, 1, "profile-id=0", 98),
    ("VP9", 90_000, 1, "profile-id=2", 100),
    ("H265", 90_000, 1, "level-id=180;profile-id=1;tier-flag=0;tx-mode=SRST", 49),
];

/// What a publisher may choose from.
pub(super) fn media(kind: MediaKind) -> SourceMedia {
    let rows: &[Row] = match kind {
        MediaKind::Audio => &AUDIO,
        MediaKind::Video => &VIDEO,
    };
    let payload = |(name, clock_rate, channels, parameters, payload_type): &Row| SourcePayload {
        payload_type: *payload_type,
        format: Format {
            name: (*name).to_owned(),
            clock_rate: *clock_rate,
            channels: *channels,
            parameters: (*parameters).to_owned(),
        },
        rtx: None,
    };
    SourceMedia { kind, payloads: rows.iter().map(payload).collect() }
}
