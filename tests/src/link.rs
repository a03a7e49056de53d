//! One direction of a simulated network path: delay, jitter, random and burst loss, reordering,
//! duplication and a rate limit with a bounded queue. Called by the simulation for each datagram;
//! decides only when copies arrive, never what is in them.

use std::time::{Duration, Instant};

use crate::random::Random;

/// Two-state loss (Gilbert): good packets pass, bad ones are lost while the bad state lasts.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    /// Probability per datagram to enter the bad state.
    pub enter: f64,
    /// Probability per datagram to leave it.
    pub leave: f64,
}

/// What a direction does to datagrams.
#[derive(Clone, Copy, Debug)]
pub struct LinkConfig {
    /// One-way delay.
    pub delay: Duration,
    /// Largest extra delay, uniformly distributed; never reorders by itself.
    pub jitter: Duration,
    /// Probability that a datagram is lost on its own.
    pub loss: f64,
    /// Loss in bursts, on top.
    pub burst: Option<Burst>,
    /// Probability that a datagram is overtaken by those behind it.
    pub reorder: f64,
    /// How much later such a datagram arrives.
    pub reorder_delay: Duration,
    /// Probability that a second copy arrives.
    pub duplicate: f64,
    /// Bytes per second the link carries, if limited.
    pub rate: Option<u64>,
    /// Longest time a datagram waits for a limited link before it is dropped.
    pub queue: Duration,
}

impl LinkConfig {
    /// A clean path with `delay` in this direction.
    pub const fn clean(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            loss: 0.0,
            burst: None,
            reorder: 0.0,
            reorder_delay: Duration::from_millis(15),
            duplicate: 0.0,
            rate: None,
            queue: Duration::from_millis(200),
        }
    }

    /// The same path with random loss.
    pub const fn with_loss(mut self, loss: f64) -> Self {
        self.loss = loss;
        self
    }

    /// The same path that carries `bits_per_second` with a queue of `queue`.
    pub const fn with_rate(mut self, bits_per_second: u64, queue: Duration) -> Self {
        self.rate = Some(bits_per_second / 8);
        self.queue = queue;
        self
    }

    /// The same path with loss in bursts.
    pub const fn with_burst(mut self, burst: Burst) -> Self {
        self.burst = Some(burst);
        self
    }

    /// The same path with jitter, reordering and duplication.
    pub const fn with_disorder(mut self, jitter: Duration, reorder: f64, duplicate: f64) -> Self {
        self.jitter = jitter;
        self.reorder = reorder;
        self.duplicate = duplicate;
        self
    }
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self::clean(Duration::from_millis(10))
    }
}

/// One direction with its state.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    random: Random,
    bad: bool,
    newest_arrival: Option<Instant>,
    free_at: Option<Instant>,
    waits: Vec<(Instant, Duration)>,
    /// Datagrams this direction lost.
    pub lost: u64,
    /// Bytes this direction carried.
    pub carried: u64,
}

impl Link {
    /// Makes a direction whose chances come from `random`.
    pub fn new(config: LinkConfig, random: Random) -> Self {
        Self {
            config,
            random,
            bad: false,
            newest_arrival: None,
            free_at: None,
            waits: Vec::new(),
            lost: 0,
            carried: 0,
        }
    }

    /// Replaces the behaviour from now on.
    pub fn reconfigure(&mut self, config: LinkConfig) {
        self.config = config;
    }

    /// Current behaviour.
    pub fn config(&self) -> LinkConfig {
        self.config
    }

    /// Sends `len` bytes at `now`: when each copy arrives (none when lost).
    pub fn send(&mut self, len: usize, now: Instant) -> [Option<Instant>; 2] {
        let Some(departure) = self.depart(len, now) else {
            self.lost += 1;
            return [None, None];
        };
        if self.loses() {
            self.lost += 1;
            return [None, None];
        }
        self.carried += len as u64;
        let first = self.arrival(departure);
        let second = self.random.chance(self.config.duplicate).then(|| self.arrival(departure));
        [Some(first), second]
    }

