//! Bit-wise reads and writes, most significant bit first (AV1 RTP specification v1.0.0, appendix A.8.2).
//!
//! Called by the structure, the descriptor and the rewriting of one. Must never read or write outside
//! its slice.

/// A position in a bit string.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    /// Starts at bit `at`.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Bits in front of the position.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// f(n): the next `count` bits, at most 64, as a number; None when they do not all exist.
    pub(super) fn read(&mut self, count: u32) -> Option<u64> {
        debug_assert!(count <= u64::BITS);
        let (mut value, mut left) = (0u64, count);
        while left > 0 {
            let byte = *self.bytes.get(self.at / 8)?;
            let there = 8 - (self.at % 8) as u32;
            let take = there.min(left);
            let chunk = byte >> (there - take) & (0xFF >> (8 - take));
            value = value << take | u64::from(chunk);
            self.at += take as usize;
            left -= take;
        }
        Some(value)
    }

    /// f(n) of at most eight bits.
    pub(super) fn small(&mut self, count: u32) -> Option<u8> {
        debug_assert!(count <= u8::BITS);
        self.read(count).map(|value| value as u8)
    }

    /// f(1).
    pub(super) fn flag(&mut self) -> Option<bool> {
        self.read(1).map(|bit| bit != 0)
    }

    /// ns(n): a number below `values`, which is not 0, in as many bits as it needs.
    pub(super) fn below(&mut self, values: u32) -> Option<u64> {
        let width = u32::BITS - values.leading_zeros();
        let short = (1u64 << width) - u64::from(values);
        let value = self.read(width - 1)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1) - short + self.read(1)?)
    }
}

/// Appends bits to a slot. What does not fit is remembered as an overflow.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    slot: &'a mut [u8],
    at: usize,
    overflown: bool,
}

impl<'a> BitWriter<'a> {
    /// Starts at the beginning of `slot`.
    pub(super) fn new(slot: &'a mut [u8]) -> Self {
        Self { slot, at: 0, overflown: false }
    }

    /// Appends the low `count` bits of `value`, at most 64.
    pub(super) fn write(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            let Some(byte) = self.slot.get_mut(self.at / 8) else {
                self.overflown = true;
                return;
            };
            let used = (self.at % 8) as u32;
            let take = (8 - used).min(left);
            let chunk = (value >> (left - take)) as u8 & (0xFF >> (8 - take));
            let kept = if used == 0 { 0 } else { *byte };
            *byte = kept | chunk << (8 - used - take);
            self.at += take as usize;
            left -= take;
        }
    }

    /// The length in bytes, the unused bits of the last one zero; None when something did not fit.
    pub(super) fn finish(self) -> Option<usize> {
        (!self.overflown).then_some(self.at.div_ceil(8))
    }
}
