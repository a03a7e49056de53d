//! The promises of the line of numbers: continuous, injective, invertible.

use super::*;
use crate::kit::table::{FeedName, Table};
use common::id::TrackId;
use common::media::Codec;
use proptest::prelude::*;
use std::collections::HashMap;

const RATE: u32 = 90_000;

fn feed() -> FeedPlace {
    Table::new().insert(FeedName(TrackId::new(1, 0)), ()).expect("free")
}

fn packet(encoding: u8, sequence: u64, timestamp: u32) -> Packet {
    let epoch = u32::from(encoding);
    Packet { encoding, epoch, sequence, timestamp, ..Packet::blank() }
}

fn begin(rewrite: &mut Rewrite, packet: &Packet, now: Instant) {
    rewrite.begin(feed(), packet, (RATE, None), now);
}

fn numbers(placed: Option<Placed>) -> Option<(u64, u32)> {
    placed.map(|placed| (placed.index, placed.timestamp))
}

#[test]
fn numbers_are_continuous_across_a_switch() {
    let start = Instant::now();
    let mut rewrite = Rewrite::new(100, 5_000);
    begin(&mut rewrite, &packet(0, 70_000, 9_000), start);
    assert_eq!(numbers(rewrite.forward(&packet(0, 70_000, 9_000), start)), Some((101, 5_000)));
    assert_eq!(numbers(rewrite.forward(&packet(0, 70_002, 12_000), start)), Some((103, 8_000)));
    assert_eq!(rewrite.forward(&packet(0, 69_999, 0), start), None, "before the segment");
    let later = start + Duration::from_millis(100);
    begin(&mut rewrite, &packet(1, 5, 77), later);
    assert_eq!(numbers(rewrite.forward(&packet(1, 5, 77), later)), Some((104, 17_000)));
    let sent = rewrite.sent_as(104).expect("sent");
    assert_eq!((sent.encoding, sent.number), (1, 5));
    let before = rewrite.sent_as(103).expect("of the segment before");
    assert_eq!((before.encoding, before.number), (0, 70_002));
    let again = rewrite.placed(&packet(0, 70_002, 12_000), 103);
    assert_eq!(numbers(again), Some((103, 8_000)));
    assert!(rewrite.sent_as(105).is_none(), "not sent yet");
}

#[test]
fn what_is_left_out_leaves_no_gap_and_what_comes_late_goes_to_its_place() {
    let now = Instant::now();
    let mut rewrite = Rewrite::new(0, 0);
    begin(&mut rewrite, &packet(0, 10, 0), now);
    let forward = |rewrite: &mut Rewrite, sequence| {
        numbers(rewrite.forward(&packet(0, sequence, 0), now)).map(|(index, _)| index)
    };
    assert_eq!(forward(&mut rewrite, 10), Some(1));
    assert_eq!(rewrite.leave_out(&packet(0, 11, 0), now), None);
    // 12 and 13 are missing.
    assert_eq!(forward(&mut rewrite, 14), Some(4));
    assert_eq!(rewrite.leave_out(&packet(0, 15, 0), now), None);
    assert_eq!(forward(&mut rewrite, 16), Some(5));
    assert_eq!(forward(&mut rewrite, 13), Some(3));
    let hole = rewrite.leave_out(&packet(0, 12, 0), now).expect("its number is taken");
    assert_eq!(hole.index, 2);
    let source = |index| rewrite.sent_as(index).map(|sent| sent.number);
    assert_eq!([1, 2, 3, 4, 5].map(source), [10, 12, 13, 14, 16].map(Some));
}

