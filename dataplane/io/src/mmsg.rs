//! The driver of plain calls: recvmmsg, sendmmsg and ppoll on non-blocking sockets. For systems that
//! refuse io_uring, and the reference the ring is tested against. Same surface, same rules.

use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

use common::limits::DATAGRAM_MAX;

use crate::address::{RAW_LEN, RawAddress, decode};
use crate::control::{CONTROL_LEN, stamp_of};
use crate::group::Run;
use crate::memory::Slab;
use crate::message::Batch;
use crate::slots::{Backend, SendQueue, Slots, family};
use crate::socket::Bound;
use crate::waker::Waker;
use crate::{Datagram, DriverConfig, ReceiveReport};

/// Messages per call. Chosen: beyond 32 a call's own cost no longer shows.
const BATCH: usize = 64;
/// Slots per batch: a batch of long runs takes several calls.
const BATCH_SLOTS: usize = 1_024;
/// How long a send waits for room in the socket's buffer before the batch's rest is dropped.
/// Chosen: short against a packet's worth, long enough for a link to take some packets.
const ROOM_WAIT: Duration = Duration::from_millis(1);
/// Errors of one receive call in a row that are skipped (each ICMP error is reported once).
const ERRORS_MAX: usize = 16;

/// Opens the driver on `sockets`.
pub(crate) fn open(
    sockets: Vec<Bound>,
    config: &DriverConfig,
) -> io::Result<(SendQueue, Receiver, Waker)> {
    if sockets.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no socket"));
    }
    let mut segments = [None; 2];
    for socket in &sockets {
        socket.set_blocking(false)?;
        segments[family(socket.local)] = Some(socket.segments);
    }
    let sockets: Rc<[Bound]> = sockets.into();
    let waker = Waker::new(false)?;
    let backend = Backend::Mmsg(Sender::new(Rc::clone(&sockets)));
    let sends = SendQueue::new(config.send_slots, segments, backend)?;
    let receiver = Receiver::new(sockets, waker.clone(), config.receive_buffers.min(BATCH))?;
    Ok((sends, receiver, waker))
}

/// The sending half: one batch per socket.
pub(crate) struct Sender {
    sockets: Rc<[Bound]>,
    batches: Vec<Batch>,
    socket_of: [usize; 2],
}

impl Sender {
    fn new(sockets: Rc<[Bound]>) -> Self {
        let mut socket_of = [0; 2];
        for (index, socket) in sockets.iter().enumerate() {
            socket_of[family(socket.local)] = index;
        }
        let batches = sockets.iter().map(|_| Batch::new(BATCH, BATCH_SLOTS)).collect();
        Self { sockets, batches, socket_of }
    }

    /// Adds a message for `run`; full batches are sent.
    pub(crate) fn send(&mut self, run: Run, slots: &mut Slots) {
        let to = slots.destination(run.head);
        let socket = self.socket_of[family(to)];
        if self.batches[socket].push(run, to, &slots.source()).is_some() {
            return;
        }
        self.flush_one(socket, slots);
        let pushed = self.batches[socket].push(run, to, &slots.source());
        debug_assert!(pushed.is_some(), "an empty batch holds the longest run");
    }

    /// Sends everything that was added.
    pub(crate) fn flush(&mut self, slots: &mut Slots) {
        for socket in 0..self.batches.len() {
            self.flush_one(socket, slots);
        }
    }

    fn flush_one(&mut self, socket: usize, slots: &mut Slots) {
        let descriptor = self.sockets[socket].descriptor();
        let batch = &mut self.batches[socket];
        let mut waited = false;
        let mut sent = 0;
        while sent < batch.runs().len() {
            let error = match send_messages(descriptor, batch.headers(sent)) {
                Ok(count) => {
                    for run in &batch.runs()[sent..sent + count] {
                        slots.finish(run.head, None);
                    }
                    sent += count;
                    continue;
                }
                Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
            };
            match error {
                libc::EINTR => {}
                libc::EAGAIN | libc::ENOBUFS if !waited => {
                    waited = true;
                    wait_for(&mut [interest(descriptor, libc::POLLOUT)], ROOM_WAIT);
                }
                libc::EAGAIN | libc::ENOBUFS => {
                    for run in &batch.runs()[sent..] {
                        slots.finish(run.head, Some(error));
                    }
                    break;
                }
                // Only the first message was refused; the others have not been tried.
                _ => {
                    slots.finish(batch.runs()[sent].head, Some(error));
                    sent += 1;
                }
            }
        }
        batch.clear();
    }
}

