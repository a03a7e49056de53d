//! Detects the application-limited region: much less is sent than the estimate allows.
//!
//! After libwebrtc's `alr_detector.cc` and `interval_budget.cc`. Called per tick with the media
//! bytes sent since. Must never count padding as what the application has to send.

/// Share of the estimate the application is expected to use, and the budget's window.
const USAGE: f64 = 0.65;
const WINDOW_US: i64 = 500_000;
/// Unused share of the budget at which the region begins and ends.
const BEGIN: f64 = 0.8;
const END: f64 = 0.5;

/// Budget of bytes that fills with time and is used by what is sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Alr {
    budget_bytes: f64,
    last_us: Option<i64>,
    since_us: Option<i64>,
}

impl Alr {
    /// Whether the region was entered and not left.
    pub(super) fn is_limited(&self) -> bool {
        self.since_us.is_some()
    }

    /// Accounts `bytes` of media sent since the last call; true when the region ended with it.
    pub(super) fn update(&mut self, bytes: u64, estimate_bps: f64, now_us: i64) -> bool {
        let passed_us = self.last_us.map_or(0, |last_us| now_us - last_us).clamp(0, WINDOW_US);
        self.last_us = Some(now_us);
        let bytes_per_us = estimate_bps * USAGE / 8e6;
        let full_bytes = (bytes_per_us * WINDOW_US as f64).max(1.0);
        self.budget_bytes += bytes_per_us * passed_us as f64 - bytes as f64;
        self.budget_bytes = self.budget_bytes.clamp(-full_bytes, full_bytes);
        let unused = self.budget_bytes / full_bytes;
        if self.since_us.is_none() && unused > BEGIN {
            self.since_us = Some(now_us);
        } else if self.since_us.is_some() && unused < END {
            self.since_us = None;
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `bps` for a second under an estimate of 1 Mbit/s; true when the region ended.
    fn send(alr: &mut Alr, from_us: i64, bps: u64) -> bool {
        (1..=100).any(|tick| alr.update(bps / 800, 1e6, from_us + tick * 10_000))
    }

    #[test]
    fn begins_when_little_is_sent_and_ends_when_more_is() {
        let mut alr = Alr::default();
        assert!(!send(&mut alr, 0, 700_000) && !alr.is_limited());
        send(&mut alr, 1_000_000, 100_000);
        send(&mut alr, 2_000_000, 100_000);
        assert!(alr.is_limited());
        assert!(send(&mut alr, 3_000_000, 1_500_000) && !alr.is_limited());
    }
}
