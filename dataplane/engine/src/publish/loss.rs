//! Gaps in one encoding's sequence numbers, and when to ask the publisher for them again
//! (RFC 4585 section 6.2.1). Fixed memory; one request per gap, however many subscribers miss it.

use std::time::{Duration, Instant};

/// Gaps remembered at a time; a longer loss asks for a key frame instead.
const GAPS_MAX: usize = 128;
/// A gap is asked for when it is this old: reordered packets come within it on most paths.
const REORDER: Duration = Duration::from_millis(10);
/// Then again after this long without an answer. Chosen: above the round trip of most paths.
const REPEAT: Duration = Duration::from_millis(80);
/// And given up after this many requests.
const REQUESTS_MAX: u8 = 6;

#[derive(Clone, Copy)]
struct Gap {
    sequence: u64,
    due: Instant,
    requests: u8,
}

/// The open gaps of one encoding.
pub(crate) struct Gaps {
    open: Vec<Gap>,
}

impl Gaps {
    /// No gaps; the memory for all is taken here.
    pub(crate) fn new() -> Self {
        Self { open: Vec::with_capacity(GAPS_MAX) }
    }

    /// Forgets everything: sequence numbers start anew.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }

    /// The numbers between `newest` and `sequence` are missing. Returns false when they are too
    /// many to be repaired: a key frame is the better remedy.
    pub(crate) fn on_jump(&mut self, newest: u64, sequence: u64, now: Instant) -> bool {
        let missing = sequence.saturating_sub(newest + 1);
        if missing as usize > GAPS_MAX - self.open.len() {
            self.open.clear();
            return false;
        }
        for sequence in newest + 1..sequence {
            self.open.push(Gap { sequence, due: now + REORDER, requests: 0 });
        }
        true
    }

    /// A packet older than the newest arrived. Returns whether it filled an open gap.
    pub(crate) fn on_late(&mut self, sequence: u64) -> bool {
        match self.open.iter().position(|gap| gap.sequence == sequence) {
            Some(place) => {
                self.open.remove(place);
                true
            }
            None => false,
        }
    }

    /// Writes the numbers that are to be asked for now into `numbers`, in order; returns how many.
    /// Gaps that were asked for often enough are given up.
    pub(crate) fn due(&mut self, now: Instant, numbers: &mut [u16]) -> usize {
        self.open.retain(|gap| gap.requests < REQUESTS_MAX || gap.due > now);
        let mut count = 0;
        for gap in self.open.iter_mut().filter(|gap| gap.due <= now) {
            let Some(place) = numbers.get_mut(count) else { break };
            *place = gap.sequence as u16;
            gap.due = now + REPEAT;
            gap.requests += 1;
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_asked_for_until_it_is_filled_or_given_up() {
        let start = Instant::now();
        let (mut gaps, mut numbers) = (Gaps::new(), [0; 16]);
        assert!(gaps.on_jump(65_534, 65_538, start));
        assert_eq!(gaps.due(start, &mut numbers), 0, "it may only be late");
        assert_eq!(gaps.due(start + REORDER, &mut numbers), 3);
        assert_eq!(numbers[..3], [65_535, 0, 1]);
        assert_eq!(gaps.due(start + REORDER, &mut numbers), 0, "once");
        assert!(gaps.on_late(65_536));
        assert!(!gaps.on_late(65_536));
        let mut requests = 0;
        for round in 1..20 {
            requests += gaps.due(start + REORDER + REPEAT * round, &mut numbers);
        }
        assert_eq!(requests, 2 * usize::from(REQUESTS_MAX - 1));
    }

    #[test]
    fn a_loss_too_long_to_repair_is_reported() {
        let start = Instant::now();
        let mut gaps = Gaps::new();
        assert!(!gaps.on_jump(0, GAPS_MAX as u64 + 2, start));
        assert!(gaps.on_jump(0, GAPS_MAX as u64 + 1, start));
    }
}
