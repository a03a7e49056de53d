//! What a publisher sends: VP8-shaped frames and Opus-shaped packets with exact RTP numbers. Called
//! by simulation, loopback tests and load generator when [`Source::next_at`] is reached.

use std::time::{Duration, Instant};

use common::media::MediaKind;

use crate::payload::{self, Stamp};
use crate::peer::Outgoing;

/// Size and pace of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Time between frames.
    pub interval: Duration,
    /// Packets per frame.
    pub packets: u32,
    /// Payload bytes per packet.
    pub len: usize,
}

impl Shape {
    /// A light camera: 3 packets of 1,000 bytes, 30 frames a second.
    pub const CAMERA: Shape =
        Shape { interval: Duration::from_micros(33_333), packets: 3, len: 1000 };
    /// The measured work: 9 packets of 1,200 bytes, 30 frames a second (2.6 Mbit/s).
    pub const FULL_CAMERA: Shape = Shape { packets: 9, len: 1200, ..Shape::CAMERA };
    /// A microphone: 50 packets of 100 bytes a second.
    pub const MICROPHONE: Shape =
        Shape { interval: Duration::from_millis(20), packets: 1, len: 100 };
}

/// One stream of a publisher.
#[derive(Clone, Debug)]
pub struct Source {
    /// Audio or video.
    pub kind: MediaKind,
    /// SSRC it is sent with.
    pub ssrc: u32,
    /// Number in its stamps.
    pub stream: u32,
    /// Size and pace.
    pub shape: Shape,
    /// When the next frame is due; None while it is stopped.
    pub next_at: Option<Instant>,
    /// Whether the next frame is a key frame.
    pub key_wanted: bool,
    /// Packets sent.
    pub counter: u64,
    /// Key frames sent.
    pub key_frames: u64,
    sequence: u64,
    timestamp: u32,
}

impl Source {
    /// Makes a stopped source; `sequence` is its first sequence number.
    pub fn new(kind: MediaKind, ssrc: u32, stream: u32, shape: Shape, sequence: u16) -> Self {
        Self {
            kind,
            ssrc,
            stream,
            shape,
            next_at: None,
            key_wanted: true,
            counter: 0,
            key_frames: 0,
            sequence: u64::from(sequence),
            timestamp: 0xffff_0000,
        }
    }

    /// Sequence number of the next packet.
    pub fn next_sequence(&self) -> u64 {
        self.sequence
    }

    /// The packets of the frame that is due at `now`, `since` the run's start.
    pub fn frame(&mut self, now: Instant, since: Duration) -> Vec<Outgoing> {
        let key = self.key_wanted || self.kind == MediaKind::Audio;
        self.key_wanted = false;
        self.key_frames += u64::from(key);
        let count = self.shape.packets;
        let packets = (0..count).map(|place| self.packet(place, key, since)).collect();
        let clock_rate = if self.kind == MediaKind::Audio { 48_000 } else { 90_000 };
        let step = self.shape.interval.as_micros() as u64 * clock_rate / 1_000_000;
        self.timestamp = self.timestamp.wrapping_add(step as u32);
        self.next_at = Some(self.next_at.unwrap_or(now) + self.shape.interval);
        packets
    }

    fn packet(&mut self, place: u32, key: bool, since: Duration) -> Outgoing {
        let stamp = Stamp {
            stream: self.stream,
            counter: self.counter,
            sent_ns: since.as_nanos() as u64,
            start: place == 0,
            key,
        };
        let packet = Outgoing {
            ssrc: self.ssrc,
            kind: self.kind,
            payload_type: None,
            sequence: self.sequence,
            timestamp: self.timestamp,
            marker: place + 1 == self.shape.packets,
            payload: payload::write(self.kind, stamp, self.shape.len),
        };
        self.counter += 1;
        self.sequence += 1;
        packet
    }
}
