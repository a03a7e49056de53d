//! One batch of message headers for the kernel: destination, one vector entry per slot, and the
//! segment size of a run. Used by both drivers' senders. Everything a header points to lives in
//! arrays of fixed place that stay as they are until the batch is cleared.

use std::net::SocketAddr;

use crate::address::RawAddress;
use crate::group::{Run, chain};
use crate::memory::Slab;

/// A control message with the segment size (UDP_SEGMENT), as the kernel reads it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    segment: u16,
}

/// Length of the control message's header and value, without padding behind it.
const CONTROL_LEN: usize = size_of::<libc::cmsghdr>() + size_of::<u16>();

impl Control {
    fn new() -> Self {
        // SAFETY: plain integers, for which zero is a value.
        let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
        header.cmsg_len = CONTROL_LEN as _;
        header.cmsg_level = libc::SOL_UDP;
        header.cmsg_type = libc::UDP_SEGMENT;
        Self { header, segment: 0 }
    }
}

/// What the messages of a batch are made of; see [`crate::slots::Slots`].
pub(crate) struct Source<'a> {
    /// The slots' bytes.
    pub(crate) slab: &'a Slab,
    /// Length of each slot's datagram.
    pub(crate) lengths: &'a [u16],
    /// The chains of runs.
    pub(crate) next: &'a [u32],
}

/// A batch.
pub(crate) struct Batch {
    headers: Box<[libc::mmsghdr]>,
    addresses: Box<[RawAddress]>,
    controls: Box<[Control]>,
    vectors: Box<[libc::iovec]>,
    runs: Vec<Run>,
    vectors_used: usize,
}

impl Batch {
    /// For at most `messages` messages with `slots` slots in sum.
    pub(crate) fn new(messages: usize, slots: usize) -> Self {
        let empty = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: integers and pointers, for which zero is a value.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        Self {
            headers: vec![header; messages].into_boxed_slice(),
            addresses: vec![RawAddress::empty(); messages].into_boxed_slice(),
            controls: vec![Control::new(); messages].into_boxed_slice(),
            vectors: vec![empty; slots].into_boxed_slice(),
            runs: Vec::with_capacity(messages),
            vectors_used: 0,
        }
    }

    /// Forgets all messages. The kernel must have read them.
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.vectors_used = 0;
    }

    /// The runs of the batch, one per message.
    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Adds a message for `run` to `to` and returns its index; None when the batch has no room.
    pub(crate) fn push(&mut self, run: Run, to: SocketAddr, source: &Source<'_>) -> Option<usize> {
        let index = self.runs.len();
        let first = self.vectors_used;
        if index == self.headers.len() || first + usize::from(run.count) > self.vectors.len() {
            return None;
        }
        for slot in chain(run.head, source.next) {
            let slot = slot as usize;
            self.vectors[self.vectors_used] = libc::iovec {
                iov_base: source.slab.pointer(slot).cast(),
                iov_len: usize::from(source.lengths[slot]),
            };
            self.vectors_used += 1;
        }
        let (address, len) = RawAddress::new(to);
        self.addresses[index] = address;
        self.controls[index].segment = run.segment;
        let header = &mut self.headers[index].msg_hdr;
        header.msg_name = (&raw mut self.addresses[index]).cast();
        header.msg_namelen = len;
        header.msg_iov = &raw mut self.vectors[first];
        header.msg_iovlen = usize::from(run.count) as _;
        let grouped = run.count > 1;
        let control = &raw mut self.controls[index];
        header.msg_control = if grouped { control.cast() } else { std::ptr::null_mut() };
        header.msg_controllen = if grouped { size_of::<Control>() as _ } else { 0 };
        self.runs.push(run);
        Some(index)
    }

    /// The header of message `index`; valid until the batch is cleared.
    pub(crate) fn header(&self, index: usize) -> &libc::msghdr {
        &self.headers[index].msg_hdr
    }

    /// All headers from message `from` on.
    pub(crate) fn headers(&mut self, from: usize) -> &mut [libc::mmsghdr] {
        &mut self.headers[from..self.runs.len()]
    }
}
