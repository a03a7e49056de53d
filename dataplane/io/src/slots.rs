//! The send queue: slots the engine writes datagrams into, and the batch that is handed to the
//! kernel at submit. A slot is free, lent (being written), committed, or in flight; only a free or
//! lent one may be written. What differs between the drivers is behind [`Backend`].

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use common::address::{Connection, TransportAddress};
use common::id::CoreId;
use common::limits::SEND_SLOT;

use crate::group::{Grouper, NONE, Run};
use crate::memory::Slab;
use crate::message::Source;
use crate::mmsg;
use crate::tcp::Connections;
use crate::uring;

/// Most slots of one queue. Chosen: io_uring's largest submission queue.
pub(crate) const SLOTS_MAX: usize = 32_768;

/// The slots and what is known of each.
pub(crate) struct Slots {
    slab: Slab,
    /// Slots nobody uses; the last returned is lent first, while its bytes are in the cache.
    free: Vec<u32>,
    destinations: Box<[SocketAddr]>,
    lengths: Box<[u16]>,
    /// Chains the slots of a run.
    next: Box<[u32]>,
    /// Slots of a refused run, to be sent one by one.
    retry: Vec<u32>,
    failures: u64,
    /// Whether the kernel segments for us, per family: IPv4, IPv6.
    segments: [bool; 2],
}

impl Slots {
    fn new(count: usize, segments: [bool; 2]) -> io::Result<Self> {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Ok(Self {
            slab: Slab::new(count, SEND_SLOT)?,
            free: (0..count as u32).rev().collect(),
            destinations: vec![nowhere; count].into_boxed_slice(),
            lengths: vec![0; count].into_boxed_slice(),
            next: vec![NONE; count].into_boxed_slice(),
            retry: Vec::with_capacity(count),
            failures: 0,
            segments,
        })
    }

    /// Where the datagram in `slot` goes.
    pub(crate) fn destination(&self, slot: u32) -> SocketAddr {
        self.destinations[slot as usize]
    }

    /// The length of the datagram in `slot` in bytes.
    pub(crate) fn length(&self, slot: u32) -> u16 {
        self.lengths[slot as usize]
    }

    /// What message headers are made from.
    pub(crate) fn source(&self) -> Source<'_> {
        Source { slab: &self.slab, lengths: &self.lengths, next: &self.next }
    }

    /// The kernel is done with the run that starts at `head`. `error` is its errno, if it refused:
    /// a run it cannot segment is sent again datagram by datagram, anything else is counted.
    pub(crate) fn finish(&mut self, head: u32, error: Option<i32>) {
        let grouped = self.next[head as usize] != NONE;
        let again = grouped && matches!(error, Some(libc::EINVAL | libc::EIO));
        if error == Some(libc::EIO) && grouped {
            // The way out has no checksum offload, which segmentation needs: give up on it.
            self.segments[family(self.destination(head))] = false;
        }
        let mut slot = head;
        while slot != NONE {
            let following = self.next[slot as usize];
            if again {
                self.next[slot as usize] = NONE;
                self.retry.push(slot);
            } else {
                self.failures += u64::from(error.is_some());
                self.free.push(slot);
            }
            slot = following;
        }
    }
}

/// Index of an address's family in per-family arrays.
pub(crate) fn family(address: SocketAddr) -> usize {
    usize::from(address.is_ipv6())
}

/// How a driver hands runs to the kernel.
pub(crate) enum Backend {
    Uring(Box<uring::Ring>),
    Mmsg(mmsg::Sender),
}

/// A core's queue of outbound datagrams.
pub struct SendQueue {
    slots: Slots,
    backend: Backend,
    /// TCP connections, which take datagrams as addresses do.
    pub(crate) connections: Connections,
    grouper: Grouper,
    /// Slots to be sent, in the order they were committed.
    committed: Vec<u32>,
    /// UDP messages handed to the kernel so far.
    messages: u64,
    lent: Option<u32>,
    /// Which families have a socket.
    reachable: [bool; 2],
    /// An error met where none could be returned.
    broken: Option<io::Error>,
}

