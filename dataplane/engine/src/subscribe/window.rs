//! A set of recent source numbers: which of the last [`Window::LEN`] were left out. Fixed size,
//! counted by words; called per packet of a subscription that leaves packets out, and per resend.

/// Members among the last [`Window::LEN`] numbers.
#[derive(Clone, Copy)]
pub(super) struct Window {
    newest: u64,
    members: u32,
    bits: [u64; WORDS],
}

const WORDS: usize = 16;

impl Window {
    /// Numbers remembered.
    pub(super) const LEN: u64 = WORDS as u64 * 64;

    /// Nothing left out up to `newest`.
    pub(super) const fn new(newest: u64) -> Self {
        Self { newest, members: 0, bits: [0; WORDS] }
    }

    /// The newest number.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Goes on to `number`, which is newer; what lies between is no member.
    #[inline]
    pub(super) fn advance(&mut self, number: u64) {
        if self.members != 0 {
            if number - self.newest >= Self::LEN {
                self.bits = [0; WORDS];
                self.members = 0;
            } else {
                (self.newest + 1..=number).for_each(|passed| self.clear(passed));
            }
        }
        self.newest = number;
    }

    /// Makes the newest number a member.
    pub(super) fn mark(&mut self) {
        let (word, bit) = place(self.newest);
        self.members += u32::from(self.bits[word] & bit == 0);
        self.bits[word] |= bit;
    }

    /// Whether a remembered number is a member.
    #[inline]
    pub(super) fn contains(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.members != 0 && self.bits[word] & bit != 0
    }

    /// Members newer than `number`; None when that is too old to know.
    #[inline]
    pub(super) fn after(&self, number: u64) -> Option<u64> {
        let distance = self.newest.checked_sub(number)?;
        if distance >= Self::LEN {
            return None;
        }
        if self.members == 0 {
            return Some(0);
        }
        let mut count = 0;
        let mut from = number + 1;
        while from <= self.newest {
            // The rest of one word.
            let end = (from | 63).min(self.newest);
            let mask = (u64::MAX >> (63 - (end - from))) << (from & 63);
            count += u64::from((self.bits[place(from).0] & mask).count_ones());
            from = end + 1;
        }
        Some(count)
    }

    fn clear(&mut self, number: u64) {
        let (word, bit) = place(number);
        self.members -= u32::from(self.bits[word] & bit != 0);
        self.bits[word] &= !bit;
    }
}

fn place(number: u64) -> (usize, u64) {
    ((number / 64) as usize % WORDS, 1 << (number & 63))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_counts_what_a_set_counts(
            start in 0u64..200,
            steps in prop::collection::vec((1u64..90, any::<bool>()), 1..200),
        ) {
            let (mut window, mut set) = (Window::new(start), BTreeSet::new());
            let mut newest = start;
            for (step, marked) in steps {
                newest += step;
                window.advance(newest);
                if marked {
                    window.mark();
                    set.insert(newest);
                }
            }
            let oldest = newest.saturating_sub(Window::LEN - 1);
            for number in oldest..=newest {
                prop_assert_eq!(window.contains(number), set.contains(&number), "{}", number);
                let after = set.range(number + 1..).count() as u64;
                prop_assert_eq!(window.after(number), Some(after), "{}", number);
            }
            prop_assert_eq!(window.after(newest + 1), None);
            if newest >= Window::LEN {
                prop_assert_eq!(window.after(newest - Window::LEN), None);
            }
        }

        #[test]
        fn a_long_step_forgets(first in 0u64..2_000, step in Window::LEN..5_000) {
            let mut window = Window::new(0);
            window.advance(first + 1);
            window.mark();
            window.advance(first + 1 + step);
            prop_assert_eq!(window.after(first + 2 + step - Window::LEN), Some(0));
        }
    }
}
