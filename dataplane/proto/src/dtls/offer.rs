//! Reads a ClientHello far enough to choose the protocol version.
//!
//! Called once per complete ClientHello. The library cannot be told an order of SRTP profiles: in
//! DTLS 1.3 it follows the client, in DTLS 1.2 it takes AES-GCM where offered. A client that puts
//! AES-CM first (Chromium) would pay five times the encryption cost per packet for its whole call,
//! so it is answered with DTLS 1.2. Total function over hostile bytes.
//!
//! RFC 5246 section 7.4.1.2, RFC 8446 section 4.2.1, RFC 5764 section 4.1.1, RFC 7627.

use super::Version;

/// What of a ClientHello matters for the choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Offer {
    /// DTLS 1.3 is among the supported versions.
    v13: bool,
    /// DTLS 1.2 with extended master secret and an ECDSA AEAD suite.
    v12: bool,
    /// The first profile we know is AES-GCM.
    gcm_first: bool,
    /// AES-GCM is among the profiles.
    gcm: bool,
    /// AES-CM with HMAC-SHA1-80 is among the profiles.
    cm: bool,
}

impl Offer {
    /// `None` when the message does not parse.
    pub(super) fn parse(body: &[u8]) -> Option<Offer> {
        let mut rest = Reader(body);
        rest.take(2 + 32)?;
        rest.list_8()?;
        rest.list_8()?;
        let suites = rest.list_16()?;
        rest.list_8()?;
        let mut extensions = Reader(rest.list_16()?);
        let mut offer = Offer::default();
        let (mut versions, mut master_secret) = (None, false);
        while !extensions.0.is_empty() {
            let kind = extensions.number()?;
            let mut extension = Reader(extensions.list_16()?);
            match kind {
                USE_SRTP => offer.read_profiles(extension.list_16()?),
                SUPPORTED_VERSIONS => versions = Some(extension.list_8()?),
                EXTENDED_MASTER_SECRET => master_secret = true,
                _ => {}
            }
        }
        offer.v13 = versions.is_some_and(|list| numbers(list).any(|version| version == DTLS_13));
        offer.v12 = master_secret
            && versions.is_none_or(|list| numbers(list).any(|version| version == DTLS_12))
            && numbers(suites).any(|suite| SUITES_12.contains(&suite));
        Some(offer)
    }

    /// The version that gives this client the cheapest profile, `None` when there is no common
    /// version or profile.
    pub(super) fn choose(self) -> Option<Version> {
        if !self.gcm && !self.cm {
            return None;
        }
        let v13_costs = self.gcm && !self.gcm_first;
        match (self.v13, self.v12) {
            (true, true) if v13_costs => Some(Version::V12),
            (true, _) => Some(Version::V13),
            (false, true) => Some(Version::V12),
            (false, false) => None,
        }
    }

    fn read_profiles(&mut self, list: &[u8]) {
        for profile in numbers(list) {
            match profile {
                AES_128_GCM | AES_256_GCM => {
                    self.gcm_first |= !self.cm;
                    self.gcm = true;
                }
                AES_128_CM_SHA1_80 => self.cm = true,
                _ => {}
            }
        }
    }
}

/// The big-endian 16-bit numbers of a list.
fn numbers(list: &[u8]) -> impl Iterator<Item = u16> {
    list.chunks_exact(2)
        .filter_map(|pair| pair.first_chunk::<2>())
        .map(|pair| u16::from_be_bytes(*pair))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.take(2)?.first_chunk()?))
    }

    /// A list behind its one-byte length.
    fn list_8(&mut self) -> Option<&'a [u8]> {
        let length = *self.take(1)?.first()?;
        self.take(usize::from(length))
    }

    /// A list behind its two-byte length.
    fn list_16(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::from(length))
    }
}

/// Extension types (IANA registry "TLS ExtensionType Values").
const USE_SRTP: u16 = 14;
const EXTENDED_MASTER_SECRET: u16 = 23;
const SUPPORTED_VERSIONS: u16 = 43;
/// Versions (RFC 6347 section 4.1, RFC 9147 section 5.3).
const DTLS_12: u16 = 0xFEFD;
const DTLS_13: u16 = 0xFEFC;
/// ECDHE_ECDSA with AES-128-GCM, AES-256-GCM and ChaCha20-Poly1305 (RFC 5289, RFC 7905).
const SUITES_12: [u16; 3] = [0xC02B, 0xC02C, 0xCCA9];
/// SRTP profiles (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
const AES_128_CM_SHA1_80: u16 = 0x0001;
const AES_128_GCM: u16 = 0x0007;
const AES_256_GCM: u16 = 0x0008;
