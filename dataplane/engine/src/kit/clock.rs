//! A publisher's clock as its sender reports tell it.

/// What a sender report says of an encoding's clock (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ClockPair {
    /// NTP timestamp, 32.32 fixed point, of the publisher's clock.
    pub ntp: u64,
    /// RTP timestamp of the same instant.
    pub rtp: u32,
}

impl ClockPair {
    /// The RTP timestamp of `ntp`; `rate` in Hz.
    pub(crate) fn rtp_at(self, ntp: u64, rate: u32) -> u32 {
        let elapsed = i128::from(ntp.wrapping_sub(self.ntp) as i64);
        // Rounded, so that there and back is the same tick.
        let ticks = (elapsed * i128::from(rate) + (1 << 31)) >> 32;
        self.rtp.wrapping_add(ticks as u32)
    }

    /// The NTP time of an RTP timestamp less than half the timestamp's range away.
    pub(crate) fn ntp_at(self, rtp: u32, rate: u32) -> u64 {
        let ticks = i64::from(rtp.wrapping_sub(self.rtp) as i32);
        let elapsed = (i128::from(ticks) << 32) / i128::from(rate.max(1));
        self.ntp.wrapping_add(elapsed as u64)
    }

    /// A timestamp of this clock in the clock of `other`, which has the same NTP time.
    pub(crate) fn translate(self, rtp: u32, other: ClockPair, rate: u32) -> u32 {
        other.rtp_at(self.ntp_at(rtp, rate), rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_translate_between_clocks_of_one_publisher() {
        let second = 1u64 << 32;
        let low = ClockPair { ntp: 1_000 * second, rtp: 0xffff_ff00 };
        let high = ClockPair { ntp: 1_002 * second, rtp: 90_000 };
        assert_eq!(low.translate(0xffff_ff00, high, 90_000), 90_000u32.wrapping_sub(180_000));
        let later = 0xffff_ff00u32.wrapping_add(2 * 90_000 + 45);
        assert_eq!(low.translate(later, high, 90_000), 90_045);
        assert_eq!(high.translate(90_045, low, 90_000), later);
        for tick in 0..1_000 {
            assert_eq!(low.rtp_at(low.ntp_at(tick * 977, 90_000), 90_000), tick * 977);
        }
    }
}
