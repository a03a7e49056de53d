//! Tests of the recorder against the reader: published example, round trips, hostile messages.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::{RtcpPacket, packets};
use super::{TwccRecorder, TwccView};

#[allow(clippy::disallowed_methods)]
fn zero() -> Instant {
    Instant::now()
}

fn view(message: &[u8]) -> TwccView<'_> {
    let mut walk = packets(message);
    let Some(Ok(RtcpPacket::TransportFeedback(view))) = walk.next() else {
        panic!("not transport-wide feedback: {message:?}")
    };
    assert!(walk.next().is_none());
    view
}

/// What was reported: per sequence number, its arrival in units of 250 us, if it arrived.
type Reported = Vec<(u16, Option<i64>)>;

fn drain(recorder: &mut TwccRecorder, base: Instant, slot_len: usize) -> Vec<Reported> {
    let mut messages = Vec::new();
    while recorder.pending() {
        let mut slot = vec![0xEE; slot_len];
        let len = recorder.write_feedback(1, 2, &mut slot, base);
        assert!(len != 0 && len.is_multiple_of(4), "{len}");
        let view = view(&slot[..len]);
        let mut at = view.reference_us() / 250;
        let statuses: Reported = view
            .iter()
            .map(|(sequence, delta)| {
                at += i64::from(delta.unwrap_or(0));
                (sequence, delta.map(|_| at))
            })
            .collect();
        assert_eq!(statuses.len(), usize::from(view.status_count()));
        messages.push(statuses);
    }
    messages
}

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

#[test]
fn a_message_byte_for_byte() {
    let base = zero();
    let mut recorder = TwccRecorder::new();
    recorder.record(10, base + ms(130));
    recorder.record(12, base + ms(131));
    recorder.record(11, base + ms(250));
    let mut slot = [0; 40];
    let len = recorder.write_feedback(0x0101_0101, 0x0202_0202, &mut slot, base);
    // Reference time 2 (128 ms); deltas 2 ms, 120 ms (two bytes), -119 ms (two bytes).
    let expected = [
        0xAF,
        205,
        0,
        6,
        1,
        1,
        1,
        1,
        2,
        2,
        2,
        2,
        0,
        10,
        0,
        3,
        0,
        0,
        2,
        0, // header
        0b1101_1010,
        0, // two-bit vector: small, large, large
        8,
        0x01,
        0xE0,
        0xFE,
        0x24,
        1,
    ];
    assert_eq!(slot[..len], expected);
    assert!(!recorder.pending());
    assert_eq!(recorder.write_feedback(1, 2, &mut slot, base), 0);
}

#[test]
fn messages_are_counted_and_follow_each_other() {
    let base = zero();
    let mut recorder = TwccRecorder::new();
    recorder.record(65_534, base);
    let mut slot = [0; 100];
    let len = recorder.write_feedback(1, 2, &mut slot, base);
    assert_eq!((view(&slot[..len]).message_count(), view(&slot[..len]).status_count()), (0, 1));
    recorder.record(1, base + ms(10));
    let len = recorder.write_feedback(1, 2, &mut slot, base);
    let second = view(&slot[..len]);
    assert_eq!((second.message_count(), second.base_sequence()), (1, 65_535));
    let statuses: Vec<_> = second.iter().collect();
    assert_eq!(statuses, [(65_535, None), (0, None), (1, Some(40))]);
}

#[test]
fn a_late_packet_gets_its_own_message_and_duplicates_none() {
    let base = zero();
    let mut recorder = TwccRecorder::new();
    for sequence in [5, 6, 9] {
        recorder.record(sequence, base);
    }
    drain(&mut recorder, base, 200);
    recorder.record(7, base + ms(1));
    recorder.record(6, base + ms(1));
    recorder.record(4, base + ms(1));
    let messages = drain(&mut recorder, base, 200);
    assert_eq!(messages, [vec![(4, Some(4))], vec![(7, Some(4))]]);
    recorder.record(7, base + ms(2));
    assert!(!recorder.pending());
}

#[test]
fn long_silence_splits_messages() {
    let base = zero();
    let mut recorder = TwccRecorder::new();
    recorder.record(1, base);
    recorder.record(2, base + ms(9_000));
    let messages = drain(&mut recorder, base, 200);
    assert_eq!(messages, [vec![(1, Some(0))], vec![(2, Some(36_000))]]);
}

#[test]
fn a_jump_beyond_the_window_starts_again() {
    let base = zero();
    let mut recorder = TwccRecorder::new();
    recorder.record(0, base);
    recorder.record(20_000, base);
    let messages = drain(&mut recorder, base, 1_200);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].last(), Some(&(20_000, Some(0))));
    assert_eq!(messages[0].len(), 1_024);
    // What fell out of the window is too old to be noted.
    recorder.record(20_000 - 1_024, base);
    assert!(!recorder.pending());
}

#[test]
fn reference_time_wraps_like_a_signed_number_of_24_bits() {
    let base = zero();
    let mut recorder = TwccRecorder::new();
    let late = Duration::from_millis(64 * 0x80_0000);
    recorder.record(1, base + late);
    let mut slot = [0; 40];
    let len = recorder.write_feedback(1, 2, &mut slot, base);
    assert_eq!(view(&slot[..len]).reference_us(), -(64_000 * 0x80_0000));
}

