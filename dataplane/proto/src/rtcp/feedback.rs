//! Views of feedback messages: NACK (RFC 4585), FIR (RFC 5104), REMB
//! (draft-alvestrand-rmcat-remb-03).
//!
//! Called by the compound walk. Must stay lazy: a NACK of 40 bytes can name 170 packets, and how
//! many of them are served is the engine's decision.

use super::Ssrcs;
use crate::cursor;

/// Iterator over the sequence numbers a generic NACK names, in wire order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NackSequences<'a> {
    entries: &'a [u8],
    /// The entry in progress: its packet id, and its bits not yet looked at.
    base: u16,
    mask: u16,
}

impl<'a> NackSequences<'a> {
    /// None when `entries` is empty or no whole number of entries.
    pub(super) fn new(entries: &'a [u8]) -> Option<Self> {
        let whole = !entries.is_empty() && entries.len().is_multiple_of(4);
        whole.then_some(Self { entries, base: 0, mask: 0 })
    }
}

impl Iterator for NackSequences<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.mask != 0 {
            let bit = self.mask.trailing_zeros() as u16;
            self.mask &= self.mask - 1;
            return Some(self.base.wrapping_add(bit + 1));
        }
        let ([p0, p1, b0, b1], rest) = self.entries.split_first_chunk()?;
        self.entries = rest;
        self.base = u16::from_be_bytes([*p0, *p1]);
        self.mask = u16::from_be_bytes([*b0, *b1]);
        Some(self.base)
    }
}

/// Iterator over the entries of a FIR: SSRC asked for a key frame, and command sequence number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FirEntries<'a> {
    entries: &'a [u8],
}

impl<'a> FirEntries<'a> {
    /// None when `entries` is empty or no whole number of entries.
    pub(super) fn new(entries: &'a [u8]) -> Option<Self> {
        let whole = !entries.is_empty() && entries.len().is_multiple_of(8);
        whole.then_some(Self { entries })
    }
}

impl Iterator for FirEntries<'_> {
    type Item = (u32, u8);

    fn next(&mut self) -> Option<(u32, u8)> {
        let ([a, b, c, d, sequence, ..], rest) = self.entries.split_first_chunk::<8>()?;
        self.entries = rest;
        Some((u32::from_be_bytes([*a, *b, *c, *d]), *sequence))
    }
}

/// A REMB message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RembView<'a> {
    /// SSRC of the reporter.
    pub sender: u32,
    /// Estimated maximum in bit/s; saturates at the type's end, as the wire format goes beyond it.
    pub bitrate: u64,
    /// The streams the estimate covers.
    pub ssrcs: Ssrcs<'a>,
}

impl<'a> RembView<'a> {
    /// Reads the body of an application-layer feedback packet whose identifier is REMB's.
    pub(super) fn new(body: &'a [u8]) -> Option<Self> {
        let count = usize::from(cursor::u8_at(body, 12)?);
        let rate = cursor::u24_at(body, 13)?;
        let (exponent, mantissa) = (rate >> 18, u64::from(rate & 0x3_FFFF));
        let fits = exponent <= mantissa.leading_zeros();
        Some(Self {
            sender: cursor::u32_at(body, 0)?,
            bitrate: if fits { mantissa << exponent.min(63) } else { u64::MAX },
            ssrcs: Ssrcs::new(body.get(16..)?.get(..4 * count)?),
        })
    }
}
