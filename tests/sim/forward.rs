//! Forwarding: what a subscriber receives is what the publisher sent, on one core and on four.

use common::event::Event;
use common::media::MediaKind;
use tests::peer::SUBSCRIBER_TYPES;
use tests::sim::{Join, MIDS, SimConfig};

use crate::{Call, millis, seconds};

fn assert_clean(call: &mut Call, time_ms: u64) {
    let sim = &mut call.sim;
    let sent_video = sim.source(call.publisher, 0).counter;
    let sent_audio = sim.source(call.publisher, 1).counter;
    for (number, (video, audio)) in call.watched.iter().enumerate() {
        let report = sim.report(*video);
        assert!(report.began_with_key, "viewer {number}: {report:?}");
        assert_eq!((report.missing, report.late), (0, 0), "viewer {number}: {report:?}");
        assert!(report.last_counter + 6 >= sent_video, "viewer {number}: {report:?}");
        assert!(report.packets >= time_ms * 3 * 28 / 1000, "viewer {number}: {report:?}");
        assert!(report.silence < millis(60), "viewer {number}: {report:?}");
        let report = sim.report(*audio);
        assert_eq!((report.missing, report.late), (0, 0), "viewer {number}: {report:?}");
        assert!(report.last_counter + 4 >= sent_audio, "viewer {number}: {report:?}");
        assert!(report.packets >= time_ms * 48 / 1000, "viewer {number}: {report:?}");
    }
    sim.check();
}

#[test]
fn one_to_three_on_one_core() {
    let mut call = Call::clean(1, 1);
    call.connect();
    call.sim.run_for(seconds(5));
    assert_clean(&mut call, 4_500);
    assert_eq!(call.sim.sum(|c| c.frames_out), 0);
    assert_eq!(call.sim.sum(|c| c.handed_over), 0);
}

#[test]
fn one_to_three_on_four_cores() {
    let mut crossed = 0;
    for seed in 1..5 {
        let mut call = Call::clean(seed, 4);
        call.connect();
        call.sim.run_for(seconds(3));
        assert_clean(&mut call, 2_500);
        let (out, into) = (call.sim.sum(|c| c.frames_out), call.sim.sum(|c| c.frames_in));
        assert!(out >= into && out - into < 4, "{out} {into}");
        crossed += out;
    }
    assert!(crossed > 1000, "no seed put a viewer on another core than the publisher: {crossed}");
}

#[test]
fn what_came_in_together_leaves_together_for_each_viewer() {
    let mut call = Call::clean(1, 1);
    call.connect();
    let before = (call.sim.sum(|c| c.datagrams_out), call.sim.runs());
    call.sim.run_for(seconds(3));
    let sent = call.sim.sum(|c| c.datagrams_out) - before.0;
    let runs = call.sim.runs() - before.1;
    // Most datagrams are of pictures of three or more packets; the others go alone.
    assert!(2 * sent > 3 * runs, "{sent} datagrams in {runs} runs");
}

#[test]
fn packets_carry_the_subscribers_numbers() {
    let mut call = Call::clean(3, 2);
    call.connect();
    call.sim.run_for(seconds(1));
    for viewer in &call.viewers {
        let received = &call.sim.peer(*viewer).received;
        assert!(received.iter().any(|packet| packet.payload_type == SUBSCRIBER_TYPES.video));
        assert!(received.iter().any(|packet| packet.payload_type == SUBSCRIBER_TYPES.audio));
        for packet in received {
            let video = packet.payload_type == SUBSCRIBER_TYPES.video;
            let mid = if video { MIDS[0] } else { MIDS[1] };
            assert!(packet.mid.is_none_or(|found| found == mid.into()), "{packet:?}");
        }
        let frames = received.iter().filter(|p| p.payload_type == SUBSCRIBER_TYPES.video);
        let (marked, plain): (Vec<_>, Vec<_>) = frames.partition(|packet| packet.marker);
        assert!(plain.len().abs_diff(marked.len() * 2) <= 3, "{} {}", plain.len(), marked.len());
    }
}