#[test]
fn slots_too_short_for_one_packet_get_nothing() {
    let base = zero();
    let mut recorder = TwccRecorder::new();
    recorder.record(1, base);
    for len in 0..28 {
        assert_eq!(recorder.write_feedback(1, 2, &mut vec![0; len], base), 0);
        assert!(recorder.pending());
    }
    assert_eq!(recorder.write_feedback(1, 2, &mut [0; 28], base), 24);
}

/// A body whose chunks and deltas are given.
fn body(count: u16, content: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1, 0, 0, 0, 2, 0, 7];
    body.extend_from_slice(&count.to_be_bytes());
    body.extend_from_slice(&[0, 0, 1, 9]);
    body.extend_from_slice(content);
    body
}

#[test]
fn hostile_messages_are_refused_whole() {
    assert!(TwccView::new(&body(1, &[0x20, 1, 5])).is_some());
    assert!(TwccView::new(&body(1, &[0x20, 1])).is_none(), "delta missing");
    assert!(TwccView::new(&body(1, &[0x40, 1, 5])).is_none(), "half a large delta");
    assert!(TwccView::new(&body(1, &[])).is_none(), "chunk missing");
    assert!(TwccView::new(&body(1, &[0x20, 0, 5])).is_none(), "empty run");
    assert!(TwccView::new(&body(1, &[0x60, 1, 5, 5])).is_none(), "reserved run");
    assert!(TwccView::new(&body(1, &[0xF0, 0, 5, 5])).is_none(), "reserved symbol");
    assert!(TwccView::new(&body(0, &[])).is_some());
    assert!(TwccView::new(&body(0, &[])[..15]).is_none());
    // 65,535 losses in 16 bytes are legal, and cost nothing until they are read.
    let losses = [0x1F, 0xFF].repeat(9);
    assert_eq!(TwccView::new(&body(65_535, &losses)).unwrap().iter().count(), 65_535);
    // Statuses beyond the count are not packets, nor need they have deltas.
    let vector = body(2, &[0xBF, 0xFF, 1, 2]);
    let statuses: Vec<_> = TwccView::new(&vector).unwrap().iter().collect();
    assert_eq!(statuses, [(7, Some(1)), (8, Some(2))]);
}

/// A packet of the property test: how far its number is from the one before, how far its arrival
/// is, whether it was lost, and whether feedback leaves after it.
fn steps() -> impl Strategy<Value = Vec<(u64, u64, bool, bool)>> {
    let gap = prop_oneof![8 => Just(1u64), 1 => 2u64..40, 1 => 40u64..900];
    let wait = prop_oneof![8 => 0u64..8_000, 1 => 8_000u64..200_000, 1 => 0u64..10_000_000];
    let lost = prop_oneof![4 => Just(false), 1 => Just(true)];
    let leaves = prop_oneof![15 => Just(false), 1 => Just(true)];
    proptest::collection::vec((gap, wait, lost, leaves), 1..400)
}

/// Adds what messages report as received; nothing may be reported as received and then again.
fn take(
    messages: &[Reported],
    highest: u64,
    reported: &mut BTreeMap<u64, i64>,
) -> Result<(), TestCaseError> {
    for (sequence, at) in messages.iter().flatten() {
        let number = crate::rtp::extend(highest, *sequence);
        prop_assert!(!reported.contains_key(&number), "{number}");
        if let Some(at) = at {
            reported.insert(number, *at);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_arrival_is_reported_once_and_at_its_time(
        start: u16,
        offset_ms in 0u64..100_000_000,
        steps in steps(),
        swaps in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        slot_len in 60usize..1_300,
    ) {
        let base = zero();
        let mut numbers = Vec::new();
        let mut number = 0x1_0000 + u64::from(start);
        for (gap, _, lost, _) in &steps {
            number += gap;
            if !lost {
                numbers.push(number);
            }
        }
        for swap in swaps {
            if numbers.len() > 1 {
                let at = swap.index(numbers.len() - 1);
                numbers.swap(at, at + 1);
            }
        }
        prop_assume!(!numbers.is_empty());
        let mut recorder = TwccRecorder::new();
        let (mut expected, mut reported) = (BTreeMap::new(), BTreeMap::new());
        let (mut arrival_us, mut highest, mut drained) = (offset_ms * 1_000, numbers[0], 0);
        for (place, number) in numbers.iter().enumerate() {
            let (_, wait, _, leaves) = steps[place];
            // Feedback is often enough that nothing falls out of the window unreported.
            if leaves || *number > drained + 1_000 {
                take(&drain(&mut recorder, base, slot_len), highest, &mut reported)?;
                drained = highest;
            }
            arrival_us += wait;
            recorder.record(*number as u16, base + Duration::from_micros(arrival_us));
            highest = highest.max(*number);
            if highest < number + 1_024 {
                expected.insert(*number, (arrival_us / 250) as i64);
            }
            if *number < highest {
                take(&drain(&mut recorder, base, slot_len), highest, &mut reported)?;
            }
        }
        take(&drain(&mut recorder, base, slot_len), highest, &mut reported)?;
        prop_assert_eq!(reported, expected);
    }

    #[test]
    fn arbitrary_bodies_never_panic(
        count in prop_oneof![0u16..40, any::<u16>()],
        content in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let body = body(count, &content);
        if let Some(view) = TwccView::new(&body) {
            prop_assert_eq!(view.iter().count(), usize::from(count));
        }
    }
}
