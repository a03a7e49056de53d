//! One subscriber: joins, receives in batches, counts every packet by its clear header, opens one in
//! `sample` of each stream and checks its payload to the last byte, answers with reports and
//! transport-wide feedback. Driven by `generator`.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::tests::payload;
use dimpl::{Config, DtlsCertificate};
use proto::rtp::{Header, elements};

use super::batch::Batch;
use super::count::{Count, Stream};
use super::feedback::Feedback;
use super::sdp::{Local, Remote};
use super::transport::Transport;
use crate::Outcome;

/// What opened packets showed; shared by all subscribers of a run.
#[derive(Default)]
pub(crate) struct Findings {
    /// From the publisher's call to the subscriber's.
    pub(crate) latency: Vec<Duration>,
    pub(crate) verified: u64,
    pub(crate) wrong: u64,
}

/// Which publishers a subscriber may hear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) first: u32,
    pub(crate) publishers: u32,
}

/// The subscriber.
pub(crate) struct Subscriber {
    pub(crate) socket: UdpSocket,
    pub(crate) local: Local,
    pub(crate) number: usize,
    pub(crate) room: Room,
    /// When its join began, how long until its keys were there, how long until the first packet.
    pub(crate) asked: Instant,
    pub(crate) connected: Option<Duration>,
    pub(crate) heard: Option<Duration>,
    pub(crate) failure: Option<String>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) transport: Option<Transport>,
    certificate: Option<DtlsCertificate>,
    transport_cc_id: Option<u8>,
    feedback: Feedback,
}

impl Subscriber {
    /// A subscriber at `ip` that asks to join now; its owner carries the wish to the server.
    pub(crate) fn new(number: usize, room: Room, ip: IpAddr, now: Instant) -> Outcome<Self> {
        let socket = super::batch::socket(ip)?;
        let certificate = dimpl::certificate::generate_self_signed_certificate()?;
        let print = ring::digest::digest(&ring::digest::SHA256, &certificate.certificate);
        let local = Local {
            address: socket.local_addr()?,
            ufrag: format!("s{number:07}"),
            password: format!("{number:032}"),
            fingerprint: print.as_ref().try_into()?,
        };
        Ok(Self {
            socket,
            local,
            number,
            room,
            asked: now,
            connected: None,
            heard: None,
            failure: None,
            streams: Vec::new(),
            transport: None,
            certificate: Some(certificate),
            transport_cc_id: None,
            feedback: Feedback::new(1 + number as u32, (number % 97) as f64 / 97.0, now),
        })
    }

    /// Takes the server's description and begins to connect.
    pub(crate) fn begin(&mut self, config: &Arc<Config>, remote: Remote, now: Instant) {
        let sending = remote
            .sections
            .iter()
            .filter_map(|section| section.ssrc.map(|ssrc| Stream::new(ssrc, section.kind)));
        self.streams = sending.collect();
        self.transport_cc_id = remote.sections.iter().find_map(|one| one.numbers.transport_cc_id);
        if self.streams.len() != remote.sections.len() {
            self.failure = Some("the server names no SSRC for a section".into());
        }
        let Some(certificate) = self.certificate.take() else { return };
        if let Err(error) = self.socket.connect(remote.address) {
            self.failure = Some(error.to_string());
            return;
        }
        let mut transport = Transport::new(config, certificate, &self.local, remote, now);
        transport.on_time(&self.socket, now);
        self.transport = Some(transport);
    }

    /// Takes everything the socket holds; opens one packet in `sample` of each stream. `start` is
    /// the zero of the publishers' stamps.
    pub(crate) fn receive(
        &mut self,
        batch: &mut Batch,
        sample: u64,
        start: Instant,
        found: &mut Findings,
    ) {
        let Some(mut transport) = self.transport.take() else { return };
        let socket = &self.socket;
        let mut now = None;
        let mut media = Vec::new();
        batch.receive(socket, |bytes| {
            let now = *now.get_or_insert_with(Instant::now);
            match bytes {
                // RFC 7983 and RFC 5761: RTP begins with 2 in its two top bits, RTCP has types 192
                // to 223.
                [128..=191, 192..=223, ..] => {}
                [128..=191, ..] => {
                    let Some(header) = Header::parse(bytes) else { return };
                    let number = transport_number(bytes, &header, self.transport_cc_id);
                    self.feedback.note(bytes.len(), number, now);
                    let stream = self.streams.iter_mut().find(|one| one.ssrc == header.ssrc);
                    // Others are probes and repairs.
                    let Some(stream) = stream else { return };
                    stream.count.note(header.sequence);
                    stream.place += 1;
                    if (stream.place - 1).is_multiple_of(sample) {
                        media.push((header.ssrc, bytes.to_vec()));
                    }
                }
                _ => transport.on_datagram(socket, bytes, now),
            }
        });
        let now = now.unwrap_or_else(Instant::now);
        if transport.keys.is_some() && self.connected.is_none() {
            self.connected = Some(now - self.asked);
        }
        let took = now.saturating_duration_since(start);
        for (ssrc, bytes) in media {
            self.heard.get_or_insert(now - self.asked);
            match self.open(&mut transport, ssrc, &bytes) {
                Some(sent) => {
                    found.verified += 1;
                    found.latency.push(took.saturating_sub(sent));
                }
                None => found.wrong += 1,
            }
        }
        self.transport = Some(transport);
    }

    /// Opens and checks one packet; returns when it was sent.
    fn open(&mut self, transport: &mut Transport, ssrc: u32, bytes: &[u8]) -> Option<Duration> {
        let plain = transport.keys.as_mut()?.open.decrypt_rtp(bytes).ok()?;
        let header = Header::parse(&plain)?;
        let stream = self.streams.iter_mut().find(|one| one.ssrc == ssrc)?;
        let stamp = payload::read(stream.kind, plain.get(header.payload_offset..)?)?;
        let publisher = (stamp.stream / 2).checked_sub(self.room.first)?;
        let right = publisher < self.room.publishers
            && *stream.bound.get_or_insert(stamp.stream) == stamp.stream;
        right.then(|| Duration::from_nanos(stamp.sent_ns))
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, now: Instant) {
        let Some(transport) = &mut self.transport else { return };
        transport.on_time(&self.socket, now);
        if let Some(failure) = transport.failure.take() {
            self.failure = Some(failure);
        }
        let Some(keys) = &mut transport.keys else { return };
        let mut slot = [0; 1_200];
        let streams = &self.streams;
        let blocks = || streams.iter().map(Stream::report).collect();
        let len = self.feedback.write(blocks, &mut slot, now);
        if len > 0
            && let Ok(sealed) = keys.seal.encrypt_rtcp(&slot[..len])
        {
            // A full socket buffer is loss like any other.
            let _ = self.socket.send(&sealed);
        }
    }

    /// Forgets what it counted so far.
    pub(crate) fn reset(&mut self) {
        for stream in &mut self.streams {
            stream.count = Count::default();
        }
    }

    /// Packets received and packets sent to it since the last reset.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let counts = self.streams.iter().map(|stream| &stream.count);
        counts.fold((0, 0), |(r, e), count| (r + count.received, e + count.expected()))
    }
}

/// The transport-wide number in the element `id`.
fn transport_number(bytes: &[u8], header: &Header, id: Option<u8>) -> Option<u16> {
    let (_, offset, _) = elements(bytes, header).find(|(element, ..)| Some(*element) == id)?;
    Some(u16::from_be_bytes([*bytes.get(offset)?, *bytes.get(offset + 1)?]))
}
