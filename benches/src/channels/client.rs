//! A remote peer with one data channel and nothing else: connectivity checks, DTLS and SCTP by the
//! libraries themselves, so that a thousand of them fit beside the server they measure.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dimpl::{Config, Dtls, DtlsCertificate, Output};
use proto::stun::write_binding_request;
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event,
    Payload, PayloadProtocolIdentifier, ReliabilityType, ServerConfig, StreamEvent,
};

/// Distance of two connectivity checks (browsers send one each 2.5 s).
const CHECK: Duration = Duration::from_millis(2_500);
/// The same while none was answered.
const CHECK_FIRST: Duration = Duration::from_millis(200);
/// RFC 8445 section 5.1.2: type preference 110 (peer reflexive), component 1.
const PRIORITY: u32 = 110 << 24 | 0xffff << 8 | 255;
/// DATA chunk payload that fits every path.
const PAYLOAD_MAX: u32 = 1_100;

/// The peer.
pub(crate) struct Client {
    pub(crate) socket: UdpSocket,
    /// Whether the association is up.
    pub(crate) up: bool,
    /// Whether it takes nothing from its socket any more.
    pub(crate) stalled: bool,
    /// Whole messages in the order they came; the owner takes them.
    pub(crate) messages: Vec<Vec<u8>>,
    dtls: Dtls,
    shaken: bool,
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    stream: u16,
    credentials: (String, String),
    answered: bool,
    next_check: Instant,
    checks: u64,
    buffer: Vec<u8>,
}

impl Client {
    /// A peer that starts its checks with the next [`Client::on_time`].
    pub(crate) fn new(
        socket: UdpSocket,
        certificate: DtlsCertificate,
        credentials: (String, String),
        stream: u16,
        now: Instant,
    ) -> Self {
        let mut dtls = Dtls::new_12(Arc::new(Config::default()), certificate, now);
        dtls.set_active(true);
        let mut config = EndpointConfig::new();
        config.max_payload_size(PAYLOAD_MAX);
        let endpoint = Endpoint::new(Arc::new(config), Some(Arc::new(ServerConfig::new())));
        Self {
            socket,
            up: false,
            stalled: false,
            messages: Vec::new(),
            dtls,
            shaken: false,
            endpoint,
            association: None,
            stream,
            credentials,
            answered: false,
            next_check: now,
            checks: 0,
            buffer: vec![0; 2_048],
        }
    }

    /// Takes everything the socket holds.
    pub(crate) fn receive(&mut self) {
        if self.stalled {
            return;
        }
        let mut datagram = [0; 2_048];
        let mut got = false;
        while let Ok(len) = self.socket.recv(&mut datagram) {
            got = true;
            let bytes = &datagram[..len];
            // RFC 7983: DTLS begins with 20 to 63, STUN with 0 to 3.
            match bytes.first() {
                Some(20..=63) => {
                    let _ = self.dtls.handle_packet(bytes);
                    self.poll_dtls(Instant::now());
                }
                Some(0..=3) => self.answered = true,
                _ => {}
            }
        }
        if got {
            self.poll_sctp(Instant::now());
        }
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, now: Instant) {
        if now >= self.next_check {
            self.next_check = now + if self.answered { CHECK } else { CHECK_FIRST };
            self.check();
        }
        if !self.answered || self.stalled {
            return;
        }
        if !self.shaken {
            let _ = self.dtls.handle_timeout(now);
            self.poll_dtls(now);
        }
        if let Some((_, association)) = &mut self.association
            && association.poll_timeout().is_some_and(|at| at <= now)
        {
            association.handle_timeout(now);
            self.poll_sctp(now);
        }
    }

    /// Sends a message; false when it cannot.
    pub(crate) fn send(&mut self, bytes: &[u8], now: Instant) -> bool {
        let Some((_, association)) = &mut self.association else { return false };
        let Ok(mut stream) = association.stream(self.stream) else { return false };
        let sent = stream.write_with_ppi(bytes, PayloadProtocolIdentifier::Binary).is_ok();
        self.poll_sctp(now);
        sent
    }

    fn poll_dtls(&mut self, now: Instant) {
        loop {
            match self.dtls.poll_output(&mut self.buffer) {
                // A full socket buffer is loss like any other.
                Output::Packet(bytes) => drop(self.socket.send(bytes)),
                Output::ApplicationData(bytes) => {
                    let packet = Bytes::copy_from_slice(bytes);
                    self.on_sctp(packet, now);
                }
                Output::Connected => {
                    self.shaken = true;
                    self.connect();
                }
                Output::Timeout(_) => return,
                _ => {}
            }
        }
    }

    fn connect(&mut self) {
        let nowhere = SocketAddr::from(([192, 0, 2, 1], 5_000));
        self.association = self.endpoint.connect(ClientConfig::new(), nowhere).ok();
    }

    fn on_sctp(&mut self, packet: Bytes, now: Instant) {
        let nowhere = SocketAddr::from(([192, 0, 2, 1], 5_000));
        let event = self.endpoint.handle(now, nowhere, None, None, packet);
        if let (Some((_, DatagramEvent::AssociationEvent(event))), Some((_, association))) =
            (event, &mut self.association)
        {
            association.handle_event(event);
        }
    }

    fn poll_sctp(&mut self, now: Instant) {
        let Some((_, association)) = &mut self.association else { return };
        while let Some(event) = association.poll() {
            match event {
                Event::Connected => {
                    self.up = true;
                    let opened =
                        association.open_stream(self.stream, PayloadProtocolIdentifier::Binary);
                    if let Ok(mut stream) = opened {
                        let _ = stream.set_reliability_params(false, ReliabilityType::Reliable, 0);
                    }
                }
                Event::Stream(StreamEvent::Readable { id }) => {
                    let Ok(mut stream) = association.stream(id) else { continue };
                    while let Ok(Some(message)) = stream.read_sctp() {
                        let mut bytes = vec![0; message.len()];
                        let _ = message.read(&mut bytes);
                        self.messages.push(bytes);
                    }
                }
                Event::AssociationLost { .. } => self.up = false,
                _ => {}
            }
        }
        while let Some(transmit) = association.poll_transmit(now) {
            let Payload::RawEncode(packets) = transmit.payload else { continue };
            for packet in packets {
                let _ = self.dtls.send_application_data(&packet);
                while let Output::Packet(bytes) = self.dtls.poll_output(&mut self.buffer) {
                    let _ = self.socket.send(bytes);
                }
            }
        }
    }

    fn check(&mut self) {
        self.checks += 1;
        let mut transaction = [0; 12];
        transaction[..8].copy_from_slice(&self.checks.to_be_bytes());
        let (ufrag, password) = &self.credentials;
        let name = format!("{ufrag}:load");
        let mut slot = [0; 256];
        let secret = password.as_bytes();
        let len = write_binding_request(&mut slot, transaction, &name, true, PRIORITY, 1, secret);
        let _ = self.socket.send(&slot[..len]);
    }
}
