//! Trials of media quality: one publisher (simulcast video and audio), viewers behind links that go
//! bad after everybody connected, and figures of what the viewers saw. Used by the simulation's
//! quality tests and by the scoreboard; one seed is one outcome.

use std::time::{Duration, Instant};

use common::media::MediaKind;

use crate::decoder::{FREEZE_MIN, Shown, Viewing};
use crate::link::LinkConfig;
use crate::sim::{Join, Sim, SimConfig};
use crate::source::{Rung, Shape};

/// Three encodings of which the middle one fits 500 kbit/s and the best one 2 Mbit/s, with the three
/// temporal layers browsers give VP8 simulcast.
pub const LADDER: [Rung; 3] = [
    Rung { rid: "q", shape: Shape::video(120_000, 3) },
    Rung { rid: "h", shape: Shape::video(320_000, 3) },
    Rung { rid: "f", shape: Shape::video(1_500_000, 3) },
];

/// One encoding of 800 kbit/s.
pub const SINGLE: [Rung; 1] = [Rung { rid: "f", shape: Shape::video(800_000, 1) }];

/// How often the estimate is read.
const SAMPLE: Duration = Duration::from_millis(20);

/// What happens to a viewer's or the publisher's links at an instant after the start.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Time since the viewers began to watch.
    pub at: Duration,
    /// From the publisher to the server; the way back is clean, with the same delay.
    pub publish: LinkConfig,
    /// From the server to the bad viewers.
    pub view: LinkConfig,
}

/// What is tried.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Decides every chance.
    pub seed: u64,
    /// Number of cores.
    pub cores: usize,
    /// The publisher's encodings.
    pub rungs: Vec<Rung>,
    /// How many watch.
    pub viewers: usize,
    /// How many of them, from the first on, are behind the links of `changes`.
    pub bad: usize,
    /// One-way delay of every link of a viewer; the publisher's has 10 ms.
    pub delay: Duration,
    /// What the links do, in order; the first at 0 is in force when watching begins.
    pub changes: Vec<Change>,
    /// How long it is watched.
    pub time: Duration,
}

impl Trial {
    /// One viewer with a round trip of 40 ms who watches [`LADDER`] for 20 s over `publish` and
    /// `view`.
    pub fn new(seed: u64, publish: LinkConfig, view: LinkConfig) -> Self {
        Self {
            seed,
            cores: 2,
            rungs: LADDER.to_vec(),
            viewers: 1,
            bad: 1,
            delay: Duration::from_millis(20),
            changes: vec![Change { at: Duration::ZERO, publish, view }],
            time: Duration::from_secs(20),
        }
    }

    /// The publisher's clean link.
    pub const fn publisher_link() -> LinkConfig {
        LinkConfig::clean(Duration::from_millis(10))
    }

    /// A viewer's clean link.
    pub const fn viewer_link() -> LinkConfig {
        LinkConfig::clean(Duration::from_millis(20))
    }

    /// The same trial in which the links are others from `at` on.
    pub fn then(mut self, at: Duration, publish: LinkConfig, view: LinkConfig) -> Self {
        self.changes.push(Change { at, publish, view });
        self
    }

    /// Runs it.
    pub fn run(&self) -> Outcome {
        let mut sim = Sim::new(SimConfig::new(self.seed, self.cores));
        let publisher = sim.join(Join::publisher().on(Trial::publisher_link()));
        let video = sim.publish_simulcast(publisher, &self.rungs);
        let audio = sim.publish(publisher, MediaKind::Audio, Shape::MICROPHONE);
        let join = Join::subscriber().estimated().on(LinkConfig::clean(self.delay));
        let viewers: Vec<usize> = (0..self.viewers).map(|_| sim.join(join)).collect();
        let connected = sim.run_until_connected(Duration::from_secs(20));
        assert!(connected, "seed {}: not connected: {:?}", self.seed, sim.events);
        // Encodings are learnt from their packets: a second of them.
        sim.run_for(Duration::from_secs(1));
        let mut outcome = Outcome {
            start: sim.instant(),
            watched: Vec::new(),
            heard: Vec::new(),
            carried: viewers.iter().map(|viewer| sim.links(*viewer).1.carried).collect(),
            estimates: vec![Vec::new(); self.viewers],
            publisher,
            viewers,
            changes: self.changes.clone(),
            rungs: self.rungs.clone(),
            sim,
        };
        let mut changes = self.changes.iter();
        outcome.change(changes.next(), self);
        for viewer in outcome.viewers.clone() {
            let sim = &mut outcome.sim;
            let picture = sim.subscribe(viewer, video, MediaKind::Video, true);
            let sound = sim.subscribe(viewer, audio, MediaKind::Audio, false);
            outcome.watched.push(picture);
            outcome.heard.push(sound);
        }
        for change in changes {
            outcome.watch_until(change.at);
            outcome.change(Some(change), self);
        }
        outcome.watch_until(self.time);
        outcome
    }
}

/// What a trial came to.
pub struct Outcome {
    /// The run, at its end.
    pub sim: Sim,
    /// When watching began.
    pub start: Instant,
    /// The publisher's number.
    pub publisher: usize,
    /// The viewers' numbers.
    pub viewers: Vec<usize>,
    /// Their video subscriptions.
    pub watched: Vec<usize>,
    /// Their audio subscriptions.
    pub heard: Vec<usize>,
    /// Each viewer's estimates in bit/s with the time since the start.
    pub estimates: Vec<Vec<(Duration, u64)>>,
    /// Bytes each viewer's link had carried at the start.
    carried: Vec<u64>,
    changes: Vec<Change>,
    rungs: Vec<Rung>,
}

