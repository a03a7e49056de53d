//! AES-GCM for SRTP and SRTCP: the one file that names the AEAD libraries.
//!
//! Called by `Open` and `Seal`. `Gcm` keeps an expanded key: for the RTP of a direction, sealing out
//! of place straight into the send slot, and for the RTCP that comes in, which is twenty messages a
//! second from a peer that answers transport-wide numbers. `SeldomGcm` keeps only the raw key, for
//! the RTCP that goes out, and expands it on the stack per packet (117 ns) instead of holding 544
//! bytes more per peer. Nothing here may allocate per packet.
//!
//! RFC 7714 sections 8 and 9.

use aws_lc_rs::aead as fast;
use ring::aead as small;

use super::SrtpProfile;
use super::derive::SessionKeys;

/// Length of the tag (RFC 7714 section 13.2: only the full tag is in use).
pub(super) const TAG_LEN: usize = 16;

/// An expanded AES-GCM key with its salt.
pub(super) struct Gcm {
    key: fast::LessSafeKey,
    salt: [u8; 12],
}

impl Gcm {
    /// Expands the key. Cost: one heap allocation of about 600 bytes. `None` when the key has the
    /// wrong length for the profile.
    pub(super) fn new(keys: &SessionKeys) -> Option<Gcm> {
        let algorithm = match keys.profile {
            SrtpProfile::AeadAes256Gcm => &fast::AES_256_GCM,
            SrtpProfile::AeadAes128Gcm | SrtpProfile::Aes128CmSha1_80 => &fast::AES_128_GCM,
        };
        let key = fast::UnboundKey::new(algorithm, keys.cipher()).ok()?;
        Some(Gcm { key: fast::LessSafeKey::new(key), salt: keys.salt_96() })
    }

    /// Verifies and decrypts `body` (ciphertext, then tag) in place and returns the plaintext's
    /// length. On failure the bytes of `body` are lost.
    pub(super) fn open(&self, at: Position, aad: &[u8], body: &mut [u8]) -> Option<usize> {
        let nonce = fast::Nonce::assume_unique_for_key(at.iv(&self.salt));
        let plain = self.key.open_in_place(nonce, fast::Aad::from(aad), body).ok()?;
        Some(plain.len())
    }

    /// Verifies `body` (ciphertext, then tag) and decrypts it to the front of `out`; `body` stays
    /// as it is. `None` also when `out` is too short.
    pub(super) fn open_to(
        &self,
        at: Position,
        aad: &[u8],
        body: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        let (cipher, tag) = body.split_at_checked(body.len().checked_sub(TAG_LEN)?)?;
        let out = out.get_mut(..cipher.len())?;
        let nonce = fast::Nonce::assume_unique_for_key(at.iv(&self.salt));
        self.key.open_separate_gather(nonce, fast::Aad::from(aad), cipher, tag, out).ok()?;
        Some(cipher.len())
    }

    /// Encrypts `plain` into `cipher`, which has the same length, and writes the tag.
    #[inline(always)]
    pub(super) fn seal_to(
        &self,
        at: Position,
        aad: &[u8],
        plain: &[u8],
        cipher: &mut [u8],
        tag: &mut [u8],
    ) -> Option<()> {
        let nonce = fast::Nonce::assume_unique_for_key(at.iv(&self.salt));
        self.key
            .seal_out_of_place_scatter(nonce, fast::Aad::from(aad), plain, cipher, &[], tag)
            .ok()
    }

    /// Encrypts `body` in place and writes the tag.
    pub(super) fn seal(
        &self,
        at: Position,
        aad: &[u8],
        body: &mut [u8],
        tag: &mut [u8],
    ) -> Option<()> {
        let nonce = fast::Nonce::assume_unique_for_key(at.iv(&self.salt));
        self.key.seal_in_place_scatter(nonce, fast::Aad::from(aad), body, &[], tag).ok()
    }
}

/// A raw AES-GCM key with its salt, expanded on each use.
pub(super) struct SeldomGcm(SessionKeys);

impl SeldomGcm {
    pub(super) fn new(keys: SessionKeys) -> Self {
        Self(keys)
    }

    /// Encrypts `body` in place and writes the tag.
    pub(super) fn seal(
        &self,
        at: Position,
        aad: &[u8],
        body: &mut [u8],
        tag: &mut [u8],
    ) -> Option<()> {
        let nonce = small::Nonce::assume_unique_for_key(at.iv(&self.0.salt_96()));
        let made =
            self.key()?.seal_in_place_separate_tag(nonce, small::Aad::from(aad), body).ok()?;
        if made.as_ref().len() != tag.len() {
            return None;
        }
        tag.copy_from_slice(made.as_ref());
        Some(())
    }

    fn key(&self) -> Option<small::LessSafeKey> {
        let algorithm = match self.0.profile {
            SrtpProfile::AeadAes256Gcm => &small::AES_256_GCM,
            SrtpProfile::AeadAes128Gcm | SrtpProfile::Aes128CmSha1_80 => &small::AES_128_GCM,
        };
        let key = small::UnboundKey::new(algorithm, self.0.cipher()).ok()?;
        Some(small::LessSafeKey::new(key))
    }
}

/// Which packet of a key: what makes its initialisation vector unique.
#[derive(Clone, Copy)]
pub(super) struct Position {
    /// Sender of the packet.
    pub(super) ssrc: u32,
    /// 48-bit RTP index or 31-bit SRTCP index.
    pub(super) index: u64,
}

impl Position {
    /// RFC 7714 sections 8.1 and 9.1: two zero bytes, SSRC, six bytes of index, XOR salt.
    #[inline]
    fn iv(self, salt: &[u8; 12]) -> [u8; 12] {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *salt;
        let salt = u128::from_be_bytes([0, 0, 0, 0, a, b, c, d, e, f, g, h, i, j, k, l]);
        let salted = salt ^ (u128::from(self.ssrc) << 48 | u128::from(self.index));
        let [_, _, _, _, iv @ ..] = salted.to_be_bytes();
        iv
    }
}
