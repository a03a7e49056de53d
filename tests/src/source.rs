//! What a publisher sends: VP8-shaped frames and Opus-shaped packets with exact RTP numbers. Called
//! by simulation, loopback tests and load generator when [`Source::next_at`] is reached.

use std::time::{Duration, Instant};

use common::media::MediaKind;

use crate::payload::{self, Picture, Stamp};
use crate::peer::Outgoing;

/// Largest payload of a video packet, in bytes. Chosen: what browsers stay below.
const PAYLOAD_MAX: usize = 1150;

/// Key frames of [`Shape::video`] against the other frames. Chosen: a still scene's ratio.
const KEY_FACTOR: u32 = 5;

/// Size and pace of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Time between frames.
    pub interval: Duration,
    /// Packets per frame.
    pub packets: u32,
    /// Payload bytes per packet.
    pub len: usize,
    /// How many times the packets of another frame a key frame has.
    pub key_factor: u32,
    /// Temporal layers (1 to 3) told in a full descriptor; None: no picture numbers at all.
    pub temporal: Option<u8>,
}

impl Shape {
    /// A light camera: 3 packets of 1,000 bytes, 30 frames a second.
    pub const CAMERA: Shape = Shape {
        interval: Duration::from_micros(33_333),
        packets: 3,
        len: 1000,
        key_factor: 1,
        temporal: None,
    };
    /// The measured work: 9 packets of 1,200 bytes, 30 frames a second (2.6 Mbit/s).
    pub const FULL_CAMERA: Shape = Shape { packets: 9, len: 1200, ..Shape::CAMERA };
    /// A microphone: 50 packets of 100 bytes a second.
    pub const MICROPHONE: Shape =
        Shape { interval: Duration::from_millis(20), packets: 1, len: 100, ..Shape::CAMERA };

    /// 30 frames a second at `bits_per_second`, key frames five times as large, with picture
    /// numbers and `temporal` layers (1 to 3).
    pub const fn video(bits_per_second: u32, temporal: u8) -> Shape {
        let frame = (bits_per_second / 8 / 30) as usize;
        let packets = frame.div_ceil(PAYLOAD_MAX);
        Shape {
            packets: packets as u32,
            len: frame / packets,
            key_factor: KEY_FACTOR,
            temporal: Some(temporal),
            ..Shape::CAMERA
        }
    }
}

/// One encoding of a simulcast track.
#[derive(Clone, Copy, Debug)]
pub struct Rung {
    /// RID.
    pub rid: &'static str,
    /// Size and pace.
    pub shape: Shape,
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
    /// MID it is sent with, where the owner routes key frame requests by it.
    pub mid: &'static str,
    /// RID of an encoding.
    pub rid: Option<&'static str>,
    /// Encoding number in its stamps.
    pub encoding: u8,
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
    pictures: Pictures,
}

impl Source {
    /// Makes a stopped source; `sequence` is its first sequence number.
    pub fn new(kind: MediaKind, ssrc: u32, stream: u32, shape: Shape, sequence: u16) -> Self {
        Self {
            kind,
            ssrc,
            stream,
            mid: "",
            rid: None,
            encoding: 0,
            shape,
            next_at: None,
            key_wanted: true,
            counter: 0,
            key_frames: 0,
            sequence: u64::from(sequence),
            pictures: Pictures::default(),
        }
    }

    /// Sequence number of the next packet.
    pub fn next_sequence(&self) -> u64 {
        self.sequence
    }

    /// The packets of the frame that is due at `now`, `since` the run's start.
    pub fn frame(&mut self, now: Instant, since: Duration) -> Vec<Outgoing> {
        let due = self.next_at.unwrap_or(now);
        let captured = since.saturating_sub(now.saturating_duration_since(due));
        let key = self.key_wanted || self.kind == MediaKind::Audio;
        self.key_wanted = false;
        self.key_frames += u64::from(key);
        let (frame, depends, picture) = self.pictures.next(key, self.shape.temporal, self.encoding);
        let of = self.shape.packets * if key { self.shape.key_factor } else { 1 };
        let stamp = Stamp {
            stream: self.stream,
            encoding: self.encoding,
            counter: self.counter,
            sent_ns: since.as_nanos() as u64,
            start: true,
            key,
            frame,
            depends,
            place: 0,
            of: of as u8,
            picture,
        };
        self.next_at = Some(due + self.shape.interval);
        (0..of as u8).map(|place| self.packet(Stamp { place, ..stamp }, captured)).collect()
    }

