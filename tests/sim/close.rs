//! Endings: consent, close_notify, the control plane's wish; and what remains afterwards (nothing).

use common::command::Command;
use common::event::{CloseReason, Event};
use common::media::MediaKind;
use tests::link::LinkConfig;
use tests::sim::Join;

use crate::{Call, millis, seconds};

fn silent() -> LinkConfig {
    LinkConfig::default().with_loss(1.0)
}

#[test]
fn consent_expires_thirty_seconds_after_the_last_check() {
    let mut call = Call::clean(1, 2);
    call.connect();
    call.sim.run_for(seconds(3));
    let viewer = call.viewers[0];
    call.sim.relink(viewer, silent(), silent());
    let since = call.sim.now();
    call.sim.run_for(seconds(26));
    assert_eq!(call.sim.closed(viewer), None);
    let closed = call.sim.run_until(seconds(6), |sim| sim.closed(viewer).is_some());
    assert!(closed);
    let after = call.sim.now() - since;
    assert!(after <= seconds(31), "{after:?}");
    assert_eq!(call.sim.closed(viewer), Some(CloseReason::ConsentExpired));
    call.sim.run_for(seconds(2));
    assert_eq!(call.sim.sum(|c| c.peers), 3);
    assert_eq!(call.sim.sum(|c| c.subscriptions), 4);
    let report = call.sim.report(call.watched[1].0);
    assert!(report.missing == 0 && report.silence < millis(60), "{report:?}");
    call.sim.check();
}

#[test]
fn close_notify_ends_exactly_that_peer() {
    let mut call = Call::clean(2, 4);
    call.connect();
    call.sim.run_for(seconds(2));
    let viewer = call.viewers[2];
    call.sim.act(viewer, |peer, now| peer.close(now));
    call.sim.run_for(seconds(2));
    assert_eq!(call.sim.closed(viewer), Some(CloseReason::CloseNotify));
    assert_eq!(call.sim.sum(|c| c.peers), 3);
    for (video, _) in &call.watched[..2] {
        let report = call.sim.report(*video);
        assert!(report.missing == 0 && report.silence < millis(60), "{report:?}");
    }
    call.sim.check();
}

#[test]
fn a_publisher_that_leaves_takes_its_tracks_along() {
    let mut call = Call::clean(3, 4);
    call.connect();
    call.sim.run_for(seconds(2));
    call.sim.act(call.publisher, |peer, now| peer.close(now));
    call.sim.run_for(seconds(1));
    assert_eq!(call.sim.closed(call.publisher), Some(CloseReason::CloseNotify));
    assert_eq!(call.sim.sum(|c| c.tracks), 0);
    let out = call.sim.sum(|c| c.media_out);
    call.sim.run_for(seconds(2));
    assert_eq!(call.sim.sum(|c| c.media_out), out);
    call.sim.check();
}

#[test]
fn the_control_plane_ends_a_peer_and_the_remote_side_learns_it() {
    let mut call = Call::clean(4, 2);
    call.connect();
    call.sim.run_for(seconds(2));
    let viewer = call.viewers[0];
    let (peer, home) = (call.sim.peer_id(viewer), call.sim.home(viewer).unwrap());
    call.sim.command(home, Command::ClosePeer { peer });
    call.sim.run_for(seconds(1));
    assert_eq!(call.sim.closed(viewer), Some(CloseReason::Requested));
    assert!(call.sim.peer(viewer).closed, "close_notify arrived");
    assert_eq!(call.sim.sum(|c| c.peers), 3);
    call.sim.check();

    // What can be reported later waits while the control plane falls behind.
    let traffic = |call: &Call| -> Vec<(u64, u64)> {
        let of = |(_, event): &(_, Event)| match event {
            Event::Traffic { received, sent, .. } => Some((*received, *sent)),
            _ => None,
        };
        call.sim.events.iter().filter_map(of).collect()
    };
    call.sim.set_event_room(0);
    let before = traffic(&call).len();
    call.sim.run_for(seconds(4));
    assert_eq!(traffic(&call).len(), before);
    // Nor does one report fill what room there is with what belongs to it.
    let reported = call.sim.events.len();
    call.sim.set_event_room(1);
    call.sim.run_for(seconds(4));
    assert_eq!(call.sim.events.len(), reported + 1);
    call.sim.set_event_room(usize::MAX);
    call.sim.run_for(seconds(3));
    assert!(traffic(&call).len() >= before + 3);

    // Each report goes with the path's figures, the tracks' rates and the layers that are shown.
    let events = || call.sim.events.iter().map(|(_, event)| event);
    assert!(events().any(|event| matches!(
        event,
        Event::Traffic { path, .. } if path.most >= path.least.max(1)
    )));
    assert!(events().any(|event| matches!(event, Event::TrackRates { rates, .. } if rates[0] > 0)));
    assert!(events().any(|event| matches!(event, Event::Shown { encoding: Some(_), .. })));

    // When all have left, every byte was reported as some peer's.
    for client in call.viewers[1..].iter().chain([&call.publisher]) {
        let (peer, home) = (call.sim.peer_id(*client), call.sim.home(*client).unwrap());
        call.sim.command(home, Command::ClosePeer { peer });
    }
    call.sim.run_for(seconds(1));
    assert_eq!(call.sim.sum(|c| c.peers), 0);
    let reports = traffic(&call).into_iter();
    let (received, sent) = reports.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert_eq!(sent, call.sim.sum(|c| c.bytes_out));
    let came = call.sim.sum(|c| c.bytes_in);
    assert!(received <= came && received > came / 2, "{received} of {came}");
}

