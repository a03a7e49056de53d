//! Extended reports (RFC 3611): receiver reference time (section 4.4) and delay since last RR
//! (section 4.5), from which a pure receiver learns its round-trip time.
//!
//! Called by the compound walk. Blocks of other types are named and passed over.

use crate::cursor;

/// One block of an extended report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum XrBlock<'a> {
    /// NTP time at the reporter: seconds since 1900 in 32.32 fixed point.
    ReferenceTime(u64),
    /// Answers to reference times.
    Dlrr(DlrrBlocks<'a>),
    /// A block type that is not read.
    Other(u8),
}

/// Iterator over the blocks of an extended report; a block that runs past the end ends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct XrBlocks<'a> {
    bytes: &'a [u8],
}

impl<'a> XrBlocks<'a> {
    /// None when `bytes` is no whole number of words.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.len().is_multiple_of(4).then_some(Self { bytes })
    }
}

impl<'a> Iterator for XrBlocks<'a> {
    type Item = XrBlock<'a>;

    fn next(&mut self) -> Option<XrBlock<'a>> {
        let block_type = cursor::u8_at(self.bytes, 0)?;
        let len = 4 * usize::from(cursor::u16_at(self.bytes, 2)?);
        let body = self.bytes.get(4..)?;
        let Some((content, rest)) = body.split_at_checked(len) else {
            self.bytes = &[];
            return None;
        };
        self.bytes = rest;
        Some(match (block_type, content.len()) {
            (REFERENCE_TIME, 8) => XrBlock::ReferenceTime(cursor::u64_at(content, 0)?),
            (DLRR, len) if len.is_multiple_of(DlrrBlock::LEN) => {
                XrBlock::Dlrr(DlrrBlocks { bytes: content })
            }
            (other, _) => XrBlock::Other(other),
        })
    }
}

/// The answer to one receiver's reference time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DlrrBlock {
    /// SSRC of the receiver.
    pub ssrc: u32,
    /// Middle 32 bits of the reference time that came last, 0 without.
    pub last_reference: u32,
    /// Delay since then in 1/65536 s, 0 without.
    pub delay_since_last: u32,
}

impl DlrrBlock {
    /// Bytes on the wire.
    pub(super) const LEN: usize = 12;
}

/// Iterator over the sub-blocks of a DLRR block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DlrrBlocks<'a> {
    bytes: &'a [u8],
}

impl Iterator for DlrrBlocks<'_> {
    type Item = DlrrBlock;

    fn next(&mut self) -> Option<DlrrBlock> {
        let (block, rest) = self.bytes.split_first_chunk::<{ DlrrBlock::LEN }>()?;
        self.bytes = rest;
        Some(DlrrBlock {
            ssrc: cursor::u32_at(block, 0)?,
            last_reference: cursor::u32_at(block, 4)?,
            delay_since_last: cursor::u32_at(block, 8)?,
        })
    }
}

/// Block type of the receiver reference time report (RFC 3611 section 4.4).
pub(super) const REFERENCE_TIME: u8 = 4;
/// Block type of the DLRR report (RFC 3611 section 4.5).
pub(super) const DLRR: u8 = 5;
