//! The door's promises: nothing before the claim, everything once, deltas afterwards, reach counted
//! per core.

use common::command::LayerChoice;
use common::media::{ExtensionMap, Label, MediaKind};

use super::*;

const A: CoreId = CoreId(0);
const B: CoreId = CoreId(1);

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

fn published(track: TrackId, peer: PeerId) -> PublishFacts {
    PublishFacts {
        track,
        peer,
        mid: Label::default(),
        kind: MediaKind::Video,
        payloads: Vec::new(),
        encodings: Vec::new(),
    }
}

fn subscribed(subscription: SubscriptionId, peer: PeerId, track: TrackId) -> SubscribeFacts {
    SubscribeFacts {
        subscription,
        peer,
        track,
        track_core: CoreId(99),
        kind: MediaKind::Video,
        clock_rate: 90_000,
        mid: Label::default(),
        ssrc: 1,
        rtx_ssrc: None,
        payloads: Vec::new(),
        layers: LayerChoice::default(),
    }
}

/// Commands as short texts, with the core they go to.
pub(super) fn drain(out: &mut Outbox) -> Vec<String> {
    out.drain(..)
        .map(|(core, command)| {
            let text = match command {
                Command::SetPeer(facts) => format!("set {}", facts.peer.index),
                Command::ClosePeer { peer } => format!("close {}", peer.index),
                Command::Publish(facts) => format!("publish {}", facts.track.index),
                Command::Unpublish { track } => format!("unpublish {}", track.index),
                Command::Subscribe(facts) => format!(
                    "subscribe {} to {} on {}",
                    facts.subscription.index, facts.track.index, facts.track_core.0
                ),
                Command::Unsubscribe { subscription } => {
                    format!("unsubscribe {}", subscription.index)
                }
                Command::Reach { track, core, wanted } => {
                    format!("reach {} core {} {wanted}", track.index, core.0)
                }
                Command::PublishChannel(facts) => {
                    format!("publish channel {} at {}", facts.channel.index, facts.stream)
                }
                Command::UnpublishChannel { channel } => {
                    format!("unpublish channel {}", channel.index)
                }
                Command::SubscribeChannel(facts) => format!(
                    "subscribe channel {} to {} on {}",
                    facts.subscription.index, facts.channel.index, facts.channel_core.0
                ),
                Command::UnsubscribeChannel { subscription } => {
                    format!("unsubscribe channel {}", subscription.index)
                }
                Command::ReachChannel { channel, core, wanted } => {
                    format!("reach channel {} core {} {wanted}", channel.index, core.0)
                }
            };
            format!("{}: {text}", core.0)
        })
        .collect()
}

/// A publisher and a subscriber with a track and a subscription, none claimed.
struct Scene {
    push: Push,
    out: Outbox,
    track: TrackId,
    subscription: SubscriptionId,
}

