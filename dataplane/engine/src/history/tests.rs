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
    let (mut history, mut index) = (History::new(), Index::new(true));
    for sequence in 65_000..65_900u64 {
        history.keep(&mut index, &packet(sequence), &body(sequence, 1200));
    }
    for sequence in 65_000..65_900 {
        let (found, bytes) = history.find(&index, sequence).expect("kept");
        assert_eq!(found.sequence, sequence);
        assert_eq!(bytes, body(sequence, 1200));
    }
    assert!(history.find(&index, 64_999).is_none());
    assert!(history.find(&index, 65_000 + HISTORY_PACKETS as u64).is_none());
}

#[test]
fn an_overwritten_packet_is_never_returned() {
    let (mut history, mut quiet, mut busy) = (History::new(), Index::new(false), Index::new(true));
    history.keep(&mut quiet, &packet(5), &body(5, 100));
    let enough = HISTORY_BYTES / 1400 + 2;
    for sequence in 0..enough as u64 {
        if let Some((_, bytes)) = history.find(&quiet, 5) {
            assert_eq!(bytes, body(5, 100));
        }
        history.keep(&mut busy, &packet(sequence), &body(sequence, 1400));
    }
    assert!(history.find(&quiet, 5).is_none());
    for sequence in enough as u64 - 1000..enough as u64 {
        assert_eq!(history.find(&busy, sequence).expect("young").1, body(sequence, 1400));
    }
}

#[test]
fn small_packets_run_out_of_descriptions_first() {
    let (mut history, mut index, mut other) = (History::new(), Index::new(false), Index::new(true));
    history.keep(&mut index, &packet(1), &body(1, 20));
    for sequence in 0..ENTRIES as u64 {
        history.keep(&mut other, &packet(sequence), &body(sequence, 20));
    }
    assert!(history.find(&index, 1).is_none());
}
