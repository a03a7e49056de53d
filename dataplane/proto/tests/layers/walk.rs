//! The walks.

use common::media::Codec;
use proptest::prelude::*;
use proto::payload::FrameReader;
use proto::payload::facts::{FrameFacts, Target};

use crate::stream::{Frame, Structure, VP8_T3, l1t3, l3t3, l3t3_key, s3t3, vp8};
use crate::subscriber::Subscriber;

/// Where the facts of a frame are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Descriptor,
    Vp9Flexible,
    Vp9,
}

const ALL: [Told; 3] = [Told::Descriptor, Told::Vp9Flexible, Told::Vp9];

fn structures() -> [(&'static str, Structure); 4] {
    [("L1T3", l1t3()), ("L3T3", l3t3()), ("L3T3_KEY", l3t3_key()), ("S3T3", s3t3())]
}

fn facts(reader: &mut FrameReader, structure: &Structure, frame: &Frame, told: Told) -> FrameFacts {
    let marker = frame.last_of_picture;
    match told {
        Told::Descriptor => {
            reader.read(Codec::Av1, &[0x10, 0x32], marker, Some(&structure.descriptor(frame, None)))
        }
        told => {
            let payload = structure.vp9(frame, told == Told::Vp9Flexible);
            reader.read(Codec::Vp9, &payload, marker, None)
        }
    }
}

#[test]
fn every_target_gets_its_frames_and_the_marker_on_its_last() {
    for (name, structure) in structures() {
        for told in ALL {
            for target in Target::all() {
                walk_one(name, &structure, told, target);
            }
        }
    }
}

fn walk_one(name: &str, structure: &Structure, told: Told, target: Target) {
    let frames = structure.frames(&[false; 13]);
    let (mut reader, mut subscriber) = (FrameReader::default(), Subscriber::default());
    let mut last_had_marker = true;
    for frame in &frames {
        let facts = facts(&mut reader, structure, frame, told);
        let taken = subscriber.takes(target, &facts, frame.number, &frame.references);
        let letter = structure.letter(frame.template, target.spatial(), target.temporal());
        let starts_stream = frame.key_picture && frame.first_of_picture;
        // Key frames of independent layers go up with the VP9 scalability structure.
        let carried = told != Told::Descriptor
            && frame.key_picture
            && frame.references.is_empty()
            && frame.spatial <= target.spatial();
        let expected = letter != b'-' || starts_stream || carried;
        assert_eq!(taken, expected, "{name} {told:?} {target:?} {frame:?}");
        assert_eq!((facts.spatial, facts.temporal), (frame.spatial, frame.temporal), "{name}");
        assert!(facts.starts && facts.ends);
        if taken {
            assert!(last_had_marker || !frame.first_of_picture, "{name} {target:?} {frame:?}");
            last_had_marker = facts.ends_picture(target, frame.last_of_picture);
        }
    }
}

#[test]
fn the_highest_target_of_key_structures_leaves_lower_layers_out() {
    for told in ALL {
        let structure = l3t3_key();
        let frames = structure.frames(&[false; 9]);
        let (mut reader, mut subscriber) = (FrameReader::default(), Subscriber::default());
        let taken = frames.iter().filter(|frame| {
            let facts = facts(&mut reader, &structure, frame, told);
            subscriber.takes(Target::ALL, &facts, frame.number, &frame.references)
        });
        // The whole key picture, then one frame of each picture.
        assert_eq!(taken.count(), 3 + 8, "{told:?}");
    }
}

/// Pictures until a subscriber that shows `from` shows `to`, wished for with the second picture of
/// a stream with one key picture.
fn pictures_until(structure: &Structure, told: Told, from: Target, to: Target) -> Option<usize> {
    let frames = structure.frames(&[false; 20]);
    let (mut reader, mut subscriber) = (FrameReader::default(), Subscriber::default());
    for (index, frame) in frames.iter().enumerate() {
        let picture = index / usize::from(structure.spatial);
        let wish = if picture == 0 { from } else { to };
        let facts = facts(&mut reader, structure, frame, told);
        subscriber.takes(wish, &facts, frame.number, &frame.references);
        if picture > 0 && subscriber.shows == Some(to) {
            return Some(picture);
        }
    }
    None
}

#[test]
fn changes_that_need_no_key_frame_come_within_one_cycle() {
    for told in ALL {
        let until = |structure: &Structure, from: (u8, u8), to: (u8, u8)| {
            let target = |(spatial, temporal)| Target::new(spatial, temporal);
            pictures_until(structure, told, target(from), target(to))
        };
        for (name, structure) in structures() {
            let top = structure.spatial - 1;
            assert_eq!(until(&structure, (top, 2), (top, 0)), Some(1), "{name} fewer, at once");
            assert_eq!(until(&structure, (top, 0), (top, 2)), Some(4), "{name} more, at the base");
            assert_eq!(until(&structure, (top, 0), (top, 1)), Some(4), "{name} {told:?}");
        }
        // A lower spatial layer is part of a higher one in full SVC only.
        assert!(until(&l3t3(), (2, 2), (0, 2)).is_some_and(|pictures| pictures <= 4));
        assert!(until(&l3t3(), (2, 2), (1, 2)).is_some_and(|pictures| pictures <= 4));
        assert!(until(&l3t3(), (2, 2), (1, 0)).is_some_and(|pictures| pictures <= 4));
        assert_eq!(until(&l3t3_key(), (2, 2), (1, 2)), None);
        assert_eq!(until(&s3t3(), (2, 2), (1, 2)), None);
        for structure in [l3t3(), l3t3_key(), s3t3()] {
            assert_eq!(until(&structure, (0, 2), (1, 2)), None, "up needs a key frame");
            assert_eq!(until(&structure, (1, 2), (2, 0)), None);
        }
    }
}

/// Pictures that a subscriber who wishes for the whole stream gets, when the highest spatial layer
/// stops after the fourth picture and begins again in the ninth, which is a key picture or not.
fn pictures_shown(structure: &Structure, key: bool) -> Vec<(u16, u8)> {
    let mut keys = [false; 14];
    keys[8] = key;
    let (mut reader, mut subscriber) = (FrameReader::default(), Subscriber::default());
    let (mut shown, mut begun) = (Vec::new(), false);
    for mut frame in structure.frames(&keys) {
        let picture = frame.picture - 32_760;
        let stopped = (4..8).contains(&picture);
        if frame.spatial == 2 && (stopped || picture >= 8 && frame.temporal > 0 && !begun) {
            continue;
        }
        if frame.spatial == 2 && picture == 8 && !key {
            // The layer begins with a frame that refers to the one below only.
            frame.references.retain(|reference| frame.number.wrapping_sub(*reference) == 1);
        }
        begun |= frame.spatial == 2 && picture == 8;
        let active = if stopped { 0x3F } else { 0x1FF };
        let descriptor = structure.descriptor(&frame, Some(active));
        let facts = reader.read(Codec::Av1, &[], frame.last_of_picture, Some(&descriptor));
        let wish = facts.available.nearest(Target::ALL);
        if subscriber.takes(wish, &facts, frame.number, &frame.references) {
            shown.push((picture, frame.spatial));
        }
    }
    shown
}

#[test]
fn layers_that_stop_and_begin_again_leave_nothing_undecodable() {
    let full: Vec<_> = [(4, 0), (4, 1), (5, 0), (5, 1), (6, 0), (6, 1), (7, 0), (7, 1)].to_vec();
    for (structure, key) in [(l3t3(), false), (l3t3(), true)] {
        let shown = pictures_shown(&structure, key);
        let between: Vec<_> =
            shown.iter().copied().filter(|(picture, _)| (4..8).contains(picture)).collect();
        assert_eq!(between, full, "the layers below go on");
        assert!((8..14).all(|picture| shown.contains(&(picture, 2))), "and the highest comes back");
    }
    let shown = pictures_shown(&l3t3_key(), true);
    assert!(
        !shown.iter().any(|(picture, _)| (4..8).contains(picture)),
        "nothing decodable is left"
    );
    assert!((8..14).all(|picture| shown.contains(&(picture, 2))));
}

#[test]
fn vp8_goes_up_at_layer_syncs_and_down_at_once() {
    let until = |from: u8, to: u8, start: u16| {
        let (mut reader, mut subscriber) = (FrameReader::default(), Subscriber::default());
        for picture in 0..24 {
            let wish = Target::new(0, if picture < start { from } else { to });
            let facts = reader.read(Codec::Vp8, &vp8(picture, picture == 0), true, None);
            subscriber.takes(wish, &facts, picture, &vp8_references(picture, &[0]));
            if picture >= start && subscriber.shows == Some(wish) {
                return Some(picture);
            }
        }
        None
    };
    assert_eq!(until(0, 1, 1), Some(2));
    assert_eq!(until(0, 2, 1), Some(1));
    assert_eq!(until(0, 2, 2), Some(9));
    assert_eq!(until(0, 1, 3), Some(10));
    assert_eq!(until(1, 3, 3), None, "no fourth layer to switch at, and nothing lost by it");
    assert_eq!(until(2, 0, 5), Some(5));
    assert_eq!(until(2, 1, 3), Some(3));
}

/// What a VP8 picture refers to in a stream with key frames at `keys`: nothing before the last one.
fn vp8_references(picture: u16, keys: &[u16]) -> Vec<u16> {
    let last_key = keys.iter().rev().copied().find(|key| *key <= picture).unwrap();
    let (_, _, differences) = VP8_T3[usize::from(picture % 8)];
    let back = differences.iter().filter_map(|difference| picture.checked_sub(*difference));
    back.filter(|reference| picture != last_key && *reference >= last_key).collect()
}

fn wishes() -> impl Strategy<Value = Vec<(bool, u8, u8)>> {
    proptest::collection::vec((proptest::bool::weighted(0.08), 0u8..4, 0u8..4), 1..60)
}

proptest! {
    #[test]
    fn whatever_is_wished_for_can_be_decoded(
        index in 0usize..4,
        told in proptest::sample::select(&ALL[..]),
        pictures in wishes(),
        patience in 1usize..8,
    ) {
        let (_, structure) = structures().into_iter().nth(index).unwrap();
        let keys: Vec<bool> = pictures.iter().map(|(key, ..)| *key).collect();
        let (mut reader, mut subscriber) = (FrameReader::default(), Subscriber::default());
        for (place, frame) in structure.frames(&keys).iter().enumerate() {
            // A wish lasts some frames, so that changes come in the middle of pictures too.
            let (_, spatial, temporal) = pictures[place / patience % pictures.len()];
            let wish = Target::new(spatial, temporal);
            let facts = facts(&mut reader, &structure, frame, told);
            subscriber.takes(wish, &facts, frame.number, &frame.references);
            if frame.key_picture && frame.first_of_picture {
                prop_assert_eq!(subscriber.shows, Some(wish), "a key frame takes everyone along");
            }
        }
    }

    #[test]
    fn whatever_is_wished_for_of_vp8_can_be_decoded(pictures in wishes()) {
        let (mut reader, mut subscriber) = (FrameReader::default(), Subscriber::default());
        let mut keys = Vec::new();
        for (picture, (key, _, temporal)) in pictures.iter().enumerate() {
            let picture = picture as u16;
            let key = picture == 0 || *key && picture.is_multiple_of(8);
            if key {
                keys.push(picture);
            }
            let facts = reader.read(Codec::Vp8, &vp8(picture, key), true, None);
            let wish = Target::new(0, *temporal);
            subscriber.takes(wish, &facts, picture, &vp8_references(picture, &keys));
        }
    }
}
