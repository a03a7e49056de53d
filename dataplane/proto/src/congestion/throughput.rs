//! The rate at which packets arrive at the receiver, smoothed.
//!
//! Bayesian estimate over windows of arrival time, after libwebrtc's `bitrate_estimator.cc`. Called
//! by the controller per packet reported as arrived. Must never use a clock of ours: arrivals are
//! timed by the receiver.

/// Window before the first estimate, and after it, in microseconds (`bitrate_estimator.cc`).
const FIRST_WINDOW_US: i64 = 500_000;
const WINDOW_US: i64 = 150_000;
/// How much a sample far from the estimate is doubted (`bitrate_estimator.cc`).
const UNCERTAINTY_SCALE: f64 = 10.0;
/// Growth of the estimate's variance per window, in (kbit/s)^2 (`bitrate_estimator.cc`).
const PROCESS_VARIANCE: f64 = 5.0;
const FIRST_VARIANCE: f64 = 50.0;
/// Variance added when a change of rate is expected (`bitrate_estimator.cc`).
const CHANGE_VARIANCE: f64 = 200.0;

/// Estimate of the acknowledged rate.
#[derive(Clone, Debug)]
pub(super) struct Throughput {
    bytes: u64,
    window_us: i64,
    last_us: Option<i64>,
    estimate_kbps: Option<f64>,
    variance: f64,
}

impl Throughput {
    pub(super) fn new() -> Self {
        Self {
            bytes: 0,
            window_us: 0,
            last_us: None,
            estimate_kbps: None,
            variance: FIRST_VARIANCE,
        }
    }

    /// Bit/s; None until the first window is full.
    pub(super) fn bps(&self) -> Option<f64> {
        self.estimate_kbps.map(|kbps| kbps * 1_000.0)
    }

    /// Believes the next samples more, because what is sent changed.
    pub(super) fn expect_change(&mut self) {
        self.variance += CHANGE_VARIANCE;
    }

    /// Adds `bytes` that arrived at `arrival_us`.
    pub(super) fn add(&mut self, bytes: u64, arrival_us: i64) {
        let Some(sample_kbps) = self.sample(bytes, arrival_us) else { return };
        let Some(estimate) = self.estimate_kbps else {
            self.estimate_kbps = Some(sample_kbps);
            return;
        };
        let doubt = UNCERTAINTY_SCALE * (estimate - sample_kbps).abs() / estimate.max(1.0);
        let sample_variance = doubt * doubt;
        let predicted = self.variance + PROCESS_VARIANCE;
        let sum = sample_variance + predicted;
        self.estimate_kbps = Some((sample_variance * estimate + predicted * sample_kbps) / sum);
        self.variance = sample_variance * predicted / sum;
    }

    /// The rate of the window that ended before `arrival_us`, if one did.
    fn sample(&mut self, bytes: u64, arrival_us: i64) -> Option<f64> {
        let length_us = if self.estimate_kbps.is_some() { WINDOW_US } else { FIRST_WINDOW_US };
        let last_us = self.last_us.unwrap_or(arrival_us);
        let passed_us = arrival_us.saturating_sub(last_us).max(0);
        self.last_us = Some(last_us.max(arrival_us));
        self.window_us = self.window_us.saturating_add(passed_us);
        if passed_us > length_us {
            // Silence: what was before it says nothing about now.
            self.bytes = 0;
            self.window_us %= length_us;
        }
        let mut sample = None;
        if self.window_us >= length_us {
            sample = Some(8_000.0 * self.bytes as f64 / length_us as f64);
            self.window_us -= length_us;
            self.bytes = 0;
        }
        self.bytes += bytes;
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(throughput: &mut Throughput, from_us: i64, ms: i64, bytes: u64) -> i64 {
        for step in 0..ms / 10 {
            throughput.add(bytes, from_us + step * 10_000);
        }
        from_us + ms * 1_000
    }

    #[test]
    fn follows_a_steady_rate_and_its_change() {
        let mut throughput = Throughput::new();
        let at = feed(&mut throughput, 0, 490, 1_250);
        assert_eq!(throughput.bps(), None);
        let at = feed(&mut throughput, at, 1_000, 1_250);
        let bps = throughput.bps().expect("a full window");
        assert!((950_000.0..1_050_000.0).contains(&bps), "{bps}");
        feed(&mut throughput, at, 1_500, 250);
        let bps = throughput.bps().expect("a full window");
        assert!((190_000.0..260_000.0).contains(&bps), "{bps}");
    }

    #[test]
    fn time_that_runs_backwards_does_no_harm() {
        let mut throughput = Throughput::new();
        let at = feed(&mut throughput, i64::MAX / 2, 2_000, 1_250);
        throughput.add(100, at - 5_000_000);
        throughput.add(100, i64::MIN / 2);
        let bps = throughput.bps().expect("a full window");
        assert!((900_000.0..1_100_000.0).contains(&bps), "{bps}");
    }
}
