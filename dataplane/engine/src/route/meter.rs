//! Rates of an encoding's decode targets, so that whoever chooses layers knows what each costs.
//! Counted per packet of the publisher, not per subscriber.

use std::time::{Duration, Instant};

use proto::payload::facts::{FrameFacts, Indication, TARGETS, Target};

/// Rates are measured over windows of this length. Chosen: long enough to even out frames and the
/// patterns of temporal layers, short enough to follow an encoder.
const WINDOW: Duration = Duration::from_millis(500);
/// The first one is shorter: until it ends nobody can go down. Chosen: three pictures at least.
const WINDOW_FIRST: Duration = Duration::from_millis(200);

/// Measured rates of one encoding.
pub(crate) struct Meter {
    /// Begin of the window; None before the first packet.
    since: Option<Instant>,
    bytes: [u32; TARGETS],
    rates: [u32; TARGETS],
}

impl Meter {
    /// Nothing measured.
    pub(crate) fn new() -> Self {
        Self { since: None, bytes: [0; TARGETS], rates: [0; TARGETS] }
    }

    /// Counts a packet of `len` bytes.
    pub(crate) fn count(&mut self, frame: &FrameFacts, len: usize, now: Instant) {
        self.since.get_or_insert(now);
        for (target, bytes) in Target::all().zip(&mut self.bytes) {
            let part = frame.indications.of(target) != Indication::Absent;
            *bytes = bytes.saturating_add(if part { len as u32 } else { 0 });
        }
    }

    /// Ends a window if it is time.
    pub(crate) fn settle(&mut self, now: Instant) {
        let Some(since) = self.since else { return };
        let elapsed = now.saturating_duration_since(since);
        let window = if self.rate(Target::ALL) == 0 { WINDOW_FIRST } else { WINDOW };
        if elapsed < window {
            return;
        }
        self.since = Some(now);
        for (rate, bytes) in self.rates.iter_mut().zip(&mut self.bytes) {
            let bits = u128::from(std::mem::take(bytes)) * 8_000_000;
            let measured = (bits / elapsed.as_micros()).min(u128::from(u32::MAX)) as u32;
            // Smoothed: a key frame is a burst, not a rate.
            let step = (i64::from(measured) - i64::from(*rate)) / 3;
            *rate = if *rate == 0 { measured } else { (i64::from(*rate) + step) as u32 };
        }
    }

    /// The smallest target that has nearly all of the rate of `target` with the same spatial layers.
    pub(crate) fn least_of(&self, target: Target) -> Target {
        let whole = self.rate(target);
        let enough = |small: &Target| self.rate(*small) + whole / 64 >= whole;
        let temporal =
            (0..target.temporal()).map(|temporal| Target::new(target.spatial(), temporal));
        temporal.into_iter().find(enough).unwrap_or(target)
    }

    /// Bit/s of `target`; 0 while nothing was measured.
    pub(crate) fn rate(&self, target: Target) -> u64 {
        self.rates.get(target.index()).copied().map_or(0, u64::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::payload::facts::Indications;

    #[test]
    fn each_target_has_the_rate_of_its_layers() {
        let start = Instant::now();
        let mut meter = Meter::new();
        let upper =
            Indications::all(Indication::Required).with(Target::new(0, 0), Indication::Absent);
        for n in 0..50u32 {
            let indications =
                if n % 2 == 0 { Indications::all(Indication::Required) } else { upper };
            meter.count(&FrameFacts { indications, ..FrameFacts::UNKNOWN }, 1_000, start);
        }
        meter.settle(start + WINDOW_FIRST / 2);
        assert_eq!(meter.rate(Target::ALL), 0, "not yet");
        meter.settle(start + Duration::from_secs(1));
        assert_eq!(meter.rate(Target::ALL), 400_000);
        assert_eq!(meter.rate(Target::new(0, 0)), 200_000);
        meter.settle(start + Duration::from_secs(2));
        assert!((200_000..400_000).contains(&meter.rate(Target::ALL)));
    }
}
