//! Packets of the floor: an RTP header of 20 bytes, a payload, AEAD_AES_256_GCM. The shortest way to
//! seal and open them: no replay window, no rollover, no key derivation. Used by both ends of the
//! floor; never anything a real client could be sent.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::Outcome;

/// A fixed header with one extension element, as most forwarded packets have.
pub(super) const HEADER: usize = 20;
/// The authentication tag.
pub(super) const TAG: usize = 16;

/// The key of a publisher or a destination.
pub(super) fn key(number: u32) -> Outcome<LessSafeKey> {
    let bytes: [u8; 32] =
        std::array::from_fn(|place| number.to_be_bytes()[place % 4] ^ place as u8);
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes)?))
}

/// The nonce of a counter.
pub(super) fn nonce(counter: u64) -> Nonce {
    let mut bytes = [7; NONCE_LEN];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Makes the packets of one publisher.
pub(super) struct Sealer {
    publisher: u32,
    key: Option<LessSafeKey>,
    sequence: u16,
    slot: Vec<u8>,
}

impl Sealer {
    /// A publisher's packets, from sequence number 0.
    pub(super) fn new(publisher: u32) -> Self {
        Self { publisher, key: key(publisher).ok(), sequence: 0, slot: Vec::new() }
    }

    /// The next packet with so many bytes of payload.
    pub(super) fn packet(&mut self, len: usize) -> Outcome<&[u8]> {
        let key = self.key.as_ref().ok_or("no key")?;
        self.slot.clear();
        self.slot.resize(HEADER + len + TAG, 0x5a);
        self.sequence = self.sequence.wrapping_add(1);
        let (header, rest) = self.slot.split_at_mut(HEADER);
        header[..2].copy_from_slice(&[0x90, 96]);
        header[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        header[8..12].copy_from_slice(&self.publisher.to_be_bytes());
        let (payload, tag) = rest.split_at_mut(len);
        let sealed = key.seal_in_place_separate_tag(
            nonce(u64::from(self.sequence)),
            Aad::from(&*header),
            payload,
        )?;
        tag.copy_from_slice(sealed.as_ref());
        Ok(&self.slot)
    }
}
