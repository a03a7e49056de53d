//! The one file that names the SCTP library (`sctp-proto`): one association as few calls.
//!
//! Called by `mod.rs`, which has looked at every packet before (`guard.rs`). The library reads the
//! clock in one place, when we are the side that begins (the first resend of an INIT), and draws
//! tags and first numbers from its own generator.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use common::command::{Reliability, ReliabilityLimit};
use common::limits::{CHANNEL_MESSAGE_MAX, SCTP_RECEIVE_BUFFER, SCTP_STREAMS_MAX};
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event,
    Payload, PayloadProtocolIdentifier, ReliabilityType, ServerConfig, StreamEvent,
    TransportConfig,
};

/// What a message is (RFC 8831 section 8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Dcep,
    Text,
    Binary,
    EmptyText,
    EmptyBinary,
    /// Of a payload protocol that is none of data channels, or deprecated.
    Other,
}

/// What the library has to say.
pub(super) enum Said {
    Connected,
    Lost,
    Message {
        stream: u16,
        kind: Kind,
        bytes: Bytes,
        /// DATA chunks it came in.
        chunks: usize,
    },
    /// The remote side reset the stream; our direction is reset in answer.
    Reset(u16),
    /// Both directions are reset.
    Freed(u16),
}

/// One association.
pub(super) struct Backend {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    /// The stream whose messages are being read.
    reading: Option<u16>,
}

impl Backend {
    /// Waits for an INIT.
    pub(super) fn server() -> Backend {
        let mut config = ServerConfig::new();
        config.transport = transport(LOCAL_PORT);
        let endpoint = Endpoint::new(endpoint_config(), Some(Arc::new(config)));
        Backend { endpoint, association: None, reading: None }
    }

    /// Sends an INIT. `None` when the port cannot be one.
    pub(super) fn client(remote_port: u16) -> Option<Backend> {
        let mut config = ClientConfig::new();
        config.transport = transport(remote_port);
        let mut endpoint = Endpoint::new(endpoint_config(), Some(Arc::new(ServerConfig::new())));
        endpoint.reject_new_associations();
        let association = endpoint.connect(config, NOWHERE).ok()?;
        Some(Backend { endpoint, association: Some(association), reading: None })
    }

    /// Takes one packet. What is not for this association is ignored.
    pub(super) fn on_packet(&mut self, packet: Bytes, now: Instant) {
        match self.endpoint.handle(now, NOWHERE, None, None, packet) {
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                // One is all there is; further ones would be kept by the library.
                self.endpoint.reject_new_associations();
                self.association = Some((handle, association));
            }
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some((ours, association)) = &mut self.association
                    && *ours == handle
                {
                    association.handle_event(event);
                }
            }
            None => {}
        }
    }

    pub(super) fn on_deadline(&mut self, now: Instant) {
        if let Some((_, association)) = &mut self.association {
            association.handle_timeout(now);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.association.as_ref().and_then(|(_, association)| association.poll_timeout())
    }

    /// The next thing that happened.
    pub(super) fn poll(&mut self) -> Option<Said> {
        loop {
            if let Some(stream) = self.reading {
                match self.read(stream) {
                    Some(said) => return Some(said),
                    None => self.reading = None,
                }
            }
            let (_, association) = self.association.as_mut()?;
            match association.poll()? {
                Event::Connected => return Some(Said::Connected),
                Event::HandshakeFailed { .. } | Event::AssociationLost { .. } => {
                    return Some(Said::Lost);
                }
                // Taken only so that the library's list of new streams does not grow.
                Event::Stream(StreamEvent::Opened { .. }) => drop(association.accept_stream()),
                Event::Stream(StreamEvent::Readable { id }) => self.reading = Some(id),
                Event::Stream(StreamEvent::Finished { id }) => return Some(Said::Reset(id)),
                Event::Stream(StreamEvent::ResetComplete { id }) => return Some(Said::Freed(id)),
                _ => {}
            }
        }
    }

    fn read(&mut self, stream: u16) -> Option<Said> {
        let (_, association) = self.association.as_mut()?;
        let message = association.stream(stream).ok()?.read_sctp().ok()??;
        let mut bytes = vec![0; message.len()];
        message.read(&mut bytes).ok()?;
        let (kind, chunks) = (kind_of(message.ppi), message.chunks.len());
        Some(Said::Message { stream, kind, bytes: bytes.into(), chunks })
    }

    /// Appends the packets that want to be sent now.
    pub(super) fn poll_packets(&mut self, packets: &mut Vec<Bytes>, now: Instant) {
        let Some((_, association)) = &mut self.association else { return };
        // One answer holds all that may be sent now.
        if let Some(transmit) = association.poll_transmit(now)
            && let Payload::RawEncode(encoded) = transmit.payload
        {
            packets.extend(encoded);
        }
    }

    /// Opens a stream, or changes its reliability. False while an earlier use of it is not reset
    /// on both sides.
    pub(super) fn open(&mut self, stream: u16, reliability: Reliability) -> bool {
        let Some((_, association)) = &mut self.association else { return false };
        if !self::exists(association, stream) {
            let opened = association.open_stream(stream, PayloadProtocolIdentifier::Binary);
            if opened.is_err() {
                return false;
            }
        }
        let Ok(mut stream) = association.stream(stream) else { return false };
        let (kind, value) = match reliability.limit {
            ReliabilityLimit::Never => (ReliabilityType::Reliable, 0),
            ReliabilityLimit::Retransmits(count) => (ReliabilityType::Rexmit, u32::from(count)),
            ReliabilityLimit::Lifetime(ms) => (ReliabilityType::Timed, u32::from(ms)),
        };
        stream.is_writable()
            && stream.set_reliability_params(!reliability.ordered, kind, value).is_ok()
    }

    /// Whether the library knows the stream.
    pub(super) fn exists(&mut self, stream: u16) -> bool {
        self.association.as_mut().is_some_and(|(_, association)| exists(association, stream))
    }

    /// Queues one message; its bytes are shared, not copied. False when the stream takes none.
    pub(super) fn send(&mut self, stream: u16, kind: Kind, bytes: Bytes) -> bool {
        let Some((_, association)) = &mut self.association else { return false };
        let Ok(mut stream) = association.stream(stream) else { return false };
        let len = bytes.len();
        stream.set_default_payload_type(identifier(kind)).is_ok()
            && stream.write_chunks(&mut [bytes]).is_ok_and(|sent| sent == len)
    }

    /// Bytes of a stream that are not acknowledged; None when the library does not know it.
    pub(super) fn queued(&mut self, stream: u16) -> Option<usize> {
        self.association.as_mut()?.1.stream(stream).ok()?.buffered_amount().ok()
    }

    /// Resets our direction of a stream once all that was sent is acknowledged.
    pub(super) fn close(&mut self, stream: u16) {
        let Some((_, association)) = &mut self.association else { return };
        if !exists(association, stream)
            && association.open_stream(stream, PayloadProtocolIdentifier::Binary).is_err()
        {
            return;
        }
        if let Ok(mut stream) = association.stream(stream) {
            // Fails only when the association is not established, and then nothing is to reset.
            let _ = stream.close();
        }
    }
}

