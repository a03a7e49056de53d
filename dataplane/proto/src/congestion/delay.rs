//! The delay-based estimate: packet groups, their trend, and the rate that follows it.
//!
//! After libwebrtc's `delay_based_bwe.cc`. Called by the controller per feedback message. Must
//! never take the queue of a probe's own burst for congestion: packets of clusters are left out.
//!
//! Differs in weighing the trend by the length of the queue. What an SFU sends is mostly less than
//! the link carries, so that "0.85 of what arrives" after a short burst or a spike of jitter would
//! reduce 3 Mbit/s to a tenth; and on a link that became thin the trend ends once its queue is full.

use super::aimd::{Aimd, BETA};
use super::feedback::Arrival;
use super::groups::Groups;
use super::path::Path;
use super::throughput::Throughput;
use super::trendline::{Trendline, Usage};

/// After so much silence the detector starts again (`delay_based_bwe.cc`).
const SILENCE_US: i64 = 2_000_000;

/// A queue longer than this is congestion whatever made it. Chosen: three times what a key frame
/// paced at one and a half times the link's rate leaves in the queue, above jitter of Wi-Fi.
const QUEUE_DEEP_US: i64 = 100_000;
/// A full queue cannot grow: its delay is level, and this share of bytes is lost. Chosen: above the
/// random loss that is to be carried, below what a rate a fifth too high loses.
const FULL_LOSS: f64 = 0.15;
/// A deep queue that stands, without trend or loss, is looked at this often; unless it became shorter
/// by this, the rate is reduced. Chosen: a rate of 0.85 drains 75 ms in half a second.
const DRAIN_US: i64 = 500_000;
const DRAINED_US: i64 = 15_000;
/// After so many reductions without effect it is no queue: the path became longer.
const DRAINS_MAX: u32 = 3;
/// A deep queue that became longer by so much in 50 ms, with each of the last messages, is congestion
/// at once.
/// Chosen: a rate a quarter above what the path carries.
const MESSAGE_US: i64 = 50_000;
const RISE_US: i64 = 12_000;
const RISES: u32 = 3;
/// One that is half as deep is, when it grows twice as fast.
const STEEP_US: i64 = 25_000;
const STEEP_RISES: u32 = 2;
const STEEP_DEEP_US: i64 = 60_000;
/// With a shorter queue the rate is reduced at most by this, so often: a burst or jitter looks the
/// same, and what arrives is then what was sent, not what the link carries.
const EASE_SHARE: f64 = 0.85;
const EASE_US: i64 = 300_000;
/// A queue shorter than this times the jitter is jitter.
const JITTERS: f64 = 2.0;

/// Delay-based estimate of one path.
#[derive(Clone, Debug)]
pub(super) struct DelayBased {
    groups: Groups,
    trendline: Trendline,
    pub(super) rate: Aimd,
    last_us: Option<i64>,
    recovered: bool,
    verdict: Verdict,
    /// When an overuse with a short queue last reduced the rate.
    eased_us: Option<i64>,
    deep: Option<Deep>,
    /// The queue at the last message, and how many messages in a row made it markedly longer.
    last_queue_us: i64,
    followed_us: i64,
    rises: u32,
    steep_rises: u32,
}

impl DelayBased {
    pub(super) fn new(rate_bps: f64) -> Self {
        Self {
            groups: Groups::default(),
            trendline: Trendline::new(),
            rate: Aimd::new(rate_bps),
            last_us: None,
            recovered: false,
            verdict: Verdict::Clear(Usage::Normal),
            eased_us: None,
            deep: None,
            last_queue_us: 0,
            followed_us: 0,
            rises: 0,
            steep_rises: 0,
        }
    }

    /// Whether the last message reduced the rate or would have.
    pub(super) fn is_overused(&self) -> bool {
        !matches!(self.verdict, Verdict::Clear(_))
    }

    /// Whether the queue is so long that nothing may be added to it.
    pub(super) fn is_deep(&self) -> bool {
        self.deep.is_some()
    }

