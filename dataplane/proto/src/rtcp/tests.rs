//! Tests of the RTCP walk, views and builder.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// Builds a compound and hands its bytes over.
fn compound(build: impl FnOnce(&mut CompoundWriter<'_>)) -> Vec<u8> {
    let mut slot = vec![0xEE; 1_500];
    let mut writer = CompoundWriter::new(&mut slot);
    build(&mut writer);
    let len = writer.finish();
    slot.truncate(len);
    slot
}

fn only(bytes: &[u8]) -> RtcpPacket<'_> {
    let mut walk = packets(bytes);
    let packet = walk.next().unwrap().unwrap();
    assert_eq!(walk.next(), None);
    packet
}

fn refused(bytes: &[u8]) -> RtcpError {
    packets(bytes).last().unwrap().unwrap_err()
}

const BLOCK: ReportBlock = ReportBlock {
    ssrc: 0x0102_0304,
    fraction_lost: 25,
    cumulative_lost: -2,
    highest_sequence: 0x0001_FFFE,
    jitter: 77,
    last_sender_report: 0xAABB_CCDD,
    delay_since_last: 0x0001_0000,
};

#[test]
fn reports_round_trip() {
    let info = SenderInfo { ssrc: 1, ntp: 0x0123_4567_89AB_CDEF, rtp: 3, packets: 4, octets: 5 };
    let other = ReportBlock { ssrc: 9, cumulative_lost: 0x7F_FFFF, ..BLOCK };
    let bytes = compound(|writer| {
        assert!(writer.sender_report(&info, &[BLOCK, other]));
        assert!(writer.receiver_report(6, &[]));
        assert!(writer.sdes_cname(6, b"a name"));
        assert!(writer.bye(6));
    });
    let items: Vec<_> = packets(&bytes).map(Result::unwrap).collect();
    let RtcpPacket::SenderReport { info: read, blocks } = items[0] else { panic!("{items:?}") };
    assert_eq!((read, blocks.collect::<Vec<_>>()), (info, vec![BLOCK, other]));
    let RtcpPacket::ReceiverReport { ssrc: 6, mut blocks } = items[1] else { panic!("{items:?}") };
    assert_eq!(blocks.next(), None);
    assert_eq!(items[2], RtcpPacket::Sdes);
    let RtcpPacket::Bye { ssrcs } = items[3] else { panic!("{items:?}") };
    assert_eq!(ssrcs.collect::<Vec<_>>(), [6]);
    assert_eq!(items.len(), 4);
}

#[test]
fn a_receiver_report_byte_for_byte() {
    let bytes = compound(|writer| assert!(writer.receiver_report(0x0A0B_0C0D, &[BLOCK])));
    let expected = [
        0x81, 201, 0, 7, 0x0A, 0x0B, 0x0C, 0x0D, 1, 2, 3, 4, 25, 0xFF, 0xFF, 0xFE, 0, 1, 0xFF,
        0xFE, 0, 0, 0, 77, 0xAA, 0xBB, 0xCC, 0xDD, 0, 1, 0, 0,
    ];
    assert_eq!(bytes, expected);
}

#[test]
fn cumulative_loss_saturates_at_24_bits() {
    for (lost, written) in [(i32::MAX, 0x7F_FFFF), (i32::MIN, -0x80_0000), (-1, -1)] {
        let block = ReportBlock { cumulative_lost: lost, ..BLOCK };
        let bytes = compound(|writer| assert!(writer.receiver_report(1, &[block])));
        let RtcpPacket::ReceiverReport { mut blocks, .. } = only(&bytes) else { panic!() };
        assert_eq!(blocks.next().unwrap().cumulative_lost, written);
    }
}

#[test]
fn a_report_has_at_most_31_blocks() {
    let bytes = compound(|writer| assert!(writer.receiver_report(1, &[BLOCK; 40])));
    let RtcpPacket::ReceiverReport { blocks, .. } = only(&bytes) else { panic!() };
    assert_eq!(blocks.count(), 31);
}

#[test]
fn the_canonical_name_ends_in_zeros() {
    for (name, len) in [("", 12), ("a", 12), ("ab", 16), ("abcde", 16), ("abcdef", 20)] {
        let bytes = compound(|writer| assert!(writer.sdes_cname(1, name.as_bytes())));
        assert_eq!(bytes.len(), len, "{name}");
        assert_eq!(bytes.last(), Some(&0));
        assert_eq!(only(&bytes), RtcpPacket::Sdes);
    }
}

