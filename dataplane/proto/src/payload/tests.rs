//! Tests of key frame detection, per codec and over truncated payloads.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

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
}
