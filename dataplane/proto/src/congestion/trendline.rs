//! Detects from the trend of the one-way delay whether a queue grows or drains.
//!
//! Least-squares slope over the smoothed accumulated delay against an adaptive threshold, after
//! libwebrtc's `trendline_estimator.cc` (draft-ietf-rmcat-gcc-02 sections 5.3 to 5.5 give the
//! threshold). Called per pair of packet groups. Must never report overuse from one sample.

use super::groups::Distance;

/// Samples of one regression, and the smoothing and gain before the threshold.
const WINDOW: usize = 20;
const SMOOTHING: f64 = 0.9;
const GAIN: f64 = 4.0;
/// The trend counts fully after so many samples.
const SAMPLES_FULL: u64 = 60;
/// Bounds and speed of the adaptive threshold, in milliseconds.
const THRESHOLD_MS: f64 = 12.5;
const THRESHOLD_MIN_MS: f64 = 6.0;
const THRESHOLD_MAX_MS: f64 = 600.0;
const ADAPT_OFFSET_MAX_MS: f64 = 15.0;
const ADAPT_UP: f64 = 0.0087;
const ADAPT_DOWN: f64 = 0.039;
const ADAPT_STEP_MAX_MS: f64 = 100.0;
/// How long the trend must be above the threshold.
const OVERUSE_MS: f64 = 10.0;

/// What the delay says about the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Usage {
    /// The queue keeps its length.
    #[default]
    Normal,
    /// The queue grows.
    Over,
    /// The queue drains.
    Under,
}

/// The values of the window, a ring, with their sum.
#[derive(Clone, Debug, Default)]
struct Samples {
    /// A few side by side: the processor takes those in one instruction.
    rows: [[f64; LANES]; WINDOW / LANES],
    sum: f64,
}

const LANES: usize = 4;

impl Samples {
    /// Puts a value into the place of the oldest.
    fn put(&mut self, place: usize, value: f64) {
        let old = std::mem::replace(&mut self.rows[place / LANES][place % LANES], value);
        self.sum += value - old;
        if place == 0 {
            // Rounding does not add up for longer than a window.
            self.sum = self.rows.as_flattened().iter().sum();
        }
    }

    fn mean(&self) -> f64 {
        self.sum / WINDOW as f64
    }
}

/// Adds to each lane.
fn add(sums: &mut [f64; LANES], terms: impl Fn(usize) -> f64) {
    for (lane, sum) in sums.iter_mut().enumerate() {
        *sum += terms(lane);
    }
}

/// Detector of one path.
#[derive(Clone, Debug)]
pub(super) struct Trendline {
    /// Arrivals and smoothed delays in milliseconds.
    arrivals: Samples,
    delays: Samples,
    count: u64,
    first_arrival_us: Option<i64>,
    accumulated_ms: f64,
    smoothed_ms: f64,
    threshold_ms: f64,
    last_update_ms: f64,
    trend: f64,
    over_ms: Option<f64>,
    over_samples: u32,
    usage: Usage,
}

