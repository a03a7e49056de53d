//! Turns a transport-wide feedback message into packets with a send and an arrival time
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).
//!
//! Called by the controller, once per message. Must never let a message do more work than reading
//! [`STATUSES_MAX`] statuses, nor count a packet twice.

use super::sent::{Fate, SENT_MAX, Sent, SentRing};
use crate::rtcp::{TwccIter, TwccView};

/// Most statuses of a message that is read. Chosen: twice what is remembered; a larger message is
/// about packets that are long forgotten.
pub(super) const STATUSES_MAX: u64 = 2 * SENT_MAX;

/// Packets that were sent at one instant and arrived at one: a frame on a fast path. Packets of a
/// probe stand alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Arrival {
    /// Microseconds on the receiver's clock; only differences mean something.
    pub(super) arrival_us: i64,
    pub(super) sent_us: i64,
    /// Bytes of all of them.
    pub(super) size: u32,
    pub(super) packets: u16,
    /// The probe cluster it belongs to, 0 for none.
    pub(super) cluster: u8,
}

impl Arrival {
    /// Whether `other`, which was sent and arrived no earlier, is of the same instants.
    fn is_with(&self, other: &Arrival) -> bool {
        self.arrival_us == other.arrival_us
            && self.sent_us == other.sent_us
            && self.cluster | other.cluster == 0
    }
}

/// What a part of a message says in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    /// Bytes and packets whose fate became known, lost ones included.
    pub(super) bytes: u64,
    pub(super) packets: u64,
    /// Those of them that were lost.
    pub(super) lost_bytes: u64,
    pub(super) lost_packets: u64,
    /// Bytes that had been reported lost and arrived after all.
    pub(super) found_bytes: u64,
    /// First and last send time of the packets whose fate became known.
    sent_us: (i64, i64),
}

impl Tally {
    const NOTHING: Self = Self {
        bytes: 0,
        packets: 0,
        lost_bytes: 0,
        lost_packets: 0,
        found_bytes: 0,
        sent_us: (i64::MAX, i64::MIN),
    };

    #[inline]
    fn count(&mut self, packet: &Sent, arrived: bool) {
        let bytes = u64::from(packet.size);
        if packet.fate == Fate::Unknown {
            self.bytes += bytes;
            self.packets += 1;
            let (first, last) = self.sent_us;
            // Many packets share one instant.
            if packet.sent_us != last {
                self.sent_us = (first.min(packet.sent_us), last.max(packet.sent_us));
            }
        }
        if !arrived {
            self.lost_bytes += bytes;
            self.lost_packets += 1;
        } else if packet.fate == Fate::Lost {
            self.found_bytes += bytes;
        }
    }

    /// Counts packets that arrived and left with the one before, which is counted.
    fn count_twins(&mut self, bytes: u32, packets: u16, sent_us: i64) {
        if packets != 0 {
            self.bytes += u64::from(bytes);
            self.packets += u64::from(packets);
            self.sent_us = (self.sent_us.0.min(sent_us), self.sent_us.1.max(sent_us));
        }
    }

    /// First and last send time of the packets whose fate became known, if there are any.
    pub(super) fn sent_us(&self) -> Option<(i64, i64)> {
        (self.packets != 0).then_some(self.sent_us)
    }

    /// A tally of losses only.
    #[cfg(test)]
    pub(super) fn of_bytes(bytes: u64, lost_bytes: u64, first_us: i64, last_us: i64) -> Self {
        Self { bytes, packets: 1, lost_bytes, sent_us: (first_us, last_us), ..Self::NOTHING }
    }
}

/// Part of what a message says; filled by [`Walk::next_batch`].
#[derive(Debug)]
pub(super) struct Batch {
    arrivals: [Arrival; Batch::ARRIVALS_MAX],
    len: usize,
    pub(super) tally: Tally,
    /// Bytes no message will tell about, taken for arrived.
    pub(super) credit_bytes: u64,
}

impl Batch {
    /// Chosen: two messages' worth of 50 ms at 5 Mbit/s, of which four packets at a time arrive
    /// together; longer messages come in parts.
    const ARRIVALS_MAX: usize = 16;

    /// Nothing.
    pub(super) fn new() -> Self {
        Self {
            arrivals: [Arrival::default(); Self::ARRIVALS_MAX],
            len: 0,
            tally: Tally::NOTHING,
            credit_bytes: 0,
        }
    }

