//! Tests of the dependency descriptor: recorded bytes, what a reader keeps, rewriting, hostile bytes.
//! Whole streams are walked in `tests/layers`.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::bits::{BitWriter, Bits};
use super::*;
use crate::payload::facts::{Indication, Target, Targets};

/// Chromium, AV1 L3T3 at 480x270: the first packet of a key frame, recorded from the wire
/// (livekit/livekit, pkg/sfu/dependencydescriptor/dependencydescriptorextension_test.go).
const KEY: &str = "c1017280081485214eafffaaaa863cf0430c10c302afc0aaa0063c00430010c002a000a80006000040001d\
                   954926e082b04a0941b820ac1282503157f974000ca864330e222222eca8655304224230eca87753007700\
                   4200ef008601df010d";
/// Packets that followed it: an upper layer's first and last packet, and a whole frame, each with
/// the mask of a sender that stopped its highest spatial layer.
const FOLLOWING: [&str; 3] = ["86017340fc", "46017340fc", "c3017540fc"];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn reader() -> Reader {
    let mut reader = Reader::default();
    reader.read(&hex(KEY)).unwrap();
    reader
}

/// The indications of a frame for the given targets, as letters.
fn letters(descriptor: &Descriptor, targets: [(u8, u8); 5]) -> String {
    let letter =
        |(spatial, temporal)| match descriptor.facts.indications.of(Target::new(spatial, temporal))
        {
            Indication::Absent => '-',
            Indication::Discardable => 'D',
            Indication::Switch => 'S',
            Indication::Required => 'R',
        };
    targets.map(letter).iter().collect()
}

const CORNERS: [(u8, u8); 5] = [(0, 0), (0, 2), (1, 2), (2, 2), (3, 3)];

#[test]
fn a_recorded_stream() {
    let mut reader = Reader::default();
    let key = reader.read(&hex(KEY)).unwrap();
    assert!(key.has_structure && key.facts.key && key.facts.starts && key.facts.ends);
    assert_eq!((key.frame_number, key.facts.spatial, key.facts.temporal), (0x0172, 0, 0));
    assert_eq!(letters(&key, CORNERS), "SSSSS");
    let structure = reader.structure().unwrap();
    assert_eq!(structure.active(), 0x1FF);
    assert_eq!(structure.layers(Target::ALL), (2, 2));
    let sizes = [0, 1, 2, 3].map(|spatial| structure.resolution(spatial));
    assert_eq!(sizes, [Some((120, 67)), Some((240, 135)), Some((480, 270)), None]);

    let [first, last, whole] = FOLLOWING.map(|text| reader.read(&hex(text)).unwrap());
    assert_eq!((first.facts.spatial, first.facts.temporal, first.frame_number), (1, 0, 0x0173));
    assert_eq!((first.facts.starts, first.facts.ends), (true, false));
    assert_eq!((last.facts.starts, last.facts.ends), (false, true));
    assert!(!first.facts.key && !first.has_structure);
    assert_eq!(letters(&first, CORNERS), "--SSS");
    assert_eq!((whole.facts.spatial, whole.facts.temporal), (0, 2));
    assert_eq!(letters(&whole, CORNERS), "-DRRR");
    // The highest spatial layer is gone: who shows it goes on with those below.
    let structure = reader.structure().unwrap();
    assert_eq!((structure.active(), structure.layers(Target::ALL)), (0x3F, (2, 2)));
    assert_eq!((key.facts.available, whole.facts.available), (Targets::ALL, Targets::ALL));
}

#[test]
fn nothing_is_known_before_a_structure_and_of_another_ones_templates() {
    assert_eq!(Reader::default().read(&hex("860173")), None);
    assert_eq!(Reader::default().read(&hex(FOLLOWING[0])), None);
    // The recorded structure has template ids 0 to 14.
    assert_eq!(reader().read(&[0xC0 | 15, 1, 0x73]), None);
    assert_eq!(reader().read(&[0xC0 | 63, 1, 0x73]), None);
    assert!(reader().read(&[0xC0 | 14, 1, 0x73]).is_some());
}

#[test]
fn cut_off_descriptors_are_refused() {
    let key = hex(KEY);
    for len in 0..key.len() {
        assert_eq!(Reader::default().read(&key[..len]), None, "{len}");
    }
    assert_eq!(reader().read(&hex(FOLLOWING[0])[..4]), None);
    assert_eq!(reader().read(&[0x81, 1]), None);
}

