//! Payloads that prove themselves: VP8-shaped and Opus-shaped, with stream, encoding, frame, counter,
//! send time and checksum. Written by publishers, read by subscribers of simulation, loopback tests
//! and load generator. Only the VP8 payload descriptor and the first header octet are real (RFC
//! 7741); nothing here is decodable video.

use common::media::MediaKind;

/// Shortest payload that holds a stamp.
pub const LEN_MIN: usize = DESCRIPTOR_LEN + 1 + STAMP_LEN + 8;

/// Octets of a descriptor with picture id, TL0PICIDX and temporal layer.
const DESCRIPTOR_LEN: usize = 6;
/// Octets of the stamp itself.
const STAMP_LEN: usize = 4 + 8 + 8 + 3 + 4 + 4;

/// What a payload says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Which publisher's stream it belongs to; foreign numbers mean broken isolation.
    pub stream: u32,
    /// Which encoding of the stream.
    pub encoding: u8,
    /// Counts the packets of the encoding from 0.
    pub counter: u64,
    /// When it was sent, in nanoseconds since the run's start.
    pub sent_ns: u64,
    /// First packet of a frame.
    pub start: bool,
    /// Belongs to a key frame (video; audio always).
    pub key: bool,
    /// Counts the frames of the encoding from 0.
    pub frame: u32,
    /// The frame it cannot be decoded without; itself for a key frame.
    pub depends: u32,
    /// Place of this packet in its frame, from 0.
    pub place: u8,
    /// Packets of the frame.
    pub of: u8,
    /// Numbers a server rewrites, when the payload carries them.
    pub picture: Option<Picture>,
}

/// The VP8 numbers of one frame (RFC 7741 section 4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Picture {
    /// Picture id, 15 bits.
    pub id: u16,
    /// Running index of base layer frames.
    pub tl0_index: u8,
    /// Temporal layer, 0 to 3.
    pub temporal: u8,
    /// Whether the frame depends on the base layer alone.
    pub sync: bool,
}

impl Stamp {
    /// The stamp of a packet that is a frame on its own, as audio is.
    pub fn whole(stream: u32, counter: u64, sent_ns: u64) -> Self {
        Self {
            stream,
            encoding: 0,
            counter,
            sent_ns,
            start: true,
            key: true,
            frame: counter as u32,
            depends: counter as u32,
            place: 0,
            of: 1,
            picture: None,
        }
    }
}

/// Writes a payload of `len` bytes (at least [`LEN_MIN`]).
pub fn write(kind: MediaKind, stamp: Stamp, len: usize) -> Vec<u8> {
    let mut payload = Vec::with_capacity(len.max(LEN_MIN));
    if kind == MediaKind::Video {
        // S bit and partition 0; section 4.3: P bit clear in key frames.
        let first = if stamp.start { 0x10 } else { 0x00 };
        match stamp.picture {
            Some(picture) => payload.extend_from_slice(&described(first, picture)),
            None => payload.push(first),
        }
        payload.push(if stamp.key { 0x00 } else { 0x01 });
    }
    payload.extend_from_slice(&stamp.stream.to_be_bytes());
    payload.extend_from_slice(&stamp.counter.to_be_bytes());
    payload.extend_from_slice(&stamp.sent_ns.to_be_bytes());
    payload.extend_from_slice(&[stamp.encoding, stamp.place, stamp.of]);
    payload.extend_from_slice(&stamp.frame.to_be_bytes());
    payload.extend_from_slice(&stamp.depends.to_be_bytes());
    let filler = len.saturating_sub(payload.len() + 8);
    payload.extend((0..filler).map(|place| (place as u64 + stamp.counter) as u8));
    let sum = masked_checksum(&payload, kind);
    payload.extend_from_slice(&sum.to_be_bytes());
    payload
}

