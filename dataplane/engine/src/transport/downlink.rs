//! The way down to one peer that answers transport-wide sequence numbers: its bandwidth estimate and
//! the pacing of what is sent. Media that comes faster than the pace waits, as a reference into the
//! packet history, [`DELAY_MAX`] at most; audio never waits. Exists only for peers with feedback.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use proto::congestion::Congestion;

use crate::kit::outbound::Numbers;
use crate::kit::table::{FeedPlace, SubscriptionPlace};

/// Longest time a packet waits for its turn: the pace rises until the queue is gone within it.
pub(crate) const DELAY_MAX: Duration = Duration::from_millis(60);
/// What may leave at once, as time at the pace.
const BURST: Duration = Duration::from_millis(10);
/// And at least this many bytes: two full packets.
const BURST_MIN: u64 = 3_000;
/// Most packets that wait; further ones do not wait.
const WAITING_MAX: usize = 1_024;

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
}

/// One peer's way down.
pub(crate) struct Downlink {
    /// The estimate.
    pub congestion: Congestion,
    /// Whether the core looks after this queue every tick already.
    pub listed: bool,
    /// Bytes sent ahead of the pace.
    debt: u64,
    paid_at: Instant,
    waiting: VecDeque<Waiting>,
    waiting_bytes: u64,
}

impl Downlink {
    /// Nothing sent, nothing known.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            congestion: Congestion::new(now),
            listed: false,
            debt: 0,
            paid_at: now,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    /// Whether a packet must wait behind others or for the pace.
    pub(crate) fn is_busy(&mut self, now: Instant) -> bool {
        if self.waiting.len() >= WAITING_MAX {
            return false;
        }
        !self.waiting.is_empty() || !self.has_room(now)
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

    /// Whether packets wait.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A datagram of `len` bytes left.
    pub(crate) fn charge(&mut self, len: usize) {
        self.debt += len as u64;
    }

    /// Forgets what waits for a subscription that ended.
    pub(crate) fn forget(&mut self, subscription: SubscriptionPlace) {
        self.waiting.retain(|packet| packet.subscription != subscription);
        self.waiting_bytes = self.waiting.iter().map(|packet| u64::from(packet.len)).sum();
    }

    fn has_room(&mut self, now: Instant) -> bool {
        let pace = self.pace();
        let elapsed = now.saturating_duration_since(self.paid_at);
        self.paid_at = self.paid_at.max(now);
        self.debt = self.debt.saturating_sub(bytes(pace, elapsed));
        self.debt < bytes(pace, BURST).max(BURST_MIN)
    }

    /// Bit/s: what the estimate says, or what empties the queue in time.
    fn pace(&self) -> u64 {
        let empties = self.waiting_bytes * 8_000 / DELAY_MAX.as_millis() as u64;
        self.congestion.pacing_rate().max(empties)
    }
}

/// What `rate` (bit/s) carries in `time`.
fn bytes(rate: u64, time: Duration) -> u64 {
    rate.saturating_mul(time.as_micros() as u64) / 8_000_000
}
