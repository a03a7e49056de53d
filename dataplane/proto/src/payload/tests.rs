//! Tests of key frame detection, frame facts and renumbering, per codec and over truncated payloads.
//! Layered streams are walked in `tests/layers`.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::facts::{FrameFacts, Indication, Target, Targets};
use super::*;

const VIDEO: [Codec; 5] = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::H265, Codec::Av1];

#[track_caller]
fn check(codec: Codec, cases: &[(&[u8], bool)]) {
    for (payload, expected) in cases {
        assert_eq!(is_key_frame_start(codec, payload), *expected, "{codec:?} {payload:02x?}");
    }
}

#[test]
fn audio_starts_anywhere() {
    for codec in [Codec::Opus, Codec::Pcmu, Codec::Pcma, Codec::Red, Codec::Other] {
        assert!(is_key_frame_start(codec, &[]));
    }
}

#[test]
fn vp8_key_frames() {
    check(
        Codec::Vp8,
        &[
            (&[0x10, 0x00], true),
            (&[0x10, 0x01], false),                           // inter frame
            (&[0x00, 0x00], false),                           // not the start of a partition
            (&[0x11, 0x00], false),                           // second partition
            (&[0x90, 0x80, 0x12, 0x00], true),                // 7-bit picture id
            (&[0x90, 0x80, 0x92, 0x34, 0x00], true),          // 15-bit picture id
            (&[0x90, 0xE0, 0x92, 0x34, 5, 0x20, 0x10], true), // with layers
            (&[0x90, 0xE0, 0x92, 0x34, 5, 0x20, 0x11], false),
            (&[0x90, 0xE0, 0x92, 0x34, 5, 0x20], false), // payload missing
        ],
    );
}

#[test]
fn vp8_descriptors() {
    let full = [0xB0, 0xF0, 0x92, 0x34, 5, 0b1010_0111, 0];
    let descriptor = vp8::Descriptor::parse(&full).unwrap();
    let expected = vp8::Descriptor {
        start: true,
        partition: 0,
        non_reference: true,
        picture_id: Some(PictureId { value: 0x1234, long: true, offset: 2 }),
        tl0_picture_index: Some(5),
        temporal_layer: Some(2),
        layer_sync: true,
        key_index: Some(7),
        len: 6,
    };
    assert_eq!(descriptor, expected);
    for len in 0..6 {
        assert_eq!(vp8::Descriptor::parse(&full[..len]), None, "{len}");
    }
    // The octet of TID and KEYIDX is there when either is announced.
    let key_only = vp8::Descriptor::parse(&[0x80, 0x10, 0xE3]).unwrap();
    assert_eq!((key_only.temporal_layer, key_only.key_index, key_only.len), (None, Some(3), 3));
    assert!(!key_only.layer_sync);
}

#[test]
fn vp9_key_frames() {
    check(
        Codec::Vp9,
        &[
            (&[0x08], true),
            (&[0x48], false),                         // inter-picture predicted
            (&[0x00], false),                         // not the start of the frame
            (&[0x88, 0x12], true),                    // 7-bit picture id
            (&[0x88, 0x92], false),                   // half a 15-bit one
            (&[0xA8, 0x92, 0x34, 0x00, 0x07], true),  // layers, non-flexible
            (&[0xA8, 0x92, 0x34, 0x03, 0x07], false), // upper spatial layer
            (&[0xA8, 0x92, 0x34, 0x00], false),       // TL0PICIDX missing
            (&[0xB8, 0x92, 0x34, 0x00], true),        // flexible mode has none
        ],
    );
    let descriptor = vp9::Descriptor::parse(&[0xA4, 0x92, 0x34, 0b0101_0101, 9]).unwrap();
    let layers = descriptor.layers.unwrap();
    let picture_id = descriptor.picture_id.map(|place| place.value);
    assert_eq!((picture_id, descriptor.tl0_picture_index), (Some(0x1234), Some(9)));
    assert_eq!((layers.temporal, layers.spatial), (2, 2));
    assert!(layers.switching_up && layers.inter_layer && descriptor.ends_frame);
}

#[test]
fn h264_key_frames() {
    check(
        Codec::H264,
        &[
            (&[], false),
            (&[0x65, 1], true),                          // IDR slice
            (&[0x67, 1], true),                          // sequence parameters
            (&[0x68, 1], false),                         // picture parameters
            (&[0x61, 1], false),                         // slice
            (&[0x78, 0, 2, 0x67, 1, 0, 1, 0x68], true),  // aggregate
            (&[0x78, 0, 2, 0x68, 1, 0, 1, 0x65], true),  // second in it
            (&[0x78, 0, 2, 0x68, 1, 0, 2, 0x65], false), // cut off
            (&[0x78, 0, 0, 0, 0, 0, 1, 0x65], true),     // empty units
            (&[0x78, 0, 0, 0xFF, 0xFF], false),
            (&[0x78], false),
            (&[0x7C, 0x85, 1], true),  // first fragment of an IDR slice
            (&[0x7C, 0x05, 1], false), // later fragment
            (&[0x7C, 0x81, 1], false), // first fragment of a slice
            (&[0x7C], false),
        ],
    );
}

