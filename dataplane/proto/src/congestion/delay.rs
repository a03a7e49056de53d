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
/// A deep queue that stands, without trend or loss, reduces the rate this often at most, in steps of
/// this time. Chosen: three times 0.85 drain half a second of queue in a bit more than a second;
/// more would starve a path that only became longer, until the least delay is forgotten.
const DRAINS_MAX: u32 = 3;
const DRAIN_US: i64 = 500_000;
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
    /// Since when the queue is deep, and how often that alone reduced the rate.
    deep_us: Option<i64>,
    drains: u32,
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
            deep_us: None,
            drains: 0,
        }
    }

    /// Whether the last message reduced the rate or would have.
    pub(super) fn is_overused(&self) -> bool {
        !matches!(self.verdict, Verdict::Clear(_))
    }

    /// Whether the queue is so long that nothing may be added to it.
    pub(super) fn is_deep(&self) -> bool {
        self.deep_us.is_some() && self.drains < DRAINS_MAX
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
            let before = self.trendline.usage();
            if let Some(distance) = self.groups.add(packet.sent_us, packet.arrival_us, now_us) {
                self.trendline.add(distance, packet.arrival_us);
            }
            let after = self.trendline.usage();
            self.recovered |= before == Usage::Under && after == Usage::Normal;
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
            Verdict::Severe => match throughput.busy_bps() {
                _ if !self.rate.may_decrease(acked_bps, now_us) => {}
                Some(busy_bps) => self.rate.update(Usage::Over, Some(busy_bps), now_us),
                None => self.rate.set(self.rate.bps() / 2.0, now_us),
            },
        }
    }

    /// Weighs what the detector says by the length of the queue.
    fn judge(&mut self, path: &Path, now_us: i64) -> Verdict {
        let usage = self.trendline.usage();
        if path.queue_us() < QUEUE_DEEP_US {
            self.deep_us = None;
            self.drains = 0;
            let noise_us = JITTERS * path.jitter_us();
            return match usage {
                Usage::Over if (path.queue_us() as f64) < noise_us => Verdict::Clear(Usage::Under),
                Usage::Over => Verdict::Mild,
                _ => Verdict::Clear(usage),
            };
        }
        let deep_us = *self.deep_us.get_or_insert(now_us);
        if usage == Usage::Over || path.loss() > FULL_LOSS {
            return Verdict::Severe;
        }
        if usage == Usage::Under || self.drains >= DRAINS_MAX {
            return Verdict::Clear(usage);
        }
        if now_us - deep_us < DRAIN_US * i64::from(self.drains + 1) {
            return Verdict::Clear(Usage::Under);
        }
        self.drains += 1;
        Verdict::Severe
    }
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
