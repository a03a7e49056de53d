//! The template dependency structure: what a stream's frame templates are to its decode targets, laid
//! out on the grid of [`Target`]s (AV1 RTP specification v1.0.0, appendix A.8).
//!
//! Parsed once per key frame, looked up once per packet. Bounded by the format: 64 templates, 32
//! decode targets, 4 spatial and 8 temporal layers. Frame differences and chains are walked over and
//! not kept: which frames a subscriber gets follows from the indications alone.

use super::bits::Bits;
use crate::payload::facts::{
    Indication, Indications, SPATIAL_MAX, TARGETS, TEMPORAL_MAX, Target, Targets,
};

/// Templates told apart by a six-bit id (appendix A.8.2, MAX_TEMPLATE_ID).
pub(super) const TEMPLATES_MAX: usize = 64;
/// Decode targets counted by five bits.
const STRUCTURE_TARGETS_MAX: usize = 32;
/// Highest temporal layer id (appendix A.8.2, MAX_TEMPORAL_ID).
const TEMPORAL_ID_MAX: u8 = 7;

/// A frame template: its layer and its indications, two bits per decode target of the structure.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Template {
    pub(super) spatial: u8,
    pub(super) temporal: u8,
    pub(super) indications: u64,
}

impl Template {
    /// Whether its frames belong to the decode target `index` of the structure.
    fn includes(&self, index: usize) -> bool {
        self.indications >> (2 * index) & 3 != 0
    }
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
    /// The targets of the grid whose subscribers get all of one of these.
    available: Targets,
    /// Decode targets that were active at some time: those the grid is made of.
    laid_out: u32,
    /// Decode target of the structure for each target of the grid.
    grid: [u8; TARGETS],
    /// Width and height in pixels of each spatial layer; 0 where the structure does not say.
    resolutions: [(u32, u32); SPATIAL_MAX as usize],
}

impl Structure {
    /// Reads a structure; None when it is cut off or breaks a bound. Which of its targets are active
    /// is the next thing to say.
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
            available: Targets::NONE,
            laid_out: 0,
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
            bits.below(chains)?;
        }
        for _ in 0..u32::from(self.template_count) * chains {
            bits.read(4)?;
        }
        Some(())
    }

    /// decode_target_layers(): the layer of a decode target is the highest of the templates that
    /// belong to it.
    fn measure_targets(&mut self) {
        let templates = self.templates.iter().take(self.template_count.into());
        for template in templates {
            let targets = self.layers.iter_mut().take(self.target_count.into());
            for (index, (spatial, temporal)) in targets.enumerate() {
                if template.includes(index) {
                    *spatial = (*spatial).max(template.spatial);
                    *temporal = (*temporal).max(template.temporal);
                }
            }
        }
    }

    /// Takes note of the decode targets that are produced; bits beyond the structure's are ignored.
    ///
    /// Targets that were stopped stay on the grid until the next structure. In full SVC a subscriber
    /// of one goes on with what is below and gets the rest when it begins again; elsewhere it was not
    /// sent what is below and must leave by the rules. Targets that begin are laid out anew: encoders
    /// begin them with frames that refer to nothing older.
    pub(super) fn set_active(&mut self, mask: u32) {
        self.active = mask & self.all();
        if self.active & !self.laid_out != 0 {
            self.laid_out |= self.active;
            self.lay_out();
        }
        self.available = Target::all()
            .filter(|target| self.active_for(*target) != 0)
            .fold(Targets::NONE, Targets::with);
    }

    /// Gives each target of the grid the highest decode target that is not above it, spatial layer
    /// first, else the lowest one, out of those that were produced.
    fn lay_out(&mut self) {
        for target in Target::all() {
            let place =
                |index: &u8| self.layers.get(usize::from(*index)).copied().unwrap_or_default();
            let there = || (0..self.target_count).filter(|index| self.laid_out >> index & 1 != 0);
            let below = there().filter(|index| reaches(target, place(index))).max_by_key(place);
            let chosen = below.or_else(|| there().min_by_key(place)).unwrap_or(0);
            if let Some(cell) = self.grid.get_mut(target.index()) {
                *cell = chosen;
            }
        }
    }

    /// A mask of every decode target.
    fn all(&self) -> u32 {
        u32::MAX >> (32 - u32::from(self.target_count))
    }

    /// The decode targets that are produced, one bit each.
    pub fn active(&self) -> u32 {
        self.active
    }

    /// The targets of the grid of which something is produced that can be shown.
    pub(super) fn available(&self) -> Targets {
        self.available
    }

    /// Number of decode targets.
    pub(super) fn target_count(&self) -> u8 {
        self.target_count
    }

    /// The highest spatial and temporal layer that a subscriber of `target` gets.
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
        let templates = self.templates.iter().take(self.template_count.into());
        templates.fold(self.active, |mask, template| {
            if template.includes(self.chosen(target)) {
                return mask;
            }
            let targets = 0..usize::from(self.target_count);
            let missed = targets.filter(|index| template.includes(*index));
            missed.fold(mask, |mask, index| mask & !(1 << index))
        })
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
