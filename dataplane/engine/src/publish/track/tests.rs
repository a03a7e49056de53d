//! Tests of tracks: a number is admitted once, and a key frame makes older gaps pointless.

use std::collections::HashSet;

use common::media::Codec;
use proptest::prelude::*;

use super::*;

fn encoding(now: Instant) -> EncodingState {
    let facts = Encoding { rid: None, ssrc: None, rtx_ssrc: None };
    EncodingState::new(facts, MediaKind::Video, 0, now)
}

fn packet(sequence: u64, timestamp: u32) -> Packet {
    Packet { sequence, timestamp, ..Packet::blank() }
}

fn track(payloads: Vec<PublishedPayload>, encodings: Vec<Encoding>, now: Instant) -> Track {
    let facts = PublishFacts {
        track: TrackId::new(1, 1),
        peer: common::id::PeerId::new(1, 1),
        mid: Label::new(b"0").expect("short"),
        kind: MediaKind::Video,
        payloads,
        encodings,
    };
    let mut peers = crate::kit::table::Table::new();
    let peer = peers.insert(facts.peer, ()).expect("free");
    Track::new(&facts, peer, 0, now)
}

#[test]
fn a_missing_number_is_taken_once_and_a_known_one_never() {
    let now = Instant::now();
    let (mut state, mut path) = (encoding(now), RoundTrip::default());
    let mut arrive = |number| state.admit(&packet(number, 0), Way::Shared, 90_000, now, &mut path);
    assert_eq!(arrive(10), Arrival::Newer { repairable: true });
    assert_eq!(arrive(12), Arrival::Newer { repairable: true });
    assert_eq!(arrive(11), Arrival::Missing(Filled::Late));
    for known in [11, 10, 12, 9, 0] {
        assert_eq!(arrive(known), Arrival::Known, "{known}");
    }
    assert_eq!(arrive(1_000), Arrival::Newer { repairable: false });
    assert_eq!(arrive(500), Arrival::Known, "given up");
}

#[test]
fn a_key_frame_makes_older_gaps_pointless_but_not_those_that_may_be_its_own() {
    let now = Instant::now();
    let (mut state, mut path) = (encoding(now), RoundTrip::default());
    // 12 is missing from the frame before, 15 may be the last of that frame or a parameter set.
    for (number, timestamp) in [(10, 1), (11, 2), (13, 2), (14, 2)] {
        state.admit(&packet(number, timestamp), Way::Shared, 90_000, now, &mut path);
    }
    let arrival = state.admit(&packet(16, 3), Way::Shared, 90_000, now, &mut path);
    state.on_key_frame(arrival, now);
    let mut numbers = [0; 8];
    let due = state.gaps.due(now + Duration::from_millis(20), &mut path, &mut numbers).count;
    assert_eq!(numbers[..due], [15]);
}

#[test]
fn an_encoding_is_alive_while_it_sends() {
    let start = Instant::now();
    let (mut state, mut path) = (encoding(start), RoundTrip::default());
    assert!(!state.asking(start, &path).alive);
    state.admit(&packet(1, 0), Way::Shared, 90_000, start, &mut path);
    assert!(state.asking(start + ENCODING_SILENCE / 2, &path).alive);
    assert!(!state.asking(start + ENCODING_SILENCE, &path).alive);
    // Probes that repeat what is known are no sign of life.
    state.admit(&packet(1, 0), Way::Repeated, 90_000, start + ENCODING_SILENCE, &mut path);
    assert!(!state.asking(start + ENCODING_SILENCE, &path).alive);
}

#[test]
fn a_layer_is_told_when_it_begins_and_when_it_falls_behind_the_others() {
    let start = Instant::now();
    let rid = |name: &[u8]| Label::new(name).expect("short");
    let encodings = [rid(b"h"), rid(b"l")]
        .map(|rid| Encoding { rid: Some(rid), ssrc: None, rtx_ssrc: None })
        .to_vec();
    let mut track = track(Vec::new(), encodings, start);
    let told = |track: &mut Track| std::iter::from_fn(|| track.layer_change()).collect::<Vec<_>>();
    let arrive = |track: &mut Track, encoding: usize, number, after| {
        let state = &mut track.encodings[encoding];
        let (packet, now) = (packet(number, 0), start + after);
        state.admit(&packet, Way::Shared, 90_000, now, &mut RoundTrip::default());
    };
    assert_eq!(told(&mut track), [], "no packet came");
    arrive(&mut track, 1, 1, Duration::ZERO);
    assert_eq!(told(&mut track), [(rid(b"l"), true)]);
    arrive(&mut track, 0, 1, Duration::ZERO);
    assert_eq!(told(&mut track), [(rid(b"h"), true)]);
    arrive(&mut track, 1, 2, ENCODING_SILENCE / 2);
    assert_eq!(told(&mut track), []);
    arrive(&mut track, 1, 3, ENCODING_SILENCE);
    assert_eq!(told(&mut track), [(rid(b"h"), false)]);
    arrive(&mut track, 0, 2, ENCODING_SILENCE * 9);
    assert_eq!(told(&mut track), [(rid(b"h"), true), (rid(b"l"), false)]);
}

#[test]
fn what_is_answered_counts_as_lost_and_what_is_late_does_not() {
    let now = Instant::now();
    let payload = PublishedPayload {
        payload_type: 96,
        codec: Codec::Vp8,
        clock_rate: 90_000,
        rtx: Some(97),
        nack: true,
        pli: true,
        remb: false,
    };
    let encodings = vec![Encoding { rid: None, ssrc: None, rtx_ssrc: None }];
    let mut track = track(vec![payload], encodings, now);
    for (number, repeated) in [(1, false), (3, false), (2, true), (5, false), (4, false)] {
        assert!(track.admit(&packet(number, 0), &payload, repeated, now).is_some());
    }
    let (_, tally) = track.encodings[0].reception.report(1, now).expect("packets");
    assert_eq!((tally.expected, tally.lost), (5, 1));
    // The original comes after all.
    assert_eq!(track.admit(&packet(2, 0), &payload, false, now), Some(Arrival::Known));
    let (block, _) = track.encodings[0].reception.report(1, now).expect("packets");
    assert_eq!(block.cumulative_lost, 0);
    let unknown = Packet { encoding: 3, ..packet(9, 0) };
    assert_eq!(track.admit(&unknown, &payload, false, now), None);
}

proptest! {
    /// In whatever order and however often numbers arrive, and whenever gaps are asked for.
    #[test]
    fn no_number_is_taken_twice(
        steps in prop::collection::vec((0u64..400, 0u64..60, any::<bool>()), 1..600),
    ) {
        let mut now = Instant::now();
        let (mut state, mut path) = (encoding(now), RoundTrip::default());
        let (mut taken, mut numbers) = (HashSet::new(), [0; 8]);
        for (sequence, wait, repeated) in steps {
            now += Duration::from_millis(wait);
            if wait % 3 == 0 {
                state.gaps.due(now, &mut path, &mut numbers);
            }
            let way = if repeated { Way::Repeated } else { Way::Original };
            let arrival = state.admit(&packet(sequence, 0), way, 90_000, now, &mut path);
            if arrival != Arrival::Known {
                prop_assert!(taken.insert(sequence), "{} twice", sequence);
            }
            if wait % 7 == 0 {
                state.on_key_frame(arrival, now);
            }
        }
    }
}