fn scene() -> Scene {
    let (mut push, mut out) = (Push::new(8, 8), Outbox::new());
    let (Some(track), Some(subscription)) = (push.new_track(), push.new_subscription()) else {
        panic!("ids");
    };
    for index in [1, 2] {
        push.open_peer(peer(index));
        push.set_peer(facts(peer(index)), &mut out);
    }
    push.publish(published(track, peer(1)), &mut out);
    push.subscribe(subscribed(subscription, peer(2), track), &mut out);
    assert_eq!(drain(&mut out), [""; 0], "nothing goes out before a claim");
    Scene { push, out, track, subscription }
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
fn a_claim_replays_everything_that_can_be_known() {
    let Scene { mut push, mut out, .. } = scene();
    push.claimed(peer(1), A, &mut out);
    assert_eq!(drain(&mut out), ["0: set 1", "0: publish 0"]);
    push.claimed(peer(2), B, &mut out);
    let expected = ["1: set 2", "1: subscribe 0 to 0 on 0", "0: reach 0 core 1 true"];
    assert_eq!(drain(&mut out), expected);
}

#[test]
fn a_subscription_waits_for_its_publisher_s_claim() {
    let Scene { mut push, mut out, .. } = scene();
    push.claimed(peer(2), B, &mut out);
    assert_eq!(drain(&mut out), ["1: set 2"]);
    push.claimed(peer(1), A, &mut out);
    let expected =
        ["0: set 1", "0: publish 0", "1: subscribe 0 to 0 on 0", "0: reach 0 core 1 true"];
    assert_eq!(drain(&mut out), expected);
}

#[test]
fn a_claim_before_the_facts_waits_for_them() {
    let (mut push, mut out) = (Push::new(8, 8), Outbox::new());
    push.open_peer(peer(1));
    push.claimed(peer(1), A, &mut out);
    assert_eq!(drain(&mut out), [""; 0]);
    push.set_peer(facts(peer(1)), &mut out);
    assert_eq!(drain(&mut out), ["0: set 1"]);
}

#[test]
fn one_core_needs_no_reach() {
    let Scene { mut push, mut out, .. } = scene();
    push.claimed(peer(1), A, &mut out);
    push.claimed(peer(2), A, &mut out);
    assert!(!drain(&mut out).iter().any(|text| text.contains("reach")));
}

#[test]
fn reach_is_counted_per_track_and_core() {
    let Scene { mut push, mut out, track, subscription } = claimed();
    let Some(second) = push.new_subscription() else { panic!("id") };
    push.subscribe(subscribed(second, peer(2), track), &mut out);
    assert_eq!(drain(&mut out), ["1: subscribe 1 to 0 on 0"]);
    push.unsubscribe(subscription, &mut out);
    assert_eq!(drain(&mut out), ["1: unsubscribe 0"]);
    push.unsubscribe(second, &mut out);
    assert_eq!(drain(&mut out), ["0: reach 0 core 1 false", "1: unsubscribe 1"]);
    assert!(push.reach.is_empty());
}

#[test]
fn re_pointing_moves_the_reach() {
    let Scene { mut push, mut out, subscription, .. } = claimed();
    let Some(other) = push.new_track() else { panic!("id") };
    push.publish(published(other, peer(1)), &mut out);
    drain(&mut out);
    push.subscribe(subscribed(subscription, peer(2), other), &mut out);
    let expected =
        ["0: reach 0 core 1 false", "1: subscribe 0 to 1 on 0", "0: reach 1 core 1 true"];
    assert_eq!(drain(&mut out), expected);
}

#[test]
fn an_ended_track_takes_its_reach_along_and_frees_its_id() {
    let Scene { mut push, mut out, track, .. } = claimed();
    push.unpublish(track, &mut out);
    assert_eq!(drain(&mut out), ["0: reach 0 core 1 false", "0: unpublish 0"]);
    assert_eq!(push.new_track(), Some(TrackId::new(track.index, track.generation + 1)));
}

#[test]
fn a_moved_publisher_is_followed_by_its_subscribers() {
    let Scene { mut push, mut out, .. } = claimed();
    push.open_peer(peer(3));
    assert!(push.move_peer(peer(1), peer(3), &mut out));
    assert_eq!(drain(&mut out), ["0: reach 0 core 1 false", "0: close 1"]);
    push.set_peer(facts(peer(3)), &mut out);
    push.claimed(peer(3), B, &mut out);
    assert_eq!(drain(&mut out), ["1: set 3", "1: publish 0", "1: subscribe 0 to 0 on 1"]);
}

#[test]
fn a_moved_subscriber_is_told_again_on_its_new_core() {
    let Scene { mut push, mut out, .. } = claimed();
    push.open_peer(peer(3));
    assert!(push.move_peer(peer(2), peer(3), &mut out));
    assert_eq!(drain(&mut out), ["0: reach 0 core 1 false", "1: close 2"]);
    push.set_peer(facts(peer(3)), &mut out);
    push.claimed(peer(3), CoreId(2), &mut out);
    let expected = ["2: set 3", "2: subscribe 0 to 0 on 0", "0: reach 0 core 2 true"];
    assert_eq!(drain(&mut out), expected);
}

#[test]
fn a_closed_peer_leaves_nothing_behind() {
    let Scene { mut push, mut out, .. } = claimed();
    assert!(push.close_peer(peer(2), &mut out));
    assert_eq!(drain(&mut out), ["0: reach 0 core 1 false", "1: close 2"]);
    assert!(push.close_peer(peer(1), &mut out));
    assert_eq!(drain(&mut out), ["0: close 1"]);
    assert!(push.peers.is_empty() && push.tracks.is_empty() && push.subscriptions.is_empty());
    assert!(push.reach.is_empty());
}

#[test]
fn a_late_claim_of_a_closed_peer_is_closed_there() {
    let Scene { mut push, mut out, .. } = scene();
    assert!(!push.close_peer(peer(1), &mut out), "no core has it");
    push.claimed(peer(1), B, &mut out);
    assert_eq!(drain(&mut out), ["1: close 1"]);
}

#[test]
fn wishes_for_an_unknown_peer_give_their_ids_back() {
    let (mut push, mut out) = (Push::new(1, 1), Outbox::new());
    let (Some(track), Some(subscription)) = (push.new_track(), push.new_subscription()) else {
        panic!("ids");
    };
    assert_eq!((push.new_track(), push.new_subscription()), (None, None));
    push.publish(published(track, peer(9)), &mut out);
    push.subscribe(subscribed(subscription, peer(9), track), &mut out);
    assert!(push.new_track().is_some() && push.new_subscription().is_some());
    assert!(out.is_empty());
}
