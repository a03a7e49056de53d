//! The outbound direction: encrypt into a send slot and append the tag.
//!
//! The engine calls `rtp` once per packet and subscriber with the shared plaintext, `rtp_in_place`
//! for packets it built in the slot, and `rtcp` for reports. The caller owns the index and must
//! never use one twice for different packets of an SSRC: with GCM that gives the key away
//! (RFC 7714 section 8.4). Must never allocate.
//!
//! RFC 3711 sections 3.1 and 3.4, RFC 7714 sections 8 and 9.

use super::aead::{self, Position, SeldomGcm};
use super::cm::{self, Cm};
use super::derive::{Keying, Stream};
use super::open::{RtcpKeys, RtpKeys, rollover, rtcp_aad};
use super::{ENCRYPTED, INDEX_WORD, RTCP_CLEAR, RTP_HEADER, SrtpProfile, word};

/// Keys of one outbound direction of one peer.
pub struct Seal {
    profile: SrtpProfile,
    rtp: RtpKeys,
    rtcp: RtcpKeys<SeldomGcm>,
}

impl Seal {
    /// Derives the session keys of the packets the DTLS client (`from_client`) or server sends.
    /// Cost: about 1 us and one heap allocation, once per peer.
    pub fn new(keying: &Keying, from_client: bool) -> Seal {
        Seal {
            profile: keying.profile(),
            rtp: RtpKeys::new(keying.session(from_client, Stream::Rtp)),
            rtcp: RtcpKeys::new(keying.session(from_client, Stream::Rtcp), SeldomGcm::new),
        }
    }

    /// Bytes `rtp` and `rtp_in_place` add to a packet.
    pub const fn overhead(&self) -> usize {
        super::rtp_overhead(self.profile)
    }

    /// Bytes `rtcp` adds to a compound packet.
    pub const fn rtcp_overhead(&self) -> usize {
        super::rtcp_overhead(self.profile)
    }

    /// Encrypts `payload` behind the finished RTP header in `slot[..header_len]`, appends the tag
    /// and returns the packet's length. `index` is rollover count * 2^16 + sequence number, its
    /// low half the sequence number in the header. `None` when the slot is too short, the header
    /// shorter than 12 bytes or the index beyond 48 bits; the slot must not be sent then.
    #[inline(always)]
    pub fn rtp(
        &self,
        index: u64,
        slot: &mut [u8],
        header_len: usize,
        payload: &[u8],
    ) -> Option<usize> {
        let end = header_len.checked_add(payload.len())?;
        match &self.rtp {
            RtpKeys::Gcm(gcm) => {
                let (at, message, tag) = lay_out(index, slot, header_len, end, aead::TAG_LEN)?;
                let (header, body) = message.split_at_mut_checked(header_len)?;
                gcm.seal_to(at, header, payload, body, tag)?;
                Some(end + aead::TAG_LEN)
            }
            RtpKeys::Cm(cm) => {
                let (at, message, tag) = lay_out(index, slot, header_len, end, cm::TAG_LEN)?;
                cm.apply_to(at, payload, message.get_mut(header_len..)?)?;
                cm.sign(message, rollover(index), tag);
                Some(end + cm::TAG_LEN)
            }
        }
    }

    /// The same for a payload that stands in `slot[header_len..len]` already.
    pub fn rtp_in_place(
        &self,
        index: u64,
        slot: &mut [u8],
        header_len: usize,
        len: usize,
    ) -> Option<usize> {
        let (at, message, tag) = lay_out(index, slot, header_len, len, self.overhead())?;
        let (header, body) = message.split_at_mut_checked(header_len)?;
        match &self.rtp {
            RtpKeys::Gcm(gcm) => gcm.seal(at, header, body, tag)?,
            RtpKeys::Cm(cm) => {
                cm.apply(at, body)?;
                cm.sign(message, rollover(index), tag);
            }
        }
        Some(len + self.overhead())
    }

    /// Encrypts the compound RTCP packet in `slot[..len]`, appends index, E bit and tag, and
    /// returns the packet's length. `index` counts the packets of the sender SSRC in bytes 4 to 8
    /// and has 31 bits. `None` when the slot or the packet is too short or the index beyond
    /// 31 bits; the slot must not be sent then.
    pub fn rtcp(&self, index: u32, slot: &mut [u8], len: usize) -> Option<usize> {
        if len < RTCP_CLEAR || index & ENCRYPTED != 0 {
            return None;
        }
        let total = len.checked_add(self.rtcp_overhead())?;
        let (message, trailer) = slot.get_mut(..total)?.split_at_mut_checked(len)?;
        let at = Position { ssrc: word(message, 4)?, index: u64::from(index) };
        let index_word = index | ENCRYPTED;
        match &self.rtcp {
            RtcpKeys::Gcm(gcm) => {
                let (tag, word) = trailer.split_at_mut_checked(aead::TAG_LEN)?;
                let (clear, body) = message.split_at_mut_checked(RTCP_CLEAR)?;
                gcm.seal(at, &rtcp_aad(clear, index_word)?, body, tag)?;
                word.copy_from_slice(&index_word.to_be_bytes());
            }
            RtcpKeys::Cm(keys) => {
                let cm = Cm::new(keys);
                let (word, tag) = trailer.split_at_mut_checked(INDEX_WORD)?;
                cm.apply(at, message.get_mut(RTCP_CLEAR..)?)?;
                cm.sign(message, index_word, tag);
                word.copy_from_slice(&index_word.to_be_bytes());
            }
        }
        Some(total)
    }
}

/// Splits the slot into the packet up to `end` and its tag, and checks header and index.
#[inline(always)]
fn lay_out(
    index: u64,
    slot: &mut [u8],
    header_len: usize,
    end: usize,
    tag_len: usize,
) -> Option<(Position, &mut [u8], &mut [u8])> {
    if header_len < RTP_HEADER || end < header_len || index >> 48 != 0 {
        return None;
    }
    let total = end.checked_add(tag_len)?;
    let (message, tag) = slot.get_mut(..total)?.split_at_mut_checked(end)?;
    debug_assert_eq!(word(message, 0).map(|first| first as u16), Some(index as u16));
    let ssrc = word(message, 8)?;
    Some((Position { ssrc, index }, message, tag))
}

const _: () = assert!(cm::TAG_LEN < aead::TAG_LEN);
