//! The template dependency structure: what a stream's frame templates are to its decode targets, laid
//! out on the grid of [`Target`]s (AV1 RTP specification appendix A.4.1, A.4.2).
//!
//! Parsed once per key frame, looked up once per packet. Bounded by the format: 64 templates, 32
//! decode targets, 4 spatial and 8 temporal layers. Frame differences and chains are walked over and
//! not kept: which frames a subscriber gets follows from the indications alone.

use super::bits::Bits;
use crate::payload::facts::{Indication, Indications, SPATIAL_MAX, TARGETS, TEMPORAL_MAX, Target};

/// Templates told apart by a six-bit id (appendix A.4.1, table A.1).
pub(super) const TEMPLATES_MAX: usize = 64;
/// Decode targets counted by five bits.
const STRUCTURE_TARGETS_MAX: usize = 32;
/// Highest temporal layer id (appendix A.4.1, table A.1).
const TEMPORAL_ID_MAX: u8 = 7;

/// A frame template: its layer and its indications, two bits per decode target of the structure.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Template {
    pub(super) spatial: u8,
    pub(super) temporal: u8,
    pub(super) indications: u64,
}

/// A template dependency structure and which of its decode targets are produced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Structure {
    /// Template id of the first template.
    id_offset: u8,
    template_count: u8,
    target_count: u8,
    templates: [Template; TEMPLATES_MAX],
    /// Highest spatial and temporal layer of each decode target.
    layers: [(u8, u8); STRUCTURE_TARGETS_MAX],
    /// Decode targets available for decoding, bit by bit.
    active: u32,
    /// Decode target of the structure for each target of the grid.
    grid: [u8; TARGETS],
    /// Width and height in pixels of each spatial layer; 0 where the structure does not say.
    resolutions: [(u32, u32); SPATIAL_MAX as usize],
}

impl Structure {
    /// Reads a structure; None when it is cut off or breaks a bound. All its targets are active.
    pub(super) fn parse(bits: &mut Bits<'_>) -> Option<Self> {
        let id_offset = bits.small(6)?;
        let target_count = bits.small(5)? + 1;
        let mut structure = Self {
            id_offset,
            template_count: 0,
            target_count,
            templates: [Template::default(); TEMPLATES_MAX],
            layers: [(0, 0); STRUCTURE_TARGETS_MAX],
            active: 0,
            grid: [0; TARGETS],
            resolutions: [(0, 0); SPATIAL_MAX as usize],
        };
        let spatial_max = structure.read_layers(bits)?;
        for template in structure.templates.iter_mut().take(structure.template_count.into()) {
            template.indications = read_indications(bits, target_count)?;
        }
        structure.skip_differences(bits)?;
        structure.skip_chains(bits)?;
        if bits.flag()? {
            for resolution in structure.resolutions.iter_mut().take(usize::from(spatial_max) + 1) {
                *resolution = (bits.read(16)? as u32 + 1, bits.read(16)? as u32 + 1);
            }
        }
        structure.measure_targets();
        structure.set_active(u32::MAX);
        Some(structure)
    }

    /// template_layers(): counts the templates and gives each its layer. Returns the highest spatial
    /// layer.
    fn read_layers(&mut self, bits: &mut Bits<'_>) -> Option<u8> {
        let (mut spatial, mut temporal) = (0, 0);
        for template in &mut self.templates {
            *template = Template { spatial, temporal, indications: 0 };
            self.template_count += 1;
            match bits.read(2)? {
                0 => {}
                1 => temporal += 1,
                2 => (spatial, temporal) = (spatial + 1, 0),
                _ => return Some(spatial),
            }
            if spatial >= SPATIAL_MAX || temporal > TEMPORAL_ID_MAX {
                return None;
            }
        }
        None
    }

    /// template_fdiffs(): a list of four-bit differences per template, each behind a flag.
    fn skip_differences(&self, bits: &mut Bits<'_>) -> Option<()> {
        for _ in 0..self.template_count {
            while bits.flag()? {
                bits.read(4)?;
            }
        }
        Some(())
    }

    /// template_chains().
    fn skip_chains(&self, bits: &mut Bits<'_>) -> Option<()> {
        let chains = bits.below(u32::from(self.target_count) + 1)? as u32;
        if chains == 0 {
            return Some(());
        }
        for _ in 0..self.target_count {
            bits.below(chains + 1)?;
        }
        for _ in 0..u32::from(self.template_count) * chains {
            bits.read(4)?;
        }
        Some(())
    }

