//! What the scoreboard tries: loss, delay, disorder, thin links, steps, and one bad viewer of many.
//! A row's seed is its place, so a new row goes to the end of its group's list without moving
//! others only if it comes last of all: expect the rows behind an inserted one to change.

use std::time::Duration;

use tests::link::{Burst, LinkConfig};
use tests::quality::{LADDER, Row, SINGLE, Trial};

/// One row.
pub(crate) struct Case {
    /// Place in the table.
    pub(crate) number: usize,
    /// What is tried.
    pub(crate) name: String,
    trial: Trial,
    /// Whose figures make the row.
    who: Who,
    /// Capacity before, between and after, with the instants of the two changes.
    pub(crate) steps: Option<Steps>,
}

/// A capacity that falls and rises again.
#[derive(Clone, Copy)]
pub(crate) struct Steps {
    pub(crate) wide: u64,
    pub(crate) narrow: u64,
}

impl Steps {
    /// When it falls.
    pub(crate) const DOWN: Duration = Duration::from_secs(12);
    /// When it rises.
    pub(crate) const UP: Duration = Duration::from_secs(24);
    const END: Duration = Duration::from_secs(36);
}

/// Whose figures make a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    /// The first viewer: the bad one, if any is.
    First,
    /// The worst figure of each kind among the others.
    WorstOfOthers,
}

/// What a case came to.
pub(crate) struct Result {
    pub(crate) row: Row,
    /// With steps: time until the estimate is below the narrow capacity.
    pub(crate) below: Option<Duration>,
    /// With steps: time until it is above nine tenths of the wide one again.
    pub(crate) back: Option<Duration>,
    /// With steps: the encodings on show at the two changes and at the end.
    pub(crate) shown: [&'static str; 3],
}

impl Case {
    /// Runs it.
    pub(crate) fn run(&self) -> Result {
        let outcome = self.trial.run();
        let row = match self.who {
            Who::First => outcome.row(0),
            Who::WorstOfOthers => {
                let others = (1..self.trial.viewers).map(|place| outcome.row(place));
                others.reduce(worse).unwrap_or_else(|| outcome.row(0))
            }
        };
        let mut result = Result { row, below: None, back: None, shown: ["-"; 3] };
        if let Some(steps) = self.steps {
            let first = |from: Duration, meets: &dyn Fn(u64) -> bool| {
                let after = outcome.estimates[0].iter().filter(|(at, _)| *at >= from);
                after.clone().find(|(_, rate)| meets(*rate)).map(|(at, _)| *at - from)
            };
            result.below = first(Steps::DOWN, &|rate| rate < steps.narrow);
            result.back = first(Steps::UP, &|rate| rate * 10 >= steps.wide * 9);
            let viewing = outcome.viewing(0);
            result.shown = [Steps::DOWN, Steps::UP, Steps::END].map(|at| {
                let encoding = viewing.encoding_at(outcome.start + at);
                encoding.map_or("-", |encoding| outcome.rid(encoding))
            });
        }
        result
    }
}

fn worse(left: Row, right: Row) -> Row {
    // An absent time is the worst of all.
    let later = |a: Option<Duration>, b: Option<Duration>| Some(a?.max(b?));
    Row {
        first_frame: later(left.first_frame, right.first_frame),
        freeze: left.freeze.max(right.freeze),
        recovery: later(left.recovery, right.recovery),
        freezes: left.freezes.max(right.freezes),
        frames: left.frames.min(right.frames),
        missed: left.missed + right.missed,
        repaired: left.repaired + right.repaired,
        overdue: left.overdue + right.overdue,
        carried: left.carried.max(right.carried),
        queue: left.queue.max(right.queue),
        sound_missing: left.sound_missing + right.sound_missing,
        silence: left.silence.max(right.silence),
        switches: left.switches.max(right.switches),
        violations: left.violations + right.violations,
        ..left
    }
}

/// Every case, in the table's order.
pub(crate) fn cases() -> Vec<Case> {
    let mut list = List(Vec::new());
    list.loss();
    list.outages();
    list.delay();
    list.bottlenecks();
    list.crowd();
    list.0
}

struct List(Vec<Case>);

impl List {
    fn add(&mut self, name: String, publish: LinkConfig, view: LinkConfig) -> &mut Case {
        let number = self.0.len();
        let trial = Trial::new(number as u64, publish, view);
        self.0.push(Case { number, name, trial, who: Who::First, steps: None });
        &mut self.0[number]
    }

    fn loss(&mut self) {
        let (publish, view) = (Trial::publisher_link(), Trial::viewer_link());
        self.add("clean".to_owned(), publish, view);
        for percent in [1, 5, 10, 30] {
            let chance = f64::from(percent) / 100.0;
            self.add(format!("viewer loses {percent} %"), publish, view.with_loss(chance));
        }
        for percent in [1, 5, 10, 30] {
            let view = view.with_burst(burst(percent));
            self.add(format!("viewer loses {percent} % in bursts"), publish, view);
        }
        for percent in [1, 5, 10, 30] {
            let publish = publish.with_loss(f64::from(percent) / 100.0);
            self.add(format!("publisher loses {percent} %"), publish, view).one_encoding();
        }
        for percent in [1, 5, 10, 30] {
            let publish = publish.with_burst(burst(percent));
            let name = format!("publisher loses {percent} % in bursts");
            self.add(name, publish, view).one_encoding();
        }
    }

