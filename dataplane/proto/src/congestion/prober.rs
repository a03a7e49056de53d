//! Decides when to probe for more bandwidth, how fast, and what of a probe is due.
//!
//! After libwebrtc's `probe_controller.cc` and `bitrate_prober.cc`. Called per tick and feedback
//! message; `on_sent` runs per packet and compares integers only. Must never probe above twice what
//! is useful, nor while the queue grows or loss does.
//!
//! Differs where an SFU does: it cannot encode more, so what it would send next is a step away.
//! Unmet demand is probed for every two seconds whether or not the application-limited region was
//! entered, every successful probe is followed by a faster one, and recovery probes are limited by
//! the estimate, because the link may really have become thin.

use super::cluster::{Clusters, PACKETS_MIN};
use super::feedback::Arrival;
use super::sent::CLUSTERS;
use super::{FLOOR_BPS, MAX_BPS};

/// First probes, relative to the start rate, and those after a success.
const FIRST_SCALES: [f64; 2] = [3.0, 6.0];
const FURTHER_SCALE: f64 = 2.0;
/// A probe that measured this share of its rate is followed by a faster one.
const FURTHER_SHARE: f64 = 0.7;
/// Highest probe relative to what is useful.
const USEFUL_SCALE: f64 = 2.0;
/// A probe that cannot raise the estimate by a tenth is not worth its bytes.
const USELESS_SCALE: f64 = 1.1;
/// Highest probe relative to the estimate while it recovers from loss, or from a drop.
const LOSS_SCALE: f64 = 1.5;
const DROP_SCALE: f64 = 3.0;
/// After a drop, this share of what was before is probed for, within this time of it.
const DROP_SHARE: f64 = 0.85;
const DROP_US: i64 = 5_000_000;
/// A fall of the estimate below this share of what it was ends the probes under way.
const FALL_SHARE: f64 = 0.75;
/// Longest wait for a result, and for a cluster to begin.
const RESULT_MAX_US: i64 = 1_000_000;
/// Longest time a cluster is sent for. Chosen: twice the longest one; when the caller cannot pad it
/// never becomes full, and while it lasts media is not looked at by the delay detector.
const ACTIVE_MAX_US: i64 = 200_000;
/// Between probes for demand that is not met. Chosen: an up-step of the link is found within 2 s;
/// 25 ms at twice the estimate every 2 s is 2.5 % of it.
const UNMET_US: i64 = 2_000_000;
/// Between probes that only keep the estimate ahead of what is sent (`alr_probing_interval`).
const HEADROOM_US: i64 = 5_000_000;
/// Least time between a probe and one for demand that rose.
const ROSE_US: i64 = 200_000;
/// Length of a cluster: `min_probe_duration` upstream is 15 ms, with an exact pacer. Chosen: 25 ms,
/// so that a caller who comes every 5 ms sends five bursts. Longer, up to a bound, when it comes less
/// often, and with jitter: the error of what is measured shrinks with length and number of packets.
const CLUSTER_US: u64 = 25_000;
const CLUSTER_US_MAX: u64 = 100_000;
const CLUSTER_JITTERS: f64 = 4.0;
const CLUSTER_US_MIN: i64 = 15_000;
/// Time between two calls of a caller not known yet, bounds of it, and share of a new one. The first
/// burst of a cluster is what is due until the next call, or the rate measured would be too low: with
/// calls every 10 ms and 5 ms sent ahead it was three quarters. A longer gap counts at once: the mean
/// of calls at uneven intervals sent 1 ms ahead of one after 5 ms, and a link measured a twelfth less.
const CALL_US: u64 = 5_000;
const CALL_US_MIN: u64 = 1_000;
const CALL_US_MAX: u64 = 20_000;
const CALL_SHARE: u64 = 4;
const CLUSTER_CALLS: u64 = 5;
/// The least that is worth a packet.
const CHUNK_BYTES: u64 = 200;

