//! Builds compound RTCP packets in a slot.
//!
//! Called by the engine's reports and feedback. Every call writes its packet whole or not at all
//! and says which; nothing is ever written outside the slot.

use super::extended::{DLRR, DlrrBlock, REFERENCE_TIME};
use super::report::{ReportBlock, SenderInfo};
use super::{format, kind};
use crate::cursor::Writer;

/// A compound packet in the making. Each call appends one packet and returns whether it fitted.
#[derive(Debug)]
pub struct CompoundWriter<'a> {
    writer: Writer<'a>,
}

impl<'a> CompoundWriter<'a> {
    /// Starts an empty compound at the beginning of `slot`.
    pub fn new(slot: &'a mut [u8]) -> Self {
        Self { writer: Writer::new(slot) }
    }

    /// Appends a sender report; blocks beyond 31 are left to a receiver report.
    pub fn sender_report(&mut self, info: &SenderInfo, blocks: &[ReportBlock]) -> bool {
        let blocks = blocks.get(..BLOCKS_MAX).unwrap_or(blocks);
        self.packet(kind::SENDER_REPORT, blocks.len() as u8, |writer| {
            info.write(writer);
            blocks.iter().for_each(|block| block.write(writer));
        })
    }

    /// Appends a receiver report of `ssrc`; blocks beyond 31 are left to another one.
    pub fn receiver_report(&mut self, ssrc: u32, blocks: &[ReportBlock]) -> bool {
        let blocks = blocks.get(..BLOCKS_MAX).unwrap_or(blocks);
        self.packet(kind::RECEIVER_REPORT, blocks.len() as u8, |writer| {
            writer.u32(ssrc);
            blocks.iter().for_each(|block| block.write(writer));
        })
    }

    /// Appends a source description with nothing but the canonical name (RFC 3550 section 6.5.1),
    /// of which at most 255 bytes are written.
    pub fn sdes_cname(&mut self, ssrc: u32, cname: &[u8]) -> bool {
        let cname = cname.get(..255).unwrap_or(cname);
        self.packet(kind::SOURCE_DESCRIPTION, 1, |writer| {
            writer.u32(ssrc);
            writer.u8(SDES_CNAME);
            writer.u8(cname.len() as u8);
            writer.bytes(cname);
            // The list ends with a zero byte, and then the word is filled.
            writer.u8(0);
            writer.pad();
        })
    }

    /// Appends a BYE of one source (RFC 3550 section 6.6).
    pub fn bye(&mut self, ssrc: u32) -> bool {
        self.packet(kind::BYE, 1, |writer| writer.u32(ssrc))
    }

    /// Appends a picture loss indication (RFC 4585 section 6.3.1).
    pub fn pli(&mut self, sender: u32, media: u32) -> bool {
        self.packet(kind::PAYLOAD_FEEDBACK, format::PLI, |writer| {
            writer.u32(sender);
            writer.u32(media);
        })
    }

    /// Appends a full intra request for one stream (RFC 5104 section 4.3.1); `sequence` grows by
    /// one with each new request and stays for repetitions.
    pub fn fir(&mut self, sender: u32, media: u32, sequence: u8) -> bool {
        self.packet(kind::PAYLOAD_FEEDBACK, format::FIR, |writer| {
            writer.u32(sender);
            writer.u32(0);
            writer.u32(media);
            writer.bytes(&[sequence, 0, 0, 0]);
        })
    }

    /// Appends a generic NACK for `sequences`, which are in sequence order (RFC 4585 section
    /// 6.2.1). Writes nothing and returns false when there are none.
    pub fn nack(&mut self, sender: u32, media: u32, sequences: &[u16]) -> bool {
        !sequences.is_empty()
            && self.packet(kind::TRANSPORT_FEEDBACK, format::NACK, |writer| {
                writer.u32(sender);
                writer.u32(media);
                let mut rest = sequences;
                while let Some((base, mut tail)) = rest.split_first() {
                    let mut mask = 0u16;
                    while let Some((next, after)) = tail.split_first() {
                        match next.wrapping_sub(*base) {
                            0 => {}
                            distance @ 1..=16 => mask |= 1 << (distance - 1),
                            _ => break,
                        }
                        tail = after;
                    }
                    writer.u16(*base);
                    writer.u16(mask);
                    rest = tail;
                }
            })
    }

    /// Appends a REMB (draft-alvestrand-rmcat-remb-03): `bitrate` in bit/s, rounded down to 18
    /// significant bits; at most 255 SSRCs.
    pub fn remb(&mut self, sender: u32, bitrate: u64, ssrcs: &[u32]) -> bool {
        let ssrcs = ssrcs.get(..255).unwrap_or(ssrcs);
        let exponent = (u64::BITS - bitrate.leading_zeros()).saturating_sub(18);
        let mantissa = (bitrate >> exponent) as u32;
        self.packet(kind::PAYLOAD_FEEDBACK, format::APPLICATION_LAYER, |writer| {
            writer.u32(sender);
            writer.u32(0);
            writer.bytes(&super::REMB_IDENTIFIER);
            writer.u8(ssrcs.len() as u8);
            writer.u24(exponent << 18 | mantissa);
            ssrcs.iter().for_each(|ssrc| writer.u32(*ssrc));
        })
    }

    /// Appends an extended report with a receiver reference time (RFC 3611 section 4.4): `ntp` in
    /// 32.32 fixed point.
    pub fn reference_time(&mut self, sender: u32, ntp: u64) -> bool {
        self.packet(kind::EXTENDED_REPORT, 0, |writer| {
            writer.u32(sender);
            writer.bytes(&[REFERENCE_TIME, 0, 0, 2]);
            writer.u64(ntp);
        })
    }

    /// Appends an extended report that answers reference times (RFC 3611 section 4.5).
    pub fn dlrr(&mut self, sender: u32, blocks: &[DlrrBlock]) -> bool {
        let blocks = blocks.get(..DLRR_MAX).unwrap_or(blocks);
        self.packet(kind::EXTENDED_REPORT, 0, |writer| {
            writer.u32(sender);
            writer.u8(DLRR);
            writer.u8(0);
            writer.u16((blocks.len() * DlrrBlock::LEN / 4) as u16);
            for block in blocks {
                writer.u32(block.ssrc);
                writer.u32(block.last_reference);
                writer.u32(block.delay_since_last);
            }
        })
    }

    /// Length written so far.
    pub fn len(&self) -> usize {
        self.writer.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the compound and returns its length.
    pub fn finish(self) -> usize {
        self.writer.finish()
    }

    /// Appends one packet around what `body` writes, or nothing.
    fn packet(&mut self, packet_type: u8, count: u8, body: impl FnOnce(&mut Writer<'_>)) -> bool {
        debug_assert!(count <= 31, "the count has five bits");
        let start = self.writer.len();
        self.writer.u8(0x80 | count & 0x1F);
        self.writer.u8(packet_type);
        self.writer.u16(0);
        body(&mut self.writer);
        let words = self.writer.len().saturating_sub(start + 4) / 4;
        self.writer.patch(start + 2, &(words as u16).to_be_bytes());
        self.writer.settle(start)
    }
}

/// Most report blocks of one report: the count has five bits (RFC 3550 section 6.4.1).
const BLOCKS_MAX: usize = 31;
/// Most sub-blocks of one DLRR block; chosen: as many as a report has blocks.
const DLRR_MAX: usize = BLOCKS_MAX;
/// SDES item type of the canonical name (RFC 3550 section 12.2).
const SDES_CNAME: u8 = 1;
