//! Receive statistics of one encoding for receiver reports (RFC 3550 section 6.4.1, A.3, A.8).

use std::time::{Duration, Instant};

use proto::rtcp::ReportBlock;

/// What was received of one encoding since its sequence numbers started.
#[derive(Default)]
pub(crate) struct Reception {
    first: Option<u64>,
    newest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    /// RTP clock units, scaled by 16 as in RFC 3550 A.8.
    jitter: u32,
    transit: Option<(Instant, u32)>,
    last_report: Option<(u32, Instant)>,
}

impl Reception {
    /// Newest extended sequence number, if any packet arrived.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.first.map(|_| self.newest)
    }

    /// Counts a packet. `clock_rate` in Hz.
    pub(crate) fn on_packet(
        &mut self,
        sequence: u64,
        timestamp: u32,
        clock_rate: u32,
        now: Instant,
    ) {
        if self.first.is_none() {
            self.first = Some(sequence);
            self.newest = sequence;
        }
        self.received += 1;
        self.newest = self.newest.max(sequence);
        if let Some((arrival, sent)) = self.transit {
            let waited = now.saturating_duration_since(arrival).as_micros() as u64;
            let waited = (waited * u64::from(clock_rate) / 1_000_000) as u32;
            let difference = waited.wrapping_sub(timestamp.wrapping_sub(sent)) as i32;
            let difference = difference.unsigned_abs();
            if difference < clock_rate {
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

    /// The report block of `ssrc`; the fraction lost covers the time since the last call.
    pub(crate) fn report(&mut self, ssrc: u32, now: Instant) -> Option<ReportBlock> {
        let expected = self.newest - self.first? + 1;
        let expected_now = expected - self.expected_before;
        let received_now = self.received - self.received_before;
        (self.expected_before, self.received_before) = (expected, self.received);
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction_lost = (lost_now * 256).checked_div(expected_now).unwrap_or(0).min(255) as u8;
        let (last_sender_report, delay) = self
            .last_report
            .map_or((0, 0), |(ntp, at)| (ntp, in_65536ths(now.saturating_duration_since(at))));
        Some(ReportBlock {
            ssrc,
            fraction_lost,
            cumulative_lost: expected.saturating_sub(self.received).min(0x7f_ffff) as i32,
            highest_sequence: self.newest as u32,
            jitter: self.jitter >> 4,
            last_sender_report,
            delay_since_last: delay,
        })
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
        let block = reception.report(7, start).expect("packets came");
        assert_eq!((block.cumulative_lost, block.highest_sequence), (24, 1099));
        assert_eq!(block.fraction_lost, (24 * 256 / 99) as u8);
        for sequence in 1100..1110 {
            reception.on_packet(sequence, 0, 90_000, start);
        }
        let block = reception.report(7, start).expect("packets came");
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
        assert_eq!(even.report(1, start).expect("packets came").jitter, 0);
        let jitter = uneven.report(1, start).expect("packets came").jitter;
        assert!((200..=240).contains(&jitter), "5 ms are 240 units, got {jitter}");
    }

    #[test]
    fn the_delay_since_the_last_sender_report_is_in_65536ths() {
        let start = Instant::now();
        let mut reception = Reception::default();
        reception.on_packet(1, 0, 90_000, start);
        reception.on_sender_report(0x1122_3344_5566_7788, start);
        let block = reception.report(1, start + Duration::from_millis(500)).expect("packets");
        assert_eq!(block.last_sender_report, 0x3344_5566);
        assert_eq!(block.delay_since_last, 32_768);
    }
}