    /// Whether what looks like a queue does not become shorter whatever is sent.
    pub(super) fn is_longer(&self) -> bool {
        self.deep.is_some_and(|deep| deep.drains > DRAINS_MAX)
    }

    /// Whether a draining queue became empty since the last call.
    pub(super) fn take_recovered(&mut self) -> bool {
        std::mem::take(&mut self.recovered)
    }

    /// Adds arrivals reported at `now_us`, in the order of arrival.
    pub(super) fn add(&mut self, arrivals: &[Arrival], now_us: i64) {
        if self.last_us.is_none_or(|last_us| now_us - last_us > SILENCE_US) {
            self.groups = Groups::default();
            self.trendline = Trendline::new();
        }
        self.last_us = Some(now_us);
        for packet in arrivals.iter().filter(|packet| packet.cluster == 0) {
            let distance = self.groups.add(packet.sent_us, packet.arrival_us, now_us);
            let Some(distance) = distance else { continue };
            let before = self.trendline.usage();
            self.trendline.add(distance, packet.arrival_us);
            self.recovered |= before == Usage::Under && self.trendline.usage() == Usage::Normal;
        }
    }

    /// Moves the rate after a message, whose probe measured `probe_bps`.
    pub(super) fn update(
        &mut self,
        throughput: &Throughput,
        probe_bps: Option<f64>,
        path: &Path,
        now_us: i64,
    ) {
        self.verdict = self.judge(path, now_us);
        let acked_bps = throughput.bps();
        match self.verdict {
            Verdict::Clear(usage) => match probe_bps {
                Some(probe_bps) => self.rate.set(probe_bps, now_us),
                None => self.rate.update(usage, acked_bps, now_us),
            },
            Verdict::Mild => {
                if self.eased_us.is_none_or(|eased_us| now_us - eased_us >= EASE_US) {
                    self.eased_us = Some(now_us);
                    let least_bps = self.rate.bps() * EASE_SHARE;
                    let acked_bps = acked_bps.unwrap_or(0.0).max(least_bps / BETA);
                    self.rate.update(Usage::Over, Some(acked_bps), now_us);
                }
            }
            Verdict::Severe => match path.service_bps().or(throughput.bps()) {
                _ if !self.rate.may_decrease(acked_bps, now_us) => {}
                Some(busy_bps) => self.rate.update(Usage::Over, Some(busy_bps), now_us),
                None => self.rate.set(self.rate.bps() / 2.0, now_us),
            },
        }
    }

    /// Weighs what the detector says by the length of the queue.
    fn judge(&mut self, path: &Path, now_us: i64) -> Verdict {
        let usage = self.trendline.usage();
        self.follow(path.queue_us(), now_us);
        let steep = self.steep_rises >= STEEP_RISES && path.queue_us() >= STEEP_DEEP_US;
        if path.queue_us() < QUEUE_DEEP_US && !steep {
            self.deep = None;
            let noise_us = JITTERS * path.jitter_us();
            return match usage {
                Usage::Over if (path.queue_us() as f64) < noise_us => Verdict::Clear(Usage::Under),
                Usage::Over => Verdict::Mild,
                _ => Verdict::Clear(usage),
            };
        }
        let fresh = Deep { since_us: now_us, queue_us: path.queue_us(), drains: 0 };
        let deep = self.deep.get_or_insert(fresh);
        if usage == Usage::Over || path.loss() > FULL_LOSS || self.rises >= RISES || steep {
            return Verdict::Severe;
        }
        if now_us - deep.since_us < DRAIN_US {
            return Verdict::Clear(Usage::Under);
        }
        let drains = path.queue_us() < deep.queue_us - DRAINED_US;
        *deep = Deep { drains: if drains { 0 } else { deep.drains + 1 }, ..fresh };
        if drains || deep.drains > DRAINS_MAX {
            return Verdict::Clear(Usage::Under);
        }
        Verdict::Severe
    }
}