impl Outcome {
    fn change(&mut self, change: Option<&Change>, trial: &Trial) {
        let Some(change) = change else { return };
        let back = LinkConfig::clean(change.publish.delay);
        self.sim.relink(self.publisher, change.publish, back);
        for viewer in self.viewers.iter().take(trial.bad) {
            self.sim.relink(*viewer, LinkConfig::clean(trial.delay), change.view);
        }
    }

    fn watch_until(&mut self, time: Duration) {
        let end = self.start + time;
        while self.sim.instant() < end {
            self.sim.run_for(SAMPLE.min(end - self.sim.instant()));
            let since = self.sim.instant() - self.start;
            for (place, viewer) in self.viewers.iter().enumerate() {
                self.estimates[place].extend(self.sim.estimate(*viewer).map(|rate| (since, rate)));
            }
        }
    }

    /// What a viewer's decoder made of it.
    pub fn viewing(&self, place: usize) -> Viewing {
        self.sim.viewing(self.watched[place])
    }

    /// RID of an encoding.
    pub fn rid(&self, encoding: u8) -> &'static str {
        self.rungs.get(usize::from(encoding)).map_or("?", |rung| rung.rid)
    }

    /// The figures of one viewer.
    pub fn row(&self, place: usize) -> Row {
        let viewing = self.viewing(place);
        let end = self.sim.instant();
        let first = viewing.first();
        let publisher = self.sim.peer(self.publisher);
        let sound = self.sim.report(self.heard[place]);
        let (_, down) = self.sim.links(self.viewers[place]);
        Row {
            first_frame: first.map(|at| at - self.start),
            freeze: viewing.freeze(first.unwrap_or(self.start), end),
            recovery: self.recovery(&viewing.shown),
            freezes: viewing.freezes(end),
            frames: viewing.shown.len() as u64,
            missed: viewing.missed,
            repaired: viewing.repaired,
            overdue: viewing.overdue,
            asked: publisher.rtcp_in.nacked,
            lost_up: self.sim.video_lost(self.publisher),
            estimate_of_capacity: self.estimate_of_capacity(place),
            carried: self.rate_carried(place),
            queue: down.wait_p95(self.start),
            sound_missing: sound.missing,
            silence: sound.silence,
            switches: viewing.switches(),
            last: viewing.shown.last().map(|shown| self.rid(shown.encoding)),
            violations: viewing.violations.len() as u64,
        }
    }

    /// Mean of what the link towards a viewer carried, in bit/s.
    fn rate_carried(&self, place: usize) -> u64 {
        let (_, down) = self.sim.links(self.viewers[place]);
        let time = self.sim.instant() - self.start;
        (down.carried - self.carried[place]) * 8_000 / time.as_millis() as u64
    }

    /// Time from the last change of the links to the last gap or switch that followed it; None
    /// when the picture never came back.
    fn recovery(&self, shown: &[Shown]) -> Option<Duration> {
        let change = self.start + self.changes.last().map_or(Duration::ZERO, |change| change.at);
        let last = shown.last()?.at;
        if self.sim.instant() - last > FREEZE_MIN {
            return None;
        }
        let uneven = |pair: &&[Shown]| {
            pair[1].at - pair[0].at > FREEZE_MIN || pair[0].encoding != pair[1].encoding
        };
        let mut pairs = shown.windows(2).filter(|pair| pair[1].at >= change);
        let settled = pairs.rfind(uneven).map_or(shown[0].at, |pair| pair[1].at);
        Some(settled.saturating_duration_since(change))
    }

    /// Mean of the estimates of the last five seconds over what the link carries, if limited.
    fn estimate_of_capacity(&self, place: usize) -> Option<f64> {
        let rate = self.sim.links(self.viewers[place]).1.config().rate?;
        let from = (self.sim.instant() - self.start).saturating_sub(Duration::from_secs(5));
        let recent = self.estimates[place].iter().filter(|(at, _)| *at >= from);
        let estimates: Vec<f64> = recent.map(|(_, estimate)| *estimate as f64).collect();
        let mean = estimates.iter().sum::<f64>() / estimates.len() as f64;
        // Two digits: the round trip is told in units that depend on the time of day.
        let part = (mean / (rate * 8) as f64 * 100.0).round() / 100.0;
        (!estimates.is_empty()).then_some(part)
    }
}

/// The figures of one viewer.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// From subscribing to the first frame.
    pub first_frame: Option<Duration>,
    /// Longest time between two frames.
    pub freeze: Duration,
    /// From the last change of the links to the last gap or switch.
    pub recovery: Option<Duration>,
    /// Gaps above [`FREEZE_MIN`].
    pub freezes: u64,
    /// Frames shown.
    pub frames: u64,
    /// Packets missing when a later one came.
    pub missed: u64,
    /// Of those, how many came after all.
    pub repaired: u64,
    /// Of those, how many were missing for more than 150 ms.
    pub overdue: u64,
    /// Packets the publisher was asked for again.
    pub asked: u64,
    /// Video packets of the publisher that were lost, resent ones too.
    pub lost_up: u64,
    /// Estimate over capacity in the last five seconds.
    pub estimate_of_capacity: Option<f64>,
    /// Mean of what the link towards the viewer carried, in bit/s: media, resends, probes, RTCP.
    pub carried: u64,
    /// 95th percentile of the wait for the bottleneck.
    pub queue: Duration,
    /// Audio packets that never came.
    pub sound_missing: u64,
    /// Longest time between two audio packets.
    pub silence: Duration,
    /// How often another encoding came on show.
    pub switches: u64,
    /// RID of the encoding on show at the end.
    pub last: Option<&'static str>,
    /// Numbers that do not run on.
    pub violations: u64,
}