#[test]
fn h265_key_frames() {
    check(
        Codec::H265,
        &[
            (&[], false),
            (&[19 << 1], false),
            (&[19 << 1, 1], true), // IDR
            (&[21 << 1, 1], true), // CRA
            (&[22 << 1, 1], false),
            (&[15 << 1, 1], false),
            (&[32 << 1, 1], true), // parameter sets
            (&[34 << 1, 1], true),
            (&[35 << 1, 1], false),
            (&[1 << 1, 1], false),
            (&[48 << 1, 1, 0, 2, 1 << 1, 1, 0, 2, 33 << 1, 1], true),
            (&[48 << 1, 1, 0, 2, 1 << 1, 1, 0, 3, 33 << 1, 1], false),
            (&[49 << 1, 1, 0x80 | 20, 1], true),
            (&[49 << 1, 1, 20, 1], false),
            (&[49 << 1, 1], false),
        ],
    );
}

#[test]
fn av1_key_frames() {
    check(
        Codec::Av1,
        &[
            (&[], false),
            (&[0x08], false),
            (&[0x08, 0x32], true),                    // N
            (&[0x88, 0x32], false),                   // N on a continuation is no start
            (&[0x10, 0x0A, 1], true),                 // one element: sequence header
            (&[0x10, 0x32, 1], false),                // one element: frame
            (&[0x20, 2, 0x12, 0, 0x0A], true),        // second of two
            (&[0x00, 2, 0x12, 0, 2, 0x0A, 1], true),  // every element with its length
            (&[0x00, 2, 0x12, 0, 3, 0x0A, 1], false), // longer than the packet
            (&[0x90, 0x0A, 1], false),                // continues an element
            (&[0xA0, 1, 0x0A, 0x0A], true),           // continues one, then starts another
            (&[0x20, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1], false),
            (&[0x20, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 1], false),
        ],
    );
}

/// The indications of a frame for the four temporal layers of each of the first spatial layers.
fn letters(facts: &FrameFacts, spatial_layers: u8) -> String {
    let targets = (0..spatial_layers).flat_map(|s| (0..4).map(move |t| Target::new(s, t)));
    let letter = |target| match facts.indications.of(target) {
        Indication::Absent => '-',
        Indication::Discardable => 'D',
        Indication::Switch => 'S',
        Indication::Required => 'R',
    };
    targets.map(letter).collect()
}

fn read(codec: Codec, payload: &[u8], marker: bool) -> FrameFacts {
    FrameReader::default().read(codec, payload, marker, None)
}

#[test]
fn codecs_without_layers_go_to_everyone() {
    let audio = read(Codec::Opus, &[], false);
    assert!(audio.starts && audio.ends && audio.key);
    let cases = [
        (Codec::H264, &[0x65, 1][..], true),
        (Codec::H264, &[0x61, 1], false),
        (Codec::H265, &[19 << 1, 1], true),
        (Codec::H265, &[1 << 1, 1], false),
        (Codec::Av1, &[0x08, 0x32], true),
        (Codec::Av1, &[0x10, 0x32], false),
    ];
    for (codec, payload, key) in cases {
        let expected = if key { "SSSS" } else { "RRRR" };
        for marker in [false, true] {
            let facts = read(codec, payload, marker);
            assert_eq!(
                (facts.key, facts.ends, letters(&facts, 1).as_str()),
                (key, marker, expected)
            );
        }
    }
    for codec in VIDEO {
        assert_eq!(read(codec, &[], false), FrameFacts::UNKNOWN, "{codec:?}");
    }
}

#[test]
fn vp8_facts() {
    // 15-bit picture id, TL0PICIDX, TID, Y; the bytes after the head.
    let frame = |first: u8, layer: u8, payload: u8| {
        read(Codec::Vp8, &[first, 0xE0, 0x92, 0x34, 5, layer, payload], true)
    };
    let cases = [
        (0x90, 0x00, 0, "SSSS", true),
        (0x90, 0x00, 1, "SRRR", false),
        (0x90, 0x40, 1, "-RRR", false),
        (0x90, 0x60, 1, "-SRR", false),
        (0x90, 0x80, 1, "--RR", false),
        (0xB0, 0x80, 1, "--DR", false),
        (0x90, 0xA0, 1, "--SR", false),
    ];
    for (first, layer, payload, expected, key) in cases {
        let facts = frame(first, layer, payload);
        assert_eq!((letters(&facts, 1).as_str(), facts.key), (expected, key), "{layer:02x}");
        assert_eq!((facts.temporal, facts.layer_sync), (layer >> 6, layer & 0x20 != 0));
        assert!(facts.starts && facts.ends);
    }
    assert!(!frame(0x91, 0x00, 0).starts, "second partition");
    assert!(!frame(0x80, 0x00, 0).starts, "later packet");
    assert_eq!(letters(&read(Codec::Vp8, &[0x10, 1], true), 2), "RRRRRRRR");
}

