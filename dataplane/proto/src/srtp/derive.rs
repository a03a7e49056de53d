//! Key derivation: from the DTLS exporter to master keys, from master keys to session keys.
//!
//! Called once per peer and direction by `Open::new` and `Seal::new`. Must never run per packet.
//! RFC 3711 section 4.3, RFC 5764 section 4.2, RFC 6188 (AES-256), RFC 7714 section 11.

use aes::cipher::consts::U16;
use aes::cipher::{BlockEncrypt, KeyInit};
use aes::{Aes128Enc, Aes256Enc};

use super::SrtpProfile;

/// Master key and salt of one direction. Unused tail bytes are zero.
#[derive(Clone, Copy)]
struct Master {
    key: [u8; KEY_MAX],
    salt: [u8; SALT_MAX],
}

/// Master keys of both directions of one peer, split out of the DTLS exporter (RFC 5764 section
/// 4.2). Secret: not printable, compared only through `==` in constant time.
#[derive(Clone)]
pub struct Keying {
    profile: SrtpProfile,
    client: Master,
    server: Master,
}

impl Keying {
    /// Bytes to ask of the exporter for `profile`: two keys, then two salts.
    pub const fn exporter_len(profile: SrtpProfile) -> usize {
        2 * (key_len(profile) + salt_len(profile))
    }

    /// Splits exporter output in the order client key, server key, client salt, server salt
    /// (RFC 5764 section 4.2). `None` when `material` has another length than
    /// [`Keying::exporter_len`].
    pub fn from_exporter(profile: SrtpProfile, material: &[u8]) -> Option<Keying> {
        if material.len() != Self::exporter_len(profile) {
            return None;
        }
        let (keys, salts) = material.split_at_checked(2 * key_len(profile))?;
        let (client_key, server_key) = keys.split_at_checked(key_len(profile))?;
        let (client_salt, server_salt) = salts.split_at_checked(salt_len(profile))?;
        Some(Keying {
            profile,
            client: Master::new(client_key, client_salt)?,
            server: Master::new(server_key, server_salt)?,
        })
    }

    /// The protection profile the keys are for.
    pub const fn profile(&self) -> SrtpProfile {
        self.profile
    }

    /// Session keys of the packets sent by the DTLS client (`from_client`) or server.
    pub(super) fn session(&self, from_client: bool, stream: Stream) -> SessionKeys {
        let master = if from_client { &self.client } else { &self.server };
        SessionKeys::derive(self.profile, master, stream)
    }
}

impl PartialEq for Keying {
    fn eq(&self, other: &Keying) -> bool {
        let same = |left: &[u8], right: &[u8]| {
            left.iter().zip(right).fold(0u8, |difference, (l, r)| difference | (l ^ r))
        };
        self.profile == other.profile
            && same(&self.client.key, &other.client.key)
                | same(&self.client.salt, &other.client.salt)
                | same(&self.server.key, &other.server.key)
                | same(&self.server.salt, &other.server.salt)
                == 0
    }
}

impl Eq for Keying {}

impl std::fmt::Debug for Keying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keying").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Master {
    fn new(key: &[u8], salt: &[u8]) -> Option<Master> {
        let mut master = Master { key: [0; KEY_MAX], salt: [0; SALT_MAX] };
        master.key.get_mut(..key.len())?.copy_from_slice(key);
        // RFC 7714 section 11: a 12-byte salt is padded with zeros on the right.
        master.salt.get_mut(..salt.len())?.copy_from_slice(salt);
        Some(master)
    }
}

/// Which of the two key sets of a direction (RFC 3711 section 4.3.1).
#[derive(Clone, Copy)]
pub(super) enum Stream {
    /// Labels 0 to 2.
    Rtp,
    /// Labels 3 to 5.
    Rtcp,
}

/// Session keys of one direction and stream. Tail bytes beyond the profile's lengths are zero.
#[derive(Clone)]
pub(super) struct SessionKeys {
    pub(super) profile: SrtpProfile,
    cipher: [u8; KEY_MAX],
    pub(super) auth: [u8; AUTH_LEN],
    pub(super) salt: [u8; SALT_MAX],
}

