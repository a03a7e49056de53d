//! Packs packet statuses into one feedback message: run-length and status-vector chunks, then
//! receive deltas (draft-holmer-rmcat-transport-wide-cc-extensions-01 sections 3.1.2 to 3.1.5).
//!
//! Called by the recorder. Must never grow beyond the room it was given.

use super::super::{format, kind};
use super::symbol;
use crate::cursor::Writer;

/// Most statuses of one message: a whole window of losses, then a message's worth of packets.
const CAPACITY: usize = 1_024 + 256;

/// What happened to one packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    /// It did not arrive (yet).
    Lost,
    /// It arrived this many delta units after the one before it in the message.
    Received(i16),
}

/// The statuses of one message.
pub(super) struct Message {
    symbols: [u8; CAPACITY],
    count: usize,
    deltas: [i16; 256],
    delta_count: usize,
    delta_bytes: usize,
    /// Losses before the first packet that arrived.
    leading: usize,
    room: usize,
}

impl Message {
    /// Starts a message whose chunks and deltas may take `room` bytes.
    pub(super) fn new(room: usize) -> Self {
        Self {
            symbols: [symbol::LOST; CAPACITY],
            count: 0,
            deltas: [0; 256],
            delta_count: 0,
            delta_bytes: 0,
            leading: 0,
            room,
        }
    }

    /// Adds the status of the next number; false when the message is full.
    pub(super) fn push(&mut self, status: Status) -> bool {
        let (symbol, delta, bytes) = match status {
            Status::Lost => (symbol::LOST, None, 0),
            Status::Received(delta @ 0..=255) => (symbol::SMALL, Some(delta), 1),
            Status::Received(delta) => (symbol::LARGE, Some(delta), 2),
        };
        // A chunk holds seven statuses or more, losses ahead of the first packet are one chunk,
        // and the last word is filled.
        let mixed = if self.delta_count == 0 { 0 } else { self.count + 1 - self.leading };
        let chunks = 2 * (2 + mixed.div_ceil(7));
        if chunks + self.delta_bytes + bytes + 3 > self.room {
            return false;
        }
        let Some(place) = self.symbols.get_mut(self.count) else { return false };
        if let Some(delta) = delta {
            let Some(place) = self.deltas.get_mut(self.delta_count) else { return false };
            *place = delta;
            self.delta_count += 1;
        }
        *place = symbol;
        self.leading += usize::from(self.delta_count == 0);
        self.count += 1;
        self.delta_bytes += bytes;
        true
    }

    /// Writes the RTCP header and the fields up to the status count.
    pub(super) fn write_header(
        &self,
        writer: &mut Writer<'_>,
        sender_ssrc: u32,
        media_ssrc: u32,
        base_sequence: u16,
    ) {
        writer.u8(0x80 | format::TRANSPORT_WIDE);
        writer.u8(kind::TRANSPORT_FEEDBACK);
        writer.u16(0);
        writer.u32(sender_ssrc);
        writer.u32(media_ssrc);
        writer.u16(base_sequence);
        writer.u16(self.count as u16);
    }

    /// Writes chunks and deltas, fills the last word (RFC 3550 section 6.4.1: the padding's last
    /// byte counts it), and sets the length.
    pub(super) fn write_body(&self, writer: &mut Writer<'_>) {
        let mut rest = self.symbols.get(..self.count).unwrap_or_default();
        while !rest.is_empty() {
            let (chunk, taken) = chunk(rest);
            writer.u16(chunk);
            rest = rest.get(taken..).unwrap_or_default();
        }
        for delta in self.deltas.iter().take(self.delta_count) {
            match u8::try_from(*delta) {
                Ok(small) => writer.u8(small),
                Err(_) => writer.u16(*delta as u16),
            }
        }
        let padding = writer.len().next_multiple_of(4) - writer.len();
        if padding != 0 {
            writer.bytes([0, 0, 0].get(..padding - 1).unwrap_or_default());
            writer.u8(padding as u8);
            writer.patch(0, &[0xA0 | format::TRANSPORT_WIDE]);
        }
        let words = (writer.len() / 4).saturating_sub(1);
        writer.patch(2, &(words as u16).to_be_bytes());
    }
}

/// The next chunk for `symbols`, which are not empty, and how many of them it holds.
fn chunk(symbols: &[u8]) -> (u16, usize) {
    let first = symbols.first().copied().unwrap_or_default();
    let run = symbols.iter().take(RUN_MAX).take_while(|symbol| **symbol == first).count();
    let one_bit = symbols.iter().take(14).all(|symbol| *symbol != symbol::LARGE);
    let vector_len = symbols.len().min(if one_bit { 14 } else { 7 });
    if run >= vector_len {
        return (u16::from(first) << 13 | run as u16, run);
    }
    let bits = if one_bit { 1 } else { 2 };
    let mut chunk = if one_bit { 0x8000 } else { 0xC000 };
    for (place, symbol) in symbols.iter().take(vector_len).enumerate() {
        chunk |= u16::from(*symbol) << (14 - bits * (place + 1));
    }
    (chunk, vector_len)
}

/// Longest run of one chunk: 13 bits (draft section 3.1.3).
const RUN_MAX: usize = 0x1FFF;
