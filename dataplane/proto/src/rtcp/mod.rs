//! RTCP (RFC 3550 section 6): the walk over a compound packet, views of the packet types an SFU
//! understands, and the builder.
//!
//! Called on decrypted RTCP and before encryption. Nothing here allocates; views borrow from the
//! packet and read lazily, so an iterator costs only what is taken from it.

mod compound;
mod extended;
mod feedback;
mod report;
mod twcc;
mod writer;

pub use compound::{Packets, RtcpError, RtcpPacket, Ssrcs, packets};
pub use extended::{DlrrBlock, DlrrBlocks, XrBlock, XrBlocks};
pub use feedback::{FirEntries, NackSequences, RembView};
pub use report::{ReportBlock, ReportBlocks, SenderInfo};
pub use twcc::{TwccIter, TwccRecorder, TwccView};
pub use writer::CompoundWriter;

/// Packet types (RFC 3550 section 12.1, RFC 4585 section 6.1, RFC 3611 section 2).
mod kind {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const SOURCE_DESCRIPTION: u8 = 202;
    pub(super) const BYE: u8 = 203;
    pub(super) const APPLICATION: u8 = 204;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
    pub(super) const EXTENDED_REPORT: u8 = 207;
}

/// Feedback message types within their packet type (RFC 4585, RFC 5104, and the drafts of REMB and
/// transport-wide feedback).
mod format {
    pub(super) const NACK: u8 = 1;
    pub(super) const TRANSPORT_WIDE: u8 = 15;
    pub(super) const PLI: u8 = 1;
    pub(super) const FIR: u8 = 4;
    pub(super) const APPLICATION_LAYER: u8 = 15;
}

/// What marks REMB among application-layer feedback (draft-alvestrand-rmcat-remb-03 section 2.2).
const REMB_IDENTIFIER: [u8; 4] = *b"REMB";

#[cfg(test)]
mod tests;
