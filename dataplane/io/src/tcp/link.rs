//! One accepted connection: its socket, the start of a frame that has not arrived whole, and what
//! waits to be sent. Owned by the table; never waits, never tears a frame.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use common::address::Connection;
use common::id::CoreId;
use common::limits::{TCP_QUEUE_BYTES, TCP_UNPROVEN_BYTES_MAX};
use socket2::Socket;

use super::frame;

/// Bytes of what waits in the kernel and was not sent yet. Chosen: what is queued there cannot be
/// dropped any more, so little; enough that one turn's packets leave in one call.
const UNSENT_MAX: u32 = 64 << 10;

/// Room of an empty queue that is kept. Chosen: a turn's packets towards one subscriber.
const QUEUE_KEPT: usize = 16 << 10;

/// A connection with what it had not read, on its way between two cores.
#[derive(Debug)]
pub struct Migrant {
    pub(super) socket: Socket,
    pub(super) remote: std::net::SocketAddr,
    pub(super) unread: Vec<u8>,
}

/// A connection of this core.
pub(super) struct Link {
    socket: Socket,
    pub(super) name: Connection,
    /// What was read and not shown yet: less than a frame, but for a connection that just moved in.
    pub(super) unread: Vec<u8>,
    queue: VecDeque<u8>,
    /// Whether anything was sent on it: an authenticated check came.
    pub(super) proven: bool,
    /// Bytes read before that.
    pub(super) unproven_bytes: usize,
    /// Sweeps since it came, or since something was sent on it.
    pub(super) quiet: u8,
    /// Sweeps since it last took a byte of what waits.
    pub(super) stuck: u8,
    /// Whether the poll tells of room.
    pub(super) waits_for_room: bool,
    /// Whether it is on the list of those with something to send.
    pub(super) listed: bool,
    /// The core it is to go on to.
    pub(super) moves_to: Option<CoreId>,
}

/// Where a queue stands after it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Written {
    /// Everything left.
    All,
    /// The rest waits for room.
    Part,
}

impl Link {
    /// Takes a connection in; `unread` was read from it already.
    pub(super) fn new(socket: Socket, name: Connection, unread: Vec<u8>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // Frames are packets: none waits for the next.
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
        Ok(Self {
            socket,
            name,
            unproven_bytes: unread.len(),
            unread,
            queue: VecDeque::new(),
            proven: false,
            quiet: 0,
            stuck: 0,
            waits_for_room: false,
            listed: false,
            moves_to: None,
        })
    }

    /// Its descriptor.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Puts what is unread at the start of `buffer` and reads at most `wanted` bytes behind it.
    /// Returns how many bytes there are now; None when the far end is gone.
    pub(super) fn read(&mut self, buffer: &mut [u8], wanted: usize) -> Option<usize> {
        let kept = self.unread.len();
        buffer.get_mut(..kept)?.copy_from_slice(&self.unread);
        self.unread.clear();
        let wanted = match self.proven {
            true => wanted,
            false => wanted.min(TCP_UNPROVEN_BYTES_MAX.saturating_sub(self.unproven_bytes)),
        };
        let place = buffer.get_mut(kept..kept + wanted)?;
        if place.is_empty() {
            return Some(kept);
        }
        match (&self.socket).read(place) {
            Ok(0) => None,
            Ok(count) => {
                self.unproven_bytes = self.unproven_bytes.saturating_add(count);
                Some(kept + count)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Some(kept),
                _ => None,
            },
        }
    }

    /// Queues a frame; false, and nothing of it, when it has no room.
    pub(super) fn push(&mut self, datagram: &[u8]) -> bool {
        let Some(header) = frame::header(datagram.len()) else { return false };
        if self.queue.len() + frame::HEADER + datagram.len() > TCP_QUEUE_BYTES {
            return false;
        }
        if self.queue.is_empty() {
            self.stuck = 0;
        }
        self.queue.extend(header);
        self.queue.extend(datagram);
        true
    }

    /// Writes what waits, as far as there is room.
    ///
    /// Errors: the connection is gone.
    pub(super) fn write(&mut self) -> io::Result<Written> {
        while !self.queue.is_empty() {
            let (first, second) = self.queue.as_slices();
            let pieces = [IoSlice::new(first), IoSlice::new(second)];
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            match self.socket.send_vectored_with_flags(&pieces, flags) {
                Ok(count) => {
                    self.queue.drain(..count);
                    self.stuck = 0;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return Ok(Written::Part),
                    _ => return Err(error),
                },
            }
        }
        Ok(Written::All)
    }

    /// Whether something waits to be sent.
    pub(super) fn is_pending(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Gives back memory that a burst took.
    pub(super) fn trim(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > QUEUE_KEPT {
            self.queue = VecDeque::new();
        }
    }

    /// Makes the close a reset: what we end by ourselves must not linger in the kernel.
    pub(super) fn reset(&self) {
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }

    /// Takes the connection out, with what was read of it and not yet answered.
    pub(super) fn into_migrant(self, unread: &[u8]) -> Migrant {
        let remote = self.name.remote();
        Migrant { socket: self.socket, remote, unread: unread.to_vec() }
    }
}
