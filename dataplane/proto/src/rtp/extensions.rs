//! Header extension elements (RFC 8285) of a parsed packet.
//!
//! Called once per inbound packet. Must never yield an element that reaches outside its block.

use super::{Header, PROFILE_ONE_BYTE, PROFILE_TWO_BYTE};
use crate::cursor;

/// The header extension elements of `packet`, which `header` was parsed from, in wire order, as
/// (id, offset of the data from the start of the packet, length of the data).
///
/// An unknown profile has no elements. A malformed element ends the walk.
pub fn elements<'a>(packet: &'a [u8], header: &Header) -> Elements<'a> {
    let empty = Elements { packet: &[], at: 0, end: 0, two_byte: false };
    let Some(block) = header.extension else { return empty };
    let two_byte = match block.profile {
        PROFILE_ONE_BYTE => false,
        profile if profile & 0xFFF0 == PROFILE_TWO_BYTE => true,
        _ => return empty,
    };
    let end = block.offset.saturating_add(block.len).min(packet.len());
    Elements { packet, at: block.offset, end, two_byte }
}

/// Iterator over header extension elements; see [`elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    packet: &'a [u8],
    at: usize,
    end: usize,
    two_byte: bool,
}

impl Elements<'_> {
    /// Reads the element header at `at`: id, length of the data, length of the header.
    fn head(&self, first: u8) -> Option<(u8, usize, usize)> {
        if self.two_byte {
            let len = cursor::u8_at(self.packet, self.at + 1).filter(|_| self.at + 1 < self.end)?;
            return Some((first, usize::from(len), 2));
        }
        // RFC 8285 section 4.2: id 15, and id 0 with a length, end the walk whatever follows.
        let id = first >> 4;
        (1..15).contains(&id).then_some((id, usize::from(first & 0x0F) + 1, 1))
    }
}

impl Iterator for Elements<'_> {
    type Item = (u8, usize, usize);

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.end {
            let first = cursor::u8_at(self.packet, self.at)?;
            // A zero byte is padding in both forms.
            if first == 0 {
                self.at += 1;
                continue;
            }
            let Some((id, len, head_len)) = self.head(first) else { break };
            let offset = self.at + head_len;
            if offset + len > self.end {
                break;
            }
            self.at = offset + len;
            return Some((id, offset, len));
        }
        self.at = self.end;
        None
    }
}
