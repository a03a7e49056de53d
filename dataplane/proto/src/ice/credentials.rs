//! ICE credentials that need no table: the user name fragment is the encrypted name of its owner,
//! the password is derived from it.
//!
//! The control plane issues them into SDP; every core opens them on the first packet of an unknown
//! address. A fragment is one AES-128 block (slot index, generation, restart counter, seven zero
//! bytes) in 22 characters of the ICE alphabet: it reveals nothing, and a made-up one decrypts to
//! seven zeros once in 2^56 tries. RFC 8445 section 5.3 asks for 24 and 128 bits of randomness.
//! Must never be printed: a password gives the right to move a peer's media.

use std::fmt;

use aes::Aes128;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use common::id::PeerId;
use ring::hmac;

/// The key under which one node makes its credentials. Whoever has it can join as anyone.
#[derive(Clone)]
pub struct NodeSecret {
    ufrag_cipher: Aes128,
    password_key: hmac::Key,
}

impl NodeSecret {
    /// Derives the working keys from 32 random bytes. Once per node.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        let ufrag_key = hmac::sign(&root, b"fanfall ice ufrag");
        let password_key = hmac::sign(&root, b"fanfall ice password");
        let mut cipher_key = [0; 16];
        copy_prefix(&mut cipher_key, ufrag_key.as_ref());
        Self {
            ufrag_cipher: Aes128::new(&GenericArray::from(cipher_key)),
            password_key: hmac::Key::new(hmac::HMAC_SHA256, password_key.as_ref()),
        }
    }
}

impl fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeSecret(..)")
    }
}

/// A user name fragment of ours, stored inline.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ufrag([u8; Ufrag::LEN]);

impl Ufrag {
    /// Characters of a fragment: 128 bits at six a character.
    pub const LEN: usize = 22;

    /// The fragment as text, for `a=ice-ufrag`.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The fragment as it stands in USERNAME.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Ufrag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A password of ours, stored inline.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password([u8; Password::LEN]);

impl Password {
    /// Characters of a password: 144 bits at six a character.
    pub const LEN: usize = 24;

