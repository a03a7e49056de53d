//! A set of cores as a value: who wants what is published here.

use common::id::CoreId;
use common::limits::CORES_MAX;

const _: () = assert!(CORES_MAX <= 64);

/// A set of cores, a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct CoreSet(u64);

impl CoreSet {
    /// Whether there are none.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `core` is one of them.
    pub(crate) fn contains(self, core: CoreId) -> bool {
        self.0 & bit(core) != 0
    }

    /// Adds or removes a core; a number beyond all cores changes nothing.
    pub(crate) fn set(&mut self, core: CoreId, member: bool) {
        if member {
            self.0 |= bit(core);
        } else {
            self.0 &= !bit(core);
        }
    }

    /// The cores, in order of their numbers.
    pub(crate) fn iter(self) -> impl Iterator<Item = CoreId> + use<> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let next = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (next < 64).then_some(CoreId(next as u8))
        })
    }
}

fn bit(core: CoreId) -> u64 {
    1u64.checked_shl(u32::from(core.0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_come_and_go() {
        let mut cores = CoreSet::default();
        for core in [3, 63, 0, 3] {
            cores.set(CoreId(core), true);
        }
        assert!(cores.iter().eq([CoreId(0), CoreId(3), CoreId(63)]));
        cores.set(CoreId(3), false);
        cores.set(CoreId(200), true);
        assert!(cores.iter().eq([CoreId(0), CoreId(63)]));
        assert!(cores.contains(CoreId(63)) && !cores.contains(CoreId(3)));
        assert!(!cores.is_empty() && !cores.contains(CoreId(200)));
    }
}