#[test]
fn ssrcs_can_be_learnt_from_mids() {
    let config = SimConfig { signal_ssrc: false, ..SimConfig::new(4, 2) };
    let mut call = Call::new(config, Join::publisher(), &[Join::subscriber(); 2], true);
    call.connect();
    call.sim.run_for(seconds(3));
    assert_clean(&mut call, 2_500);
    let events = call.sim.events.iter();
    assert_eq!(events.filter(|(_, e)| matches!(e, Event::TrackStarted { .. })).count(), 2);
}

#[test]
fn a_late_viewer_begins_with_a_key_frame_it_asked_for() {
    for cores in [1, 4] {
        let mut call = Call::clean(5, cores);
        call.connect();
        call.sim.run_for(seconds(3));
        let before = call.sim.source(call.publisher, 0).key_frames;
        let late = call.add_viewer(Join::subscriber(), true);
        call.connect();
        call.sim.run_for(seconds(2));
        let after = call.sim.source(call.publisher, 0).key_frames;
        assert!(after > before, "{before} {after}");
        let report = call.sim.report(call.watched[late].0);
        assert!(report.began_with_key && report.packets > 100, "{report:?}");
        assert_clean(&mut call, 1_500);
    }
}

#[test]
fn reports_flow_in_both_directions() {
    let mut call = Call::clean(6, 2);
    call.connect();
    call.sim.run_for(seconds(10));
    let publisher = call.sim.peer(call.publisher).rtcp_in;
    assert!((5..60).contains(&publisher.receiver_reports), "{publisher:?}");
    for viewer in &call.viewers {
        let seen = call.sim.peer(*viewer).rtcp_in;
        assert!((5..60).contains(&seen.sender_reports), "{seen:?}");
    }
    call.sim.check();
}

#[test]
fn transport_wide_feedback_reaches_a_publisher_that_numbers_its_packets() {
    let publisher = Join { transport_cc: true, ..Join::publisher() };
    let mut call = Call::new(SimConfig::new(7, 2), publisher, &[Join::subscriber()], true);
    call.connect();
    call.sim.run_for(seconds(3));
    let seen = call.sim.peer(call.publisher).rtcp_in;
    assert!((20..120).contains(&seen.transport_feedback), "{seen:?}");
    assert_clean(&mut call, 2_500);
}

#[test]
fn two_calls_on_one_node_do_not_mix() {
    let mut call = Call::clean(8, 4);
    let other = call.sim.join(Join::publisher());
    let track = call.sim.publish(other, MediaKind::Video, tests::source::Shape::CAMERA);
    let viewer = call.sim.join(Join::subscriber());
    let watched = call.sim.subscribe(viewer, track, MediaKind::Video, true);
    call.connect();
    call.sim.run_for(seconds(3));
    assert_clean(&mut call, 2_500);
    let report = call.sim.report(watched);
    assert!(report.packets > 200 && report.foreign == 0, "{report:?}");
    for viewer in &call.viewers {
        let received = &call.sim.peer(*viewer).received;
        assert!(received.iter().all(|p| p.stamp.unwrap().stream != track as u32));
    }
}

#[test]
fn a_full_lane_drops_frames_and_counts_them() {
    let config = SimConfig { lane_depth: 2, ..SimConfig::new(2, 4) };
    let mut call = Call::new(config, Join::publisher(), &[Join::subscriber(); 3], true);
    call.connect();
    call.sim.run_for(seconds(3));
    assert!(call.sim.sum(|c| c.dropped(common::counters::Drop::LaneFull)) > 0);
    call.sim.check();
}

#[test]
fn a_driver_without_free_slots_costs_packets_and_nothing_else() {
    let config = SimConfig { slots: 2, ..SimConfig::new(2, 1) };
    let mut call = Call::new(config, Join::publisher(), &[Join::subscriber(); 3], true);
    call.connect();
    call.sim.run_for(seconds(3));
    assert!(call.sim.sum(|c| c.dropped(common::counters::Drop::NoSendSlot)) > 0);
    call.sim.check();
}