#[test]
fn vp8_takes_its_key_frames_from_a_dependency_descriptor() {
    // One template, one target; the payload's own first byte is ciphertext.
    let key = [0xC0, 0, 1, 0x80, 0x00, 0xE0];
    let mut reader = FrameReader::default();
    let payload = |byte| [0x90, 0xE0, 0x80, 1, 0, 0, byte];
    assert!(reader.read(Codec::Vp8, &payload(1), true, Some(&key)).key);
    assert!(!reader.read(Codec::Vp8, &payload(0), true, Some(&[0xC0, 0, 2])).key);
    assert!(reader.read(Codec::Vp8, &payload(0), true, None).key);
    assert!(reader.structure().is_some());
}

#[test]
fn vp9_facts() {
    // Flexible mode, 7-bit picture id, layers; three spatial layers are announced first.
    let mut reader = FrameReader::default();
    let key = reader.read(Codec::Vp9, &[0xBE, 1, 0x10, 0x40], false, None);
    assert_eq!((letters(&key, 4).as_str(), key.key), ("SSSSSSSSSSSSSSSS", true));
    let mut frame = |first: u8, layers: u8| {
        let facts = reader.read(Codec::Vp9, &[first, 1, layers, 2, 0], false, None);
        (letters(&facts, 4), facts.key)
    };
    // P, B, E; S0 T0 U: a switch in its own layer, needed above.
    assert_eq!(frame(0xFC, 0x10), ("SSSSRRRRRRRRRRRR".into(), false));
    assert_eq!(frame(0xFC, 0x00), ("SRRRRRRRRRRRRRRR".into(), false));
    assert_eq!(frame(0xFD, 0x10), ("SSSS------------".into(), false));
    assert_eq!(frame(0xFC, 0x33), ("-----SSS-RRR-RRR".into(), false));
    assert_eq!(frame(0xFC, 0x43), ("------SR--RR--RR".into(), false));
    assert_eq!(frame(0xFD, 0x15), ("--------SSSSSSSS".into(), false));
    // Upper layer of a key picture: no earlier picture, but the layer below.
    assert_eq!(frame(0xBC, 0x13), ("----SSSSRRRRRRRR".into(), false));
    // The lowest active layer is not always layer 0.
    assert_eq!(frame(0xBC, 0x12), ("----SSSSSSSSSSSS".into(), true));
    // The highest layer stops without a key frame: it stays a target of its own until the next
    // key frame, and is not to be wished for when the layers below are no part of it.
    let stopped = reader.read(Codec::Vp9, &[0xFE, 1, 0x10, 2, 0x20], false, None);
    assert_eq!(letters(&stopped, 4), "SSSSRRRRRRRRRRRR");
    assert_eq!(stopped.available, Targets::ALL, "shows the layers below");
    let upper = reader.read(Codec::Vp9, &[0xFD, 1, 0x12, 2], false, None);
    assert_eq!(letters(&upper, 4), "----SSSS--------");
    assert_eq!(upper.available.nearest(Target::ALL), Target::new(1, 3));
    let key = reader.read(Codec::Vp9, &[0xBE, 1, 0x10, 0x20], false, None);
    assert_eq!((key.available, key.key), (Targets::ALL, true));
    // Before the number of layers is known nothing is left out below.
    assert_eq!(letters(&read(Codec::Vp9, &[0xFD, 1, 0x10, 2], false), 4), "SSSSRRRRRRRRRRRR");
    let late = FrameReader::default().read(Codec::Vp9, &[0x88, 1], false, None);
    assert!(late.key && late.starts && !late.ends);
}

#[test]
fn vp9_scalability_structures_are_found_behind_references() {
    let layers =
        |payload: &[u8]| vp9::Descriptor::parse(payload).and_then(|own| own.spatial_layers);
    assert_eq!(layers(&[0xAA, 1, 0x00, 7, 0x40]), Some(3), "non-flexible");
    assert_eq!(layers(&[0xFA, 1, 0x00, 2, 0x20]), Some(2), "one reference");
    assert_eq!(layers(&[0xFA, 1, 0x00, 3, 5, 6, 0xE0]), Some(8), "three references");
    assert_eq!(layers(&[0xFA, 1, 0x00, 3, 5, 7, 0xE0]), None, "four references");
    assert_eq!(layers(&[0xFA, 1, 0x00, 2]), None);
    assert_eq!(layers(&[0xF8, 1, 0x00, 2]), None);
}

