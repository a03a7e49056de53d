//! Receive statistics of one encoding for receiver reports (RFC 3550 section 6.4.1, A.3, A.8).

use std::time::{Duration, Instant};

use proto::rtcp::ReportBlock;

/// What was received of one encoding since its sequence numbers started.
#[derive(Default)]
pub(crate) struct Reception {
    first: Option<u64>,
    newest: u64,
    /// Packets that came by themselves: retransmissions repair losses, they do not undo them.
    received: u64,
    expected_before: u64,
    received_before: u64,
    /// RTP clock units, scaled by 16 as in RFC 3550 A.8.
    jitter: u32,
    /// Arrival and RTP timestamp of the newest frame's first packet.
    transit: Option<(Instant, u32)>,
    last_report: Option<(u32, Instant)>,
    reported: Reported,
}

/// How much of the stream the last report of it covered.
#[derive(Default, PartialEq, Eq)]
enum Reported {
    #[default]
    Nothing,
    /// Its packets, before the first sender report of it.
    Packets,
    /// Its sender reports too: the publisher knows its round-trip time.
    Clock,
}

/// Packets of one stream since the last report.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    /// Packets that should have come.
    pub expected: u64,
    /// Those of them that did not.
    pub lost: u64,
}

impl Reception {
    /// Newest extended sequence number, if any packet arrived.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.first.map(|_| self.newest)
    }

    /// Counts a packet that was not asked for. `clock_rate` in Hz.
    pub(crate) fn on_packet(
        &mut self,
        sequence: u64,
        timestamp: u32,
        clock_rate: u32,
        now: Instant,
    ) {
        self.received += 1;
        if self.advance(sequence) {
            self.on_transit(timestamp, clock_rate, now);
        }
    }

    /// Notes a packet that came as an answer: it shows how far the stream is, no more.
    pub(crate) fn on_repeated(&mut self, sequence: u64) {
        self.advance(sequence);
    }

    /// Returns whether `sequence` is the newest.
    fn advance(&mut self, sequence: u64) -> bool {
        let newer = self.first.is_none() || sequence > self.newest;
        if self.first.is_none() {
            self.first = Some(sequence);
        }
        self.newest = self.newest.max(sequence);
        newer
    }

    /// Interarrival jitter (RFC 3550 section 6.4.1) over the first packets of frames that come in
    /// order: how a publisher spreads the packets of one frame is not the path's doing.
    fn on_transit(&mut self, timestamp: u32, clock_rate: u32, now: Instant) {
        if let Some((arrival, sent)) = self.transit {
            if sent == timestamp {
                return;
            }
            let units = |waited: Duration| waited.as_micros() as i64 * i64::from(clock_rate);
            let waited = units(now.saturating_duration_since(arrival))
                - units(arrival.saturating_duration_since(now));
            let between = i64::from(timestamp.wrapping_sub(sent) as i32);
            let difference = (waited / 1_000_000 - between).unsigned_abs();
            if let Some(difference) = u32::try_from(difference).ok().filter(|d| *d < clock_rate) {
                let decay = (self.jitter + 8) >> 4;
                self.jitter = self.jitter.saturating_add(difference).saturating_sub(decay);
            }
        }
        self.transit = Some((now, timestamp));
    }

    /// Remembers a sender report: the middle 32 bits of its NTP timestamp.
    pub(crate) fn on_sender_report(&mut self, ntp: u64, now: Instant) {
        self.last_report = Some(((ntp >> 16) as u32, now));
    }

    /// Whether a report is worth sending before its time: the publisher has had none of this
    /// stream, or none from which it learns its round-trip time.
    pub(crate) fn is_unreported(&self) -> bool {
        match self.reported {
            Reported::Nothing => self.first.is_some(),
            Reported::Packets => self.last_report.is_some(),
            Reported::Clock => false,
        }
    }

    /// The report block of `ssrc`, and what it says in packets; both cover the time since the last
    /// call.
    pub(crate) fn report(&mut self, ssrc: u32, now: Instant) -> Option<(ReportBlock, Tally)> {
        let expected = self.newest - self.first? + 1;
        let tally = Tally {
            expected: expected - self.expected_before,
            lost: (expected - self.expected_before)
                .saturating_sub(self.received - self.received_before),
        };
        (self.expected_before, self.received_before) = (expected, self.received);
        let fraction_lost = (tally.lost * 256).checked_div(tally.expected).unwrap_or(0).min(255);
        let cumulative_lost = expected as i64 - self.received as i64;
        let (last_sender_report, delay) = self
            .last_report
            .map_or((0, 0), |(ntp, at)| (ntp, in_65536ths(now.saturating_duration_since(at))));
        self.reported =
            if self.last_report.is_some() { Reported::Clock } else { Reported::Packets };
        let block = ReportBlock {
            ssrc,
            fraction_lost: fraction_lost as u8,
            cumulative_lost: cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: self.newest as u32,
            jitter: self.jitter >> 4,
            last_sender_report,
            delay_since_last: delay,
        };
        Some((block, tally))
    }
}

