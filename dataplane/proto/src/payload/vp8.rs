//! VP8 payload descriptor (RFC 7741 section 4.2): reading it, the facts of a frame, and renumbering
//! it for a subscriber.
//!
//! Called per packet of VP8 tracks. Must stay total over truncated descriptors. The descriptor stays
//! readable when the frame behind it is encrypted end to end; the key frame bit (section 4.3) is the
//! frame's own first byte, which such encryption leaves in clear or not.

use super::facts::{FrameFacts, Indication, Indications, Target, Targets};
use super::picture::{self, PictureId};
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
            let picture_id = PictureId::read(payload, self.len)?;
            self.len += picture_id.len();
            self.picture_id = Some(picture_id);
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

    /// First packet of a frame.
    fn starts_frame(&self) -> bool {
        self.start && self.partition == 0
    }
}

/// First packet of a frame whose inverse key frame bit is clear.
pub(super) fn is_key_frame_start(payload: &[u8]) -> bool {
    let Some(descriptor) = Descriptor::parse(payload) else { return false };
    let head = cursor::u8_at(payload, descriptor.len);
    descriptor.starts_frame() && head.is_some_and(|head| head & 1 == 0)
}

/// What a packet says of its frame; None when its descriptor is cut off.
///
/// Temporal layers are nested: a frame of layer t belongs to all targets from t on. A layer sync is a
/// switch to its own layer; frames of the base layer are none to higher ones, for the next frame of a
/// higher layer may refer to an older one of its own. Without a temporal layer the frame belongs to
/// every target.
pub(super) fn facts(payload: &[u8], marker: bool) -> Option<FrameFacts> {
    let descriptor = Descriptor::parse(payload)?;
    let temporal = descriptor.temporal_layer.unwrap_or(0);
    let key = is_key_frame_start(payload);
    let mut indications = Indications::all(Indication::Absent);
    for target in Target::all().filter(|target| target.temporal() >= temporal) {
        let own = target.temporal() == temporal && descriptor.temporal_layer.is_some();
        let indication = match own {
            _ if key => Indication::Switch,
            true if descriptor.layer_sync || temporal == 0 => Indication::Switch,
            true if descriptor.non_reference => Indication::Discardable,
            _ => Indication::Required,
        };
        indications = indications.with(target, indication);
    }
    Some(FrameFacts {
        indications,
        spatial: 0,
        temporal,
        starts: descriptor.starts_frame(),
        ends: marker,
        key,
        layer_sync: descriptor.layer_sync,
        available: Targets::ALL,
    })
}

/// Rewrites the picture number and the index of base layer frames of a packet in place, each where it
/// is present, the number in the width it has.
///
/// Receivers tell a lost frame from one that was left out by these numbers, so what leaves must count
/// without gaps: the picture number by one with every forwarded frame, the index by one with every
/// base layer frame, across changes of encoding as well (RFC 7741 section 4.2; libwebrtc's reference
/// finder holds back every frame of a higher layer behind a missing number). `payload` is the copy
/// that goes to one subscriber. Returns false, and writes nothing, when the descriptor is cut off.
pub fn renumber(payload: &mut [u8], picture_id: u16, tl0_picture_index: u8) -> bool {
    let Some(descriptor) = Descriptor::parse(payload) else { return false };
    picture::write(payload, descriptor.picture_id, picture_id);
    if descriptor.tl0_picture_index.is_some() {
        picture::write_index(payload, descriptor.picture_id, tl0_picture_index);
    }
    true
}
