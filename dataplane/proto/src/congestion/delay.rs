//! The delay-based estimate: packet groups, their trend, and the rate that follows it.
//!
//! After libwebrtc's `delay_based_bwe.cc`. Called by the controller per feedback message. Must
//! never take the queue of a probe's own burst for congestion: packets of clusters are left out.

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
/// Share of bytes lost that makes a deep queue a full one. Chosen: above the random loss that is to
/// be carried, below what a rate a fifth too high loses.
const FULL_LOSS: f64 = 0.15;
/// With a shorter queue the rate is reduced at most by this, so often: a burst or jitter looks the
/// same, and what arrives is then what was sent, not what the link carries.
const EASE_SHARE: f64 = 0.85;
const EASE_US: i64 = 300_000;

/// Delay-based estimate of one path.
#[derive(Clone, Debug)]
pub(super) struct DelayBased {
    groups: Groups,
    trendline: Trendline,
    pub(super) rate: Aimd,
    last_us: Option<i64>,
    recovered: bool,
    full: bool,
    /// When an overuse with a short queue last reduced the rate.
    eased_us: Option<i64>,
}

impl DelayBased {
    pub(super) fn new(rate_bps: f64) -> Self {
        Self {
            groups: Groups::default(),
            trendline: Trendline::new(),
            rate: Aimd::new(rate_bps),
            last_us: None,
            recovered: false,
            full: false,
            eased_us: None,
        }
    }

    pub(super) fn is_overused(&self) -> bool {
        self.full || self.trendline.usage() == Usage::Over
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
        let acked_bps = throughput.bps();
        let deep = path.queue_us() >= QUEUE_DEEP_US;
        // A full queue cannot grow: its delay is level, and what does not fit is lost.
        self.full = deep && path.loss() > FULL_LOSS;
        let usage = if self.full { Usage::Over } else { self.trendline.usage() };
        if usage != Usage::Over {
            match probe_bps {
                Some(probe_bps) => self.rate.set(probe_bps, now_us),
                None => self.rate.update(usage, acked_bps, now_us),
            }
        } else if !deep {
            if self.eased_us.is_none_or(|eased_us| now_us - eased_us >= EASE_US) {
                self.eased_us = Some(now_us);
                let least_bps = self.rate.bps() * EASE_SHARE;
                let acked_bps = acked_bps.unwrap_or(0.0).max(least_bps / BETA);
                self.rate.update(usage, Some(acked_bps), now_us);
            }
        } else if self.rate.may_decrease(acked_bps, now_us) {
            match throughput.busy_bps() {
                Some(busy_bps) => self.rate.update(usage, Some(busy_bps), now_us),
                None => self.rate.set(self.rate.bps() / 2.0, now_us),
            }
        }
    }
}
