//! Transport-wide feedback of one peer: what arrived, and when telling it is worth a message.
//! Called per packet with a transport-wide number, and whenever the peer is served.

use std::time::{Duration, Instant};

use proto::rtcp::TwccRecorder;

/// Bytes of media that a feedback message is worth: it takes about 68 bytes with all headers and
/// may take 5 % of the bandwidth (libwebrtc's `RemoteEstimatorProxy`). Above 220 kbit/s that is a
/// message every time the peer is served.
const WORTH_BYTES: u32 = 68 * 20;
/// And no arrival waits longer than 250 ms (the same source): a peer is served every 50 ms.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// The arrivals of one peer that were not told yet.
pub(crate) struct Arrivals {
    recorder: TwccRecorder,
    bytes: u32,
    /// The oldest of them.
    since: Option<Instant>,
}

impl Arrivals {
    /// None so far.
    pub(crate) fn new() -> Self {
        Self { recorder: TwccRecorder::new(), bytes: 0, since: None }
    }

    /// The packet with transport-wide `sequence` arrived, a datagram of `len` bytes.
    pub(crate) fn record(&mut self, sequence: u16, len: usize, now: Instant) {
        self.recorder.record(sequence, now);
        self.bytes = self.bytes.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
        self.since.get_or_insert(now);
    }

    /// Whether to tell now.
    pub(crate) fn due(&self, now: Instant) -> bool {
        let waited = self.since.map(|since| now.saturating_duration_since(since));
        self.recorder.pending()
            && (self.bytes >= WORTH_BYTES || waited.is_some_and(|waited| waited >= WAIT_MAX))
    }

    /// Writes one message as [`TwccRecorder::write_feedback`] does; 0 when everything was told.
    pub(crate) fn write(
        &mut self,
        sender: u32,
        media: u32,
        slot: &mut [u8],
        base: Instant,
    ) -> usize {
        (self.bytes, self.since) = (0, None);
        self.recorder.write_feedback(sender, media, slot, base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_publisher_is_told_at_once_and_a_quiet_one_four_times_a_second() {
        let start = Instant::now();
        for (bytes, every_ms, told) in [(1_200, 5, 40), (1_100, 25, 40), (100, 20, 8), (50, 400, 5)]
        {
            let (mut arrivals, mut slot) = (Arrivals::new(), [0; 1_400]);
            let (mut messages, mut next, mut number) = (0, 0, 0u16);
            for service in 1..=40u64 {
                while next <= service * 50 {
                    let now = start + Duration::from_millis(next);
                    arrivals.record(number, bytes, now);
                    (number, next) = (number + 1, next + every_ms);
                }
                let now = start + Duration::from_millis(service * 50);
                if arrivals.due(now) {
                    assert!(arrivals.write(1, 2, &mut slot, start) > 0);
                    messages += 1;
                }
            }
            assert_eq!(messages, told, "{bytes} bytes every {every_ms} ms");
        }
    }

    #[test]
    fn nothing_is_told_twice_and_nothing_of_nothing() {
        let start = Instant::now();
        let (mut arrivals, mut slot) = (Arrivals::new(), [0; 1_400]);
        assert!(!arrivals.due(start + WAIT_MAX));
        arrivals.record(7, 2_000, start);
        arrivals.record(7, 2_000, start);
        assert!(arrivals.due(start));
        assert!(arrivals.write(1, 2, &mut slot, start) > 0);
        assert!(!arrivals.due(start + WAIT_MAX * 2));
        assert_eq!(arrivals.write(1, 2, &mut slot, start), 0);
    }
}
