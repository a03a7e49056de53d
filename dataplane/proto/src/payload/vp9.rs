//! VP9 payload descriptor up to the layer fields (RFC 9628 section 4.2) and key frame detection.
//!
//! Called per packet of VP9 tracks. Must stay total over truncated descriptors.

use crate::cursor;

/// The fields of a VP9 payload descriptor that precede reference indices and scalability
/// structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// Inter-picture predicted frame.
    pub inter_predicted: bool,
    /// Flexible mode.
    pub flexible: bool,
    /// Start of a layer frame.
    pub begins_frame: bool,
    /// End of a layer frame.
    pub ends_frame: bool,
    /// Picture number, 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// Temporal layer, spatial layer and switching point, when layers are signalled.
    pub layers: Option<Layers>,
    /// Running index of temporal base layer pictures (non-flexible mode).
    pub tl0_picture_index: Option<u8>,
}

/// Layer indices (RFC 9628 section 4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layers {
    /// Temporal layer, 0 to 7.
    pub temporal: u8,
    /// Spatial layer, 0 to 7.
    pub spatial: u8,
    /// Whether a receiver may switch up to this temporal layer here.
    pub switching_up: bool,
    /// Whether the frame depends on the spatial layer below it.
    pub inter_layer: bool,
}

impl Descriptor {
    /// Reads the descriptor at the start of `payload`; None when it is cut off.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let first = cursor::u8_at(payload, 0)?;
        let flexible = first & 0x10 != 0;
        let mut at = 1;
        let mut picture_id = None;
        if first & 0x80 != 0 {
            let short = cursor::u8_at(payload, at)?;
            let long = short & 0x80 != 0;
            picture_id =
                Some(if long { cursor::u16_at(payload, at)? & 0x7FFF } else { u16::from(short) });
            at += if long { 2 } else { 1 };
        }
        let mut layers = None;
        let mut tl0_picture_index = None;
        if first & 0x20 != 0 {
            let octet = cursor::u8_at(payload, at)?;
            layers = Some(Layers {
                temporal: octet >> 5,
                switching_up: octet & 0x10 != 0,
                spatial: octet >> 1 & 0x07,
                inter_layer: octet & 1 != 0,
            });
            if !flexible {
                tl0_picture_index = Some(cursor::u8_at(payload, at + 1)?);
            }
        }
        Some(Self {
            inter_predicted: first & 0x40 != 0,
            flexible,
            begins_frame: first & 0x08 != 0,
            ends_frame: first & 0x04 != 0,
            picture_id,
            layers,
            tl0_picture_index,
        })
    }
}

/// First packet of the lowest spatial layer of a picture that refers to no other.
pub(super) fn is_key_frame_start(payload: &[u8]) -> bool {
    Descriptor::parse(payload).is_some_and(|descriptor| {
        let lowest = descriptor.layers.is_none_or(|layers| layers.spatial == 0);
        descriptor.begins_frame && !descriptor.inter_predicted && lowest
    })
}