    fn packet(&mut self, stamp: Stamp, captured: Duration) -> Outgoing {
        let stamp = Stamp { counter: self.counter, start: stamp.place == 0, ..stamp };
        let packet = Outgoing {
            ssrc: self.ssrc,
            kind: self.kind,
            payload_type: None,
            sequence: self.sequence,
            timestamp: self.timestamp(captured),
            marker: stamp.place + 1 == stamp.of,
            payload: payload::write(self.kind, stamp, self.shape.len),
        };
        self.counter += 1;
        self.sequence += 1;
        packet
    }

    /// RTP time of a capture instant: encodings of one track have different zero points, as in
    /// browsers, and wrap early in the run.
    fn timestamp(&self, captured: Duration) -> u32 {
        let clock_rate = if self.kind == MediaKind::Audio { 48_000 } else { 90_000 };
        let ticks = captured.as_nanos() * clock_rate / 1_000_000_000;
        let zero = 0xffff_0000u32.wrapping_sub(u32::from(self.encoding) * 1_000_003);
        zero.wrapping_add(ticks as u32)
    }
}

/// Numbers the frames of one encoding: which frame depends on which, and what VP8 calls them.
#[derive(Clone, Debug, Default)]
struct Pictures {
    frames: u32,
    /// Frames since the last key frame.
    phase: u32,
    tl0_index: u8,
    /// The newest frame of temporal layers 0 and 1.
    newest: [u32; 2],
}

impl Pictures {
    fn next(
        &mut self,
        key: bool,
        temporal: Option<u8>,
        encoding: u8,
    ) -> (u32, u32, Option<Picture>) {
        let frame = self.frames;
        self.frames += 1;
        self.phase = if key { 0 } else { self.phase + 1 };
        let (layer, sync) = match (temporal, self.phase % 4) {
            (Some(2), 1 | 3) => (1, true),
            (Some(3), 2) => (1, true),
            (Some(3), 1) => (2, true),
            (Some(3), 3) => (2, false),
            _ => (0, false),
        };
        let [base, middle] = self.newest;
        let depends = match layer {
            0 if key => frame,
            2 if !sync => middle,
            _ => base,
        };
        match layer {
            0 => {
                self.newest = [frame, frame];
                self.tl0_index = self.tl0_index.wrapping_add(1);
            }
            1 => self.newest[1] = frame,
            _ => {}
        }
        // Encodings number on their own, as encoders do; high numbers so that they wrap early.
        let id = (0x7f00 + u32::from(encoding) * 4_001 + frame) as u16 & 0x7fff;
        let numbers = Picture { id, tl0_index: self.tl0_index, temporal: layer, sync };
        (frame, depends, temporal.map(|_| numbers))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn three_temporal_layers_follow_the_usual_pattern() {
        let shape = Shape::video(500_000, 3);
        let mut source = Source::new(MediaKind::Video, 1, 1, shape, 0);
        let now = Instant::now();
        let mut seen = Vec::new();
        for number in 0..9 {
            source.key_wanted = number == 0 || number == 6;
            let packets = source.frame(now, Duration::ZERO);
            let stamp = payload::read(MediaKind::Video, &packets[0].payload).unwrap();
            let picture = stamp.picture.unwrap();
            assert_eq!(packets.len(), if stamp.key { 10 } else { 2 });
            seen.push((picture.temporal, picture.sync, stamp.depends, picture.tl0_index));
        }
        let sync = true;
        let first = [(0, false, 0, 1), (2, sync, 0, 1), (1, sync, 0, 1), (2, false, 2, 1)];
        assert_eq!(seen[..4], first);
        let second = [(0, false, 0, 2), (2, sync, 4, 2), (0, false, 6, 3), (2, sync, 6, 3)];
        assert_eq!(seen[4..8], second);
        assert_eq!(seen[8], (1, sync, 6, 3));
    }

    #[test]
    fn a_rate_is_kept() {
        for rate in [120_000, 500_000, 1_500_000, 2_500_000] {
            let shape = Shape::video(rate, 1);
            let bits = shape.packets as usize * shape.len * 8 * 30;
            assert!(bits.abs_diff(rate as usize) < 10_000 && shape.len <= PAYLOAD_MAX, "{shape:?}");
        }
    }
}
