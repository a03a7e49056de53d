//! RTP packets (RFC 3550): header view and writer, header extension elements, sequence arithmetic.
//!
//! Called for every media packet. Nothing here allocates, copies payload or keeps state.

mod audio_level;
pub mod dependency;
mod extensions;
mod header;
mod layers_allocation;
mod sequence;
mod writer;

pub use audio_level::AudioLevel;
pub use extensions::{Elements, elements};
pub use header::{ExtensionBlock, Header, padding_len};
pub use layers_allocation::{AllocatedLayer, LayersAllocation};
pub use sequence::{extend, newer};
pub use writer::{ElementForm, FixedHeader, HeaderWriter, Lead};

/// Profile of the one-byte form (RFC 8285 section 4.2).
const PROFILE_ONE_BYTE: u16 = 0xBEDE;
/// Profile of the two-byte form; its low four bits are for the application (RFC 8285 section 4.3).
const PROFILE_TWO_BYTE: u16 = 0x1000;
/// Bytes of the header before CSRCs (RFC 3550 section 5.1).
const FIXED_LEN: usize = 12;

#[cfg(test)]
mod tests;