#[test]
fn late_packets_do_not_undo_what_newer_ones_said() {
    let mut reader = reader();
    // Nine active targets again at frame 0x180, six at frame 0x178 that was repaired.
    reader.read(&hex("c3018047fc")).unwrap();
    assert_eq!(reader.structure().unwrap().active(), 0x1FF);
    reader.read(&hex("c3017840fc")).unwrap();
    assert_eq!(reader.structure().unwrap().active(), 0x1FF);
    reader.read(&hex("c3018140fc")).unwrap();
    assert_eq!(reader.structure().unwrap().active(), 0x3F);
    // The key frame itself, repaired after a newer one: its structure and mask are of the past.
    let mut newer_key = hex(KEY);
    newer_key[2] = 0x82;
    reader.read(&newer_key).unwrap();
    reader.read(&hex("c3018340fc")).unwrap();
    assert!(reader.read(&hex(KEY)).unwrap().facts.key);
    assert_eq!(reader.structure().unwrap().active(), 0x3F);
    // A stream that starts anew far behind is a new stream.
    newer_key[1] = 0xF0;
    reader.read(&newer_key).unwrap();
    assert_eq!(reader.structure().unwrap().active(), 0x1FF);
}

#[test]
fn targets_that_stop_stay_and_targets_that_begin_are_laid_out() {
    let mut reader = reader();
    let none = reader.read(&hex("c301754000")).unwrap();
    assert_eq!((reader.structure().unwrap().active(), none.facts.available), (0, Targets::NONE));
    assert_eq!(letters(&none, CORNERS), "-DRRR");
    // Only the highest spatial layer: the others are not to be wished for.
    let upper = reader.read(&hex("c301764700")).unwrap();
    assert_eq!(reader.structure().unwrap().active(), 0x1C0);
    assert_eq!(letters(&upper, CORNERS), "-DRRR");
    assert_eq!(upper.facts.available.nearest(Target::new(0, 1)), Target::new(2, 0));
    // A structure that comes with two layers is laid out as one of two, until the third begins.
    let mut slot = [0; 128];
    let len =
        rewrite(&hex(KEY), reader.structure().unwrap(), 0x0180, Some(0x3F), &mut slot).unwrap();
    let key = reader.read(&slot[..len]).unwrap();
    assert_eq!(key.facts.available, Targets::ALL);
    assert_eq!(reader.structure().unwrap().layers(Target::ALL), (1, 2));
    let first = reader.read(&hex("c3018147fc")).unwrap();
    assert_eq!(reader.structure().unwrap().layers(Target::ALL), (2, 2));
    assert_eq!(first.facts.available, Targets::ALL);
}

#[test]
fn custom_indications_replace_the_templates() {
    let mut reader = reader();
    let mut data = [0; 8];
    let mut writer = BitWriter::new(&mut data);
    writer.write(0xC3_0175, 24);
    writer.write(0b00100, 5);
    for letter in [0, 0, 1, 0, 0, 2, 0, 0, 3] {
        writer.write(letter, 2);
    }
    let len = writer.finish().unwrap();
    assert_eq!(letters(&reader.read(&data[..len]).unwrap(), CORNERS), "-DSRR");
    assert_eq!(reader.read(&data[..len - 1]), None);
}

#[test]
fn structures_are_bounded() {
    let parse = |layers: &[u64]| {
        let mut data = [0; 64];
        let mut writer = BitWriter::new(&mut data);
        writer.write(0, 11);
        layers.iter().for_each(|step| writer.write(*step, 2));
        Structure::parse(&mut Bits::new(&data, 0)).is_some()
    };
    assert!(parse(&[2, 2, 2, 3]));
    assert!(!parse(&[2, 2, 2, 2, 3]), "five spatial layers");
    assert!(parse(&[1, 1, 1, 1, 1, 1, 1, 3]));
    assert!(!parse(&[1, 1, 1, 1, 1, 1, 1, 1, 3]), "nine temporal layers");
    assert!(parse(&[&[0; 63][..], &[3]].concat()));
    assert!(!parse(&[&[0; 64][..], &[3]].concat()), "65 templates");
}

#[test]
fn a_subscriber_is_told_the_targets_it_gets_all_of() {
    let reader = reader();
    let structure = reader.structure().unwrap();
    let cases =
        [((0, 0), 0b1), ((0, 2), 0b111), ((1, 1), 0b11011), ((2, 2), 0x1FF), ((3, 3), 0x1FF)];
    for ((spatial, temporal), mask) in cases {
        assert_eq!(
            structure.active_for(Target::new(spatial, temporal)),
            mask,
            "{spatial} {temporal}"
        );
    }
}

