//! The way down to one peer that answers transport-wide sequence numbers: its bandwidth estimate and
//! the pacing of what is sent. Media that comes faster than the pace waits, as a reference into the
//! packet history, [`DELAY_MAX`] at most; audio never waits. Exists only for peers with feedback.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use common::limits::PACED_PACKETS_MAX;
use proto::congestion::Congestion;

use super::traces::Traces;
use crate::kit::outbound::Numbers;
use crate::kit::table::{FeedPlace, SubscriptionPlace};

/// Longest time a packet waits for its turn: the pace rises so that the whole queue is gone by then.
/// Chosen: what a key frame five times as large as others takes on a link that its encoding just fits.
pub(crate) const DELAY_MAX: Duration = Duration::from_millis(200);
/// The same while the queue on the path is full: what is hurried there is lost. Chosen: twice as long.
const DELAY_FULL_MAX: Duration = Duration::from_millis(400);
/// What may leave at once, as time at the pace.
const BURST: Duration = Duration::from_millis(20);
/// And at least this many bytes: two full packets.
const BURST_MIN: u64 = 3_000;
/// Allowance that lets one packet go at a time: a burst into a full queue is lost.
const ALONE: u64 = 1;
/// Loss that shows a path under strain.
const LOSS_STRAIN: f32 = 0.1;
/// Queueing on the path that does.
const QUEUE_STRAIN: Duration = Duration::from_millis(100);
/// So long the strain is borne before video pauses.
const STARVING_MAX: Duration = Duration::from_millis(1_000);
/// First wait after layers went down. Chosen: a step back up is followed within the 4 s a viewer
/// bears, and a queue that the step down left has drained.
const HOLD_MIN: Duration = Duration::from_millis(1_000);
/// Longest such wait.
const HOLD_MAX: Duration = Duration::from_secs(16);
/// Layers that stayed up this long were rightly raised.
const RAISE_LASTS: Duration = Duration::from_secs(8);
/// A fall of the estimate below this share of what it was is one that leaves a queue behind.
const FALL: (u64, u64) = (3, 4);
/// Queueing on the path below which it counts as drained.
const QUEUE_DRAINED: Duration = Duration::from_millis(40);
/// Packets that may wait at first; further ones do not wait until there is more room.
const WAITING_MIN: usize = 64;

/// A packet that waits: where it is kept and how it leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Whose it is.
    pub subscription: SubscriptionPlace,
    /// The feed that keeps it.
    pub feed: FeedPlace,
    /// Its encoding.
    pub encoding: u8,
    /// Its epoch.
    pub epoch: u32,
    /// Its source number.
    pub source: u64,
    /// The numbers it leaves with.
    pub numbers: Numbers,
    /// Only its number leaves, with padding.
    pub fill: bool,
    /// Its length in bytes.
    pub len: u16,
    /// Since when it waits.
    pub since: Instant,
}

/// One peer's way down.
pub(crate) struct Downlink {
    /// The estimate.
    pub congestion: Congestion,
    /// What left under which transport-wide number.
    pub traces: Traces,
    /// Whether the core looks after this queue every tick already.
    pub listed: bool,
    /// Bytes sent ahead of the pace.
    debt: u64,
    paid_at: Instant,
    /// So much debt is no reason to wait; of the last look at the pace.
    allowance: u64,
    /// Brake on going up after going down.
    pub brake: Brake,
    /// Since when there is too little for the least video.
    starving: Option<Instant>,
    /// Whether video pauses for that.
    paused: bool,
    /// The estimate when layers were last chosen, and whether what a fall of it left on the path
    /// still drains.
    chosen_at: u64,
    draining: bool,
    waiting: VecDeque<Waiting>,
    waiting_bytes: u64,
}

