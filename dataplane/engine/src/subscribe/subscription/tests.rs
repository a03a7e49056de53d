//! What a subscription does with packets: where it begins, switches, and what it leaves out.

use super::*;
use crate::kit::table::{FeedName, Table};
use crate::subscribe::layers::PATIENCE;
use common::command::LayerChoice;
use common::id::{CoreId, PeerId, SubscriptionId, TrackId};
use common::media::Label;
use proto::payload::facts::FrameFacts;

fn subscription(kind: MediaKind, encoding: Option<u8>, now: Instant) -> Subscription {
    let (mut peers, mut feeds) = (Table::new(), Table::new());
    let peer = peers.insert(PeerId::new(1, 0), ()).expect("free");
    let feed = feeds.insert(FeedName(TrackId::new(1, 0)), ()).expect("free");
    Subscription::new(&facts(kind, encoding), peer, feed, 0, now)
}

fn facts(kind: MediaKind, encoding: Option<u8>) -> SubscribeFacts {
    SubscribeFacts {
        subscription: SubscriptionId::new(1, 0),
        peer: PeerId::new(1, 0),
        track: TrackId::new(1, 0),
        track_core: CoreId(0),
        kind,
        clock_rate: 90_000,
        mid: Label::new(b"0").expect("short"),
        ssrc: 1,
        rtx_ssrc: None,
        payloads: vec![PayloadMapping { from: 96, to: 100, rtx: None }],
        layers: LayerChoice { preferred: encoding, ..LayerChoice::default() },
    }
}

fn packet(encoding: u8, sequence: u64, key_frame: bool) -> Packet {
    let timestamp = sequence as u32 * 3_000;
    let frame = FrameFacts { key: key_frame, ..FrameFacts::UNKNOWN };
    Packet { encoding, sequence, frame, timestamp, payload_type: 96, ..Packet::blank() }
}

fn index(pick: Pick) -> Option<u64> {
    match pick {
        Pick::Forward(numbers) => Some(numbers.index),
        Pick::Fill(_) | Pick::Skip => None,
    }
}

#[test]
fn video_starts_at_a_key_frame_and_audio_at_once() {
    let now = Instant::now();
    let mut video = subscription(MediaKind::Video, None, now);
    assert_eq!(video.waits_for(now), Some(0));
    assert_eq!(video.pick(&packet(0, 10, false), |_| None, now), Pick::Skip);
    assert_eq!(index(video.pick(&packet(0, 11, true), |_| None, now)), Some(1));
    assert_eq!(index(video.pick(&packet(0, 12, false), |_| None, now)), Some(2));
    assert_eq!(video.waits_for(now), None);
    let mut audio = subscription(MediaKind::Audio, None, now);
    assert_eq!(audio.waits_for(now), None);
    assert_eq!(index(audio.pick(&packet(0, 10, false), |_| None, now)), Some(1));
}

#[test]
fn the_old_encoding_flows_until_the_new_one_has_a_key_frame() {
    let now = Instant::now();
    let mut sub = subscription(MediaKind::Video, Some(1), now);
    assert_eq!(sub.pick(&packet(0, 10, true), |_| None, now), Pick::Skip, "pinned to the other");
    assert_eq!(index(sub.pick(&packet(1, 500, true), |_| None, now)), Some(1));
    let feed = sub.feed;
    assert!(sub.update(&facts(MediaKind::Video, Some(0)), feed, now));
    assert_eq!(sub.waits_for(now), Some(0));
    assert_eq!(index(sub.pick(&packet(1, 501, false), |_| None, now)), Some(2));
    assert_eq!(sub.pick(&packet(0, 11, false), |_| None, now), Pick::Skip);
    assert_eq!(index(sub.pick(&packet(0, 12, true), |_| None, now)), Some(3));
    assert_eq!(sub.pick(&packet(1, 502, false), |_| None, now), Pick::Skip, "the old one ended");
    assert_eq!(sub.waits_for(now), None);
}

#[test]
fn what_was_sent_under_other_names_is_not_the_same_any_more() {
    let now = Instant::now();
    let mut sub = subscription(MediaKind::Audio, None, now);
    assert_eq!(index(sub.pick(&packet(0, 10, false), |_| None, now)), Some(1));
    let (feed, same) = (sub.feed, facts(MediaKind::Audio, None));
    sub.update(&same, feed, now);
    assert!(sub.same_since <= 1, "nothing changed");
    let payloads = vec![PayloadMapping { from: 96, to: 101, rtx: None }];
    sub.update(&SubscribeFacts { payloads, ..same }, feed, now);
    assert_eq!(sub.same_since, 2);
    assert_eq!(index(sub.pick(&packet(0, 11, false), |_| None, now)), Some(2));
}

#[test]
fn a_new_epoch_waits_for_a_key_frame() {
    let now = Instant::now();
    let mut sub = subscription(MediaKind::Video, None, now);
    assert_eq!(index(sub.pick(&packet(0, 9_000, true), |_| None, now)), Some(1));
    let restarted = |sequence, key_frame| Packet { epoch: 1, ..packet(0, sequence, key_frame) };
    assert_eq!(sub.pick(&restarted(5, false), |_| None, now), Pick::Skip);
    assert_eq!(sub.waits_for(now), Some(0));
    assert_eq!(index(sub.pick(&restarted(6, true), |_| None, now)), Some(2));
}

#[test]
fn what_shows_no_key_frame_starts_at_a_frame_after_a_while() {
    let now = Instant::now();
    let mut sub = subscription(MediaKind::Video, None, now);
    let same_frame = Packet { timestamp: 30_000, ..packet(0, 11, false) };
    assert_eq!(sub.pick(&packet(0, 10, false), |_| None, now), Pick::Skip);
    assert_eq!(sub.pick(&same_frame, |_| None, now + PATIENCE), Pick::Skip, "middle of a frame");
    assert_eq!(index(sub.pick(&packet(0, 12, false), |_| None, now + PATIENCE)), Some(1));
}
