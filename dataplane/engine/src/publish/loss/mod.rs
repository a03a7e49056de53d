//! Gaps in one encoding's sequence numbers, and when to ask the publisher for them (RFC 4585
//! section 6.2.1): once per gap, however many subscribers miss it, again when the answer is
//! overdue, and no longer than a receiver can use it. Called per packet that does not follow its
//! predecessor, and once a tick while gaps are open. Fixed memory; must never name a number that
//! arrived.

use std::time::{Duration, Instant};

use common::media::MediaKind;

use super::round_trip::RoundTrip;

/// Gaps of video remembered at a time; a longer loss asks for a key frame instead. Chosen: half a
/// second without anything at 4 Mbit/s, after which a key frame is the quicker repair.
pub(crate) const GAPS_MAX: usize = 192;
/// The same of audio: ten packets of 20 ms are all its deadline leaves.
const AUDIO_GAPS_MAX: usize = 32;
/// How long a lost packet is of use: what a receiver can wait for it.
const VIDEO_DEADLINE_MS: u32 = 1_000;
const AUDIO_DEADLINE_MS: u32 = 200;

#[derive(Clone, Copy)]
struct Gap {
    sequence: u64,
    seen_ms: u32,
    /// Time of the newest request.
    asked_ms: u32,
    requests: u8,
    /// A decoder needs it no more.
    pointless: bool,
}

/// Requests and age after which a gap is taken for lost. Chosen: a receiver stands still for it, and
/// one of libwebrtc asks for a key frame itself only after 3 s; 3 requests in a row are lost once in a
/// thousand times at 5 % loss in both directions.
const HOPELESS_REQUESTS: u8 = 3;
const HOPELESS_MS: u32 = 500;

/// What is to be asked of the publisher now.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Due {
    /// Numbers written.
    pub count: usize,
    /// Whether a key frame is the better remedy for something that is still missing.
    pub hopeless: bool,
}

/// How a missing number came after all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Filled {
    /// Overtaken by others on the way, or repeated unasked.
    Late,
    /// In answer to a request.
    Answered,
}

/// How a packet came, as far as that tells an answer from a straggler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// On the encoding's own SSRC, by a publisher that repeats on another one (RFC 4588).
    Original,
    /// On the encoding's own SSRC, by a publisher that also repeats there.
    Shared,
    /// On the SSRC of retransmissions.
    Repeated,
}

/// The open gaps of one encoding.
pub(crate) struct Gaps {
    /// In the order of their numbers.
    open: Vec<Gap>,
    capacity: usize,
    deadline_ms: u32,
    tolerance: Tolerance,
    origin: Instant,
}

impl Gaps {
    /// No gaps; the memory for all is taken here.
    pub(crate) fn new(kind: MediaKind, now: Instant) -> Self {
        let (capacity, deadline_ms) = match kind {
            MediaKind::Audio => (AUDIO_GAPS_MAX, AUDIO_DEADLINE_MS),
            MediaKind::Video => (GAPS_MAX, VIDEO_DEADLINE_MS),
        };
        Self {
            open: Vec::with_capacity(capacity),
            capacity,
            deadline_ms,
            tolerance: Tolerance::default(),
            origin: now,
        }
    }

    /// Whether none is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Forgets everything: sequence numbers start anew.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }

    /// The numbers between `newest` and `sequence` are missing. Returns false when they are too
    /// many to be repaired: a key frame is the better remedy.
    pub(crate) fn on_jump(&mut self, newest: u64, sequence: u64, now: Instant) -> bool {
        let missing = sequence.saturating_sub(newest.saturating_add(1));
        if missing > (self.capacity - self.open.len()) as u64 {
            self.open.clear();
            return false;
        }
        let seen_ms = self.millis(now);
        let gap = |sequence| Gap { sequence, seen_ms, asked_ms: 0, requests: 0, pointless: false };
        self.open.extend((newest + 1..sequence).map(gap));
        true
    }

