//! The only file of the hot side that reads clocks. The worker reads them once per turn of its loop
//! (per batch of datagrams), never per packet; everything below gets the instant as a value.
//!
//! The kernel stamps arrivals with the wall clock, which may be stepped at any moment; the engine
//! lives by the monotonic one. A reading holds both, so that a stamp becomes an age and the age an
//! instant. Both reads are answered without a system call (vdso(7)).

use std::time::{Duration, Instant, SystemTime};

/// The longest time a datagram is believed to have waited. Chosen: longer than a core that shares
/// its processor is kept from it, shorter than any timer that ends something; so a step of the wall
/// clock looks like one short stall at most.
const WAIT_MAX: Duration = Duration::from_millis(250);
/// The longest time between two reads that count as one.
const APART_MAX: Duration = Duration::from_micros(20);
/// Tries to read both clocks together, should the thread be taken off its processor in between.
const TRIES: usize = 3;

/// Reads the monotonic clock.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Both clocks, read at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// The moment.
    pub(crate) now: Instant,
    wall: SystemTime,
}

impl Reading {
    /// Reads the clocks.
    pub(crate) fn take() -> Self {
        let mut reading = Self { now: now(), wall: SystemTime::now() };
        for _ in 1..TRIES {
            let after = now();
            if after.saturating_duration_since(reading.now) <= APART_MAX {
                break;
            }
            reading = Self { now: after, wall: SystemTime::now() };
        }
        reading
    }

    /// When a datagram with this receive stamp arrived: at most `now`, at least 250 ms before it.
    /// Without a stamp it is `now`. A stamp later than the reading makes it read the clocks again:
    /// the datagram came during the turn. Cost: at most once per batch the kernel handed over, since
    /// all of one batch arrived before the first of them is looked at.
    pub(crate) fn arrival(&mut self, stamp: Option<SystemTime>) -> Instant {
        let Some(stamp) = stamp else { return self.now };
        if stamp > self.wall {
            *self = Self::take();
        }
        // Still later: the wall clock was set back since.
        let waited = self.wall.duration_since(stamp).unwrap_or_default().min(WAIT_MAX);
        self.now.checked_sub(waited).unwrap_or(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_becomes_the_instant_it_was_made_at() {
        let mut reading = Reading::take();
        let read = reading;
        for millis in [0, 1, 50, 250] {
            let waited = Duration::from_millis(millis);
            assert_eq!(reading.arrival(Some(read.wall - waited)), read.now - waited);
        }
        assert_eq!(reading.arrival(None), read.now);
        assert_eq!((reading.now, reading.wall), (read.now, read.wall), "read once");
    }

    #[test]
    fn a_stamp_of_during_the_turn_reads_the_clocks_again() {
        let mut reading = Reading::take();
        let read = reading;
        std::thread::sleep(Duration::from_millis(30));
        let arrival = reading.arrival(Some(read.wall + Duration::from_millis(10)));
        assert!(arrival > read.now && arrival < reading.now);
        assert!(reading.now >= read.now + Duration::from_millis(30));
    }

    #[test]
    fn a_stepped_wall_clock_is_a_short_stall_at_most() {
        let hour = Duration::from_secs(3_600);
        let mut reading = Reading::take();
        let read = reading;
        let forward = reading.arrival(Some(read.wall - hour));
        assert_eq!(forward, read.now - WAIT_MAX);
        let back = reading.arrival(Some(read.wall + hour));
        assert_eq!(back, reading.now);
        assert_eq!(reading.arrival(Some(SystemTime::UNIX_EPOCH)), reading.now - WAIT_MAX);
    }
}
