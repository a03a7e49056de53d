//! Round-trip time and queueing delay of the path.
//!
//! Called with reports and feedback. Must never take the offset between two clocks for a delay.

use std::time::Duration;

use super::feedback::Arrival;

/// Share of a new sample in the smoothed round trip (RFC 6298 section 2) and queueing delay.
const RTT_SHARE: f64 = 0.125;
/// Longest round trip believed. Chosen: no call goes on with more.
const RTT_MAX: Duration = Duration::from_secs(10);
const QUEUE_SHARE: f64 = 0.25;
const JITTER_SHARE: f64 = 1.0 / 16.0;
/// A packet that took so much longer than the fastest had waited for the one before it.
const QUEUED_US: i64 = 15_000;
/// Busy time over which the path's rate is measured.
const SERVICE_US: f64 = 100_000.0;
/// Weight of a packet relative to the next in the recent loss. Chosen: 32 packets make two thirds of
/// it, a tenth of a second of 3 Mbit/s and half a second of 150 kbit/s.
const LOSS_AGING: f64 = 1.0 - 1.0 / 32.0;
/// The least one-way delay is remembered for one to two of these. Chosen: long enough to see the
/// queue empty, short enough that two clocks drifting by 50 ppm add half a millisecond.
const BASE_WINDOW_US: i64 = 10_000_000;

/// Delays of one path.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    reported_rtt_us: Option<f64>,
    feedback_rtt_us: Option<f64>,
    /// Least difference of the two clocks in this window and the one before.
    base_us: Option<(i64, i64)>,
    window_start_us: i64,
    queue_us: f64,
    last_delay_us: Option<i64>,
    newest_queue_us: i64,
    jitter_us: f64,
    loss: f64,
    service: Service,
}

impl Path {
    /// The smoothed round trip of reports, or of feedback where there are no reports yet.
    pub(super) fn rtt(&self) -> Option<Duration> {
        let rtt_us = self.reported_rtt_us.or(self.feedback_rtt_us)?;
        Some(Duration::from_micros(rtt_us as u64))
    }

    /// How much longer packets take than the fastest one lately.
    pub(super) fn queue_us(&self) -> i64 {
        self.queue_us as i64
    }

    /// The same of the newest packet alone, not smoothed.
    pub(super) fn newest_queue_us(&self) -> i64 {
        self.newest_queue_us
    }

    /// How much the queue grew since a packet waited for the one before it first.
    pub(super) fn growth_us(&self) -> i64 {
        self.service.first_us.map_or(0, |first_us| self.newest_queue_us - first_us)
    }

    /// Bit/s that the path delivers while a queue keeps it busy; None when it was not busy lately.
    pub(super) fn service_bps(&self) -> Option<f64> {
        self.service.bps()
    }

    /// Smoothed difference of the delays of successive packets (RFC 3550 section 6.4.1).
    pub(super) fn jitter_us(&self) -> f64 {
        self.jitter_us
    }

    /// Share of the last packets that were lost.
    pub(super) fn loss(&self) -> f64 {
        self.loss
    }

    pub(super) fn on_loss(&mut self, packets: u64, lost_packets: u64) {
        if packets != 0 {
            let share = lost_packets as f64 / packets as f64;
            let weight = 1.0 - LOSS_AGING.powi(i32::try_from(packets).unwrap_or(i32::MAX));
            self.loss += weight * (share - self.loss);
        }
    }

    pub(super) fn forget_loss(&mut self) {
        self.loss = 0.0;
    }

    /// Takes the present delay for the least one, because the path became longer.
    pub(super) fn rebase(&mut self) {
        if let (Some(delay_us), Some(base_us)) = (self.last_delay_us, &mut self.base_us) {
            *base_us = (delay_us, delay_us);
            (self.queue_us, self.newest_queue_us) = (0.0, 0);
        }
    }

    pub(super) fn on_reported_rtt(&mut self, rtt: Duration) {
        smooth(&mut self.reported_rtt_us, rtt.min(RTT_MAX).as_micros() as f64);
    }

