//! One subscriber behind a link: a source, a pacer, the controller under test, and a receiver that
//! sends transport-wide feedback. Virtual time in steps of a millisecond.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use proto::congestion::{Congestion, SentKind};
use proto::rtcp::{RtcpPacket, TwccRecorder, packets};

use crate::link::{Link, Outcome, Random};

/// Rates of the ladder in bit/s.
pub(crate) const RUNGS: [u64; 3] = [150_000, 500_000, 1_500_000];
const AUDIO_BPS: u64 = 40_000;

/// What the sender has to send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Simulcast encodings and audio: one rung at a time, chosen by the estimate.
    Ladder,
    /// Whatever the estimate allows.
    Elastic,
    AudioOnly,
}

pub(crate) struct Call {
    pub(crate) link: Link,
    pub(crate) source: Source,
    pub(crate) feedback_every_ms: u64,
    pub(crate) feedback_loss: f64,
    /// How often the caller asks for probes.
    pub(crate) probe_every_ms: u64,
    pub(crate) seed: u64,
}

/// One line per 10 ms.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at_ms: u64,
    pub(crate) estimate: u64,
    pub(crate) capacity: u64,
    pub(crate) rung: usize,
}

pub(crate) struct Record {
    pub(crate) samples: Vec<Sample>,
    /// Queueing of every packet that got through, in microseconds.
    pub(crate) queued_us: Vec<u64>,
    pub(crate) sent_bytes: u64,
    pub(crate) padding_bytes: u64,
    pub(crate) lost: u64,
    pub(crate) packets: u64,
}

impl Call {
    pub(crate) fn new(link: Link, source: Source, seed: u64) -> Self {
        Self { link, source, feedback_every_ms: 50, feedback_loss: 0.0, probe_every_ms: 5, seed }
    }

    #[allow(clippy::disallowed_methods)]
    pub(crate) fn run(self, seconds: u64) -> Record {
        Run::new(self, Instant::now()).run(seconds * 1_000)
    }
}

struct Run {
    call: Call,
    zero: Instant,
    congestion: Congestion,
    recorder: TwccRecorder,
    random: Random,
    /// Packets on their way: arrival, order, number.
    flying: BTreeMap<(u64, u64), u16>,
    /// Feedback on its way back.
    messages: VecDeque<(u64, Vec<u8>)>,
    pacer: VecDeque<usize>,
    budget_bits: i64,
    rung: usize,
    record: Record,
}

impl Run {
    fn new(call: Call, zero: Instant) -> Self {
        let call_seed = call.seed.wrapping_mul(77) | 1;
        let record = Record {
            samples: Vec::new(),
            queued_us: Vec::new(),
            sent_bytes: 0,
            padding_bytes: 0,
            lost: 0,
            packets: 0,
        };
        Self {
            call,
            zero,
            congestion: Congestion::new(zero),
            recorder: TwccRecorder::new(),
            random: Random(call_seed),
            flying: BTreeMap::new(),
            messages: VecDeque::new(),
            pacer: VecDeque::new(),
            budget_bits: 0,
            rung: 0,
            record,
        }
    }

    fn run(mut self, until_ms: u64) -> Record {
        for ms in 0..until_ms {
            self.receive(ms);
            if ms % 10 == 0 {
                self.congestion.on_tick(self.at(ms * 1_000));
                self.allocate(ms);
            }
            self.produce(ms);
            self.pace(ms);
            if ms.is_multiple_of(self.call.probe_every_ms) {
                self.pad(ms);
            }
        }
        self.record
    }

    fn at(&self, us: u64) -> Instant {
        self.zero + Duration::from_micros(us)
    }

    /// Arrivals at the receiver, feedback from it, feedback back at the sender.
    fn receive(&mut self, ms: u64) {
        let now_us = ms * 1_000;
        let later = self.flying.split_off(&(now_us + 1, 0));
        for ((at_us, _), number) in std::mem::replace(&mut self.flying, later) {
            self.recorder.record(number, self.at(at_us));
        }
        if ms.is_multiple_of(self.call.feedback_every_ms) {
            while self.recorder.pending() {
                let mut slot = [0; 1_200];
                let len = self.recorder.write_feedback(1, 2, &mut slot, self.zero);
                if self.random.share() >= self.call.feedback_loss {
                    let back_us = now_us + self.call.link.delay_us;
                    self.messages.push_back((back_us, slot[..len].to_vec()));
                }
            }
        }
        while self.messages.front().is_some_and(|(at_us, _)| *at_us <= now_us) {
            let (_, bytes) = self.messages.pop_front().expect("looked at");
            for packet in packets(&bytes) {
                if let Ok(RtcpPacket::TransportFeedback(view)) = packet {
                    self.congestion.on_feedback(&view, self.at(now_us));
                }
            }
        }
    }

