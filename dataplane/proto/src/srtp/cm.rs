//! AES-128 in counter mode with HMAC-SHA1-80, the mandatory profile of DTLS-SRTP.
//!
//! Called by `Open` and `Seal` for RTP and RTCP alike. The tag is always verified before a byte is
//! decrypted. Nothing here may allocate.
//!
//! RFC 3711 sections 4.1.1 (counter mode) and 4.2 (authentication).

use aes::Aes128Enc;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::aead::Position;
use super::derive::SessionKeys;

/// Length of the tag (RFC 5764 section 4.1.2).
pub(super) const TAG_LEN: usize = 10;

/// Block length of SHA-1 in bytes (RFC 3174 section 4).
const SHA1_BLOCK: usize = 64;

/// Expanded session keys.
pub(super) struct Cm {
    aes: Aes128Enc,
    mac: Hmac<Sha1>,
    salt: [u8; 14],
}

impl Cm {
    /// Expands the keys. Cost: no allocation, about 100 ns.
    pub(super) fn new(keys: &SessionKeys) -> Cm {
        // RFC 2104 section 2: a key shorter than the block is padded with zeros.
        let mut mac_key = [0; SHA1_BLOCK];
        mac_key[..keys.auth.len()].copy_from_slice(&keys.auth);
        Cm {
            aes: Aes128Enc::new(&keys.cipher_128().into()),
            mac: <Hmac<Sha1> as KeyInit>::new(&mac_key.into()),
            salt: keys.salt,
        }
    }

    /// Verifies `tag` over `message` and `suffix` in constant time.
    pub(super) fn verify(&self, message: &[u8], suffix: u32, tag: &[u8]) -> Option<()> {
        if tag.len() != TAG_LEN {
            return None;
        }
        let mut mac = self.mac.clone();
        mac.update(message);
        mac.update(&suffix.to_be_bytes());
        mac.verify_truncated_left(tag).ok()
    }

    /// Writes the tag over `message` and `suffix`.
    pub(super) fn sign(&self, message: &[u8], suffix: u32, tag: &mut [u8]) {
        let mut mac = self.mac.clone();
        mac.update(message);
        mac.update(&suffix.to_be_bytes());
        for (to, from) in tag.iter_mut().zip(mac.finalize().into_bytes()) {
            *to = from;
        }
    }

    /// Encrypts or decrypts `body` in place.
    pub(super) fn apply(&self, at: Position, body: &mut [u8]) -> Option<()> {
        self.key_stream(at).try_apply_keystream(body).ok()
    }

    /// Encrypts `plain` into `cipher`, which has the same length.
    pub(super) fn apply_to(&self, at: Position, plain: &[u8], cipher: &mut [u8]) -> Option<()> {
        self.key_stream(at).apply_keystream_b2b(plain, cipher).ok()
    }

    /// RFC 3711 section 4.1.1: IV = salt * 2^16 XOR SSRC * 2^64 XOR index * 2^16.
    fn key_stream(&self, at: Position) -> ctr::Ctr128BE<&Aes128Enc> {
        let wide = u128::from(at.ssrc) << 64 | u128::from(at.index) << 16;
        let mut iv = wide.to_be_bytes();
        for (byte, salt) in iv.iter_mut().zip(&self.salt) {
            *byte ^= salt;
        }
        StreamCipherCoreWrapper::from_core(ctr::CtrCore::inner_iv_init(&self.aes, &iv.into()))
    }
}
