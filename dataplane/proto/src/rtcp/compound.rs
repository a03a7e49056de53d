//! The walk over a compound RTCP packet (RFC 3550 section 6.1, RFC 5506 for single packets).
//!
//! Called by the engine on authenticated plaintext. Must never yield a view that reaches into the
//! next packet, nor go on after a length that cannot be.

use super::feedback::{FirEntries, NackSequences, RembView};
use super::report::{ReportBlocks, SenderInfo};
use super::{TwccView, XrBlocks, format, kind};
use crate::cursor;

/// Why the rest of a compound packet was not read. The walk ends with it; what came before stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RtcpError {
    /// Version is not 2, or a packet type outside 192 to 223.
    NotRtcp,
    /// A header or length runs past the end.
    Truncated,
    /// Padding of length zero, not a multiple of four, or longer than its packet.
    Padding,
    /// The packet is shorter than its type and count need. Carries the packet type.
    Malformed(u8),
}

/// One packet of a compound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RtcpPacket<'a> {
    /// RFC 3550 section 6.4.1.
    SenderReport {
        /// Sender information, sender's SSRC included.
        info: SenderInfo,
        /// What it receives.
        blocks: ReportBlocks<'a>,
    },
    /// RFC 3550 section 6.4.2.
    ReceiverReport {
        /// SSRC of the reporter.
        ssrc: u32,
        /// What it receives.
        blocks: ReportBlocks<'a>,
    },
    /// Generic NACK, RFC 4585 section 6.2.1.
    Nack {
        /// SSRC of the reporter.
        sender: u32,
        /// SSRC of the stream with losses.
        media: u32,
        /// The lost sequence numbers.
        sequences: NackSequences<'a>,
    },
    /// Transport-wide congestion control feedback.
    TransportFeedback(TwccView<'a>),
    /// Picture loss indication, RFC 4585 section 6.3.1.
    Pli {
        /// SSRC of the reporter.
        sender: u32,
        /// SSRC of the stream that needs a key frame.
        media: u32,
    },
    /// Full intra request, RFC 5104 section 4.3.1.
    Fir {
        /// SSRC of the reporter.
        sender: u32,
        /// The streams that need a key frame.
        entries: FirEntries<'a>,
    },
    /// Receiver estimated maximum bit rate, draft-alvestrand-rmcat-remb-03.
    Remb(RembView<'a>),
    /// RFC 3550 section 6.6.
    Bye {
        /// Sources that leave.
        ssrcs: Ssrcs<'a>,
    },
    /// RFC 3550 section 6.5; the chunks are not read.
    Sdes,
    /// RFC 3611.
    Xr {
        /// SSRC of the reporter.
        ssrc: u32,
        /// Its report blocks.
        blocks: XrBlocks<'a>,
    },
    /// RFC 3550 section 6.7; not read.
    App,
    /// A packet type, or feedback message type, that we do not know.
    Other {
        /// Packet type.
        packet_type: u8,
        /// The count or format field.
        format: u8,
    },
}

/// Iterates over the packets of `compound`. An error is the last item.
pub fn packets(compound: &[u8]) -> Packets<'_> {
    Packets { rest: compound }
}

/// Iterator over a compound packet; see [`packets`].
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<RtcpPacket<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = split(self.rest).and_then(|(head, body, rest)| {
            self.rest = rest;
            read(head, body).ok_or(RtcpError::Malformed(head.packet_type))
        });
        if item.is_err() {
            self.rest = &[];
        }
        Some(item)
    }
}

/// Packet type and the five-bit count or format of one packet.
#[derive(Clone, Copy)]
struct Head {
    packet_type: u8,
    count: u8,
}

/// Cuts the first packet off: its head, its body after the four header bytes without padding, and
/// the packets after it.
fn split(bytes: &[u8]) -> Result<(Head, &[u8], &[u8]), RtcpError> {
    let [first, packet_type, l0, l1] = cursor::array(bytes, 0).ok_or(RtcpError::Truncated)?;
    if first >> 6 != 2 || !(192..=223).contains(&packet_type) {
        return Err(RtcpError::NotRtcp);
    }
    let len = 4 * (usize::from(u16::from_be_bytes([l0, l1])) + 1);
    let (packet, rest) = bytes.split_at_checked(len).ok_or(RtcpError::Truncated)?;
    let mut body = packet.get(4..).unwrap_or_default();
    if first & 0x20 != 0 {
        let padding = usize::from(*body.last().ok_or(RtcpError::Padding)?);
        if padding == 0 || !padding.is_multiple_of(4) {
            // Feedback of transport-wide congestion control is padded by bytes, not words.
            let by_bytes = packet_type == kind::TRANSPORT_FEEDBACK && (1..4).contains(&padding);
            if !by_bytes {
                return Err(RtcpError::Padding);
            }
        }
        let kept = body.len().checked_sub(padding).ok_or(RtcpError::Padding)?;
        body = body.get(..kept).unwrap_or_default();
    }
    Ok((Head { packet_type, count: first & 0x1F }, body, rest))
}

/// Reads the body of one packet; None when it is too short for what it claims.
fn read(head: Head, body: &[u8]) -> Option<RtcpPacket<'_>> {
    let Head { packet_type, count } = head;
    let first = cursor::u32_at(body, 0);
    Some(match (packet_type, count) {
        (kind::SENDER_REPORT, _) => RtcpPacket::SenderReport {
            info: SenderInfo::read(body)?,
            blocks: ReportBlocks::new(body.get(SenderInfo::LEN..)?, count)?,
        },
        (kind::RECEIVER_REPORT, _) => RtcpPacket::ReceiverReport {
            ssrc: first?,
            blocks: ReportBlocks::new(body.get(4..)?, count)?,
        },
        (kind::SOURCE_DESCRIPTION, _) => RtcpPacket::Sdes,
        (kind::BYE, _) => {
            RtcpPacket::Bye { ssrcs: Ssrcs { bytes: body.get(..4 * usize::from(count))? } }
        }
        (kind::APPLICATION, _) => RtcpPacket::App,
        (kind::EXTENDED_REPORT, _) => {
            RtcpPacket::Xr { ssrc: first?, blocks: XrBlocks::new(body.get(4..)?)? }
        }
        (kind::TRANSPORT_FEEDBACK, format::NACK) => RtcpPacket::Nack {
            sender: first?,
            media: cursor::u32_at(body, 4)?,
            sequences: NackSequences::new(body.get(8..)?)?,
        },
        (kind::TRANSPORT_FEEDBACK, format::TRANSPORT_WIDE) => {
            RtcpPacket::TransportFeedback(TwccView::new(body)?)
        }
        (kind::PAYLOAD_FEEDBACK, format::PLI) => {
            RtcpPacket::Pli { sender: first?, media: cursor::u32_at(body, 4)? }
        }
        (kind::PAYLOAD_FEEDBACK, format::FIR) => {
            RtcpPacket::Fir { sender: first?, entries: FirEntries::new(body.get(8..)?)? }
        }
        (kind::PAYLOAD_FEEDBACK, format::APPLICATION_LAYER)
            if cursor::array(body, 8) == Some(super::REMB_IDENTIFIER) =>
        {
            RtcpPacket::Remb(RembView::new(body)?)
        }
        _ => RtcpPacket::Other { packet_type, format: count },
    })
}

/// Iterator over a list of SSRCs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ssrcs<'a> {
    bytes: &'a [u8],
}

impl<'a> Ssrcs<'a> {
    /// The SSRCs in `bytes`; an incomplete last one is not yielded.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }
}

impl Iterator for Ssrcs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (ssrc, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(u32::from_be_bytes(*ssrc))
    }
}
