//! TCP for clients whose network lets no UDP through (RFC 6544, passive candidates): datagrams as
//! frames of a stream (RFC 4571). The rare way, so readiness and plain calls in both drivers: one
//! poll per core holds its listeners and connections, and a driver watches that poll like one more
//! socket. Nothing here ever waits.
//!
//! `frame` is the framing, `link` one connection, `table` all of a core with their bounds; this file
//! accepts and reads. A turn reads at most a batch of connections, a piece of each.

mod frame;
mod link;
mod table;

use std::io;
use std::os::fd::{AsFd, RawFd};

use common::address::{Connection, TransportAddress};
use common::counters::TcpClose;
use frame::Start;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use socket2::Socket;

pub use link::Migrant;
pub(crate) use table::Connections;
use table::Standing;

use crate::Datagram;
use crate::slots::SendQueue;

/// Connections looked at per turn. Chosen: with a piece of each it is about a turn's datagrams.
const EVENTS_PER_TURN: usize = 32;
/// Bytes read from one connection per turn.
const PIECE: usize = 8 << 10;
/// Room for a piece behind what was unread: less than a frame, or what came from another core.
const SCRATCH: usize = PIECE + common::limits::TCP_UNPROVEN_BYTES_MAX;
const _: () = assert!(frame::FRAME_MAX <= common::limits::TCP_UNPROVEN_BYTES_MAX);
/// Connections accepted per turn and listener.
const ACCEPTS_PER_TURN: usize = 32;
/// Where the poll's keys of listeners begin: no connection has one of them.
const LISTENERS: u64 = 1 << 16;

/// The receiving side: listeners, and memory to read into.
pub(crate) struct Acceptor {
    listeners: Vec<Socket>,
    scratch: Box<[u8]>,
    /// Whether the listeners rest until the next sweep: the system had no descriptor left.
    resting: bool,
}

impl Acceptor {
    /// Accepts on `listeners`; none is a driver without TCP.
    pub(crate) fn new(listeners: Vec<Socket>, connections: &Connections) -> io::Result<Self> {
        let scratch = vec![0; if listeners.is_empty() { 0 } else { SCRATCH }].into_boxed_slice();
        let acceptor = Self { listeners, scratch, resting: false };
        acceptor.watch(connections)?;
        Ok(acceptor)
    }

    /// The descriptor that is readable when there is something to do; None without TCP.
    pub(crate) fn descriptor(&self, connections: &Connections) -> Option<RawFd> {
        (!self.listeners.is_empty()).then(|| connections.descriptor())
    }

    /// Accepts, writes and reads what is ready, and shows the datagrams to `each`. Returns their
    /// number.
    pub(crate) fn receive(
        &mut self,
        sends: &mut SendQueue,
        mut each: impl FnMut(Datagram<'_>, &mut SendQueue),
    ) -> u64 {
        let mut shown = 0;
        for name in sends.connections.take_arrived() {
            shown += self.read(name, sends, &mut each);
        }
        let mut events = [EpollEvent::empty(); EVENTS_PER_TURN];
        let count = sends.connections.poll(&mut events);
        for event in events.iter().take(count) {
            let key = event.data();
            if key >> 16 & 1 == 1 {
                self.accept((key & 1) as usize, &mut sends.connections);
                continue;
            }
            let Some(name) = sends.connections.named(key) else { continue };
            if event.events().contains(EpollFlags::EPOLLOUT) {
                sends.connections.write(name);
            }
            if event.events().intersects(!EpollFlags::EPOLLOUT) {
                shown += self.read(name, sends, &mut each);
            }
        }
        shown
    }

    /// Whether [`Acceptor::sweep`] has anything to do.
    pub(crate) fn wants_sweep(&self, connections: &Connections) -> bool {
        self.resting || !connections.is_empty()
    }

    /// Ends what is too old, and accepts again. About once a second.
    pub(crate) fn sweep(&mut self, connections: &mut Connections) {
        connections.sweep();
        if self.resting {
            self.resting = self.watch(connections).is_err();
        }
    }

    fn watch(&self, connections: &Connections) -> io::Result<()> {
        for (index, listener) in self.listeners.iter().enumerate() {
            connections.watch(listener.as_fd(), LISTENERS + index as u64)?;
        }
        Ok(())
    }

    fn accept(&mut self, index: usize, connections: &mut Connections) {
        let Some(listener) = self.listeners.get(index) else { return };
        for _ in 0..ACCEPTS_PER_TURN {
            match listener.accept() {
                Ok((socket, remote)) => match remote.as_socket() {
                    Some(remote) => connections.accept(socket, remote),
                    None => return,
                },
                Err(error) => match error.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                        // They stay ready: watched on, they would keep the core awake.
                        self.listeners.iter().for_each(|one| connections.ignore(one.as_fd()));
                        self.resting = true;
                        return;
                    }
                    Some(libc::EAGAIN) => return,
                    // A client that gave up meanwhile, or its network's error.
                    _ => {}
                },
            }
        }
    }

    /// Reads a piece of one connection and shows its whole frames.
    fn read(
        &mut self,
        name: Connection,
        sends: &mut SendQueue,
        each: &mut impl FnMut(Datagram<'_>, &mut SendQueue),
    ) -> u64 {
        let Some(end) = sends.connections.read(name, &mut self.scratch, PIECE) else { return 0 };
        let from = TransportAddress::Tcp(name);
        let (mut at, mut shown) = (0, 0);
        while let Some(rest) = self.scratch.get_mut(at..end) {
            let len = match frame::start(rest) {
                Start::Whole(len) => len,
                Start::Part => {
                    sends.connections.keep(name, rest);
                    break;
                }
                Start::TooLong => {
                    sends.connections.close(name, TcpClose::FrameTooLong);
                    break;
                }
            };
            let next = frame::HEADER + len;
            // An empty frame is a sign of life and nothing more.
            if len != 0
                && let Some(bytes) = rest.get_mut(frame::HEADER..next)
            {
                shown += 1;
                each(Datagram { from, stamp: None, bytes }, sends);
                match sends.connections.standing(name) {
                    Standing::Here => {}
                    Standing::Gone => break,
                    Standing::Moves(core) => {
                        sends.connections.leave(name, core, rest);
                        break;
                    }
                }
            }
            at += next;
        }
        shown
    }
}
