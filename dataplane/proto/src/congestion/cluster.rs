//! Measures the rate at which the packets of a probe cluster went out and arrived.
//!
//! After libwebrtc's `probe_bitrate_estimator.cc`. Called per arrival of a probe packet. Must never
//! give a rate for a cluster most of which was lost.
//!
//! Differs in two things. All packets that left at one instant are taken for one burst, because the
//! caller's clock is read once per turn and a turn sends several. And with
//! jitter what arrived is timed by a line through all packets instead of the first and the last: 60 ms
//! of jitter of those two alone made a 25 ms cluster measure a third of the rate. Without jitter the
//! ends are more exact, the line is a tenth off when packets differ in size.

use super::feedback::Arrival;
use super::sent::CLUSTERS;

/// Shares of a cluster that must arrive, in percent, and its least number of packets.
const ARRIVED_PERCENT: u64 = 80;
pub(super) const PACKETS_MIN: u64 = 5;
/// Longest time over which a cluster may be sent or arrive.
const INTERVAL_MAX_US: i64 = 1_000_000;
/// Arriving more than this much faster than sent is a measuring error.
const RATIO_MAX: f64 = 2.0;
/// Below this ratio of arrival to send rate the link was saturated; then a little less than what
/// arrived is what it carries.
const RATIO_UNSATURATED: f64 = 0.9;
const UTILIZATION: f64 = 0.98;

#[derive(Clone, Copy, Debug, Default)]
struct Cluster {
    bytes_min: u64,
    jittery: bool,
    bytes: u64,
    packets: u64,
    /// Send time, first and last, and bytes of the last burst.
    sent: Option<(i64, i64)>,
    last_bytes: u64,
    /// Arrival time, first and last, and bytes that arrived first.
    arrived: Option<(i64, i64)>,
    first_bytes: u64,
    /// Times of the packet that arrived first, which the sums below count from.
    zero: (i64, i64),
    sum_sent: f64,
    sum_arrived: f64,
    sum_sent_sent: f64,
    sum_sent_arrived: f64,
}

/// The clusters feedback may still come for.
#[derive(Clone, Debug, Default)]
pub(super) struct Clusters([Cluster; CLUSTERS as usize]);

impl Clusters {
    /// Begins cluster `id` (from 1), of which at least `bytes_min` will be sent, over a path with
    /// more jitter than the cluster is short or less.
    pub(super) fn begin(&mut self, id: u8, bytes_min: u64, jittery: bool) {
        if let Some(cluster) = self.0.get_mut(usize::from(id).wrapping_sub(1)) {
            *cluster = Cluster { bytes_min, jittery, ..Cluster::default() };
        }
    }

    /// Adds a packet of a cluster; returns the rate in bit/s when enough of it arrived.
    pub(super) fn add(&mut self, arrival: &Arrival) -> Option<f64> {
        let cluster = self.0.get_mut(usize::from(arrival.cluster).checked_sub(1)?)?;
        cluster.add(arrival);
        cluster.bps()
    }
}

impl Cluster {
    fn add(&mut self, packet: &Arrival) {
        let bytes = u64::from(packet.size);
        if self.packets == 0 {
            self.zero = (packet.sent_us, packet.arrival_us);
        }
        self.bytes += bytes;
        self.packets += 1;
        let (first, last) = self.sent.unwrap_or((packet.sent_us, i64::MIN));
        if packet.sent_us >= last {
            self.last_bytes = if packet.sent_us == last { self.last_bytes + bytes } else { bytes };
        }
        self.sent = Some((first.min(packet.sent_us), last.max(packet.sent_us)));
        let (first, last) = self.arrived.unwrap_or((i64::MAX, packet.arrival_us));
        if packet.arrival_us <= first {
            let same = packet.arrival_us == first;
            self.first_bytes = if same { self.first_bytes + bytes } else { bytes };
        }
        self.arrived = Some((first.min(packet.arrival_us), last.max(packet.arrival_us)));
        let sent = (packet.sent_us - self.zero.0) as f64;
        let arrived = (packet.arrival_us - self.zero.1) as f64;
        self.sum_sent += sent;
        self.sum_arrived += arrived;
        self.sum_sent_sent += sent * sent;
        self.sum_sent_arrived += sent * arrived;
    }

