//! Send-side congestion control: how fast a subscriber's transport may be sent to.
//!
//! One [`Congestion`] per peer that negotiated transport-wide feedback. The caller writes
//! [`Congestion::next_sequence`] into each packet, reports what it sent and the feedback that
//! comes back, and asks for the estimate. Must never read a clock, allocate after construction, or
//! let what a peer writes into feedback do more than make that peer's own estimate wrong.
//!
//! A port of GCC (draft-ietf-rmcat-gcc-02) as in libwebrtc's `modules/congestion_controller/goog_cc`
//! at revision bb9331cfbe98 (June 2025): trendline delay detector, AIMD, loss-based estimate v2,
//! probing, application-limited detection; compared with str0m's `src/bwe` (revision 120401c9),
//! which follows libwebrtc 2bc24d44. Where it differs for an SFU, the file in question says so.
//!
//! Packets: `sent` -> network -> `feedback` -> `throughput`, `cluster`, `groups` -> `trendline` ->
//! `aimd` (these three are `delay`), `loss`, `path`; `alr` and `prober` run on the tick.

mod sent;
mod feedback;
mod throughput;
mod groups;
mod trendline;
mod aimd;
mod delay;
mod loss;
mod cluster;
mod alr;
mod prober;
mod path;

use std::time::{Duration, Instant};

use crate::rtcp::TwccView;

use alr::Alr;
use delay::DelayBased;
use feedback::{Batch, FeedbackReader};
use loss::{LossBased, LossState};
use path::Path;
use prober::{Gate, Prober};
use sent::SentRing;
use throughput::Throughput;

/// Estimate before there is evidence, in bit/s (`kDefaultStartBitrate` of libwebrtc).
pub const START_BPS: u64 = 300_000;
/// Least estimate in bit/s. Chosen: an Opus stream with its headers fits.
pub const FLOOR_BPS: u64 = 40_000;
/// Highest estimate in bit/s (`aimd_rate_control.cc`).
pub const MAX_BPS: u64 = 30_000_000;

/// What a packet carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SentKind {
    /// Audio or video, retransmissions included.
    Media,
    /// Sent for [`Congestion::probe`] only.
    Probe,
}

/// Something to send for the sake of a measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// UDP payload bytes due now, at least; packets of any size do. Media sent counts too.
    pub bytes: usize,
}

/// Congestion state of one transport. Just below 15 KiB, 12 of them the packets sent; no heap: box
/// it.
#[derive(Clone, Debug)]
pub struct Congestion {
    origin: Instant,
    /// The instant of the last sending, and the same in microseconds: many packets share one.
    sending: (Instant, i64),
    sent: SentRing,
    /// Media bytes since the last tick.
    media_bytes: u64,
    /// When the first packet was sent of which no feedback came since.
    unanswered_us: Option<i64>,
    reader: FeedbackReader,
    throughput: Throughput,
    delay: DelayBased,
    loss: LossBased,
    path: Path,
    alr: Alr,
    prober: Prober,
    gate: Gate,
    estimate_bps: u64,
    answered: bool,
    /// Whether the estimate was reduced for want of feedback since feedback came last.
    outage: bool,
    backed_off_us: i64,
}

impl Congestion {
    /// Starts at [`START_BPS`] with transport-wide number 0.
    pub fn new(now: Instant) -> Self {
        Self {
            origin: now,
            sending: (now, 0),
            sent: SentRing::new(),
            media_bytes: 0,
            unanswered_us: None,
            reader: FeedbackReader::default(),
            throughput: Throughput::new(),
            delay: DelayBased::new(START_BPS as f64),
            loss: LossBased::new(),
            path: Path::default(),
            alr: Alr::default(),
            prober: Prober::new(START_BPS as f64),
            gate: Gate::Open,
            estimate_bps: START_BPS,
            answered: false,
            outage: false,
            backed_off_us: 0,
        }
    }

    /// The transport-wide number the next packet must carry.
    ///
    /// Cost: one load.
    pub fn next_sequence(&self) -> u16 {
        self.sent.next() as u16
    }

    /// Notes that the packet with [`Congestion::next_sequence`] was sent; `size` is its UDP
    /// payload.
    ///
    /// Cost: per packet, a few nanoseconds; integers only.
    #[inline(always)]
    pub fn on_sent(&mut self, size: usize, kind: SentKind, now: Instant) {
        if self.sending.0 != now {
            self.sending = (now, self.us(now));
        }
        let now_us = self.sending.1;
        let cluster = self.prober.on_sent(size, now_us);
        self.sent.push(size, cluster, now_us);
        if kind == SentKind::Media {
            self.media_bytes += size as u64;
        }
        if self.unanswered_us.is_none() {
            self.unanswered_us = Some(now_us);
        }
    }

