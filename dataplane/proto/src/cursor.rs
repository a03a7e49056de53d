//! Checked big-endian reads and a bounded writer over byte slices: how every wire format of this
//! crate touches bytes.
//!
//! Called by the parsers and builders beside it. Must never panic, allocate, or read or write
//! outside the slice it was given, whatever the offsets.

/// The `N` bytes at `at`, or None when they do not all exist.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The byte at `at`.
pub(crate) fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// The 16-bit number at `at`.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// The 24-bit number at `at`.
pub(crate) fn u24_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|[a, b, c]: [u8; 3]| u32::from_be_bytes([0, a, b, c]))
}

/// The 32-bit number at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

/// The 64-bit number at `at`.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_be_bytes)
}

/// A little-endian base-128 number of at most eight bytes at the start of `bytes`, and how many there
/// were (AV1 bitstream specification section 4.10.5).
pub(crate) fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0u64;
    for (place, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, place + 1));
        }
    }
    None
}

/// Appends to a slot. What does not fit is not written and marks the writer as overflown; the
/// caller looks once, at the end.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    slot: &'a mut [u8],
    len: usize,
    overflown: bool,
}

impl<'a> Writer<'a> {
    /// Starts at the beginning of `slot`.
    pub(crate) fn new(slot: &'a mut [u8]) -> Self {
        Self { slot, len: 0, overflown: false }
    }

    /// Appends `bytes`.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        match self.slot.get_mut(self.len..end) {
            Some(place) if !self.overflown => {
                place.copy_from_slice(bytes);
                self.len = end;
            }
            _ => self.overflown = true,
        }
    }

    /// Appends one byte.
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    /// Appends a 16-bit number.
    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends the low 24 bits of a number.
    pub(crate) fn u24(&mut self, value: u32) {
        let [_, a, b, c] = value.to_be_bytes();
        self.bytes(&[a, b, c]);
    }

    /// Appends a 32-bit number.
    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends a 64-bit number.
    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends zeros until the length is a multiple of four.
    pub(crate) fn pad(&mut self) {
        while !self.len.is_multiple_of(4) && !self.overflown {
            self.u8(0);
        }
    }

    /// Replaces bytes that were written before.
    pub(crate) fn patch(&mut self, at: usize, bytes: &[u8]) {
        let end = at.saturating_add(bytes.len());
        if end <= self.len
            && let Some(place) = self.slot.get_mut(at..end)
        {
            place.copy_from_slice(bytes);
        }
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What was written so far.
    pub(crate) fn written(&self) -> &[u8] {
        self.slot.get(..self.len).unwrap_or_default()
    }

    /// Forgets everything after `len` and the overflow. Returns whether there had been none.
    pub(crate) fn settle(&mut self, len: usize) -> bool {
        if self.overflown {
            self.len = len.min(self.len);
        }
        !std::mem::take(&mut self.overflown)
    }

    /// The length written, or 0 when something did not fit.
    pub(crate) fn finish(self) -> usize {
        if self.overflown { 0 } else { self.len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_end_where_the_slice_ends() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(u8_at(&bytes, 7), Some(8));
        assert_eq!(u8_at(&bytes, 8), None);
        assert_eq!(u16_at(&bytes, 6), Some(0x0708));
        assert_eq!(u16_at(&bytes, 7), None);
        assert_eq!(u24_at(&bytes, 5), Some(0x060708));
        assert_eq!(u24_at(&bytes, 6), None);
        assert_eq!(u32_at(&bytes, 4), Some(0x0506_0708));
        assert_eq!(u32_at(&bytes, 5), None);
        assert_eq!(u64_at(&bytes, 0), Some(0x0102_0304_0506_0708));
        assert_eq!(u64_at(&bytes, usize::MAX), None);
    }

    #[test]
    fn the_writer_keeps_whole_items_and_reports_overflow_once() {
        let mut slot = [0; 6];
        let mut writer = Writer::new(&mut slot);
        writer.u32(0x0102_0304);
        let mark = writer.len();
        writer.u8(9);
        writer.u16(0x0506);
        writer.u8(7);
        assert!(!writer.settle(mark));
        assert_eq!(writer.written(), [1, 2, 3, 4]);
        writer.u16(0x0506);
        writer.patch(0, &[8]);
        writer.patch(5, &[1, 1]);
        assert_eq!(writer.finish(), 6);
        assert_eq!(slot, [8, 2, 3, 4, 5, 6]);
    }
}
