//! The inbound direction: authenticate, decrypt in place, then move the stream's state.
//!
//! The engine calls `rtp` or `rtcp` for each packet of a peer whose keys are known, with the state
//! of the packet's SSRC. State moves only after the tag was verified, so a forged packet changes
//! nothing. Must never allocate, and never accept a packet that is not encrypted.
//!
//! RFC 3711 sections 3.3 and 3.4, RFC 7714 sections 8 and 9.

use common::limits::DATAGRAM_MAX;

use super::aead::{self, Gcm, Position};
use super::cm::{self, Cm};
use super::derive::{Keying, SessionKeys, Stream};
use super::window::{InboundRtcp, InboundStream};
use super::{ENCRYPTED, INDEX_WORD, RTCP_CLEAR, RTP_HEADER, SrtpProfile, word};

/// Keys of one inbound direction of one peer.
pub struct Open {
    rtp: RtpKeys,
    rtcp: RtcpKeys<Gcm>,
}

/// A packet that was authenticated and decrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Length of the plain packet in bytes, header included.
    pub len: usize,
    /// Rollover count * 2^16 + sequence number.
    pub index: u64,
}

/// Why a packet was not opened. The caller counts it and drops the packet; the stream's state is
/// as before, the packet's bytes are undefined.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OpenError {
    /// Too short for its header and tag, or RTCP that is not encrypted.
    Malformed,
    /// The tag does not match.
    Unauthentic,
    /// A packet with this index was opened before, or it is older than the replay list reaches
    /// (RFC 3711 section 3.3.2).
    Replayed,
}

impl Open {
    /// Derives the session keys of the packets the DTLS client (`from_client`) or server sends.
    /// Cost: about 1 us and two heap allocations, once per peer.
    pub fn new(keying: &Keying, from_client: bool) -> Open {
        Open {
            rtp: RtpKeys::new(keying.session(from_client, Stream::Rtp)),
            rtcp: RtcpKeys::new(keying.session(from_client, Stream::Rtcp), expand),
        }
    }

    /// Authenticates and decrypts an RTP packet in place. `header_len` counts the fixed header,
    /// CSRCs and the extension (RFC 3711 section 3.1). `stream` belongs to the packet's SSRC; for
    /// an SSRC never seen pass a fresh one and keep it only when this succeeds.
    pub fn rtp(
        &self,
        stream: &mut InboundStream,
        packet: &mut [u8],
        header_len: usize,
    ) -> Result<Opened, OpenError> {
        if header_len < RTP_HEADER || packet.len() < header_len {
            return Err(OpenError::Malformed);
        }
        let sequence = word(packet, 0).ok_or(OpenError::Malformed)? as u16;
        let ssrc = word(packet, 8).ok_or(OpenError::Malformed)?;
        let index = stream.estimate(sequence);
        if !stream.is_new(index) {
            return Err(OpenError::Replayed);
        }
        // Of a fresh stream the packets before its first wrap may all be lost: where the sequence
        // allows it, a rollover count of one is tried as well.
        let second = (stream.newest().is_none() && sequence < 1 << 15).then_some(index | 1 << 16);
        let (index, len) = match &self.rtp {
            RtpKeys::Gcm(gcm) => open_gcm(gcm, ssrc, (index, second), packet, header_len)?,
            RtpKeys::Cm(cm) => open_cm(cm, ssrc, (index, second), packet, header_len)?,
        };
        stream.mark(index);
        Ok(Opened { len, index })
    }

    /// Authenticates and decrypts a compound RTCP packet in place and returns its plain length.
    /// `stream` belongs to the SSRC in bytes 4 to 8; the caller keeps a fresh one only when this
    /// succeeds.
    pub fn rtcp(&self, stream: &mut InboundRtcp, packet: &mut [u8]) -> Result<usize, OpenError> {
        let (ssrc, index_word) = self.rtcp.trailer(packet).ok_or(OpenError::Malformed)?;
        if index_word & ENCRYPTED == 0 {
            return Err(OpenError::Malformed);
        }
        let index = index_word & !ENCRYPTED;
        if !stream.is_new(index) {
            return Err(OpenError::Replayed);
        }
        let at = Position { ssrc, index: u64::from(index) };
        let len = match &self.rtcp {
            RtcpKeys::Gcm(gcm) => open_rtcp_gcm(gcm, at, index_word, packet),
            RtcpKeys::Cm(keys) => open_rtcp_cm(keys, at, index_word, packet),
        }
        .ok_or(OpenError::Unauthentic)?;
        stream.mark(index);
        Ok(len)
    }
}

/// Expanded keys of a direction's RTP. The larger variant is boxed: most peers use GCM.
pub(super) enum RtpKeys {
    Gcm(Gcm),
    Cm(Box<Cm>),
}

impl RtpKeys {
    pub(super) fn new(keys: SessionKeys) -> RtpKeys {
        match keys.profile {
            SrtpProfile::Aes128CmSha1_80 => RtpKeys::Cm(Box::new(Cm::new(&keys))),
            SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => RtpKeys::Gcm(expand(keys)),
        }
    }
}

/// Key lengths come from the profile, so expansion can only fail for want of memory.
fn expand(keys: SessionKeys) -> Gcm {
    Gcm::new(&keys).expect("key length follows the profile")
}

/// Keys of a direction's RTCP: of GCM in the form `G`, otherwise raw and expanded on use.
pub(super) enum RtcpKeys<G> {
    Gcm(G),
    Cm(SessionKeys),
}

