//! Arithmetic on 16-bit sequence numbers that wrap (RFC 3550 appendix A.1, RFC 3711 section 3.3.1).
//!
//! Called by SRTP, receive statistics and rewriting. Pure functions.

/// The extended number (roll-over counter and sequence number) nearest to `highest` whose low 16
/// bits are `sequence`; never below zero.
///
/// `highest` is the highest extended number seen so far. RFC 3711 section 3.3.1: the distance is
/// less than 2^15 either way.
pub fn extend(highest: u64, sequence: u16) -> u64 {
    let ahead = sequence.wrapping_sub(highest as u16);
    if ahead < 0x8000 {
        return highest.saturating_add(u64::from(ahead));
    }
    let behind = u64::from(ahead.wrapping_neg());
    match highest.checked_sub(behind) {
        Some(extended) => extended,
        // Before the first roll-over there is nothing behind zero: read it as it stands.
        None => u64::from(sequence),
    }
}

/// Whether `a` comes after `b`, at a distance of less than half the number space.
pub fn newer(a: u16, b: u16) -> bool {
    a != b && a.wrapping_sub(b) < 0x8000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn extends_across_wraps_and_at_zero() {
        let cases = [
            (0, 0, 0),
            (0, 1, 1),
            (0, 0x7FFF, 0x7FFF),
            (0, 0xFFFF, 0xFFFF),
            (10, 5, 5),
            (10, 65_530, 65_530),
            (65_535, 0, 65_536),
            (65_536, 65_535, 65_535),
            (65_536, 0x7FFF, 65_536 + 0x7FFF),
            (65_536, 0x8000, 0x8000),
            (0x1_FFFF, 3, 0x2_0003),
            (0x2_0003, 0xFFF0, 0x1_FFF0),
        ];
        for (highest, sequence, expected) in cases {
            assert_eq!(extend(highest, sequence), expected, "{highest} {sequence}");
        }
    }

    #[test]
    fn newer_is_half_a_circle() {
        assert!(newer(1, 0) && newer(0, 65_535) && newer(0x7FFF, 0));
        assert!(!newer(0, 0) && !newer(0, 1) && !newer(65_535, 0) && !newer(0x8000, 0));
    }

    proptest! {
        #[test]
        fn extend_keeps_the_low_bits_and_stays_near(highest in 0u64..1 << 48, sequence: u16) {
            let extended = extend(highest, sequence);
            prop_assert_eq!(extended as u16, sequence);
            let nearest = extended.abs_diff(highest) <= 0x8000;
            prop_assert!(nearest || highest < 0x8000 && extended < 0x1_0000);
        }
    }
}
