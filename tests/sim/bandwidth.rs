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
fn a_wide_link_shows_the_best_encoding_soon_after_a_cold_start() {
    for seed in 1..4 {
        let wide = Trial::viewer_link().with_rate(5_000_000, millis(300));
        let mut trial = Trial::new(seed, Trial::publisher_link(), wide);
        trial.time = seconds(8);
        let outcome = trial.run();
        let row = outcome.row(0);
        assert_eq!(row.last, Some("f"), "seed {seed}: {row:?}");
        let soon = row.recovery.is_some_and(|time| time < seconds(4));
        assert!(soon && row.switches <= 2, "seed {seed}: {row:?}");
        assert!(row.first_frame.is_some_and(|time| time < millis(300)), "seed {seed}: {row:?}");
        outcome.sim.check();
    }
}

#[test]
fn a_link_too_thin_for_any_encoding_keeps_the_sound_and_a_slow_picture() {
    for seed in 1..4 {
        let thin = Trial::viewer_link().with_rate(150_000, millis(300));
        let outcome = Trial::new(seed, Trial::publisher_link(), thin).run();
        let row = outcome.row(0);
        // The sound is 1,000 packets.
        assert!(row.sound_missing < 50 && row.silence < millis(500), "seed {seed}: {row:?}");
        let end = outcome.sim.instant();
        let freeze = outcome.viewing(0).freeze(end - seconds(10), end);
        assert!(freeze < seconds(1), "seed {seed}: {freeze:?} {row:?}");
        outcome.sim.check();
    }
}

#[test]
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
