//! Real rings, real sockets, the real clock: the same traffic through both drivers, peers on
//! somebody else's stack. What the simulation cannot see.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use common::counters::Counters;
use common::event::{CloseReason, Event};
use common::media::MediaKind;
use dataplane::{DriverChoice, DriverKind};
use tests::source::Shape;
use tests::wire::Rig;

const VIDEO: Shape = Shape { interval: Duration::from_millis(10), packets: 5, ..Shape::CAMERA };
const AUDIO: Shape = Shape { interval: Duration::from_millis(10), ..Shape::MICROPHONE };

/// One publisher, five viewers (more until both cores have a peer). Returns each viewer's counts.
fn fan_out(driver: DriverChoice, host: &str, packets: u64) -> Vec<(u64, u64)> {
    let mut rig = Rig::start(driver, 2, host);
    let publisher = rig.join(true);
    let video = rig.publish(publisher, MediaKind::Video, VIDEO);
    let audio = rig.publish(publisher, MediaKind::Audio, AUDIO);
    let mut watched = Vec::new();
    while watched.len() < 5 || homes(&rig, watched.len()).len() < 2 {
        assert!(watched.len() < 20, "the kernel puts all flows on one core");
        let viewer = rig.join(false);
        let video = rig.subscribe(viewer, video, MediaKind::Video);
        watched.push((video, rig.subscribe(viewer, audio, MediaKind::Audio)));
        if watched.len() >= 5 {
            assert!(rig.connect(), "{:?}", rig.events);
        }
    }
    rig.play(packets);
    let counts = watched.iter().map(|(video, audio)| {
        let (video, audio) = (rig.report(*video), rig.report(*audio));
        for report in [video, audio] {
            let wrong = report.broken + report.foreign + report.repeated + report.torn;
            assert_eq!((wrong, report.missing, report.late), (0, 0, 0), "{report:?}");
        }
        (video.packets, audio.packets)
    });
    let counts = counts.collect();
    rig.run_for(Duration::from_millis(200));
    check_books(&rig);
    rig.plane.stop();
    counts
}

fn homes(rig: &Rig, viewers: usize) -> BTreeSet<u8> {
    (0..=viewers).filter_map(|peer| rig.home(peer)).map(|core| core.0).collect()
}

/// Every core accounts for every datagram.
fn check_books(rig: &Rig) {
    for counters in rig.plane.counters() {
        let (came, went) = tests::oracle::accounted(&counters);
        assert_eq!(came, went, "{counters:?}");
    }
    assert_eq!(rig.plane.lane_depths().events_lost, 0);
}

#[test]
fn both_drivers_forward_everything_to_five_viewers_on_two_cores() {
    let packets = 600;
    let mmsg = fan_out(DriverChoice::Mmsg, "127.0.0.1", packets);
    assert!(mmsg.iter().all(|counts| *counts == (packets, packets)), "{mmsg:?}");
    let ring = fan_out(DriverChoice::Uring, "127.0.0.1", packets);
    assert!(ring.iter().all(|counts| *counts == (packets, packets)), "{ring:?}");
}

#[test]
fn both_drivers_forward_over_ipv6() {
    for driver in [DriverChoice::Mmsg, DriverChoice::Uring] {
        let counts = fan_out(driver, "::1", 200);
        assert!(counts.iter().all(|counts| *counts == (200, 200)), "{driver:?} {counts:?}");
    }
}

/// Publisher and viewers over TCP, and one viewer over UDP, on two cores; connections that landed on
/// another core than their peer's home moved there.
#[test]
fn both_drivers_forward_everything_over_tcp() {
    for (driver, host) in [(DriverChoice::Mmsg, "127.0.0.1"), (DriverChoice::Uring, "::1")] {
        let mut rig = Rig::start(driver, 2, host);
        let publisher = rig.join_over_tcp(true);
        let video = rig.publish(publisher, MediaKind::Video, VIDEO);
        let audio = rig.publish(publisher, MediaKind::Audio, AUDIO);
        let mut watched = Vec::new();
        for number in 0..8 {
            let viewer = if number == 0 { rig.join(false) } else { rig.join_over_tcp(false) };
            watched.push(rig.subscribe(viewer, video, MediaKind::Video));
            watched.push(rig.subscribe(viewer, audio, MediaKind::Audio));
        }
        assert!(rig.connect(), "{:?}", rig.events);
        rig.play(600);
        for watch in watched {
            let report = rig.report(watch);
            let wrong = report.broken + report.foreign + report.repeated + report.torn;
            assert_eq!((report.packets, wrong, report.missing), (600, 0, 0), "{report:?}");
        }
        rig.run_for(Duration::from_millis(200));
        check_books(&rig);
        let counters = rig.plane.counters();
        let sum = |value: fn(&Counters) -> u64| counters.iter().map(value).sum::<u64>();
        assert_eq!((sum(|c| c.tcp.accepted), sum(|c| c.tcp.open)), (8, 8));
        assert_eq!(sum(|c| c.tcp.datagrams_dropped + c.tcp.refused), 0);
        rig.plane.stop();
    }
}

#[test]
fn a_peer_closes_and_its_place_is_free_again() {
    for driver in [DriverChoice::Mmsg, DriverChoice::Uring] {
        let mut rig = Rig::start(driver, 1, "127.0.0.1");
        let peer = rig.join(true);
        assert!(rig.connect(), "{:?}", rig.events);
        rig.close(peer);
        let closed = |rig: &Rig| {
            let notified = CloseReason::CloseNotify;
            rig.events
                .iter()
                .any(|e| matches!(e, Event::Closed { reason, .. } if *reason == notified))
        };
        assert!(rig.run_until(Duration::from_secs(5), closed), "{:?}", rig.events);
        // An idle core ticks, and gauges, about once a second.
        let empty = |rig: &Rig| rig.plane.counters().iter().all(|counters| counters.peers == 0);
        assert!(rig.run_until(Duration::from_secs(3), empty), "{:?}", rig.plane.counters());
        check_books(&rig);
        rig.plane.stop();
    }
}

#[test]
fn the_ring_driver_is_what_was_asked_for() {
    let rig = Rig::start(DriverChoice::Uring, 1, "127.0.0.1");
    assert_eq!(rig.plane.driver(), DriverKind::Uring);
    rig.plane.stop();
}
