//! Sender and receiver reports (RFC 3550 section 6.4).
//!
//! Called by the compound walk and the builder. Values only; their meaning is the engine's.

use crate::cursor::{self, Writer};

/// The sender's part of a sender report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SenderInfo {
    /// SSRC of the sender.
    pub ssrc: u32,
    /// NTP time of the report: seconds since 1900 in 32.32 fixed point.
    pub ntp: u64,
    /// The same instant in units of the stream's RTP clock.
    pub rtp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

impl SenderInfo {
    /// Bytes on the wire after the packet header.
    pub(super) const LEN: usize = 24;

    pub(super) fn read(body: &[u8]) -> Option<Self> {
        Some(Self {
            ssrc: cursor::u32_at(body, 0)?,
            ntp: cursor::u64_at(body, 4)?,
            rtp: cursor::u32_at(body, 12)?,
            packets: cursor::u32_at(body, 16)?,
            octets: cursor::u32_at(body, 20)?,
        })
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.u32(self.ssrc);
        writer.u64(self.ntp);
        writer.u32(self.rtp);
        writer.u32(self.packets);
        writer.u32(self.octets);
    }
}

/// One report block: how well one stream arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReportBlock {
    /// SSRC of the stream reported on.
    pub ssrc: u32,
    /// Loss since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost so far; negative with duplicates. 24 bits on the wire: written saturated.
    pub cumulative_lost: i32,
    /// Highest sequence number with its 16-bit cycle count above.
    pub highest_sequence: u32,
    /// Interarrival jitter in units of the stream's RTP clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report, 0 without.
    pub last_sender_report: u32,
    /// Delay since that report in 1/65536 s, 0 without.
    pub delay_since_last: u32,
}

impl ReportBlock {
    /// Bytes on the wire.
    pub(super) const LEN: usize = 24;

    fn read(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let lost = cursor::u24_at(bytes, 5)?;
        Some(Self {
            ssrc: cursor::u32_at(bytes, 0)?,
            fraction_lost: cursor::u8_at(bytes, 4)?,
            cumulative_lost: (lost << 8) as i32 >> 8,
            highest_sequence: cursor::u32_at(bytes, 8)?,
            jitter: cursor::u32_at(bytes, 12)?,
            last_sender_report: cursor::u32_at(bytes, 16)?,
            delay_since_last: cursor::u32_at(bytes, 20)?,
        })
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.u32(self.ssrc);
        writer.u8(self.fraction_lost);
        writer.u24(self.cumulative_lost.clamp(-0x80_0000, 0x7F_FFFF) as u32);
        writer.u32(self.highest_sequence);
        writer.u32(self.jitter);
        writer.u32(self.last_sender_report);
        writer.u32(self.delay_since_last);
    }
}

/// Iterator over report blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportBlocks<'a> {
    bytes: &'a [u8],
}

impl<'a> ReportBlocks<'a> {
    /// The first `count` blocks of `bytes`; None when there are fewer. What follows them are
    /// profile-specific extensions, which are not read.
    pub(super) fn new(bytes: &'a [u8], count: u8) -> Option<Self> {
        Some(Self { bytes: bytes.get(..usize::from(count) * ReportBlock::LEN)? })
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        ReportBlock::read(block)
    }
}