impl SessionKeys {
    /// Derives with a key derivation rate of zero (RFC 3711 section 4.3.1), with the AES of the
    /// profile's key length as pseudo-random function (RFC 6188 section 3).
    fn derive(profile: SrtpProfile, master: &Master, stream: Stream) -> SessionKeys {
        match profile {
            SrtpProfile::AeadAes256Gcm => {
                let aes = Aes256Enc::new(&master.key.into());
                SessionKeys::with(&aes, profile, &master.salt, stream)
            }
            SrtpProfile::Aes128CmSha1_80 | SrtpProfile::AeadAes128Gcm => {
                let aes = Aes128Enc::new(&truncated::<16>(&master.key).into());
                SessionKeys::with(&aes, profile, &master.salt, stream)
            }
        }
    }

    fn with(
        aes: &impl BlockEncrypt<BlockSize = U16>,
        profile: SrtpProfile,
        salt: &[u8; SALT_MAX],
        stream: Stream,
    ) -> SessionKeys {
        let first = match stream {
            Stream::Rtp => 0,
            Stream::Rtcp => 3,
        };
        let mut keys =
            SessionKeys { profile, cipher: [0; KEY_MAX], auth: [0; AUTH_LEN], salt: [0; SALT_MAX] };
        fill(aes, salt, first, &mut keys.cipher[..key_len(profile)]);
        fill(aes, salt, first + 1, &mut keys.auth);
        fill(aes, salt, first + 2, &mut keys.salt[..salt_len(profile)]);
        keys
    }

    /// Session keys as a published test vector gives them.
    #[cfg(test)]
    pub(super) fn from_vector(profile: SrtpProfile, cipher: &[u8], salt: &[u8]) -> SessionKeys {
        let mut keys =
            SessionKeys { profile, cipher: [0; KEY_MAX], auth: [0; AUTH_LEN], salt: [0; SALT_MAX] };
        keys.cipher[..cipher.len()].copy_from_slice(cipher);
        keys.salt[..salt.len()].copy_from_slice(salt);
        keys
    }

    /// The cipher key in the length of the profile.
    pub(super) fn cipher(&self) -> &[u8] {
        &self.cipher[..key_len(self.profile)]
    }

    /// The cipher key of a 128-bit profile.
    pub(super) fn cipher_128(&self) -> [u8; 16] {
        truncated(&self.cipher)
    }

    /// The 96-bit salt of the GCM profiles.
    pub(super) fn salt_96(&self) -> [u8; 12] {
        truncated(&self.salt)
    }
}

/// Writes the key of `label`: the key stream that starts at (label * 2^48 XOR salt) * 2^16
/// (RFC 3711 section 4.3.3).
fn fill(
    aes: &impl BlockEncrypt<BlockSize = U16>,
    salt: &[u8; SALT_MAX],
    label: u8,
    out: &mut [u8],
) {
    let mut block = [0u8; 16];
    block[..SALT_MAX].copy_from_slice(salt);
    block[7] ^= label;
    for (counter, piece) in (0u16..).zip(out.chunks_mut(16)) {
        block[14..].copy_from_slice(&counter.to_be_bytes());
        let mut stream = block.into();
        aes.encrypt_block(&mut stream);
        piece.copy_from_slice(&stream[..piece.len()]);
    }
}

/// The first `N` bytes of a longer array.
fn truncated<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

/// Longest master or session key: AES-256.
const KEY_MAX: usize = 32;
/// Longest salt: 112 bits of AES-CM (RFC 3711 section 8.2).
const SALT_MAX: usize = 14;
/// HMAC-SHA1 session key (RFC 3711 section 5.2, n_a).
const AUTH_LEN: usize = 20;

/// Master and session cipher key length in bytes.
const fn key_len(profile: SrtpProfile) -> usize {
    match profile {
        SrtpProfile::Aes128CmSha1_80 | SrtpProfile::AeadAes128Gcm => 16,
        SrtpProfile::AeadAes256Gcm => 32,
    }
}

/// Master and session salt length in bytes (RFC 5764 section 4.1.2, RFC 7714 section 12).
const fn salt_len(profile: SrtpProfile) -> usize {
    match profile {
        SrtpProfile::Aes128CmSha1_80 => 14,
        SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => 12,
    }
}
