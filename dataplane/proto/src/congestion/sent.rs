//! What was sent under which transport-wide number, in fixed memory.
//!
//! `push` runs per packet sent and touches two words; feedback looks entries up. Must never take a
//! number that was not sent, or was sent too long ago, for one that was.

use crate::rtp;

/// Packets remembered. Chosen: 2,048 packets of 1,200 bytes are 0.65 s of 30 Mbit/s, the highest
/// estimate, and 6 s of 3 Mbit/s; feedback comes back within a round trip and a quarter second.
pub(super) const SENT_MAX: u64 = 2_048;
const SLOTS: usize = SENT_MAX as usize;

/// Probe clusters told apart at one time; cluster 0 is "no probe".
pub(super) const CLUSTERS: u8 = 7;

/// What feedback said of a packet so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Unknown,
    Lost,
    /// Arrived, or taken for arrived because the message about it is missing.
    Settled,
}

/// One packet sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sent {
    pub(super) sent_us: i64,
    pub(super) size: u32,
    /// The probe cluster it belongs to, 0 for none.
    pub(super) cluster: u8,
    pub(super) fate: Fate,
}

/// The last packets sent. 12 KiB: six bytes a packet.
#[derive(Clone, Debug)]
pub(super) struct SentRing {
    /// Low 32 bits of the microseconds since the controller's origin, at the number modulo the
    /// ring's length.
    sent_us: [u32; SLOTS],
    /// Size in bits 0..11, cluster in 11..14, fate in 14..16.
    facts: [u16; SLOTS],
    next: u64,
}

impl SentRing {
    pub(super) fn new() -> Self {
        // One cycle up, so that numbers below the first one extend to something, and are refused.
        Self { sent_us: [0; SLOTS], facts: [0; SLOTS], next: FIRST }
    }

    /// Whether anything was sent.
    pub(super) fn is_empty(&self) -> bool {
        self.next == FIRST
    }

    /// The number the next packet gets.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// When the last packet was sent.
    pub(super) fn last_us(&self, now_us: i64) -> Option<i64> {
        self.find(self.next - 1, now_us).map(|sent| sent.sent_us)
    }

    /// Notes the packet that was sent as [`SentRing::next`].
    pub(super) fn push(&mut self, size: usize, cluster: u8, now_us: i64) {
        let slot = slot_of(self.next);
        self.sent_us[slot] = now_us as u32;
        self.facts[slot] = (size.min(SIZE_MAX) as u16) | u16::from(cluster & 7) << CLUSTER_SHIFT;
        self.next += 1;
    }

    /// Leaves out the numbers below `number`; none of them counts as sent. Cost: one write for each of
    /// them that the ring has a place for.
    pub(super) fn skip_to(&mut self, number: u64) {
        let first = self.next.max(number.saturating_sub(SENT_MAX));
        (first..number).for_each(|unsent| self.facts[slot_of(unsent)] = UNSENT << FATE_SHIFT);
        self.next = self.next.max(number);
    }

    /// The extended number nearest to the last one sent.
    pub(super) fn extend(&self, sequence: u16) -> u64 {
        rtp::extend(self.next - 1, sequence)
    }

    /// The packet with extended number `number`, if it was sent and is remembered.
    pub(super) fn find(&self, number: u64, now_us: i64) -> Option<Sent> {
        let slot = self.slot_of_known(number)?;
        let fate = match self.facts[slot] >> FATE_SHIFT {
            UNKNOWN => Fate::Unknown,
            LOST => Fate::Lost,
            UNSENT => return None,
            _ => Fate::Settled,
        };
        Some(self.packet(slot, fate, now_us))
    }

    /// Takes feedback about one packet. Returns it, with what was known of it before, when that is
    /// news: neither settled nor reported lost twice.
    #[inline]
    pub(super) fn learn(&mut self, number: u64, arrived: bool, now_us: i64) -> Option<Sent> {
        let slot = self.slot_of_known(number)?;
        let facts = self.facts[slot];
        let (fate, news) = match (facts >> FATE_SHIFT, arrived) {
            (UNKNOWN, true) => (Fate::Unknown, SETTLED),
            (UNKNOWN, false) => (Fate::Unknown, LOST),
            (LOST, true) => (Fate::Lost, SETTLED),
            _ => return None,
        };
        self.facts[slot] = facts & FACTS_BUT_FATE | news << FATE_SHIFT;
        Some(self.packet(slot, fate, now_us))
    }

    /// The size of the packet with extended number `number`, if it left together with the one before,
    /// belongs to no probe and nothing is known of it. The one before must be remembered.
    #[inline]
    pub(super) fn twin(&self, number: u64) -> Option<u32> {
        let (slot, before) = (slot_of(number), slot_of(number.wrapping_sub(1)));
        let facts = self.facts[slot];
        // What is above the size is zero: no cluster, no fate.
        let twin = number < self.next
            && facts <= SIZE_MAX as u16
            && self.sent_us[slot] == self.sent_us[before];
        twin.then_some(u32::from(facts))
    }