    fn outages(&mut self) {
        let (publish, view) = (Trial::publisher_link(), Trial::viewer_link());
        let begin = Duration::from_secs(8);
        for seconds in [1, 3] {
            let end = begin + Duration::from_secs(seconds);
            let case = self.add(format!("viewer is cut off for {seconds} s"), publish, view);
            case.trial.rungs = LADDER[..2].to_vec();
            let trial = case.trial.clone().then(begin, publish, view.with_loss(1.0));
            case.trial = trial.then(end, publish, view);
            let case = self.add(format!("publisher is cut off for {seconds} s"), publish, view);
            let trial = case.trial.clone().then(begin, publish.with_loss(1.0), view);
            case.trial = trial.then(end, publish, view);
            case.one_encoding();
        }
    }

    fn delay(&mut self) {
        let (publish, view) = (Trial::publisher_link(), Trial::viewer_link());
        for delay_ms in [0, 50, 100, 200, 300] {
            let delay = Duration::from_millis(delay_ms);
            let view = LinkConfig::clean(delay).with_loss(0.05);
            let name = format!("viewer {delay_ms} ms away loses 5 %");
            let trial = &mut self.add(name, publish, view).trial;
            (trial.delay, trial.rungs) = (delay, LADDER[..2].to_vec());
        }
        let jitter = Duration::from_millis(30);
        let disorder = [(jitter, 0.0, "30 ms of jitter"), (Duration::ZERO, 0.05, "5 % overtaken")];
        for (jitter, reorder, name) in disorder {
            let view = view.with_disorder(jitter, reorder, 0.0);
            self.add(format!("viewer, {name}"), publish, view);
            let publish = publish.with_disorder(jitter, reorder, 0.0);
            let case = self.add(format!("publisher, {name}"), publish, Trial::viewer_link());
            case.one_encoding();
        }
    }

    fn bottlenecks(&mut self) {
        let publish = Trial::publisher_link();
        for rate in [150_000, 300_000, 500_000, 1_000_000, 2_000_000, 5_000_000] {
            self.add(format!("viewer at {}", bits(rate)), publish, limited(rate));
        }
        let lossy = limited(1_000_000).with_loss(0.05);
        self.add("viewer at 1 Mbit/s loses 5 %".to_owned(), publish, lossy);
        let jittery = limited(1_000_000).with_disorder(Duration::from_millis(30), 0.0, 0.0);
        self.add("viewer at 1 Mbit/s, 30 ms of jitter".to_owned(), publish, jittery);
        for (wide, narrow) in [(3_000_000, 500_000), (1_000_000, 150_000), (5_000_000, 1_000_000)] {
            let name = format!("{0} - {1} - {0}", bits(wide), bits(narrow));
            let case = self.add(name, publish, limited(wide));
            case.steps = Some(Steps { wide, narrow });
            let trial = case.trial.clone().then(Steps::DOWN, publish, limited(narrow));
            case.trial = trial.then(Steps::UP, publish, limited(wide));
            case.trial.time = Steps::END;
        }
    }

    fn crowd(&mut self) {
        let (publish, view) = (Trial::publisher_link(), Trial::viewer_link());
        let bad = limited(300_000).with_loss(0.1);
        for (name, view, who) in [
            ("the last 49 of 50 good viewers", view, Who::WorstOfOthers),
            ("one of 50: 300 kbit/s, loses 10 %", bad, Who::First),
            ("the other 49", bad, Who::WorstOfOthers),
        ] {
            let case = self.add(name.to_owned(), publish, view);
            (case.trial.viewers, case.trial.seed, case.who) = (50, 1, who);
        }
        let publish = publish.with_loss(0.05);
        let case = self.add("publisher of 50 loses 5 %".to_owned(), publish, view);
        case.one_encoding();
        (case.trial.viewers, case.who) = (50, Who::WorstOfOthers);
    }
}

impl Case {
    /// Where only the publisher's link matters: without a choice of encodings.
    fn one_encoding(&mut self) {
        self.trial.rungs = SINGLE.to_vec();
    }
}

/// Bursts of four datagrams on average that take `percent` of all.
fn burst(percent: u32) -> Burst {
    let (share, leave) = (f64::from(percent) / 100.0, 0.25);
    Burst { enter: leave * share / (1.0 - share), leave }
}

fn limited(rate: u64) -> LinkConfig {
    // Chosen: the queue of a home router, long enough to show who fills it.
    Trial::viewer_link().with_rate(rate, Duration::from_millis(300))
}

fn bits(rate: u64) -> String {
    match rate {
        1_000_000.. => format!("{} Mbit/s", rate / 1_000_000),
        _ => format!("{} kbit/s", rate / 1_000),
    }
}