impl SendQueue {
    /// A queue of `count` slots, all free. `segments`: whether each family's socket knows
    /// segmentation; None where a family has no socket.
    pub(crate) fn new(
        count: usize,
        segments: [Option<bool>; 2],
        backend: Backend,
    ) -> io::Result<Self> {
        Ok(Self {
            slots: Slots::new(count, segments.map(|known| known == Some(true)))?,
            backend,
            connections: Connections::new()?,
            grouper: Grouper::new(count),
            committed: Vec::with_capacity(count),
            messages: 0,
            lent: None,
            reachable: segments.map(|known| known.is_some()),
            broken: None,
        })
    }

    /// Lends a slot of [`SEND_SLOT`] bytes, or None when none is free. A slot that is not committed
    /// is lent again; its bytes are whatever was in it.
    ///
    /// Cost: none; when all slots are used, one system call that sends what is committed.
    pub fn reserve(&mut self) -> Option<&mut [u8]> {
        let slot = match self.lent {
            Some(slot) => slot,
            None => {
                if self.slots.free.is_empty() {
                    self.make_room();
                }
                *self.lent.insert(self.slots.free.pop()?)
            }
        };
        // SAFETY: the slot is lent: it left the free list, and was not handed to the kernel since.
        Some(unsafe { self.slots.slab.bytes(slot as usize) })
    }

    /// Commits the first `len` bytes of the slot lent last to be sent to `to`. Without a lent slot,
    /// or with a `len` beyond it, nothing is sent; to a family without socket, or to a connection
    /// that is no more, it is a failed send.
    pub fn commit(&mut self, to: TransportAddress, len: usize) {
        debug_assert!(self.lent.is_some() && len <= SEND_SLOT);
        let Some(slot) = self.lent.filter(|_| len <= SEND_SLOT) else { return };
        let to = match to {
            TransportAddress::Udp(address) => address,
            TransportAddress::Tcp(connection) => return self.commit_tcp(connection, slot, len),
        };
        if !self.reachable[family(to)] {
            self.slots.failures += 1;
            return;
        }
        self.lent = None;
        self.slots.destinations[slot as usize] = to;
        self.slots.lengths[slot as usize] = len as u16;
        self.committed.push(slot);
    }

    /// Lets the TCP connection go on to `core` with the datagram that is being walked, unless it
    /// carries a peer of this core: then, or when it is no more, false.
    pub fn detach(&mut self, connection: Connection, core: CoreId) -> bool {
        self.connections.detach(connection, core)
    }

    /// Whether no slot waits to be sent or is in flight.
    pub fn is_idle(&self) -> bool {
        self.slots.free.len() + usize::from(self.lent.is_some()) == self.slots.slab.count()
    }

