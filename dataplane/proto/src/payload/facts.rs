//! What a packet says about its frame and its layer, in one form for every codec.
//!
//! Scalable streams are described on a fixed grid of decode targets: target `s * 4 + t` is "every
//! spatial layer up to `s`, every temporal layer up to `t`" ([`Target`]). A stream with fewer layers
//! repeats its highest target on the rest of the grid, so the last target ([`Target::ALL`]) is always
//! the whole stream. Per target a frame has the indication of the AV1 RTP specification, section
//! "Decode Target Indications". Pure values: called per inbound video packet, no allocation.

/// Spatial layers told apart; higher ones count as the highest.
pub const SPATIAL_MAX: u8 = 4;
/// Temporal layers told apart; higher ones count as the highest.
pub const TEMPORAL_MAX: u8 = 4;
/// Decode targets on the grid.
pub const TARGETS: usize = SPATIAL_MAX as usize * TEMPORAL_MAX as usize;

/// A decode target: a pair of highest spatial and temporal layer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Target(u8);

impl Target {
    /// The whole stream.
    pub const ALL: Target = Target(TARGETS as u8 - 1);

    /// The target of a pair of layers; layers beyond the grid count as the highest.
    pub const fn new(spatial: u8, temporal: u8) -> Self {
        let spatial = if spatial < SPATIAL_MAX { spatial } else { SPATIAL_MAX - 1 };
        let temporal = if temporal < TEMPORAL_MAX { temporal } else { TEMPORAL_MAX - 1 };
        Self(spatial * TEMPORAL_MAX + temporal)
    }

    /// Every target, the smallest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Target> {
        (0..TARGETS as u8).map(Target)
    }

    /// Highest spatial layer.
    pub const fn spatial(self) -> u8 {
        self.0 / TEMPORAL_MAX
    }

    /// Highest temporal layer.
    pub const fn temporal(self) -> u8 {
        self.0 % TEMPORAL_MAX
    }

    /// Place on the grid, below [`TARGETS`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a frame is to one decode target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Indication {
    /// Not part of it: not forwarded.
    Absent = 0,
    /// Part of it; no other frame of it needs this one.
    Discardable = 1,
    /// Part of it; who has decoded the target's lower layers may begin with it here.
    Switch = 2,
    /// Part of it; others need it.
    Required = 3,
}

/// The indications of one frame for all targets, two bits each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Indications(u32);

impl Indications {
    /// The same for every target.
    pub const fn all(indication: Indication) -> Self {
        Self(0x5555_5555 * indication as u32)
    }

    /// The indication for `target`.
    pub const fn of(self, target: Target) -> Indication {
        match self.0 >> (2 * target.0) & 3 {
            0 => Indication::Absent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }

    /// The same with another indication for `target`.
    #[must_use]
    pub const fn with(self, target: Target, indication: Indication) -> Self {
        let shift = 2 * target.0;
        Self(self.0 & !(3 << shift) | (indication as u32) << shift)
    }
}

/// What a packet says about its frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameFacts {
    /// What the frame is to each decode target.
    pub indications: Indications,
    /// Spatial layer of the frame.
    pub spatial: u8,
    /// Temporal layer of the frame.
    pub temporal: u8,
    /// First packet of the frame (of its spatial layer).
    pub starts: bool,
    /// Last packet of the frame (of its spatial layer).
    pub ends: bool,
    /// A decoder that has seen nothing can start with this packet: first packet of a key frame's
    /// lowest spatial layer, or parameter sets in front of it.
    pub key: bool,
}

impl FrameFacts {
    /// Of a packet of which nothing is known: everyone gets it, nobody starts with it.
    pub const UNKNOWN: FrameFacts = FrameFacts {
        indications: Indications::all(Indication::Required),
        spatial: 0,
        temporal: 0,
        starts: false,
        ends: false,
        key: false,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_keeps_its_own_indication() {
        let mut indications = Indications::all(Indication::Absent);
        let kinds = [Indication::Required, Indication::Switch, Indication::Discardable];
        for (target, kind) in Target::all().zip(kinds.into_iter().cycle()) {
            indications = indications.with(target, kind);
        }
        for (target, kind) in Target::all().zip(kinds.into_iter().cycle()) {
            assert_eq!(indications.of(target), kind);
            assert_eq!(Target::new(target.spatial(), target.temporal()), target);
        }
        assert_eq!(Target::new(9, 9), Target::ALL);
    }
}
