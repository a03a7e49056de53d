//! How many resends one subscription may cause. A NACK of a few bytes must not become an amplifier:
//! a bucket that refills with what was sent for the first time, at most so many resends of one
//! packet, and none while the last one may still be under way.

use std::time::{Duration, Instant};

/// Resends that may be saved up. Chosen: half a second of a 2.5 Mbit/s video.
const SAVED_MAX: u32 = 128;
/// First sends per resend earned: half of the traffic may be repeated in the long run.
const SENT_PER_RESEND: u32 = 2;
/// Resends of one packet. Chosen: at 30 % loss one packet in 1,400 needs more.
const REPEATS_MAX: u8 = 6;
/// Packets whose resends are counted at a time.
const COUNTED: usize = 256;

/// The resend budget of one subscription.
pub(crate) struct Budget {
    /// In units of 1 / [`SENT_PER_RESEND`] resend.
    saved: u32,
    /// What was resent lately, by index; the memory is taken with the first resend.
    repeats: Option<Box<[Repeat; COUNTED]>>,
}

/// Whether a packet is resent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is, for so many times now.
    Granted {
        /// This time included.
        repeats: u8,
    },
    /// The last resend may still be under way.
    UnderWay,
    /// The bucket is empty, or this packet was resent too often.
    Spent,
}

#[derive(Clone, Copy)]
struct Repeat {
    index: u64,
    at: Instant,
    count: u8,
}

impl Budget {
    /// A full bucket.
    pub(crate) fn new() -> Self {
        Self { saved: SAVED_MAX * SENT_PER_RESEND, repeats: None }
    }

    /// A packet was sent for the first time.
    pub(crate) fn earn(&mut self) {
        self.saved = (self.saved + 1).min(SAVED_MAX * SENT_PER_RESEND);
    }

    /// How often the packet with `index` was resent.
    pub(crate) fn repeats(&self, index: u64) -> u8 {
        let repeats = self.repeats.as_ref().map(|repeats| repeats[index as usize % COUNTED]);
        repeats.filter(|repeat| repeat.index == index).map_or(0, |repeat| repeat.count)
    }

    /// Asks for a resend of the packet with `index`, which must not be less than `spacing` after
    /// the last one; takes it out of the bucket if it is granted.
    pub(crate) fn spend(&mut self, index: u64, spacing: Duration, now: Instant) -> Verdict {
        let Some(rest) = self.saved.checked_sub(SENT_PER_RESEND) else { return Verdict::Spent };
        let fresh = Repeat { index, at: now, count: 0 };
        let repeats = self
            .repeats
            .get_or_insert_with(|| Box::new([Repeat { index: u64::MAX, ..fresh }; COUNTED]));
        let repeat = &mut repeats[index as usize % COUNTED];
        if repeat.index != index {
            *repeat = fresh;
        } else if now.saturating_duration_since(repeat.at) < spacing {
            return Verdict::UnderWay;
        } else if repeat.count >= REPEATS_MAX {
            return Verdict::Spent;
        }
        repeat.count += 1;
        repeat.at = now;
        self.saved = rest;
        Verdict::Granted { repeats: repeat.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;

    fn granted(verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Granted { .. })
    }

    #[test]
    fn resends_are_bounded_by_what_was_sent() {
        let now = Instant::now();
        let mut budget = Budget::new();
        let saved = (0..10_000).filter(|index| granted(budget.spend(*index, NONE, now))).count();
        assert_eq!(saved, SAVED_MAX as usize);
        (0..100).for_each(|_| budget.earn());
        let again = (0..10_000).filter(|index| granted(budget.spend(*index, NONE, now))).count();
        assert_eq!(again, 50);
    }

    #[test]
    fn one_packet_is_resent_a_few_times_and_not_while_it_is_under_way() {
        let now = Instant::now();
        let round_trip = Duration::from_millis(40);
        let mut budget = Budget::new();
        assert_eq!(budget.spend(7, round_trip, now), Verdict::Granted { repeats: 1 });
        let soon = now + round_trip / 2;
        assert_eq!(budget.spend(7, round_trip, soon), Verdict::UnderWay);
        assert_eq!(budget.spend(8, round_trip, soon), Verdict::Granted { repeats: 1 });
        let at = |n: u32| now + round_trip * n;
        let again = (1..100).filter(|n| granted(budget.spend(7, round_trip, at(*n))));
        assert_eq!(again.count(), usize::from(REPEATS_MAX) - 1);
    }
}
