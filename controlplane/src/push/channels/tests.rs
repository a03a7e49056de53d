//! The door's promises for data channels: nothing before the claim, streams unique and free only
//! when both directions were reset, one replier, subscriptions end with their channel.

use common::command::{PeerFacts, ReliabilityLimit};
use common::media::ExtensionMap;

use super::super::tests::drain;
use super::*;

const A: CoreId = CoreId(0);
const B: CoreId = CoreId(1);
const RELIABLE: Reliability = Reliability { ordered: true, limit: ReliabilityLimit::Never };
const PLAIN: ChannelWish = ChannelWish { wait_for_ack: false, can_reply: false };
const REPLIES: ChannelWish = ChannelWish { wait_for_ack: false, can_reply: true };

fn peer(index: u32) -> PeerId {
    PeerId::new(index, 0)
}

fn facts(peer: PeerId) -> PeerFacts {
    PeerFacts {
        peer,
        fingerprint: [7; 32],
        extensions: ExtensionMap::default(),
        transport_feedback: false,
        dtls_role: common::command::DtlsRole::Server,
        sctp: None,
    }
}

/// Peers 1 and 2 with a channel of peer 1 and a subscription of peer 2; none is claimed.
struct Scene {
    push: Push,
    out: Outbox,
    channel: ChannelId,
    subscription: ChannelSubscriptionId,
}

fn scene() -> Scene {
    let (mut push, mut out) = (Push::new(8, 8), Outbox::new());
    for index in [1, 2] {
        push.open_peer(peer(index));
        push.set_peer(facts(peer(index)), &mut out);
    }
    let (channel, stream) = push.publish_channel(peer(1), RELIABLE, &mut out).unwrap();
    assert_eq!(stream, 2);
    let (subscription, stream) = push.subscribe_channel(peer(2), channel, PLAIN, &mut out).unwrap();
    assert_eq!(stream, 2, "streams are the association's own");
    assert!(out.is_empty(), "nothing goes out before a claim");
    Scene { push, out, channel, subscription }
}

/// The same with both claimed, on different cores.
fn claimed() -> Scene {
    let mut scene = scene();
    scene.push.claimed(peer(1), A, &mut scene.out);
    scene.push.claimed(peer(2), B, &mut scene.out);
    scene.out.clear();
    scene
}

#[test]
fn a_claim_replays_what_can_be_known() {
    let Scene { mut push, mut out, .. } = scene();
    push.claimed(peer(2), B, &mut out);
    assert_eq!(drain(&mut out), ["1: set 2"]);
    push.claimed(peer(1), A, &mut out);
    let expected = [
        "0: set 1",
        "0: publish channel 0 at 2",
        "1: subscribe channel 0 to 0 on 0",
        "0: reach channel 0 core 1 true",
    ];
    assert_eq!(drain(&mut out), expected);
}

#[test]
fn a_stream_comes_back_when_its_core_freed_it_and_last() {
    let Scene { mut push, mut out, channel, .. } = claimed();
    assert_eq!(push.unpublish_channel(channel, &mut out), Some(peer(1)));
    assert_eq!(push.unpublish_channel(channel, &mut out), None);
    let mut open = || push.publish_channel(peer(1), RELIABLE, &mut Outbox::new());
    let streams: Vec<u16> = std::iter::from_fn(|| open().map(|(_, stream)| stream)).collect();
    assert_eq!(streams, Vec::from_iter(3..limits::SCTP_STREAMS_MAX), "2 is being reset");
    push.free_stream(peer(1), 5);
    assert_eq!(push.publish_channel(peer(1), RELIABLE, &mut out), None, "5 is in use");
    push.free_stream(peer(1), 2);
    assert_eq!(push.publish_channel(peer(1), RELIABLE, &mut out).map(|(_, s)| s), Some(2));
}

#[test]
fn a_stream_no_core_was_told_of_is_free_at_once() {
    let Scene { mut push, mut out, channel, subscription } = scene();
    push.unsubscribe_channel(subscription, &mut out);
    push.unpublish_channel(channel, &mut out);
    assert!(out.is_empty());
    let all = usize::from(limits::SCTP_STREAMS_MAX - STREAM_FIRST);
    for peer in [peer(1), peer(2)] {
        let open = || push.publish_channel(peer, RELIABLE, &mut Outbox::new());
        assert_eq!(std::iter::from_fn(open).count(), all);
    }
}

