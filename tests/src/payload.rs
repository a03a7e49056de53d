//! Payloads that prove themselves: VP8-shaped and Opus-shaped, with stream number, counter, send
//! time and checksum. Written by publishers, read by subscribers of simulation, loopback tests and
//! load generator. Only the VP8 payload descriptor and the first header octet are real (RFC 7741);
//! nothing here is decodable video.

use common::media::MediaKind;

/// Shortest payload that holds a stamp.
pub const LEN_MIN: usize = 2 + 4 + 8 + 8 + 8;

/// What a payload says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Which publisher's stream it belongs to; foreign numbers mean broken isolation.
    pub stream: u32,
    /// Counts the packets of the stream from 0.
    pub counter: u64,
    /// When it was sent, in nanoseconds since the run's start.
    pub sent_ns: u64,
    /// First packet of a frame.
    pub start: bool,
    /// Belongs to a key frame (video; audio always).
    pub key: bool,
}

/// Writes a payload of `len` bytes (at least [`LEN_MIN`]).
pub fn write(kind: MediaKind, stamp: Stamp, len: usize) -> Vec<u8> {
    let mut payload = Vec::with_capacity(len.max(LEN_MIN));
    if kind == MediaKind::Video {
        // RFC 7741 section 4.2: S bit and partition 0; section 4.3: P bit clear in key frames.
        payload.push(if stamp.start { 0x10 } else { 0x00 });
        payload.push(if stamp.key { 0x00 } else { 0x01 });
    }
    payload.extend_from_slice(&stamp.stream.to_be_bytes());
    payload.extend_from_slice(&stamp.counter.to_be_bytes());
    payload.extend_from_slice(&stamp.sent_ns.to_be_bytes());
    let filler = len.saturating_sub(payload.len() + 8);
    payload.extend((0..filler).map(|place| (place as u64 + stamp.counter) as u8));
    let sum = checksum(&payload);
    payload.extend_from_slice(&sum.to_be_bytes());
    payload
}

/// Reads and checks a payload; None when it is not byte for byte what [`write`] made.
pub fn read(kind: MediaKind, payload: &[u8]) -> Option<Stamp> {
    let (body, sum) = payload.split_at_checked(payload.len().checked_sub(8)?)?;
    if checksum(body).to_be_bytes() != sum {
        return None;
    }
    let (shape, facts) = match kind {
        MediaKind::Video => body.split_at_checked(2)?,
        MediaKind::Audio => (&[0x10, 0x00][..], body),
    };
    Some(Stamp {
        stream: u32::from_be_bytes(facts.get(..4)?.try_into().ok()?),
        counter: u64::from_be_bytes(facts.get(4..12)?.try_into().ok()?),
        sent_ns: u64::from_be_bytes(facts.get(12..20)?.try_into().ok()?),
        start: shape.first()? & 0x10 != 0,
        key: shape.get(1)? & 0x01 == 0,
    })
}

/// FNV-1a over eight bytes at a time: fast enough to check every packet of a load run.
pub fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325u64 ^ bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        sum = (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x100_0000_01b3).rotate_left(29);
    }
    sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_payload_survives_and_any_flipped_bit_is_seen() {
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let key = kind == MediaKind::Audio;
            let stamp = Stamp { stream: 3, counter: 99, sent_ns: 12345, start: true, key };
            let good = write(kind, stamp, 100);
            assert_eq!(good.len(), 100);
            assert_eq!(read(kind, &good), Some(stamp));
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(read(kind, &bad), None, "bit {bit}");
            }
            assert_eq!(read(kind, &good[..99]), None);
            assert_eq!(read(kind, &[]), None);
        }
    }
}
