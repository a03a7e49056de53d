//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! `recorder` notes arrivals and says what to report, `encode` packs one message, `view` reads
//! one. The recorder is called for every authenticated packet that carries a transport-wide number.

mod encode;
mod recorder;
mod view;

pub use recorder::TwccRecorder;
pub use view::{TwccIter, TwccView};

/// Microseconds of one delta unit (draft section 3.1.5).
const DELTA_US: u64 = 250;
/// Delta units of one unit of reference time: 64 ms (draft section 3.1).
const REFERENCE_UNITS: i64 = 256;
/// Bytes of a message before its chunks, RTCP header included (draft section 3.1).
const HEADER_LEN: usize = 20;

/// Packet status symbols (draft section 3.1.1).
mod symbol {
    pub(super) const LOST: u8 = 0;
    pub(super) const SMALL: u8 = 1;
    pub(super) const LARGE: u8 = 2;
}

#[cfg(test)]
mod tests;
