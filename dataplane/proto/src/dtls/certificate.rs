//! The node's certificate: ECDSA P-256, self-signed, made at start, the same for all peers.
//!
//! Made by the program's start, read by `Dtls::new` and by the SDP writer (fingerprint). The
//! private key never leaves this value. RFC 8827 section 6.5, RFC 8122 section 5.

use std::fmt;

use super::backend::Identity;

/// Certificate, private key and fingerprint.
pub struct Certificate {
    identity: Identity,
    fingerprint: [u8; 32],
}

impl Certificate {
    /// Makes a fresh key and certificate. Reads the wall clock for the validity and the system's
    /// random source: call at start, never on a data path. Errors: when either fails.
    pub fn generate() -> Result<Certificate, CertificateError> {
        let identity = Identity::generate().ok_or(CertificateError)?;
        let fingerprint = sha256(identity.der());
        Ok(Certificate { identity, fingerprint })
    }

    /// SHA-256 of the certificate, what `a=fingerprint` carries (RFC 8122 section 5).
    pub const fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    pub(super) const fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

/// The system gave no key or no certificate: stop the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CertificateError;

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no key or certificate could be made; is the system's random source working?")
    }
}

impl std::error::Error for CertificateError {}

/// SHA-256 of a certificate in DER.
pub(super) fn sha256(der: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}