    /// Takes one feedback message; returns how many packets it newly names as lost. Lost, repeated, reordered and hostile ones do no harm.
    ///
    /// Cost: per message, linear in its statuses, of which at most 4,096 are read; a larger message
    /// is ignored.
    pub fn on_feedback(&mut self, feedback: &TwccView<'_>, now: Instant) -> u64 {
        let now_us = self.us(now);
        let Some(mut walk) = self.reader.start(feedback, &mut self.sent, now_us) else { return 0 };
        let (mut probe_bps, mut last_sent_us, mut lost) = (None, None, 0);
        let mut batch = Batch::new();
        while walk.next_batch(&mut batch, &mut self.sent, now_us) {
            self.take_batch(&batch, now_us, &mut probe_bps);
            lost += batch.tally.lost_packets;
            last_sent_us = last_sent_us.max(batch.tally.sent_us().map(|(_, last_us)| last_us));
        }
        let Some(last_sent_us) = last_sent_us else { return lost };
        self.answered = true;
        self.unanswered_us = None;
        if std::mem::take(&mut self.outage) {
            // What was lost in it is no sign of congestion, and what was before may be again.
            self.loss = LossBased::new();
            self.path.forget_loss();
            self.gate = Gate::Shut;
        }
        self.update(probe_bps, last_sent_us, now_us);
        lost
    }

    fn take_batch(&mut self, batch: &Batch, now_us: i64, probe_bps: &mut Option<f64>) {
        let arrivals = batch.arrivals();
        let mut credit_bytes = batch.credit_bytes;
        for packet in arrivals {
            let bytes = u64::from(packet.size) + std::mem::take(&mut credit_bytes);
            self.throughput.add(bytes, packet.arrival_us);
            if packet.cluster != 0 {
                *probe_bps = self.prober.on_arrival(packet).or(*probe_bps);
            }
        }
        self.path.on_arrivals(arrivals, now_us);
        self.path.on_loss(batch.tally.packets, batch.tally.lost_packets);
        self.delay.add(arrivals, now_us);
        self.loss.add(&batch.tally);
    }

    /// Brings the parts to one estimate after a message.
    fn update(&mut self, measured_bps: Option<f64>, last_sent_us: i64, now_us: i64) {
        let acked_bps = self.throughput.bps();
        if let Some(rtt) = self.path.rtt() {
            self.delay.rate.set_rtt(rtt.as_micros() as i64);
        }
        // A short burst that arrived slowly is weak evidence against the rate.
        let least_bps = self.delay.rate.bps() * PROVEN_SHARE;
        let probe_bps = measured_bps.map(|measured_bps| measured_bps.max(least_bps));
        self.delay.update(&self.throughput, probe_bps, &self.path, now_us);
        if self.delay.is_longer() {
            self.path.rebase();
        }
        let delay_bps = self.delay.rate.bps();
        if let Some(probe_bps) = probe_bps
            && !self.delay.is_overused()
        {
            self.loss.on_probe(probe_bps, self.path.loss() < LOSS_OVER);
        }
        self.loss.update(last_sent_us, delay_bps, acked_bps, self.alr.is_limited());
        self.conclude();
        let gate = self.gate(now_us);
        self.prober.on_estimate(self.estimate_bps as f64, measured_bps, gate, now_us);
        let reopened = self.gate == Gate::Shut && gate != Gate::Shut;
        if self.delay.take_recovered() || reopened {
            self.prober.on_recovered(gate, now_us);
        }
        self.gate = gate;
    }

    /// The estimate is the least of what delay and loss allow.
    fn conclude(&mut self) {
        let delay_bps = self.delay.rate.bps();
        let bps = self.loss.limit_bps().map_or(delay_bps, |limit_bps| limit_bps.min(delay_bps));
        self.estimate_bps = (bps as u64).clamp(FLOOR_BPS, MAX_BPS);
    }

    fn gate(&self, now_us: i64) -> Gate {
        let over = self.path.loss() < LOSS_OVER && !self.loss.is_held(now_us);
        let queued = self.path.newest_queue_us().max(self.path.queue_us()) > QUEUE_PROBED_US;
        let congested = self.delay.is_overused() || self.delay.is_deep() || queued;
        if congested || self.loss.state() == LossState::Decreasing && !over {
            Gate::Shut
        } else if self.loss.state() == LossState::Unlimited {
            Gate::Open
        } else {
            Gate::Careful
        }
    }

    /// Takes the round trip of a receiver report (RFC 3550 section 6.4.1).
    pub fn on_rtt(&mut self, rtt: Duration) {
        self.path.on_reported_rtt(rtt);
    }

