//! Drivers: how one core's datagrams reach the kernel and back. The only crate with unsafe code.
//!
//! A [`Driver`] belongs to one thread and is called by the worker of the data plane: receive a
//! batch, reserve and commit send slots, submit, wait. Two drivers have the same surface: `uring`
//! and `mmsg` (recvmmsg and sendmmsg, for systems that refuse io_uring, and as the reference the
//! ring is tested against). No packet costs an allocation, a lock, a clock or a log line here.
//! What a driver must never do: look into a datagram, or end because of what the network sent.

mod address;
mod control;
mod memory;
mod socket;
mod waker;
mod group;
mod message;
mod slots;
mod tcp;
mod uring;
mod mmsg;

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::{Duration, SystemTime};

use common::address::TransportAddress;
use common::counters::TcpCounters;
use common::id::CoreId;

pub use slots::SendQueue;
pub use tcp::Migrant;
pub use waker::Waker;

/// Which driver is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DriverChoice {
    /// io_uring, or the calls when the system refuses it.
    #[default]
    Auto,
    /// io_uring or an error.
    Uring,
    /// recvmmsg and sendmmsg.
    Mmsg,
}

/// Which driver is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DriverKind {
    /// io_uring: multishot receive into provided buffers, batched sends.
    Uring,
    /// recvmmsg, sendmmsg and ppoll.
    Mmsg,
}

/// What a driver is made from.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// One or two addresses, at most one per family. Port 0 lets the system choose one that is
    /// free in both families.
    pub binds: Vec<SocketAddr>,
    /// Whether another driver of this process has the port already and these sockets join its
    /// SO_REUSEPORT group. The first driver proves that nobody else has the port.
    pub join: bool,
    /// Most TCP connections accepted on the same addresses and port, at most
    /// [`common::limits::TCP_CONNECTIONS_MAX`]; 0 listens for none.
    pub tcp_connections: usize,
    /// Which driver.
    pub choice: DriverChoice,
    /// Number of send slots, 1 to 32,768.
    pub send_slots: usize,
    /// Number of receive buffers, 1 to 32,768; rounded up to a power of two by the ring.
    pub receive_buffers: usize,
    /// Wanted size of the kernel's buffers per socket and direction, in bytes.
    pub socket_buffer: usize,
}

/// One received datagram, lent for the length of one call.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Its source.
    pub from: TransportAddress,
    /// When the kernel took it from the network, by the wall clock, which may be stepped at any
    /// time; None when the kernel gave no stamp (over TCP it gives none).
    pub stamp: Option<SystemTime>,
    /// Its bytes; may be changed in place.
    pub bytes: &'a mut [u8],
}

/// What one call of [`Driver::receive`] took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReceiveReport {
    /// Datagrams shown.
    pub datagrams: u64,
    /// Datagrams longer than [`common::limits::DATAGRAM_MAX`], dropped.
    pub oversize: u64,
}

/// One core's driver.
pub struct Driver {
    sends: SendQueue,
    receiver: Receiver,
    acceptor: tcp::Acceptor,
    addresses: Vec<SocketAddr>,
    waker: Waker,
    fallback: Option<String>,
    receive_buffer: usize,
}

/// The receiving half; the sending half is inside [`SendQueue`].
enum Receiver {
    Uring(uring::Receiver),
    Mmsg(mmsg::Receiver),
}

