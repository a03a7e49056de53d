//! Frames of a stream: a length of two bytes, then a datagram of that length (RFC 4571 section 2).
//! Pure, total over any bytes; called by the reader and the writer of connections.

use common::limits::DATAGRAM_MAX;

/// Bytes of a frame's length.
pub(crate) const HEADER: usize = 2;
/// Longest frame taken, header included.
pub(crate) const FRAME_MAX: usize = HEADER + DATAGRAM_MAX;

/// What the bytes of a stream begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Start {
    /// A whole frame whose datagram, behind the header, has this many bytes.
    Whole(usize),
    /// A part of one.
    Part,
    /// One longer than any datagram we take: the stream is of no use any more.
    TooLong,
}

/// Looks at the start of `bytes`.
pub(crate) fn start(bytes: &[u8]) -> Start {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Start::Part };
    let len = usize::from(u16::from_be_bytes(*header));
    if len > DATAGRAM_MAX {
        Start::TooLong
    } else if bytes.len() < HEADER + len {
        Start::Part
    } else {
        Start::Whole(len)
    }
}

/// The header of a datagram of `len` bytes; None when no frame can hold it.
pub(crate) fn header(len: usize) -> Option<[u8; HEADER]> {
    u16::try_from(len).ok().map(u16::to_be_bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn borders() {
        assert_eq!(start(&[]), Start::Part);
        assert_eq!(start(&[0]), Start::Part);
        assert_eq!(start(&[0, 0]), Start::Whole(0));
        assert_eq!(start(&[0, 2, 7]), Start::Part);
        assert_eq!(start(&[0, 2, 7, 7, 0]), Start::Whole(2));
        let longest = [header(DATAGRAM_MAX).unwrap().to_vec(), vec![1; DATAGRAM_MAX]].concat();
        assert_eq!(longest.len(), FRAME_MAX);
        assert_eq!(start(&longest), Start::Whole(DATAGRAM_MAX));
        assert_eq!(start(&longest[..FRAME_MAX - 1]), Start::Part);
        assert_eq!(start(&header(DATAGRAM_MAX + 1).unwrap()), Start::TooLong);
        assert_eq!(start(&[0xff, 0xff]), Start::TooLong);
        assert_eq!(header(1 << 16), None);
    }

    proptest! {
        /// However a stream is cut, the same datagrams come out of it.
        #[test]
        fn cuts_do_not_matter(
            lengths in prop::collection::vec(0..=DATAGRAM_MAX, 0..20),
            cuts in prop::collection::vec(1usize..3_000, 1..20),
        ) {
            let mut stream = Vec::new();
            for (number, len) in lengths.iter().enumerate() {
                stream.extend(header(*len).unwrap());
                stream.extend(vec![number as u8; *len]);
            }
            let (mut kept, mut seen, mut cut) = (Vec::new(), Vec::new(), cuts.iter().cycle());
            let mut rest = &stream[..];
            while !rest.is_empty() {
                let (piece, left) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
                rest = left;
                kept.extend_from_slice(piece);
                while let Start::Whole(len) = start(&kept) {
                    prop_assert!(kept[HEADER..HEADER + len].iter().all(|b| *b == seen.len() as u8));
                    seen.push(len);
                    kept.drain(..HEADER + len);
                }
            }
            prop_assert!(kept.is_empty());
            prop_assert_eq!(seen, lengths);
        }

        /// Of any bytes the start is a frame within them, or there is none.
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            match start(&bytes) {
                Start::Whole(len) => prop_assert!(HEADER + len <= bytes.len()),
                Start::Part => prop_assert!(bytes.len() < FRAME_MAX),
                Start::TooLong => {}
            }
        }
    }
}
