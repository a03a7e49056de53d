//! The only file of the hot side that reads a clock. The worker calls it once per turn of its loop
//! (per batch of datagrams), never per packet; everything below gets the instant as a value.

use std::time::Instant;

/// Reads the monotonic clock.
pub(crate) fn now() -> Instant {
    Instant::now()
}
