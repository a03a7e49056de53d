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
    let mut search = Search { held: None, most: 0.0, generator_bound: false };
    search.climb(&mut generator, &load, most_tried);
    let Some((limit, mut figures)) = search.held else {
        return Err(format!("{start} subscribers are too many").into());
    };
    figures.set("saturation_subscribers", limit as f64);
    figures.set("generator_bound", f64::from(u8::from(search.generator_bound)));
    let offered = (limit as f64 * OVERLOAD) as usize;
    figures.set("overload_subscribers", offered as f64);
    match step(&mut generator, &load, offered) {
        Ok(window) => {
            let over = Figures::of(&window, &load);
            let rate = over.get("packets_per_second").unwrap_or(0.0);
            let most = search.most.max(rate).max(1.0);
            figures.set("overload_packets_per_second", rate);
            figures.set("overload_percent_of_most", 100.0 * rate / most);
            figures.set("overload_worst_subscriber_percent", 100.0 * window.worst_share);
        }
        Err(error) => eprintln!("  {offered} subscribers: {error}"),
    }
    Ok(figures)
}

/// What a search found so far.
struct Search {
    /// The highest number that held, and what it showed.
    held: Option<(usize, Figures)>,
    /// The highest rate that was delivered, whether all was or not.
    most: f64,
    generator_bound: bool,
}

impl Search {
    /// Adds subscribers until they are not held twice, or cannot join.
    fn climb(&mut self, generator: &mut Generator, load: &Load, most_tried: usize) {
        let (mut count, mut failed) = (load.subscribers, 0);
        while failed < FAILURES && count <= most_tried {
            let window = match step(generator, load, count) {
                Ok(window) => window,
                Err(error) => return eprintln!("  {count} subscribers: {error}"),
            };
            let figures = Figures::of(&window, load);
            let is = |name: &str| figures.get(name).unwrap_or(0.0);
            self.most = self.most.max(is("packets_per_second"));
            self.generator_bound = is("generator_core_percent") > GENERATOR_MAX;
            if holds(count, &figures) {
                (self.held, failed) = (Some((count, figures)), 0);
                count = ((count as f64 * STEP) as usize).max(count + 1);
            } else {
                failed += 1;
            }
        }
    }
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