/// The receiving half.
pub(crate) struct Receiver {
    sockets: Rc<[Bound]>,
    waker: Waker,
    inbox: Inbox,
    /// The socket to ask first: they take turns.
    turn: usize,
    /// Whether the last look left datagrams behind.
    more: bool,
    /// Whether the watched descriptor was readable.
    watched: bool,
    /// The sockets, the waker, and what is watched beside them.
    polled: Vec<libc::pollfd>,
}

/// Where a call of recvmmsg writes to.
struct Inbox {
    /// One buffer per message: room for the payload, behind it for control messages.
    slab: Slab,
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    addresses: Box<[RawAddress]>,
}

impl Receiver {
    fn new(sockets: Rc<[Bound]>, waker: Waker, batch: usize) -> io::Result<Self> {
        let mut polled: Vec<_> =
            sockets.iter().map(|socket| interest(socket.descriptor(), libc::POLLIN)).collect();
        polled.push(interest(waker.descriptor(), libc::POLLIN));
        Ok(Self {
            sockets,
            waker,
            inbox: Inbox::new(batch)?,
            turn: 0,
            more: false,
            watched: false,
            polled,
        })
    }

    /// See [`crate::Driver::wait`].
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout = if self.more { Duration::ZERO } else { timeout };
        wait_for(&mut self.polled, timeout);
        let mut others = self.polled.iter().skip(self.sockets.len());
        if others.next().is_some_and(|event| event.revents != 0) {
            self.waker.drain();
        }
        self.watched |= others.next().is_some_and(|event| event.revents != 0);
        let broken = self.polled.iter().any(|socket| socket.revents & libc::POLLNVAL != 0);
        if broken { Err(io::Error::from_raw_os_error(libc::EBADF)) } else { Ok(()) }
    }

    /// Has [`Receiver::wait`] return when `descriptor` is readable.
    pub(crate) fn watch(&mut self, descriptor: RawFd) {
        self.polled.push(interest(descriptor, libc::POLLIN));
    }

    /// Whether it was, once.
    pub(crate) fn take_watched(&mut self) -> bool {
        std::mem::take(&mut self.watched)
    }

    /// See [`crate::Driver::receive`].
    pub(crate) fn receive(
        &mut self,
        sends: &mut SendQueue,
        budget: usize,
        mut each: impl FnMut(Datagram<'_>, &mut SendQueue),
    ) -> ReceiveReport {
        let mut report = ReceiveReport::default();
        let mut left = budget;
        let mut quiet = 0;
        while quiet < self.sockets.len() && left != 0 {
            let descriptor = self.sockets[self.turn].descriptor();
            self.turn = (self.turn + 1) % self.sockets.len();
            let wanted = left.min(self.inbox.headers.len());
            let count = self.inbox.fill(descriptor, wanted);
            quiet = if count < wanted { quiet + 1 } else { 0 };
            left -= count;
            for index in 0..count {
                if self.inbox.is_cut(index) {
                    report.oversize += 1;
                } else if let Some(datagram) = self.inbox.datagram(index) {
                    report.datagrams += 1;
                    each(datagram, sends);
                }
            }
        }
        self.more = left == 0;
        report
    }
}