    /// Notes arrivals that were reported at `now_us`, in the order of arrival.
    pub(super) fn on_arrivals(&mut self, arrivals: &[Arrival], now_us: i64) {
        let Some(newest) = arrivals.last() else { return };
        let rtt_us = u64::try_from(now_us - newest.sent_us).unwrap_or(0);
        let rtt = Duration::from_micros(rtt_us).min(RTT_MAX);
        smooth(&mut self.feedback_rtt_us, rtt.as_micros() as f64);
        let first_us = arrivals.first().map_or(0, |first| first.arrival_us - first.sent_us);
        let (mut least, mut before) = self.base_us.unwrap_or((first_us, first_us));
        if now_us - self.window_start_us > BASE_WINDOW_US {
            self.window_start_us = now_us;
            (least, before) = (first_us, least);
        }
        let mut last_us = self.last_delay_us.unwrap_or(first_us);
        for packet in arrivals {
            let delay_us = packet.arrival_us - packet.sent_us;
            least = least.min(delay_us);
            // A minute of delay is a clock that was set, not a queue.
            self.newest_queue_us = (delay_us - least.min(before)).min(60_000_000);
            let queue_us = self.newest_queue_us as f64;
            let mut step_us = (delay_us - last_us).abs().min(1_000_000) as f64;
            last_us = delay_us;
            for _ in 0..packet.packets {
                self.jitter_us += JITTER_SHARE * (step_us - self.jitter_us);
                self.queue_us += QUEUE_SHARE * (queue_us - self.queue_us);
                step_us = 0.0;
            }
            self.service.add(packet, self.newest_queue_us);
        }
        self.base_us = Some((least, before));
        self.last_delay_us = Some(last_us);
    }
}

/// Measures the path's rate by packets that waited for each other.
#[derive(Clone, Debug, Default)]
struct Service {
    bytes: f64,
    time_us: f64,
    /// Arrival of the packet before, if that had waited.
    last_us: Option<i64>,
    /// Queue that the first of them met.
    first_us: Option<i64>,
}

impl Service {
    fn add(&mut self, packet: &Arrival, queue_us: i64) {
        if queue_us <= QUEUED_US {
            *self = Self::default();
            return;
        }
        self.first_us.get_or_insert(queue_us);
        if let Some(last_us) = self.last_us.replace(packet.arrival_us) {
            // Of one instant's arrivals the bytes count and the time comes with the next.
            self.bytes += f64::from(packet.size);
            self.time_us += packet.arrival_us.saturating_sub(last_us).max(0) as f64;
            if self.time_us > SERVICE_US {
                self.bytes /= 2.0;
                self.time_us /= 2.0;
            }
        }
    }

    fn bps(&self) -> Option<f64> {
        (self.time_us >= SERVICE_US / 4.0).then(|| self.bytes * 8e6 / self.time_us)
    }
}

fn smooth(value: &mut Option<f64>, sample: f64) {
    *value = Some(value.map_or(sample, |value| value + RTT_SHARE * (sample - value)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queueing_delay_is_what_is_above_the_least() {
        let mut path = Path::default();
        let offset_us = -7_000_000_000;
        for packet in 0..200 {
            let sent_us = packet * 10_000;
            let queue_us = if packet < 100 { 0 } else { 80_000 };
            let arrival_us = sent_us + 20_000 + queue_us + offset_us;
            let arrival = Arrival { sent_us, arrival_us, size: 1, packets: 1, cluster: 0 };
            path.on_arrivals(&[arrival], sent_us + 60_000);
        }
        assert!((79_900..=80_000).contains(&path.queue_us()), "{}", path.queue_us());
        assert_eq!(path.service_bps(), Some(1.0 * 8e6 / 10_000.0), "a byte every 10 ms");
        assert_eq!(path.rtt(), Some(Duration::from_millis(60)));
        path.on_reported_rtt(Duration::from_millis(40));
        assert_eq!(path.rtt(), Some(Duration::from_millis(40)));
    }
}
