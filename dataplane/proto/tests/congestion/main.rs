//! The congestion controller in a closed loop with a simulated bottleneck.
#![allow(clippy::unwrap_used)]

mod call;
mod link;

use call::{Call, Record, Source};
use link::{Conditions, Link};

fn phase(from_s: u64, capacity_bps: u64, loss: f64) -> (u64, Conditions) {
    (from_s * 1_000_000, Conditions { capacity_bps, loss })
}

fn steady(capacity_bps: u64, loss: f64) -> Link {
    Link::new(vec![phase(0, capacity_bps, loss)], 5)
}

fn trace(name: &str, record: &Record) {
    if std::env::var_os("TRACE").is_some() {
        for sample in record.samples.iter().step_by(5) {
            println!("{name} {:6} {:8} {:8} {}", sample.at_ms, sample.estimate, sample.capacity, sample.rung);
        }
    }
    println!(
        "{name:28} steady {:4.2} low {:7} high {:8} top {:4.2} switches {:3} queue p95 {:5.0} ms lost {:5.2} % padding {:4.1} %",
        record.utilization(10_000, u64::MAX),
        record.lowest(5_000, u64::MAX),
        record.highest(0, u64::MAX),
        record.at_top(5_000, u64::MAX),
        record.switches(),
        record.queue_p95_ms(),
        record.lost as f64 / record.packets as f64 * 100.0,
        record.padding_bytes as f64 / record.sent_bytes as f64 * 100.0,
    );
}

#[test]
fn cold_start() {
    for feedback in [50, 100, 250] {
        let mut call = Call::new(steady(3_000_000, 0.0), Source::Ladder);
        call.feedback_every_ms = feedback;
        let record = call.run(30);
        trace(&format!("cold start, feedback {feedback}"), &record);
        println!("   top after {} ms", record.time_to(0, |sample| sample.rung == 2));
    }
}

#[test]
fn steps() {
    for (source, name) in [(Source::Ladder, "ladder"), (Source::Elastic, "elastic")] {
        for queue_ms in [200, 500] {
            for feedback in [50, 100, 250] {
                let phases = vec![phase(0, 3_000_000, 0.0), phase(20, 500_000, 0.0), phase(40, 3_000_000, 0.0)];
                let mut link = Link::new(phases, 5);
                link.queue_max_us = queue_ms * 1_000;
                let mut call = Call::new(link, source);
                call.feedback_every_ms = feedback;
                let record = call.run(60);
                trace(&format!("steps {name} q{queue_ms} fb{feedback}"), &record);
                let down = record.time_to(20_000, |sample| sample.estimate <= sample.capacity);
                let up = record.time_to(40_000, |sample| sample.estimate * 10 >= sample.capacity * 9);
                println!("   down {down} ms up {up} ms steady {:.2} {:.2} {:.2}",
                    record.utilization(5_000, 20_000), record.utilization(25_000, 40_000), record.utilization(45_000, 60_000));
            }
        }
    }
}

#[test]
fn loss() {
    for (source, name) in [(Source::Ladder, "ladder"), (Source::Elastic, "elastic")] {
        for percent in [2, 5, 10, 20, 30] {
            let record = Call::new(steady(3_000_000, f64::from(percent) / 100.0), source).run(60);
            trace(&format!("loss {percent} % {name}"), &record);
        }
        let phases = vec![phase(0, 3_000_000, 0.0), phase(20, 3_000_000, 0.3), phase(22, 3_000_000, 0.0)];
        let record = Call::new(Link::new(phases, 5), source).run(40);
        trace(&format!("burst 30 % {name}"), &record);
        println!("   back after {}", record.time_to(22_000, |sample| sample.estimate > 2_700_000));
    }
}

#[test]
fn jitter() {
    for (source, name) in [(Source::Ladder, "ladder"), (Source::Elastic, "elastic")] {
        for reorders in [false, true] {
            let mut link = steady(3_000_000, 0.0);
            link.jitter_us = 60_000;
            link.reorders = reorders;
            let record = Call::new(link, source).run(60);
            trace(&format!("jitter {name} {reorders}"), &record);
        }
        let mut call = Call::new(steady(3_000_000, 0.0), source);
        call.feedback_loss = 0.1;
        trace(&format!("feedback lost {name}"), &call.run(60));
    }
}

#[test]
fn odd() {
    for (source, name) in [(Source::Ladder, "ladder"), (Source::Elastic, "elastic")] {
        let mut link = steady(1_000_000, 0.0);
        link.queue_max_us = 5_000;
        trace(&format!("policer {name}"), &Call::new(link, source).run(60));
        for rtt in [200, 600] {
            let mut link = steady(3_000_000, 0.0);
            link.delay_us = rtt * 500;
            let record = Call::new(link, source).run(60);
            trace(&format!("rtt {rtt} {name}"), &record);
            println!("   top after {} ms", record.time_to(0, |sample| sample.rung == 2));
        }
        let mut call = Call::new(steady(3_000_000, 0.0), source);
        call.pads = false;
        trace(&format!("no padding {name}"), &call.run(60));
        trace(&format!("150k {name}"), &Call::new(steady(150_000, 0.0), source).run(60));
        trace(&format!("5M {name}"), &Call::new(steady(5_000_000, 0.0), source).run(60));
        trace(&format!("30M {name}"), &Call::new(steady(30_000_000, 0.0), source).run(60));
    }
}

#[test]
fn thin() {
    for capacity in [100_000, 300_000, 700_000, 1_000_000, 2_000_000] {
        for (source, name) in [(Source::Ladder, "ladder"), (Source::Elastic, "elastic")] {
            let record = Call::new(steady(capacity, 0.0), source).run(60);
            trace(&format!("thin {capacity} {name}"), &record);
        }
    }
    trace("audio", &Call::new(steady(1_000_000, 0.0), Source::AudioOnly).run(60));
}