impl DelayBased {
    /// Counts how long the queue has been growing fast. The trend line needs many groups of packets,
    /// and a queue that overflows meanwhile takes the frames in it with it.
    fn follow(&mut self, queue_us: i64, now_us: i64) {
        let passed_us = now_us - std::mem::replace(&mut self.followed_us, now_us);
        let messages = (passed_us / MESSAGE_US).max(1);
        let rise_us = (queue_us - self.last_queue_us) / messages;
        self.steep_rises = if rise_us >= STEEP_US { self.steep_rises + 1 } else { 0 };
        self.rises = if rise_us >= RISE_US { self.rises + 1 } else { 0 };
        self.last_queue_us = queue_us;
    }
}

/// A queue that is deep, as it was when it was last looked at.
#[derive(Clone, Copy, Debug)]
struct Deep {
    since_us: i64,
    queue_us: i64,
    /// How often the rate was reduced and the queue did not become shorter.
    drains: u32,
}

/// What is done about the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// Nothing, or growth.
    Clear(Usage),
    /// It grows and is short.
    Mild,
    /// It is long, and grows, overflows or stands.
    Severe,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One subscriber: what it sent, and the estimate of it.
    struct Flow {
        delay: DelayBased,
        path: Path,
        throughput: Throughput,
        sent_us: i64,
        queue_us: i64,
    }

    impl Flow {
        fn new() -> Self {
            let (path, throughput) = (Path::default(), Throughput::new());
            Self { delay: DelayBased::new(3e6), path, throughput, sent_us: 0, queue_us: 0 }
        }

        /// Sends 1,000 bytes every 10 ms (800 kbit/s), each `growth_us` longer under way.
        fn run(&mut self, packets: u32, growth_us: i64) {
            for _ in 0..packets {
                self.sent_us += 10_000;
                self.queue_us += growth_us;
                let arrival_us = self.sent_us + self.queue_us;
                let packet = Arrival {
                    arrival_us,
                    sent_us: self.sent_us,
                    size: 1_000,
                    packets: 1,
                    cluster: 0,
                };
                self.throughput.add(1_000, arrival_us);
                self.path.on_arrivals(&[packet], arrival_us);
                self.delay.add(&[packet], arrival_us);
                self.delay.update(&self.throughput, None, &self.path, arrival_us);
            }
        }
    }

    #[test]
    fn a_short_queue_takes_a_share_and_a_deep_one_what_does_not_arrive() {
        let mut flow = Flow::new();
        flow.run(300, 0);
        assert_eq!(flow.delay.rate.bps(), 3e6, "little sent is no reason to reduce");
        flow.run(15, 3_000);
        let bps = flow.delay.rate.bps();
        assert!((2e6..2.6e6).contains(&bps) && flow.delay.is_overused(), "{bps}");
        flow.run(40, 6_000);
        let bps = flow.delay.rate.bps();
        assert!(bps < 800e3 && flow.delay.is_deep(), "{bps}");
    }

    #[test]
    fn a_longer_path_is_told_from_a_queue() {
        let mut flow = Flow::new();
        flow.run(300, 0);
        flow.queue_us += 150_000;
        let mut longer = false;
        for _ in 0..500 {
            flow.run(1, 0);
            longer |= flow.delay.is_longer();
            if flow.delay.is_longer() {
                flow.path.rebase();
            }
        }
        assert!(longer && !flow.delay.is_deep());
    }

    #[test]
    fn the_queue_of_a_probe_is_its_own() {
        let mut flow = Flow::new();
        flow.run(300, 0);
        let now_us = flow.sent_us + 50_000;
        let probe: Vec<_> = (0..100)
            .map(|packet| Arrival {
                arrival_us: flow.sent_us + packet * 2_000,
                sent_us: flow.sent_us + packet * 500,
                size: 1_000,
                packets: 1,
                cluster: 1,
            })
            .collect();
        flow.delay.add(&probe, now_us);
        flow.delay.update(&flow.throughput, None, &flow.path, now_us);
        assert!(!flow.delay.is_overused());
    }
}