impl Trendline {
    pub(super) fn new() -> Self {
        Self {
            arrivals: Samples::default(),
            delays: Samples::default(),
            count: 0,
            first_arrival_us: None,
            accumulated_ms: 0.0,
            smoothed_ms: 0.0,
            threshold_ms: THRESHOLD_MS,
            last_update_ms: 0.0,
            trend: 0.0,
            over_ms: None,
            over_samples: 0,
            usage: Usage::Normal,
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Adds the distance of two groups, the later of which arrived at `arrival_us`.
    pub(super) fn add(&mut self, distance: Distance, arrival_us: i64) {
        let sent_ms = distance.sent_us as f64 / 1_000.0;
        self.accumulated_ms += distance.arrival_us as f64 / 1_000.0 - sent_ms;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.accumulated_ms;
        let first_us = *self.first_arrival_us.get_or_insert(arrival_us);
        let at_ms = arrival_us.saturating_sub(first_us) as f64 / 1_000.0;
        let place = (self.count % WINDOW as u64) as usize;
        self.arrivals.put(place, at_ms);
        self.delays.put(place, self.smoothed_ms);
        self.count += 1;
        let trend = if self.count >= WINDOW as u64 { self.slope() } else { None };
        self.detect(trend.unwrap_or(self.trend), sent_ms, at_ms);
    }

    /// Milliseconds of delay per millisecond; None when all samples arrived at once.
    fn slope(&self) -> Option<f64> {
        let (mean_x, mean_y) = (self.arrivals.mean(), self.delays.mean());
        let (mut numerator, mut denominator) = ([0.0; LANES], [0.0; LANES]);
        for (x, y) in self.arrivals.rows.iter().zip(&self.delays.rows) {
            add(&mut numerator, |lane| (x[lane] - mean_x) * (y[lane] - mean_y));
            add(&mut denominator, |lane| (x[lane] - mean_x) * (x[lane] - mean_x));
        }
        let denominator: f64 = denominator.iter().sum();
        (denominator != 0.0).then(|| numerator.iter().sum::<f64>() / denominator)
    }

    fn detect(&mut self, trend: f64, sent_ms: f64, at_ms: f64) {
        if self.count < 2 {
            return;
        }
        let weighted = self.count.min(SAMPLES_FULL) as f64 * trend * GAIN;
        if weighted > self.threshold_ms {
            let over_ms = self.over_ms.map_or(sent_ms / 2.0, |before| before + sent_ms);
            self.over_ms = Some(over_ms);
            self.over_samples += 1;
            if over_ms > OVERUSE_MS && self.over_samples > 1 && trend >= self.trend {
                self.over_ms = Some(0.0);
                self.over_samples = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_ms = None;
            self.over_samples = 0;
            let drains = weighted < -self.threshold_ms;
            self.usage = if drains { Usage::Under } else { Usage::Normal };
        }
        self.trend = trend;
        self.adapt(weighted.abs(), at_ms);
    }

    /// Moves the threshold towards what the path shows without congestion; spikes are left out.
    fn adapt(&mut self, weighted: f64, at_ms: f64) {
        let passed_ms = (at_ms - self.last_update_ms).clamp(0.0, ADAPT_STEP_MAX_MS);
        self.last_update_ms = at_ms;
        if weighted > self.threshold_ms + ADAPT_OFFSET_MAX_MS {
            return;
        }
        let speed = if weighted < self.threshold_ms { ADAPT_DOWN } else { ADAPT_UP };
        self.threshold_ms += speed * (weighted - self.threshold_ms) * passed_ms;
        self.threshold_ms = self.threshold_ms.clamp(THRESHOLD_MIN_MS, THRESHOLD_MAX_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds groups 20 ms apart, each arriving `growth_us` later than the one before.
    fn feed(trendline: &mut Trendline, from_us: i64, groups: i64, growth_us: i64) -> i64 {
        let step_us = 20_000 + growth_us;
        for group in 1..=groups {
            let distance = Distance { sent_us: 20_000, arrival_us: step_us };
            trendline.add(distance, from_us + group * step_us);
        }
        from_us + groups * step_us
    }

    #[test]
    fn a_ramp_is_overuse_and_its_end_is_not() {
        let mut trendline = Trendline::new();
        let at = feed(&mut trendline, 0, 60, 0);
        assert_eq!(trendline.usage(), Usage::Normal);
        let at = feed(&mut trendline, at, 15, 3_000);
        assert_eq!(trendline.usage(), Usage::Over);
        let at = feed(&mut trendline, at, 25, -3_000);
        assert_eq!(trendline.usage(), Usage::Under);
        feed(&mut trendline, at, 60, 0);
        assert_eq!(trendline.usage(), Usage::Normal);
    }

    #[test]
    fn alternating_delays_are_not() {
        let mut trendline = Trendline::new();
        let mut at_us = 0;
        for group in 0..500 {
            let growth = if group % 2 == 0 { 10_000 } else { -10_000 };
            at_us += 20_000 + growth;
            trendline.add(Distance { sent_us: 20_000, arrival_us: 20_000 + growth }, at_us);
            assert_ne!(trendline.usage(), Usage::Over, "{group}");
        }
    }
}
