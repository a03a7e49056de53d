//! Reads a transport-wide feedback message
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).
//!
//! Called by the compound walk; the iterator is for congestion control and tests. Whether the
//! deltas exist is checked per chunk, not per packet: eight chunks can claim 65,535 packets.

use super::{DELTA_US, REFERENCE_UNITS, symbol};
use crate::cursor;

/// A well-formed feedback message: every chunk and delta it claims is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TwccView<'a> {
    sender: u32,
    media: u32,
    base: u16,
    count: u16,
    reference: i32,
    message_count: u8,
    /// Chunks, then deltas.
    content: &'a [u8],
    deltas_offset: usize,
}

impl<'a> TwccView<'a> {
    /// Reads the body after the RTCP header; None when chunks or deltas are missing or a status
    /// symbol is the reserved one.
    pub(in crate::rtcp) fn new(body: &'a [u8]) -> Option<Self> {
        let count = cursor::u16_at(body, 10)?;
        let content = body.get(16..)?;
        let reference = cursor::u24_at(body, 12)?;
        let (mut left, mut delta_bytes, mut deltas_offset) = (usize::from(count), 0, 0);
        while left != 0 {
            let chunk = Chunk::read(cursor::u16_at(content, deltas_offset)?, left);
            delta_bytes += chunk.delta_bytes()?;
            left -= chunk.len;
            deltas_offset += 2;
        }
        (deltas_offset + delta_bytes <= content.len()).then_some(Self {
            sender: cursor::u32_at(body, 0)?,
            media: cursor::u32_at(body, 4)?,
            base: cursor::u16_at(body, 8)?,
            count,
            reference: (reference << 8) as i32 >> 8,
            message_count: cursor::u8_at(body, 15)?,
            content,
            deltas_offset,
        })
    }

    /// SSRC of the reporter.
    pub fn sender(&self) -> u32 {
        self.sender
    }

    /// SSRC the message names; feedback covers all streams of the transport whatever it is.
    pub fn media(&self) -> u32 {
        self.media
    }

    /// The first number covered.
    pub fn base_sequence(&self) -> u16 {
        self.base
    }

    /// How many consecutive numbers are covered.
    pub fn status_count(&self) -> u16 {
        self.count
    }

    /// Counts the messages of this reporter modulo 256.
    pub fn message_count(&self) -> u8 {
        self.message_count
    }

    /// The instant the first delta counts from, in microseconds since the reporter's zero.
    pub fn reference_us(&self) -> i64 {
        i64::from(self.reference) * REFERENCE_UNITS * DELTA_US as i64
    }

    /// Every number covered, with the arrival's distance from the arrival before it (for the
    /// first: from [`TwccView::reference_us`]) in units of 250 us; None for packets that did not
    /// arrive.
    pub fn iter(&self) -> TwccIter<'a> {
        let (chunks, deltas) =
            self.content.split_at_checked(self.deltas_offset).unwrap_or_default();
        TwccIter {
            chunks,
            deltas,
            symbols: Symbols { pairs: 0, left: 0 },
            end: self.base.wrapping_add(self.count),
            left: usize::from(self.count),
        }
    }
}

/// Iterator over the packet statuses of a message; see [`TwccView::iter`].
#[derive(Clone, Debug)]
pub struct TwccIter<'a> {
    chunks: &'a [u8],
    deltas: &'a [u8],
    symbols: Symbols,
    /// The number behind the last one covered.
    end: u16,
    left: usize,
}

impl TwccIter<'_> {
    /// Takes the next status if it is in the chunk of the one before, and of a packet that arrived with
    /// the one before (a delta of nothing).
    #[inline]
    pub(crate) fn next_if_together(&mut self) -> bool {
        let [0, rest @ ..] = self.deltas else { return false };
        if self.symbols.left == 0 || self.symbols.peek() != symbol::SMALL {
            return false;
        }
        self.symbols.take();
        self.deltas = rest;
        self.left -= 1;
        true
    }
}

impl Iterator for TwccIter<'_> {
    type Item = (u16, Option<i16>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        if self.symbols.left == 0 {
            let (bits, rest) = self.chunks.split_first_chunk()?;
            self.symbols = Chunk::read(u16::from_be_bytes(*bits), self.left).symbols();
            self.chunks = rest;
        }
        let delta = match self.symbols.take() {
            symbol::LOST => None,
            symbol::SMALL => {
                let ([delta], rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                Some(i16::from(*delta))
            }
            _ => {
                let (delta, rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                Some(i16::from_be_bytes(*delta))
            }
        };
        let sequence = self.end.wrapping_sub(self.left as u16);
        self.left -= 1;
        Some((sequence, delta))
    }
}

/// One chunk, and how many of its statuses count (draft sections 3.1.3 and 3.1.4).
#[derive(Clone, Copy, Debug)]
struct Chunk {
    bits: u16,
    len: usize,
}

impl Chunk {
    /// `left` is how many statuses the message still claims, at least one. A run of length zero
    /// would be no progress; it ends the message like a missing chunk (see `delta_bytes`).
    fn read(bits: u16, left: usize) -> Self {
        let len = match bits >> 14 {
            0 | 1 => usize::from(bits & 0x1FFF),
            2 => 14,
            _ => 7,
        };
        Self { bits, len: len.min(left) }
    }

    /// Its statuses, to be taken one by one.
    fn symbols(self) -> Symbols {
        let pairs = match self.bits >> 14 {
            0 | 1 => u32::from(self.bits >> 13) * ONES,
            2 => spread(self.bits & 0x3FFF) << 4,
            _ => u32::from(self.bits) << 18,
        };
        Symbols { pairs, left: self.len }
    }

    /// Bytes of the deltas its statuses need; None for an empty run or a reserved symbol.
    fn delta_bytes(self) -> Option<usize> {
        let run = self.bits >> 15 == 0;
        let counted = if run { 1 } else { self.len };
        let Symbols { pairs, .. } = self.symbols();
        let pairs = pairs & !u32::MAX.checked_shr(2 * counted as u32).unwrap_or(0);
        let (small, large) = (pairs & ONES, pairs >> 1 & ONES);
        if self.len == 0 || small & large != 0 {
            return None;
        }
        let bytes = (small.count_ones() + 2 * large.count_ones()) as usize;
        Some(if run { self.len * bytes } else { bytes })
    }
}

/// The statuses of a chunk that were not taken yet.
#[derive(Clone, Copy, Debug)]
struct Symbols {
    /// Two bits each, the next one on top. A run has the same one everywhere, so that it may be
    /// turned as often as it is long.
    pairs: u32,
    left: usize,
}

impl Symbols {
    fn peek(&self) -> u8 {
        (self.pairs >> 30) as u8
    }

    #[inline]
    fn take(&mut self) -> u8 {
        self.left = self.left.wrapping_sub(1);
        self.pairs = self.pairs.rotate_left(2);
        (self.pairs & 3) as u8
    }
}

/// The lower bit of each pair.
const ONES: u32 = 0x5555_5555;

/// Makes a pair of each of 14 bits, its upper bit zero.
fn spread(bits: u16) -> u32 {
    let mut pairs = u32::from(bits);
    pairs = (pairs | pairs << 8) & 0x00FF_00FF;
    pairs = (pairs | pairs << 4) & 0x0F0F_0F0F;
    pairs = (pairs | pairs << 2) & 0x3333_3333;
    (pairs | pairs << 1) & ONES
}
