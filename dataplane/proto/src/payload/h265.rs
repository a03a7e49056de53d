//! H.265 key frame detection (RFC 7798 section 4.4).
//!
//! Called per packet of H.265 tracks. Must stay total over truncated aggregates. Decoding order
//! numbers are never in use: `sprop-max-don-diff` is not negotiated.

use crate::cursor;

/// Packet types of RFC 7798 sections 4.4.2 and 4.4.3.
const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;

/// A picture of an intra random access point or a parameter set: alone, in an aggregate, or the
/// first fragment of one.
pub(super) fn is_key_frame_start(payload: &[u8]) -> bool {
    let Some(([first, _], rest)) = payload.split_first_chunk() else { return false };
    match nal_type(*first) {
        AGGREGATION => aggregated(rest),
        FRAGMENTATION => rest.first().is_some_and(|fu| fu & 0x80 != 0 && starts(fu & 0x3F)),
        single => starts(single),
    }
}

fn nal_type(first: u8) -> u8 {
    first >> 1 & 0x3F
}

/// BLA, IDR and CRA pictures (16 to 21), and video, sequence and picture parameter sets (32 to 34);
/// ITU-T H.265 table 7-1.
fn starts(nal_type: u8) -> bool {
    matches!(nal_type, 16..=21 | 32..=34)
}

/// Whether one of the aggregated units, each after its 16-bit size, starts a key frame.
fn aggregated(mut units: &[u8]) -> bool {
    while let Some(size) = cursor::u16_at(units, 0) {
        let Some(unit) = units.get(2..2 + usize::from(size)) else { return false };
        if unit.first().is_some_and(|first| starts(nal_type(*first))) {
            return true;
        }
        units = units.get(2 + unit.len()..).unwrap_or_default();
    }
    false
}
