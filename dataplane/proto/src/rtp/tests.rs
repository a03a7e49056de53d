//! Tests of RTP headers, elements and padding.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const FIXED: FixedHeader = FixedHeader {
    payload_type: 96,
    marker: true,
    sequence: 0xFFFE,
    timestamp: 0x0102_0304,
    ssrc: 0xA0B0_C0D0,
};

/// A packet with an extension block of `profile` around `block`, then `payload`.
fn packet(profile: u16, block: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x90, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    bytes.extend_from_slice(&profile.to_be_bytes());
    bytes.extend_from_slice(&((block.len() / 4) as u16).to_be_bytes());
    bytes.extend_from_slice(block);
    bytes.extend_from_slice(payload);
    bytes
}

fn found(profile: u16, block: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let bytes = packet(profile, block, b"payload");
    let header = Header::parse(&bytes).unwrap();
    elements(&bytes, &header)
        .map(|(id, offset, len)| (id, bytes[offset..offset + len].to_vec()))
        .collect()
}

#[test]
fn a_header_with_everything() {
    let mut bytes = vec![0xB2, 0xE0, 0x12, 0x34, 0, 0, 0, 5, 0, 0, 0, 6];
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&[0xBE, 0xDE, 0, 1, 0x10, 0xAA, 0, 0]);
    bytes.extend_from_slice(&[1, 2, 3, 2]);
    let header = Header::parse(&bytes).unwrap();
    let expected = Header {
        payload_type: 0x60,
        marker: true,
        sequence: 0x1234,
        timestamp: 5,
        ssrc: 6,
        csrc_count: 2,
        has_padding: true,
        payload_offset: 28,
        extension: Some(ExtensionBlock { profile: 0xBEDE, offset: 24, len: 4 }),
    };
    assert_eq!(header, expected);
    assert_eq!(padding_len(&bytes, &header), Some(2));
    for len in 0..28 {
        assert_eq!(Header::parse(&bytes[..len]), None, "{len}");
    }
    assert!(Header::parse(&bytes[..28]).is_some());
}

#[test]
fn only_version_two() {
    for first in [0x00, 0x40, 0xC0] {
        let mut bytes = [0; 12];
        bytes[0] = first;
        assert_eq!(Header::parse(&bytes), None);
    }
}