impl Driver {
    /// Opens sockets and takes all memory. Must be called on the thread that will use the driver.
    ///
    /// Errors: AddrInUse when another process (or, without `join`, another driver) has the port;
    /// InvalidInput for a configuration outside the bounds given there; otherwise the system's.
    pub fn open(config: &DriverConfig) -> io::Result<Driver> {
        let bounds = 1..=slots::SLOTS_MAX;
        if !bounds.contains(&config.send_slots) || !bounds.contains(&config.receive_buffers) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "slots out of bounds"));
        }
        let socket::Group { sockets, listeners } = socket::open_group(config)?;
        let addresses = sockets.iter().map(|socket| socket.local).collect();
        let receive_buffer =
            sockets.iter().map(|socket| socket.receive_buffer).min().unwrap_or_default();
        let done = |mut sends: SendQueue, mut receiver: Receiver, waker, fallback| {
            let acceptor = tcp::Acceptor::new(listeners, &sends.connections)?;
            sends.connections.limit(config.tcp_connections);
            if let Some(descriptor) = acceptor.descriptor(&sends.connections) {
                receiver.watch(&mut sends, descriptor);
            }
            Ok(Driver { sends, receiver, acceptor, addresses, waker, fallback, receive_buffer })
        };
        let (sockets, refusal) = match config.choice {
            DriverChoice::Mmsg => (sockets, None),
            _ => match uring::open(sockets, config) {
                Ok((sends, receiver, waker)) => {
                    return done(sends, Receiver::Uring(receiver), waker, None);
                }
                Err((_, error)) if config.choice == DriverChoice::Uring => return Err(error),
                Err((sockets, error)) => (sockets, Some(error)),
            },
        };
        let (sends, receiver, waker) = mmsg::open(sockets, config)?;
        let fallback = refusal.map(|error| format!("io_uring was refused: {error}"));
        done(sends, Receiver::Mmsg(receiver), waker, fallback)
    }

    /// Which driver it is.
    pub fn kind(&self) -> DriverKind {
        match self.receiver {
            Receiver::Uring(_) => DriverKind::Uring,
            Receiver::Mmsg(_) => DriverKind::Mmsg,
        }
    }

    /// Why it is not io_uring although that was allowed.
    pub fn fallback_reason(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// The addresses its sockets are bound to, in the order of the configuration.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The smallest receive buffer of its sockets, in bytes of the system's accounting (which grants
    /// twice what was asked for, and charges a datagram's overhead to it).
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// What other threads wake this driver with.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Hands what is pending to the kernel and sleeps until a datagram arrived, a waker was used
    /// or `timeout` passed; returns at once when one of them was there before. May return early.
    ///
    /// Errors: the driver is unusable from then on.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        match &mut self.receiver {
            Receiver::Uring(receiver) => receiver.wait(&mut self.sends, timeout),
            Receiver::Mmsg(receiver) => {
                self.sends.submit()?;
                receiver.wait(timeout)
            }
        }
    }

    /// Shows at most about `budget` UDP datagrams to `each`, in their order of arrival per socket,
    /// and what a batch of TCP connections has, with the send queue. Never sleeps.
    pub fn receive(
        &mut self,
        budget: usize,
        mut each: impl FnMut(Datagram<'_>, &mut SendQueue),
    ) -> ReceiveReport {
        let mut report = match &mut self.receiver {
            Receiver::Uring(receiver) => receiver.receive(&mut self.sends, budget, &mut each),
            Receiver::Mmsg(receiver) => receiver.receive(&mut self.sends, budget, &mut each),
        };
        if self.receiver.take_watched(&mut self.sends) || self.sends.connections.has_arrived() {
            report.datagrams += self.acceptor.receive(&mut self.sends, each);
        }
        report
    }

    /// The send queue.
    pub fn sends(&mut self) -> &mut SendQueue {
        &mut self.sends
    }

    /// Hands all committed slots to the kernel.
    ///
    /// Errors: the driver is unusable from then on. A refused datagram is not an error, it is
    /// counted ([`Driver::take_send_failures`]).
    pub fn submit(&mut self) -> io::Result<()> {
        self.sends.submit()
    }

    /// UDP messages handed to the kernel so far, each of one datagram or of several that the kernel
    /// cuts up.
    pub fn messages(&self) -> u64 {
        self.sends.messages()
    }

    /// Datagrams the kernel refused since the last call.
    pub fn take_send_failures(&mut self) -> u64 {
        self.sends.take_failures()
    }

    /// Takes in a TCP connection that another core let go on to this one; what it had not read is
    /// shown at the next [`Driver::receive`].
    pub fn adopt(&mut self, connection: Migrant) {
        self.sends.connections.adopt(connection);
    }

    /// The next TCP connection that goes on to another core; see [`SendQueue::detach`].
    pub fn pop_leaving(&mut self) -> Option<(CoreId, Migrant)> {
        self.sends.connections.pop_leaving()
    }

    /// Ends and counts a TCP connection whose next core has no room for it.
    pub fn refuse(&mut self, connection: Migrant) {
        self.sends.connections.refuse(connection);
    }

    /// Whether [`Driver::sweep`] wants to be called in a second.
    pub fn wants_sweep(&self) -> bool {
        self.acceptor.wants_sweep(&self.sends.connections)
    }

    /// Ends TCP connections whose time is over. To be called once a second: times are counted in
    /// calls. Cost: a look at every connection.
    pub fn sweep(&mut self) {
        self.acceptor.sweep(&mut self.sends.connections);
    }

    /// What was counted of TCP so far.
    pub fn tcp_counters(&self) -> &TcpCounters {
        self.sends.connections.counters()
    }
}

impl Receiver {
    /// Has `wait` return when `descriptor`, which lives as long as the driver, is readable.
    fn watch(&mut self, sends: &mut SendQueue, descriptor: RawFd) {
        match self {
            Receiver::Uring(_) => {
                if let Some((ring, _)) = sends.ring() {
                    ring.watch(descriptor);
                }
            }
            Receiver::Mmsg(receiver) => receiver.watch(descriptor),
        }
    }

    /// Whether it was readable when last looked at; once.
    fn take_watched(&mut self, sends: &mut SendQueue) -> bool {
        match self {
            Receiver::Uring(_) => sends.ring().is_some_and(|(ring, _)| ring.take_watched()),
            Receiver::Mmsg(receiver) => receiver.take_watched(),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Receiver::Uring(receiver) = &mut self.receiver {
            receiver.close(&mut self.sends);
        }
    }
}