#[test]
fn red_primary_blocks() {
    let primary = |payload_type, offset| Some(red::Primary { payload_type, offset });
    let cases: [(&[u8], Option<red::Primary>); 8] = [
        (&[111, 1, 2], primary(111, 1)),
        (&[111], primary(111, 1)),
        // One redundant block of two bytes, timestamp offset 960.
        (&[0x80 | 111, 0x0F, 0x00, 0x02, 111, 1, 2, 3], primary(111, 7)),
        (&[0x80 | 111, 0x0F, 0x00, 0x02, 111, 1, 2], primary(111, 7)),
        (&[0x80 | 111, 0x0F, 0x00, 0x02, 111, 1], None),
        (&[0x80 | 111, 0, 0, 1, 0x80 | 111, 0, 0, 2, 63, 1, 2, 3, 4], primary(63, 12)),
        (&[0x80 | 111, 0x0F, 0x00], None),
        (&[], None),
    ];
    for (payload, expected) in cases {
        assert_eq!(red::primary(payload), expected, "{payload:02x?}");
    }
    assert_eq!(red::primary(&[0x80; 400]), None);
}

proptest! {
    #[test]
    fn arbitrary_payloads_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
        for codec in VIDEO {
            for len in 0..=payload.len() {
                is_key_frame_start(codec, &payload[..len]);
            }
        }
    }

    #[test]
    fn arbitrary_aggregates_never_panic(
        first in prop_oneof![Just(0x78u8), Just(48 << 1), any::<u8>()],
        rest in proptest::collection::vec(prop_oneof![3 => 0u8..6, 1 => any::<u8>()], 0..64),
    ) {
        let payload = [&[first][..], &rest].concat();
        for codec in VIDEO {
            is_key_frame_start(codec, &payload);
        }
    }

    #[test]
    fn arbitrary_streams_never_panic(
        packets in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..24), any::<bool>()), 1..16),
        descriptor in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
    ) {
        for codec in VIDEO {
            let mut reader = FrameReader::default();
            for (payload, marker) in &packets {
                let facts = reader.read(codec, payload, *marker, descriptor.as_deref());
                prop_assert!(facts.spatial < 4);
                for target in Target::all() {
                    facts.allows(Some(target), Target::ALL);
                }
                red::primary(payload);
            }
        }
    }

    #[test]
    fn renumbering_changes_the_numbers_alone(
        mut payload in proptest::collection::vec(any::<u8>(), 0..16),
        head in prop_oneof![Just([0x90u8, 0xE0]), Just([0xA8, 0x81]), any::<[u8; 2]>()],
        id: u16,
        index: u8,
    ) {
        payload.splice(0..0, head);
        let original = payload.clone();
        let kept = |value: u16, place: &PictureId| if place.long { value & 0x7FFF } else { value & 0x7F };
        match vp8::Descriptor::parse(&original) {
            Some(before) => {
                prop_assert!(vp8::renumber(&mut payload, id, index));
                let after = vp8::Descriptor::parse(&payload).unwrap();
                let picture_id =
                    before.picture_id.map(|place| PictureId { value: kept(id, &place), ..place });
                let tl0_picture_index = before.tl0_picture_index.map(|_| index);
                prop_assert_eq!(after, vp8::Descriptor { picture_id, tl0_picture_index, ..before });
                let tl0 = before.tl0_picture_index.unwrap_or(index);
                vp8::renumber(&mut payload, before.picture_id.map_or(0, |place| place.value), tl0);
            }
            None => prop_assert!(!vp8::renumber(&mut payload, id, index)),
        }
        prop_assert_eq!(&payload, &original);
        match vp9::Descriptor::parse(&original) {
            Some(before) => {
                prop_assert!(vp9::renumber(&mut payload, id, index));
                let after = vp9::Descriptor::parse(&payload).unwrap();
                let picture_id =
                    before.picture_id.map(|place| PictureId { value: kept(id, &place), ..place });
                let tl0_picture_index = before.tl0_picture_index.map(|_| index);
                prop_assert_eq!(after, vp9::Descriptor { picture_id, tl0_picture_index, ..before });
                let tl0 = before.tl0_picture_index.unwrap_or(index);
                vp9::renumber(&mut payload, before.picture_id.map_or(0, |place| place.value), tl0);
            }
            None => prop_assert!(!vp9::renumber(&mut payload, id, index)),
        }
        prop_assert_eq!(&payload, &original);
    }
}
