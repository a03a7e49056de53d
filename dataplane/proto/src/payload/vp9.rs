//! VP9 payload descriptor (RFC 9628 section 4.2): reading it, the facts of a layer frame, and
//! renumbering it for a subscriber.
//!
//! Called per packet of VP9 tracks. Must stay total over truncated descriptors. Of the scalability
//! structure only the number of spatial layers is read.

use super::facts::{FrameFacts, Indication, Indications, SPATIAL_MAX, Target, Targets};
use super::picture::{self, PictureId};
use crate::cursor;

/// Most reference indices of a picture in flexible mode (RFC 9628 section 4.2).
const REFERENCES_MAX: usize = 3;

/// A VP9 payload descriptor.
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
    /// Higher spatial layers of this and later pictures do not refer to this one.
    pub not_inter_layer_reference: bool,
    /// Picture number, 7 or 15 bits.
    pub picture_id: Option<PictureId>,
    /// Temporal layer, spatial layer and switching point, when layers are signalled.
    pub layers: Option<Layers>,
    /// Running index of temporal base layer pictures (non-flexible mode).
    pub tl0_picture_index: Option<u8>,
    /// Number of spatial layers, 1 to 8, where a scalability structure is attached.
    pub spatial_layers: Option<u8>,
}

/// Layer indices (RFC 9628 section 4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layers {
    /// Temporal layer, 0 to 7.
    pub temporal: u8,
    /// Spatial layer, 0 to 7.
    pub spatial: u8,
    /// Whether a receiver may switch up to higher temporal layers after this picture.
    pub switching_up: bool,
    /// Whether the frame depends on the spatial layer below it.
    pub inter_layer: bool,
}

impl Descriptor {
    /// Reads the descriptor at the start of `payload`; None when it is cut off.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let first = cursor::u8_at(payload, 0)?;
        let mut descriptor = Self {
            inter_predicted: first & 0x40 != 0,
            flexible: first & 0x10 != 0,
            begins_frame: first & 0x08 != 0,
            ends_frame: first & 0x04 != 0,
            not_inter_layer_reference: first & 0x01 != 0,
            picture_id: None,
            layers: None,
            tl0_picture_index: None,
            spatial_layers: None,
        };
        let mut at = 1;
        if first & 0x80 != 0 {
            let picture_id = PictureId::read(payload, at)?;
            at += picture_id.len();
            descriptor.picture_id = Some(picture_id);
        }
        if first & 0x20 != 0 {
            descriptor.layers = Some(Layers::read(payload, at)?);
            at += 1;
            if !descriptor.flexible {
                descriptor.tl0_picture_index = Some(cursor::u8_at(payload, at)?);
                at += 1;
            }
        }
        if first & 0x02 != 0 {
            let references = descriptor.flexible && descriptor.inter_predicted;
            let at = if references { after_references(payload, at)? } else { at };
            descriptor.spatial_layers = Some((cursor::u8_at(payload, at)? >> 5) + 1);
        }
        Some(descriptor)
    }

    /// First packet of a frame that refers to no other: neither to an earlier picture nor to a lower
    /// spatial layer of its own.
    fn is_key_frame_start(&self) -> bool {
        let alone = self.layers.is_none_or(|layers| layers.spatial == 0 || !layers.inter_layer);
        self.begins_frame && !self.inter_predicted && alone
    }
}

impl Layers {
    fn read(payload: &[u8], at: usize) -> Option<Self> {
        let octet = cursor::u8_at(payload, at)?;
        Some(Self {
            temporal: octet >> 5,
            switching_up: octet & 0x10 != 0,
            spatial: octet >> 1 & 0x07,
            inter_layer: octet & 1 != 0,
        })
    }
}

