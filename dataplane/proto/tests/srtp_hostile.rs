//! What an attacker on the path may try: flipped bits, replays, jumps, noise. State moves for
//! authenticated packets only.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use proto::srtp::{
    InboundRtcp, InboundStream, Keying, Open, OpenError, Seal, SrtpProfile, rtcp_overhead,
    rtp_overhead,
};

const PROFILES: [SrtpProfile; 3] =
    [SrtpProfile::Aes128CmSha1_80, SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm];

fn keys(profile: SrtpProfile) -> (Seal, Open) {
    let material: Vec<u8> = (0..Keying::exporter_len(profile) as u8).collect();
    let keying = Keying::from_exporter(profile, &material).unwrap();
    (Seal::new(&keying, true), Open::new(&keying, true))
}

fn sealed(seal: &Seal, index: u64) -> Vec<u8> {
    let mut slot = vec![0; 12];
    slot[0] = 0x80;
    slot[2..4].copy_from_slice(&(index as u16).to_be_bytes());
    slot[8..12].copy_from_slice(&[1, 2, 3, 4]);
    slot.resize(12 + 50 + seal.overhead(), 0);
    let len = seal.rtp(index, &mut slot, 12, &[0xAB; 50]).unwrap();
    slot.truncate(len);
    slot
}

fn sealed_rtcp(seal: &Seal, index: u32) -> Vec<u8> {
    let mut slot = vec![0x80, 201, 0, 7, 1, 2, 3, 4];
    slot.resize(32, 5);
    slot.resize(32 + seal.rtcp_overhead(), 0);
    let len = seal.rtcp(index, &mut slot, 32).unwrap();
    slot.truncate(len);
    slot
}

