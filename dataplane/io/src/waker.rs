//! How other threads wake a sleeping driver: an eventfd behind a flag, so that waking a driver that
//! is awake or about to wake costs one atomic swap and no system call.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::eventfd::{EfdFlags, EventFd};

struct Inner {
    event: EventFd,
    /// Set between a wake-up and the driver's taking note of it.
    rung: AtomicBool,
}

/// Wakes one driver. Clones wake the same one.
#[derive(Clone)]
pub struct Waker(Arc<Inner>);

impl Waker {
    /// Makes the waker of a driver. `blocking`: how a read finds an event that is not there; a ring
    /// must be able to wait for it.
    pub(crate) fn new(blocking: bool) -> io::Result<Self> {
        let mut flags = EfdFlags::EFD_CLOEXEC;
        if !blocking {
            flags |= EfdFlags::EFD_NONBLOCK;
        }
        let event = EventFd::from_value_and_flags(0, flags)?;
        Ok(Self(Arc::new(Inner { event, rung: AtomicBool::new(false) })))
    }

    /// Makes the driver's current or next [`crate::Driver::wait`] return. What the caller wrote
    /// before is visible to the driver's thread after that.
    ///
    /// Cost: one atomic swap; one system call when the driver has taken note of the last wake-up.
    pub fn wake(&self) {
        if !self.0.rung.swap(true, Ordering::AcqRel) {
            // Fails only when the counter is full, and then the driver wakes anyway.
            let _ = self.0.event.write(1);
        }
    }

    /// The driver takes note: wake-ups from here on ring again. Called before it looks at lanes.
    pub(crate) fn note(&self) {
        self.0.rung.swap(false, Ordering::AcqRel);
    }

    /// Empties the event's counter; for a driver that reads it by itself.
    pub(crate) fn drain(&self) {
        let _ = self.0.event.read();
        self.note();
    }

    /// The descriptor to wait for.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.0.event.as_raw_fd()
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Waker").field(&self.descriptor()).finish()
    }
}