/// Units of RFC 3550's DLSR field: 1/65536 s.
fn in_65536ths(duration: Duration) -> u32 {
    (duration.as_micros() * 65_536 / 1_000_000).min(u128::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_counted_per_report_and_in_sum() {
        let start = Instant::now();
        let mut reception = Reception::default();
        for sequence in (1000..1100).filter(|sequence| sequence % 4 != 0) {
            reception.on_packet(sequence, 0, 90_000, start);
        }
        // 1000 is missing but was never expected: the first one seen is 1001.
        let (block, _) = reception.report(7, start).expect("packets came");
        assert_eq!((block.cumulative_lost, block.highest_sequence), (24, 1099));
        assert_eq!(block.fraction_lost, (24 * 256 / 99) as u8);
        for sequence in 1100..1110 {
            reception.on_packet(sequence, 0, 90_000, start);
        }
        let (block, _) = reception.report(7, start).expect("packets came");
        assert_eq!((block.cumulative_lost, block.fraction_lost), (24, 0));
    }

    #[test]
    fn an_even_stream_has_no_jitter_and_an_uneven_one_has() {
        let start = Instant::now();
        let (mut even, mut uneven) = (Reception::default(), Reception::default());
        for n in 0..200u32 {
            let sent = start + Duration::from_millis(20) * n;
            even.on_packet(n.into(), n * 960, 48_000, sent);
            let late = Duration::from_millis(if n % 2 == 0 { 0 } else { 5 });
            uneven.on_packet(n.into(), n * 960, 48_000, sent + late);
        }
        assert_eq!(even.report(1, start).expect("packets came").0.jitter, 0);
        let jitter = uneven.report(1, start).expect("packets came").0.jitter;
        assert!((200..=240).contains(&jitter), "5 ms are 240 units, got {jitter}");
    }

    #[test]
    fn the_delay_since_the_last_sender_report_is_in_65536ths() {
        let start = Instant::now();
        let mut reception = Reception::default();
        reception.on_packet(1, 0, 90_000, start);
        reception.on_sender_report(0x1122_3344_5566_7788, start);
        let half = start + Duration::from_millis(500);
        let (block, _) = reception.report(1, half).expect("packets");
        assert_eq!(block.last_sender_report, 0x3344_5566);
        assert_eq!(block.delay_since_last, 32_768);
    }

    #[test]
    fn what_is_sent_again_is_lost_and_disturbs_no_jitter() {
        let start = Instant::now();
        let mut reception = Reception::default();
        for n in 0..200u32 {
            let now = start + Duration::from_millis(20) * n;
            if n % 10 != 5 {
                reception.on_packet(n.into(), n * 960, 48_000, now);
            }
            if n % 10 == 9 {
                reception.on_repeated(u64::from(n) - 4);
            }
        }
        let (block, tally) = reception.report(1, start).expect("packets came");
        assert_eq!((block.cumulative_lost, tally), (20, Tally { expected: 200, lost: 20 }));
        assert_eq!(block.jitter, 0);
    }

    #[test]
    fn a_straggler_is_no_loss_and_disturbs_no_jitter() {
        let start = Instant::now();
        let mut reception = Reception::default();
        for (n, late) in [(0u32, 0), (2, 0), (1, 25), (3, 0), (5, 0), (4, 29), (6, 0)] {
            let now = start + Duration::from_millis(20) * n + Duration::from_millis(late);
            reception.on_packet(n.into(), n * 1_800, 90_000, now);
        }
        let (block, tally) = reception.report(1, start).expect("packets came");
        assert_eq!((block.jitter, tally), (0, Tally { expected: 7, lost: 0 }));
    }

    #[test]
    fn the_packets_of_a_frame_may_be_spread() {
        let start = Instant::now();
        let mut reception = Reception::default();
        for n in 0..200u32 {
            let now = start + Duration::from_millis(20) * n;
            for packet in 0..3 {
                let spread = now + Duration::from_millis(5 * u64::from(packet));
                reception.on_packet(u64::from(3 * n + packet), n * 1_800, 90_000, spread);
            }
        }
        assert_eq!(reception.report(1, start).expect("packets came").0.jitter, 0);
    }

    #[test]
    fn what_came_more_often_than_expected_counts_negative() {
        let start = Instant::now();
        let mut reception = Reception::default();
        for sequence in [10, 11, 9, 8, 12] {
            reception.on_packet(sequence, 0, 90_000, start);
        }
        let (block, _) = reception.report(1, start).expect("packets came");
        assert_eq!((block.cumulative_lost, block.fraction_lost), (-2, 0));
    }

    #[test]
    fn an_early_report_is_worth_it_for_the_first_packets_and_the_first_clock() {
        let start = Instant::now();
        let mut reception = Reception::default();
        assert!(!reception.is_unreported());
        reception.on_packet(1, 0, 90_000, start);
        assert!(reception.is_unreported());
        reception.report(1, start);
        assert!(!reception.is_unreported());
        reception.on_sender_report(1 << 40, start);
        assert!(reception.is_unreported());
        reception.report(1, start);
        reception.on_sender_report(2 << 40, start);
        assert!(!reception.is_unreported());
    }
}