/// Whether the path bears a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gate {
    Open,
    /// The estimate recovers from loss: small steps.
    Careful,
    Shut,
}

/// What is sent now, and what would be sent next if it fitted; bit/s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Demand {
    sent: u64,
    wanted: u64,
}

impl Demand {
    fn useful(self) -> u64 {
        self.sent.max(self.wanted)
    }
}

/// A cluster being sent.
#[derive(Clone, Copy, Debug)]
struct Active {
    id: u8,
    bps: u64,
    bytes_min: u64,
    started_us: i64,
    called_us: i64,
    bytes: u64,
    packets: u64,
}

/// Probing of one path.
#[derive(Clone, Debug)]
pub(super) struct Prober {
    clusters: Clusters,
    last_id: u8,
    active: Option<Active>,
    /// Rates of the clusters to be sent next, in order.
    pending: [Option<f64>; 2],
    pending_us: i64,
    /// The rate a result must exceed to be followed by a faster probe, since when.
    further: Option<(f64, i64)>,
    last_us: Option<i64>,
    begun: bool,
    demand: Option<Demand>,
    /// What was useful when the last probe began, in bit/s.
    probed_for: u64,
    estimate_bps: f64,
    /// How long clusters are for the jitter of the path, and how often the caller comes.
    cluster_us: u64,
    call_us: u64,
    /// What the estimate was before it dropped, and when it did.
    drop: Option<(f64, i64)>,
}

impl Prober {
    /// Nothing is probed before the first tick after a packet was sent.
    pub(super) fn new(start_bps: f64) -> Self {
        Self {
            clusters: Clusters::default(),
            last_id: 0,
            active: None,
            pending: [None; 2],
            pending_us: 0,
            further: None,
            last_us: None,
            begun: false,
            demand: None,
            probed_for: 0,
            estimate_bps: start_bps,
            cluster_us: CLUSTER_US,
            call_us: CALL_US,
            drop: None,
        }
    }

    pub(super) fn set_demand(&mut self, sent: u64, wanted: u64) {
        self.demand = Some(Demand { sent, wanted });
    }

    /// Makes clusters long enough for a path with this jitter.
    pub(super) fn set_jitter(&mut self, jitter_us: f64) {
        self.cluster_us = ((CLUSTER_JITTERS * jitter_us) as u64).clamp(CLUSTER_US, CLUSTER_US_MAX);
    }

    /// Notes a packet sent and returns its cluster, 0 for none.
    #[inline(always)]
    pub(super) fn on_sent(&mut self, size: usize, now_us: i64) -> u8 {
        if self.active.is_some() { self.count(size, now_us) } else { 0 }
    }

    /// Counts a packet to the cluster being sent, and ends it when it is full.
    fn count(&mut self, size: usize, now_us: i64) -> u8 {
        let Some(active) = &mut self.active else { return 0 };
        let id = active.id;
        active.bytes += size as u64;
        active.packets += 1;
        if active.bytes >= active.bytes_min
            && active.packets >= PACKETS_MIN
            && now_us - active.started_us >= CLUSTER_US_MIN
        {
            self.active = None;
        }
        id
    }

    /// Adds a probe packet that arrived; returns the measured rate when there is one.
    pub(super) fn on_arrival(&mut self, arrival: &Arrival) -> Option<f64> {
        self.clusters.add(arrival)
    }

    /// Rate of the cluster being sent.
    pub(super) fn active_bps(&self) -> Option<u64> {
        self.active.map(|active| active.bps)
    }

