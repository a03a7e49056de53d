//! How much a publisher may send that has nothing to estimate by: the loss-based controller of
//! draft-ietf-rmcat-gcc-02 section 6, run where the packets arrive and told with REMB
//! (draft-alvestrand-rmcat-remb-03). Called per packet of such a peer and with each receiver report.
//! Not used where transport-wide feedback was negotiated.

use std::time::{Duration, Instant};

/// Bound before anything is known. Chosen: generous, a 720p camera.
const START: u64 = 3_000_000;
/// Chosen: audio and a small picture; and a large screen.
const MIN: u64 = 150_000;
const MAX: u64 = 20_000_000;
/// What a bound allows beyond half as much again as arrives, so that a small stream can grow.
const HEADROOM: u64 = 500_000;
/// Shorter times than this are no measure of a rate.
const MEASURE_MIN: Duration = Duration::from_millis(500);

/// The bound of one peer.
pub(crate) struct ReceiveBound {
    /// Bit/s.
    bitrate: u64,
    bytes: u64,
    since: Instant,
    told: u64,
}

impl ReceiveBound {
    /// Nothing arrived yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self { bitrate: START, bytes: 0, since: now, told: START }
    }

    /// A datagram of `len` bytes arrived.
    pub(crate) fn on_packet(&mut self, len: usize) {
        self.bytes += len as u64;
    }

    /// The bound in bit/s, after `lost` of `expected` packets since the last call.
    pub(crate) fn update(&mut self, expected: u64, lost: u64, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed < MEASURE_MIN {
            return self.told;
        }
        let received = (u128::from(self.bytes) * 8_000_000 / elapsed.as_micros()) as u64;
        (self.bytes, self.since) = (0, now);
        let loss = (lost.min(expected) * 1_000).checked_div(expected).unwrap_or(0);
        if loss > 100 {
            let sent = received.saturating_mul(1_000) / (1_000 - loss.min(900));
            self.bitrate = self.bitrate.min(sent) * (2_000 - loss) / 2_000;
        } else if loss < 20 && expected > 0 {
            self.bitrate = self.bitrate * 105 / 100;
        }
        self.bitrate = self.bitrate.clamp(MIN, MAX);
        self.told = self.bitrate.min(received.saturating_mul(3) / 2 + HEADROOM);
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A publisher that sends what it may, at most `wish`, through a pipe of `capacity` bit/s.
    /// Returns the bound after each second.
    fn run(wish: u64, capacity: u64, seconds: u64) -> Vec<u64> {
        let start = Instant::now();
        let mut bound = ReceiveBound::new(start);
        let (mut rate, mut bounds) = (300_000u64.min(wish), Vec::new());
        for second in 1..=seconds {
            let arrives = rate.min(capacity);
            bound.on_packet((arrives / 8) as usize);
            let (expected, lost) = (rate / 8_000, (rate - arrives) / 8_000);
            let told = bound.update(expected, lost, start + Duration::from_secs(second));
            rate = wish.min(told);
            bounds.push(told);
        }
        bounds
    }

    #[test]
    fn a_wide_pipe_is_filled_within_a_few_seconds() {
        let bounds = run(2_500_000, 100_000_000, 20);
        assert!(bounds[4] >= 2_500_000, "{bounds:?}");
    }

    #[test]
    fn a_narrow_pipe_is_not_overfilled_for_long() {
        let bounds = run(4_000_000, 800_000, 30);
        assert!(bounds[9..].iter().all(|b| (600_000..1_000_000).contains(b)), "{bounds:?}");
    }

    #[test]
    fn a_pause_does_not_shrink_the_bound_for_later() {
        let start = Instant::now();
        let mut bound = ReceiveBound::new(start);
        for second in 1..10 {
            assert_eq!(bound.update(0, 0, start + Duration::from_secs(second)), HEADROOM);
        }
        bound.on_packet(250_000);
        assert_eq!(bound.update(200, 0, start + Duration::from_secs(10)), START * 105 / 100);
    }

    proptest! {
        #[test]
        fn the_bound_stays_in_its_limits(
            steps in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u32>(), 0u64..5_000),
                0..100),
        ) {
            let (start, mut at) = (Instant::now(), 0);
            let mut bound = ReceiveBound::new(start);
            for (bytes, expected, lost, wait) in steps {
                at += wait;
                bound.on_packet(bytes as usize);
                let now = start + Duration::from_millis(at);
                let told = bound.update(expected.into(), lost.into(), now);
                prop_assert!((MIN..=MAX).contains(&told));
            }
        }
    }
}
