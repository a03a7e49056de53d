//! A certificate chain and its key, read from two PEM files and checked to belong together and to
//! be valid now.
//!
//! Used by `tls/mod.rs` at start and whenever the files changed. No complaint ever holds a byte of
//! the key. RFC 7468 (PEM), RFC 5280 section 4.1.2.5 (validity).

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::digest::{Digest, SHA256, digest};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_cert::der::Decode;
use x509_cert::time::Validity;

/// Where the chain and its key are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// Certificates in PEM: the server's own first, then those of its issuers.
    pub cert: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

/// Why a pair cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file holds no certificate.
    #[error("{} holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// A certificate of a file cannot be parsed.
    #[error("certificate {number} of {} is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Its place in the file, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file holds no private key.
    #[error("{} holds no private key in PEM", .0.display())]
    NoKey(PathBuf),
    /// The key is of a kind that cannot sign here.
    #[error("the key in {} is malformed or of a kind that is not supported", .0.display())]
    BadKey(PathBuf),
    /// The key is another certificate's.
    #[error("the key in {} is not that of the first certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        cert: PathBuf,
    },
    /// The time of a certificate is over.
    #[error("certificate {number} of {} expired at {since}", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// Its place in the file, from 1.
        number: usize,
        /// When.
        since: String,
    },
    /// The time of a certificate has not come.
    #[error("certificate {number} of {} is not valid before {from}", path.display())]
    TooEarly {
        /// The file.
        path: PathBuf,
        /// Its place in the file, from 1.
        number: usize,
        /// When it will be.
        from: String,
    },
}

/// The bytes of both files.
pub(super) struct Bytes {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// A pair that can be served.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certified: CertifiedKey,
    /// When the first of its certificates expires, in seconds since 1970.
    pub(super) expires: u64,
    /// The same as a text.
    pub(super) expires_text: String,
}

impl TlsFiles {
    /// Reads both files.
    ///
    /// # Errors
    /// [`TlsError::Unreadable`].
    pub(super) fn read(&self) -> Result<Bytes, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path)
                .map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
        };
        Ok(Bytes { cert: read(&self.cert)?, key: read(&self.key)? })
    }

    /// Makes the pair of the files' bytes.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub(super) fn pair(
        &self,
        bytes: &Bytes,
        provider: &CryptoProvider,
        now: SystemTime,
    ) -> Result<Pair, TlsError> {
        let chain = CertificateDer::pem_slice_iter(&bytes.cert)
            .enumerate()
            .map(|(index, one)| one.map_err(|error| self.malformed(index, error.to_string())))
            .collect::<Result<Vec<_>, _>>()?;
        let (expires, expires_text) = self.validity(&chain, now)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes.key)
            .map_err(|_| TlsError::NoKey(self.key.clone()))?;
        let certified =
            CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
                Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    TlsError::Mismatch { key: self.key.clone(), cert: self.cert.clone() }
                }
                Error::InvalidCertificate(reason) => self.malformed(0, format!("{reason:?}")),
                _ => TlsError::BadKey(self.key.clone()),
            })?;
        Ok(Pair { certified, expires, expires_text })
    }

    /// Checks that every certificate is valid now; when the first of them ceases to be.
    fn validity(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(u64, String), TlsError> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut first: Option<(u64, String)> = None;
        for (index, der) in chain.iter().enumerate() {
            let parsed = x509_cert::Certificate::from_der(der)
                .map_err(|error| self.malformed(index, error.to_string()))?;
            let Validity { not_before, not_after, .. } = *parsed.tbs_certificate().validity();
            let (path, number) = (self.cert.clone(), index + 1);
            if now > not_after.to_unix_duration() {
                return Err(TlsError::Expired { path, number, since: not_after.to_string() });
            }
            if now < not_before.to_unix_duration() {
                return Err(TlsError::TooEarly { path, number, from: not_before.to_string() });
            }
            let expires = not_after.to_unix_duration().as_secs();
            if first.as_ref().is_none_or(|(before, _)| expires < *before) {
                first = Some((expires, not_after.to_string()));
            }
        }
        first.ok_or_else(|| TlsError::NoCertificate(self.cert.clone()))
    }

    fn malformed(&self, index: usize, reason: String) -> TlsError {
        TlsError::Malformed { path: self.cert.clone(), number: index + 1, reason }
    }
}

impl Bytes {
    /// What tells these bytes from others; the key cannot be had from it.
    pub(super) fn digest(&self) -> Digest {
        let each = [digest(&SHA256, &self.cert), digest(&SHA256, &self.key)];
        digest(&SHA256, &[each[0].as_ref(), each[1].as_ref()].concat())
    }
}
