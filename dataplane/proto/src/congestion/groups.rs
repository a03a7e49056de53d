//! Groups packets that were sent together and compares how far apart groups were sent and arrived.
//!
//! After libwebrtc's `inter_arrival_delta.cc` (draft-ietf-rmcat-gcc-02 section 5.2). Called per
//! arrival by the delay-based estimate. Must never compare groups across a jump of either clock.

/// Packets sent within this time are one group (`delay_based_bwe.cc`).
const GROUP_US: i64 = 5_000;
/// A packet that arrives this soon after the last one, and faster than it was sent, belongs to the
/// burst the network made of them (`inter_arrival_delta.cc`).
const BURST_GAP_US: i64 = 5_000;
const BURST_US: i64 = 100_000;
/// Groups in disorder until everything is forgotten, and a jump of the receiver's clock that
/// makes it be forgotten at once (`inter_arrival_delta.h`).
const DISORDER_MAX: u32 = 3;
const CLOCK_JUMP_US: i64 = 3_000_000;

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent_us: i64,
    sent_us: i64,
    first_arrival_us: i64,
    arrival_us: i64,
    /// Our time when its last arrival was reported.
    reported_us: i64,
}

/// Distance between two groups in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Distance {
    pub(super) sent_us: i64,
    pub(super) arrival_us: i64,
}

/// The group being filled and the one before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    current: Option<Group>,
    before: Option<Group>,
    disorder: u32,
}

impl Groups {
    /// Adds a packet; returns the distance of the last two groups when it starts a new one.
    pub(super) fn add(&mut self, sent_us: i64, arrival_us: i64, now_us: i64) -> Option<Distance> {
        let fresh = Group {
            first_sent_us: sent_us,
            sent_us,
            first_arrival_us: arrival_us,
            arrival_us,
            reported_us: now_us,
        };
        let Some(current) = &mut self.current else {
            self.current = Some(fresh);
            return None;
        };
        if sent_us < current.first_sent_us {
            return None;
        }
        if !current.starts_another(sent_us, arrival_us) {
            current.sent_us = current.sent_us.max(sent_us);
            current.arrival_us = arrival_us;
            current.reported_us = now_us;
            return None;
        }
        let mut distance = None;
        if let Some(before) = self.before {
            let passed_us = current.arrival_us - before.arrival_us;
            if passed_us - (current.reported_us - before.reported_us) >= CLOCK_JUMP_US {
                *self = Self::default();
                return None;
            }
            if passed_us < 0 {
                self.disorder += 1;
                if self.disorder >= DISORDER_MAX {
                    *self = Self::default();
                }
                return None;
            }
            self.disorder = 0;
            let sent_us = current.sent_us - before.sent_us;
            distance = Some(Distance { sent_us, arrival_us: passed_us });
        }
        self.before = self.current.replace(fresh);
        distance
    }
}

impl Group {
    fn starts_another(&self, sent_us: i64, arrival_us: i64) -> bool {
        let sent_later = sent_us - self.sent_us;
        let arrived_later = arrival_us - self.arrival_us;
        let burst = sent_later == 0
            || arrived_later < sent_later
                && arrived_later <= BURST_GAP_US
                && arrival_us - self.first_arrival_us < BURST_US;
        !burst && sent_us - self.first_sent_us > GROUP_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_between_groups() {
        let mut groups = Groups::default();
        assert_eq!(groups.add(0, 1_000, 0), None);
        assert_eq!(groups.add(4_000, 5_500, 0), None, "same group");
        assert_eq!(groups.add(20_000, 21_000, 0), None, "no group before it yet");
        assert_eq!(groups.add(21_000, 30_000, 0), None);
        let distance = groups.add(40_000, 50_000, 0);
        assert_eq!(distance, Some(Distance { sent_us: 17_000, arrival_us: 24_500 }));
    }

    #[test]
    fn a_burst_is_one_group() {
        let mut groups = Groups::default();
        for packet in 0..5 {
            assert_eq!(groups.add(packet * 10_000, 100_000 + packet * 1_000, 0), None);
        }
    }

    #[test]
    fn a_jump_of_the_receivers_clock_is_no_delay() {
        let mut groups = Groups::default();
        for packet in 0..3 {
            groups.add(packet * 20_000, packet * 20_000, packet * 20_000);
        }
        let jump = 10_000_000;
        for packet in 3..10 {
            let at = packet * 20_000;
            let distance = groups.add(at, at + jump, at);
            assert!(distance.is_none_or(|distance| distance.arrival_us < jump), "{distance:?}");
        }
    }
}