#[test]
fn a_channel_takes_its_subscriptions_along() {
    let Scene { mut push, mut out, channel, subscription } = claimed();
    push.unpublish_channel(channel, &mut out);
    let expected =
        ["0: reach channel 0 core 1 false", "1: unsubscribe channel 0", "0: unpublish channel 0"];
    assert_eq!(drain(&mut out), expected);
    assert!(push.channels.is_empty());
    assert_eq!(push.unsubscribe_channel(subscription, &mut out), None);
    assert_eq!(push.subscribe_channel(peer(2), channel, PLAIN, &mut out), None);
}

#[test]
fn one_subscriber_replies_at_a_time() {
    let Scene { mut push, mut out, channel, subscription } = claimed();
    let replies = |out: &mut Outbox| -> Vec<(u32, bool)> {
        let told = |(_, command)| match command {
            Command::SubscribeChannel(facts) => Some((facts.subscription.index, facts.can_reply)),
            _ => None,
        };
        out.drain(..).filter_map(told).collect()
    };
    push.allow_reply(subscription, true, &mut out);
    assert_eq!(replies(&mut out), [(0, true)]);
    let (second, _) = push.subscribe_channel(peer(2), channel, REPLIES, &mut out).unwrap();
    assert_eq!(replies(&mut out), [(0, false), (1, true)], "the right moves");
    push.allow_reply(subscription, false, &mut out);
    push.allow_reply(second, true, &mut out);
    assert!(out.is_empty(), "nothing changed");
    push.unsubscribe_channel(second, &mut out);
    drain(&mut out);
    push.allow_reply(subscription, true, &mut out);
    assert_eq!(replies(&mut out), [(0, true)]);
}

#[test]
fn a_moved_publisher_is_followed() {
    let Scene { mut push, mut out, subscription, .. } = claimed();
    push.open_peer(peer(3));
    assert!(push.move_peer(peer(1), peer(3), &mut out));
    assert_eq!(drain(&mut out), ["0: reach channel 0 core 1 false", "0: close 1"]);
    push.set_peer(facts(peer(3)), &mut out);
    push.claimed(peer(3), B, &mut out);
    let expected = ["1: set 3", "1: publish channel 0 at 2", "1: subscribe channel 0 to 0 on 1"];
    assert_eq!(drain(&mut out), expected);
    push.unsubscribe_channel(subscription, &mut out);
    assert_eq!(drain(&mut out), ["1: unsubscribe channel 0"]);
}

#[test]
fn a_moved_subscriber_keeps_its_streams_and_loses_what_was_being_reset() {
    let Scene { mut push, mut out, channel, subscription } = claimed();
    let (other, _) = push.subscribe_channel(peer(2), channel, PLAIN, &mut out).unwrap();
    push.unsubscribe_channel(other, &mut out);
    push.open_peer(peer(3));
    push.move_peer(peer(2), peer(3), &mut out);
    push.set_peer(facts(peer(3)), &mut out);
    out.clear();
    push.claimed(peer(3), CoreId(2), &mut out);
    let expected =
        ["2: set 3", "2: subscribe channel 0 to 0 on 0", "0: reach channel 0 core 2 true"];
    assert_eq!(drain(&mut out), expected);
    let streams = &push.peers[&peer(3)].channels.streams.used;
    assert_eq!(streams.iter().collect::<Vec<_>>(), [(&2, &Use::Live)]);
    push.unsubscribe_channel(subscription, &mut out);
    assert_eq!(push.peers[&peer(3)].channels.streams.used[&2], Use::Resetting);
}

#[test]
fn an_ended_association_frees_everything_of_its_peer() {
    let Scene { mut push, mut out, .. } = claimed();
    push.drop_channels(peer(1), &mut out);
    assert!(push.channels.is_empty());
    assert!(push.peers[&peer(1)].channels.streams.used.is_empty());
    assert_eq!(push.peers[&peer(2)].channels.streams.used[&2], Use::Resetting);
}

#[test]
fn a_closed_peer_leaves_nothing_behind() {
    let Scene { mut push, mut out, .. } = claimed();
    push.close_peer(peer(1), &mut out);
    let expected = ["0: reach channel 0 core 1 false", "1: unsubscribe channel 0", "0: close 1"];
    assert_eq!(drain(&mut out), expected);
    assert!(push.channels.is_empty());
}