    /// Where a number is that is not too old, nor still to come. (It may have been left out.)
    #[inline]
    fn slot_of_known(&self, number: u64) -> Option<usize> {
        let newer = self.next.wrapping_sub(number).wrapping_sub(1);
        (newer < SENT_MAX && number >= FIRST).then_some(slot_of(number))
    }

    #[inline]
    fn packet(&self, slot: usize, fate: Fate, now_us: i64) -> Sent {
        let facts = self.facts[slot];
        // Signed: a feedback message's instant may lie just before a sending that it cannot name.
        let age_us = (now_us as u32).wrapping_sub(self.sent_us[slot]).cast_signed().max(0);
        Sent {
            sent_us: now_us - i64::from(age_us),
            size: u32::from(facts & SIZE_MAX as u16),
            cluster: (facts >> CLUSTER_SHIFT & 7) as u8,
            fate,
        }
    }

    /// Notes what became of a packet [`SentRing::find`] returned.
    pub(super) fn settle(&mut self, number: u64, fate: Fate) {
        let bits = match fate {
            Fate::Unknown => UNKNOWN,
            Fate::Lost => LOST,
            Fate::Settled => SETTLED,
        };
        let facts = &mut self.facts[slot_of(number)];
        *facts = *facts & FACTS_BUT_FATE | bits << FATE_SHIFT;
    }
}

fn slot_of(number: u64) -> usize {
    (number % SENT_MAX) as usize
}

const FIRST: u64 = 0x1_0000;
/// Eleven bits; a UDP payload above it would be fragmented on every path this serves.
const SIZE_MAX: usize = 0x7FF;
const CLUSTER_SHIFT: u32 = 11;
const FATE_SHIFT: u32 = 14;
const FACTS_BUT_FATE: u16 = (1 << FATE_SHIFT) - 1;
/// The fates as they are kept, and in their place: the number was left out.
const UNKNOWN: u16 = 0;
const LOST: u16 = 1;
const SETTLED: u16 = 2;
const UNSENT: u16 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_sent_and_nothing_else() {
        let mut ring = SentRing::new();
        let first = ring.next();
        assert_eq!(ring.find(first, 0), None, "not sent yet");
        for place in 0..SENT_MAX + 10 {
            ring.push(100 + place as usize % 1_000, (place % 8) as u8, place as i64 * 10);
        }
        let now_us = 30_000;
        assert_eq!(ring.find(first + 9, now_us), None, "overwritten");
        assert_eq!(ring.find(ring.next(), now_us), None, "never sent");
        let sent = ring.find(first + 10, now_us).expect("remembered");
        let expected = Sent { sent_us: 100, size: 110, cluster: 2, fate: Fate::Unknown };
        assert_eq!(sent, expected);
        ring.settle(first + 10, Fate::Lost);
        assert_eq!(ring.find(first + 10, now_us), Some(Sent { fate: Fate::Lost, ..expected }));
        ring.settle(first + 10, Fate::Settled);
        assert_eq!(ring.find(first + 10, now_us), Some(Sent { fate: Fate::Settled, ..expected }));
    }

    #[test]
    fn numbers_left_out_were_not_sent() {
        let mut ring = SentRing::new();
        for _ in 0..SENT_MAX {
            ring.push(100, 0, 5);
        }
        let first = ring.next();
        ring.skip_to(first + 10);
        assert_eq!(ring.next(), first + 10);
        assert!((first..first + 10).all(|number| ring.find(number, 10).is_none()));
        assert!(ring.find(first - 1, 10).is_some());
        ring.push(100, 0, 6);
        assert_eq!(ring.find(first + 10, 10).map(|sent| sent.sent_us), Some(6));
        ring.skip_to(first);
        assert_eq!(ring.next(), first + 11, "never back");
        ring.skip_to(first + 100 * SENT_MAX);
        assert_eq!(ring.find(first + 100 * SENT_MAX - 1, 10), None);
    }

    #[test]
    fn send_times_survive_the_wrap_of_their_low_bits() {
        let mut ring = SentRing::new();
        let number = ring.next();
        let sent_us = (1 << 32) - 5;
        ring.push(1, 0, sent_us);
        assert_eq!(ring.find(number, sent_us + 100).map(|sent| sent.sent_us), Some(sent_us));
    }

    #[test]
    fn a_look_from_before_the_sending_sees_it_as_just_sent() {
        let mut ring = SentRing::new();
        let number = ring.next();
        ring.push(1, 0, 5_000);
        assert_eq!(ring.find(number, 4_000).map(|sent| sent.sent_us), Some(4_000));
    }

    #[test]
    fn numbers_before_the_first_are_refused() {
        let mut ring = SentRing::new();
        ring.push(1, 0, 0);
        assert_eq!(ring.find(ring.extend(0xFFFF), 0), None);
        assert!(ring.find(ring.extend(0), 0).is_some());
    }
}
