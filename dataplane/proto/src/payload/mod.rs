//! What the payload says about its frame and layer, per codec, and the payload descriptors that are
//! rewritten for a subscriber.
//!
//! Called once per inbound video packet with the payload in clear. Must never be the reason to drop
//! a packet: a payload that cannot be read is no key frame, and is forwarded.

mod av1;
pub mod facts;
mod h264;
mod h265;
mod picture;
mod reader;
pub mod red;
pub mod vp8;
pub mod vp9;

use common::media::Codec;

pub use picture::PictureId;
pub use reader::FrameReader;

/// Whether a decoder that has seen nothing can start with this packet: the first packet of a key
/// frame, or the parameter sets in front of one. Every packet of a codec without key frames is.
pub fn is_key_frame_start(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Vp8 => vp8::is_key_frame_start(payload),
        Codec::Vp9 => vp9::is_key_frame_start(payload),
        Codec::H264 => h264::is_key_frame_start(payload),
        Codec::H265 => h265::is_key_frame_start(payload),
        Codec::Av1 => av1::is_key_frame_start(payload),
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::Red | Codec::Other => true,
    }
}

#[cfg(test)]
mod tests;
