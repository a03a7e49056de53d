//! What a subscriber saw of one stream: how many packets, how many were missing, whose they were.
//! Kept by `subscriber`; read by `generator` at the ends of the measured time.

use common::media::MediaKind;
use proto::rtcp::ReportBlock;

/// Sequence numbers of one received stream within the measured time.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Count {
    pub(crate) received: u64,
    first: u64,
    highest: Option<u64>,
}

impl Count {
    /// Counts a packet by the sequence number in its header.
    pub(crate) fn note(&mut self, sequence: u16) {
        self.received += 1;
        let Some(highest) = self.highest else {
            // Room below for packets that come late.
            self.first = u64::from(sequence) + (1 << 16);
            self.highest = Some(self.first);
            return;
        };
        let ahead = i64::from(sequence.wrapping_sub(highest as u16) as i16);
        self.highest = Some(highest.max(highest.saturating_add_signed(ahead)));
    }

    /// Packets that were sent between the first and the last received one.
    pub(crate) fn expected(&self) -> u64 {
        self.highest.map_or(0, |highest| highest - self.first + 1)
    }
}

/// One stream that a subscriber receives.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) ssrc: u32,
    pub(crate) kind: MediaKind,
    pub(crate) count: Count,
    /// Whose stream it is by the first payload that was opened; later ones must agree.
    pub(crate) bound: Option<u32>,
    /// Packets since it began: decides which are opened.
    pub(crate) place: u64,
}

impl Stream {
    /// A stream of which nothing arrived yet.
    pub(crate) fn new(ssrc: u32, kind: MediaKind) -> Self {
        Self { ssrc, kind, count: Count::default(), bound: None, place: 0 }
    }

    /// The report block that a receiver without losses writes.
    pub(crate) fn report(&self) -> ReportBlock {
        let highest_sequence = self.count.highest.map_or(0, |highest| highest as u32);
        ReportBlock { ssrc: self.ssrc, highest_sequence, ..ReportBlock::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_seen_across_the_wrap_and_late_packets_fill_them() {
        let mut count = Count::default();
        for sequence in [65_533, 65_534, 0, 65_535, 3] {
            count.note(sequence);
        }
        assert_eq!((count.received, count.expected()), (5, 7));
        assert_eq!(Count::default().expected(), 0);
    }
}