    /// Does what time asks for; call it every 10 to 50 ms.
    ///
    /// Cost: a few dozen instructions.
    pub fn on_tick(&mut self, now: Instant) {
        let now_us = self.us(now);
        let bytes = std::mem::take(&mut self.media_bytes);
        if self.alr.update(bytes, self.estimate_bps as f64, now_us) {
            self.throughput.expect_change();
        }
        self.back_off(now_us);
        self.prober.set_jitter(self.path.jitter_us());
        self.prober.on_tick(!self.sent.is_empty(), self.gate(now_us), now_us);
    }

    /// Reduces the estimate while feedback is missing that came before, and packets go on leaving.
    fn back_off(&mut self, now_us: i64) {
        let (Some(since_us), Some(last_us)) = (self.unanswered_us, self.sent.last_us(now_us))
        else {
            return;
        };
        let rtt_us = self.path.rtt().map_or(0, |rtt| rtt.as_micros() as i64);
        let silent = last_us - since_us >= SILENCE_US + rtt_us && now_us - last_us < SILENCE_US;
        if !self.answered || !silent || now_us - self.backed_off_us < BACK_OFF_US {
            return;
        }
        self.backed_off_us = now_us;
        self.delay.rate.set(self.estimate_bps as f64 * BACK_OFF, now_us);
        self.conclude();
        self.prober.on_estimate(self.estimate_bps as f64, None, Gate::Shut, now_us);
        self.outage = true;
    }

    /// Says what the allocation sends now and the total it would send if that fitted, the next step
    /// or all of them, the margin it asks for on the way up included (0 when all it wants is sent);
    /// bit/s. Probes aim at twice the larger one, at once when that grew by an eighth.
    pub fn set_demand(&mut self, sent: u64, wanted: u64) {
        self.prober.set_demand(sent, wanted);
    }

    /// Bit/s that may be sent, UDP payload counted.
    pub fn estimate(&self) -> u64 {
        self.estimate_bps
    }

    /// Bit/s at which a pacer should let packets go.
    pub fn pacing_rate(&self) -> u64 {
        let bps = self.estimate_bps * PACING_PERCENT / 100;
        self.prober.active_bps().map_or(bps, |probe_bps| probe_bps.max(bps))
    }

    /// What must be sent now for a measurement. Media may be sent instead; the rest as padding,
    /// reported as [`SentKind::Probe`]. A caller that cannot pad may leave it, but then the estimate
    /// stays below one and a half times what arrives.
    pub fn probe(&mut self, now: Instant) -> Option<Probe> {
        self.prober.next_us()?;
        let bytes = self.prober.due(self.us(now))?;
        Some(Probe { bytes: usize::try_from(bytes).unwrap_or(usize::MAX) })
    }

    /// When [`Congestion::probe`] should be asked next; None when no probe is under way. The clusters
    /// are 25 ms long: come back within 5 ms of it.
    pub fn next_probe(&self) -> Option<Instant> {
        let next_us = self.prober.next_us()?;
        Some(self.origin + Duration::from_micros(u64::try_from(next_us).unwrap_or(0)))
    }

    /// Smoothed round trip: of reports, or of feedback where none came yet.
    pub fn rtt(&self) -> Option<Duration> {
        self.path.rtt()
    }

    /// Share of the bytes lost over the last seconds.
    pub fn loss(&self) -> f32 {
        self.loss.average_loss() as f32
    }

    /// How much longer packets take than the fastest of the last 10 to 20 s.
    pub fn queue_delay(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.path.queue_us()).unwrap_or(0))
    }

    /// The same of the newest packet alone.
    pub fn newest_queue_delay(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.path.newest_queue_us()).unwrap_or(0))
    }

    /// Microseconds since this value was made.
    fn us(&self, now: Instant) -> i64 {
        let passed = now.saturating_duration_since(self.origin);
        passed.as_secs() as i64 * 1_000_000 + i64::from(passed.subsec_micros())
    }
}

