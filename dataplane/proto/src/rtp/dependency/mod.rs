//! The dependency descriptor header extension (AV1 RTP specification v1.0.0, appendix A): layers and decode
//! targets of a frame, readable whatever the codec and when the payload is encrypted end to end.
//!
//! Read once per inbound packet of encodings that send it, rewritten per subscriber that gets it.
//! Parsers are total over hostile bytes and bounded by the format.

mod bits;
mod descriptor;
mod rewrite;
mod structure;

pub use descriptor::{Descriptor, Reader};
pub use rewrite::rewrite;
pub use structure::Structure;

#[cfg(test)]
mod tests;