/// Reads and checks a payload; None when it is not what [`write`] made, byte for byte but for the
/// picture id and the TL0PICIDX.
pub fn read(kind: MediaKind, payload: &[u8]) -> Option<Stamp> {
    let (body, sum) = payload.split_at_checked(payload.len().checked_sub(8)?)?;
    if masked_checksum(body, kind).to_be_bytes() != sum {
        return None;
    }
    let (first, picture, octet, facts) = match kind {
        MediaKind::Audio => (0x10, None, 0x00, body),
        MediaKind::Video => {
            let picture = read_picture(body);
            let (shape, facts) = body.split_at_checked(descriptor_len(body) + 1)?;
            (*shape.first()?, picture, *shape.last()?, facts)
        }
    };
    let number = |at: usize| Some(u32::from_be_bytes(facts.get(at..at + 4)?.try_into().ok()?));
    Some(Stamp {
        stream: number(0)?,
        counter: u64::from_be_bytes(facts.get(4..12)?.try_into().ok()?),
        sent_ns: u64::from_be_bytes(facts.get(12..20)?.try_into().ok()?),
        encoding: *facts.get(20)?,
        place: *facts.get(21)?,
        of: *facts.get(22)?,
        frame: number(23)?,
        depends: number(27)?,
        start: first & 0x10 != 0,
        key: octet & 0x01 == 0,
        picture,
    })
}

fn described(first: u8, picture: Picture) -> [u8; DESCRIPTOR_LEN] {
    let [high, low] = picture.id.to_be_bytes();
    let layer = picture.temporal << 6 | u8::from(picture.sync) << 5;
    // X; I, L and T; M.
    [0x80 | first, 0xe0, 0x80 | high, low, picture.tl0_index, layer]
}

fn read_picture(body: &[u8]) -> Option<Picture> {
    let [first, 0xe0, high, low, tl0_index, layer] = *body.first_chunk::<DESCRIPTOR_LEN>()? else {
        return None;
    };
    (first & 0x80 != 0 && high & 0x80 != 0).then_some(Picture {
        id: u16::from_be_bytes([high & 0x7f, low]),
        tl0_index,
        temporal: layer >> 6,
        sync: layer & 0x20 != 0,
    })
}

fn descriptor_len(body: &[u8]) -> usize {
    if body.first().is_some_and(|first| first & 0x80 != 0) { DESCRIPTOR_LEN } else { 1 }
}

/// [`checksum`] of all but the numbers a server rewrites.
fn masked_checksum(body: &[u8], kind: MediaKind) -> u64 {
    match body.split_at_checked(DESCRIPTOR_LEN) {
        Some((&[first, extended, high, _, _, layer], rest))
            if kind == MediaKind::Video && first & 0x80 != 0 =>
        {
            checksum(&[first, extended, high & 0x80, layer]) ^ checksum(rest)
        }
        _ => checksum(body),
    }
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

    const PICTURE: Picture = Picture { id: 0x7abc, tl0_index: 250, temporal: 2, sync: true };

    fn video(picture: Option<Picture>) -> Stamp {
        let frame = Stamp { frame: 7, depends: 5, place: 1, of: 3, ..Stamp::whole(3, 99, 12345) };
        Stamp { encoding: 2, key: false, start: false, picture, ..frame }
    }

    #[test]
    fn a_payload_survives_and_any_flipped_bit_is_seen() {
        let cases = [
            (MediaKind::Audio, Stamp::whole(3, 99, 12345)),
            (MediaKind::Video, video(None)),
            (MediaKind::Video, video(Some(PICTURE))),
        ];
        for (kind, stamp) in cases {
            let good = write(kind, stamp, 100);
            assert_eq!(good.len(), 100);
            assert_eq!(read(kind, &good), Some(stamp));
            for bit in 0..good.len() * 8 {
                let rewritten = stamp.picture.is_some() && (17..40).contains(&bit);
                let mut bad = good.clone();
                bad[bit / 8] ^= 0x80 >> (bit % 8);
                assert_eq!(read(kind, &bad).is_some(), rewritten, "bit {bit}");
            }
            assert_eq!(read(kind, &good[..99]), None);
            assert_eq!(read(kind, &[]), None);
        }
    }

    #[test]
    fn rewritten_numbers_are_read_as_they_are() {
        let mut payload = write(MediaKind::Video, video(Some(PICTURE)), 100);
        payload[2..5].copy_from_slice(&[0x80, 1, 9]);
        let seen = read(MediaKind::Video, &payload).unwrap().picture.unwrap();
        assert_eq!(seen, Picture { id: 1, tl0_index: 9, ..PICTURE });
    }
}
