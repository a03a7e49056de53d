//! Byte for byte against another SRTP implementation: all profiles, both directions, RTP and RTCP,
//! wraps of the sequence number, packets out of order.
#![allow(clippy::unwrap_used)]

use proto::srtp::{InboundRtcp, InboundStream, Keying, Open, Opened, Seal, SrtpProfile};
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

const PROFILES: [(SrtpProfile, ProtectionProfile, usize, usize); 3] = [
    (SrtpProfile::Aes128CmSha1_80, ProtectionProfile::Aes128CmHmacSha1_80, 16, 14),
    (SrtpProfile::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm, 16, 12),
    (SrtpProfile::AeadAes256Gcm, ProtectionProfile::AeadAes256Gcm, 32, 12),
];

/// A small generator: the same packets in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> usize {
        (self.next() % end) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

struct Pair {
    seal: Seal,
    open: Open,
    oracle: Context,
    peer: Context,
}

fn pair(index: usize, from_client: bool, random: &mut Random) -> Pair {
    let (ours, theirs, key_len, salt_len) = PROFILES[index];
    let material = random.bytes(Keying::exporter_len(ours));
    let keying = Keying::from_exporter(ours, &material).unwrap();
    let side = usize::from(!from_client);
    let key = &material[side * key_len..][..key_len];
    let salt = &material[2 * key_len + side * salt_len..][..salt_len];
    let context = || Context::new(key, salt, theirs, None, None).unwrap();
    Pair {
        seal: Seal::new(&keying, from_client),
        open: Open::new(&keying, from_client),
        oracle: context(),
        peer: context(),
    }
}

/// A packet with CSRCs and extension now and then, and its header length.
fn rtp(random: &mut Random, sequence: u16, ssrc: u32) -> (Vec<u8>, usize) {
    let csrcs = random.below(3);
    let extension = random.below(2) == 1;
    let mut packet = vec![0x80 | csrcs as u8 | u8::from(extension) << 4, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend(random.bytes(4));
    packet.extend(ssrc.to_be_bytes());
    packet.extend(random.bytes(csrcs * 4));
    if extension {
        // One element of three bytes with id 1, in the one-byte form (RFC 8285 section 4.2).
        packet.extend([0xBE, 0xDE, 0, 1, 0x12, 1, 2, 3]);
    }
    let header_len = packet.len();
    let payload = 1 + random.below(1_200);
    packet.extend(random.bytes(payload));
    (packet, header_len)
}

#[test]
fn rtp_is_byte_identical_over_wraps_in_both_directions() {
    let mut random = Random(42);
    for index in 0..PROFILES.len() {
        for from_client in [true, false] {
            let mut pair = pair(index, from_client, &mut random);
            let mut stream = InboundStream::new();
            for step in 0..1_500u64 {
                let number = 65_000 + step * 61;
                let (plain, header_len) = rtp(&mut random, number as u16, 0xCAFE_0001);
                let expected = pair.oracle.encrypt_rtp(&plain).unwrap();
                let rollover = (number >> 16) << 16;
                let number = rollover | (number & 0xFFFF);
                let mut slot = vec![0; plain.len() + pair.seal.overhead()];
                slot[..header_len].copy_from_slice(&plain[..header_len]);
                let len =
                    pair.seal.rtp(number, &mut slot, header_len, &plain[header_len..]).unwrap();
                assert_eq!(slot[..len], expected[..]);
                let mut placed = plain.clone();
                placed.resize(slot.len(), 0);
                pair.seal.rtp_in_place(number, &mut placed, header_len, plain.len());
                assert_eq!(placed, slot);
                assert_eq!(pair.peer.decrypt_rtp(&slot).unwrap()[..], plain);
                let opened = pair.open.rtp(&mut stream, &mut slot, header_len).unwrap();
                let wanted = Opened { len: plain.len(), index: number };
                assert_eq!(opened, wanted);
                assert_eq!(slot[..opened.len], plain);
            }
        }
    }
}

#[test]
fn packets_out_of_order_across_a_wrap_are_opened() {
    let mut random = Random(7);
    for index in 0..PROFILES.len() {
        let mut pair = pair(index, true, &mut random);
        let mut sent: Vec<_> = (65_300..65_900u64)
            .map(|number| {
                let (plain, header_len) = rtp(&mut random, number as u16, 9);
                let sealed = pair.oracle.encrypt_rtp(&plain).unwrap();
                (number, plain, header_len, sealed.to_vec())
            })
            .collect();
        for block in sent.chunks_mut(40) {
            block.reverse();
        }
        let mut stream = InboundStream::new();
        for (number, plain, header_len, mut packet) in sent {
            let opened = pair.open.rtp(&mut stream, &mut packet, header_len).unwrap();
            assert_eq!(opened.index, number);
            assert_eq!(packet[..opened.len], plain);
        }
    }
}

#[test]
fn rtcp_is_byte_identical_in_both_directions() {
    let mut random = Random(3);
    for index in 0..PROFILES.len() {
        for from_client in [true, false] {
            let mut pair = pair(index, from_client, &mut random);
            let mut stream = InboundRtcp::new();
            for number in 1..600u32 {
                let words = random.below(100);
                let mut plain = vec![0x80, 200, 0, (words + 1) as u8];
                plain.extend(0x1234_5678u32.to_be_bytes());
                plain.extend(random.bytes(words * 4));
                let expected = pair.oracle.encrypt_rtcp(&plain).unwrap();
                let mut slot = plain.clone();
                slot.resize(plain.len() + pair.seal.rtcp_overhead(), 0);
                let len = pair.seal.rtcp(number, &mut slot, plain.len()).unwrap();
                assert_eq!(slot[..len], expected[..], "packet {number}");
                assert_eq!(pair.peer.decrypt_rtcp(&slot).unwrap()[..], plain);
                let len = pair.open.rtcp(&mut stream, &mut slot).unwrap();
                assert_eq!(slot[..len], plain);
            }
        }
    }
}
