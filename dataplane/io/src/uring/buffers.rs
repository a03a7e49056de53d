//! Receive buffers the kernel picks from (a provided-buffer ring), and what it writes into them.
//!
//! A buffer is the kernel's until a completion names it; then it is an [`Arrival`], which is ours
//! until [`Buffers::give_back`] consumes it.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use common::limits::DATAGRAM_MAX;
use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use crate::Datagram;
use crate::address::{RAW_LEN, decode};
use crate::control::{CONTROL_LEN, stamp_of};
use crate::memory::Slab;

/// The group all receives of a ring pick from.
pub(crate) const GROUP: u16 = 0;
/// What the kernel writes first: lengths of name, control data and payload, and flags, 32 bits each
/// (struct io_uring_recvmsg_out).
const HEADER: usize = 16;
/// Where control messages start: behind the header and room for an address of either family.
const CONTROL: usize = HEADER + RAW_LEN;
/// Where the payload starts: behind room for the control messages.
const PAYLOAD: usize = CONTROL + CONTROL_LEN;
/// What the kernel may write into one buffer. A longer datagram is cut, and marked so.
const BUFFER: usize = PAYLOAD + DATAGRAM_MAX;
/// Distance of buffers: whole cache lines.
const STRIDE: usize = BUFFER.next_multiple_of(64);

/// A filled buffer.
pub(crate) struct Arrival {
    buffer: u16,
    len: u32,
}

impl Arrival {
    /// The buffer and the number of bytes a completion named.
    pub(crate) fn new(buffer: u16, len: u32) -> Self {
        Self { buffer, len }
    }
}

/// What an arrival turned out to be.
pub(crate) enum Content<'a> {
    /// A datagram.
    Datagram(Datagram<'a>),
    /// A datagram longer than [`DATAGRAM_MAX`].
    Oversize,
    /// Nothing of use.
    Nothing,
}

/// The buffers of one ring.
pub(crate) struct Buffers {
    slab: Slab,
    /// The ring of entries that offer buffers to the kernel; one buffer of the slab is the ring.
    entries: Slab,
    mask: u16,
    tail: u16,
}

impl Buffers {
    /// Takes memory for `count` buffers, rounded up to a power of two. They are offered to the
    /// kernel by [`Buffers::register`].
    pub(crate) fn new(count: usize) -> io::Result<Self> {
        let count = count.next_power_of_two();
        let slab = Slab::new(count, STRIDE)?;
        let entries = Slab::new(1, count * size_of::<BufRingEntry>())?;
        Ok(Self { slab, entries, mask: (count - 1) as u16, tail: 0 })
    }

    /// Number of buffers.
    pub(crate) fn count(&self) -> usize {
        self.slab.count()
    }

    /// Registers the buffers with a ring and offers all of them.
    pub(crate) fn register(&mut self, ring: &IoUring) -> io::Result<()> {
        let base = self.entries.pointer(0) as u64;
        let count = self.slab.count() as u16;
        // SAFETY: the entries are page-aligned, zeroed, `count` long, and live until the group is
        // unregistered or are abandoned (`Buffers::abandon`).
        unsafe { ring.submitter().register_buf_ring_with_flags(base, count, GROUP, 0) }?;
        for buffer in 0..count {
            self.offer(buffer);
        }
        Ok(())
    }

    /// Reads an arrival.
    pub(crate) fn content(&mut self, arrival: &Arrival) -> Content<'_> {
        // SAFETY: an arrival is a buffer the kernel handed over; it uses it again only after
        // `give_back`, which consumes the arrival.
        let bytes = unsafe { self.slab.bytes(usize::from(arrival.buffer)) };
        let len = (arrival.len as usize).min(BUFFER);
        let word = |index: usize| {
            let start = index * size_of::<u32>();
            bytes
                .get(start..)
                .and_then(|bytes| bytes.first_chunk())
                .copied()
                .map(u32::from_ne_bytes)
        };
        let (Some(name), Some(control), Some(payload), Some(flags)) =
            (word(0), word(1), word(2), word(3))
        else {
            return Content::Nothing;
        };
        if flags & libc::MSG_TRUNC as u32 != 0 || payload as usize > DATAGRAM_MAX {
            return Content::Oversize;
        }
        let name = (name as usize).min(RAW_LEN);
        let end = (PAYLOAD + payload as usize).min(len);
        let from = bytes.get(HEADER..HEADER + name).and_then(decode);
        let control = (control as usize).min(CONTROL_LEN);
        let stamp = bytes.get(CONTROL..CONTROL + control).and_then(stamp_of);
        match (from, bytes.get_mut(PAYLOAD..end)) {
            (Some(from), Some(bytes)) => {
                Content::Datagram(Datagram { from: from.into(), stamp, bytes })
            }
            _ => Content::Nothing,
        }
    }

    /// Offers an arrival's buffer to the kernel again.
    pub(crate) fn give_back(&mut self, arrival: Arrival) {
        self.offer(arrival.buffer);
    }

    /// Leaves all memory to the kernel for good.
    pub(crate) fn abandon(&mut self) {
        self.slab.abandon();
        self.entries.abandon();
    }

    fn offer(&mut self, buffer: u16) {
        let base = self.entries.pointer(0).cast::<BufRingEntry>();
        let place = base.wrapping_add(usize::from(self.tail & self.mask));
        let start = self.slab.pointer(usize::from(buffer)) as u64;
        // SAFETY: `place` is inside the ring (masked), initialised, and behind the tail, where the
        // kernel does not read; the tail itself is not one of the fields written here.
        let entry = unsafe { &mut *place };
        entry.set_addr(start);
        entry.set_len(BUFFER as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `base` is the first entry of the ring, page-aligned and initialised.
        let tail = unsafe { BufRingEntry::tail(base) };
        // SAFETY: aligned (offset 14 of a page), valid for the life of `entries`, and accessed only
        // atomically: by the kernel, and here.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release: the entry is complete when the kernel sees the new tail.
        tail.store(self.tail, Ordering::Release);
    }
}