fn exists(association: &mut Association, stream: u16) -> bool {
    association.stream(stream).is_ok()
}

fn endpoint_config() -> Arc<EndpointConfig> {
    let mut config = EndpointConfig::new();
    config.max_payload_size(DATA_MAX);
    Arc::new(config)
}

fn transport(remote_port: u16) -> Arc<TransportConfig> {
    let config = TransportConfig::default()
        .with_max_receive_buffer_size(SCTP_RECEIVE_BUFFER as u32)
        .with_max_receive_message_size(CHANNEL_MESSAGE_MAX as u32)
        .with_max_send_message_size(CHANNEL_MESSAGE_MAX as u32)
        .with_max_num_inbound_streams(SCTP_STREAMS_MAX)
        .with_max_num_outbound_streams(SCTP_STREAMS_MAX)
        // ICE consent ends a path that is dead (RFC 8831 section 5).
        .with_max_data_retransmits(None)
        .with_rto_initial_ms(RESEND_FIRST_MS)
        .with_rto_min_ms(RESEND_MIN_MS)
        .with_rto_max_ms(RESEND_MAX_MS)
        .with_local_port(LOCAL_PORT)
        .with_remote_port(remote_port);
    Arc::new(config)
}

fn kind_of(identifier: PayloadProtocolIdentifier) -> Kind {
    match identifier {
        PayloadProtocolIdentifier::Dcep => Kind::Dcep,
        PayloadProtocolIdentifier::String => Kind::Text,
        PayloadProtocolIdentifier::Binary => Kind::Binary,
        PayloadProtocolIdentifier::StringEmpty => Kind::EmptyText,
        PayloadProtocolIdentifier::BinaryEmpty => Kind::EmptyBinary,
        PayloadProtocolIdentifier::Unknown => Kind::Other,
    }
}

fn identifier(kind: Kind) -> PayloadProtocolIdentifier {
    match kind {
        Kind::Dcep => PayloadProtocolIdentifier::Dcep,
        Kind::Text => PayloadProtocolIdentifier::String,
        Kind::Binary => PayloadProtocolIdentifier::Binary,
        Kind::EmptyText => PayloadProtocolIdentifier::StringEmpty,
        Kind::EmptyBinary => PayloadProtocolIdentifier::BinaryEmpty,
        Kind::Other => PayloadProtocolIdentifier::Unknown,
    }
}

/// Our SCTP port, as it is announced (RFC 8841 section 5).
const LOCAL_PORT: u16 = 5_000;
/// The library wants an address of the remote side; packets go where DTLS goes.
const NOWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), LOCAL_PORT);
/// Bytes of a message in one DATA chunk. With the headers (28) and the 19 bytes by which the library
/// exceeds that when it bundles two chunks, it makes packets that need not be split.
const DATA_MAX: u32 = 1_116;
const _: () = assert!(DATA_MAX as usize + 28 + 19 <= super::PACKET_MAX);
/// First wait for an acknowledgement in ms, and the least. Chosen: above the 200 ms for which
/// receivers may delay one (RFC 9260 section 6.2); libwebrtc waits 500 and 400.
const RESEND_FIRST_MS: u64 = 500;
const RESEND_MIN_MS: u64 = 400;
/// Longest wait. Chosen: a path that comes back within its consent is used soon.
const RESEND_MAX_MS: u64 = 10_000;