#[test]
fn padding_must_fit_its_payload() {
    let padded = |payload: &[u8]| {
        let mut bytes = vec![0xA0, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend_from_slice(payload);
        let header = Header::parse(&bytes).unwrap();
        padding_len(&bytes, &header)
    };
    assert_eq!(padded(&[]), None);
    assert_eq!(padded(&[0]), None);
    assert_eq!(padded(&[1]), Some(1));
    assert_eq!(padded(&[2]), None);
    assert_eq!(padded(&[9, 0, 3]), Some(3));
    assert_eq!(padded(&[9, 0, 4]), None);
    let bytes = [0x80, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 77];
    assert_eq!(padding_len(&bytes, &Header::parse(&bytes).unwrap()), Some(0));
}

#[test]
fn one_byte_elements() {
    assert_eq!(found(0xBEDE, &[0x10, 7, 0, 0x22, 1, 2, 3, 0]), [(1, vec![7]), (2, vec![1, 2, 3])]);
    // Data to the last byte, and one byte too far.
    assert_eq!(found(0xBEDE, &[0x12, 1, 2, 3]), [(1, vec![1, 2, 3])]);
    assert_eq!(found(0xBEDE, &[0x13, 1, 2, 3]), []);
    // Id 15, and id 0 with a length, end the walk.
    assert_eq!(found(0xBEDE, &[0x10, 7, 0xF0, 1, 0x20, 8, 0, 0]), [(1, vec![7])]);
    assert_eq!(found(0xBEDE, &[0x10, 7, 0x01, 1, 0x20, 8, 0, 0]), [(1, vec![7])]);
}

#[test]
fn two_byte_elements() {
    assert_eq!(found(0x1000, &[1, 0, 0, 20, 2, 8, 9, 0]), [(1, vec![]), (20, vec![8, 9])]);
    assert_eq!(found(0x100F, &[3, 2, 1, 2]), [(3, vec![1, 2])]);
    assert_eq!(found(0x1000, &[3, 3, 1, 2]), []);
    assert_eq!(found(0x1000, &[3, 1, 1, 4]), [(3, vec![1])]);
    assert_eq!(found(0x1010, &[3, 2, 1, 2]), []);
}

#[test]
fn unknown_profiles_have_no_elements() {
    assert_eq!(found(0xABAC, &[0x10, 7, 0, 0]), []);
    let bytes = [0x80, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    assert_eq!(elements(&bytes, &Header::parse(&bytes).unwrap()).count(), 0);
}

#[test]
fn the_writer_writes_the_bytes_of_rfc_8285() {
    let mut slot = [0xFF; 32];
    let mut writer = HeaderWriter::begin(&mut slot, FIXED, ElementForm::OneByte);
    assert!(writer.element(1, &[0xAA]));
    assert!(writer.element(2, &[1, 2, 3]));
    assert!(!writer.element(0, &[1]) && !writer.element(15, &[1]) && !writer.element(3, &[]));
    assert!(!writer.element(3, &[0; 17]));
    assert_eq!(writer.finish(true), 24);
    let expected = [
        0xB0, 0xE0, 0xFF, 0xFE, 1, 2, 3, 4, 0xA0, 0xB0, 0xC0, 0xD0, // fixed header
        0xBE, 0xDE, 0, 2, 0x10, 0xAA, 0x22, 1, 2, 3, 0, 0,
    ];
    assert_eq!(slot[..24], expected);
    assert_eq!(slot[24], 0xFF);
}

#[test]
fn a_lead_is_what_its_elements_are() {
    let text = b"middle0000000000";
    for (id, len) in [(1, 1), (14, 6), (2, 16), (0, 6), (15, 6), (1, 0)] {
        for number_id in [None, Some(3), Some(15)] {
            for more in [&[][..], &[7], &[1, 2, 3]] {
                let (mut slot, mut expected) = ([0xFF; 64], [0xFF; 64]);
                let mut writer = HeaderWriter::begin(&mut expected, FIXED, ElementForm::OneByte);
                writer.element(id, &text[..len]);
                number_id.map(|id| writer.element(id, &[0xAB, 0xCD]));
                writer.element(9, more);
                let end = writer.finish(true);
                let lead = Lead::new(Some((id, &text[..len])), number_id);
                let mut writer = HeaderWriter::lead_in(&mut slot, FIXED, &lead, 0xABCD);
                writer.element(9, more);
                assert_eq!(writer.finish(true), end);
                assert_eq!(slot[..end], expected[..end], "{id} {len} {number_id:?} {more:?}");
            }
        }
    }
    let mut short = [0; 36];
    let lead = Lead::new(None, None);
    assert_eq!(HeaderWriter::lead_in(&mut short, FIXED, &lead, 1).finish(false), 0);
}

#[test]
fn the_form_follows_the_elements() {
    let form = |elements: &[(u8, usize)]| ElementForm::for_elements(elements.iter().copied());
    assert_eq!(form(&[]), ElementForm::OneByte);
    assert_eq!(form(&[(1, 1), (14, 16)]), ElementForm::OneByte);
    assert_eq!(form(&[(1, 1), (14, 17)]), ElementForm::TwoByte);
    assert_eq!(form(&[(1, 0)]), ElementForm::TwoByte);
    assert_eq!(form(&[(15, 1)]), ElementForm::TwoByte);
}

#[test]
fn a_full_slot_refuses_elements_and_a_short_one_everything() {
    let mut slot = [0; 20];
    let mut writer = HeaderWriter::begin(&mut slot, FIXED, ElementForm::OneByte);
    assert!(writer.element(1, &[9]));
    assert!(!writer.element(2, &[1, 2]));
    assert_eq!(writer.finish(false), 20);
    let mut slot = [0; 11];
    assert_eq!(HeaderWriter::begin(&mut slot, FIXED, ElementForm::OneByte).finish(false), 0);
}

proptest! {
    #[test]
    fn arbitrary_bytes_stay_inside(bytes in proptest::collection::vec(any::<u8>(), 0..1600)) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = *first & 0x3F | 0x80;
        }
        if let Some(header) = Header::parse(&bytes) {
            prop_assert!(header.payload_offset <= bytes.len());
            if let Some(padding) = padding_len(&bytes, &header) {
                prop_assert!(header.payload_offset + usize::from(padding) <= bytes.len());
            }
        }
    }

    #[test]
    fn arbitrary_blocks_stay_inside(
        profile in prop_oneof![Just(0xBEDEu16), 0x1000u16..0x1010],
        block in proptest::collection::vec(any::<u8>(), 0..256),
    ) {
        let mut block = block;
        block.truncate(block.len() / 4 * 4);
        let bytes = packet(profile, &block, b"payload");
        let header = Header::parse(&bytes).unwrap();
        let mut end = 16;
        for (id, offset, len) in elements(&bytes, &header) {
            prop_assert!(id != 0 && offset >= end);
            end = offset + len;
            prop_assert!(end <= header.payload_offset);
        }
        // A header that does not belong to the bytes must not lead out of them either.
        for (_, offset, len) in elements(&bytes[..bytes.len() / 2], &header) {
            prop_assert!(offset + len <= bytes.len() / 2);
        }
    }

    #[test]
    fn written_headers_parse(
        payload_type in 0u8..128,
        marker: bool,
        sequence: u16,
        timestamp: u32,
        ssrc: u32,
        padding: bool,
        wanted in proptest::collection::vec(
            (1u8..20, proptest::collection::vec(any::<u8>(), 0..20)), 0..6),
    ) {
        let fixed = FixedHeader { payload_type, marker, sequence, timestamp, ssrc };
        let form = ElementForm::for_elements(wanted.iter().map(|(id, data)| (*id, data.len())));
        let mut slot = [0xEE; 300];
        let mut writer = HeaderWriter::begin(&mut slot, fixed, form);
        for (id, data) in &wanted {
            prop_assert!(writer.element(*id, data));
        }
        let len = writer.finish(padding);
        let header = Header::parse(&slot).unwrap();
        prop_assert_eq!(header.payload_offset, len);
        let parsed = FixedHeader {
            payload_type: header.payload_type,
            marker: header.marker,
            sequence: header.sequence,
            timestamp: header.timestamp,
            ssrc: header.ssrc,
        };
        prop_assert_eq!(parsed, fixed);
        prop_assert_eq!(header.has_padding, padding);
        prop_assert_eq!(header.extension.is_some(), !wanted.is_empty());
        let read: Vec<_> = elements(&slot, &header)
            .map(|(id, offset, len)| (id, slot[offset..offset + len].to_vec()))
            .collect();
        prop_assert_eq!(read, wanted);
    }
}
