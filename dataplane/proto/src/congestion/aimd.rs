//! Additive-increase, multiplicative-decrease control of a rate by the delay detector.
//!
//! After libwebrtc's `aimd_rate_control.cc` and `link_capacity_estimator.cc`
//! (draft-ietf-rmcat-gcc-02 section 5.5). Called once per feedback message. Must never raise the
//! rate above what arrives by more than half: growth needs evidence.

use super::trendline::Usage;
use super::{FLOOR_BPS, MAX_BPS};

/// Share of the acknowledged rate kept when the queue grows.
pub(super) const BETA: f64 = 0.85;
/// Growth per second far from the link's capacity.
const GROWTH: f64 = 1.08;
const GROWTH_MIN_BPS: f64 = 1_000.0;
/// The rate may be this much above what arrives.
const ACKED_FACTOR: f64 = 1.5;
const ACKED_OFFSET_BPS: f64 = 10_000.0;
/// Taken off on a decrease, so that equal rates move too.
const DECREASE_OFFSET_BPS: f64 = 5_000.0;
/// Bounds of the time between two decreases, else a round trip.
const DECREASE_GAP_MIN_US: i64 = 10_000;
const DECREASE_GAP_MAX_US: i64 = 200_000;
/// Additive growth: one packet of a frame per two response times.
const FRAMES_PER_SECOND: f64 = 30.0;
const PACKET_BITS: f64 = 1_200.0 * 8.0;
const ADDITIVE_MIN_BPS: f64 = 4_000.0;
const RESPONSE_OFFSET_US: f64 = 100_000.0;
const RTT_DEFAULT_US: i64 = 200_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Hold,
    Increase,
}

/// The delay-based rate.
#[derive(Clone, Debug)]
pub(super) struct Aimd {
    rate_bps: f64,
    capacity: LinkCapacity,
    state: State,
    changed_us: Option<i64>,
    rtt_us: i64,
}

impl Aimd {
    /// Starts at `rate_bps`.
    pub(super) fn new(rate_bps: f64) -> Self {
        Self {
            rate_bps,
            capacity: LinkCapacity::default(),
            state: State::Hold,
            changed_us: None,
            rtt_us: RTT_DEFAULT_US,
        }
    }

    pub(super) fn bps(&self) -> f64 {
        self.rate_bps
    }

    pub(super) fn set_rtt(&mut self, rtt_us: i64) {
        self.rtt_us = rtt_us;
    }

    /// Takes over a rate measured by other means.
    pub(super) fn set(&mut self, rate_bps: f64, now_us: i64) {
        self.rate_bps = rate_bps.clamp(FLOOR_BPS as f64, MAX_BPS as f64);
        self.changed_us = Some(now_us);
    }

    /// Whether an overuse may reduce the rate again.
    pub(super) fn may_decrease(&self, acked_bps: Option<f64>, now_us: i64) -> bool {
        let gap_us = self.rtt_us.clamp(DECREASE_GAP_MIN_US, DECREASE_GAP_MAX_US);
        self.changed_us.is_none_or(|changed_us| now_us - changed_us >= gap_us)
            || acked_bps.is_some_and(|acked_bps| acked_bps < 0.5 * self.rate_bps)
    }

    /// Moves the rate by what the detector says, once it is known what arrives.
    pub(super) fn update(&mut self, usage: Usage, acked_bps: Option<f64>, now_us: i64) {
        let Some(acked_bps) = acked_bps else { return };
        match usage {
            Usage::Over => self.decrease(acked_bps, now_us),
            Usage::Under => self.state = State::Hold,
            Usage::Normal => {
                if self.state == State::Hold {
                    self.state = State::Increase;
                    self.changed_us = Some(now_us);
                }
                self.increase(acked_bps, now_us);
            }
        }
        self.rate_bps = self.rate_bps.clamp(FLOOR_BPS as f64, MAX_BPS as f64);
    }

    fn increase(&mut self, acked_bps: f64, now_us: i64) {
        if self.capacity.upper_bps().is_some_and(|upper_bps| acked_bps > upper_bps) {
            self.capacity = LinkCapacity::default();
        }
        let limit_bps = ACKED_FACTOR * acked_bps + ACKED_OFFSET_BPS;
        let passed_us = self.changed_us.map_or(0, |changed_us| (now_us - changed_us).max(0));
        let passed = (passed_us as f64 / 1e6).min(1.0);
        if self.rate_bps < limit_bps {
            let growth_bps = if self.capacity.estimate_kbps.is_some() {
                self.additive_bps_per_second() * passed
            } else {
                (self.rate_bps * (GROWTH.powf(passed) - 1.0)).max(GROWTH_MIN_BPS)
            };
            self.rate_bps = (self.rate_bps + growth_bps).min(limit_bps);
        }
        self.changed_us = Some(now_us);
    }

