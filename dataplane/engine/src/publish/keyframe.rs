//! Merges key-frame requests of all subscribers of an encoding and bounds their rate: the publisher
//! sees at most one PLI (RFC 4585 section 6.3.1) per interval, however many ask. Called when a
//! subscriber needs a picture, when a key frame begins, and periodically for wishes that were kept.
//!
//! Key frames are not kept for late joiners. A joiner waits for one round trip, or, when another one
//! was served less than the interval before, for the rest of the interval and one round trip: 0.37 s
//! at most at 50 ms, 0.05 s in the mean while joins are rare. A kept key frame would save that, for
//! those joins only, by sending up to 0.3 s of media (94 kB at 2.5 Mbit/s) at once to someone whose
//! bandwidth is not known yet.

use std::time::{Duration, Instant};

/// libwebrtc's encoder passes over a request that comes so soon after the last one it served
/// (`video/encoder_rtcp_feedback.cc`); it serves one with key frames of all encodings.
const SERVED: Duration = Duration::from_millis(300);
/// Bounds of the time between two requests to one encoding. The lower one: [`SERVED`], as requests
/// leave at ticks and arrive with jitter.
const INTERVAL_MIN: Duration = Duration::from_millis(320);
const INTERVAL_MAX: Duration = Duration::from_secs(1);
/// Requests in a row without a key frame after which a living encoding is asked at
/// [`INTERVAL_MAX`] and a silent one no more, until it sends again. Chosen: with 20 % loss in both
/// directions four in a row are lost once in sixty times.
const UNANSWERED_MAX: u8 = 4;

/// The key-frame requests of one encoding.
#[derive(Default)]
pub(crate) struct KeyFrames {
    asked: Option<Instant>,
    /// When the newest key frame began to arrive.
    arrived: Option<Instant>,
    wanted: bool,
    /// Requests since the last key frame.
    unanswered: u8,
}

/// What decides whether an encoding may be asked.
#[derive(Clone, Copy)]
pub(crate) struct Asking {
    /// Now.
    pub now: Instant,
    /// How long an answer takes at most.
    pub wait: Duration,
    /// Whether the encoding sends at the moment.
    pub alive: bool,
}

impl KeyFrames {
    /// Someone needs a key frame: the wish is kept for [`KeyFrames::due`].
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether a kept wish may be sent now; if so it counts as sent.
    pub(crate) fn due(&mut self, asking: Asking) -> bool {
        let stubborn = self.unanswered >= UNANSWERED_MAX;
        if !self.wanted || stubborn && !asking.alive {
            return false;
        }
        let interval = match stubborn {
            true => INTERVAL_MAX,
            false => asking.wait.clamp(INTERVAL_MIN, INTERVAL_MAX),
        };
        let since = |asked| asking.now.saturating_duration_since(asked);
        // Whoever asks so soon after a key frame may be passed over, and asks again when that is past.
        let ready = self.arrived.map(|arrived| arrived + SERVED);
        let early = |at| ready.is_some_and(|ready| at < ready);
        let passed_over = self.asked.is_some_and(early) && !early(asking.now);
        if self.asked.is_some_and(|asked| since(asked) < interval) && !passed_over {
            return false;
        }
        self.wanted = early(asking.now);
        self.asked = Some(asking.now);
        self.unanswered = self.unanswered.saturating_add(1);
        true
    }

    /// A key frame began: whoever wanted one has it.
    pub(crate) fn arrived(&mut self, now: Instant) {
        self.arrived = Some(now);
        self.wanted = false;
        self.unanswered = 0;
    }

    /// The stream begins anew: what was asked of the one before does not count.
    pub(crate) fn restart(&mut self) {
        (self.asked, self.arrived, self.unanswered) = (None, None, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(frames: &mut KeyFrames, asking: Asking) -> bool {
        frames.want();
        frames.due(asking)
    }

    fn asking(now: Instant) -> Asking {
        Asking { now, wait: Duration::from_millis(60), alive: true }
    }

    #[test]
    fn a_hundred_wishes_make_two_requests() {
        let start = Instant::now();
        let mut frames = KeyFrames::default();
        let sent = (0..100).filter(|_| want(&mut frames, asking(start))).count();
        assert_eq!(sent, 1);
        assert!(!frames.due(asking(start + INTERVAL_MIN / 2)));
        assert!(frames.due(asking(start + INTERVAL_MIN)));
        assert!(!frames.due(asking(start + INTERVAL_MIN * 2)), "nobody asked again");
    }

    #[test]
    fn a_key_frame_ends_the_wish() {
        let start = Instant::now();
        let mut frames = KeyFrames::default();
        assert!(want(&mut frames, asking(start)));
        assert!(!want(&mut frames, asking(start)));
        frames.arrived(start);
        assert!(!frames.due(asking(start + INTERVAL_MIN)));
    }

    #[test]
    fn who_asks_soon_after_a_key_frame_asks_again_when_it_will_be_heard() {
        let start = Instant::now();
        let mut frames = KeyFrames::default();
        frames.arrived(start);
        let early = start + SERVED - Duration::from_millis(20);
        assert!(want(&mut frames, asking(early)), "others than libwebrtc answer at once");
        assert!(!frames.due(asking(start + SERVED - Duration::from_millis(1))));
        assert!(frames.due(asking(start + SERVED)), "the wish was kept");
        assert!(!frames.due(asking(start + SERVED * 3)), "once");
        assert!(want(&mut frames, asking(start + SERVED * 3)));
        frames.arrived(start + SERVED * 3);
        assert!(!frames.due(asking(start + SERVED * 5)), "it came");
    }

    #[test]
    fn a_long_path_is_not_asked_twice_for_one_answer() {
        let start = Instant::now();
        let mut frames = KeyFrames::default();
        let far = |now| Asking { wait: Duration::from_millis(700), ..asking(now) };
        assert!(want(&mut frames, far(start)));
        assert!(!want(&mut frames, far(start + Duration::from_millis(690))));
        assert!(want(&mut frames, far(start + Duration::from_millis(700))));
        let lost = |now| Asking { wait: Duration::from_secs(9), ..asking(now) };
        assert!(want(&mut frames, lost(start + Duration::from_millis(1_700))), "the bound holds");
    }

    #[test]
    fn a_silent_encoding_is_asked_a_few_times_and_again_when_it_sends() {
        let start = Instant::now();
        let mut frames = KeyFrames::default();
        let silent = |now| Asking { alive: false, ..asking(now) };
        let sent =
            (0..500u32).filter(|n| want(&mut frames, silent(start + INTERVAL_MIN * *n))).count();
        assert_eq!(sent, usize::from(UNANSWERED_MAX));
        let back = start + INTERVAL_MIN * 500;
        assert!(frames.due(asking(back)), "the wish was kept");
        want(&mut frames, asking(back));
        assert!(!frames.due(asking(back + INTERVAL_MIN)), "it is slow to answer");
        assert!(frames.due(asking(back + INTERVAL_MAX)));
        frames.arrived(start);
        assert!(want(&mut frames, asking(back + INTERVAL_MAX + INTERVAL_MIN)));
        frames.restart();
        assert!(want(&mut frames, asking(back + INTERVAL_MAX + INTERVAL_MIN)), "another stream");
    }
}
