//! What a subscriber says back, as often as browsers do: a receiver report each second, and
//! transport-wide feedback after the rule of libwebrtc's `RemoteEstimatorProxy` (5 % of the received
//! rate, 50 to 250 ms apart). Called by `subscriber`; writes plain RTCP, the caller protects it.

use std::time::{Duration, Instant};

use proto::rtcp::{CompoundWriter, ReportBlock, TwccRecorder};

/// Distance of two receiver reports (RFC 3550 section 6.2 at a browser's rates).
const REPORT: Duration = Duration::from_secs(1);
/// libwebrtc `kMinInterval` and `kMaxInterval`.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(250);
/// libwebrtc: bits of one feedback message with its headers, and the share of the rate they take.
const MESSAGE_BITS: f64 = 68.0 * 8.0;
const SHARE: f64 = 0.05;

/// The state of one subscriber's feedback.
pub(crate) struct Feedback {
    ssrc: u32,
    recorder: TwccRecorder,
    base: Instant,
    next_report: Instant,
    next_message: Instant,
    last_message: Instant,
    bytes: usize,
}

impl Feedback {
    /// Feedback of the receiver `ssrc`; `phase` (0 to 1) spreads the reports of many.
    pub(crate) fn new(ssrc: u32, phase: f64, now: Instant) -> Self {
        Self {
            ssrc,
            recorder: TwccRecorder::new(),
            base: now,
            next_report: now + REPORT.mul_f64(phase),
            next_message: now + SHORTEST,
            last_message: now,
            bytes: 0,
        }
    }

    /// Notes an arrived packet; `sequence` is its transport-wide number, if it has one.
    pub(crate) fn note(&mut self, len: usize, sequence: Option<u16>, now: Instant) {
        self.bytes += len;
        if let Some(sequence) = sequence {
            self.recorder.record(sequence, now);
        }
    }

    /// Writes what is due into `slot`; returns its length, 0 when nothing is.
    pub(crate) fn write(
        &mut self,
        blocks: impl FnOnce() -> Vec<ReportBlock>,
        slot: &mut [u8],
        now: Instant,
    ) -> usize {
        if now >= self.next_report {
            self.next_report = now + REPORT;
            let mut writer = CompoundWriter::new(slot);
            writer.receiver_report(self.ssrc, &blocks());
            return writer.finish();
        }
        if now >= self.next_message && self.recorder.pending() {
            let rate = 8.0 * self.bytes as f64 / (now - self.last_message).as_secs_f64().max(0.001);
            let wanted = Duration::from_secs_f64(MESSAGE_BITS / (SHARE * rate).max(1.0));
            self.next_message = now + wanted.clamp(SHORTEST, LONGEST);
            (self.last_message, self.bytes) = (now, 0);
            return self.recorder.write_feedback(self.ssrc, self.ssrc, slot, self.base);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_come_each_second_and_messages_with_the_rate() {
        let start = Instant::now();
        let mut feedback = Feedback::new(1, 0.5, start);
        let (mut reports, mut messages) = (0, 0);
        for ms in 0..2_000u32 {
            let now = start + Duration::from_millis(u64::from(ms));
            if ms % 4 == 0 {
                feedback.note(1_200, Some(ms as u16 / 4), now);
            }
            let mut slot = [0; 1_200];
            match feedback.write(Vec::new, &mut slot, now) {
                0 => {}
                // RFC 3550 section 12.1: 201 is a receiver report.
                _ if slot[1] == 201 => reports += 1,
                _ => messages += 1,
            }
        }
        assert_eq!(reports, 2);
        assert!((38..=40).contains(&messages), "{messages}");
    }
}
