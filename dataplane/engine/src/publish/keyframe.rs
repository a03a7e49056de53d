//! Merges key-frame requests of all subscribers of an encoding and bounds their rate: the publisher
//! sees at most one PLI (RFC 4585 section 6.3.1) per [`INTERVAL_MIN`], however many ask.

use std::time::{Duration, Instant};

/// Least time between two requests to one encoding. Chosen: above a usual round trip, so that the
/// answer to the last request is not asked for again, and below what a viewer takes for a freeze.
pub(super) const INTERVAL_MIN: Duration = Duration::from_millis(250);

/// The key-frame requests of one encoding.
#[derive(Default)]
pub(crate) struct KeyFrames {
    asked: Option<Instant>,
    wanted: bool,
}

impl KeyFrames {
    /// Someone needs a key frame. Returns true when the publisher is to be asked right now;
    /// otherwise the wish is kept for [`KeyFrames::due`].
    pub(crate) fn want(&mut self, now: Instant) -> bool {
        self.wanted = true;
        self.due(now)
    }

    /// Whether a kept wish may be sent now; if so it counts as sent.
    pub(crate) fn due(&mut self, now: Instant) -> bool {
        let rested =
            self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= INTERVAL_MIN);
        let send = self.wanted && rested;
        if send {
            self.wanted = false;
            self.asked = Some(now);
        }
        send
    }

    /// A key frame began: whoever wanted one has it.
    pub(crate) fn arrived(&mut self) {
        self.wanted = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_wishes_make_two_requests() {
        let start = Instant::now();
        let mut frames = KeyFrames::default();
        let sent = (0..100).filter(|_| frames.want(start)).count();
        assert_eq!(sent, 1);
        assert!(!frames.due(start + INTERVAL_MIN / 2));
        assert!(frames.due(start + INTERVAL_MIN));
        assert!(!frames.due(start + INTERVAL_MIN * 2), "nobody asked again");
    }

    #[test]
    fn a_key_frame_ends_the_wish() {
        let start = Instant::now();
        let mut frames = KeyFrames::default();
        assert!(frames.want(start));
        assert!(!frames.want(start));
        frames.arrived();
        assert!(!frames.due(start + INTERVAL_MIN));
    }
}