impl<G> RtcpKeys<G> {
    pub(super) fn new(keys: SessionKeys, gcm: impl FnOnce(SessionKeys) -> G) -> RtcpKeys<G> {
        match keys.profile {
            SrtpProfile::Aes128CmSha1_80 => RtcpKeys::Cm(keys),
            SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => RtcpKeys::Gcm(gcm(keys)),
        }
    }

    /// Sender SSRC and the word of E bit and index, which stands at the very end with GCM
    /// (RFC 7714 section 9.1) and before the tag otherwise (RFC 3711 section 3.4).
    fn trailer(&self, packet: &[u8]) -> Option<(u32, u32)> {
        let (tag, behind) = match self {
            RtcpKeys::Gcm(_) => (aead::TAG_LEN, INDEX_WORD),
            RtcpKeys::Cm(_) => (cm::TAG_LEN, INDEX_WORD + cm::TAG_LEN),
        };
        if packet.len() < RTCP_CLEAR + INDEX_WORD + tag {
            return None;
        }
        let index_word = word(packet, packet.len().checked_sub(behind)?)?;
        Some((word(packet, 4)?, index_word))
    }
}

/// The estimated index, and the one to try next.
type Candidates = (u64, Option<u64>);

fn open_gcm(
    gcm: &Gcm,
    ssrc: u32,
    (first, second): Candidates,
    packet: &mut [u8],
    header_len: usize,
) -> Result<(u64, usize), OpenError> {
    let (header, body) = packet.split_at_mut_checked(header_len).ok_or(OpenError::Malformed)?;
    if body.len() < aead::TAG_LEN {
        return Err(OpenError::Malformed);
    }
    let opened = match second {
        None => gcm.open(Position { ssrc, index: first }, header, body).map(|len| (first, len)),
        Some(second) => open_gcm_either(gcm, ssrc, [first, second], header, body),
    };
    let (index, len) = opened.ok_or(OpenError::Unauthentic)?;
    Ok((index, header_len + len))
}

/// Tries two indexes. A failed attempt in place loses the bytes, so both go through the stack;
/// this is the first packet of an SSRC, not the steady state.
fn open_gcm_either(
    gcm: &Gcm,
    ssrc: u32,
    indexes: [u64; 2],
    header: &[u8],
    body: &mut [u8],
) -> Option<(u64, usize)> {
    let mut plain = [0; DATAGRAM_MAX];
    for index in indexes {
        if let Some(len) = gcm.open_to(Position { ssrc, index }, header, body, &mut plain) {
            body.get_mut(..len)?.copy_from_slice(plain.get(..len)?);
            return Some((index, len));
        }
    }
    None
}

fn open_cm(
    cm: &Cm,
    ssrc: u32,
    (first, second): Candidates,
    packet: &mut [u8],
    header_len: usize,
) -> Result<(u64, usize), OpenError> {
    let len = packet
        .len()
        .checked_sub(cm::TAG_LEN)
        .filter(|len| *len >= header_len)
        .ok_or(OpenError::Malformed)?;
    let (message, tag) = packet.split_at_mut_checked(len).ok_or(OpenError::Malformed)?;
    let index = [Some(first), second]
        .into_iter()
        .flatten()
        .find(|index| cm.verify(message, rollover(*index), tag).is_some())
        .ok_or(OpenError::Unauthentic)?;
    let body = message.get_mut(header_len..).ok_or(OpenError::Malformed)?;
    cm.apply(Position { ssrc, index }, body).ok_or(OpenError::Malformed)?;
    Ok((index, len))
}

fn open_rtcp_gcm(gcm: &Gcm, at: Position, index_word: u32, packet: &mut [u8]) -> Option<usize> {
    let end = packet.len().checked_sub(INDEX_WORD)?;
    let (clear, body) = packet.get_mut(..end)?.split_at_mut_checked(RTCP_CLEAR)?;
    let len = gcm.open(at, &rtcp_aad(clear, index_word)?, body)?;
    Some(RTCP_CLEAR + len)
}

fn open_rtcp_cm(
    keys: &SessionKeys,
    at: Position,
    index_word: u32,
    packet: &mut [u8],
) -> Option<usize> {
    let cm = Cm::new(keys);
    let len = packet.len().checked_sub(INDEX_WORD + cm::TAG_LEN)?;
    let (message, trailer) = packet.split_at_mut_checked(len)?;
    cm.verify(message, index_word, trailer.get(INDEX_WORD..)?)?;
    cm.apply(at, message.get_mut(RTCP_CLEAR..)?)?;
    Some(len)
}

/// The rollover count, which is authenticated but not sent (RFC 3711 section 4.2).
pub(super) const fn rollover(index: u64) -> u32 {
    (index >> 16) as u32
}

/// Associated data of an encrypted SRTCP packet: first eight bytes and the index word (RFC 7714
/// section 9.2).
pub(super) fn rtcp_aad(clear: &[u8], index_word: u32) -> Option<[u8; RTCP_CLEAR + INDEX_WORD]> {
    let mut aad = [0; RTCP_CLEAR + INDEX_WORD];
    aad[..RTCP_CLEAR].copy_from_slice(clear.first_chunk::<RTCP_CLEAR>()?);
    aad[RTCP_CLEAR..].copy_from_slice(&index_word.to_be_bytes());
    Some(aad)
}
