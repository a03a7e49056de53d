//! TLS of the HTTP server: the certificate in use, its exchange while the server runs, and what is
//! offered to clients.
//!
//! `start.rs` loads the files, `server.rs` makes each handshake with [`Certificates::acceptor`] and
//! runs [`Certificates::watch`]. The files are read again every few seconds and compared by their
//! bytes, so it does not matter how they are replaced (in place, renamed, by a symbolic link), and
//! no signal is needed. A pair that cannot be used never takes the place of one that can. TLS 1.2
//! and 1.3 (RFC 5246, 8446), HTTP/2 and HTTP/1.1 by ALPN (RFC 7301).

mod pair;
mod pinned;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::gauge::Gauge;
use ring::digest::Digest;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::state::lock;

pub use pair::{TlsError, TlsFiles};
pub(crate) use pinned::connector;

/// Protocols in the order of preference (RFC 9113 section 3.3, RFC 7301 section 6).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// A certificate that ends sooner than this is warned of when it is loaded. Chosen: ACME clients
/// renew 30 days before the end of 90-day certificates, and of 6-day ones after half of the time.
const ENDS_SOON: Duration = Duration::from_secs(2 * 86_400);

/// The certificate in use and the files it came from.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    config: Arc<ServerConfig>,
    served: Arc<Served>,
    /// Digest of the bytes that were tried last, so that each change is tried and logged once.
    tried: Mutex<Option<Digest>>,
    expiry: Gauge<i64, AtomicI64>,
}

/// What handshakes take their certificate from.
#[derive(Debug)]
struct Served(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for Served {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(lock(&self.0).clone())
    }
}

/// Reads and checks the files; when the certificate expires.
///
/// # Errors
/// See [`TlsError`].
pub(crate) fn check(files: &TlsFiles) -> Result<String, TlsError> {
    let pair = files.pair(&files.read()?, &provider::default_provider(), SystemTime::now())?;
    Ok(pair.expires_text)
}

impl Certificates {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// See [`TlsError`]; the server does not start without a pair it can serve.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(provider::default_provider());
        let bytes = files.read()?;
        let pair = files.pair(&bytes, &provider, SystemTime::now())?;
        let served = Arc::new(Served(Mutex::new(Arc::new(pair.certified))));
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|_| TlsError::BadKey(files.key.clone()))?
            .with_no_client_auth()
            .with_cert_resolver(served.clone());
        config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        let certificates = Self {
            files,
            provider,
            config: Arc::new(config),
            served,
            tried: Mutex::new(Some(bytes.digest())),
            expiry: Gauge::default(),
        };
        certificates.note(pair.expires, &pair.expires_text);
        Ok(certificates)
    }

    /// Makes handshakes with whatever certificate is in use when they begin.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.config.clone().into()
    }

    /// When the certificate in use expires, in seconds since 1970.
    pub(crate) fn expiry(&self) -> Gauge<i64, AtomicI64> {
        self.expiry.clone()
    }

    /// Looks after the files every `interval`, for ever.
    pub(crate) async fn watch(self: Arc<Self>, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            let this = self.clone();
            // A file system that hangs must not take a thread of the runtime along.
            if tokio::task::spawn_blocking(move || this.refresh()).await.is_err() {
                tracing::error!("the look at the certificate's files ended by a panic");
            }
        }
    }

    /// Takes over what the files hold, if it changed and can be used; says so either way, once.
    fn refresh(&self) {
        let bytes = self.files.read();
        let digest = bytes.as_ref().ok().map(pair::Bytes::digest);
        {
            let mut tried = lock(&self.tried);
            let seen = tried.as_ref().map(Digest::as_ref);
            if seen == digest.as_ref().map(Digest::as_ref) {
                return;
            }
            *tried = digest;
        }
        let pair =
            bytes.and_then(|bytes| self.files.pair(&bytes, &self.provider, SystemTime::now()));
        match pair {
            Ok(pair) => {
                *lock(&self.served.0) = Arc::new(pair.certified);
                tracing::info!(expires = %pair.expires_text, "certificate replaced");
                self.note(pair.expires, &pair.expires_text);
            }
            Err(error) => {
                tracing::error!(
                    %error,
                    "the changed certificate cannot be used: the one before stays in use"
                );
            }
        }
    }

    fn note(&self, expires: u64, text: &str) {
        self.expiry.inner().store(i64::try_from(expires).unwrap_or(i64::MAX), Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if Duration::from_secs(expires) < now + ENDS_SOON {
            tracing::warn!(expires = text, "the certificate ends soon");
        }
    }
}
