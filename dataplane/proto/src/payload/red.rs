//! Redundant audio (RFC 2198): where the primary block of a payload lies.
//!
//! Called per packet of RED streams whose subscriber negotiated the inner codec only. Must stay total
//! over truncated headers.

use crate::cursor;

/// Most redundant blocks looked through; browsers send one or two, more would not fit a packet.
const BLOCKS_MAX: usize = 32;

/// The primary block: it has no length of its own and reaches to the end of the payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Primary {
    /// Payload type of the inner codec, 0 to 127, on the transport the packet came from.
    pub payload_type: u8,
    /// Where it starts, in bytes from the start of the RED payload.
    pub offset: usize,
}

/// The primary block of a RED payload; None when headers or redundant blocks are cut off.
///
/// RFC 2198 section 3: headers of four bytes with the length of each redundant block, then one byte
/// for the primary, then the blocks in the same order.
pub fn primary(payload: &[u8]) -> Option<Primary> {
    let (mut at, mut redundant) = (0, 0);
    for _ in 0..=BLOCKS_MAX {
        let first = cursor::u8_at(payload, at)?;
        if first & 0x80 == 0 {
            let offset = at + 1 + redundant;
            let payload_type = first & 0x7F;
            return (offset <= payload.len()).then_some(Primary { payload_type, offset });
        }
        redundant += usize::from(cursor::u16_at(payload, at + 2)? & 0x03FF);
        at += 4;
    }
    None
}