impl Downlink {
    /// Nothing sent, nothing known.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            congestion: Congestion::new(now),
            traces: Traces::new(),
            listed: false,
            debt: 0,
            paid_at: now,
            allowance: BURST_MIN,
            brake: Brake::default(),
            starving: None,
            paused: false,
            chosen_at: 0,
            draining: false,
            waiting: VecDeque::with_capacity(WAITING_MIN),
            waiting_bytes: 0,
        }
    }

    /// Whether a packet must wait behind others or for the pace. Cost: two comparisons, as long as
    /// what was sent lately is little.
    #[inline]
    pub(crate) fn is_busy(&mut self, now: Instant) -> bool {
        if self.waiting.is_empty() {
            return !self.has_room(now);
        }
        self.waiting.len() < self.waiting.capacity()
    }

    /// Lets a packet wait.
    pub(crate) fn wait(&mut self, packet: Waiting) {
        self.waiting_bytes += u64::from(packet.len);
        self.waiting.push_back(packet);
    }

    /// Takes the next packet whose turn has come.
    pub(crate) fn next_due(&mut self, now: Instant) -> Option<Waiting> {
        if self.waiting.is_empty() || !self.has_room(now) {
            return None;
        }
        let packet = self.waiting.pop_front()?;
        self.waiting_bytes -= u64::from(packet.len);
        Some(packet)
    }

    /// Whether video is to pause, so that sound gets through. `short` says that the estimate is far
    /// below the least video, `fits` that it carries it. Only a path that shows the strain for a
    /// while counts: an estimate may also be low because nobody tried.
    pub(crate) fn pauses(&mut self, short: bool, fits: bool, now: Instant) -> bool {
        let strained = self.is_strained();
        if self.paused {
            self.paused = !fits;
        } else if short && strained {
            let since = *self.starving.get_or_insert(now);
            self.paused = now.saturating_duration_since(since) >= STARVING_MAX;
        } else {
            self.starving = None;
        }
        if self.paused {
            self.starving = None;
        }
        self.paused
    }

    /// Looks at the estimate before layers are chosen by it. Returns whether a queue that a fall of it
    /// left on the path still drains.
    pub(crate) fn drains(&mut self, now: Instant) -> bool {
        let estimate = self.congestion.estimate();
        let fell = estimate < self.chosen_at / FALL.1 * FALL.0;
        self.chosen_at = estimate;
        let queue = self.congestion.queue_delay().max(self.congestion.newest_queue_delay());
        self.draining = queue > QUEUE_DRAINED && (fell || self.draining);
        if fell {
            // Those bytes are on the path, and the next ones wait for them there.
            (self.debt, self.allowance, self.paid_at) = (0, ALONE, now);
        }
        self.draining
    }

    /// Whether what is sent only makes a queue longer that stands on the path: the queue is long, or
    /// what a fall of the estimate left still drains.
    pub(crate) fn is_full(&self) -> bool {
        self.draining || self.congestion.queue_delay() > QUEUE_STRAIN
    }

    /// Whether the path shows a queue or loss that is more than a path's usual one.
    pub(crate) fn is_strained(&self) -> bool {
        self.congestion.loss() > LOSS_STRAIN || self.congestion.queue_delay() > QUEUE_STRAIN
    }

    /// Whether a repetition may leave, ahead of what waits: into a full queue no more than a burst, as the
    /// receiver asks again.
    pub(crate) fn may_repeat(&mut self, now: Instant) -> bool {
        !self.is_full() || self.has_room(now) || self.debt < BURST_MIN
    }

    /// Makes room for more packets than wait. Called between packets: nothing is allocated for one.
    pub(crate) fn make_room(&mut self) {
        let capacity = self.waiting.capacity();
        if self.waiting.len() > capacity / 2 && capacity < PACED_PACKETS_MAX {
            self.waiting.reserve(capacity);
        }
    }

    /// Whether packets wait.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A datagram of `len` bytes left.
    pub(crate) fn charge(&mut self, len: usize) {
        self.debt += len as u64;
    }

    /// Forgets what waits for a subscription that ended, or whose source did.
    pub(crate) fn forget(&mut self, subscription: SubscriptionPlace) {
        self.waiting.retain(|packet| packet.subscription != subscription);
        self.waiting_bytes = self.waiting.iter().map(|packet| u64::from(packet.len)).sum();
    }

    #[inline]
    fn has_room(&mut self, now: Instant) -> bool {
        self.debt < self.allowance || self.settle(now)
    }

    /// Pays the debt by what the pace carried since the last call; whether that makes room.
    fn settle(&mut self, now: Instant) -> bool {
        let pace = self.pace(now);
        let elapsed = now.saturating_duration_since(self.paid_at);
        self.paid_at = self.paid_at.max(now);
        self.debt = self.debt.saturating_sub(bytes(pace, elapsed));
        self.allowance = match self.is_full() {
            false => bytes(pace, BURST).max(BURST_MIN),
            true => ALONE,
        };
        self.debt < self.allowance
    }

    /// Bit/s: what the estimate says, or what empties the queue in time.
    fn pace(&self, now: Instant) -> u64 {
        // What waits here is not lost in a full queue there.
        let rate = match self.draining || self.is_strained() {
            false => self.congestion.pacing_rate(),
            true => self.congestion.estimate(),
        };
        let Some(oldest) = self.waiting.front() else { return rate };
        let longest = if self.is_full() { DELAY_FULL_MAX } else { DELAY_MAX };
        let left = longest.saturating_sub(now.saturating_duration_since(oldest.since));
        rate.max(self.waiting_bytes * 8_000 / (left.as_millis() as u64).max(1))
    }
}

/// Keeps layers from flapping: who had to go down waits before it goes up again, longer each time
/// that going up did not last.
#[derive(Default)]
pub(crate) struct Brake {
    raised: Option<Instant>,
    until: Option<Instant>,
    hold: Duration,
}

impl Brake {
    /// Layers went up.
    pub(crate) fn on_raise(&mut self, now: Instant) {
        self.raised = Some(now);
    }

    /// Layers went down for want of bandwidth.
    pub(crate) fn on_fall(&mut self, now: Instant) {
        let lasted = self.raised.map(|raised| now.saturating_duration_since(raised));
        let failed = lasted.is_some_and(|lasted| lasted < RAISE_LASTS);
        self.hold = if failed { (self.hold * 2).clamp(HOLD_MIN, HOLD_MAX) } else { HOLD_MIN };
        self.until = Some(now + self.hold);
    }

    /// Whether layers may go up.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }
}

/// What `rate` (bit/s) carries in `time`.
fn bytes(rate: u64, time: Duration) -> u64 {
    rate.saturating_mul(time.as_micros() as u64) / 8_000_000
}

#[cfg(test)]
mod tests;
