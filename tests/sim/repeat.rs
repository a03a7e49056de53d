//! One seed is one run: the same decisions, to the nanosecond and the byte of each RTP header.

use common::counters::Counters;
use tests::link::LinkConfig;
use tests::quality::Trial;
use tests::sim::{Join, SimConfig};

use crate::{Call, millis, seconds};

fn run(seed: u64) -> (u64, Vec<Counters>) {
    let lossy = LinkConfig::default().with_disorder(millis(5), 0.02, 0.0);
    let viewers = [Join::subscriber().on(lossy), Join::subscriber()];
    let mut call = Call::new(SimConfig::new(seed, 4), Join::publisher(), &viewers, true);
    call.connect();
    call.sim.run_for(seconds(2));
    let counters = (0..4).map(|core| *call.sim.counters(core)).collect();
    (call.sim.oracle().trace(), counters)
}

#[test]
fn the_same_seed_decides_the_same_and_another_seed_differs() {
    let (first, first_counters) = run(77);
    let (second, second_counters) = run(77);
    let media = |counters: &[Counters]| counters.iter().map(|c| c.media_out).collect::<Vec<_>>();
    assert_eq!(media(&first_counters), media(&second_counters));
    assert_eq!(first, second);
    assert_ne!(first, run(78).0);
}

#[test]
fn one_seed_is_one_row_of_the_scoreboard() {
    let row = |seed| {
        let lossy = Trial::viewer_link().with_rate(600_000, millis(200)).with_loss(0.05);
        let mut trial = Trial::new(seed, Trial::publisher_link().with_loss(0.02), lossy);
        trial.time = seconds(8);
        trial.run().row(0)
    };
    assert_eq!(row(5), row(5));
    assert_ne!(row(5), row(6));
}
