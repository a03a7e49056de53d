//! The result of a load run, as a table for people and as JSON for comparisons.

use std::time::Duration;

use crate::usage::Usage;

/// Everything a run found out.
pub(crate) struct Report {
    pub(crate) subscribers: usize,
    pub(crate) driver: String,
    pub(crate) profiles: String,
    pub(crate) time: Duration,
    pub(crate) received: u64,
    pub(crate) expected: u64,
    pub(crate) sent: u64,
    pub(crate) server: Usage,
    pub(crate) generator: Usage,
    pub(crate) kib_per_subscriber: f64,
    pub(crate) connect: Vec<Duration>,
    pub(crate) latency: Vec<Duration>,
    pub(crate) verified: u64,
    pub(crate) wrong: u64,
    /// What the server dropped since its start, by reason.
    pub(crate) drops: serde_json::Value,
    /// Datagrams the kernel threw away for want of receive buffer, on both sides together.
    pub(crate) refused: u64,
}

impl Report {
    /// Server time per packet that subscribers received, in microseconds.
    pub(crate) fn us_per_packet(&self) -> f64 {
        us(self.server.run) / (self.received.max(1) as f64)
    }

    fn split(&self) -> (f64, f64) {
        let ticks = (self.server.user + self.server.system).as_secs_f64().max(1e-9);
        let user = self.us_per_packet() * self.server.user.as_secs_f64() / ticks;
        (user, self.us_per_packet() - user)
    }

    fn loss_percent(&self) -> f64 {
        100.0 * self.expected.saturating_sub(self.received) as f64 / self.expected.max(1) as f64
    }

    fn delivered_percent(&self) -> f64 {
        let wanted = self.sent * self.subscribers as u64;
        100.0 * self.received as f64 / wanted.max(1) as f64
    }

    fn core_percent(&self, usage: &Usage) -> f64 {
        100.0 * usage.run.as_secs_f64() / self.time.as_secs_f64()
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        let (user, system) = self.split();
        println!(
            "driver {}, {}, {} subscribers, {:.1} s, {} packets received",
            self.driver,
            self.profiles,
            self.subscribers,
            self.time.as_secs_f64(),
            self.received
        );
        println!(
            "| us/packet | user | system | core % | loss % | delivered % | latency ms p50 | p99 | p99.9 | connect ms p50 | p99 | KiB/subscriber | generator core % |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
        println!(
            "| {:.2} | {:.2} | {:.2} | {:.0} | {:.3} | {:.1} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} |",
            self.us_per_packet(),
            user,
            system,
            self.core_percent(&self.server),
            self.loss_percent(),
            self.delivered_percent(),
            ms(percentile(&self.latency, 0.5)),
            ms(percentile(&self.latency, 0.99)),
            ms(percentile(&self.latency, 0.999)),
            ms(percentile(&self.connect, 0.5)),
            ms(percentile(&self.connect, 0.99)),
            self.kib_per_subscriber,
            self.core_percent(&self.generator),
        );
        println!("{} packets decrypted and checked, {} wrong", self.verified, self.wrong);
        println!(
            "dropped by the server: {}; receive buffers overflown: {}",
            self.drops, self.refused
        );
    }

    /// The result as one JSON object.
    pub(crate) fn json(&self) -> serde_json::Value {
        let (user, system) = self.split();
        serde_json::json!({
            "subscribers": self.subscribers,
            "driver": self.driver,
            "profiles": self.profiles,
            "seconds": self.time.as_secs_f64(),
            "received": self.received,
            "us_per_packet": self.us_per_packet(),
            "us_user": user,
            "us_system": system,
            "core_percent": self.core_percent(&self.server),
            "generator_core_percent": self.core_percent(&self.generator),
            "loss_percent": self.loss_percent(),
            "delivered_percent": self.delivered_percent(),
            "latency_ms": {
                "p50": ms(percentile(&self.latency, 0.5)),
                "p99": ms(percentile(&self.latency, 0.99)),
                "p99.9": ms(percentile(&self.latency, 0.999)),
            },
            "connect_ms": {
                "p50": ms(percentile(&self.connect, 0.5)),
                "p99": ms(percentile(&self.connect, 0.99)),
            },
            "kib_per_subscriber": self.kib_per_subscriber,
            "verified": self.verified,
            "wrong": self.wrong,
            "drops": self.drops,
            "receive_buffer_errors": self.refused,
        })
    }
}

/// The value below which `share` of the sorted values lie.
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_and_of_none() {
        let values: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 0.5), Duration::from_millis(51));
        assert_eq!(percentile(&values, 0.999), Duration::from_millis(100));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
