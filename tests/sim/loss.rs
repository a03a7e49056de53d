//! Repair: what is lost on the way to a viewer comes from the node's history; what is lost on the
//! way from the publisher is asked of the publisher, once for all.

use tests::link::{Burst, LinkConfig};
use tests::sim::{Join, SimConfig};

use crate::{Call, millis, seconds};

#[test]
fn packets_lost_on_the_way_down_are_resent() {
    for (seed, loss, rtx) in
        [(1, 0.05, true), (2, 0.05, false), (3, 0.2, true), (4, 0.2, false), (5, 0.05, true)]
    {
        let lossy = Join { down: LinkConfig::default().with_loss(loss), ..Join::subscriber() };
        let viewers = [lossy, Join::subscriber()];
        let mut call = Call::new(SimConfig::new(seed, 2), Join::publisher(), &viewers, rtx);
        call.connect();
        call.sim.run_for(seconds(8));
        let (resent, nacked) = (call.sim.sum(|c| c.resent), call.sim.sum(|c| c.nacked));
        let report = call.sim.report(call.watched[0].0);
        let lost = call.sim.lost(call.viewers[0]).1;
        assert!(nacked > 10 && resent > 10, "seed {seed}: {nacked} {resent} {report:?}");
        // A resent packet may be lost again; after a few rounds little is left.
        let left = report.missing as f64 / report.packets as f64;
        assert!(left < loss / 8.0, "seed {seed}: {lost} lost, {left} left: {report:?}");
        let clean = call.sim.report(call.watched[1].0);
        assert_eq!(clean.missing, 0, "seed {seed}: the other viewer is not touched");
        let asked = call.sim.peer(call.publisher).rtcp_in;
        assert_eq!(asked.nacked, 0, "seed {seed}: the publisher lost nothing: {asked:?}");
        call.sim.check();
    }
}

#[test]
fn packets_lost_on_the_way_up_are_asked_of_the_publisher_once_for_all_viewers() {
    for seed in 1..5 {
        let lossy = Join { up: LinkConfig::default().with_loss(0.05), ..Join::publisher() };
        let mut call = Call::new(SimConfig::new(seed, 2), lossy, &[Join::subscriber(); 3], true);
        call.connect();
        call.sim.run_for(seconds(8));
        let lost = call.sim.lost(call.publisher).0;
        let asked = call.sim.peer(call.publisher).rtcp_in;
        assert!(lost > 10 && asked.nacked > 10, "seed {seed}: {lost} {asked:?}");
        assert!(asked.nacked < lost * 5, "seed {seed}: {lost} lost, {asked:?}");
        for (video, _) in &call.watched {
            let report = call.sim.report(*video);
            let left = report.missing as f64 / report.packets as f64;
            assert!(left < 0.012, "seed {seed}: {lost} lost, {left} left: {report:?}");
        }
        call.sim.check();
    }
}

#[test]
fn bursts_disorder_and_duplicates_break_nothing() {
    for seed in 10..16 {
        let burst = Some(Burst { enter: 0.02, leave: 0.3 });
        let bad =
            LinkConfig { burst, ..LinkConfig::default() }.with_disorder(millis(12), 0.05, 0.03);
        let viewers = [Join::subscriber().on(bad), Join::subscriber()];
        let publisher = Join::publisher().on(bad);
        let mut call = Call::new(SimConfig::new(seed, 4), publisher, &viewers, seed % 2 == 0);
        call.connect();
        call.sim.run_for(seconds(6));
        for (video, audio) in &call.watched {
            let (video, audio) = (call.sim.report(*video), call.sim.report(*audio));
            assert!(video.packets > 250 && audio.packets > 120, "{seed}: {video:?} {audio:?}");
            assert!(video.silence < seconds(2), "{seed}: {video:?}");
        }
        call.sim.check();
    }
}

#[test]
fn a_rate_limited_viewer_does_not_slow_the_others() {
    let narrow = LinkConfig { rate: Some(20_000), ..LinkConfig::default() };
    let viewers = [Join { down: narrow, ..Join::subscriber() }, Join::subscriber()];
    let mut call = Call::new(SimConfig::new(21, 1), Join::publisher(), &viewers, true);
    call.connect();
    call.sim.run_for(seconds(6));
    let report = call.sim.report(call.watched[1].0);
    assert_eq!(report.missing, 0, "{report:?}");
    assert!(report.silence < millis(60), "{report:?}");
    call.sim.check();
}

#[test]
fn key_frame_requests_of_many_are_merged_and_bounded() {
    let viewers = [Join::subscriber(); 5];
    let mut call = Call::new(SimConfig::new(31, 4), Join::publisher(), &viewers, true);
    call.connect();
    call.sim.run_for(seconds(1));
    let before = call.sim.peer(call.publisher).rtcp_in;
    let ssrcs: Vec<_> = call.watched.iter().map(|(video, _)| 0x5000_0000 + *video as u32).collect();
    for round in 0..100 {
        for (viewer, ssrc) in call.viewers.iter().zip(&ssrcs) {
            let fir = round % 2 == 1;
            call.sim.act(*viewer, |peer, now| peer.request_key_frame(*ssrc, fir, now));
        }
        call.sim.run_for(millis(20));
    }
    let after = call.sim.peer(call.publisher).rtcp_in;
    let asked = after.pli + after.fir - before.pli - before.fir;
    let wished: u64 = call.viewers.iter().map(|v| call.sim.peer(*v).rtcp_out.pli).sum();
    assert!(wished > 100, "{wished}");
    assert!((4..=12).contains(&asked), "{wished} wishes in 2 s became {asked} requests");
    assert_eq!(after.nacked, 0);
    call.sim.check();
}