    /// The largest rung that fits, with a tenth to spare on the way up.
    fn allocate(&mut self, ms: u64) {
        let estimate = self.congestion.estimate();
        if self.call.source == Source::Ladder {
            let before = self.rung;
            let needs = |rung: usize| RUNGS[rung] + AUDIO_BPS;
            while self.rung > 0 && needs(self.rung) > estimate {
                self.rung -= 1;
            }
            while self.rung + 1 < RUNGS.len() && needs(self.rung + 1) * 11 / 10 <= estimate {
                self.rung += 1;
            }
            if self.rung > before {
                // The key frame a switch begins with.
                self.video_frame(4 * RUNGS[self.rung] / 30 / 8);
            }
            let wanted = RUNGS.get(self.rung + 1).map_or(0, |bps| (bps + AUDIO_BPS) * 11 / 10);
            self.congestion.set_demand(needs(self.rung), wanted);
        } else if self.call.source == Source::Elastic {
            self.congestion.set_demand(estimate, 5_000_000);
        } else {
            self.congestion.set_demand(AUDIO_BPS, 0);
        }
        self.record.samples.push(Sample {
            at_ms: ms,
            estimate,
            capacity: self.call.link.conditions(ms * 1_000).capacity_bps,
            rung: self.rung,
        });
    }

    fn produce(&mut self, ms: u64) {
        if ms % 20 == 3 && self.call.source != Source::Elastic {
            self.send(100, SentKind::Media, ms);
        }
        // 30 frames per second.
        let frame_due = ms * 30 / 1_000 != (ms + 1) * 30 / 1_000;
        if !frame_due {
            return;
        }
        let bps = match self.call.source {
            Source::Ladder => RUNGS[self.rung],
            Source::Elastic => self.congestion.estimate(),
            Source::AudioOnly => return,
        };
        let spread = 0.8 + 0.4 * self.random.share();
        self.video_frame((bps as f64 / 240.0 * spread) as u64);
    }

    fn video_frame(&mut self, bytes: u64) {
        let count = bytes.div_ceil(1_100).max(1);
        for _ in 0..count {
            self.pacer.push_back((bytes / count) as usize);
        }
    }

    fn pace(&mut self, ms: u64) {
        self.budget_bits += self.congestion.pacing_rate() as i64 / 1_000;
        while self.budget_bits > 0 {
            let Some(size) = self.pacer.pop_front() else {
                self.budget_bits = 0;
                break;
            };
            self.budget_bits -= size as i64 * 8;
            self.send(size, SentKind::Media, ms);
        }
    }

    fn pad(&mut self, ms: u64) {
        let now = self.at(ms * 1_000);
        let mut due = self.congestion.probe(now).map_or(0, |probe| probe.bytes);
        while due > 0 {
            let size = due.clamp(100, 1_100);
            self.send(size, SentKind::Probe, ms);
            self.record.padding_bytes += size as u64;
            due = due.saturating_sub(size);
        }
    }

    fn send(&mut self, size: usize, kind: SentKind, ms: u64) {
        let number = self.congestion.next_sequence();
        let now_us = ms * 1_000;
        self.congestion.on_sent(size, kind, self.at(now_us));
        self.record.sent_bytes += size as u64;
        self.record.packets += 1;
        match self.call.link.send(size, now_us) {
            Outcome::Lost => self.record.lost += 1,
            Outcome::Arrives { at_us, queued_us } => {
                self.flying.insert((at_us, self.record.packets), number);
                self.record.queued_us.push(queued_us);
            }
        }
    }
}

impl Record {
    fn between(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| (from_ms..to_ms).contains(&sample.at_ms))
    }

    /// Milliseconds after `from_ms` until `met` holds.
    pub(crate) fn time_to(&self, from_ms: u64, met: impl Fn(&Sample) -> bool) -> u64 {
        let found = self.between(from_ms, u64::MAX).find(|sample| met(sample));
        found.map_or(u64::MAX, |sample| sample.at_ms - from_ms)
    }

    /// Average estimate over capacity.
    pub(crate) fn utilization(&self, from_ms: u64, to_ms: u64) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for sample in self.between(from_ms, to_ms) {
            sum += sample.estimate as f64 / sample.capacity as f64;
            count += 1.0;
        }
        sum / count
    }

    pub(crate) fn lowest(&self, from_ms: u64, to_ms: u64) -> u64 {
        self.between(from_ms, to_ms).map(|sample| sample.estimate).min().unwrap_or(0)
    }

    pub(crate) fn highest(&self, from_ms: u64, to_ms: u64) -> u64 {
        self.between(from_ms, to_ms).map(|sample| sample.estimate).max().unwrap_or(0)
    }

    /// Share of the time on a rung.
    pub(crate) fn at_rung(&self, rung: usize, from_ms: u64, to_ms: u64) -> f64 {
        let (mut top, mut count) = (0.0, 0.0);
        for sample in self.between(from_ms, to_ms) {
            top += f64::from(u8::from(sample.rung == rung));
            count += 1.0;
        }
        top / count
    }

    pub(crate) fn switches(&self) -> usize {
        self.samples.windows(2).filter(|pair| pair[0].rung != pair[1].rung).count()
    }

    /// Share of the bytes that were padding.
    pub(crate) fn padding(&self) -> f64 {
        self.padding_bytes as f64 / self.sent_bytes as f64
    }

    pub(crate) fn queue_p95_ms(&self) -> f64 {
        let mut sorted = self.queued_us.clone();
        sorted.sort_unstable();
        sorted[sorted.len() * 95 / 100] as f64 / 1_000.0
    }
}
