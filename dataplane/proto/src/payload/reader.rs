//! The frame facts of one encoding's packets, from wherever they are told: the dependency descriptor
//! where there is one, else the payload descriptor of the codec, else the frame type alone.
//!
//! One value per encoding, asked once per inbound packet with the payload in clear. Must never be the
//! reason to drop a packet: what cannot be read is forwarded to everyone. Allocates once per encoding,
//! with its first dependency structure.

use common::media::Codec;

use super::facts::{FrameFacts, Indication, Indications};
use super::{is_key_frame_start, vp8, vp9};
use crate::rtp::dependency;

/// Reads the frame facts of one encoding, remembering what its earlier packets said for later ones.
#[derive(Debug, Default)]
pub struct FrameReader {
    /// Spatial layers of VP9, by its scalability structures.
    vp9_layers: vp9::SpatialLayers,
    /// Dependency structure of the stream.
    dependency: dependency::Reader,
}

impl FrameReader {
    /// The facts of a packet. `marker` is its RTP marker bit, `descriptor` the data of its dependency
    /// descriptor element.
    ///
    /// The dependency descriptor goes first because it stays readable when the payload is encrypted
    /// end to end, and because encoders state real structures in it. VP8 is the exception: browsers
    /// mark every frame of a temporal layer as a switch there, while the payload descriptor, which is
    /// never encrypted, tells layer syncs apart. Its key frames are still read from the descriptor.
    pub fn read(
        &mut self,
        codec: Codec,
        payload: &[u8],
        marker: bool,
        descriptor: Option<&[u8]>,
    ) -> FrameFacts {
        let described = descriptor.and_then(|data| self.dependency.read(data));
        let of_payload = match codec {
            Codec::Vp8 => vp8::facts(payload, marker),
            _ if described.is_some() => None,
            Codec::Vp9 => vp9::facts(payload, &mut self.vp9_layers),
            _ => None,
        };
        match (of_payload, described) {
            (Some(facts), Some(described)) => FrameFacts { key: described.facts.key, ..facts },
            (Some(facts), None) => facts,
            (None, Some(described)) => described.facts,
            (None, None) => without_layers(codec, payload, marker),
        }
    }

    /// The dependency structure the stream is in, for rewriting its descriptors.
    pub fn structure(&self) -> Option<&dependency::Structure> {
        self.dependency.structure()
    }
}

/// Of a stream that tells no layers: everyone gets all of it and may begin with a key frame.
fn without_layers(codec: Codec, payload: &[u8], marker: bool) -> FrameFacts {
    let key = is_key_frame_start(codec, payload);
    let indication = if key { Indication::Switch } else { Indication::Required };
    FrameFacts {
        indications: Indications::all(indication),
        starts: key,
        ends: marker || is_audio(codec),
        key,
        ..FrameFacts::UNKNOWN
    }
}

/// Whether every packet of the codec is a frame of its own.
fn is_audio(codec: Codec) -> bool {
    match codec {
        Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::H265 | Codec::Av1 => false,
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::Red | Codec::Other => true,
    }
}