impl Inbox {
    fn new(batch: usize) -> io::Result<Self> {
        let slab = Slab::new(batch, DATAGRAM_MAX + CONTROL_LEN)?;
        let empty = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: DATAGRAM_MAX };
        let mut vectors = vec![empty; batch].into_boxed_slice();
        let mut addresses = vec![RawAddress::empty(); batch].into_boxed_slice();
        // SAFETY: integers and pointers, for which zero is a value.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let mut headers = vec![header; batch].into_boxed_slice();
        for (index, header) in headers.iter_mut().enumerate() {
            vectors[index].iov_base = slab.pointer(index).cast();
            header.msg_hdr.msg_name = (&raw mut addresses[index]).cast();
            header.msg_hdr.msg_iov = &raw mut vectors[index];
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = slab.pointer(index).wrapping_add(DATAGRAM_MAX).cast();
        }
        Ok(Self { slab, headers, vectors, addresses })
    }

    /// Receives at most `wanted` datagrams without waiting, and returns their number.
    fn fill(&mut self, descriptor: RawFd, wanted: usize) -> usize {
        debug_assert_eq!(self.vectors.len(), self.headers.len());
        for header in &mut self.headers[..wanted] {
            header.msg_hdr.msg_namelen = RAW_LEN as libc::socklen_t;
            header.msg_hdr.msg_controllen = CONTROL_LEN as _;
        }
        for _ in 0..ERRORS_MAX {
            let headers = self.headers.as_mut_ptr();
            let flags = libc::MSG_DONTWAIT;
            let none = std::ptr::null_mut();
            // SAFETY: `wanted` headers follow the pointer (the slice above), each pointing to an
            // address, a vector and a buffer of this inbox, which nobody else uses now. A buffer
            // has room for the vector's length and the control length behind it (`Inbox::new`).
            let count =
                unsafe { libc::recvmmsg(descriptor, headers, wanted as u32, flags as _, none) };
            match usize::try_from(count) {
                Ok(count) => return count,
                Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error of an earlier send, or a signal: the datagrams are still there.
                Err(_) => {}
            }
        }
        0
    }

    /// Whether datagram `index` was longer than its buffer.
    fn is_cut(&self, index: usize) -> bool {
        self.headers[index].msg_hdr.msg_flags & libc::MSG_TRUNC != 0
    }

    fn datagram(&mut self, index: usize) -> Option<Datagram<'_>> {
        let header = &self.headers[index];
        let name_len = (header.msg_hdr.msg_namelen as usize).min(RAW_LEN);
        let len = (header.msg_len as usize).min(DATAGRAM_MAX);
        let control_len = header.msg_hdr.msg_controllen;
        let name = (&raw const self.addresses[index]).cast::<u8>();
        // SAFETY: `name_len` is at most the size of the union, all of whose bytes are initialised
        // (`RawAddress::empty` writes its longest form, the kernel writes over it).
        let name = unsafe { std::slice::from_raw_parts(name, name_len) };
        let from = decode(name)?;
        // SAFETY: the kernel uses the buffer only inside `fill`.
        let bytes = unsafe { self.slab.bytes(index) };
        let (payload, control) = bytes.split_at_mut_checked(DATAGRAM_MAX)?;
        let stamp = control.get(..control_len).and_then(stamp_of);
        Some(Datagram { from: from.into(), stamp, bytes: payload.get_mut(..len)? })
    }
}

/// Sends messages from the first on; returns how many the kernel took before one it refused.
fn send_messages(descriptor: RawFd, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    let count = headers.len() as u32;
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: `count` headers, each made by `Batch::push`: what they point to is in place until the
    // batch is cleared, and the slots are not free before they are finished.
    let sent = unsafe { libc::sendmmsg(descriptor, headers.as_mut_ptr(), count, flags as _) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn interest(fd: RawFd, events: libc::c_short) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

/// Sleeps until one of `polled` has its event or `timeout` passed. A signal ends the sleep as well.
fn wait_for(polled: &mut [libc::pollfd], timeout: Duration) {
    polled.iter_mut().for_each(|entry| entry.revents = 0);
    let timeout =
        libc::timespec { tv_sec: timeout.as_secs() as _, tv_nsec: timeout.subsec_nanos() as _ };
    let count = polled.len() as libc::nfds_t;
    // SAFETY: `count` entries follow the pointer; no signal mask is given. Failure (a signal) leaves
    // the entries without events, which is what they say then.
    unsafe { libc::ppoll(polled.as_mut_ptr(), count, &raw const timeout, std::ptr::null()) };
}
