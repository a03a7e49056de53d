//! Tests of the packet history: what was kept is found unchanged, what was overwritten is not.

use super::*;
use crate::kit::packet::Packet;

fn packet(sequence: u64) -> Packet {
    Packet { sequence, ..Packet::blank() }
}

fn body(sequence: u64, len: usize) -> Vec<u8> {
    (0..len).map(|i| (sequence as usize * 31 + i) as u8).collect()
}

#[test]
fn what_was_kept_is_found_unchanged() {
    let now = Instant::now();
    let (mut history, mut index) = (History::new(now), Index::new(true));
    for sequence in 65_000..65_900u64 {
        history.keep(&mut index, &packet(sequence), &body(sequence, 1200), now);
    }
    for sequence in 65_000..65_900 {
        let (found, bytes, _) = history.find(&index, sequence, now).expect("kept");
        assert_eq!(found.sequence, sequence);
        assert_eq!(bytes, body(sequence, 1200));
    }
    assert!(history.find(&index, 64_999, now).is_none());
    assert!(history.find(&index, 65_000 + HISTORY_PACKETS as u64, now).is_none());
}

#[test]
fn an_overwritten_packet_is_never_returned() {
    let now = Instant::now();
    let (mut history, mut quiet, mut busy) =
        (History::new(now), Index::new(false), Index::new(true));
    history.keep(&mut quiet, &packet(5), &body(5, 100), now);
    let enough = HISTORY_BYTES / 1400 + 2;
    for sequence in 0..enough as u64 {
        if let Some((_, bytes, _)) = history.find(&quiet, 5, now) {
            assert_eq!(bytes, body(5, 100));
        }
        history.keep(&mut busy, &packet(sequence), &body(sequence, 1400), now);
    }
    assert!(history.find(&quiet, 5, now).is_none());
    for sequence in enough as u64 - 1000..enough as u64 {
        assert_eq!(history.find(&busy, sequence, now).expect("young").1, body(sequence, 1400));
    }
}

#[test]
fn small_packets_run_out_of_descriptions_first() {
    let now = Instant::now();
    let (mut history, mut index, mut other) =
        (History::new(now), Index::new(false), Index::new(true));
    history.keep(&mut index, &packet(1), &body(1, 20), now);
    for sequence in 0..ENTRIES as u64 {
        history.keep(&mut other, &packet(sequence), &body(sequence, 20), now);
    }
    assert!(history.find(&index, 1, now).is_none());
}

#[test]
fn a_packet_has_its_age() {
    let start = Instant::now();
    let (mut history, mut index) = (History::new(start), Index::new(true));
    let kept = start + Duration::from_millis(70);
    history.keep(&mut index, &packet(1), &body(1, 20), kept);
    for (millis, age) in [(70, 0), (71, 1), (1_170, 1_100), (60, 0)] {
        let found = history.find(&index, 1, start + Duration::from_millis(millis));
        assert_eq!(found.expect("kept").2, Duration::from_millis(age), "{millis}");
    }
}
