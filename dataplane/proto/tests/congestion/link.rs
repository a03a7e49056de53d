//! A bottleneck: one queue with tail drop, a propagation delay, jitter and loss. Deterministic.

/// xorshift64*: the same numbers for the same seed.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Uniform in 0..1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How the path behaves at some time.
#[derive(Clone, Copy)]
pub(crate) struct Conditions {
    pub(crate) capacity_bps: u64,
    pub(crate) loss: f64,
}

/// A path in one direction. Times are microseconds.
pub(crate) struct Link {
    /// From when on which conditions hold.
    pub(crate) phases: Vec<(u64, Conditions)>,
    pub(crate) queue_max_us: u64,
    pub(crate) delay_us: u64,
    /// Most that is added to the delay of a packet; order is kept unless `reorders`.
    pub(crate) jitter_us: u64,
    pub(crate) reorders: bool,
    /// From when on the delay is how much longer.
    pub(crate) longer: Option<(u64, u64)>,
    pub(crate) random: Random,
    busy_until_us: u64,
    last_arrival_us: u64,
}

/// What became of a packet.
pub(crate) enum Outcome {
    Lost,
    Arrives { at_us: u64, queued_us: u64 },
}

impl Link {
    pub(crate) fn new(phases: Vec<(u64, Conditions)>, seed: u64) -> Self {
        Self {
            phases,
            queue_max_us: 300_000,
            delay_us: 20_000,
            jitter_us: 0,
            reorders: false,
            longer: None,
            random: Random(seed),
            busy_until_us: 0,
            last_arrival_us: 0,
        }
    }

    pub(crate) fn conditions(&self, now_us: u64) -> Conditions {
        let begun = self.phases.iter().rev().find(|(from_us, _)| *from_us <= now_us);
        begun.expect("a phase from 0").1
    }

    pub(crate) fn send(&mut self, size: usize, now_us: u64) -> Outcome {
        let Conditions { capacity_bps, loss } = self.conditions(now_us);
        let queued_us = self.busy_until_us.saturating_sub(now_us);
        if queued_us > self.queue_max_us {
            return Outcome::Lost;
        }
        self.busy_until_us =
            self.busy_until_us.max(now_us) + size as u64 * 8_000_000 / capacity_bps;
        let jitter_us = (self.random.share() * self.jitter_us as f64) as u64;
        if self.random.share() < loss {
            return Outcome::Lost;
        }
        let longer = self.longer.filter(|(from_us, _)| *from_us <= now_us);
        let delay_us = self.delay_us + longer.map_or(0, |(_, by_us)| by_us);
        let mut at_us = self.busy_until_us + delay_us + jitter_us;
        if !self.reorders {
            at_us = at_us.max(self.last_arrival_us);
            self.last_arrival_us = at_us;
        }
        Outcome::Arrives { at_us, queued_us }
    }
}
