//! Indexes with generations, bounded: where track and subscription ids come from.
//!
//! Used by `push.rs` only. An index that was given back comes again in its next generation, so a
//! stale id never names a newer object.

/// A bounded set of indexes.
#[derive(Debug)]
pub(crate) struct Slots {
    /// Generation of each index used so far.
    generations: Vec<u32>,
    free: Vec<u32>,
    max: usize,
}

impl Slots {
    /// At most `max` indexes at a time.
    pub(crate) fn new(max: usize) -> Self {
        Self { generations: Vec::new(), free: Vec::new(), max }
    }

    /// Takes a free index and its generation; None when all are taken.
    pub(crate) fn take(&mut self) -> Option<(u32, u32)> {
        if let Some(index) = self.free.pop() {
            return Some((index, *self.generations.get(index as usize)?));
        }
        if self.generations.len() >= self.max {
            return None;
        }
        let index = u32::try_from(self.generations.len()).ok()?;
        self.generations.push(0);
        Some((index, 0))
    }

    /// Gives an index back. A generation that is not the current one changes nothing.
    pub(crate) fn give(&mut self, index: u32, generation: u32) {
        if let Some(current) = self.generations.get_mut(index as usize)
            && *current == generation
        {
            *current = current.wrapping_add(1);
            self.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_comes_back_in_its_next_generation_once() {
        let mut slots = Slots::new(2);
        assert_eq!(slots.take(), Some((0, 0)));
        assert_eq!(slots.take(), Some((1, 0)));
        assert_eq!(slots.take(), None);
        slots.give(0, 0);
        slots.give(0, 0);
        assert_eq!(slots.take(), Some((0, 1)));
        assert_eq!(slots.take(), None);
    }
}
