//! Secure RTP: keys, the inbound direction and the outbound direction, each for one peer.
//!
//! The engine calls `Keying` once when a handshake ends, `Open` for each packet that comes in and
//! `Seal` for each packet that goes out. Keys live here; stream state (`InboundStream`,
//! `InboundRtcp`, the outbound index) is a plain value the engine owns per SSRC. Nothing here may
//! allocate per packet, read a clock, or change stream state before a packet's tag was verified.
//!
//! RFC 3711 (SRTP), RFC 5764 section 4.2 (keys from DTLS), RFC 7714 (AES-GCM).

mod aead;
mod cm;
mod derive;
mod open;
mod seal;
#[cfg(test)]
mod tests;
mod window;

pub use common::event::SrtpProfile;

pub use derive::Keying;
pub use open::{Open, OpenError, Opened};
pub use seal::Seal;
pub use window::{InboundRtcp, InboundStream};

/// Bytes a tag adds to an RTP packet under `profile` (RFC 5764 section 4.1.2, RFC 7714 section
/// 12: 10 for HMAC-SHA1-80, 16 for GCM).
pub const fn rtp_overhead(profile: SrtpProfile) -> usize {
    match profile {
        SrtpProfile::Aes128CmSha1_80 => cm::TAG_LEN,
        SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => aead::TAG_LEN,
    }
}

/// Bytes protection adds to a compound RTCP packet under `profile`: the tag and the 4-byte word of
/// E bit and index (RFC 3711 section 3.4).
pub const fn rtcp_overhead(profile: SrtpProfile) -> usize {
    rtp_overhead(profile) + INDEX_WORD
}

/// Length of the word of E bit and SRTCP index (RFC 3711 section 3.4).
const INDEX_WORD: usize = 4;
/// The E bit: this packet is encrypted (RFC 3711 section 3.4).
const ENCRYPTED: u32 = 1 << 31;
/// Fixed part of an RTP header (RFC 3550 section 5.1).
const RTP_HEADER: usize = 12;
/// The part of a compound RTCP packet that stays in clear: first word and sender SSRC (RFC 3711
/// section 3.4).
const RTCP_CLEAR: usize = 8;

/// Reads four bytes at `at`, big-endian.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*four))
}