    /// The layer of a decode target is the highest of the templates that belong to it, as libwebrtc's
    /// structures and every reader of them have it; the format does not state it.
    fn measure_targets(&mut self) {
        let templates = self.templates.iter().take(self.template_count.into());
        for template in templates {
            let targets = self.layers.iter_mut().take(self.target_count.into());
            for (index, (spatial, temporal)) in targets.enumerate() {
                if template.indications >> (2 * index) & 3 != 0 {
                    *spatial = (*spatial).max(template.spatial);
                    *temporal = (*temporal).max(template.temporal);
                }
            }
        }
    }

    /// Takes note of the decode targets that are produced, and lays them out on the grid: for each
    /// of its targets the highest active one that is not above it, else the lowest one. Bits beyond
    /// the structure's targets are ignored; with none active the layout is that of all.
    pub(super) fn set_active(&mut self, mask: u32) {
        let all = u32::MAX >> (32 - u32::from(self.target_count));
        self.active = mask & all;
        let usable = if self.active == 0 { all } else { self.active };
        for target in Target::all() {
            let place =
                |index: &u8| self.layers.get(usize::from(*index)).copied().unwrap_or_default();
            let active = || (0..self.target_count).filter(|index| usable >> index & 1 != 0);
            let below = active().filter(|index| reaches(target, place(index))).max_by_key(place);
            let chosen = below.or_else(|| active().min_by_key(place)).unwrap_or(0);
            if let Some(cell) = self.grid.get_mut(target.index()) {
                *cell = chosen;
            }
        }
    }

    /// The decode targets that are produced, one bit each.
    pub fn active(&self) -> u32 {
        self.active
    }

    /// Number of decode targets.
    pub(super) fn target_count(&self) -> u8 {
        self.target_count
    }

    /// The highest spatial and temporal layer a subscriber of `target` gets: what is there of it.
    pub fn layers(&self, target: Target) -> (u8, u8) {
        self.layers.get(self.chosen(target)).copied().unwrap_or_default()
    }

    /// Width and height in pixels of a spatial layer; None where the structure does not say.
    pub fn resolution(&self, spatial: u8) -> Option<(u32, u32)> {
        self.resolutions.get(usize::from(spatial)).copied().filter(|size| size.0 != 0)
    }

    /// The active_decode_targets_bitmask for a subscriber of `target`: the active decode targets
    /// whose frames it gets all of. Costs a look at every template; to be kept until the target or
    /// the structure changes.
    pub fn active_for(&self, target: Target) -> u32 {
        let shown = 2 * self.chosen(target);
        let mut mask = self.active;
        for template in self.templates.iter().take(self.template_count.into()) {
            if template.indications >> shown & 3 == 0 {
                for index in 0..self.target_count {
                    let absent = template.indications >> (2 * index) & 3 == 0;
                    mask &= !(u32::from(!absent) << index);
                }
            }
        }
        mask
    }

    /// The template with `id`; None when it is of another structure.
    pub(super) fn template(&self, id: u8) -> Option<&Template> {
        let index = id.wrapping_sub(self.id_offset) & (TEMPLATES_MAX as u8 - 1);
        self.templates.get(usize::from(index)).filter(|_| index < self.template_count)
    }

    /// Indications of the structure's decode targets, laid out on the grid.
    pub(super) fn spread(&self, indications: u64) -> Indications {
        Target::all().fold(Indications::all(Indication::Absent), |spread, target| {
            let indication = match indications >> (2 * self.chosen(target)) & 3 {
                0 => Indication::Absent,
                1 => Indication::Discardable,
                2 => Indication::Switch,
                _ => Indication::Required,
            };
            spread.with(target, indication)
        })
    }

    fn chosen(&self, target: Target) -> usize {
        self.grid.get(target.index()).copied().unwrap_or(0).into()
    }
}

/// Whether a decode target of these layers is not above `target`; the last temporal layer of the grid
/// stands for all from it on.
fn reaches(target: Target, (spatial, temporal): (u8, u8)) -> bool {
    let temporal_fits = temporal <= target.temporal() || target.temporal() == TEMPORAL_MAX - 1;
    spatial <= target.spatial() && temporal_fits
}

/// `count` indications of two bits, the first in the lowest bits.
pub(super) fn read_indications(bits: &mut Bits<'_>, count: u8) -> Option<u64> {
    let mut indications = 0;
    for index in 0..count {
        indications |= bits.read(2)? << (2 * index);
    }
    Some(indications)
}