    /// The password as text, for `a=ice-pwd`.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The password as the key of MESSAGE-INTEGRITY.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What a peer needs to be let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// For `a=ice-ufrag`.
    pub ufrag: Ufrag,
    /// For `a=ice-pwd`.
    pub pwd: Password,
}

/// Makes the credentials of `peer`; `restart` counts its ICE restarts, each of which has its own.
pub fn issue(secret: &NodeSecret, peer: PeerId, restart: u8) -> Credentials {
    let mut block = [0; BLOCK];
    copy_prefix(&mut block, &peer.index.to_be_bytes());
    copy_prefix(block.get_mut(4..).unwrap_or_default(), &peer.generation.to_be_bytes());
    copy_prefix(block.get_mut(8..).unwrap_or_default(), &[restart]);
    let mut block = GenericArray::from(block);
    secret.ufrag_cipher.encrypt_block(&mut block);
    let mut ufrag = [0; Ufrag::LEN];
    encode(&block, &mut ufrag);
    Credentials { ufrag: Ufrag(ufrag), pwd: password(secret, &ufrag) }
}

/// Reads the owner and the restart counter out of a user name fragment; None when this secret did
/// not make it.
///
/// Cost: one AES block, no allocation. Called on bytes from anyone.
pub fn open_ufrag(secret: &NodeSecret, ufrag: &[u8]) -> Option<(PeerId, u8)> {
    let mut block = GenericArray::from(decode(ufrag)?);
    secret.ufrag_cipher.decrypt_block(&mut block);
    let [a, b, c, d, e, f, g, h, restart, check @ ..] = <[u8; BLOCK]>::from(block);
    if check.iter().fold(0, |all, byte| all | byte) != 0 {
        return None;
    }
    let index = u32::from_be_bytes([a, b, c, d]);
    let generation = u32::from_be_bytes([e, f, g, h]);
    Some((PeerId::new(index, generation), restart))
}

/// Derives the password that belongs to a fragment.
///
/// Cost: one HMAC-SHA256, no allocation.
pub fn password(secret: &NodeSecret, ufrag: &[u8]) -> Password {
    let tag = hmac::sign(&secret.password_key, ufrag);
    let mut password = [0; Password::LEN];
    encode(tag.as_ref(), &mut password);
    Password(password)
}

/// Bytes of an AES block.
const BLOCK: usize = 16;

/// The ICE alphabet (RFC 8839 section 5.4) in the order of base 64 (RFC 4648 section 4).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn copy_prefix(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// Fills `text` with the leading bits of `bytes`, six a character; missing bits are zero.
fn encode(bytes: &[u8], text: &mut [u8]) {
    let groups = bytes.chunks(3).zip(text.chunks_mut(4));
    for (group, characters) in groups {
        let mut word = [0; 4];
        copy_prefix(word.get_mut(1..).unwrap_or_default(), group);
        let word = u32::from_be_bytes(word);
        for (place, character) in characters.iter_mut().enumerate() {
            let index = word >> (18 - 6 * place) & 0x3F;
            *character = ALPHABET[index as usize];
        }
    }
}

/// The block that `text` encodes; None unless it is 22 characters of the alphabet with no bit
/// beyond the block.
fn decode(text: &[u8]) -> Option<[u8; BLOCK]> {
    if text.len() != Ufrag::LEN {
        return None;
    }
    let (mut high, mut low) = (0u128, 0u32);
    for (place, character) in text.iter().enumerate() {
        let value = value_of(*character)?;
        if place + 1 < Ufrag::LEN {
            high = high << 6 | u128::from(value);
        } else {
            low = u32::from(value);
        }
    }
    // 21 characters hold 126 bits; the last one holds two and four that must be zero.
    (low & 0x0F == 0).then(|| (high << 2 | u128::from(low >> 4)).to_be_bytes())
}

fn value_of(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn secret() -> NodeSecret {
        NodeSecret::from_bytes([7; 32])
    }

    #[test]
    fn a_hundred_thousand_peers_share_nothing() {
        let secret = secret();
        let (mut ufrags, mut passwords) = (HashSet::new(), HashSet::new());
        for index in 0..50_000 {
            for restart in 0..2 {
                let credentials = issue(&secret, PeerId::new(index, 0), restart);
                assert!(ufrags.insert(credentials.ufrag.as_str().to_owned()));
                assert!(passwords.insert(credentials.pwd.as_str().to_owned()));
            }
        }
    }

    #[test]
    fn neighbours_differ_in_about_half_their_bits() {
        // Index, generation and restart counter cannot be read from what they look like.
        let secret = secret();
        let bits = |peer, restart| {
            let ufrag = issue(&secret, peer, restart).ufrag;
            u128::from_be_bytes(decode(ufrag.as_bytes()).unwrap())
        };
        let base = bits(PeerId::new(1, 1), 0);
        for other in
            [bits(PeerId::new(2, 1), 0), bits(PeerId::new(1, 2), 0), bits(PeerId::new(1, 1), 1)]
        {
            let distance = (base ^ other).count_ones();
            assert!((32..=96).contains(&distance), "{distance}");
        }
    }

    #[test]
    fn every_single_character_change_is_noticed() {
        let secret = secret();
        let ufrag = issue(&secret, PeerId::new(3, 4), 5).ufrag;
        for place in 0..Ufrag::LEN {
            for character in 0..=255 {
                let mut forged = *ufrag.as_bytes().first_chunk::<{ Ufrag::LEN }>().unwrap();
                if forged[place] == character {
                    continue;
                }
                forged[place] = character;
                assert_eq!(open_ufrag(&secret, &forged), None);
            }
        }
    }

    #[test]
    fn another_secret_opens_nothing_and_derives_other_passwords() {
        let other = NodeSecret::from_bytes([8; 32]);
        let credentials = issue(&secret(), PeerId::new(3, 4), 5);
        assert_eq!(open_ufrag(&other, credentials.ufrag.as_bytes()), None);
        assert_ne!(password(&other, credentials.ufrag.as_bytes()), credentials.pwd);
    }

    #[test]
    fn debug_output_hides_secrets() {
        let secret = secret();
        let credentials = issue(&secret, PeerId::new(3, 4), 5);
        let text = format!("{secret:?} {credentials:?}");
        assert!(!text.contains(credentials.pwd.as_str()));
        assert!(text.starts_with("NodeSecret(..) Credentials"));
    }

    proptest! {
        #[test]
        fn what_was_issued_opens(index: u32, generation: u32, restart: u8, key: [u8; 32]) {
            let secret = NodeSecret::from_bytes(key);
            let peer = PeerId::new(index, generation);
            let credentials = issue(&secret, peer, restart);
            let ufrag = credentials.ufrag;
            prop_assert_eq!(open_ufrag(&secret, ufrag.as_bytes()), Some((peer, restart)));
            prop_assert_eq!(password(&secret, ufrag.as_bytes()), credentials.pwd);
            let all = [ufrag.as_str(), credentials.pwd.as_str()].concat();
            prop_assert_eq!(all.len(), 46);
            prop_assert!(all.bytes().all(|byte| ALPHABET.contains(&byte)));
        }

        #[test]
        fn nothing_arbitrary_opens(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(open_ufrag(&secret(), &text), None);
        }

        #[test]
        fn nothing_well_spelt_opens(text in "[A-Za-z0-9+/]{21}[AQgw]") {
            prop_assert_eq!(open_ufrag(&secret(), text.as_bytes()), None);
        }
    }
}