#[test]
fn key_frame_requests_round_trip() {
    let bytes = compound(|writer| assert!(writer.pli(1, 2)));
    assert_eq!(bytes, [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    assert_eq!(only(&bytes), RtcpPacket::Pli { sender: 1, media: 2 });
    let bytes = compound(|writer| assert!(writer.fir(1, 2, 3)));
    assert_eq!(bytes[..4], [0x84, 206, 0, 4]);
    let RtcpPacket::Fir { sender: 1, entries } = only(&bytes) else { panic!() };
    assert_eq!(entries.collect::<Vec<_>>(), [(2, 3)]);
}

#[test]
fn a_nack_byte_for_byte() {
    let lost = [65_535, 0, 15, 16, 40];
    let bytes = compound(|writer| {
        assert!(!writer.nack(1, 2, &[]));
        assert!(writer.nack(1, 2, &lost));
    });
    let expected =
        [0x81, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0xFF, 0xFF, 0x80, 0x01, 0, 16, 0, 0, 0, 40, 0, 0];
    assert_eq!(bytes[..12], expected[..12]);
    assert_eq!(bytes[12..], expected[12..]);
    let RtcpPacket::Nack { sender: 1, media: 2, sequences } = only(&bytes) else { panic!() };
    assert_eq!(sequences.collect::<Vec<_>>(), lost);
}

#[test]
fn remb_rates_keep_18_bits() {
    // (rate, as read back, largest difference)
    for rate in [0, 1, 0x3_FFFF, 0x4_0000, 2_500_000, u64::from(u32::MAX), u64::MAX] {
        let bytes = compound(|writer| assert!(writer.remb(1, rate, &[5, 6])));
        let RtcpPacket::Remb(view) = only(&bytes) else { panic!() };
        assert!(view.bitrate <= rate && rate - view.bitrate <= rate >> 17, "{rate}");
        assert_eq!((view.sender, view.ssrcs.collect::<Vec<_>>()), (1, vec![5, 6]));
    }
    // The wire goes far beyond 64 bits.
    let mut bytes = compound(|writer| assert!(writer.remb(1, 1, &[])));
    bytes[17..20].copy_from_slice(&[0xFF, 0xFF, 0xFF]);
    let RtcpPacket::Remb(view) = only(&bytes) else { panic!() };
    assert_eq!(view.bitrate, u64::MAX);
    // A count beyond the packet.
    bytes[16] = 1;
    assert_eq!(refused(&bytes), RtcpError::Malformed(206));
}

#[test]
fn extended_reports_round_trip() {
    let answer = DlrrBlock { ssrc: 7, last_reference: 8, delay_since_last: 9 };
    let bytes = compound(|writer| assert!(writer.reference_time(1, 0x0102_0304_0506_0708)));
    let RtcpPacket::Xr { ssrc: 1, blocks } = only(&bytes) else { panic!() };
    assert_eq!(blocks.collect::<Vec<_>>(), [XrBlock::ReferenceTime(0x0102_0304_0506_0708)]);
    let bytes = compound(|writer| assert!(writer.dlrr(1, &[answer, answer])));
    let RtcpPacket::Xr { mut blocks, .. } = only(&bytes) else { panic!() };
    let Some(XrBlock::Dlrr(answers)) = blocks.next() else { panic!() };
    assert_eq!(answers.collect::<Vec<_>>(), [answer, answer]);
    // Another block type, then one that runs past the end.
    let bytes = [0x80, 207, 0, 4, 0, 0, 0, 1, 9, 0, 0, 1, 1, 2, 3, 4, 4, 0, 0, 2];
    let RtcpPacket::Xr { blocks, .. } = only(&bytes) else { panic!() };
    assert_eq!(blocks.collect::<Vec<_>>(), [XrBlock::Other(9)]);
}

#[test]
fn what_does_not_fit_is_left_out_whole() {
    for room in 0..40 {
        let mut slot = vec![0xEE; room];
        let mut writer = CompoundWriter::new(&mut slot);
        let report = writer.receiver_report(1, &[BLOCK]);
        let pli = writer.pli(1, 2);
        assert_eq!((report, pli), (room >= 32, (12..32).contains(&room) || room >= 44));
        assert_eq!(writer.is_empty(), room < 12);
        let len = writer.finish();
        assert_eq!(
            len,
            if report {
                32
            } else if pli {
                12
            } else {
                0
            }
        );
        assert!(packets(&slot[..len]).all(|packet| packet.is_ok()));
    }
}

#[test]
fn malformed_compounds_end_the_walk() {
    assert_eq!(packets(&[]).next(), None);
    assert_eq!(refused(&[0x80, 201, 0]), RtcpError::Truncated);
    assert_eq!(refused(&[0x80, 201, 0, 1, 0, 0, 0]), RtcpError::Truncated);
    assert_eq!(refused(&[0x80, 201, 0xFF, 0xFF, 0, 0, 0, 1]), RtcpError::Truncated);
    assert_eq!(refused(&[0x40, 201, 0, 1, 0, 0, 0, 1]), RtcpError::NotRtcp);
    assert_eq!(refused(&[0x80, 191, 0, 1, 0, 0, 0, 1]), RtcpError::NotRtcp);
    assert_eq!(refused(&[0x81, 201, 0, 1, 0, 0, 0, 1]), RtcpError::Malformed(201));
    assert_eq!(refused(&[0x80, 200, 0, 1, 0, 0, 0, 1]), RtcpError::Malformed(200));
    assert_eq!(refused(&[0x82, 203, 0, 1, 0, 0, 0, 1]), RtcpError::Malformed(203));
    assert_eq!(refused(&[0x81, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]), RtcpError::Malformed(205));
    assert_eq!(refused(&[0x84, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]), RtcpError::Malformed(206));
    assert_eq!(refused(&[0x80, 201, 0, 0]), RtcpError::Malformed(201));
    // What came before stands, what comes after is not read.
    let bytes = [0x80, 201, 0, 1, 0, 0, 0, 1, 0x80, 203, 9, 0, 0x80, 201, 0, 1, 0, 0, 0, 1];
    let items: Vec<_> = packets(&bytes).collect();
    assert!(items[0].is_ok());
    assert_eq!(items[1..], [Err(RtcpError::Truncated)]);
}

#[test]
fn padding_is_cut_off() {
    let pli = |padding: &[u8]| {
        let mut bytes = vec![0xA1, 206, 0, 2 + (padding.len() / 4) as u8];
        bytes.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 2]);
        bytes.extend_from_slice(padding);
        bytes
    };
    assert_eq!(only(&pli(&[0, 0, 0, 4])), RtcpPacket::Pli { sender: 1, media: 2 });
    assert_eq!(refused(&pli(&[0, 0, 0, 0])), RtcpError::Padding);
    assert_eq!(refused(&pli(&[0, 0, 0, 3])), RtcpError::Padding);
    assert_eq!(refused(&pli(&[0, 0, 0, 8])), RtcpError::Malformed(206));
    assert_eq!(refused(&pli(&[0, 0, 0, 16])), RtcpError::Padding);
    assert_eq!(refused(&[0xA1, 206, 0, 0]), RtcpError::Padding);
}