    fn decrease(&mut self, acked_bps: f64, now_us: i64) {
        let mut rate_bps = acked_bps * BETA;
        if rate_bps > DECREASE_OFFSET_BPS {
            rate_bps -= DECREASE_OFFSET_BPS;
        }
        if rate_bps > self.rate_bps
            && let Some(capacity_kbps) = self.capacity.estimate_kbps
        {
            rate_bps = BETA * capacity_kbps * 1_000.0;
        }
        self.rate_bps = self.rate_bps.min(rate_bps);
        if self.capacity.lower_bps().is_some_and(|lower_bps| acked_bps < lower_bps) {
            self.capacity = LinkCapacity::default();
        }
        self.capacity.on_overuse(acked_bps);
        self.state = State::Hold;
        self.changed_us = Some(now_us);
    }

    fn additive_bps_per_second(&self) -> f64 {
        let frame_bits = self.rate_bps / FRAMES_PER_SECOND;
        let packets = (frame_bits / PACKET_BITS).ceil().max(1.0);
        let response_us = 2.0 * (self.rtt_us as f64 + RESPONSE_OFFSET_US);
        (frame_bits / packets * 1e6 / response_us).max(ADDITIVE_MIN_BPS)
    }
}

/// Where the link's capacity was when its queue grew, smoothed.
#[derive(Clone, Debug)]
struct LinkCapacity {
    estimate_kbps: Option<f64>,
    deviation: f64,
}

impl Default for LinkCapacity {
    fn default() -> Self {
        Self { estimate_kbps: None, deviation: 0.4 }
    }
}

impl LinkCapacity {
    fn on_overuse(&mut self, acked_bps: f64) {
        let sample_kbps = acked_bps / 1_000.0;
        let estimate_kbps = match self.estimate_kbps {
            None => sample_kbps,
            Some(estimate_kbps) => (1.0 - SHARE) * estimate_kbps + SHARE * sample_kbps,
        };
        let error_kbps = estimate_kbps - sample_kbps;
        let square = error_kbps * error_kbps / estimate_kbps.max(1.0);
        self.deviation = ((1.0 - SHARE) * self.deviation + SHARE * square).clamp(0.4, 2.5);
        self.estimate_kbps = Some(estimate_kbps);
    }

    fn upper_bps(&self) -> Option<f64> {
        self.estimate_kbps.map(|kbps| (kbps + 3.0 * self.deviation_kbps(kbps)) * 1_000.0)
    }

    fn lower_bps(&self) -> Option<f64> {
        self.estimate_kbps.map(|kbps| (kbps - 3.0 * self.deviation_kbps(kbps)).max(0.0) * 1_000.0)
    }

    fn deviation_kbps(&self, estimate_kbps: f64) -> f64 {
        (self.deviation * estimate_kbps).sqrt()
    }
}

/// Share of a new sample in the smoothed capacity (`link_capacity_estimator.cc`).
const SHARE: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overuse_reduces_to_a_share_of_what_arrives() {
        let mut aimd = Aimd::new(2e6);
        aimd.update(Usage::Over, Some(1e6), 0);
        assert_eq!(aimd.bps(), 0.85 * 1e6 - 5_000.0);
        assert!(!aimd.may_decrease(Some(1e6), 100_000));
        assert!(aimd.may_decrease(Some(1e6), 200_000));
        assert!(aimd.may_decrease(Some(0.4e6), 100_000), "far below");
    }

    #[test]
    fn grows_with_evidence_only() {
        let mut aimd = Aimd::new(1e6);
        for step in 0..40 {
            aimd.update(Usage::Normal, Some(1e6), step * 250_000);
        }
        assert!(aimd.bps() > 1.5e6 && aimd.bps() <= 1.51e6, "{}", aimd.bps());
        let before = aimd.bps();
        for step in 40..80 {
            aimd.update(Usage::Normal, Some(0.1e6), step * 250_000);
        }
        assert_eq!(aimd.bps(), before, "little sent is no reason to reduce");
    }

    #[test]
    fn near_the_capacity_growth_is_slow() {
        let mut aimd = Aimd::new(1e6);
        aimd.update(Usage::Over, Some(1e6), 0);
        let before = aimd.bps();
        for step in 1..5 {
            aimd.update(Usage::Normal, Some(0.9e6), step * 250_000);
        }
        assert!(aimd.bps() > before && aimd.bps() < before * 1.04, "{}", aimd.bps());
    }
}