/// Least share of the rate a probe leaves (`kProbeDropThroughputFraction`, there of what arrives).
const PROVEN_SHARE: f64 = 0.85;
/// Longest queue that a probe is added to. Chosen: below it a probe of 25 ms at twice the rate ends
/// before a queue of 100 ms, which is short for a network, is full.
const QUEUE_PROBED_US: i64 = 60_000;
/// Recent loss below which a path that lost much is probed again. Chosen: below what may be a path's
/// own loss (`loss.rs`, a tenth), and what is left of 30 % after 42 packets without loss.
const LOSS_OVER: f64 = 0.08;
/// Pacing relative to the estimate. Chosen: libwebrtc's 2.5 is for an encoder's key frames; an SFU's
/// input was paced by its publisher, and bursts of half again the link's rate do not queue long.
const PACING_PERCENT: u64 = 150;
/// Silence before the estimate is reduced, and by how much how often. Chosen: browsers send feedback
/// at least every 250 ms; libwebrtc's `RttBasedBackoff` reduces to 80 %.
const SILENCE_US: i64 = 1_000_000;
const BACK_OFF_US: i64 = 500_000;
const BACK_OFF: f64 = 0.8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{RtcpPacket, TwccRecorder, packets};

    /// A transport whose packets arrive 20 ms after they were sent, until told otherwise.
    struct Transport {
        congestion: Congestion,
        recorder: TwccRecorder,
        zero: Instant,
        ms: u64,
    }

    impl Transport {
        #[allow(clippy::disallowed_methods)]
        fn new() -> Self {
            let zero = Instant::now();
            let congestion = Congestion::new(zero);
            Self { congestion, recorder: TwccRecorder::new(), zero, ms: 0 }
        }

        fn at(&self, ms: u64) -> Instant {
            self.zero + Duration::from_millis(ms)
        }

        /// Sends a packet every 10 ms, or none, with feedback every 50 ms, or none.
        fn run(&mut self, ms: u64, sends: bool, answers: bool) {
            for _ in 0..ms / 10 {
                self.ms += 10;
                let now = self.at(self.ms);
                if sends {
                    self.recorder.record(self.congestion.next_sequence(), self.at(self.ms + 20));
                    self.congestion.on_sent(600, SentKind::Media, now);
                }
                if answers && self.ms.is_multiple_of(50) && self.recorder.pending() {
                    let mut slot = [0; 1_200];
                    let len = self.recorder.write_feedback(1, 2, &mut slot, self.zero);
                    for packet in packets(&slot[..len]) {
                        if let Ok(RtcpPacket::TransportFeedback(view)) = packet {
                            self.congestion.on_feedback(&view, now + Duration::from_millis(40));
                        }
                    }
                }
                self.congestion.on_tick(now);
            }
        }
    }

    #[test]
    fn takes_the_memory_it_says() {
        let bytes = size_of::<Congestion>();
        assert!((12 * 1_024..15 * 1_024).contains(&bytes), "{bytes}");
    }

    #[test]
    fn without_any_feedback_the_start_rate_stays() {
        let mut transport = Transport::new();
        transport.run(10_000, true, false);
        assert_eq!(transport.congestion.estimate(), START_BPS);
    }

    #[test]
    fn missing_feedback_reduces_while_packets_leave_and_only_then() {
        let mut transport = Transport::new();
        transport.run(3_000, true, true);
        let before = transport.congestion.estimate();
        transport.run(1_500, true, false);
        transport.run(1_000, false, false);
        let reduced = transport.congestion.estimate();
        assert!(reduced < before && reduced > before / 3, "{before} {reduced}");
        transport.run(10_000, false, false);
        assert_eq!(transport.congestion.estimate(), reduced, "nothing was sent");
        transport.run(20_000, true, false);
        assert_eq!(transport.congestion.estimate(), FLOOR_BPS);
        transport.run(20_000, true, true);
        assert!(transport.congestion.estimate() > before / 2);
    }

    #[test]
    fn the_round_trip_is_known_from_feedback_and_reports() {
        let mut transport = Transport::new();
        assert_eq!(transport.congestion.rtt(), None);
        transport.run(1_000, true, true);
        assert_eq!(transport.congestion.rtt(), Some(Duration::from_millis(40)));
        transport.congestion.on_rtt(Duration::from_millis(25));
        assert_eq!(transport.congestion.rtt(), Some(Duration::from_millis(25)));
    }

    #[test]
    fn the_first_packets_are_probed_with() {
        let mut transport = Transport::new();
        assert_eq!(transport.congestion.probe(transport.zero), None, "nothing was sent yet");
        transport.run(20, true, false);
        let now = transport.at(transport.ms);
        assert!(transport.congestion.next_probe().is_some_and(|at| at <= now));
        let Some(probe) = transport.congestion.probe(now) else { panic!("a probe") };
        assert!(probe.bytes >= 200, "{}", probe.bytes);
        assert!(transport.congestion.pacing_rate() >= 3 * START_BPS);
        transport.congestion.on_sent(probe.bytes, SentKind::Probe, now);
        assert_eq!(transport.congestion.probe(now), None, "until more is due");
        let next = transport.congestion.next_probe();
        assert!(next.is_some_and(|at| at > now && at < now + Duration::from_millis(5)), "{next:?}");
    }
}
