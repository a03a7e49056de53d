//! The one file that names the DTLS library (`dimpl`).
//!
//! Called by `mod.rs` only. Every error of the library ends the association; what it can ignore it
//! ignores itself. It neither checks the peer's certificate (the engine compares the fingerprint)
//! nor orders SRTP profiles (`offer.rs` chooses the version instead): DTLS 1.2 takes the strongest
//! AEAD profile offered, DTLS 1.3 the client's first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::limits::HANDSHAKE_MAX;

use super::Version;
use super::certificate::{Certificate, sha256};
use crate::srtp::{Keying, SrtpProfile};

/// Certificate, key and settings in the library's form.
pub(super) struct Identity {
    certificate: dimpl::DtlsCertificate,
    config: Arc<dimpl::Config>,
}

impl Identity {
    /// `None` when key, certificate or settings cannot be made.
    pub(super) fn generate() -> Option<Identity> {
        let certificate = dimpl::certificate::generate_self_signed_certificate().ok()?;
        let config = dimpl::Config::builder()
            // ICE has proved the return path, and no DTLS is read from other addresses.
            .use_server_cookie(false)
            .require_client_certificate(true)
            .handshake_timeout(HANDSHAKE_MAX)
            .flight_start_rto(FLIGHT_RESEND)
            .flight_retries(FLIGHT_RESENDS)
            .build()
            .ok()?;
        Some(Identity { certificate, config: Arc::new(config) })
    }

    /// The certificate in DER.
    pub(super) fn der(&self) -> &[u8] {
        &self.certificate.certificate
    }
}

/// One association in the library.
pub(super) struct Backend(dimpl::Dtls);

/// Why the library gave up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// The peer sent a fatal alert.
    Alert,
    /// Time or resends are used up.
    Timeout,
    /// A queue is full.
    Flood,
    /// Anything else.
    Handshake,
}

/// One answer of the library. Lengths count from the start of the buffer.
pub(super) enum Step {
    Datagram(usize),
    ApplicationData(usize),
    PeerCertificate([u8; 32]),
    Keying(Keying),
    Connected,
    Closed,
    /// Longer than the buffer, or of no use here.
    Dropped,
    Deadline(Instant),
}

impl Backend {
    pub(super) fn new(certificate: &Certificate, version: Version, now: Instant) -> Backend {
        let identity = certificate.identity();
        let make = match version {
            Version::V12 => dimpl::Dtls::new_12,
            Version::V13 => dimpl::Dtls::new_13,
        };
        Backend(make(Arc::clone(&identity.config), identity.certificate.clone(), now))
    }

    /// An association in the client's role, whose ClientHello lies ready. The library names the
    /// AEAD profiles of SRTP before the other one.
    pub(super) fn client(certificate: &Certificate, now: Instant) -> Backend {
        let mut backend = Backend::new(certificate, Version::V12, now);
        backend.0.set_active(true);
        // It fails only when the random source does; the handshake then ends by its time.
        let _ = backend.on_deadline(now);
        backend
    }

    /// Takes one datagram. The library's clock moves first: resends start from it.
    pub(super) fn on_datagram(&mut self, datagram: &[u8], now: Instant) -> Result<(), Failure> {
        self.on_deadline(now)?;
        self.0.handle_packet(datagram).map_err(failure)
    }

    pub(super) fn on_deadline(&mut self, now: Instant) -> Result<(), Failure> {
        self.0.handle_timeout(now).map_err(failure)
    }

    pub(super) fn send(&mut self, plain: &[u8], now: Instant) -> Result<(), Failure> {
        self.on_deadline(now)?;
        self.0.send_application_data(plain).map(|_| ()).map_err(failure)
    }

    /// Queues close_notify. Errors do not matter any more.
    pub(super) fn close(&mut self, now: Instant) {
        if self.on_deadline(now).is_ok() {
            let _ = self.0.close();
        }
    }

    pub(super) fn poll(&mut self, buffer: &mut [u8]) -> Step {
        match translate(self.0.poll_output(buffer)) {
            Ok(step) => step,
            Err(needed) => self.poll_long(needed),
        }
    }

    /// Takes an output that is longer than the caller's buffer. Only a certificate may be.
    fn poll_long(&mut self, needed: usize) -> Step {
        let mut long = vec![0; needed];
        match translate(self.0.poll_output(&mut long)) {
            Ok(Step::Datagram(_) | Step::ApplicationData(_)) | Err(_) => Step::Dropped,
            Ok(step) => step,
        }
    }
}

/// `Err` carries the length the buffer should have.
fn translate(output: dimpl::Output<'_>) -> Result<Step, usize> {
    Ok(match output {
        dimpl::Output::Packet(bytes) => Step::Datagram(bytes.len()),
        dimpl::Output::ApplicationData(bytes) => Step::ApplicationData(bytes.len()),
        dimpl::Output::PeerCert(der) => Step::PeerCertificate(sha256(der)),
        dimpl::Output::KeyingMaterial(material, profile) => profile_of(profile)
            .and_then(|profile| Keying::from_exporter(profile, &material))
            .map_or(Step::Dropped, Step::Keying),
        dimpl::Output::Connected => Step::Connected,
        dimpl::Output::CloseNotify => Step::Closed,
        dimpl::Output::Timeout(at) => Step::Deadline(at),
        dimpl::Output::BufferTooSmall { needed } => return Err(needed),
        _ => Step::Dropped,
    })
}

fn profile_of(profile: dimpl::SrtpProfile) -> Option<SrtpProfile> {
    match profile {
        dimpl::SrtpProfile::AES128_CM_SHA1_80 => Some(SrtpProfile::Aes128CmSha1_80),
        dimpl::SrtpProfile::AEAD_AES_128_GCM => Some(SrtpProfile::AeadAes128Gcm),
        dimpl::SrtpProfile::AEAD_AES_256_GCM => Some(SrtpProfile::AeadAes256Gcm),
        _ => None,
    }
}

fn failure(error: dimpl::Error) -> Failure {
    match error {
        dimpl::Error::SecurityError(dimpl::SecurityError::FatalAlert { .. }) => Failure::Alert,
        dimpl::Error::Timeout(_) => Failure::Timeout,
        dimpl::Error::ReceiveQueueFull
        | dimpl::Error::TransmitQueueFull
        | dimpl::Error::TransmitHistoryFull => Failure::Flood,
        _ => Failure::Handshake,
    }
}

/// First wait before a flight is resent. Chosen: above the round trip of nearly every client; RFC
/// 6347 section 4.2.4.1 and RFC 9147 section 5.8.2 allow less than 1 s where delay matters.
const FLIGHT_RESEND: Duration = Duration::from_millis(250);
/// Resends of one flight, each after double the wait: the sixth leaves 16 s after the first.
const FLIGHT_RESENDS: usize = 6;