    fn bps(&self) -> Option<f64> {
        let arrived_enough = self.packets * 100 >= PACKETS_MIN * ARRIVED_PERCENT
            && self.bytes * 100 >= self.bytes_min * ARRIVED_PERCENT;
        if !arrived_enough {
            return None;
        }
        let sent_bps = rate(self.bytes - self.last_bytes, self.sent?)?;
        let arrived_bps = if self.jittery {
            sent_bps / self.stretch()?
        } else {
            rate(self.bytes - self.first_bytes, self.arrived?)?
        };
        if !(0.0..=RATIO_MAX * sent_bps).contains(&arrived_bps) {
            return None;
        }
        let saturated = arrived_bps < RATIO_UNSATURATED * sent_bps;
        Some(if saturated { UTILIZATION * arrived_bps } else { arrived_bps.min(sent_bps) })
    }

    /// Time between arrivals for the time between sends: the slope of a line through them.
    fn stretch(&self) -> Option<f64> {
        let count = self.packets as f64;
        let spread = count * self.sum_sent_sent - self.sum_sent * self.sum_sent;
        let slope = (count * self.sum_sent_arrived - self.sum_sent * self.sum_arrived) / spread;
        slope.is_normal().then_some(slope)
    }
}

fn rate(bytes: u64, (first_us, last_us): (i64, i64)) -> Option<f64> {
    let passed_us = last_us - first_us;
    (bytes != 0 && (1..=INTERVAL_MAX_US).contains(&passed_us))
        .then(|| bytes as f64 * 8e6 / passed_us as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten packets of 1,250 bytes sent every millisecond (10 Mbit/s), arriving `gap_us` apart.
    fn measure(gap_us: i64, arrived: i64, jittery: bool) -> Option<f64> {
        let mut clusters = Clusters::default();
        clusters.begin(3, 12_500, jittery);
        let mut last = None;
        for packet in 0..arrived {
            let (sent_us, arrival_us) = (packet * 1_000, 50_000 + packet * gap_us);
            last =
                clusters.add(&Arrival { arrival_us, sent_us, size: 1_250, packets: 1, cluster: 3 });
        }
        last
    }

    #[test]
    fn gives_the_lower_rate() {
        for jittery in [false, true] {
            let measure = |gap_us, arrived| measure(gap_us, arrived, jittery);
            assert_eq!(measure(1_000, 10), Some(10e6));
            assert_eq!(measure(750, 10), Some(10e6), "arrives faster: the send rate");
            let saturated = measure(2_000, 10).unwrap_or_default();
            assert!((saturated - UTILIZATION * 5e6).abs() < 1.0, "{saturated}");
            assert_eq!(measure(400, 10), None, "impossible");
            assert_eq!(measure(1_000, 7), None, "too much lost");
            assert_eq!(measure(1_000, 8), Some(10e6));
        }
    }

    #[test]
    fn bursts_of_one_turn_count_once() {
        let mut clusters = Clusters::default();
        clusters.begin(1, 10_000, false);
        let mut last = None;
        for packet in 0..10 {
            // Two packets each 5 ms over a fast link: 3.2 to 4 Mbit/s, not more.
            let sent_us = packet / 2 * 5_000;
            let arrival_us = sent_us + packet % 2 * 100;
            last =
                clusters.add(&Arrival { arrival_us, sent_us, size: 1_000, packets: 1, cluster: 1 });
        }
        assert_eq!(last, Some(8_000.0 * 8e6 / 20_000.0));
    }

    #[test]
    fn unknown_clusters_are_nothing() {
        let mut clusters = Clusters::default();
        for cluster in [0, 8, 255] {
            clusters.begin(cluster, 1, false);
            assert_eq!(clusters.add(&Arrival { cluster, ..Arrival::default() }), None);
        }
    }
}