#[test]
fn unpublish_and_unsubscribe_stop_media_at_once() {
    let mut call = Call::clean(5, 2);
    call.connect();
    call.sim.run_for(seconds(2));
    let home = call.sim.home(call.viewers[0]).unwrap();
    let subscription = call.sim.control().subscription_id(call.watched[0].0);
    call.sim.command(home, Command::Unsubscribe { subscription });
    call.sim.run_for(millis(100));
    let stopped = call.sim.report(call.watched[0].0).packets;
    call.sim.run_for(seconds(1));
    assert_eq!(call.sim.report(call.watched[0].0).packets, stopped);
    assert!(call.sim.report(call.watched[1].0).silence < millis(60));
    let home = call.sim.home(call.publisher).unwrap();
    let track = call.sim.control().track_id(call.video);
    call.sim.command(home, Command::Unpublish { track });
    call.sim.run_for(millis(100));
    let stopped = call.sim.report(call.watched[1].0).packets;
    call.sim.run_for(seconds(1));
    assert_eq!(call.sim.report(call.watched[1].0).packets, stopped);
    let audio = call.sim.report(call.watched[1].1);
    assert!(audio.missing == 0 && audio.silence < millis(60), "{audio:?}");
    call.sim.check();
}

#[test]
fn a_silent_track_is_reported_and_so_is_its_return() {
    let mut call = Call::clean(6, 1);
    call.connect();
    call.sim.run_for(seconds(2));
    let track = call.sim.control().track_id(call.audio);
    let count = |call: &Call, wanted: Event| {
        call.sim.events.iter().filter(|(_, event)| *event == wanted).count()
    };
    assert_eq!(count(&call, Event::TrackStarted { track }), 1);
    call.sim.source(call.publisher, 1).next_at = None;
    call.sim.run_for(seconds(28));
    assert_eq!(count(&call, Event::TrackSilent { track }), 0);
    call.sim.run_for(seconds(4));
    assert_eq!(count(&call, Event::TrackSilent { track }), 1);
    call.sim.resume(call.publisher, 1);
    call.sim.run_for(seconds(1));
    assert_eq!(count(&call, Event::TrackStarted { track }), 2);
    let other = call.sim.control().track_id(call.video);
    assert_eq!(count(&call, Event::TrackSilent { track: other }), 0);
    call.sim.check();
}

#[test]
fn a_peer_that_never_finishes_its_handshake_is_ended() {
    let mut call = Call::clean(7, 1);
    let stuck = call.sim.join(Join::subscriber());
    let watched = call.sim.subscribe(stuck, call.video, MediaKind::Video, true);
    let claimed = call.sim.run_until(seconds(1), |sim| sim.home(stuck).is_some());
    assert!(claimed);
    call.sim.relink(stuck, silent(), silent());
    call.sim.run_for(seconds(34));
    let reason = call.sim.closed(stuck);
    let fine = [Some(CloseReason::HandshakeFailed), Some(CloseReason::ConsentExpired)];
    assert!(fine.contains(&reason), "{reason:?}");
    assert_eq!(call.sim.report(watched).packets, 0);
    assert_eq!(call.sim.sum(|c| c.peers), 4);
    call.sim.check();
}
