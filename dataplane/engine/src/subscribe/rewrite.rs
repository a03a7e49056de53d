//! One continuous sequence number and timestamp line towards a subscriber, across changes of its
//! source. A change starts a new segment right after the highest number sent so far; packets that
//! belong before the segment's first one are not forwarded. So no outbound index is ever used for
//! two different packets (RFC 3711 section 9.1).

use std::time::{Duration, Instant};

use crate::kit::packet::Packet;

/// The numbers of one outbound stream.
pub(crate) struct Rewrite {
    /// Encoding and epoch that are shown; None before the first packet.
    source: Option<(u8, u32)>,
    /// First source number of the segment.
    first: u64,
    /// Outbound minus source number, wrapping.
    sequence_offset: u64,
    /// Outbound minus source timestamp, wrapping.
    timestamp_offset: u32,
    /// Highest outbound index used.
    newest: u64,
    newest_timestamp: u32,
    newest_at: Option<Instant>,
}

/// Least distance between the timestamps of two segments: a 30 fps frame.
const STEP_MIN: Duration = Duration::from_millis(33);

impl Rewrite {
    /// Starts right after `sequence` and at `timestamp`. The first number is kept below 2^15: the
    /// receiver's roll-over counter starts at 0 (RFC 3711 section 3.3.1), early losses must not
    /// hide a wrap.
    pub(crate) fn new(sequence: u16, timestamp: u32) -> Self {
        Self {
            source: None,
            first: 0,
            sequence_offset: 0,
            timestamp_offset: 0,
            newest: u64::from(sequence & 0x7fff),
            newest_timestamp: timestamp,
            newest_at: None,
        }
    }

    /// Whether `packet` belongs to the source that is shown.
    pub(crate) fn shows(&self, packet: &Packet) -> bool {
        self.source == Some((packet.encoding, packet.epoch))
    }

    /// The encoding that is shown.
    pub(crate) fn encoding(&self) -> Option<u8> {
        self.source.map(|(encoding, _)| encoding)
    }

    /// The index of the next packet.
    pub(crate) fn next(&self) -> u64 {
        self.newest + 1
    }

    /// The track changed: whatever comes next is another source.
    pub(crate) fn forget_source(&mut self) {
        self.source = None;
    }

    /// Starts a new segment with `packet` as its first. `clock_rate` in Hz.
    pub(crate) fn begin(&mut self, packet: &Packet, clock_rate: u32, now: Instant) {
        let timestamp = match self.newest_at {
            None => self.newest_timestamp,
            Some(at) => {
                let step = now.saturating_duration_since(at).max(STEP_MIN);
                let ticks = step.as_micros() * u128::from(clock_rate) / 1_000_000;
                self.newest_timestamp.wrapping_add(ticks as u32)
            }
        };
        self.source = Some((packet.encoding, packet.epoch));
        self.first = packet.sequence;
        self.sequence_offset = (self.newest + 1).wrapping_sub(packet.sequence);
        self.timestamp_offset = timestamp.wrapping_sub(packet.timestamp);
    }

    /// The outbound index and timestamp of `packet`, which must be of the shown source; None when
    /// it belongs before the segment.
    pub(crate) fn map(&mut self, packet: &Packet, now: Instant) -> Option<(u64, u32)> {
        if packet.sequence < self.first {
            return None;
        }
        let index = packet.sequence.wrapping_add(self.sequence_offset);
        let timestamp = packet.timestamp.wrapping_add(self.timestamp_offset);
        if index > self.newest {
            self.newest = index;
            self.newest_timestamp = timestamp;
            self.newest_at = Some(now);
        }
        Some((index, timestamp))
    }

    /// An RTP timestamp of the shown source in the outbound clock.
    pub(crate) fn timestamp(&self, source: u32) -> u32 {
        source.wrapping_add(self.timestamp_offset)
    }

    /// Outbound index and source number of the packet that was sent with `sequence`; None when it
    /// is not of the current segment.
    pub(crate) fn sent_as(&self, sequence: u16) -> Option<(u64, u64)> {
        self.source?;
        let index = proto::rtp::extend(self.newest, sequence);
        let source = index.wrapping_sub(self.sequence_offset);
        (index <= self.newest && source >= self.first && source <= self.source_newest())
            .then_some((index, source))
    }

    fn source_newest(&self) -> u64 {
        self.newest.wrapping_sub(self.sequence_offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn packet(encoding: u8, sequence: u64, timestamp: u32) -> Packet {
        Packet { encoding, sequence, timestamp, ..Packet::blank() }
    }

    #[test]
    fn numbers_are_continuous_across_a_switch() {
        let start = Instant::now();
        let mut rewrite = Rewrite::new(100, 5_000);
        rewrite.begin(&packet(0, 70_000, 9_000), 90_000, start);
        assert_eq!(rewrite.map(&packet(0, 70_000, 9_000), start), Some((101, 5_000)));
        assert_eq!(rewrite.map(&packet(0, 70_002, 12_000), start), Some((103, 8_000)));
        assert_eq!(rewrite.map(&packet(0, 69_999, 0), start), None, "before the segment");
        let later = start + Duration::from_millis(100);
        rewrite.begin(&packet(1, 5, 77), 90_000, later);
        assert_eq!(rewrite.map(&packet(1, 5, 77), later), Some((104, 17_000)));
        assert_eq!(rewrite.sent_as(104), Some((104, 5)));
        assert_eq!(rewrite.sent_as(103), None, "of the segment before");
        assert_eq!(rewrite.sent_as(105), None, "not sent yet");
    }

    proptest! {
        /// Whatever arrives in whatever order from whatever source: one index, one packet.
        #[test]
        fn no_index_is_used_for_two_packets(
            seed in any::<u16>(),
            steps in prop::collection::vec((0u8..3, 0u64..200, any::<bool>()), 1..400),
        ) {
            let start = Instant::now();
            let mut rewrite = Rewrite::new(seed, 0);
            let mut used: HashMap<u64, (u8, u64)> = HashMap::new();
            let mut nth = 0u8;
            for (encoding, sequence, switch) in steps {
                let mut sent = packet(encoding, 65_400 + sequence, 0);
                if switch && !rewrite.shows(&sent) {
                    nth += 1;
                    rewrite.begin(&sent, 90_000, start);
                }
                if !rewrite.shows(&sent) {
                    continue;
                }
                sent.encoding = encoding;
                if let Some((index, _)) = rewrite.map(&sent, start) {
                    let owner = used.entry(index).or_insert((nth, sent.sequence));
                    prop_assert_eq!(*owner, (nth, sent.sequence));
                    prop_assert_eq!(rewrite.sent_as(index as u16), Some((index, sent.sequence)));
                }
            }
        }
    }
}
