//! One subscriber's transport: connectivity checks, a DTLS client (`dimpl`), SRTP both ways
//! (`webrtc-srtp`). Small enough for thousands in one process. Driven by `subscriber`; reads no
//! media. RFC 7675 (consent), RFC 5764 (keys).

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, DtlsCertificate, Output, SrtpProfile};
use proto::stun::{write_binding_request, write_binding_success};
use ring::digest::{SHA256, digest};
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

use super::sdp::{Local, Remote};

/// Distance of two connectivity checks (browsers send one each 2.5 s).
const CHECK: Duration = Duration::from_millis(2_500);
/// The same until the handshake is done.
const CHECK_FIRST: Duration = Duration::from_millis(50);
/// RFC 8445 section 5.1.2: type preference 126 (host), component 1.
const PRIORITY: u32 = 126 << 24 | 0xffff << 8 | 255;

/// RFC 8445 section 7.3.1.1: who offers is the controlling agent unless the other's number is higher.
/// The highest keeps all clients in the controlling role, also towards a server that offered.
const TIE_BREAKER: u64 = u64::MAX;

/// What the handshake agreed on.
pub(crate) struct Keys {
    pub(crate) open: Context,
    pub(crate) seal: Context,
    pub(crate) profile: &'static str,
}

/// The transport.
pub(crate) struct Transport {
    /// From the end of the handshake.
    pub(crate) keys: Option<Keys>,
    /// Whether the server said that it ends.
    pub(crate) closed: bool,
    /// Why it cannot come up.
    pub(crate) failure: Option<String>,
    remote: Remote,
    user: String,
    password: String,
    dtls: Dtls,
    next_check: Instant,
    deadline: Instant,
    answered: bool,
    checks: u64,
    buffer: Vec<u8>,
}

impl Transport {
    /// A transport towards `remote`; `socket` is connected to it. It begins with the next
    /// [`Transport::on_time`].
    pub(crate) fn new(
        config: &Arc<Config>,
        certificate: DtlsCertificate,
        local: &Local,
        remote: Remote,
        now: Instant,
    ) -> Self {
        let mut dtls = Dtls::new_12(Arc::clone(config), certificate, now);
        dtls.set_active(true);
        Self {
            keys: None,
            closed: false,
            failure: None,
            user: format!("{}:{}", remote.ufrag, local.ufrag),
            remote,
            password: local.password.clone(),
            dtls,
            next_check: now,
            deadline: now,
            answered: false,
            checks: 0,
            buffer: vec![0; 2_048],
        }
    }

    /// Takes a datagram that is no media (RFC 7983: STUN begins with 0 to 3, DTLS with 20 to 63).
    pub(crate) fn on_datagram(&mut self, socket: &UdpSocket, bytes: &[u8], now: Instant) {
        match bytes {
            // RFC 8489 section 5: a success response to a binding request.
            [1, 1, ..] if !self.answered => {
                self.answered = true;
                let result = self.dtls.handle_timeout(now);
                self.note(result.err());
                self.drain(socket);
            }
            // A request: a server that is no ICE-lite agent checks for itself.
            [0, 1, ..] => self.answer(socket, bytes),
            // What comes earlier was meant for who had the port before.
            [20..=63, ..] if self.answered => {
                let result = self.dtls.handle_packet(bytes);
                self.note(result.err());
                self.drain(socket);
            }
            _ => {}
        }
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, socket: &UdpSocket, now: Instant) {
        if now >= self.next_check {
            self.next_check = now + if self.keys.is_some() { CHECK } else { CHECK_FIRST };
            self.check(socket);
        }
        if self.answered && self.keys.is_none() && now >= self.deadline {
            let result = self.dtls.handle_timeout(now);
            self.note(result.err());
            self.drain(socket);
        }
    }

    /// Says good-bye (DTLS close_notify).
    pub(crate) fn close(&mut self, socket: &UdpSocket) {
        let _ = self.dtls.close();
        self.drain(socket);
    }

    fn note(&mut self, error: Option<dimpl::Error>) {
        if let Some(error) = error.filter(|_| self.keys.is_none()) {
            self.failure.get_or_insert_with(|| error.to_string());
        }
    }

    fn drain(&mut self, socket: &UdpSocket) {
        loop {
            match self.dtls.poll_output(&mut self.buffer) {
                // A full socket buffer is loss like any other.
                Output::Packet(bytes) => drop(socket.send(bytes)),
                Output::PeerCert(certificate)
                    if digest(&SHA256, certificate).as_ref() != self.remote.fingerprint =>
                {
                    self.failure = Some("the certificate is not the announced one".into());
                }
                Output::KeyingMaterial(material, profile) => match keys(&material, profile) {
                    Ok(keys) => self.keys = Some(keys),
                    Err(error) => self.failure = Some(error.to_string()),
                },
                Output::CloseNotify => self.closed = true,
                Output::Timeout(at) => {
                    self.deadline = at;
                    return;
                }
                Output::BufferTooSmall { needed } => self.buffer.resize(needed, 0),
                _ => {}
            }
        }
    }

    fn answer(&self, socket: &UdpSocket, request: &[u8]) {
        let Some(transaction) = request.get(8..20).and_then(|bytes| bytes.try_into().ok()) else {
            return;
        };
        let (mut slot, password) = ([0; 512], self.password.as_bytes());
        let len = write_binding_success(&mut slot, transaction, self.remote.address, password);
        let _ = socket.send(&slot[..len]);
    }

    fn check(&mut self, socket: &UdpSocket) {
        self.checks += 1;
        let mut transaction = [0; 12];
        transaction[..8].copy_from_slice(&self.checks.to_be_bytes());
        let mut slot = [0; 512];
        let secret = self.remote.password.as_bytes();
        let (user, tie_breaker) = (&self.user, TIE_BREAKER);
        let len = write_binding_request(
            &mut slot,
            transaction,
            user,
            true,
            PRIORITY,
            tie_breaker,
            secret,
        );
        let _ = socket.send(&slot[..len]);
    }
}

/// RFC 5764 section 4.2: the client's key, the server's key, the client's salt, the server's salt.
fn keys(material: &[u8], profile: SrtpProfile) -> Result<Keys, String> {
    let (profile, name) = match profile {
        SrtpProfile::AEAD_AES_256_GCM => (ProtectionProfile::AeadAes256Gcm, "AEAD_AES_256_GCM"),
        SrtpProfile::AEAD_AES_128_GCM => (ProtectionProfile::AeadAes128Gcm, "AEAD_AES_128_GCM"),
        _ => (ProtectionProfile::Aes128CmHmacSha1_80, "AES128_CM_HMAC_SHA1_80"),
    };
    let (key, salt) = (profile.key_len(), profile.salt_len());
    let part = |from: usize, len: usize| material.get(from..from + len).ok_or("too little keying");
    let context = |side: usize| {
        let (key, salt) = (part(side * key, key)?, part(2 * key + side * salt, salt)?);
        Context::new(key, salt, profile, None, None).map_err(|error| error.to_string())
    };
    Ok(Keys { seal: context(0)?, open: context(1)?, profile: name })
}
