//! The picture number of VP8 and VP9 payload descriptors: 7 or 15 bits behind an extension bit
//! (RFC 7741 section 4.2, RFC 9628 section 4.2).
//!
//! Called by the descriptor parsers and renumberers beside it. Must stay total over truncated bytes.

use crate::cursor;

/// A picture number and its width.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PictureId {
    /// The number.
    pub value: u16,
    /// Whether it has 15 bits rather than 7.
    pub long: bool,
    /// Offset of its first byte from the start of the payload, for rewriting.
    pub offset: usize,
}

impl PictureId {
    /// Reads the number at `offset`; None when it is cut off.
    pub(super) fn read(payload: &[u8], offset: usize) -> Option<Self> {
        let short = cursor::u8_at(payload, offset)?;
        let long = short & 0x80 != 0;
        let value = if long { cursor::u16_at(payload, offset)? & 0x7FFF } else { short.into() };
        Some(Self { value, long, offset })
    }

    /// Bytes it takes.
    pub(super) fn len(&self) -> usize {
        if self.long { 2 } else { 1 }
    }
}

/// Writes `value` where a number is, cut to its width.
pub(super) fn write(payload: &mut [u8], place: Option<PictureId>, value: u16) {
    let Some(place) = place else { return };
    let [high, low] = value.to_be_bytes();
    match payload.get_mut(place.offset..place.offset + place.len()) {
        Some([first, second]) => (*first, *second) = (high | 0x80, low),
        Some([only]) => *only = low & 0x7F,
        _ => {}
    }
}

/// Writes the index of base layer pictures of a descriptor that has one. It lies behind the number,
/// and in both codecs two bytes are in front of these: VP8 has the X octet, VP9 the layer octet.
pub(super) fn write_index(payload: &mut [u8], place: Option<PictureId>, index: u8) {
    if let Some(octet) = payload.get_mut(2 + place.map_or(0, |place| place.len())) {
        *octet = index;
    }
}