/// Where the reference indices that start at `at` end: each says whether another follows.
fn after_references(payload: &[u8], at: usize) -> Option<usize> {
    for at in at..at + REFERENCES_MAX {
        if cursor::u8_at(payload, at)? & 1 == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// See [`Descriptor::is_key_frame_start`].
pub(super) fn is_key_frame_start(payload: &[u8]) -> bool {
    Descriptor::parse(payload).is_some_and(|descriptor| descriptor.is_key_frame_start())
}

/// Spatial layers of an encoding by its scalability structures; 0 before there was one.
///
/// The number is needed because encoders set "not an inter-layer reference" on the highest layer too,
/// where it does not mean that nobody wants it. Before it is known, lower layers are forwarded to
/// everyone above.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct SpatialLayers {
    /// Most since the last key frame: who shows the highest of these was not sent all below it.
    most: u8,
    /// At present.
    now: u8,
}

impl SpatialLayers {
    fn update(&mut self, now: u8, key: bool) {
        *self = Self { most: if key { now } else { now.max(self.most) }, now };
    }

    /// The targets of which something is sent that can be shown, by a frame that is an inter-layer
    /// reference or not. When a layer has stopped and those below are no references, who shows it
    /// was not sent them; when they are, it goes on with them.
    fn available(self, not_reference: bool) -> Targets {
        if self.now == self.most || !not_reference {
            return Targets::ALL;
        }
        let there = |target: &Target| target.spatial() < self.now;
        Target::all().filter(there).fold(Targets::NONE, Targets::with)
    }
}

/// What a packet says of its layer frame; None when its descriptor is cut off. `layers` is what the
/// encoding's earlier packets said, and is updated.
pub(super) fn facts(payload: &[u8], layers: &mut SpatialLayers) -> Option<FrameFacts> {
    let descriptor = Descriptor::parse(payload)?;
    let key = descriptor.is_key_frame_start();
    if let Some(count) = descriptor.spatial_layers {
        layers.update(count, key);
    }
    let (spatial, temporal) = descriptor.layers.map_or((0, 0), |own| (own.spatial, own.temporal));
    let mut indications = Indications::all(Indication::Absent);
    for target in Target::all() {
        indications = indications.with(target, indicate(&descriptor, layers.most, target));
    }
    Some(FrameFacts {
        indications,
        spatial: spatial.min(SPATIAL_MAX - 1),
        temporal,
        starts: descriptor.begins_frame,
        ends: descriptor.ends_frame,
        key,
        layer_sync: false,
        available: layers.available(descriptor.not_inter_layer_reference),
    })
}

/// What a layer frame is to `target` in a stream of `spatial_layers` (0: not known).
///
/// Key frames belong to all targets from their layer on, for they carry the scalability structure.
/// Else a lower spatial layer belongs to a target unless it is not referred to. Within its own
/// spatial layer a frame is a switch to its own temporal layer, to higher ones if it is a switching
/// up point, and to all if it refers to no earlier picture.
fn indicate(descriptor: &Descriptor, spatial_layers: u8, target: Target) -> Indication {
    let key = !descriptor.inter_predicted;
    let Some(own) = descriptor.layers else {
        return if key { Indication::Switch } else { Indication::Required };
    };
    let own_spatial = own.spatial.min(SPATIAL_MAX - 1);
    let own_temporal = Target::new(0, own.temporal).temporal();
    let highest = if spatial_layers == 0 { SPATIAL_MAX } else { spatial_layers } - 1;
    let spatial = target.spatial().min(highest.max(own_spatial));
    if own_spatial > spatial || own_temporal > target.temporal() {
        return Indication::Absent;
    }
    let alone = key && (own.spatial == 0 || !own.inter_layer);
    if own_spatial == spatial {
        let switches = key || own.switching_up || own_temporal == target.temporal();
        return if switches { Indication::Switch } else { Indication::Required };
    }
    match () {
        () if alone => Indication::Switch,
        () if descriptor.not_inter_layer_reference && spatial_layers != 0 => Indication::Absent,
        () => Indication::Required,
    }
}

/// Rewrites the picture number and, in non-flexible mode, the index of base layer pictures of a
/// packet in place, each where it is present, the number in the width it has.
///
/// Unlike in VP8 a picture that was left out keeps its number: in non-flexible mode receivers take a
/// picture's references from its place in the picture group, counted by picture numbers, and in
/// flexible mode references are differences of them (RFC 9628 sections 3 and 4.2). So what leaves has
/// a constant distance to what came, for both numbers, and the distance changes only where the
/// encoding does, at a key frame: its picture continues after the last one that was sent. All layer
/// frames of a picture share its number. `payload` is the copy that goes to one subscriber. Returns
/// false, and writes nothing, when the descriptor is cut off.
pub fn renumber(payload: &mut [u8], picture_id: u16, tl0_picture_index: u8) -> bool {
    let Some(descriptor) = Descriptor::parse(payload) else { return false };
    picture::write(payload, descriptor.picture_id, picture_id);
    if descriptor.tl0_picture_index.is_some() {
        picture::write_index(payload, descriptor.picture_id, tl0_picture_index);
    }
    true
}