fn profile() -> impl Strategy<Value = SrtpProfile> {
    prop::sample::select(&PROFILES[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_flipped_bit_of_rtp_is_noticed(
        profile in profile(),
        index in 0u64..1 << 17,
        known in any::<bool>(),
        bit in any::<prop::sample::Index>(),
    ) {
        let (seal, open) = keys(profile);
        let mut stream = InboundStream::new();
        if known {
            // Within reach of the estimate, and old enough that no flip makes it a replay.
            let mut before = sealed(&seal, index + 2_000);
            prop_assume!(index + 2_000 < 1 << 16);
            open.rtp(&mut stream, &mut before, 12).unwrap();
        }
        let before = stream;
        let mut packet = sealed(&seal, index + if known { 2_001 } else { 0 });
        let bit = bit.index(packet.len() * 8);
        packet[bit / 8] ^= 1 << (bit % 8);
        let error = open.rtp(&mut stream, &mut packet, 12).unwrap_err();
        if known && (16..32).contains(&bit) {
            prop_assert!(matches!(error, OpenError::Unauthentic | OpenError::Replayed));
        } else {
            prop_assert_eq!(error, OpenError::Unauthentic);
        }
        prop_assert_eq!(stream, before);
    }

    #[test]
    fn a_flipped_bit_of_rtcp_is_noticed(
        profile in profile(),
        index in 0u32..1 << 31,
        bit in any::<prop::sample::Index>(),
    ) {
        let (seal, open) = keys(profile);
        let mut stream = InboundRtcp::new();
        let mut packet = sealed_rtcp(&seal, index);
        let bit = bit.index(packet.len() * 8);
        packet[bit / 8] ^= 1 << (bit % 8);
        let error = open.rtcp(&mut stream, &mut packet).unwrap_err();
        // Without the E bit the packet claims to be in clear.
        prop_assert!(matches!(error, OpenError::Unauthentic | OpenError::Malformed));
        prop_assert_eq!(stream, InboundRtcp::new());
    }

    #[test]
    fn noise_is_never_opened(
        profile in profile(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        header_len in 0usize..220,
    ) {
        let (_, open) = keys(profile);
        let (mut stream, mut rtcp) = (InboundStream::new(), InboundRtcp::new());
        prop_assert!(open.rtp(&mut stream, &mut bytes.clone(), header_len).is_err());
        prop_assert!(open.rtcp(&mut rtcp, &mut bytes.clone()).is_err());
        prop_assert_eq!((stream, rtcp), (InboundStream::new(), InboundRtcp::new()));
    }

    #[test]
    fn each_packet_is_delivered_exactly_once(
        profile in profile(),
        order in prop::collection::vec(0u64..300, 1..200),
    ) {
        let (seal, open) = keys(profile);
        let mut stream = InboundStream::new();
        let mut seen = std::collections::BTreeSet::new();
        for offset in order {
            let index = 0xFF80 + offset;
            let mut packet = sealed(&seal, index);
            // A first packet from after the wrap fixes the count; later ones find their own.
            let result = open.rtp(&mut stream, &mut packet, 12);
            if seen.insert(index) {
                prop_assert_eq!(result.unwrap().index, index);
            } else {
                prop_assert_eq!(result, Err(OpenError::Replayed));
            }
        }
    }
}

#[test]
fn a_replay_inside_and_behind_the_window_is_refused() {
    for profile in PROFILES {
        let (seal, open) = keys(profile);
        let mut stream = InboundStream::new();
        let mut rtcp = InboundRtcp::new();
        for index in 0..3_000 {
            open.rtp(&mut stream, &mut sealed(&seal, index), 12).unwrap();
            open.rtcp(&mut rtcp, &mut sealed_rtcp(&seal, index as u32)).unwrap();
        }
        for index in 0..3_000 {
            let again = open.rtp(&mut stream, &mut sealed(&seal, index), 12);
            assert_eq!(again, Err(OpenError::Replayed));
            let again = open.rtcp(&mut rtcp, &mut sealed_rtcp(&seal, index as u32));
            assert_eq!(again, Err(OpenError::Replayed));
        }
    }
}

#[test]
fn forged_packets_do_not_move_the_window() {
    for profile in PROFILES {
        let (seal, open) = keys(profile);
        let mut stream = InboundStream::new();
        for index in 100..200 {
            open.rtp(&mut stream, &mut sealed(&seal, index), 12).unwrap();
            for jump in [1, 30_000, 40_000, 65_000] {
                let mut forged = sealed(&seal, index + jump);
                forged[20] ^= 1;
                assert!(open.rtp(&mut stream, &mut forged, 12).is_err());
            }
            assert_eq!(stream.newest(), Some(index));
        }
    }
}

#[test]
fn the_rollover_count_survives_loss_around_each_wrap() {
    for profile in PROFILES {
        let (seal, open) = keys(profile);
        for lost_before in [20, 10, 1, 0] {
            let mut stream = InboundStream::new();
            for wrap in 1..5u64 {
                let lost = (wrap << 16) - lost_before..(wrap << 16) - lost_before + 20;
                // Between the wraps a packet now and then keeps the estimate in reach.
                let sparse = ((wrap - 1) << 16..wrap << 16).step_by(20_000).skip(1);
                let dense = (wrap << 16) - 40..(wrap << 16) + 40;
                for index in sparse.chain(dense).filter(|index| !lost.contains(index)) {
                    let opened = open.rtp(&mut stream, &mut sealed(&seal, index), 12);
                    assert_eq!(opened.map(|opened| opened.index), Ok(index));
                }
            }
        }
    }
}

#[test]
fn a_stream_whose_start_was_lost_before_the_wrap_is_opened() {
    for profile in PROFILES {
        let (seal, open) = keys(profile);
        let mut stream = InboundStream::new();
        for index in [0x1_0005u64, 0x1_0006, 0xFFFE, 0x1_0007] {
            let opened = open.rtp(&mut stream, &mut sealed(&seal, index), 12);
            assert_eq!(opened.map(|opened| opened.index), Ok(index));
        }
    }
}

#[test]
fn seal_refuses_what_does_not_fit() {
    for profile in PROFILES {
        let (seal, _) = keys(profile);
        let room = rtp_overhead(profile);
        let mut slot = [0u8; 200];
        assert_eq!(seal.rtp(0, &mut slot[..62 + room - 1], 12, &[0; 50]), None);
        assert_eq!(seal.rtp(0, &mut slot[..62 + room], 12, &[0; 50]), Some(62 + room));
        assert_eq!(seal.rtp(0, &mut slot, 11, &[0; 50]), None);
        assert_eq!(seal.rtp(1 << 48, &mut slot, 12, &[0; 50]), None);
        assert_eq!(seal.rtp_in_place(0, &mut slot, 30, 29), None);
        assert_eq!(seal.rtp_in_place(0, &mut slot, 12, usize::MAX), None);
        let room = rtcp_overhead(profile);
        assert_eq!(seal.rtcp(0, &mut slot[..20 + room - 1], 20), None);
        assert_eq!(seal.rtcp(0, &mut slot[..20 + room], 20), Some(20 + room));
        assert_eq!(seal.rtcp(0, &mut slot, 7), None);
        assert_eq!(seal.rtcp(1 << 31, &mut slot, 20), None);
    }
}
