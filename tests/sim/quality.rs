//! Quality under loss: what is lost towards a viewer is repaired out of the node, quickly; what is
//! lost towards the node is asked for once, whatever the number of viewers.

use tests::link::{Burst, LinkConfig};
use tests::quality::{Row, SINGLE, Trial};

use crate::{millis, seconds};

#[test]
fn a_lossy_viewer_misses_nothing_for_long_and_the_publisher_never_hears_of_it() {
    for seed in 1..4 {
        let lossy = Trial::viewer_link().with_loss(0.05);
        let outcome = Trial::new(seed, Trial::publisher_link(), lossy).run();
        let row = outcome.row(0);
        assert!(row.missed > 50, "seed {seed}: {row:?}");
        assert_eq!((row.overdue, row.asked), (0, 0), "seed {seed}: {row:?}");
        outcome.sim.check();
    }
}

#[test]
fn losses_of_a_publisher_are_asked_for_once_for_fifty_viewers() {
    for delay_ms in [10, 50, 150] {
        let lossy = LinkConfig::clean(millis(delay_ms)).with_loss(0.05);
        let mut trial = Trial::new(delay_ms, lossy, Trial::viewer_link());
        (trial.rungs, trial.viewers, trial.time) = (SINGLE.to_vec(), 50, seconds(10));
        let outcome = trial.run();
        let row = outcome.row(0);
        let asked = row.asked as f64 / row.lost_up as f64;
        assert!(row.lost_up > 30 && asked <= 1.1, "{delay_ms} ms, {asked} per lost: {row:?}");
        for viewer in 0..50 {
            // A resend may be lost once more; each takes a round trip and the schedule's share.
            let (row, most) = (outcome.row(viewer), millis(250 + 5 * delay_ms));
            assert!(row.freeze < most, "{delay_ms} ms, viewer {viewer}: {row:?}");
        }
        outcome.sim.check();
    }
}

#[test]
fn a_burst_that_takes_a_third_freezes_nothing_for_a_second() {
    // On average 10 packets of 33 are lost, in runs.
    let burst = Burst { enter: 0.043, leave: 0.1 };
    let bad = Trial::viewer_link().with_burst(burst);
    let (good_up, good_down) = (Trial::publisher_link(), Trial::viewer_link());
    for seed in 1..4 {
        let trial = Trial::new(seed, good_up, good_down).then(seconds(5), good_up, bad);
        let outcome = trial.then(seconds(10), good_up, good_down).run();
        let row = outcome.row(0);
        assert!(row.missed > 100, "seed {seed}: {row:?}");
        assert!(row.freeze < seconds(1), "seed {seed}: {row:?}");
        assert!(row.recovery.is_some_and(|time| time < seconds(3)), "seed {seed}: {row:?}");
        outcome.sim.check();
    }
}

#[test]
fn one_bad_viewer_of_fifty_changes_nothing_for_the_others() {
    let rows = |view: LinkConfig| {
        let mut trial = Trial::new(7, Trial::publisher_link(), view);
        (trial.viewers, trial.time) = (50, seconds(10));
        let outcome = trial.run();
        outcome.sim.check();
        (0..50).map(|place| outcome.row(place)).collect::<Vec<Row>>()
    };
    let bad_link = Trial::viewer_link().with_rate(300_000, millis(300)).with_loss(0.1);
    let (good, bad) = (rows(Trial::viewer_link()), rows(bad_link));
    assert_ne!(good[0], bad[0]);
    for (place, (good, bad)) in good.iter().zip(&bad).enumerate().skip(1) {
        // A key frame for the bad viewer is one for all who watch that encoding.
        let carried = bad.carried.abs_diff(good.carried);
        assert!(carried * 50 < good.carried, "viewer {place}: {good:?} {bad:?}");
        let frozen = bad.freeze.abs_diff(good.freeze);
        assert!(frozen < millis(1), "viewer {place}: {good:?} {bad:?}");
        let [then, now] = [good, bad].map(|row| row.recovery.expect("it began"));
        assert!(now.abs_diff(then) < millis(1), "viewer {place}: {good:?} {bad:?}");
        let Row { carried, freeze, recovery, .. } = *good;
        let bad = Row { carried, freeze, recovery, ..bad.clone() };
        assert_eq!(*good, bad, "viewer {place}");
    }
}
