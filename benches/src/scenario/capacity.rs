//! Saturation and overload of one core: subscribers are added to a broadcast of video until some of
//! it is lost or stays behind; then half as many more, to see what is delivered beyond the limit and
//! to whom.

use std::ops::Range;
use std::time::Duration;

use super::forward::{Load, VIDEO, connect};
use crate::Outcome;
use crate::generator::{Generator, Window};
use crate::report::figures::Figures;
use crate::subject::{Kind, Setup};

/// Step from one number of subscribers to the next.
const STEP: f64 = 1.25;
/// What counts as holding: at most this much lost, at least this much delivered in time, in percent.
const LOSS_MAX: f64 = 0.1;
const DELIVERED_MIN: f64 = 99.0;
/// Windows that must fail: in one alone something else may have had the processor.
const FAILURES: u32 = 2;
/// Beyond this part of its own core in percent the generator may be the limit.
const GENERATOR_MAX: f64 = 90.0;
/// How much of the limit is offered for the overload.
const OVERLOAD: f64 = 1.5;

/// Searches from `tried.start` to `tried.end` subscribers, a window of `seconds` each.
pub(crate) fn run(
    kind: Kind,
    setup: &Setup,
    tried: Range<usize>,
    seconds: f64,
) -> Outcome<Figures> {
    let Range { start, end: most_tried } = tried;
    let load = Load {
        media: VIDEO,
        rooms: 1,
        publishers: 1,
        subscribers: start,
        sample: 64,
        seconds,
        warm_up: seconds / 3.0,
    };
    let mut generator = connect(kind, setup, &load)?;
    let mut held: Option<(usize, Figures)> = None;
    let (mut count, mut most, mut failed) = (start, 0.0f64, 0);
    let mut beyond;
    // Upwards until it does not hold twice.
    loop {
        let window = step(&mut generator, &load, count)?;
        let figures = Figures::of(&window, &load);
        most = most.max(figures.get("packets_per_second").unwrap_or(0.0));
        let holds = holds(count, &figures);
        beyond = figures.clone();
        if holds {
            (held, failed) = (Some((count, figures)), 0);
            if count >= most_tried {
                break;
            }
            count = ((count as f64 * STEP) as usize).max(count + 1);
        } else {
            failed += 1;
            if failed == FAILURES {
                break;
            }
        }
    }
    let (limit, mut figures) = held.unwrap_or((count, beyond.clone()));
    figures.set("saturation_subscribers", limit as f64);
    let own = beyond.get("generator_core_percent").unwrap_or(0.0);
    figures.set("generator_bound", f64::from(u8::from(own > GENERATOR_MAX)));
    let offered = (limit as f64 * OVERLOAD) as usize;
    let window = step(&mut generator, &load, offered)?;
    let over = Figures::of(&window, &load);
    let rate = over.get("packets_per_second").unwrap_or(0.0);
    figures.set("overload_subscribers", offered as f64);
    figures.set("overload_packets_per_second", rate);
    figures.set("overload_percent_of_most", 100.0 * rate / most.max(rate).max(1.0));
    figures.set("overload_worst_subscriber_percent", 100.0 * window.worst_share);
    figures.set("overload_delivered_percent", over.get("delivered_percent").unwrap_or(0.0));
    Ok(figures)
}

/// Whether a window shows that the server holds so many subscribers; says what it showed.
fn holds(count: usize, figures: &Figures) -> bool {
    let is = |name: &str| figures.get(name).unwrap_or(0.0);
    let holds = is("loss_percent") < LOSS_MAX && is("delivered_percent") > DELIVERED_MIN;
    eprintln!(
        "  {count} subscribers: {:.0} packets/s, lost {:.3} %, delivered {:.1} %, \
         server {:.0} %, generator {:.0} %: {}",
        is("packets_per_second"),
        is("loss_percent"),
        is("delivered_percent"),
        is("server_core_percent"),
        is("generator_core_percent"),
        if holds { "holds" } else { "does not hold" }
    );
    holds
}

/// Brings the broadcast to `count` subscribers and measures.
fn step(generator: &mut Generator, load: &Load, count: usize) -> Outcome<Window> {
    let now = generator.present().count();
    let more = Load { subscribers: count.saturating_sub(now), ..*load };
    generator.join_all(1, more.wishes())?;
    generator.run_for(Duration::from_secs_f64(load.warm_up))?;
    generator.measure(Duration::from_secs_f64(load.seconds))
}
