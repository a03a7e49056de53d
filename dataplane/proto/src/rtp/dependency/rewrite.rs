//! A dependency descriptor as one subscriber gets it: its own frame numbers, and the decode targets
//! it can show.
//!
//! Called per packet and subscriber where the element is forwarded. Must never write more than the
//! slot holds.

use std::ops::Range;

use super::bits::{BitWriter, Bits};
use super::descriptor::{Head, MANDATORY_LEN};
use super::structure::Structure;
use crate::cursor;

/// Writes the descriptor `data` into `slot` with `frame_number` and, where given, with `active` as
/// active_decode_targets_bitmask. Returns the length, at most five bytes more than that of `data`;
/// None when `data` is malformed or does not fit, and then `slot` holds nothing of use.
///
/// The number is what a receiver orders frames by: libwebrtc drops a key frame whose number is behind
/// that of the last one. So the numbers towards a subscriber have a constant distance to those of the
/// encoding, which changes where the encoding does; frames left out leave gaps, as references are
/// differences of numbers.
///
/// `active` is [`Structure::active_for`] the subscriber's target, or None to leave the element as it
/// is, which is right for who gets everything. Appendix A.4: whoever changes the set must say so, in every structure and on
/// the first frames after a change. Chromium's receiver decodes whatever arrives and reads the
/// mask for nothing; who forwards further or tracks chains needs it.
pub fn rewrite(
    data: &[u8],
    structure: &Structure,
    frame_number: u16,
    active: Option<u32>,
    slot: &mut [u8],
) -> Option<usize> {
    let head = Head::parse(data)?;
    let Some(active) = active else {
        slot.get_mut(..data.len())?.copy_from_slice(data);
        slot.get_mut(1..MANDATORY_LEN)?.copy_from_slice(&frame_number.to_be_bytes());
        return Some(data.len());
    };
    let mut writer = BitWriter::new(slot);
    writer.write(cursor::u8_at(data, 0)?.into(), 8);
    writer.write(frame_number.into(), 16);
    let Some(mut extended) = head.extended else {
        // No structure, a mask, nothing custom.
        writer.write(0b01000, 5);
        writer.write(active.into(), structure.target_count().into());
        return writer.finish();
    };
    writer.write(u64::from(extended.has_structure) << 1 | 1, 2);
    writer.write(extended.custom.into(), 3);
    let mut target_count = structure.target_count();
    if extended.has_structure {
        let start = extended.bits.position();
        target_count = Structure::parse(&mut extended.bits)?.target_count();
        copy(&mut writer, data, start..extended.bits.position())?;
    }
    if extended.has_active {
        extended.bits.read(target_count.into())?;
    }
    writer.write(active.into(), target_count.into());
    copy(&mut writer, data, extended.bits.position()..8 * data.len())?;
    writer.finish()
}

/// Copies a range of the bits of `data`.
fn copy(writer: &mut BitWriter<'_>, data: &[u8], range: Range<usize>) -> Option<()> {
    let mut bits = Bits::new(data, range.start);
    while bits.position() < range.end {
        let count = (range.end - bits.position()).min(32) as u32;
        writer.write(bits.read(count)?, count);
    }
    Some(())
}
