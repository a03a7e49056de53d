//! DTLS of one peer, in the server's role unless the other side insists on it: a sans-IO surface in
//! front of the library in `backend.rs`.
//!
//! The engine calls `on_datagram` for what arrives from a proven address, `on_deadline` when the
//! last `Deadline` is due, and after each of both `poll` until it answers `Deadline`. In order:
//! `record.rs` drops what cannot be a record of this handshake, `hello.rs` reassembles the
//! ClientHello, `offer.rs` reads it and chooses the protocol version, `backend.rs` runs the
//! handshake. After `connect` there is no ClientHello to wait for: ours is sent. Must never read a clock and never accept a handshake without SRTP keys and a
//! client certificate. Random bytes come from the library's own generator.
//!
//! RFC 6347 (DTLS 1.2), RFC 9147 (DTLS 1.3), RFC 5764 (DTLS-SRTP), RFC 8842 (in WebRTC).

mod backend;
mod certificate;
mod hello;
mod offer;
mod record;

use std::sync::Arc;
use std::time::Instant;

use common::command::DtlsRole;
use common::limits::{DATAGRAM_MAX, HANDSHAKE_MAX};

use crate::srtp::{Keying, SrtpProfile};
use backend::{Backend, Failure, Step};
pub use certificate::{Certificate, CertificateError};
use hello::Assembly;
use offer::Offer;

/// The DTLS association of one peer (RFC 8842).
pub struct Dtls {
    certificate: Arc<Certificate>,
    state: State,
    /// When an unfinished handshake ends.
    deadline: Instant,
    budget: Budget,
    facts: Facts,
    closed: Closing,
}

/// Why a datagram or a deadline had no good end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DtlsError {
    /// The datagram is noise, forged or out of place: count it, ignore it.
    Rejected,
    /// The association cannot go on: end the peer.
    Fatal(DtlsFailure),
}

/// Why an association ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DtlsFailure {
    /// The handshake took longer than [`HANDSHAKE_MAX`] or its resends are exhausted.
    Timeout,
    /// No ClientHello offered what we need: DTLS 1.2 or newer, an AEAD cipher, use_srtp.
    Refused,
    /// More datagrams or bytes than any handshake needs.
    Flood,
    /// A handshake message was wrong: signature, Finished, missing certificate.
    Handshake,
    /// The association was closed before.
    Closed,
}

/// What `poll` has to say. Anything but `Deadline` means: poll again.
#[derive(Debug)]
pub enum DtlsOutput<'a> {
    /// Send this to the peer.
    Datagram(&'a [u8]),
    /// The handshake is complete. The caller compares `peer_fingerprint` with the SDP before it
    /// uses a key.
    Connected {
        /// SRTP master keys.
        keying: Keying,
        /// SRTP protection profile.
        profile: SrtpProfile,
        /// SHA-256 of the certificate whose key the peer proved to hold.
        peer_fingerprint: [u8; 32],
    },
    /// Plaintext from the peer.
    ApplicationData(&'a [u8]),
    /// The peer sent close_notify or a fatal alert, both authenticated. Said once.
    Closed,
    /// Nothing more now; call `on_deadline` at this instant.
    Deadline(Instant),
}

/// Protocol version a handshake runs with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    V12,
    V13,
}

enum State {
    /// Collecting the ClientHello.
    Hello(Assembly),
    /// The library has the ClientHello.
    Running(Box<Running>),
    /// Failed or closed; answers nothing.
    Dead,
}

struct Running {
    backend: Backend,
    version: Version,
    role: DtlsRole,
    /// The first datagram of our flight, taken to see that the ClientHello was accepted.
    first: Option<Vec<u8>>,
}

/// What the library said on its way to a complete handshake.
#[derive(Default)]
struct Facts {
    keying: Option<Keying>,
    fingerprint: Option<[u8; 32]>,
    connected: bool,
    announced: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    Due,
    Said,
}

/// What a peer may still send before its handshake is complete.
struct Budget {
    datagrams: usize,
    bytes: usize,
    hellos: usize,
}

impl Dtls {
    /// An association that waits for its ClientHello, until [`HANDSHAKE_MAX`] after `now`.
    pub fn new(certificate: &Arc<Certificate>, now: Instant) -> Dtls {
        Dtls {
            certificate: Arc::clone(certificate),
            state: State::Hello(Assembly::default()),
            deadline: now + HANDSHAKE_MAX,
            budget: Budget {
                datagrams: HANDSHAKE_DATAGRAMS,
                bytes: HANDSHAKE_BYTES,
                hellos: HELLO_ATTEMPTS,
            },
            facts: Facts::default(),
            closed: Closing::No,
        }
    }

