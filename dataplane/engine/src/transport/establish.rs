//! From the first authenticated check to keys in both directions (RFC 8842, RFC 5763): drives the
//! DTLS engine, waits for the fingerprint that the control plane knows, hands the keys over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::command::DtlsRole;
use common::event::{CloseReason, SrtpProfile};
use common::limits::HANDSHAKE_MAX;
use proto::dtls::{Certificate, Dtls, DtlsError, DtlsOutput};
use proto::srtp::Keying;

/// What the handshake brought forth; to be acted on by the caller.
pub(crate) enum Progress {
    /// A datagram of this many bytes lies in the buffer and wants to be sent.
    Send(usize),
    /// Keys are agreed and the certificate is the one the SDP promised.
    Connected {
        /// Keys of both directions.
        keying: Keying,
        /// The profile they are for.
        profile: SrtpProfile,
        /// From the first authenticated check to here.
        setup: Duration,
    },
    /// Plaintext of this many bytes lies in the buffer: one SCTP packet (RFC 8261).
    Application(usize),
    /// The peer must end.
    Failed(CloseReason),
    /// Nothing more now.
    Idle,
}

/// The DTLS side of one peer.
pub(crate) struct Establish {
    dtls: Dtls,
    since: Instant,
    deadline: Option<Instant>,
    promised: Option<[u8; 32]>,
    presented: Option<(Keying, SrtpProfile, [u8; 32])>,
    connected: bool,
    /// The newest plaintext that came before the certificate was known to match: an INIT, which is
    /// resent only after seconds.
    early: Option<Box<[u8]>>,
}

impl Establish {
    /// Waits for a ClientHello.
    pub(crate) fn new(certificate: &Arc<Certificate>, now: Instant) -> Self {
        Self {
            dtls: Dtls::new(certificate, now),
            since: now,
            deadline: None,
            promised: None,
            presented: None,
            connected: false,
            early: None,
        }
    }

    /// Sets the fingerprint that the peer's certificate must have. A later, different one counts
    /// only as long as no certificate was presented.
    pub(crate) fn promise(&mut self, fingerprint: [u8; 32]) {
        self.promised = Some(fingerprint);
    }

    /// Sends our ClientHello with the next [`Establish::poll`]. False when the handshake runs
    /// already. To be called when a path proved itself.
    pub(crate) fn connect(&mut self, now: Instant) -> bool {
        self.dtls.connect(now)
    }

    /// Our role in the handshake.
    pub(crate) fn role(&self) -> DtlsRole {
        self.dtls.role()
    }

    /// Takes one datagram. False: it was not acceptable and changed nothing.
    ///
    /// # Errors
    /// The peer must end for the reason given.
    pub(crate) fn on_datagram(
        &mut self,
        datagram: &[u8],
        now: Instant,
    ) -> Result<bool, CloseReason> {
        match self.dtls.on_datagram(datagram, now) {
            Ok(()) => Ok(true),
            Err(DtlsError::Rejected) => Ok(false),
            Err(DtlsError::Fatal(_)) => Err(CloseReason::HandshakeFailed),
        }
    }

    /// Fires the retransmission timer when it is due.
    ///
    /// # Errors
    /// The handshake failed or took too long: the peer must end for the reason given.
    pub(crate) fn on_deadline(&mut self, now: Instant) -> Result<(), CloseReason> {
        if !self.connected && now.saturating_duration_since(self.since) >= HANDSHAKE_MAX {
            return Err(CloseReason::HandshakeFailed);
        }
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return Ok(());
        }
        self.deadline = None;
        self.dtls.on_deadline(now).map_err(|_| CloseReason::HandshakeFailed)
    }

    /// Asks for the next step; call until [`Progress::Idle`] or [`Progress::Failed`].
    pub(crate) fn poll(&mut self, buffer: &mut [u8], now: Instant) -> Progress {
        if self.connected
            && let Some(early) = self.early.take()
            && let Some(place) = buffer.get_mut(..early.len())
        {
            place.copy_from_slice(&early);
            return Progress::Application(early.len());
        }
        loop {
            match self.dtls.poll(buffer, now) {
                DtlsOutput::Datagram(datagram) => return Progress::Send(datagram.len()),
                DtlsOutput::Connected { keying, profile, peer_fingerprint } => {
                    self.presented = Some((keying, profile, peer_fingerprint));
                }
                DtlsOutput::ApplicationData(plain) if self.connected => {
                    return Progress::Application(plain.len());
                }
                DtlsOutput::ApplicationData(plain) => self.early = Some(plain.into()),
                DtlsOutput::Closed => return Progress::Failed(CloseReason::CloseNotify),
                DtlsOutput::Deadline(deadline) => {
                    self.deadline = Some(deadline);
                    return self.verdict(now);
                }
            }
        }
    }

    /// Sends plaintext with the next [`Establish::poll`].
    ///
    /// # Errors
    /// The peer must end for the reason given.
    pub(crate) fn send(&mut self, plain: &[u8], now: Instant) -> Result<(), CloseReason> {
        match self.dtls.send_application(plain, now) {
            Ok(()) | Err(DtlsError::Rejected) => Ok(()),
            Err(DtlsError::Fatal(_)) => Err(CloseReason::HandshakeFailed),
        }
    }

    /// Sends close_notify with the next [`Establish::poll`].
    pub(crate) fn close(&mut self, now: Instant) {
        self.dtls.close(now);
    }

    /// Whether keys were handed over.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// RFC 8122 section 6.2: media must not flow before the certificate matched.
    fn verdict(&mut self, now: Instant) -> Progress {
        let Some(promised) = self.promised else { return Progress::Idle };
        let Some((keying, profile, fingerprint)) = self.presented.take() else {
            return Progress::Idle;
        };
        if fingerprint != promised {
            return Progress::Failed(CloseReason::FingerprintMismatch);
        }
        self.connected = true;
        let setup = now.saturating_duration_since(self.since);
        Progress::Connected { keying, profile, setup }
    }
}
