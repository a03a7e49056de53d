//! A peer's source address changes in the middle of a call (NAT rebinding): media goes on over the
//! new path, handed over when it lands on another core.

use tests::sim::{Join, SimConfig};

use crate::{Call, millis, seconds};

#[test]
fn a_publisher_moves_and_its_viewers_hardly_notice() {
    for (seed, cores) in [(1, 1), (2, 4), (3, 4)] {
        let mut call = Call::clean(seed, cores);
        call.connect();
        call.sim.run_for(seconds(4));
        let handed = call.sim.sum(|c| c.handed_over);
        let home = call.sim.home(call.publisher).unwrap();
        call.sim.rebind(call.publisher);
        call.sim.run_for(seconds(10));
        assert_eq!(call.sim.home(call.publisher), Some(home), "the home never changes");
        for (video, _) in &call.watched {
            let report = call.sim.report(*video);
            let sent = call.sim.source(call.publisher, 0).counter;
            assert!(report.last_counter + 6 >= sent, "seed {seed}: {sent} {report:?}");
            assert!(report.silence < seconds(6), "seed {seed}: {report:?}");
        }
        let handed = call.sim.sum(|c| c.handed_over) - handed;
        assert_eq!(handed > 200, cores > 1, "seed {seed}: {handed}");
        call.sim.check();
    }
}

#[test]
fn a_viewer_moves_and_media_follows() {
    for (seed, cores) in [(4, 1), (5, 4)] {
        let mut call = Call::clean(seed, cores);
        call.connect();
        call.sim.run_for(seconds(4));
        call.sim.rebind(call.viewers[1]);
        call.sim.run_for(seconds(10));
        for (number, (video, _)) in call.watched.iter().enumerate() {
            let report = call.sim.report(*video);
            let sent = call.sim.source(call.publisher, 0).counter;
            let silence = if number == 1 { seconds(6) } else { millis(60) };
            assert!(report.last_counter + 6 >= sent, "seed {seed}, {number}: {sent} {report:?}");
            assert!(report.silence < silence, "seed {seed}, {number}: {report:?}");
        }
        call.sim.check();
    }
}

#[test]
fn a_peer_that_keeps_moving_keeps_its_call_and_fills_no_table() {
    let viewers = [Join::subscriber()];
    let mut call = Call::new(SimConfig::new(6, 4), Join::publisher(), &viewers, true);
    call.connect();
    for _ in 0..20 {
        call.sim.run_for(seconds(6));
        call.sim.rebind(call.publisher);
    }
    call.sim.run_for(seconds(8));
    let report = call.sim.report(call.watched[0].0);
    let sent = call.sim.source(call.publisher, 0).counter;
    assert!(report.last_counter + 6 >= sent, "{sent} {report:?}");
    assert_eq!(call.sim.sum(|c| c.peers), 2);
    call.sim.check();
}