    /// Bytes due now.
    pub(super) fn due(&mut self, now_us: i64) -> Option<u64> {
        if self.active.is_none() {
            self.activate(now_us)?;
        }
        let active = self.active.as_mut()?;
        let called_us = std::mem::replace(&mut active.called_us, now_us);
        if called_us > active.started_us || active.bytes != 0 {
            let gap_us = u64::try_from(now_us - called_us).unwrap_or(0);
            let call_us = (self.call_us * (CALL_SHARE - 1) + gap_us) / CALL_SHARE;
            self.call_us = call_us.max(gap_us).clamp(CALL_US_MIN, CALL_US_MAX);
        }
        let passed_us = u64::try_from(now_us - active.started_us).unwrap_or(0);
        let planned = active.bps.saturating_mul(passed_us + self.call_us) / 8_000_000;
        let left = active.bytes_min.saturating_sub(active.bytes).max(CHUNK_BYTES);
        let due = planned.saturating_sub(active.bytes).min(left);
        (due >= CHUNK_BYTES).then_some(due)
    }

    /// When something is due next.
    pub(super) fn next_us(&self) -> Option<i64> {
        let Some(active) = self.active else { return self.pending[0].map(|_| self.pending_us) };
        let sent_us = (8_000_000 * (active.bytes + CHUNK_BYTES)).div_ceil(active.bps.max(1));
        let after_us = sent_us.saturating_sub(self.call_us);
        Some(active.started_us + after_us as i64)
    }

    /// Begins the next pending cluster.
    fn activate(&mut self, now_us: i64) -> Option<()> {
        let rate_bps = self.pending[0].take()?;
        self.pending.swap(0, 1);
        self.last_id = self.last_id % CLUSTERS + 1;
        let bps = rate_bps as u64;
        let cluster_us = self.cluster_us.max(CLUSTER_CALLS * self.call_us);
        let bytes_min = bps * cluster_us / 8_000_000;
        self.clusters.begin(self.last_id, bytes_min, self.cluster_us > CLUSTER_US);
        self.active = Some(Active {
            id: self.last_id,
            bps,
            bytes_min,
            started_us: now_us,
            called_us: now_us,
            bytes: 0,
            packets: 0,
        });
        Some(())
    }

    /// Starts what is due and ends what took too long. `sending` is whether anything was sent yet.
    pub(super) fn on_tick(&mut self, sending: bool, gate: Gate, now_us: i64) {
        if self.active.is_some_and(|active| now_us - active.started_us > ACTIVE_MAX_US) {
            self.active = None;
        }
        if now_us - self.pending_us > RESULT_MAX_US {
            self.pending = [None; 2];
        }
        if self.further.is_some_and(|(_, since_us)| now_us - since_us > RESULT_MAX_US) {
            self.further = None;
        }
        if !sending || self.is_busy() {
            return;
        }
        if !self.begun {
            let rates = FIRST_SCALES.map(|scale| Some(scale * self.estimate_bps));
            self.begun = self.start(rates, true, gate, now_us);
            return;
        }
        let passed_us = self.last_us.map_or(i64::MAX, |last_us| now_us - last_us);
        let unmet = self.demand.is_none_or(|demand| demand.wanted != 0);
        let wait_us = if self.has_risen() {
            ROSE_US
        } else if unmet {
            UNMET_US
        } else {
            HEADROOM_US
        };
        if passed_us >= wait_us {
            let rate_bps = FURTHER_SCALE * self.estimate_bps;
            self.start([Some(rate_bps), None], true, gate, now_us);
        }
    }

    /// Whether clearly more is useful than when the last probe began; measured rates waver.
    fn has_risen(&self) -> bool {
        let useful = self.demand.map_or(0, Demand::useful);
        useful > self.probed_for.saturating_add(self.probed_for / 8)
    }

    /// Notes the new estimate, and what a probe measured if this is its result.
    pub(super) fn on_estimate(
        &mut self,
        estimate_bps: f64,
        measured_bps: Option<f64>,
        gate: Gate,
        now_us: i64,
    ) {
        if estimate_bps < self.estimate_bps {
            let recent = self.drop.filter(|(_, at_us)| now_us - at_us < DROP_US);
            self.drop = recent.or(Some((self.estimate_bps, now_us)));
        }
        if estimate_bps < FALL_SHARE * self.estimate_bps {
            self.abandon();
        }
        self.estimate_bps = estimate_bps;
        let (Some(measured_bps), Some((above_bps, _))) = (measured_bps, self.further) else {
            return;
        };
        if self.pending[0].is_some() || self.active.is_some() {
            return;
        }
        self.further = None;
        if measured_bps > above_bps {
            self.start([Some(FURTHER_SCALE * measured_bps), None], true, gate, now_us);
        }
    }

