//! View of an RTP header (RFC 3550 section 5).
//!
//! Called before decryption (the header is clear) and again on plaintext for padding. Must never
//! trust a length before it was compared with the packet.

use super::FIXED_LEN;
use crate::cursor;

/// Where the header extension block lies in its packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtensionBlock {
    /// The "defined by profile" field: which form the elements have.
    pub profile: u16,
    /// Offset of the first element from the start of the packet, in bytes.
    pub offset: usize,
    /// Length of the elements in bytes, a multiple of four.
    pub len: usize,
}

/// A parsed RTP header. Offsets count from the start of the packet it was parsed from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in units of the payload's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Number of contributing sources.
    pub csrc_count: u8,
    /// Padding bit; how much padding is only known in plaintext, see [`padding_len`].
    pub has_padding: bool,
    /// Length of the header with CSRCs and extension: where the payload starts.
    pub payload_offset: usize,
    /// The header extension, if the X bit is set.
    pub extension: Option<ExtensionBlock>,
}

impl Header {
    /// Reads the header of `packet`; None when it is not RTP version 2 or runs past the end.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let [first, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3] =
            cursor::array::<FIXED_LEN>(packet, 0)?;
        if first >> 6 != 2 {
            return None;
        }
        let csrc_count = first & 0x0F;
        let after_csrcs = FIXED_LEN + 4 * usize::from(csrc_count);
        let extension = if first & 0x10 != 0 {
            let profile = cursor::u16_at(packet, after_csrcs)?;
            let words = cursor::u16_at(packet, after_csrcs + 2)?;
            Some(ExtensionBlock { profile, offset: after_csrcs + 4, len: 4 * usize::from(words) })
        } else {
            None
        };
        let payload_offset = extension.map_or(after_csrcs, |block| block.offset + block.len);
        (payload_offset <= packet.len()).then_some(Self {
            payload_type: second & 0x7F,
            marker: second & 0x80 != 0,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([r0, r1, r2, r3]),
            csrc_count,
            has_padding: first & 0x20 != 0,
            payload_offset,
            extension,
        })
    }
}

/// The length of the padding at the end of `plain`, its count byte included: 0 without the P bit,
/// None when the count is zero or longer than the payload (RFC 3550 section 5.1).
///
/// `plain` is the decrypted packet that `header` was parsed from, without authentication tag.
pub fn padding_len(plain: &[u8], header: &Header) -> Option<u8> {
    if !header.has_padding {
        return Some(0);
    }
    let (count, _) = plain.get(header.payload_offset..)?.split_last()?;
    let room = plain.len() - header.payload_offset;
    (*count != 0 && usize::from(*count) <= room).then_some(*count)
}
