//! Cuts packets that are too long for the path between two chunks.
//!
//! Called by `mod.rs` with what the library sends: it bundles chunks without counting their padding,
//! so that a packet of very small messages is longer than it should be (RFC 9260 section 6.10).

use std::collections::VecDeque;

use bytes::Bytes;
use crc::{CRC_32_ISCSI, Crc};

use super::PACKET_MAX;
use crate::cursor::u16_at;

/// Length of the common header (RFC 9260 section 3.1).
const HEADER: usize = 12;
/// RFC 9260 appendix A: CRC32c.
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Appends `packet` to `packets`, in pieces if it must be. A chunk that is too long alone is dropped.
pub(super) fn push(packets: &mut VecDeque<Bytes>, packet: Bytes) {
    if packet.len() <= PACKET_MAX {
        return packets.push_back(packet);
    }
    let (header, mut rest) = packet.split_at_checked(HEADER).unwrap_or_default();
    while !rest.is_empty() {
        let mut len = 0;
        while let Some(chunk) = u16_at(rest, len + 2) {
            let next = (len + usize::from(chunk).next_multiple_of(4)).min(rest.len());
            if next == len || HEADER + next > PACKET_MAX {
                break;
            }
            len = next;
        }
        let Some((piece, left)) = rest.split_at_checked(len).filter(|_| len > 0) else { return };
        packets.push_back(seal(header, piece));
        rest = left;
    }
}

fn seal(header: &[u8], chunks: &[u8]) -> Bytes {
    let mut packet = Vec::with_capacity(header.len() + chunks.len());
    packet.extend_from_slice(header.get(..8).unwrap_or_default());
    packet.extend_from_slice(&[0; 4]);
    packet.extend_from_slice(chunks);
    let checksum = CRC32C.checksum(&packet).to_le_bytes();
    if let Some(place) = packet.get_mut(8..HEADER) {
        place.copy_from_slice(&checksum);
    }
    packet.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_packet_is_cut_between_chunks() {
        let mut long = vec![1; HEADER];
        for number in 0..100u8 {
            long.extend_from_slice(&[0, 3, 0, 17, number]);
            long.extend_from_slice(&[0; 15]);
        }
        let mut pieces = VecDeque::new();
        push(&mut pieces, long.clone().into());
        assert_eq!(pieces.len(), 2);
        assert!(pieces.iter().all(|piece| piece.len() <= PACKET_MAX && piece[..8] == long[..8]));
        let chunks: Vec<u8> = pieces.iter().flat_map(|piece| piece[HEADER..].to_vec()).collect();
        assert_eq!(chunks, long[HEADER..]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_or_dropped(bytes in prop::collection::vec(any::<u8>(), 0..4_000)) {
            let mut pieces = VecDeque::new();
            push(&mut pieces, bytes.into());
            for piece in pieces {
                prop_assert!(piece.len() <= PACKET_MAX);
            }
        }
    }
}