#[test]
fn rewriting_keeps_everything_else() {
    let mut there = reader();
    for text in [KEY, "860173", FOLLOWING[0]] {
        let data = hex(text);
        for active in [None, Some(0b11011)] {
            let mut slot = [0xEE; 128];
            let structure = there.structure().unwrap();
            let len = rewrite(&data, structure, 0x0200, active, &mut slot).unwrap();
            assert!(len <= data.len() + 5, "{text}");
            for short in 0..len {
                assert_eq!(rewrite(&data, structure, 0x0200, active, &mut slot[..short]), None);
            }
            let len = rewrite(&data, structure, 0x0200, active, &mut slot).unwrap();
            let (mut here, mut fresh) = (reader(), reader());
            let rewritten = here.read(&slot[..len]).unwrap();
            assert_eq!(rewritten.frame_number, 0x0200);
            if let Some(mask) = active {
                assert_eq!(here.structure().unwrap().active(), mask, "{text}");
            }
            let (spatial, temporal) = (rewritten.facts.spatial, rewritten.facts.temporal);
            let original = fresh.read(&data).unwrap();
            assert_eq!((spatial, temporal), (original.facts.spatial, original.facts.temporal));
            assert_eq!(rewritten.has_structure, original.has_structure);
            let size = |reader: &Reader| reader.structure().unwrap().resolution(2);
            assert_eq!(size(&here), size(&fresh));
        }
        there.read(&data).unwrap();
    }
}

#[test]
fn rewriting_replaces_a_mask_in_front_of_custom_fields() {
    let mut here = reader();
    let mut data = [0; 9];
    let mut writer = BitWriter::new(&mut data);
    writer.write(0xC3_0175, 24);
    writer.write(0b01100, 5);
    writer.write(0x3F, 9);
    [0, 0, 1, 0, 0, 2, 0, 0, 3].iter().for_each(|letter| writer.write(*letter, 2));
    let len = writer.finish().unwrap();
    let mut slot = [0; 16];
    let structure = here.structure().unwrap();
    let len = rewrite(&data[..len], structure, 0x0201, Some(0x1B), &mut slot).unwrap();
    let descriptor = here.read(&slot[..len]).unwrap();
    assert_eq!(
        (letters(&descriptor, CORNERS).as_str(), descriptor.frame_number),
        ("-DSRR", 0x0201)
    );
    assert_eq!(here.structure().unwrap().active(), 0x1B);
}

#[test]
fn numbers_below_a_bound_take_as_many_bits_as_they_need() {
    // ns(5): 0, 1, 2 in two bits, 3 and 4 in three.
    let cases =
        [(0b0000_0000, 0, 2), (0b0100_0000, 1, 2), (0b1000_0000, 2, 2), (0b1100_0000, 3, 3)];
    for (byte, value, len) in [&cases[..], &[(0b1110_0000, 4, 3)]].concat() {
        let data = [byte];
        let mut bits = Bits::new(&data, 0);
        assert_eq!((bits.below(5), bits.position()), (Some(value), len), "{byte:08b}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..96), 1..8),
        active: u32,
        known: bool,
    ) {
        let mut reader = if known { reader() } else { Reader::default() };
        for data in packets {
            let descriptor = reader.read(&data);
            prop_assert!(descriptor.is_none() || reader.structure().is_some());
            if let Some(structure) = reader.structure() {
                prop_assert!(structure.active_for(Target::ALL) & !structure.active() == 0);
                let mut slot = [0; 128];
                if let Some(len) = rewrite(&data, structure, 7, Some(active), &mut slot) {
                    prop_assert!(len <= data.len() + 5);
                }
            }
        }
    }

    #[test]
    fn plausible_structures_never_panic(
        tail in proptest::collection::vec(any::<u8>(), 8..200),
        steps in proptest::collection::vec(0u64..3, 0..70),
        targets in 0u64..32,
    ) {
        let mut data = [0; 256];
        let mut writer = BitWriter::new(&mut data);
        writer.write(0xC0_0001, 24);
        writer.write(0b11000, 5);
        writer.write(0, 6);
        writer.write(targets, 5);
        steps.iter().for_each(|step| writer.write(*step, 2));
        writer.write(3, 2);
        tail.iter().for_each(|byte| writer.write((*byte).into(), 8));
        let len = writer.finish().unwrap_or(256);
        let mut reader = Reader::default();
        if let Some(descriptor) = reader.read(&data[..len]) {
            prop_assert!(descriptor.has_structure && descriptor.facts.key);
            for id in 0..64 {
                reader.read(&[id, 0, 2]);
            }
        }
    }

    #[test]
    fn bits_written_are_bits_read(pieces in proptest::collection::vec((any::<u64>(), 0u32..65), 0..20)) {
        let mut slot = [0xFF; 160];
        let mut writer = BitWriter::new(&mut slot);
        pieces.iter().for_each(|(value, count)| writer.write(*value, *count));
        let len = writer.finish().unwrap();
        let mut bits = Bits::new(&slot[..len], 0);
        for (value, count) in &pieces {
            let kept = if *count == 64 { *value } else { value & ((1 << count) - 1) };
            prop_assert_eq!(bits.read(*count), Some(kept));
        }
        let rest = 8 * len - bits.position();
        prop_assert!(rest < 8 && bits.read(rest as u32) == Some(0));
    }
}
