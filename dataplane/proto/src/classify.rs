//! Splits the datagrams of one port by their first bytes (RFC 7983, RFC 5761 section 4).
//!
//! Called once per datagram, before anything is known of the sender. Must never look further than
//! the fixed header and never keep state.

use crate::cursor;

/// What a datagram claims to be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// RFC 8489: first byte 0 to 3, at least a header, the magic cookie in place.
    Stun,
    /// RFC 6347 and RFC 9147: first byte 20 to 63, at least a record header.
    Dtls,
    /// RFC 3550: first byte 128 to 191, at least a fixed header.
    Rtp,
    /// RTCP multiplexed on the RTP port (RFC 5761): second byte 192 to 223.
    Rtcp,
}

/// Length of a STUN header in bytes (RFC 8489 section 5).
const STUN_MIN: usize = 20;
/// Length of a DTLS 1.2 plaintext record header; DTLS 1.3's unified header with its tag is longer.
const DTLS_MIN: usize = 13;
/// Length of an RTP header without CSRCs (RFC 3550 section 5.1).
const RTP_MIN: usize = 12;
/// Length of the shortest RTCP packet that names a sender (RFC 3550 section 6.1).
const RTCP_MIN: usize = 8;
/// RFC 8489 section 5.
const MAGIC_COOKIE: u32 = 0x2112_A442;

/// Says what `datagram` is, or None when it is none of the four.
///
/// Cost: reads at most eight bytes.
pub fn classify(datagram: &[u8]) -> Option<Class> {
    let first = cursor::u8_at(datagram, 0)?;
    let (class, len_min) = match first {
        0..=3 if cursor::u32_at(datagram, 4) == Some(MAGIC_COOKIE) => (Class::Stun, STUN_MIN),
        20..=63 => (Class::Dtls, DTLS_MIN),
        128..=191 => match cursor::u8_at(datagram, 1)? {
            192..=223 => (Class::Rtcp, RTCP_MIN),
            _ => (Class::Rtp, RTP_MIN),
        },
        _ => return None,
    };
    (datagram.len() >= len_min).then_some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(first: u8, second: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len.max(8)];
        bytes[0] = first;
        bytes[1] = second;
        bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        bytes.truncate(len);
        bytes
    }

    #[test]
    fn both_sides_of_every_border() {
        let cases: [(u8, u8, usize, Option<Class>); 26] = [
            (0, 1, 20, Some(Class::Stun)),
            (3, 1, 20, Some(Class::Stun)),
            (0, 1, 19, None),
            (4, 1, 20, None),
            (19, 0, 64, None),
            (20, 0, 13, Some(Class::Dtls)),
            (20, 0, 12, None),
            (63, 0, 13, Some(Class::Dtls)),
            (64, 0, 13, None),
            (79, 0, 13, None),
            (127, 0, 64, None),
            (128, 0, 12, Some(Class::Rtp)),
            (128, 0, 11, None),
            (191, 127, 12, Some(Class::Rtp)),
            (192, 0, 12, None),
            (255, 200, 12, None),
            (128, 191, 12, Some(Class::Rtp)),
            (128, 192, 8, Some(Class::Rtcp)),
            (128, 192, 7, None),
            (128, 223, 8, Some(Class::Rtcp)),
            (128, 224, 12, Some(Class::Rtp)),
            (128, 63, 12, Some(Class::Rtp)),
            (128, 72, 12, Some(Class::Rtp)),
            (129, 200, 8, Some(Class::Rtcp)),
            (128, 200, 1, None),
            (0, 0, 0, None),
        ];
        for (first, second, len, expected) in cases {
            assert_eq!(classify(&datagram(first, second, len)), expected, "{first} {second} {len}");
        }
    }

    #[test]
    fn stun_needs_the_cookie() {
        let mut bytes = datagram(0, 1, 20);
        bytes[7] ^= 1;
        assert_eq!(classify(&bytes), None);
    }
}
