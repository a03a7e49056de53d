//! The figures of one scenario with one server, and their medians over alternating runs. A figure
//! that a scenario does not have is absent, never zero.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::subscriber::Findings;
use crate::generator::Window;
use crate::scenario::forward::Load;
use crate::usage::Usage;

/// Figures by name. Units are in the names.
#[derive(Clone, Default, Debug)]
pub(crate) struct Figures {
    values: BTreeMap<String, f64>,
    /// What was measured, in words; empty where it needs none.
    pub(crate) about: String,
}

impl Figures {
    /// Sets a figure.
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        self.values.insert(name.to_owned(), value);
    }

    /// A figure, where the scenario has it.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }

    /// All figures.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// What one window shows of forwarding.
    pub(crate) fn of(window: &Window, load: &Load) -> Self {
        let mut figures = Self::default();
        let seconds = window.time.as_secs_f64();
        figures.cpu(&window.server, window.received, load);
        figures.set("packets_per_second", window.received as f64 / seconds);
        figures.set("server_core_percent", 100.0 * window.server.run.as_secs_f64() / seconds);
        figures.set("generator_core_percent", 100.0 * window.generator.run.as_secs_f64() / seconds);
        let lost = window.expected.saturating_sub(window.received);
        figures.set("loss_percent", 100.0 * lost as f64 / window.expected.max(1) as f64);
        let delivered = window.received as f64 / window.wanted.max(1) as f64;
        figures.set("delivered_percent", 100.0 * delivered);
        figures.set("worst_subscriber_percent", 100.0 * window.worst_share);
        figures.findings(&window.found);
        figures.set("receive_buffer_errors", window.refused as f64);
        figures
    }

    /// Sets what one received packet of this load cost its server, and what a whole core would
    /// deliver at that price.
    pub(crate) fn cpu(&mut self, used: &Usage, received: u64, load: &Load) {
        let us = used.run.as_secs_f64() * 1e6 / received.max(1) as f64;
        let ticks = (used.user + used.system).as_secs_f64().max(1e-9);
        let user = us * used.user.as_secs_f64() / ticks;
        self.set("cpu_us_per_packet", us);
        self.set("cpu_us_user", user);
        self.set("cpu_us_system", us - user);
        let rate = 1e6 / us.max(1e-9);
        self.set("packets_per_core_second", rate);
        self.set("gbit_per_core_second", rate * load.media.wire_bytes() * 8.0 / 1e9);
    }

    /// Sets what the opened packets showed: latency, and whether they were right.
    pub(crate) fn findings(&mut self, found: &Findings) {
        let mut sorted = found.latency.clone();
        sorted.sort();
        let shares =
            [("latency_ms_p50", 0.5), ("latency_ms_p99", 0.99), ("latency_ms_p999", 0.999)];
        for (name, share) in shares {
            if !sorted.is_empty() {
                self.set(name, ms(percentile(&sorted, share)));
            }
        }
        self.set("verified", found.verified as f64);
        self.set("wrong", found.wrong as f64);
    }

    /// Sets `NAME_p50` and `NAME_p99` of these times.
    pub(crate) fn times(&mut self, names: [&str; 2], mut times: Vec<Duration>) {
        times.sort();
        if !times.is_empty() {
            self.set(names[0], ms(percentile(&times, 0.5)));
            self.set(names[1], ms(percentile(&times, 0.99)));
        }
    }

    /// The median of each figure over several runs.
    pub(crate) fn median(runs: &[Self]) -> Self {
        let mut median = Self::default();
        let names = runs.iter().flat_map(|run| run.values.keys());
        for name in names {
            let mut values: Vec<f64> = runs.iter().filter_map(|run| run.get(name)).collect();
            values.sort_by(f64::total_cmp);
            let (low, high) = (values.get((values.len() - 1) / 2), values.get(values.len() / 2));
            if let (Some(low), Some(high)) = (low, high) {
                median.set(name, (low + high) / 2.0);
            }
        }
        median.about = runs.first().map(|run| run.about.clone()).unwrap_or_default();
        median
    }
}

/// The value below which `share` of the sorted values lie.
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Milliseconds.
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

    #[test]
    fn medians_are_taken_figure_by_figure() {
        let run = |a: f64, b: Option<f64>| {
            let mut figures = Figures::default();
            figures.set("a", a);
            b.into_iter().for_each(|b| figures.set("b", b));
            figures
        };
        let median = Figures::median(&[run(3.0, None), run(1.0, Some(7.0)), run(2.0, None)]);
        assert_eq!((median.get("a"), median.get("b")), (Some(2.0), Some(7.0)));
        assert_eq!(Figures::median(&[run(1.0, None), run(2.0, None)]).get("a"), Some(1.5));
    }
}