#[test]
fn picture_numbers_go_on_across_switches_and_frames_left_out() {
    let now = Instant::now();
    let mut rewrite = Rewrite::new(0, 0);
    let frame = |encoding, sequence: u64, id: u16, tl0: u8| {
        let picture = PictureNumbers { picture_id: Some(id), tl0: Some(tl0), frame_number: None };
        let timestamp = u32::from(id) * 3_000;
        Packet { picture, codec: Codec::Vp8, ..packet(encoding, sequence, timestamp) }
    };
    let shown = |rewrite: &mut Rewrite, packet: &Packet| {
        let placed = rewrite.forward(packet, now).expect("in order");
        let id = packet.picture.picture_id.expect("given").wrapping_add(placed.shift.picture_id);
        (id & 0x7fff, packet.picture.tl0.expect("given").wrapping_add(placed.shift.tl0))
    };
    let first = frame(0, 10, 500, 7);
    begin(&mut rewrite, &first, now);
    assert_eq!(shown(&mut rewrite, &first), (500, 7));
    // Two packets of one frame close one number.
    rewrite.leave_out(&frame(0, 11, 501, 7), now);
    rewrite.leave_out(&frame(0, 12, 501, 7), now);
    let kept = frame(0, 13, 502, 8);
    assert_eq!(shown(&mut rewrite, &kept), (501, 8));
    rewrite.leave_out(&frame(0, 14, 503, 8), now);
    assert_eq!(shown(&mut rewrite, &frame(0, 15, 504, 9)), (502, 9));
    let again = rewrite.placed(&kept, 2).expect("sent as 2");
    assert_eq!(502u16.wrapping_add(again.shift.picture_id), 501, "the same as the first time");
    let other = frame(1, 90, 20, 200);
    begin(&mut rewrite, &other, now);
    assert_eq!(shown(&mut rewrite, &other), (503, 10));
    assert_eq!(shown(&mut rewrite, &frame(1, 91, 21, 201)), (504, 11));
}

#[test]
fn known_clocks_decide_and_a_frame_that_comes_behind_gets_the_next_tick() {
    let now = Instant::now();
    let mut rewrite = Rewrite::new(0, 1_000);
    begin(&mut rewrite, &packet(0, 1, 50_000), now);
    rewrite.forward(&packet(0, 1, 50_000), now);
    rewrite.forward(&packet(0, 2, 59_000), now);
    // By the clocks the new source's first frame is of the instant of 4,000: two frames behind.
    rewrite.begin(feed(), &packet(1, 1, 700), (RATE, Some(4_000)), now);
    let mut stamp = |sequence, timestamp| {
        numbers(rewrite.forward(&packet(1, sequence, timestamp), now)).map(|(_, at)| at)
    };
    assert_eq!(stamp(1, 700), Some(10_001));
    assert_eq!(stamp(2, 700), Some(10_001), "of the same frame");
    assert_eq!(stamp(3, 3_700), Some(10_002));
    assert_eq!(stamp(4, 6_700), Some(10_003));
    assert_eq!(stamp(5, 9_700), Some(13_000), "aligned");
    assert_eq!(stamp(2, 700), Some(10_001), "the same when sent again");
    assert_eq!(rewrite.clock(700), Some(4_000));
}

proptest! {
    /// Whatever arrives in whatever order from whatever source, and whatever is left out: one index,
    /// one packet; and the index finds the packet again.
    #[test]
    fn no_index_is_used_for_two_packets(
        seed in any::<u16>(),
        steps in prop::collection::vec((0u8..3, 0u64..200, any::<bool>(), 0u8..4), 1..400),
    ) {
        let start = Instant::now();
        let mut rewrite = Rewrite::new(seed, 0);
        let mut used: HashMap<u64, (u32, u64)> = HashMap::new();
        let mut admitted = std::collections::HashSet::new();
        let (mut epochs, mut epoch) = (0u32, [0u32; 3]);
        for (encoding, sequence, switch, kind) in steps {
            let which = usize::from(encoding);
            let mut sent = packet(encoding, 65_400 + sequence, 0);
            sent.epoch = epoch[which];
            if switch && !rewrite.shows(&sent) {
                epochs += 1;
                epoch[which] = epochs;
                sent.epoch = epochs;
                rewrite.begin(feed(), &sent, (RATE, None), start);
            }
            if !rewrite.shows(&sent) || !admitted.insert((sent.epoch, sent.sequence)) {
                continue;
            }
            let placed = match kind {
                0 => rewrite.leave_out(&sent, start),
                _ => rewrite.forward(&sent, start),
            };
            if let Some(Placed { index, .. }) = placed {
                let owner = used.insert(index, (sent.epoch, sent.sequence));
                prop_assert_eq!(owner, None, "index {} again", index);
                let found = rewrite.sent_as(index as u16).expect("just sent");
                prop_assert_eq!((found.index, found.number), (index, sent.sequence));
                prop_assert_eq!(rewrite.placed(&sent, index), placed);
            }
        }
    }
}
