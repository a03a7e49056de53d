//! The dependency descriptor of a packet, read against the structure of its stream (AV1 RTP
//! specification v1.0.0, appendix A.8).
//!
//! One [`Reader`] per encoding, asked once per packet that has the element. Must never let a late
//! packet undo what a newer one said. Allocates once, with the first structure.

use super::bits::Bits;
use super::structure::{Structure, read_indications};
use crate::cursor;
use crate::payload::facts::{FrameFacts, Indication, Indications};
use crate::rtp::newer;

/// Bytes of the fields that are always there.
pub(super) const MANDATORY_LEN: usize = 3;
/// Frames by which a repaired packet may be late; what is further back is a stream that started anew.
/// Chosen: three spatial layers at 60 pictures a second for two seconds, more than repair waits.
const LATE_FRAMES_MAX: u16 = 360;

/// What a dependency descriptor says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// The facts of the frame.
    pub facts: FrameFacts,
    /// Number of the frame in decode order; wraps.
    pub frame_number: u16,
    /// Whether the packet carries the structure of a coded video sequence that starts with it.
    pub has_structure: bool,
}

/// The fields in front of the frame's own definition.
pub(super) struct Head<'a> {
    pub(super) starts: bool,
    pub(super) ends: bool,
    pub(super) template_id: u8,
    pub(super) frame_number: u16,
    /// Structure, mask and custom fields, for descriptors that have them.
    pub(super) extended: Option<Extended<'a>>,
}

/// extended_descriptor_fields(): the flags, and the bits behind them.
pub(super) struct Extended<'a> {
    pub(super) has_structure: bool,
    pub(super) has_active: bool,
    /// The flags of custom indications, differences and chains, in wire order.
    pub(super) custom: u8,
    pub(super) bits: Bits<'a>,
}

impl<'a> Head<'a> {
    /// Reads the mandatory fields and the flags; None when they are cut off.
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        let first = cursor::u8_at(data, 0)?;
        let mut head = Self {
            starts: first & 0x80 != 0,
            ends: first & 0x40 != 0,
            template_id: first & 0x3F,
            frame_number: cursor::u16_at(data, 1)?,
            extended: None,
        };
        if data.len() > MANDATORY_LEN {
            let mut bits = Bits::new(data, 8 * MANDATORY_LEN);
            head.extended = Some(Extended {
                has_structure: bits.flag()?,
                has_active: bits.flag()?,
                custom: bits.small(3)?,
                bits,
            });
        }
        Some(head)
    }
}

/// Reads the descriptors of one encoding, keeping its structure.
#[derive(Debug, Default)]
pub struct Reader {
    structure: Option<Box<Structure>>,
    /// Frame that brought the structure, and the one that last named the active targets.
    structure_frame: u16,
    active_frame: u16,
}

impl Reader {
    /// Reads the descriptor of a packet; None when it is malformed, or refers to a structure that is
    /// not there: the caller knows then only what the payload says.
    ///
    /// A packet with a structure starts a coded video sequence: every target's frames can be decoded
    /// from it on, so it is a switch for all of them, those included that show nothing of its own
    /// frame (independent spatial layers), for their receivers need the structure.
    pub fn read(&mut self, data: &[u8]) -> Option<Descriptor> {
        let head = Head::parse(data)?;
        let Some(mut extended) = head.extended.as_ref().map(|extended| Extended { ..*extended })
        else {
            let structure = self.structure.as_deref()?;
            let template = structure.template(head.template_id)?;
            return Some(describe(&head, structure, template.indications));
        };
        if extended.has_structure {
            return self.read_first(&head, &mut extended);
        }
        let structure = self.structure.as_deref_mut()?;
        let template = *structure.template(head.template_id)?;
        let count = structure.target_count();
        let active = if extended.has_active { extended.bits.read(count.into()) } else { None };
        if extended.has_active && active.is_none() {
            return None;
        }
        let mut indications = template.indications;
        if extended.custom & 0b100 != 0 {
            indications = read_indications(&mut extended.bits, count)?;
        }
        if let Some(mask) = active
            && !newer(self.active_frame, head.frame_number)
        {
            self.active_frame = head.frame_number;
            if structure.active() != mask as u32 {
                structure.set_active(mask as u32);
            }
        }
        Some(describe(&head, structure, indications))
    }

    /// The structure the stream is in.
    pub fn structure(&self) -> Option<&Structure> {
        self.structure.as_deref()
    }

    /// A descriptor that brings a structure.
    fn read_first(&mut self, head: &Head<'_>, extended: &mut Extended<'_>) -> Option<Descriptor> {
        let mut structure = Structure::parse(&mut extended.bits)?;
        let mask = match extended.has_active {
            true => extended.bits.read(structure.target_count().into())? as u32,
            false => u32::MAX,
        };
        structure.set_active(mask);
        structure.template(head.template_id)?;
        let mut descriptor = describe(head, &structure, 0);
        descriptor.facts.indications = Indications::all(Indication::Switch);
        descriptor.facts.key = head.starts;
        descriptor.has_structure = true;
        let behind = self.structure_frame.wrapping_sub(head.frame_number);
        let late = (1..=LATE_FRAMES_MAX).contains(&behind);
        match &mut self.structure {
            Some(_) if late => return Some(descriptor),
            Some(place) => **place = structure,
            None => self.structure = Some(Box::new(structure)),
        }
        (self.structure_frame, self.active_frame) = (head.frame_number, head.frame_number);
        Some(descriptor)
    }
}

/// The facts of a frame whose indications are known.
fn describe(head: &Head<'_>, structure: &Structure, indications: u64) -> Descriptor {
    let template = structure.template(head.template_id).copied().unwrap_or_default();
    Descriptor {
        facts: FrameFacts {
            indications: structure.spread(indications),
            spatial: template.spatial,
            temporal: template.temporal,
            starts: head.starts,
            ends: head.ends,
            key: false,
            layer_sync: false,
            available: structure.available(),
        },
        frame_number: head.frame_number,
        has_structure: false,
    }
}
