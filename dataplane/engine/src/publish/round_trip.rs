//! Round-trip time towards one publisher, and how long to wait for an answer before asking again
//! (the estimator of RFC 6298 section 2, with Karn's rule of section 3). Samples are requests for
//! lost packets, or reference times, and their answers. Pure arithmetic: no clock.

use std::time::{Duration, Instant};

/// Assumed until the first sample. Chosen: what libwebrtc's NACK module assumes.
const FIRST_US: u32 = 100_000;
/// Least spread added to the mean: requests leave at ticks of 10 ms, and a publisher's pacer holds
/// an answer back behind what it is sending.
const SPREAD_MIN_US: u32 = 20_000;
/// Bounds of the time to wait. Chosen: two ticks beyond a path without delay; and no longer than a
/// lost packet is of use.
const WAIT_MIN_US: u32 = 30_000;
const WAIT_MAX_US: u32 = 1_000_000;
/// Longer samples are answers to something else.
const SAMPLE_MAX: Duration = Duration::from_secs(2);
/// Doublings of the wait while nothing is answered in time.
const DOUBLINGS_MAX: u8 = 4;

/// The estimate for one publisher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundTrip {
    smoothed_us: u32,
    variance_us: u32,
    sampled: bool,
    /// Rounds of requests without an answer in time since the last sample.
    late: u8,
}

impl Default for RoundTrip {
    fn default() -> Self {
        Self { smoothed_us: FIRST_US, variance_us: FIRST_US / 2, sampled: false, late: 0 }
    }
}

impl RoundTrip {
    /// Something that was asked for once was answered after `round_trip`.
    pub(crate) fn sample(&mut self, round_trip: Duration) {
        if round_trip > SAMPLE_MAX {
            return;
        }
        let sample = round_trip.as_micros() as u32;
        if std::mem::replace(&mut self.sampled, true) {
            let error = self.smoothed_us.abs_diff(sample);
            self.variance_us = (3 * self.variance_us + error) / 4;
            self.smoothed_us = (7 * self.smoothed_us + sample) / 8;
        } else {
            (self.smoothed_us, self.variance_us) = (sample, sample / 2);
        }
        self.late = 0;
    }

    /// A round of first requests went without an answer for [`RoundTrip::wait`]. One such round is
    /// a lost request or answer; when they come without a sample between them the path has become
    /// longer, and the wait is doubled until a sample says how long.
    pub(crate) fn timed_out(&mut self) {
        self.late = self.late.saturating_add(1);
    }

    /// How long to wait for an answer before asking again.
    pub(crate) fn wait(&self) -> Duration {
        let wait = self.smoothed_us + (4 * self.variance_us).max(SPREAD_MIN_US);
        let doublings = (self.late / 2).min(DOUBLINGS_MAX);
        let wait = (wait << doublings).clamp(WAIT_MIN_US, WAIT_MAX_US);
        Duration::from_micros(u64::from(wait))
    }
}

/// NTP seconds at the start of a core's reference times. No clock is read for them; chosen: a date
/// of this century, for there are peers that make a calendar date of it on the way (str0m 0.25).
const REFERENCE_SECONDS: u64 = 3_900_000_000;

/// The time a reference time report tells (RFC 3611 section 4.4), 32.32 fixed point.
pub(crate) fn reference_time(start: Instant, now: Instant) -> u64 {
    let since = now.saturating_duration_since(start);
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    ((REFERENCE_SECONDS + since.as_secs()) << 32) | fraction
}

/// What the answer to a reference time that arrived `now` says (RFC 3611 section 4.5): from the
/// middle 32 bits of that time and the delay at the other side, both in 1/65536 s. None when it
/// answers nothing, or would have come before it was asked.
pub(crate) fn round_trip_of(
    start: Instant,
    now: Instant,
    last_reference: u32,
    delay: u32,
) -> Option<Duration> {
    let now = (reference_time(start, now) >> 16) as u32;
    let units = now.wrapping_sub(last_reference).wrapping_sub(delay) as i32;
    let micros = u64::try_from(units).ok()? * 1_000_000 / 65_536;
    (last_reference != 0).then_some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn an_even_path_is_waited_for_a_little_longer_than_it_takes() {
        for path in [1, 20, 100, 300, 600] {
            let mut round_trip = RoundTrip::default();
            assert_eq!(round_trip.wait(), ms(300), "before the first sample");
            (0..40).for_each(|_| round_trip.sample(ms(path)));
            let wait = round_trip.wait();
            assert!(wait >= ms(path + 19) && wait <= ms(path + 29), "{path}: {wait:?}");
        }
    }

    #[test]
    fn a_path_that_became_longer_is_found_out() {
        let mut round_trip = RoundTrip::default();
        (0..40).for_each(|_| round_trip.sample(ms(20)));
        round_trip.timed_out();
        assert_eq!(round_trip.wait(), ms(40), "one loss changes nothing");
        let mut rounds = 1;
        while round_trip.wait() < ms(400) && rounds < 100 {
            round_trip.timed_out();
            rounds += 1;
        }
        assert_eq!(rounds, 8);
        round_trip.sample(ms(400));
        assert!(round_trip.wait() > ms(400));
        round_trip.sample(ms(5_000));
        assert!(round_trip.wait() < ms(800), "too long to be an answer");
    }

    #[test]
    fn a_reference_time_comes_back_as_a_round_trip() {
        let start = Instant::now();
        for at in [0, 1, 999, 70_000, 86_400_000] {
            let sent = start + ms(at);
            let reference = (reference_time(start, sent) >> 16) as u32;
            let (arrived, delay) = (sent + ms(140), 65_536 / 10);
            let found = round_trip_of(start, arrived, reference, delay).expect("an answer");
            assert!(found.abs_diff(ms(40)) < ms(1), "{at}: {found:?}");
        }
        assert_eq!(round_trip_of(start, start + ms(500), 0, 0), None);
        let reference = (reference_time(start, start) >> 16) as u32;
        assert_eq!(round_trip_of(start, start + ms(40), reference, 65_536), None);
    }

    proptest! {
        #[test]
        fn the_wait_stays_in_its_bounds(
            steps in prop::collection::vec(prop::option::of(0u64..10_000_000), 0..200),
        ) {
            let mut round_trip = RoundTrip::default();
            for step in steps {
                match step {
                    Some(micros) => round_trip.sample(Duration::from_micros(micros)),
                    None => round_trip.timed_out(),
                }
                let wait = round_trip.wait().as_micros() as u32;
                prop_assert!((WAIT_MIN_US..=WAIT_MAX_US).contains(&wait));
            }
        }
    }
}