    /// Takes the client's role: poll for the ClientHello. Not to be called before an address passed
    /// a connectivity check. False, without effect, when the handshake runs or ended.
    ///
    /// The handshake runs DTLS 1.2, which every WebRTC stack has to take (RFC 8827 section 6.5);
    /// our order of SRTP profiles has the AEAD ones first.
    pub fn connect(&mut self, now: Instant) -> bool {
        let waiting = matches!(self.state, State::Hello(_));
        if waiting {
            let backend = Backend::client(&self.certificate, now);
            let (version, role, first) = (Version::V12, DtlsRole::Client, None);
            self.state = State::Running(Box::new(Running { backend, version, role, first }));
        }
        waiting
    }

    /// Our role: whose write keys are ours (RFC 5764 section 4.2).
    pub fn role(&self) -> DtlsRole {
        match &self.state {
            State::Running(running) => running.role,
            State::Hello(_) | State::Dead => DtlsRole::Server,
        }
    }

    /// Takes one datagram, which must come from an address that passed a connectivity check.
    ///
    /// Errors: `Rejected` when it was ignored, `Fatal` when the peer must end. Cost: up to one
    /// handshake step (0.15 ms) and allocations.
    pub fn on_datagram(&mut self, datagram: &[u8], now: Instant) -> Result<(), DtlsError> {
        if !matches!(self.state, State::Dead) {
            self.spend(datagram)?;
        }
        match &mut self.state {
            State::Dead => Err(DtlsError::Fatal(DtlsFailure::Closed)),
            State::Hello(assembly) => match assembly.on_datagram(datagram)? {
                Some(message) => self.on_hello(&message, now),
                None => Ok(()),
            },
            State::Running(running) => {
                record::admit(datagram, running.version, running.role)?;
                let result = running.backend.on_datagram(datagram, now);
                self.settle(result)
            }
        }
    }

    /// Resends what is due. Errors: `Fatal` when the handshake's time is over.
    pub fn on_deadline(&mut self, now: Instant) -> Result<(), DtlsError> {
        if !self.facts.connected && now >= self.deadline {
            return self.die(DtlsFailure::Timeout);
        }
        let result = match &mut self.state {
            State::Hello(_) | State::Dead => Ok(()),
            State::Running(running) => running.backend.on_deadline(now),
        };
        self.settle(result)
    }

