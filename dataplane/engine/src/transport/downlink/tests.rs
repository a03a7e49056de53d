//! Pacing keeps order and its promise of delay; the brake doubles.

use super::*;
use crate::kit::outbound::PictureShift;
use crate::kit::table::{FeedName, Table};
use common::id::{SubscriptionId, TrackId};

fn packet(source: u64, since: Instant) -> Waiting {
    let feed = Table::new().insert(FeedName(TrackId::new(1, 0)), ()).expect("free");
    let subscription = Table::new().insert(SubscriptionId::new(1, 0), ()).expect("free");
    let numbers = Numbers {
        ssrc: 1,
        payload_type: 96,
        index: source,
        timestamp: 0,
        marker: false,
        shift: PictureShift::default(),
        skipped: 0,
    };
    Waiting {
        subscription,
        feed,
        encoding: 0,
        epoch: 0,
        source,
        numbers,
        fill: false,
        len: 1_200,
        since,
    }
}

/// Offers a frame of `count` packets; those that may leave at once are charged.
fn offer(downlink: &mut Downlink, count: u64, now: Instant) -> u64 {
    for source in 0..count {
        if downlink.is_busy(now) {
            downlink.wait(packet(source, now));
        } else {
            downlink.charge(1_200);
        }
    }
    downlink.waiting.len() as u64
}

#[test]
fn what_comes_faster_than_the_pace_waits_in_order_and_not_long() {
    let start = Instant::now();
    let mut downlink = Downlink::new(start);
    let waiting = offer(&mut downlink, 40, start);
    assert!((30..40).contains(&waiting), "a burst passes: {waiting}");
    assert!(downlink.is_busy(start), "others wait: so does the next one");
    let (mut now, mut left) = (start, Vec::new());
    while downlink.has_waiting() {
        now += Duration::from_millis(5);
        while let Some(packet) = downlink.next_due(now) {
            downlink.charge(packet.len.into());
            left.push(packet.source);
        }
    }
    assert!(left.is_sorted() && left.len() as u64 == waiting);
    let delay = now - start;
    assert!(delay <= DELAY_MAX + Duration::from_millis(5), "{delay:?}");
}

#[test]
fn into_a_full_path_packets_go_one_by_one() {
    let start = Instant::now();
    let mut downlink = Downlink::new(start);
    (downlink.draining, downlink.allowance) = (true, ALONE);
    assert_eq!(offer(&mut downlink, 3, start), 2);
    // 1,200 bytes at the estimate of 300 kbit/s take 32 ms.
    assert!(downlink.next_due(start + Duration::from_millis(30)).is_none());
    assert!(downlink.next_due(start + Duration::from_millis(33)).is_some());
    downlink.charge(1_200);
    assert!(downlink.may_repeat(start + Duration::from_millis(33)), "ahead of what waits");
    downlink.charge(2_400);
    assert!(!downlink.may_repeat(start + Duration::from_millis(33)), "but not many");
}

#[test]
fn a_subscription_that_ended_leaves_nothing_behind() {
    let start = Instant::now();
    let mut downlink = Downlink::new(start);
    offer(&mut downlink, 40, start);
    downlink.forget(packet(0, start).subscription);
    assert!(!downlink.has_waiting() && downlink.waiting_bytes == 0);
}

#[test]
fn who_falls_soon_after_rising_waits_longer_each_time() {
    let mut now = Instant::now();
    let mut brake = Brake::default();
    assert!(brake.is_open(now));
    let mut waits = Vec::new();
    for _ in 0..6 {
        brake.on_raise(now);
        now += Duration::from_secs(1);
        brake.on_fall(now);
        let fell = now;
        while !brake.is_open(now) {
            now += Duration::from_millis(100);
        }
        waits.push((now - fell).as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 16]);
    brake.on_raise(now);
    now += RAISE_LASTS;
    brake.on_fall(now);
    assert!(!brake.is_open(now) && brake.is_open(now + HOLD_MIN), "that one had lasted");
}
