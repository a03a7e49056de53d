//! Stage 5: the packets this core forwarded lately, for resends. Fixed memory per core, shared by
//! all its tracks: a byte ring of plaintext packets, a ring of descriptions, and per encoding a
//! small index from sequence number to description. The oldest packets of the core go first.

use std::time::{Duration, Instant};

use common::limits::{HISTORY_BYTES, HISTORY_PACKETS};
use common::media::MediaKind;

use crate::kit::packet::Packet;

/// Descriptions kept. Chosen: the byte ring divided by about 500 bytes a packet, a power of two.
const ENTRIES: usize = 1 << 16;
/// Index size of an audio encoding: 1.28 s of 20 ms packets.
const AUDIO_PACKETS: usize = 64;

/// Age above which a packet is of no use to a receiver any more: the longest it waits for a missing
/// picture or sound before it goes on without. Chosen: as long as publishers are asked for them.
pub(crate) const fn useful(kind: MediaKind) -> Duration {
    match kind {
        MediaKind::Audio => Duration::from_millis(200),
        MediaKind::Video => Duration::from_secs(1),
    }
}

#[derive(Clone, Copy)]
struct Entry {
    /// Position in the byte stream since start; valid while younger than the ring is long.
    position: u64,
    len: u16,
    /// Milliseconds from the history's start to its arrival; wraps after 49 days.
    arrived_ms: u32,
    packet: Packet,
}

/// The packet history of one core.
pub(crate) struct History {
    bytes: Box<[u8]>,
    /// Bytes written since start.
    written: u64,
    entries: Vec<Entry>,
    /// Descriptions written since start.
    described: u64,
    start: Instant,
}

/// Where the packets of one encoding are in the [`History`].
pub(crate) struct Index {
    /// Number of the description plus one, by sequence number; 0 where none.
    slots: Box<[u64]>,
}

impl Index {
    /// An index for an encoding of a video track (about a second) or an audio track.
    pub(crate) fn new(video: bool) -> Self {
        let slots = if video { HISTORY_PACKETS } else { AUDIO_PACKETS };
        Self { slots: vec![0; slots].into_boxed_slice() }
    }

    /// Forgets everything: the encoding's sequence numbers start anew.
    pub(crate) fn clear(&mut self) {
        self.slots.fill(0);
    }

    fn slot(&self, sequence: u64) -> usize {
        sequence as usize & (self.slots.len() - 1)
    }
}

impl History {
    /// Takes the whole memory at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            bytes: vec![0; HISTORY_BYTES].into_boxed_slice(),
            written: 0,
            entries: Vec::with_capacity(ENTRIES),
            described: 0,
            start: now,
        }
    }

    /// Keeps a copy of `bytes`, the plaintext packet that `packet` describes, which arrived `now`.
    /// Returns its number for [`History::at`]; None for what is longer than any packet.
    pub(crate) fn keep(
        &mut self,
        index: &mut Index,
        packet: &Packet,
        bytes: &[u8],
        now: Instant,
    ) -> Option<u64> {
        let len = u16::try_from(bytes.len()).ok()?;
        let size = self.bytes.len() as u64;
        let room = size - self.written % size;
        if room < u64::from(len) {
            self.written += room;
        }
        let start = (self.written % size) as usize;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        let entry =
            Entry { position: self.written, len, arrived_ms: self.millis(now), packet: *packet };
        let place = self.described as usize % ENTRIES;
        match self.entries.get_mut(place) {
            Some(oldest) => *oldest = entry,
            None => self.entries.push(entry),
        }
        self.written += u64::from(len);
        self.described += 1;
        let slot = index.slot(packet.sequence);
        index.slots[slot] = self.described;
        Some(self.described - 1)
    }

    /// The packet with that number, if it is still here.
    pub(crate) fn at(&self, number: u64) -> Option<(&Packet, &[u8])> {
        let entry = self.entry(number)?;
        Some((&entry.packet, self.bytes_of(entry)))
    }

    /// The packet with extended sequence number `sequence` and its age, if it is still here.
    pub(crate) fn find(
        &self,
        index: &Index,
        sequence: u64,
        now: Instant,
    ) -> Option<(&Packet, &[u8], Duration)> {
        let number = index.slots[index.slot(sequence)].checked_sub(1)?;
        let entry = self.entry(number).filter(|entry| entry.packet.sequence == sequence)?;
        let age = (self.millis(now).wrapping_sub(entry.arrived_ms) as i32).max(0) as u64;
        Some((&entry.packet, self.bytes_of(entry), Duration::from_millis(age)))
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        if self.described - number > ENTRIES as u64 {
            return None;
        }
        let entry = self.entries.get(number as usize % ENTRIES)?;
        (self.written - entry.position <= self.bytes.len() as u64).then_some(entry)
    }

    fn bytes_of(&self, entry: &Entry) -> &[u8] {
        let start = (entry.position % self.bytes.len() as u64) as usize;
        &self.bytes[start..start + usize::from(entry.len)]
    }

    fn millis(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.start).as_millis() as u32
    }
}

#[cfg(test)]
mod tests;