    /// The next thing to do. `buffer` needs a full datagram ([`DATAGRAM_MAX`] bytes); longer
    /// application data is dropped. Call until it answers `Deadline`.
    pub fn poll<'a>(&mut self, buffer: &'a mut [u8], now: Instant) -> DtlsOutput<'a> {
        debug_assert!(buffer.len() >= DATAGRAM_MAX);
        match self.step(buffer, now) {
            Said::Datagram(len) => DtlsOutput::Datagram(buffer.get(..len).unwrap_or_default()),
            Said::ApplicationData(len) => {
                DtlsOutput::ApplicationData(buffer.get(..len).unwrap_or_default())
            }
            Said::Connected(keying, peer_fingerprint) => {
                DtlsOutput::Connected { profile: keying.profile(), keying, peer_fingerprint }
            }
            Said::Closed => DtlsOutput::Closed,
            Said::Deadline(at) => DtlsOutput::Deadline(at),
        }
    }

    /// Sends close_notify if the handshake is complete; poll for it. Nothing is accepted after.
    pub fn close(&mut self, now: Instant) {
        match &mut self.state {
            State::Running(running) if self.facts.connected => running.backend.close(now),
            _ => self.state = State::Dead,
        }
        self.closed = Closing::Said;
    }

    /// Queues plaintext for the peer; poll for the datagram. Errors: `Rejected` before the
    /// handshake is complete, `Fatal` after the association ended.
    pub fn send_application(&mut self, plain: &[u8], now: Instant) -> Result<(), DtlsError> {
        match &mut self.state {
            State::Running(running) if self.facts.connected => {
                let result = running.backend.send(plain, now);
                self.settle(result)
            }
            State::Running(_) | State::Hello(_) => Err(DtlsError::Rejected),
            State::Dead => Err(DtlsError::Fatal(DtlsFailure::Closed)),
        }
    }

    /// Counts a datagram against what a handshake may cost.
    fn spend(&mut self, datagram: &[u8]) -> Result<(), DtlsError> {
        if self.facts.connected {
            return Ok(());
        }
        match (self.budget.datagrams.checked_sub(1), self.budget.bytes.checked_sub(datagram.len()))
        {
            (Some(datagrams), Some(bytes)) => {
                self.budget.datagrams = datagrams;
                self.budget.bytes = bytes;
                Ok(())
            }
            _ => self.die(DtlsFailure::Flood),
        }
    }

    /// Starts the library with a complete ClientHello. One that is refused does not end the peer
    /// at once: it may be forged, and the genuine one is resent.
    fn on_hello(&mut self, message: &[u8], now: Instant) -> Result<(), DtlsError> {
        if let Some(version) = Offer::parse(message).and_then(|offer| offer.choose())
            && let Some(running) = self.start(version, message, now)
        {
            self.state = State::Running(Box::new(running));
            return Ok(());
        }
        self.budget.hellos = self.budget.hellos.saturating_sub(1);
        if self.budget.hellos == 0 {
            return self.die(DtlsFailure::Refused);
        }
        self.state = State::Hello(Assembly::default());
        Err(DtlsError::Rejected)
    }

    /// `None` when the library does not answer the ClientHello with a flight.
    fn start(&self, version: Version, message: &[u8], now: Instant) -> Option<Running> {
        let mut backend = Backend::new(&self.certificate, version, now);
        backend.on_datagram(&hello::canonical(message)?, now).ok()?;
        let mut first = vec![0; DATAGRAM_MAX];
        let Step::Datagram(len) = backend.poll(&mut first) else {
            return None;
        };
        first.truncate(len);
        Some(Running { backend, version, role: DtlsRole::Server, first: Some(first) })
    }

    /// One answer of `poll`, as lengths in `buffer`.
    fn step(&mut self, buffer: &mut [u8], now: Instant) -> Said {
        loop {
            if self.closed == Closing::Due {
                self.closed = Closing::Said;
                return Said::Closed;
            }
            if let Some(said) = self.facts.announce() {
                return said;
            }
            let running = match &mut self.state {
                State::Running(running) => running,
                State::Hello(_) => return Said::Deadline(self.deadline),
                State::Dead => return Said::Deadline(now + HANDSHAKE_MAX),
            };
            if let Some(first) = running.first.take()
                && let Some(slot) = buffer.get_mut(..first.len())
            {
                slot.copy_from_slice(&first);
                return Said::Datagram(first.len());
            }
            match running.backend.poll(buffer) {
                Step::Datagram(len) => return Said::Datagram(len),
                Step::ApplicationData(len) => return Said::ApplicationData(len),
                Step::PeerCertificate(fingerprint) => self.facts.fingerprint = Some(fingerprint),
                Step::Keying(keying) => self.facts.keying = Some(keying),
                Step::Connected => self.facts.connected = true,
                Step::Closed if self.closed == Closing::No => self.closed = Closing::Due,
                Step::Closed | Step::Dropped => {}
                Step::Deadline(at) if self.facts.connected => return Said::Deadline(at),
                Step::Deadline(at) => return Said::Deadline(at.min(self.deadline)),
            }
        }
    }

    /// Translates the library's answer.
    fn settle(&mut self, result: Result<(), Failure>) -> Result<(), DtlsError> {
        match result {
            Ok(()) => Ok(()),
            Err(Failure::Alert) => {
                self.state = State::Dead;
                if self.closed == Closing::No {
                    self.closed = Closing::Due;
                }
                Ok(())
            }
            Err(Failure::Timeout) => self.die(DtlsFailure::Timeout),
            Err(Failure::Flood) => self.die(DtlsFailure::Flood),
            Err(Failure::Handshake) => self.die(DtlsFailure::Handshake),
        }
    }

    fn die(&mut self, failure: DtlsFailure) -> Result<(), DtlsError> {
        self.state = State::Dead;
        Err(DtlsError::Fatal(failure))
    }
}

impl Facts {
    /// `Connected`, once, when everything it carries is known.
    fn announce(&mut self) -> Option<Said> {
        if !self.connected || self.announced {
            return None;
        }
        let fingerprint = self.fingerprint?;
        let keying = self.keying.take()?;
        self.announced = true;
        Some(Said::Connected(keying, fingerprint))
    }
}

/// `DtlsOutput` without the borrow.
enum Said {
    Datagram(usize),
    ApplicationData(usize),
    Connected(Keying, [u8; 32]),
    Closed,
    Deadline(Instant),
}

/// Whether `datagram` starts with a plaintext record that holds a piece of a ClientHello (RFC 6347
/// section 4.2.2), so that its sender wants an association.
pub fn is_client_hello(datagram: &[u8]) -> bool {
    hello::is_client_hello(datagram)
}

/// Chosen: a handshake with both certificates takes 2 to 20 datagrams of the client; 512 leave
/// room for a ClientHello cut very small and for resends.
const HANDSHAKE_DATAGRAMS: usize = 512;
/// Chosen: the same handshake is below 10 KB.
const HANDSHAKE_BYTES: usize = 256 << 10;
/// ClientHellos that may be refused before the peer ends. Chosen: a client resends its own after
/// 1, 2 and 4 s.
const HELLO_ATTEMPTS: usize = 4;
