//! Quality on a thin link: the estimate finds the capacity and follows it, the queue stays short,
//! and the encoding on show is the best one that fits.

use std::time::Duration;

use tests::quality::{Outcome, Trial};

use crate::{millis, seconds};

const DOWN: Duration = seconds(12);
const UP: Duration = seconds(24);

/// 3 Mbit/s, then 500 kbit/s, then 3 Mbit/s again.
fn steps(seed: u64) -> Outcome {
    let publish = Trial::publisher_link();
    let wide = Trial::viewer_link().with_rate(3_000_000, millis(300));
    let narrow = Trial::viewer_link().with_rate(500_000, millis(300));
    let trial = Trial::new(seed, publish, wide);
    let mut trial = trial.then(DOWN, publish, narrow).then(UP, publish, wide);
    trial.time = seconds(36);
    trial.run()
}

/// When the estimate first meets a condition after `from`.
fn first(outcome: &Outcome, from: Duration, meets: impl Fn(u64) -> bool) -> Option<Duration> {
    let after = outcome.estimates[0].iter().filter(|(at, _)| *at >= from);
    after.clone().find(|(_, rate)| meets(*rate)).map(|(at, _)| *at - from)
}

#[test]
#[ignore = "needs the estimate towards subscribers"]
fn the_estimate_follows_the_capacity_down_and_up() {
    for seed in 1..4 {
        let outcome = steps(seed);
        let below = first(&outcome, DOWN, |rate| rate < 500_000);
        assert!(
            below.is_some_and(|time| time < millis(1500)),
            "seed {seed}: below after {below:?}"
        );
        let back = first(&outcome, UP, |rate| rate >= 2_700_000);
        assert!(back.is_some_and(|time| time < seconds(4)), "seed {seed}: back after {back:?}");
        let row = outcome.row(0);
        assert!(row.queue < millis(120), "seed {seed}: {row:?}");
        outcome.sim.check();
    }
}

#[test]
#[ignore = "needs the estimate towards subscribers"]
fn the_encoding_on_show_follows_the_capacity_without_a_freeze() {
    for seed in 1..4 {
        let outcome = steps(seed);
        let viewing = outcome.viewing(0);
        let shown = |at: Duration| viewing.encoding_at(outcome.start + at).map(|e| outcome.rid(e));
        let seen = [shown(DOWN), shown(UP), shown(UP + seconds(6))];
        assert_eq!(seen, [Some("f"), Some("h"), Some("f")], "seed {seed}");
        let row = outcome.row(0);
        assert!(row.freeze < millis(300), "seed {seed}: {row:?}");
        outcome.sim.check();
    }
}