    /// The packets that arrived, in the order of arrival.
    pub(super) fn arrivals(&self) -> &[Arrival] {
        self.arrivals.get(..self.len).unwrap_or_default()
    }

    /// Adds a packet; returns the arrival that it became or is part of, while there is room for the
    /// next.
    #[inline]
    fn add(&mut self, arrival: Arrival) -> Option<&mut Arrival> {
        let last = self.arrivals.get_mut(self.len.wrapping_sub(1));
        if let Some(last) = last.filter(|last| last.is_with(&arrival)) {
            last.size += arrival.size;
            last.packets += 1;
        } else if let Some(place) = self.arrivals.get_mut(self.len) {
            *place = arrival;
            self.len += 1;
        }
        self.arrivals.get_mut(..Self::ARRIVALS_MAX - 1)?.get_mut(self.len.wrapping_sub(1))
    }

    fn order(&mut self) {
        self.arrivals.get_mut(..self.len).unwrap_or_default().sort_unstable();
    }
}

/// What is kept from message to message.
#[derive(Clone, Debug, Default)]
pub(super) struct FeedbackReader {
    /// Reference time of the last message as it was written, and without its wraps.
    reference: Option<(i64, i64)>,
    /// The first number no message covered yet.
    uncovered: u64,
}

impl FeedbackReader {
    /// Starts reading `view`; None when it is about nothing that is remembered.
    pub(super) fn start<'a>(
        &mut self,
        view: &TwccView<'a>,
        sent: &mut SentRing,
        now_us: i64,
    ) -> Option<Walk<'a>> {
        let count = u64::from(view.status_count());
        let base = sent.extend(view.base_sequence());
        // A client that has begun a new transport (it closed the first section of its bundle) keeps one
        // list of numbers for all of them: libwebrtc takes a number that it had on the old one for a
        // repeat, and reports it with the old arrival. So ours go on behind the last of the list.
        if base + count > sent.next() && !sent.is_empty() {
            sent.skip_to(base + count);
        }
        if count > STATUSES_MAX || base >= sent.next() || base + count + SENT_MAX < sent.next() {
            return None;
        }
        let credit_bytes = self.credit(base, sent, now_us);
        self.uncovered = self.uncovered.max((base + count).min(sent.next()));
        Some(Walk {
            statuses: view.iter(),
            number: base,
            arrival_us: self.unwrap(view.reference_us()),
            credit_bytes,
            ended: false,
        })
    }

    /// Settles the packets a missing message was about and returns their bytes: the throughput
    /// they were part of did not stop because a message was lost.
    fn credit(&mut self, base: u64, sent: &mut SentRing, now_us: i64) -> u64 {
        let first = self.uncovered.max(sent.next().saturating_sub(SENT_MAX));
        let mut bytes = 0;
        for number in first..base {
            let Some(packet) = sent.find(number, now_us) else { continue };
            if packet.fate == Fate::Unknown {
                bytes += u64::from(packet.size);
                sent.settle(number, Fate::Settled);
            }
        }
        bytes
    }

    /// The reference time counts 64 ms in 24 bits and wraps every 12 days.
    fn unwrap(&mut self, reference_us: i64) -> i64 {
        let unwrapped = match self.reference {
            None => reference_us,
            Some((last, unwrapped)) => {
                let units = (reference_us - last) / REFERENCE_US;
                let unwrapped = unwrapped + (units << 40 >> 40) * REFERENCE_US;
                unwrapped.clamp(-REFERENCE_US_MAX, REFERENCE_US_MAX)
            }
        };
        self.reference = Some((reference_us, unwrapped));
        unwrapped
    }
}

/// Microseconds of one unit of reference time (draft section 3.1).
const REFERENCE_US: i64 = 64_000;
/// Far beyond any call; keeps what is added to it and taken from it within range.
const REFERENCE_US_MAX: i64 = 1 << 60;
/// Microseconds of one unit of a delta (draft section 3.1.5).
const DELTA_US: i64 = 250;

/// A message being read.
pub(super) struct Walk<'a> {
    statuses: TwccIter<'a>,
    number: u64,
    arrival_us: i64,
    credit_bytes: u64,
    ended: bool,
}

