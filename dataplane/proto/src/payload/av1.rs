//! AV1 key frame detection (AOMedia "RTP Payload Format For AV1" v1.0, sections 4.4 and 4.5).
//!
//! Called per packet of AV1 tracks. Must stay total over truncated and overlong elements.

use crate::cursor;

/// OBU type of a sequence header (AV1 bitstream specification section 6.2.2).
const SEQUENCE_HEADER: u8 = 1;

/// First packet of a coded video sequence: the N bit says so, or the packet holds the start of a
/// sequence header.
pub(super) fn is_key_frame_start(payload: &[u8]) -> bool {
    let Some((aggregation, elements)) = payload.split_first() else { return false };
    let continues = aggregation & 0x80 != 0;
    let new_sequence = aggregation & 0x08 != 0;
    if new_sequence && !continues && !elements.is_empty() {
        return true;
    }
    let mut walk = Elements { rest: elements, count: aggregation >> 4 & 3, index: 0 };
    if continues {
        walk.next();
    }
    walk.any(|element| element.first().is_some_and(|head| head >> 3 & 0x0F == SEQUENCE_HEADER))
}

/// Iterator over the OBU elements of a packet.
struct Elements<'a> {
    rest: &'a [u8],
    /// The W field: number of elements, of which the last has no length; 0 when all have one.
    count: u8,
    index: u8,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() || self.count != 0 && self.index == self.count {
            return None;
        }
        self.index = self.index.saturating_add(1);
        if self.count != 0 && self.index == self.count {
            return Some(std::mem::take(&mut self.rest));
        }
        let (len, head) = cursor::leb128(self.rest)?;
        let end = head.checked_add(len)?;
        let element = self.rest.get(head..end)?;
        self.rest = self.rest.get(end..)?;
        Some(element)
    }
}
