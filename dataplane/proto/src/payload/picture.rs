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

    /// Writes `value` in its place, cut to its width.
    pub(super) fn write(&self, payload: &mut [u8], value: u16) {
        let [high, low] = value.to_be_bytes();
        let place = payload.get_mut(self.offset..self.offset + self.len());
        match place {
            Some([first, second]) => (*first, *second) = (high | 0x80, low),
            Some([only]) => *only = low & 0x7F,
            _ => {}
        }
    }
}