#[test]
fn unknown_kinds_are_named_and_passed_over() {
    let bytes = [
        0x8F, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3,
        4, // other application layer feedback
        0x83, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, // TMMBR
        0x80, 204, 0, 2, 0, 0, 0, 1, b'n', b'a', b'm', b'e', // APP
        0x80, 210, 0, 0,
    ];
    let items: Vec<_> = packets(&bytes).map(Result::unwrap).collect();
    let expected = [
        RtcpPacket::Other { packet_type: 206, format: 15 },
        RtcpPacket::Other { packet_type: 205, format: 3 },
        RtcpPacket::App,
        RtcpPacket::Other { packet_type: 210, format: 0 },
    ];
    assert_eq!(items, expected);
}

/// Reads everything there is to read; returns how many items that was.
fn exhaust(bytes: &[u8]) -> usize {
    let read = |packet: RtcpPacket<'_>| match packet {
        RtcpPacket::SenderReport { blocks, .. } | RtcpPacket::ReceiverReport { blocks, .. } => {
            blocks.count()
        }
        RtcpPacket::Nack { sequences, .. } => sequences.count(),
        RtcpPacket::Fir { entries, .. } => entries.count(),
        RtcpPacket::Remb(view) => view.ssrcs.count(),
        RtcpPacket::Bye { ssrcs } => ssrcs.count(),
        RtcpPacket::TransportFeedback(view) => view.iter().count(),
        RtcpPacket::Xr { blocks, .. } => blocks
            .map(|block| if let XrBlock::Dlrr(answers) = block { answers.count() } else { 1 })
            .sum(),
        _ => 0,
    };
    packets(bytes).map(|packet| 1 + packet.map_or(0, read)).sum()
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1600)) {
        exhaust(&bytes);
    }

    #[test]
    fn plausible_packets_never_panic(
        parts in proptest::collection::vec(
            (0x80u8..=0xBF, 200u8..=208, proptest::collection::vec(any::<[u8; 4]>(), 0..12)),
            0..8,
        ),
        cut in 0usize..400,
    ) {
        let mut bytes = Vec::new();
        for (first, packet_type, words) in parts {
            bytes.extend_from_slice(&[first, packet_type, 0, words.len() as u8]);
            bytes.extend(words.into_iter().flatten());
        }
        exhaust(&bytes);
        bytes.truncate(cut);
        exhaust(&bytes);
    }

    #[test]
    fn nacks_round_trip(start: u16, gaps in proptest::collection::vec(1u16..60, 1..100)) {
        let mut sequence = start;
        let lost: Vec<_> = gaps
            .iter()
            .map(|gap| {
                sequence = sequence.wrapping_add(*gap);
                sequence
            })
            .collect();
        let bytes = compound(|writer| assert!(writer.nack(1, 2, &lost)));
        let RtcpPacket::Nack { sequences, .. } = only(&bytes) else { panic!() };
        prop_assert_eq!(sequences.collect::<Vec<_>>(), lost);
    }
}