    /// Hands all committed slots to the kernel; see [`crate::Driver::submit`].
    pub(crate) fn submit(&mut self) -> io::Result<()> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        self.connections.flush();
        if self.committed.is_empty() && self.slots.retry.is_empty() {
            return Ok(());
        }
        self.plan();
        self.messages += self.grouper.runs().len() as u64;
        for index in 0..self.grouper.runs().len() {
            let run: Run = self.grouper.runs()[index];
            match &mut self.backend {
                Backend::Uring(ring) => ring.send(run, &mut self.slots)?,
                Backend::Mmsg(sender) => sender.send(run, &mut self.slots),
            }
        }
        match &mut self.backend {
            Backend::Uring(ring) => ring.flush(&mut self.slots),
            Backend::Mmsg(sender) => {
                sender.flush(&mut self.slots);
                Ok(())
            }
        }
    }

    /// Datagrams the kernel refused since the last call.
    pub(crate) fn take_failures(&mut self) -> u64 {
        std::mem::take(&mut self.slots.failures)
    }

    /// UDP messages handed to the kernel so far.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// The ring and its slots; None in a queue of the other driver.
    pub(crate) fn ring(&mut self) -> Option<(&mut uring::Ring, &mut Slots)> {
        match &mut self.backend {
            Backend::Uring(ring) => Some((ring, &mut self.slots)),
            Backend::Mmsg(_) => None,
        }
    }

    /// Queues the datagram in the lent slot on a connection; the slot stays lent.
    #[cold]
    fn commit_tcp(&mut self, to: Connection, slot: u32, len: usize) {
        // SAFETY: the slot is lent: it left the free list, and was not handed to the kernel since.
        let bytes = unsafe { self.slots.slab.bytes(slot as usize) };
        if !self.connections.send(to, &bytes[..len]) {
            self.slots.failures += 1;
        }
    }

    /// Groups what is to be sent into runs.
    fn plan(&mut self) {
        let Slots { destinations, lengths, next, retry, segments, .. } = &mut self.slots;
        self.grouper.begin();
        for slot in retry.drain(..) {
            self.grouper.add(slot, true, destinations, lengths, next);
        }
        for slot in self.committed.drain(..) {
            let alone = !segments[family(destinations[slot as usize])];
            self.grouper.add(slot, alone, destinations, lengths, next);
        }
    }

    /// Sends what is committed so that slots come back.
    #[cold]
    fn make_room(&mut self) {
        let result = self.submit().and_then(|()| match self.ring() {
            Some((ring, slots)) => ring.poll(slots),
            None => Ok(()),
        });
        self.broken = self.broken.take().or(result.err());
    }

    /// Ends all operations of the kernel on the slots. False when some could not be ended; the
    /// memory the kernel may still use is then never given back.
    pub(crate) fn close(&mut self) -> bool {
        let closed = match &mut self.backend {
            Backend::Uring(ring) => ring.close(&mut self.slots),
            Backend::Mmsg(_) => true,
        };
        if !closed {
            self.slots.slab.abandon();
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::UdpSocket;

    use super::*;
    use crate::{Driver, DriverChoice, DriverConfig};

    fn driver() -> Driver {
        Driver::open(&DriverConfig {
            binds: vec!["127.0.0.1:0".parse().unwrap()],
            join: false,
            tcp_connections: 0,
            choice: DriverChoice::Mmsg,
            send_slots: 4,
            receive_buffers: 1,
            socket_buffer: 1 << 16,
        })
        .unwrap()
    }

    /// Commits three equal datagrams and plays a kernel that refuses their run with `error`.
    fn refuse(sends: &mut SendQueue, to: SocketAddr, error: i32) {
        for number in 0..3 {
            sends.reserve().unwrap()[..10].fill(number);
            sends.commit(to.into(), 10);
        }
        sends.plan();
        let runs = sends.grouper.runs();
        assert_eq!(runs.len(), 1);
        sends.slots.finish(runs[0].head, Some(error));
    }

    #[test]
    fn a_run_that_cannot_be_segmented_is_sent_one_by_one_in_order() {
        let mut driver = driver();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = peer.local_addr().unwrap();
        let sends = driver.sends();
        for (error, segments_after) in [(libc::EINVAL, true), (libc::EIO, false)] {
            refuse(sends, to, error);
            assert!(!sends.is_idle());
            assert_eq!(sends.slots.segments[0], segments_after);
            sends.submit().unwrap();
            for number in 0..3 {
                let mut buffer = [0; 20];
                assert_eq!(peer.recv(&mut buffer).unwrap(), 10);
                assert_eq!(buffer[0], number);
            }
            assert!(sends.is_idle());
            assert_eq!(sends.take_failures(), 0);
        }
    }

    #[test]
    fn a_run_refused_for_another_reason_is_counted_datagram_by_datagram() {
        let mut driver = driver();
        let sends = driver.sends();
        refuse(sends, "127.0.0.1:9".parse().unwrap(), libc::ENETUNREACH);
        assert!(sends.is_idle());
        assert_eq!(sends.take_failures(), 3);
    }
}