impl Walk<'_> {
    /// Makes `batch` the next part of the message; false at its end.
    pub(super) fn next_batch(
        &mut self,
        batch: &mut Batch,
        sent: &mut SentRing,
        now_us: i64,
    ) -> bool {
        if self.ended {
            return false;
        }
        (batch.len, batch.credit_bytes) = (0, std::mem::take(&mut self.credit_bytes));
        // Copies stay in registers.
        let (mut statuses, mut number) = (self.statuses.clone(), self.number);
        let (mut arrival_us, mut disordered) = (self.arrival_us, false);
        let mut tally = Tally::NOTHING;
        while batch.len < Batch::ARRIVALS_MAX {
            let Some((_, delta)) = statuses.next() else {
                self.ended = true;
                break;
            };
            arrival_us += delta.map_or(0, i64::from) * DELTA_US;
            disordered |= delta.is_some_and(i16::is_negative);
            let learnt = sent.learn(number, delta.is_some(), now_us);
            number += 1;
            let Some(packet) = learnt else { continue };
            tally.count(&packet, delta.is_some());
            if delta.is_some() {
                let Sent { sent_us, size, cluster, .. } = packet;
                let last = batch.add(Arrival { arrival_us, sent_us, size, packets: 1, cluster });
                if let Some(last) = last.filter(|_| cluster == 0) {
                    let (bytes, packets) = twins(&mut number, &mut statuses, sent);
                    last.size += bytes;
                    last.packets += packets;
                    tally.count_twins(bytes, packets, sent_us);
                }
            }
        }
        batch.tally = tally;
        (self.statuses, self.number, self.arrival_us) = (statuses, number, arrival_us);
        if disordered {
            batch.order();
        }
        true
    }
}