    /// A packet older than the newest arrived. Returns how it filled its gap, None if it has none
    /// open. An answer to the only request for it is a sample of `path`.
    pub(crate) fn fill(
        &mut self,
        sequence: u64,
        way: Way,
        now: Instant,
        path: &mut RoundTrip,
    ) -> Option<Filled> {
        let place = self.open.iter().position(|gap| gap.sequence == sequence)?;
        let gap = self.open.remove(place);
        let now_ms = self.millis(now);
        if gap.requests > 0 && way != Way::Original {
            if gap.requests == 1 {
                path.sample(Duration::from_millis(since(now_ms, gap.asked_ms).into()));
            }
            self.tolerance.on_answer();
            return Some(Filled::Answered);
        }
        if way != Way::Repeated {
            self.tolerance.on_late(since(now_ms, gap.seen_ms));
        }
        Some(Filled::Late)
    }

    /// A key frame began after number `end`: a decoder starts there and needs nothing before. Such
    /// gaps are asked for no more; what is only late still passes.
    pub(crate) fn on_key_frame(&mut self, end: u64) {
        for gap in self.open.iter_mut().take_while(|gap| gap.sequence < end) {
            gap.pointless = true;
        }
    }

    /// Gives up what came too late to be of use.
    pub(crate) fn expire(&mut self, now: Instant) {
        let (now_ms, deadline_ms) = (self.millis(now), self.deadline_ms);
        self.open.retain(|gap| since(now_ms, gap.seen_ms) < deadline_ms);
    }

    /// Writes the numbers that are to be asked for now into `numbers`, in order. What does not fit
    /// is asked for in the next call.
    pub(crate) fn due(&mut self, now: Instant, path: &mut RoundTrip, numbers: &mut [u16]) -> Due {
        self.expire(now);
        let now_ms = self.millis(now);
        let (tolerance_ms, wait_ms) = (self.tolerance.millis(), path.wait().as_millis() as u32);
        let (mut free, mut overdue) = (numbers.iter_mut(), false);
        let mut due_now = Due::default();
        for gap in self.open.iter_mut().filter(|gap| !gap.pointless) {
            due_now.hopeless |=
                gap.requests >= HOPELESS_REQUESTS && since(now_ms, gap.seen_ms) >= HOPELESS_MS;
            let due = match gap.requests {
                0 => since(now_ms, gap.seen_ms) >= tolerance_ms,
                // Each further one waits half as long again: what was not answered twice is
                // rather gone than lost on the way.
                asked => since(now_ms, gap.asked_ms) >= wait_ms * (u32::from(asked) + 1) / 2,
            };
            if !due {
                continue;
            }
            let Some(number) = free.next() else { break };
            *number = gap.sequence as u16;
            overdue |= gap.requests == 1;
            gap.asked_ms = now_ms;
            gap.requests = gap.requests.saturating_add(1);
            due_now.count += 1;
        }
        if overdue {
            path.timed_out();
        }
        due_now
    }

    /// Milliseconds since these gaps were made; wraps after 49 days, which [`since`] bears.
    fn millis(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.origin).as_millis() as u32
    }
}

/// Milliseconds from `then` to `now`; arrivals may run slightly backwards, which is no time.
fn since(now_ms: u32, then_ms: u32) -> u32 {
    (now_ms.wrapping_sub(then_ms) as i32).max(0) as u32
}

/// How long a gap may be nothing but disorder: follows how late stragglers come.
#[derive(Clone, Copy)]
struct Tolerance {
    micros: u32,
}

/// Chosen: a tick; packets overtake each other by less on most paths.
const TOLERANCE_MIN_US: u32 = 10_000;
/// Chosen: beyond it asking in vain costs less than repairing late.
const TOLERANCE_MAX_US: u32 = 50_000;

impl Default for Tolerance {
    fn default() -> Self {
        Self { micros: TOLERANCE_MIN_US }
    }
}

impl Tolerance {
    fn millis(self) -> u32 {
        self.micros / 1_000
    }

    /// A straggler came after `late_ms`: grows quickly towards what would have waited for it,
    /// shrinks slowly.
    fn on_late(&mut self, late_ms: u32) {
        let wanted = late_ms.saturating_mul(1_250).clamp(TOLERANCE_MIN_US, TOLERANCE_MAX_US);
        if wanted > self.micros {
            self.micros += (wanted - self.micros) / 4;
        } else {
            self.micros -= (self.micros - wanted) / 16;
        }
    }

    /// A gap was a loss, not disorder.
    fn on_answer(&mut self) {
        self.micros -= (self.micros - TOLERANCE_MIN_US) / 16;
    }
}

#[cfg(test)]
mod tests;
