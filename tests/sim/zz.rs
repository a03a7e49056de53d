//! tmp
use crate::{millis, seconds};
use std::time::Duration;
use tests::quality::Trial;
use tests::source::Rung;
use tests::source::Shape;
#[test]
fn zz_steps() {
    let publish = Trial::publisher_link();
    let wide = Trial::viewer_link().with_rate(3_000_000, millis(300));
    let narrow = Trial::viewer_link().with_rate(500_000, millis(300));
    let trial = Trial::new(1, publish, wide);
    let mut trial = trial.then(seconds(12), publish, narrow).then(seconds(24), publish, wide);
    trial.time = seconds(36);
    let o = trial.run();
    let v = o.viewing(0);
    for (at, e) in o.estimates[0].iter().filter(|(at, _)| *at > seconds(12) && *at < seconds(14)) {
        println!("{at:?} {e} {:?}", v.encoding_at(o.start + *at).map(|e| o.rid(e)));
    }
    for w in v.shown.windows(2) {
        if w[1].at - w[0].at > millis(150) || w[0].encoding != w[1].encoding {
            println!(
                "{:?} gap {:?} enc {} -> {} key {}",
                w[1].at - o.start,
                w[1].at - w[0].at,
                w[0].encoding,
                w[1].encoding,
                w[1].key
            );
        }
    }
    println!(
        "{:?} probes {} paced {} changes {} pli {:?}",
        o.row(0),
        o.sim.sum(|c| c.probes),
        o.sim.sum(|c| c.paced),
        o.sim.sum(|c| c.layer_changes),
        o.sim.sum(|c| c.key_frame_requests)
    );
}
#[test]
fn zz_single() {
    let mut t = Trial::new(5, Trial::publisher_link(), Trial::viewer_link());
    t.rungs = vec![Rung { rid: "x", shape: Shape::video(600_000, 2) }];
    t.time = Duration::from_secs(2);
    let o = t.run();
    let v = o.viewing(0);
    for (at, e) in o.estimates[0].iter() {
        println!("{at:?} {e}");
    }
    for s in &v.shown {
        println!("{:?} f{} t{}", s.at - o.start, s.frame, s.temporal);
    }
    println!("{:?}", o.row(0));
}
