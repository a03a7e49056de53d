//! Churn: so many subscribers join each second, hear a microphone for a while and leave, beside some
//! that stay. Measured from the first API call: how long until the keys are there, how long
//! until the first packet, what failed, and what those who stay notice.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::forward::AUDIO;
use crate::Outcome;
use crate::generator::Generator;
use crate::report::figures::Figures;
use crate::subject::{Kind, Setup};
use crate::usage::Usage;

/// Who stays for ever.
const RESIDENTS: usize = 20;

/// Who comes and goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Churn {
    /// Joins per second.
    pub(crate) rate: f64,
    /// How long there are joins.
    pub(crate) seconds: f64,
    /// How long each stays, in seconds.
    pub(crate) stay: f64,
}

/// What is noted of a subscriber when it leaves.
#[derive(Default)]
struct Noted {
    connected: Vec<Duration>,
    heard: Vec<Duration>,
    /// Who heard nothing, by the reason.
    failed: BTreeMap<String, u64>,
}

/// Joins, stays and leaves, until the last has left.
pub(crate) fn run(kind: Kind, setup: &Setup, churn: &Churn) -> Outcome<Figures> {
    let Churn { rate, seconds, stay } = *churn;
    let stay = Duration::from_secs_f64(stay);
    let mut generator = Generator::start(kind, setup, AUDIO, 1)?;
    generator.publish(1, 1)?;
    generator.play();
    let publisher: Arc<[usize]> = Arc::from([0]);
    generator.join_all(1, vec![(0, Arc::clone(&publisher)); RESIDENTS])?;
    generator.run_for(stay / 2)?;
    generator.found = Default::default();
    let before = (generator.subject.usage()?, Usage::of(std::process::id())?);
    let begin = Instant::now();
    let (mut joined, mut guests, mut noted) = (0u64, VecDeque::new(), Noted::default());
    let mut joining = Duration::ZERO;
    while begin.elapsed().as_secs_f64() < seconds || !guests.is_empty() {
        let due = (begin.elapsed().as_secs_f64().min(seconds) * rate) as u64;
        // One a turn: joins are offered evenly, as far as the generator keeps up.
        if joined < due {
            joined += 1;
            joining = begin.elapsed();
            let number = generator.join(0, 1, Arc::clone(&publisher))?;
            guests.push_back((Instant::now() + stay, number));
        }
        while guests.front().is_some_and(|(until, _)| *until <= Instant::now()) {
            let Some((_, number)) = guests.pop_front() else { break };
            noted.take(&generator, number);
            generator.leave(number);
        }
        generator.turn()?;
    }
    let time = begin.elapsed().as_secs_f64();
    let server = generator.subject.usage()?.since(&before.0).run.as_secs_f64();
    let own = Usage::of(std::process::id())?.since(&before.1).run.as_secs_f64();
    let mut figures = Figures::default();
    // What was offered; less than was asked for when the generator did not keep up.
    figures.set("joins_per_second", joined as f64 / joining.as_secs_f64().max(seconds));
    figures.set("failed_joins", noted.failed.values().sum::<u64>() as f64);
    for (why, count) in &noted.failed {
        eprintln!("  {count} left without media: {why}");
    }
    figures.set("server_ms_per_join", 1e3 * server / joined.max(1) as f64);
    figures.set("server_core_percent", 100.0 * server / time);
    figures.set("generator_core_percent", 100.0 * own / time);
    figures.times(["connected_ms_p50", "connected_ms_p99"], noted.connected);
    figures.times(["first_media_ms_p50", "first_media_ms_p99"], noted.heard);
    figures.findings(&generator.found);
    Ok(figures)
}

impl Noted {
    fn take(&mut self, generator: &Generator, number: usize) {
        let Some(Some(one)) = generator.subscribers.get(number) else { return };
        self.connected.extend(one.connected);
        match one.heard {
            Some(heard) => self.heard.push(heard),
            None => {
                let why = one.failure.as_deref().unwrap_or("not connected in time");
                *self.failed.entry(why.to_owned()).or_default() += 1;
            }
        }
    }
}
