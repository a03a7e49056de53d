//! One publisher: the whole stack of the tests' remote peer, with one or two sources that send at
//! their pace. Driven by `generator`.

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use ::tests::peer::{Peer, PeerConfig, StreamSpec};
use ::tests::source::{Shape, Source};
use common::media::MediaKind;

use super::sdp::{Local, Remote, Section};
use crate::Outcome;

/// What a publisher sends: video, sound or both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Media {
    pub(crate) video: Option<Shape>,
    pub(crate) audio: Option<Shape>,
}

/// RTP header with one extension element, and the AEAD's tag, in bytes.
const OVERHEAD: usize = 20 + 16;
/// The MIDs of a publisher's sections.
const MIDS: [&str; 2] = ["0", "1"];

impl Media {
    /// What it sends, in the order of the sections.
    pub(crate) fn shapes(&self) -> Vec<Shape> {
        [self.video, self.audio].into_iter().flatten().collect()
    }

    /// Mean bytes of a datagram that a subscriber gets.
    pub(crate) fn wire_bytes(&self) -> f64 {
        let rate = |shape: &Shape| f64::from(shape.packets) / shape.interval.as_secs_f64();
        let shapes = self.shapes();
        let bytes = shapes.iter().map(|shape| rate(shape) * (shape.len + OVERHEAD) as f64);
        bytes.sum::<f64>() / shapes.iter().map(rate).sum::<f64>()
    }

    /// The kinds, in the order of the sections.
    pub(crate) fn kinds(&self) -> Vec<MediaKind> {
        let video = self.video.map(|_| MediaKind::Video);
        video.into_iter().chain(self.audio.map(|_| MediaKind::Audio)).collect()
    }

    fn shape(&self, kind: MediaKind) -> Option<Shape> {
        if kind == MediaKind::Video { self.video } else { self.audio }
    }
}

/// The publisher.
pub(crate) struct Publisher {
    pub(crate) socket: UdpSocket,
    pub(crate) local: Local,
    pub(crate) sources: Vec<Source>,
    config: PeerConfig,
    peer: Option<Peer>,
    playing: bool,
    number: usize,
}

impl Publisher {
    /// A publisher at `ip` that is about to join; its owner carries the wish to the server.
    pub(crate) fn new(number: usize, media: &Media, ip: IpAddr) -> Outcome<Self> {
        let socket = super::batch::socket(ip)?;
        let certificate = Peer::certificate();
        let local = Local {
            address: socket.local_addr()?,
            ufrag: format!("p{number:07}"),
            password: format!("{number:032}"),
            fingerprint: Peer::fingerprint_of(&certificate),
        };
        let mut config = PeerConfig::new(local.address, local.address);
        config.certificate = Some(certificate);
        config.local_credentials = Some((local.ufrag.clone(), local.password.clone()));
        config.watch_rtcp = false;
        config.transport_cc = true;
        let sources = media.kinds().into_iter().enumerate().filter_map(|(place, kind)| {
            // The track in its stamps: two to a publisher, so that it can be told from the number.
            let stream = (2 * number + place) as u32;
            let first = (1_000 * (place + 1)) as u16;
            Some(Source::new(kind, 0x1000_0000 + stream, stream, media.shape(kind)?, first))
        });
        let sources = sources.collect();
        Ok(Self { socket, local, sources, config, peer: None, playing: false, number })
    }

    /// The sections of its offer.
    pub(crate) fn sections(&self) -> Vec<Section> {
        let sources = self.sources.iter().enumerate();
        sources
            .map(|(place, source)| {
                Section::offered(place, source.kind, Some(source.ssrc), rtx(source))
            })
            .collect()
    }

    /// Takes the server's description and begins to connect.
    pub(crate) fn begin(&mut self, remote: Remote, now: Instant) -> Outcome<()> {
        self.socket.connect(remote.address)?;
        self.config.server = remote.address;
        self.config.ufrag = remote.ufrag;
        self.config.password = remote.password;
        self.config.fingerprint = remote.fingerprint;
        let mut peer = Peer::new(&self.config, now);
        for (source, mid) in self.sources.iter().zip(MIDS) {
            let (kind, ssrc, rtx) = (source.kind, source.ssrc, rtx(source));
            peer.publish(StreamSpec { mid, kind, ssrc, rtx });
        }
        self.peer = Some(peer);
        Ok(())
    }

    /// Whether its handshake is done.
    pub(crate) fn is_connected(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.connected)
    }

    /// Why it cannot go on.
    pub(crate) fn failure(&self) -> Option<String> {
        let peer = self.peer.as_ref()?;
        peer.failure.clone().or(peer.closed.then(|| "the publisher was closed".to_owned()))
    }

    /// Starts its sources, at another phase than its neighbours'.
    pub(crate) fn play(&mut self, now: Instant) {
        self.playing = true;
        for (place, source) in self.sources.iter_mut().enumerate() {
            let phase = self.number * 2_333 + place * 7_000;
            source.next_at = Some(now + Duration::from_micros(phase as u64 % 33_000));
        }
    }

    /// Stops its sources.
    pub(crate) fn pause(&mut self) {
        self.playing = false;
    }

    /// Takes everything its socket holds.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) {
        let Some(peer) = &mut self.peer else { return };
        let server = self.config.server;
        while let Ok(len) = self.socket.recv(buffer) {
            peer.on_datagram(server, &buffer[..len], Instant::now());
        }
    }

    /// Does what is due and sends what there is to send; `start` is the zero of its stamps.
    pub(crate) fn on_time(&mut self, now: Instant, start: Instant) {
        let Some(peer) = &mut self.peer else { return };
        if peer.next_deadline() <= now {
            peer.on_deadline(now);
        }
        let wanted = !peer.key_frames_wanted.is_empty();
        peer.key_frames_wanted.clear();
        for source in &mut self.sources {
            source.key_wanted |= wanted && source.kind == MediaKind::Video;
            if self.playing && source.next_at.is_some_and(|at| at <= now) {
                for packet in source.frame(now, now.duration_since(start)) {
                    peer.send(packet, now);
                }
            }
        }
        while let Some(datagram) = peer.poll_datagram() {
            // A full socket buffer is loss like any other.
            let _ = self.socket.send(&datagram.bytes);
        }
    }
}

/// SSRC of the RTX stream of a source.
fn rtx(source: &Source) -> Option<u32> {
    (source.kind == MediaKind::Video).then_some(source.ssrc ^ 0x4000_0000)
}
