//! What a packet says about its frame and its layer, in one form for every codec.
//!
//! Scalable streams are described on a fixed grid of decode targets: target `s * 4 + t` shows spatial
//! layer `s` at temporal layer `t` ([`Target`]). A stream with fewer layers repeats its highest target
//! on the rest of the grid, so the last target ([`Target::ALL`]) is always the best picture there is.
//! Per target a frame has a decode target indication (AV1 RTP specification v1.0.0, table A.1). Pure values: called per inbound video packet, no allocation.
//!
//! The subscriber's side has three rules, for every codec and structure alike. Who shows a target
//! forwards exactly the frames that are not [`Indication::Absent`] for it; who wants another target
//! asks [`FrameFacts::allows`] at each packet; and nobody wishes for a target that is not
//! [available](FrameFacts::available). The order of targets says nothing about what is
//! contained in what: in L3T3_KEY and S3T3 a lower spatial layer is not part of a higher one, so that
//! going down needs a key frame there as well as going up.

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
    /// Part of it; when this frame can be decoded, so can every later frame of the target.
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

    /// Whether the frame belongs to `target`.
    pub const fn includes(self, target: Target) -> bool {
        !matches!(self.of(target), Indication::Absent)
    }

    /// The same with another indication for `target`.
    #[must_use]
    pub const fn with(self, target: Target, indication: Indication) -> Self {
        let shift = 2 * target.0;
        Self(self.0 & !(3 << shift) | (indication as u32) << shift)
    }
}

/// A set of decode targets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Targets(u16);

impl Targets {
    /// None of them.
    pub const NONE: Targets = Targets(0);
    /// All of them.
    pub const ALL: Targets = Targets(u16::MAX);

    /// The same set and `target`.
    #[must_use]
    pub const fn with(self, target: Target) -> Self {
        Self(self.0 | 1 << target.0)
    }

    /// Whether `target` is in the set.
    pub const fn contains(self, target: Target) -> bool {
        self.0 >> target.0 & 1 != 0
    }

    /// The best there is for who wishes for `wish`: the highest target, spatial layer first, that is
    /// not above it, else the lowest of all; `wish` itself when the set is empty.
    pub fn nearest(self, wish: Target) -> Target {
        let fits = |target: &Target| {
            target.spatial() <= wish.spatial() && target.temporal() <= wish.temporal()
        };
        let there = || Target::all().filter(|target| self.contains(*target));
        there().rev().find(fits).or_else(|| there().next()).unwrap_or(wish)
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
    /// A decoder that has seen nothing can start with this packet: first packet of a frame that
    /// refers to no other, or parameter sets in front of it. With independent spatial layers (S3T3)
    /// each has its own; otherwise only the lowest.
    pub key: bool,
    /// The frame refers to nothing but the temporal base layer of its own spatial layer, so that who
    /// has no other temporal layer can decode it (the Y bit of RFC 7741 section 4.2).
    pub layer_sync: bool,
    /// Targets of which the publisher sends something that can be shown, as it says itself; all where
    /// it says nothing. A subscriber should wish for the [nearest](Targets::nearest) of these:
    /// encoders stop a layer without a key frame, and what is below it need not have been part of it.
    pub available: Targets,
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
        layer_sync: false,
        available: Targets::ALL,
    };

    /// Whether a subscriber that shows `from` (None: nothing yet) may show `to` beginning with this
    /// packet. Asked of the whole frames of one encoding only.
    ///
    /// A decoder gets on when it can decode this frame and the frame is a switch for the new target.
    /// It can when it needs nothing (`key`), has all of its own target up to here, or has the base
    /// layer of a layer sync. Fewer temporal layers of the same spatial layer need none of this.
    /// RFC 7741 section 4.2, RFC 9628 section 4.2, AV1 RTP specification appendix A.7.
    pub const fn allows(&self, from: Option<Target>, to: Target) -> bool {
        let switches = matches!(self.indications.of(to), Indication::Switch);
        let Some(from) = from else { return self.key && switches };
        let same_layer = from.spatial() == to.spatial();
        if same_layer && to.temporal() <= from.temporal() {
            return self.starts;
        }
        let decodable = self.indications.includes(from) || self.layer_sync && same_layer;
        (self.starts || self.key) && switches && (self.key || decodable)
    }

    /// Whether this packet ends the picture for a subscriber that shows `target`: its RTP marker bit.
    ///
    /// `marker` is the bit of the packet as it came, which the publisher set on the picture's last
    /// layer. Receivers take a picture as complete by it, so it must be set on the last layer that
    /// is forwarded (RFC 9628 section 4.1).
    pub const fn ends_picture(&self, target: Target, marker: bool) -> bool {
        marker || self.ends && self.spatial == target.spatial()
    }
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

    #[test]
    fn the_nearest_target_keeps_the_spatial_layer_if_it_can() {
        let target = |(spatial, temporal)| Target::new(spatial, temporal);
        let set =
            [(1, 0), (1, 1), (2, 0)].into_iter().map(target).fold(Targets::NONE, Targets::with);
        let cases = [((3, 3), (2, 0)), ((2, 0), (2, 0)), ((1, 3), (1, 1)), ((0, 3), (1, 0))];
        for (wish, nearest) in cases {
            assert_eq!(set.nearest(target(wish)), target(nearest), "{wish:?}");
        }
        assert_eq!(Targets::NONE.nearest(Target::ALL), Target::ALL);
        assert_eq!(Targets::ALL.nearest(target((1, 2))), target((1, 2)));
    }

    #[test]
    fn a_change_needs_a_switch_that_can_be_decoded() {
        let (low, high) = (Target::new(0, 0), Target::new(1, 0));
        let required = Indications::all(Indication::Required);
        let base = FrameFacts { starts: true, indications: required, ..FrameFacts::UNKNOWN };
        assert!(!base.allows(Some(low), high));
        let switch = FrameFacts { indications: required.with(high, Indication::Switch), ..base };
        assert!(switch.allows(Some(low), high) && !switch.allows(None, high));
        let upper =
            FrameFacts { indications: switch.indications.with(low, Indication::Absent), ..switch };
        assert!(!upper.allows(Some(low), high));
        assert!(FrameFacts { key: true, ..upper }.allows(Some(low), high));
        assert!(FrameFacts { key: true, ..upper }.allows(None, high));
        assert!(!FrameFacts { layer_sync: true, ..upper }.allows(Some(low), high), "other layer");
        let later = FrameFacts { starts: false, ..switch };
        assert!(!later.allows(Some(low), high), "in the middle of a frame");
        let (few, many) = (Target::new(1, 1), Target::new(1, 3));
        assert!(base.allows(Some(many), few) && !base.allows(Some(few), many));
        assert!(!later.allows(Some(many), few));
    }
}