    /// How long datagrams sent from `from` on waited for a limited link: the 95th percentile.
    pub fn wait_p95(&self, from: Instant) -> Duration {
        let recent = self.waits.iter().filter(|(at, _)| *at >= from);
        let mut waits: Vec<Duration> = recent.map(|(_, wait)| *wait).collect();
        waits.sort_unstable();
        waits.get(waits.len() * 95 / 100).copied().unwrap_or_default()
    }

    fn depart(&mut self, len: usize, now: Instant) -> Option<Instant> {
        let Some(rate) = self.config.rate else { return Some(now) };
        let start = self.free_at.map_or(now, |free| free.max(now));
        let wait = start.duration_since(now);
        if wait > self.config.queue {
            return None;
        }
        self.waits.push((now, wait));
        let end = start + Duration::from_secs_f64(len as f64 / rate as f64);
        self.free_at = Some(end);
        Some(end)
    }

    fn loses(&mut self) -> bool {
        if let Some(burst) = self.config.burst {
            let flip = if self.bad { burst.leave } else { burst.enter };
            self.bad ^= self.random.chance(flip);
            if self.bad {
                return true;
            }
        }
        self.random.chance(self.config.loss)
    }

    fn arrival(&mut self, departure: Instant) -> Instant {
        let jitter_ns = self.config.jitter.as_nanos() as u64;
        let jitter = Duration::from_nanos(self.random.below(jitter_ns + 1));
        let arrival = departure + self.config.delay + jitter;
        if self.random.chance(self.config.reorder) {
            return arrival + self.config.reorder_delay;
        }
        let arrival = self.newest_arrival.map_or(arrival, |newest| newest.max(arrival));
        self.newest_arrival = Some(arrival);
        arrival
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(config: LinkConfig, count: usize) -> Vec<[Option<Instant>; 2]> {
        let mut link = Link::new(config, Random::new(1));
        let start = Instant::now();
        (0..count).map(|n| link.send(1000, start + Duration::from_millis(n as u64))).collect()
    }

    #[test]
    fn a_clean_link_keeps_order_and_count() {
        let jitter = LinkConfig { jitter: Duration::from_millis(30), ..LinkConfig::default() };
        let times: Vec<Instant> = arrivals(jitter, 500).iter().filter_map(|a| a[0]).collect();
        assert_eq!(times.len(), 500);
        assert!(times.is_sorted());
    }

    #[test]
    fn loss_bursts_duplicates_and_reordering_happen_as_configured() {
        let lossy = arrivals(LinkConfig::default().with_loss(0.2), 10_000);
        let lost = lossy.iter().filter(|a| a[0].is_none()).count();
        assert!((1_800..2_200).contains(&lost), "{lost}");
        let burst = Some(Burst { enter: 0.01, leave: 0.25 });
        let bursty = arrivals(LinkConfig { burst, ..LinkConfig::default() }, 10_000);
        let pairs = bursty.windows(2).filter(|w| w[0][0].is_none() && w[1][0].is_none()).count();
        assert!(pairs > 100, "{pairs}");
        let zero = Duration::ZERO;
        let messy = arrivals(LinkConfig::default().with_disorder(zero, 0.1, 0.1), 1_000);
        assert!(messy.iter().any(|a| a[1].is_some()));
        assert!(!messy.iter().filter_map(|a| a[0]).is_sorted());
    }

    #[test]
    fn a_rate_limit_delays_and_then_drops() {
        let config = LinkConfig { rate: Some(500_000), ..LinkConfig::default() };
        let sent = arrivals(config, 1_000);
        let arrived = sent.iter().filter(|a| a[0].is_some()).count();
        assert!((500..720).contains(&arrived), "{arrived}");
    }

    #[test]
    fn waits_and_bytes_are_kept() {
        let queue = Duration::from_millis(100);
        let config = LinkConfig::default().with_rate(8_000_000, queue);
        let mut link = Link::new(config, Random::new(1));
        let start = Instant::now();
        for _ in 0..50 {
            link.send(1000, start);
        }
        assert_eq!((link.carried, link.lost), (50_000, 0));
        // One kilobyte a millisecond: the last of 50 waits for 49.
        assert_eq!(link.wait_p95(start), Duration::from_millis(47));
        let later = start + Duration::from_secs(1);
        link.send(1000, later);
        assert_eq!(link.wait_p95(later), Duration::ZERO);
    }
}