/// Takes the packets from `number` on that left and arrived with the one before: most of a frame on a
/// fast path. Returns their bytes and how many they are.
#[inline]
fn twins(number: &mut u64, statuses: &mut TwccIter<'_>, sent: &mut SentRing) -> (u32, u16) {
    let (mut bytes, first) = (0, *number);
    while let Some(size) = sent.twin(*number)
        && statuses.next_if_together()
    {
        sent.settle(*number, Fate::Settled);
        bytes += size;
        *number += 1;
    }
    (bytes, (*number - first) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{RtcpPacket, packets};

    /// A message of one received packet per entry of `deltas`, None for lost ones.
    fn message(base: u16, reference: u32, deltas: &[Option<u8>]) -> Vec<u8> {
        let mut bytes = vec![0x8F, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
        bytes.extend_from_slice(&base.to_be_bytes());
        bytes.extend_from_slice(&(deltas.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&reference.to_be_bytes()[1..]);
        bytes.push(0);
        for delta in deltas {
            let symbol = if delta.is_some() { 0x20 } else { 0 };
            bytes.extend_from_slice(&[symbol, 1]);
        }
        bytes.extend(deltas.iter().flatten());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let words = (bytes.len() / 4 - 1) as u16;
        bytes[2..4].copy_from_slice(&words.to_be_bytes());
        bytes
    }

    fn read(reader: &mut FeedbackReader, sent: &mut SentRing, bytes: &[u8]) -> Vec<Batch> {
        let Some(Ok(RtcpPacket::TransportFeedback(view))) = packets(bytes).next() else {
            panic!("not feedback")
        };
        let mut batches = Vec::new();
        if let Some(mut walk) = reader.start(&view, sent, 1_000_000) {
            batches.extend(std::iter::from_fn(|| {
                let mut batch = Batch::new();
                walk.next_batch(&mut batch, sent, 1_000_000).then_some(batch)
            }));
        }
        batches
    }

    fn sent(count: i64) -> SentRing {
        let mut sent = SentRing::new();
        for packet in 0..count {
            sent.push(100, 0, packet * 1_000);
        }
        sent
    }

    #[test]
    fn counts_every_packet_once() {
        let (mut reader, mut sent) = (FeedbackReader::default(), sent(10));
        let first = message(0, 5, &[Some(4), None, Some(8)]);
        let batches = read(&mut reader, &mut sent, &first);
        let [batch] = &batches[..] else { panic!("one batch") };
        assert_eq!(
            (batch.tally.packets, batch.tally.lost_packets, batch.tally.lost_bytes),
            (3, 1, 100)
        );
        let arrivals: Vec<_> =
            batch.arrivals().iter().map(|at| (at.arrival_us, at.sent_us)).collect();
        assert_eq!(arrivals, [(321_000, 0), (323_000, 2_000)]);
        let again = read(&mut reader, &mut sent, &first);
        assert_eq!((again[0].tally.packets, again[0].arrivals().len()), (0, 0), "repeated");
        let late = read(&mut reader, &mut sent, &message(1, 5, &[Some(40)]));
        assert_eq!(
            (late[0].tally.packets, late[0].tally.found_bytes),
            (0, 100),
            "arrived after all"
        );
    }

    #[test]
    fn what_left_and_arrived_together_is_one_arrival_and_probes_are_not() {
        let (mut reader, mut sent) = (FeedbackReader::default(), SentRing::new());
        for (cluster, sent_us) in [(0, 0), (0, 0), (0, 5_000), (2, 9_000), (2, 9_000), (0, 9_000)] {
            sent.push(100, cluster, sent_us);
        }
        let together = [Some(4), Some(0), Some(0), Some(8), Some(0), Some(0)];
        let batches = read(&mut reader, &mut sent, &message(0, 5, &together));
        let [batch] = &batches[..] else { panic!("one batch") };
        let tally = batch.tally;
        assert_eq!((tally.packets, tally.bytes, tally.sent_us()), (6, 600, Some((0, 9_000))));
        let arrivals: Vec<_> = batch.arrivals().iter().map(|at| (at.packets, at.size)).collect();
        assert_eq!(arrivals, [(2, 200), (1, 100), (1, 100), (1, 100), (1, 100)]);
    }

    #[test]
    fn a_missing_message_is_credited() {
        let (mut reader, mut sent) = (FeedbackReader::default(), sent(10));
        read(&mut reader, &mut sent, &message(0, 5, &[Some(0)]));
        let batches = read(&mut reader, &mut sent, &message(5, 5, &[Some(0)]));
        assert_eq!(batches[0].credit_bytes, 400);
        let late = read(&mut reader, &mut sent, &message(1, 5, &[Some(0); 4]));
        assert_eq!(late[0].tally.packets, 0, "they were counted");
    }

    #[test]
    fn numbers_go_on_behind_those_of_an_earlier_transport() {
        let (mut reader, mut sent) = (FeedbackReader::default(), sent(3));
        // The client has had numbers up to 5 before, and now got 0 to 2.
        let known = message(0, 5, &[Some(1), Some(1), Some(1), None, Some(0), Some(0)]);
        assert_eq!(read(&mut reader, &mut sent, &known)[0].arrivals().len(), 3);
        assert_eq!(sent.next() as u16, 6);
        sent.push(100, 0, 3_000);
        let next = read(&mut reader, &mut sent, &message(6, 5, &[Some(9)]));
        assert_eq!(
            (next[0].arrivals().len(), next[0].tally.lost_packets, next[0].credit_bytes),
            (1, 0, 0)
        );
        // Before the first sending nothing is known of the numbers to come.
        let mut unused = SentRing::new();
        read(&mut FeedbackReader::default(), &mut unused, &message(40, 5, &[Some(0)]));
        assert_eq!(unused.next() as u16, 0);
    }

    #[test]
    fn the_reference_time_wraps() {
        let (mut reader, mut sent) = (FeedbackReader::default(), sent(10));
        let before = read(&mut reader, &mut sent, &message(0, 0x7F_FFFF, &[Some(0)]));
        let after = read(&mut reader, &mut sent, &message(1, 0x80_0000, &[Some(0)]));
        let passed_us = after[0].arrivals()[0].arrival_us - before[0].arrivals()[0].arrival_us;
        assert_eq!(passed_us, 64_000);
    }

    #[test]
    fn numbers_never_sent_and_huge_messages_are_nothing() {
        let arrivals = |batches: &[Batch]| -> usize {
            batches.iter().map(|batch| batch.arrivals().len()).sum()
        };
        let (mut reader, mut sent) = (FeedbackReader::default(), sent(10));
        let across = read(&mut reader, &mut sent, &message(8, 5, &[Some(0); 5]));
        assert_eq!(arrivals(&across), 2);
        for base in [14, 30_000, 60_000] {
            let unsent = read(&mut reader, &mut sent, &message(base, 5, &[Some(0)]));
            assert_eq!(arrivals(&unsent), 0, "{base}");
        }
        // 65,535 losses, in nine chunks.
        let mut losses = message(0, 5, &[]);
        losses[3] = 9;
        losses[14..16].copy_from_slice(&[0xFF, 0xFF]);
        losses.extend([0x1F, 0xFF].repeat(9));
        losses.extend([0, 0]);
        assert!(read(&mut reader, &mut sent, &losses).is_empty());
    }
}
