//! VP8 payload descriptor (RFC 7741 section 4.2) and key frame detection (section 4.3).
//!
//! Called per packet of VP8 tracks. Must stay total over truncated descriptors.

use crate::cursor;

/// A VP8 payload descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// Start of a VP8 partition.
    pub start: bool,
    /// Partition index, 0 to 7.
    pub partition: u8,
    /// Not used as a reference by other frames.
    pub non_reference: bool,
    /// Picture number, 7 or 15 bits.
    pub picture_id: Option<PictureId>,
    /// Running index of temporal base layer frames.
    pub tl0_picture_index: Option<u8>,
    /// Temporal layer, 0 to 3.
    pub temporal_layer: Option<u8>,
    /// Whether the frame uses only the base layer as a reference; false without a temporal layer.
    pub layer_sync: bool,
    /// Key frame index, 0 to 31.
    pub key_index: Option<u8>,
    /// Length of the descriptor in bytes: where the VP8 payload starts.
    pub len: usize,
}

/// A picture number and its width.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PictureId {
    /// The number.
    pub value: u16,
    /// Whether it has 15 bits rather than 7.
    pub long: bool,
    /// Offset of its first byte from the start of the payload, for rewriting.
    pub offset: usize,
}

impl Descriptor {
    /// Reads the descriptor at the start of `payload`; None when it is cut off.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let first = cursor::u8_at(payload, 0)?;
        let mut descriptor = Self {
            start: first & 0x10 != 0,
            partition: first & 0x07,
            non_reference: first & 0x20 != 0,
            picture_id: None,
            tl0_picture_index: None,
            temporal_layer: None,
            layer_sync: false,
            key_index: None,
            len: 1,
        };
        if first & 0x80 != 0 {
            let extended = cursor::u8_at(payload, 1)?;
            descriptor.len = 2;
            descriptor.read_extended(payload, extended)?;
        }
        Some(descriptor)
    }

    /// Reads the fields that `extended`, the X octet, announces.
    fn read_extended(&mut self, payload: &[u8], extended: u8) -> Option<()> {
        let (has_id, has_tl0, has_tid, has_key) =
            (extended & 0x80, extended & 0x40, extended & 0x20, extended & 0x10);
        if has_id != 0 {
            let offset = self.len;
            let short = cursor::u8_at(payload, offset)?;
            let long = short & 0x80 != 0;
            let value =
                if long { cursor::u16_at(payload, offset)? & 0x7FFF } else { u16::from(short) };
            self.picture_id = Some(PictureId { value, long, offset });
            self.len += if long { 2 } else { 1 };
        }
        if has_tl0 != 0 {
            self.tl0_picture_index = Some(cursor::u8_at(payload, self.len)?);
            self.len += 1;
        }
        if has_tid | has_key != 0 {
            let octet = cursor::u8_at(payload, self.len)?;
            self.len += 1;
            if has_tid != 0 {
                self.temporal_layer = Some(octet >> 6);
                self.layer_sync = octet & 0x20 != 0;
            }
            self.key_index = (has_key != 0).then_some(octet & 0x1F);
        }
        Some(())
    }
}

/// First packet of a frame whose inverse key frame bit is clear.
pub(super) fn is_key_frame_start(payload: &[u8]) -> bool {
    let Some(descriptor) = Descriptor::parse(payload) else { return false };
    let head = cursor::u8_at(payload, descriptor.len);
    descriptor.start && descriptor.partition == 0 && head.is_some_and(|head| head & 1 == 0)
}
