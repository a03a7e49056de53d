//! How many resends one subscription may cause. A NACK of a few bytes must not become an amplifier:
//! a bucket that refills with what was sent for the first time.

/// Resends that may be saved up. Chosen: half a second of a 2.5 Mbit/s video.
const SAVED_MAX: u32 = 128;
/// First sends per resend earned: half of the traffic may be repeated in the long run.
const SENT_PER_RESEND: u32 = 2;

/// The resend budget of one subscription.
pub(crate) struct Budget {
    /// In units of 1 / [`SENT_PER_RESEND`] resend.
    saved: u32,
}

impl Budget {
    /// A full bucket.
    pub(crate) fn new() -> Self {
        Self { saved: SAVED_MAX * SENT_PER_RESEND }
    }

    /// A packet was sent for the first time.
    pub(crate) fn earn(&mut self) {
        self.saved = (self.saved + 1).min(SAVED_MAX * SENT_PER_RESEND);
    }

    /// Takes one resend out; false when the bucket is empty.
    pub(crate) fn spend(&mut self) -> bool {
        match self.saved.checked_sub(SENT_PER_RESEND) {
            Some(rest) => {
                self.saved = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resends_are_bounded_by_what_was_sent() {
        let mut budget = Budget::new();
        let saved = (0..10_000).filter(|_| budget.spend()).count();
        assert_eq!(saved, SAVED_MAX as usize);
        (0..100).for_each(|_| budget.earn());
        assert_eq!((0..10_000).filter(|_| budget.spend()).count(), 50);
    }
}
