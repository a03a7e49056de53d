//! Simulcast as one viewer sees it: the wished encoding comes soon and without a fault in any
//! number, an encoding that stops is replaced and comes back, and the picture keeps its clock.

use std::time::Instant;

use common::command::LayerChoice;
use tests::quality::{LADDER, Outcome, Trial};
use tests::source::{Rung, Shape};

use crate::{millis, seconds};

/// A viewer on a good link who watched a track with `rungs` for two seconds.
fn watched(seed: u64, rungs: &[Rung]) -> Outcome {
    let mut trial = Trial::new(seed, Trial::publisher_link(), Trial::viewer_link());
    (trial.rungs, trial.time) = (rungs.to_vec(), seconds(2));
    trial.run()
}

/// Shows `encoding` whatever happens.
fn pinned(encoding: u8) -> LayerChoice {
    LayerChoice { preferred: Some(encoding), ..LayerChoice::default() }
}

/// When `encoding` came on show after `from`.
fn came(outcome: &Outcome, encoding: u8, from: Instant) -> Option<Instant> {
    let viewing = outcome.viewing(0);
    let after = viewing.shown.iter().filter(|shown| shown.at >= from);
    after.clone().find(|shown| shown.encoding == encoding).map(|shown| shown.at)
}

#[test]
fn a_wished_encoding_comes_within_a_second_and_every_number_runs_on() {
    let named = |names: [&'static str; 3]| {
        let rungs = LADDER.iter().zip(names).map(|(rung, rid)| Rung { rid, ..*rung });
        rungs.collect::<Vec<_>>()
    };
    for (seed, names) in
        [(1, ["q", "h", "f"]), (2, ["low", "medium", "high"]), (3, ["a", "b", "c"])]
    {
        let mut outcome = watched(seed, &named(names));
        let start = outcome.sim.instant();
        for encoding in [2, 0, 1, 2, 1, 0] {
            let from = outcome.sim.instant();
            outcome.sim.choose(outcome.watched[0], pinned(encoding));
            outcome.sim.run_for(millis(1500));
            let at = came(&outcome, encoding, from);
            let took = at.map(|at| at - from);
            assert!(took.is_some_and(|took| took < seconds(1)), "{names:?} {encoding}: {took:?}");
        }
        let (viewing, end) = (outcome.viewing(0), outcome.sim.instant());
        // A key frame five times as large as others takes its time at the pace of the estimate.
        assert!(viewing.freeze(start, end) < millis(150), "{names:?}");
        assert!(viewing.switches() >= 5, "{names:?}: {}", viewing.switches());
        assert!(viewing.clock_spread < millis(45), "{names:?}: {:?}", viewing.clock_spread);
        outcome.sim.check();
    }
}

#[test]
fn an_encoding_that_stops_is_replaced_and_comes_back() {
    for seed in 1..4 {
        let mut outcome = watched(seed, &LADDER);
        let aside = LayerChoice {
            preferred: Some(2),
            order: vec![2, 1, 0],
            step_down: false,
            step_aside: true,
        };
        outcome.sim.choose(outcome.watched[0], aside);
        outcome.sim.run_for(seconds(2));
        let stopped = outcome.sim.instant();
        outcome.sim.stop(outcome.publisher, 2);
        outcome.sim.run_for(seconds(4));
        let resumed = outcome.sim.instant();
        outcome.sim.resume(outcome.publisher, 2);
        outcome.sim.run_for(seconds(4));
        let (viewing, end) = (outcome.viewing(0), outcome.sim.instant());
        let shown = [stopped, resumed, end].map(|at| viewing.encoding_at(at));
        assert_eq!(shown, [Some(2), Some(1), Some(2)], "seed {seed}");
        let freeze = viewing.freeze(stopped, end);
        assert!(freeze < millis(1500), "seed {seed}: {freeze:?}");
        assert!(viewing.clock_spread < millis(45), "seed {seed}: {:?}", viewing.clock_spread);
        outcome.sim.check();
    }
}

#[test]
fn an_encoding_that_must_not_be_replaced_leaves_a_still_and_comes_back() {
    let mut outcome = watched(1, &LADDER);
    outcome.sim.choose(outcome.watched[0], pinned(1));
    outcome.sim.run_for(seconds(2));
    outcome.sim.stop(outcome.publisher, 1);
    outcome.sim.run_for(millis(200));
    let (from, before) = (outcome.sim.instant(), outcome.viewing(0).shown.len());
    outcome.sim.run_for(seconds(3));
    assert_eq!(outcome.viewing(0).shown.len(), before);
    outcome.sim.resume(outcome.publisher, 1);
    outcome.sim.run_for(seconds(2));
    let to = outcome.sim.instant();
    assert!(outcome.viewing(0).frames(from, to) > 50);
    outcome.sim.check();
}

#[test]
fn every_viewer_has_its_own_encoding() {
    let mut trial = Trial::new(4, Trial::publisher_link(), Trial::viewer_link());
    (trial.viewers, trial.time) = (3, seconds(2));
    let mut outcome = trial.run();
    for (place, watched) in outcome.watched.clone().into_iter().enumerate() {
        outcome.sim.choose(watched, pinned(place as u8));
    }
    outcome.sim.run_for(seconds(3));
    for place in 0..3 {
        let viewing = outcome.viewing(place);
        assert_eq!(viewing.encoding_at(outcome.sim.instant()), Some(place as u8));
    }
    outcome.sim.check();
}

#[test]
fn one_temporal_layer_or_two_are_as_good_as_three() {
    for temporal in [1, 2] {
        let rungs = [Rung { rid: "x", shape: Shape::video(600_000, temporal) }];
        let outcome = watched(5, &rungs);
        let row = outcome.row(0);
        // The base layer alone for a moment, while the estimate is young.
        assert!(row.frames > 50 && row.freeze < millis(100), "{temporal}: {row:?}");
        outcome.sim.check();
    }
}
