//! H.264 key frame detection (RFC 6184 sections 5.6 to 5.8).
//!
//! Called per packet of H.264 tracks. Must stay total over truncated aggregates.

use crate::cursor;

/// NAL unit types (RFC 6184 section 5.2).
const IDR: u8 = 5;
const SEQUENCE_PARAMETERS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// An IDR slice or a sequence parameter set: alone, in an aggregate, or the first fragment of one.
pub(super) fn is_key_frame_start(payload: &[u8]) -> bool {
    let Some((first, rest)) = payload.split_first() else { return false };
    match first & 0x1F {
        STAP_A => aggregated(rest),
        FU_A => rest.first().is_some_and(|fu| fu & 0x80 != 0 && starts(fu & 0x1F)),
        single => starts(single),
    }
}

fn starts(nal_type: u8) -> bool {
    matches!(nal_type, IDR | SEQUENCE_PARAMETERS)
}

/// Whether one of the aggregated units, each after its 16-bit size, starts a key frame.
fn aggregated(mut units: &[u8]) -> bool {
    while let Some(size) = cursor::u16_at(units, 0) {
        let Some(unit) = units.get(2..2 + usize::from(size)) else { return false };
        if unit.first().is_some_and(|first| starts(first & 0x1F)) {
            return true;
        }
        units = units.get(2 + unit.len()..).unwrap_or_default();
    }
    false
}