    /// Probes for what was before a drop once its cause is gone.
    pub(super) fn on_recovered(&mut self, gate: Gate, now_us: i64) {
        let Some((before_bps, at_us)) = self.drop else { return };
        let rate_bps = (DROP_SHARE * before_bps).min(DROP_SCALE * self.estimate_bps);
        if now_us - at_us < DROP_US && rate_bps > self.estimate_bps && !self.is_busy() {
            self.start([Some(rate_bps), None], true, gate, now_us);
            self.drop = None;
        }
    }

    /// Sends no more of what is under way: the path became thin, and the rest would stand in its queue in
    /// front of media. What was sent may still be measured.
    fn abandon(&mut self) {
        (self.active, self.pending) = (None, [None; 2]);
    }

    fn is_busy(&self) -> bool {
        self.active.is_some() || self.pending[0].is_some() || self.further.is_some()
    }

    /// Plans clusters at `rates`, as far as they are useful; false when none is.
    fn start(&mut self, rates: [Option<f64>; 2], further: bool, gate: Gate, now_us: i64) -> bool {
        let mut ceiling_bps = self.demand.map_or(MAX_BPS as f64, |demand| {
            (USEFUL_SCALE * demand.useful() as f64).clamp(FLOOR_BPS as f64, MAX_BPS as f64)
        });
        match gate {
            Gate::Shut => return false,
            Gate::Careful => ceiling_bps = ceiling_bps.min(LOSS_SCALE * self.estimate_bps),
            Gate::Open => {}
        }
        if ceiling_bps < USELESS_SCALE * self.estimate_bps {
            return false;
        }
        let mut last_bps = 0.0;
        self.pending = [None; 2];
        for (place, rate_bps) in self.pending.iter_mut().zip(rates.into_iter().flatten()) {
            let rate_bps = rate_bps.min(ceiling_bps);
            if rate_bps > last_bps {
                *place = Some(rate_bps);
                last_bps = rate_bps;
            }
        }
        self.pending_us = now_us;
        self.last_us = Some(now_us);
        self.probed_for = self.demand.map_or(0, Demand::useful);
        let faster = further && last_bps < ceiling_bps;
        self.further = faster.then_some((FURTHER_SHARE * last_bps, now_us));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000;

    /// Sends all clusters under way from `from_us` on in steps of 5 ms; returns their rates.
    fn send(prober: &mut Prober, from_us: i64) -> Vec<u64> {
        let mut rates = Vec::new();
        for now_us in (0..400).map(|step| from_us + step * 5 * MS) {
            let Some(bytes) = prober.due(now_us) else { continue };
            let bps = prober.active_bps().unwrap_or_default();
            if rates.last() != Some(&bps) {
                rates.push(bps);
            }
            prober.on_sent(bytes as usize, now_us);
        }
        rates
    }

    /// A prober past its first clusters, which found `estimate_bps`.
    fn begun(estimate_bps: f64) -> Prober {
        let mut prober = Prober::new(300e3);
        prober.on_tick(true, Gate::Open, 0);
        assert_eq!(send(&mut prober, 0), [900_000, 1_800_000]);
        prober.on_estimate(estimate_bps, Some(0.0), Gate::Open, 500 * MS);
        prober
    }

    #[test]
    fn begins_with_the_first_packet() {
        let mut prober = Prober::new(300e3);
        prober.on_tick(false, Gate::Open, 0);
        assert_eq!(prober.due(0), None);
        begun(300e3);
    }

    #[test]
    fn a_fall_ends_the_probe_under_way() {
        let mut prober = Prober::new(300e3);
        prober.on_tick(true, Gate::Open, 0);
        prober.on_sent(prober.clone().due(0).unwrap() as usize, 0);
        prober.on_estimate(290e3, None, Gate::Shut, 5 * MS);
        assert!(prober.due(10 * MS).is_some(), "a small fall");
        prober.on_estimate(200e3, None, Gate::Shut, 15 * MS);
        assert_eq!((prober.due(20 * MS), prober.active_bps()), (None, None));
    }

    #[test]
    fn a_burst_lasts_for_the_longest_gap_between_calls() {
        let mut prober = Prober::new(300e3);
        prober.on_tick(true, Gate::Open, 0);
        for now_us in [0, 1, 2, 12, 13, 14, 15].map(|ms| ms * MS) {
            prober.due(now_us);
        }
        // Three calls later a bit less is sent ahead, but not as little as 1 ms needs.
        assert!(prober.call_us > 4 * 1_000, "{}", prober.call_us);
    }

    #[test]
    fn a_cluster_has_its_length_packets_and_rate() {
        let mut prober = Prober::new(300e3);
        prober.on_tick(true, Gate::Open, 0);
        let (mut bytes, mut packets, mut now_us) = (0, 0, 0);
        while packets == 0 || prober.active_bps() == Some(900_000) {
            if let Some(due) = prober.due(now_us) {
                bytes += due;
                packets += 1;
                assert_ne!(prober.on_sent(due as usize, now_us), 0);
            }
            now_us += 5 * MS;
        }
        assert!(packets >= 5 && (15 * MS..=40 * MS).contains(&now_us), "{packets} {now_us}");
        assert!((2_800..4_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_success_is_followed_up_to_twice_what_is_useful() {
        let mut prober = begun(1.7e6);
        prober.set_demand(500_000, 1_500_000);
        prober.on_tick(true, Gate::Open, 2_000 * MS);
        assert_eq!(send(&mut prober, 2_000 * MS), [3_000_000]);
        prober.on_estimate(3e6, Some(3e6), Gate::Open, 2_100 * MS);
        assert_eq!(send(&mut prober, 2_100 * MS), [0; 0], "the ceiling is reached");
        prober.set_demand(500_000, 6_000_000);
        prober.on_tick(true, Gate::Open, 2_300 * MS);
        assert_eq!(send(&mut prober, 2_300 * MS), [6_000_000], "demand rose");
        prober.on_estimate(5e6, Some(5e6), Gate::Open, 2_500 * MS);
        assert_eq!(send(&mut prober, 2_500 * MS), [10_000_000], "success");
    }

    #[test]
    fn congestion_shuts_it_and_loss_makes_it_careful() {
        let mut prober = begun(1e6);
        prober.set_demand(500_000, 1_500_000);
        for second in 1..60 {
            prober.on_tick(true, Gate::Shut, second * 1_000 * MS);
            assert_eq!(prober.due(second * 1_000 * MS), None);
        }
        prober.on_tick(true, Gate::Careful, 60_000 * MS);
        assert_eq!(send(&mut prober, 60_000 * MS), [1_500_000]);
    }

    #[test]
    fn unmet_demand_is_probed_for_every_two_seconds_and_met_demand_is_not() {
        for (wanted, probes) in [(1_500_000, 10), (0, 0)] {
            let mut prober = begun(1e6);
            prober.set_demand(500_000, wanted);
            let mut seen = 0;
            for tick in 100..2_100 {
                let now_us = tick * 10 * MS;
                // What is measured wavers.
                prober.set_demand(
                    500_000 + tick as u64 % 7 * 1_000,
                    wanted / 100 * (100 + tick as u64 % 5),
                );
                prober.on_tick(true, Gate::Open, now_us);
                if prober.due(now_us).is_some() {
                    seen += 1;
                    prober.active = None;
                    prober.on_estimate(1e6, Some(0.0), Gate::Open, now_us);
                }
            }
            assert_eq!(seen, probes);
        }
    }
}
