//! The TCP connections of one core: their names, their bounds, what they send, and when they end.
//! Owned by the send queue, because the engine sends to a connection as it sends to an address.
//!
//! A connection proves itself by being sent something: the engine answers authenticated checks and
//! sends to nobody else. Until then it is bounded in bytes, time and number; afterwards it lives as
//! long as the engine goes on sending on it. Time is counted in sweeps, about one a second, so that
//! no clock is read here.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use common::address::Connection;
use common::counters::{TcpClose, TcpCounters};
use common::id::CoreId;
use common::limits::{
    TCP_CONNECTIONS_MAX, TCP_IDLE_MAX, TCP_PER_ADDRESS_MAX, TCP_PROOF_MAX, TCP_UNPROVEN_BYTES_MAX,
    TCP_UNPROVEN_MAX,
};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use socket2::Socket;

use super::link::{Link, Migrant, Written};

/// One place of the table.
struct Place {
    /// Generation of who is in it, or will be next.
    generation: u32,
    link: Option<Box<Link>>,
}

/// The connections of one core.
pub(crate) struct Connections {
    poll: Epoll,
    places: Vec<Place>,
    free: Vec<u16>,
    /// How many there may be, and are.
    most: usize,
    open: usize,
    /// Those without proof, oldest first; some have it or are gone meanwhile.
    unproven: VecDeque<Connection>,
    unproven_count: usize,
    /// How many each address has.
    per_address: HashMap<IpAddr, usize>,
    /// Those with something to write since the last flush.
    pending: Vec<Connection>,
    /// Those that moved in with bytes that nobody has looked at.
    arrived: Vec<Connection>,
    /// Those that go on to another core.
    leaving: Vec<(CoreId, Migrant)>,
    counters: TcpCounters,
}

/// What became of a connection while a datagram of it was walked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It is here.
    Here,
    /// It ended.
    Gone,
    /// It is to go on to this core with the datagram.
    Moves(CoreId),
}

impl Connections {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            places: Vec::new(),
            free: Vec::new(),
            most: 0,
            open: 0,
            unproven: VecDeque::new(),
            unproven_count: 0,
            per_address: HashMap::new(),
            pending: Vec::new(),
            arrived: Vec::new(),
            leaving: Vec::new(),
            counters: TcpCounters::default(),
        })
    }

    /// Sets how many there may be.
    pub(crate) fn limit(&mut self, most: usize) {
        self.most = most.min(TCP_CONNECTIONS_MAX);
    }

    /// Sends a datagram on a connection: it leaves, whole, with the next flush. A connection whose
    /// queue is full drops it, which is counted here; false when there is no such connection.
    pub(crate) fn send(&mut self, to: Connection, datagram: &[u8]) -> bool {
        let Self { places, pending, unproven_count, counters, .. } = self;
        let Some(link) = find(places, to) else { return false };
        if !link.proven {
            link.proven = true;
            *unproven_count -= 1;
        }
        link.quiet = 0;
        if !link.push(datagram) {
            counters.datagrams_dropped += 1;
            counters.bytes_dropped += datagram.len() as u64;
        } else if !link.listed && !link.waits_for_room {
            link.listed = true;
            pending.push(to);
        }
        true
    }

    /// Writes what was sent since the last flush. Cost: one system call per connection.
    pub(crate) fn flush(&mut self) {
        // The list is kept for its memory; nothing is added to it meanwhile.
        for index in 0..self.pending.len() {
            let Some(link) = find(&mut self.places, self.pending[index]) else { continue };
            link.listed = false;
            let name = link.name;
            self.write(name);
        }
        self.pending.clear();
    }

    /// Writes what waits on one connection, and has the poll tell of room as long as some is left.
    pub(super) fn write(&mut self, name: Connection) {
        let Some(link) = find(&mut self.places, name) else { return };
        let waits = match link.write() {
            Ok(written) => written == Written::Part,
            Err(_) => return self.close(name, TcpClose::Remote),
        };
        if waits != link.waits_for_room {
            link.waits_for_room = waits;
            let mut event = interest(key(name), waits);
            if self.poll.modify(link.descriptor(), &mut event).is_err() {
                self.close(name, TcpClose::Remote);
            }
        }
    }

    /// Takes an accepted connection in, or refuses it.
    pub(super) fn accept(&mut self, socket: Socket, remote: SocketAddr) {
        self.counters.accepted += 1;
        let migrant = Migrant { socket, remote, unread: Vec::new() };
        if self.admit(migrant).is_none() {
            self.counters.refused += 1;
        }
    }

    /// Takes a connection of another core in, or refuses it.
    pub(crate) fn adopt(&mut self, migrant: Migrant) {
        match self.admit(migrant) {
            Some(name) => {
                self.counters.adopted += 1;
                self.arrived.push(name);
            }
            None => self.counters.refused += 1,
        }
    }

    /// Ends a connection that no other core took in.
    pub(crate) fn refuse(&mut self, migrant: Migrant) {
        drop(migrant);
        self.counters.refused += 1;
    }

    /// Lets a connection go on to `core` with the datagram that is being walked; false when it
    /// carries a peer of this core, or is no more.
    pub(crate) fn detach(&mut self, name: Connection, core: CoreId) -> bool {
        let Some(link) = find(&mut self.places, name).filter(|link| !link.proven) else {
            return false;
        };
        link.moves_to = Some(core);
        true
    }

    /// The next connection that goes on to another core.
    pub(crate) fn pop_leaving(&mut self) -> Option<(CoreId, Migrant)> {
        self.leaving.pop()
    }

    /// What became of a connection while a datagram of it was walked.
    pub(super) fn standing(&mut self, name: Connection) -> Standing {
        match find(&mut self.places, name) {
            None => Standing::Gone,
            Some(link) => link.moves_to.map_or(Standing::Here, Standing::Moves),
        }
    }

    /// Sends a connection on its way, with the bytes the other core is to begin with.
    pub(super) fn leave(&mut self, name: Connection, core: CoreId, unread: &[u8]) {
        let Some(link) = self.remove(name, TcpClose::Moved) else { return };
        // Closing would do the same, but the descriptor lives on in another poll.
        let _ = self.poll.delete(link.descriptor());
        self.leaving.push((core, link.into_migrant(unread)));
    }

    /// Reads what has arrived behind what is unread; see [`Link::read`]. None when it ended.
    pub(super) fn read(
        &mut self,
        name: Connection,
        buffer: &mut [u8],
        wanted: usize,
    ) -> Option<usize> {
        let end = find(&mut self.places, name)?.read(buffer, wanted);
        if end.is_none() {
            self.close(name, TcpClose::Remote);
        }
        end
    }

    /// Keeps the start of a frame that has not arrived whole.
    pub(super) fn keep(&mut self, name: Connection, rest: &[u8]) {
        let Some(link) = find(&mut self.places, name) else { return };
        link.unread.extend_from_slice(rest);
        if !link.proven && link.unproven_bytes >= TCP_UNPROVEN_BYTES_MAX {
            self.close(name, TcpClose::Unproven);
        }
    }

    /// Ends a connection.
    pub(super) fn close(&mut self, name: Connection, reason: TcpClose) {
        if let Some(link) = self.remove(name, reason) {
            link.reset();
        }
    }

    /// Whether anything ages.
    pub(super) fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// The connections that moved in and are to be looked at, once.
    pub(super) fn take_arrived(&mut self) -> Vec<Connection> {
        std::mem::take(&mut self.arrived)
    }

    /// Whether connections moved in that are to be looked at.
    pub(crate) fn has_arrived(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// Ends what is too old. To be called about once a second while there are connections.
    pub(crate) fn sweep(&mut self) {
        for index in 0..self.places.len() {
            let Some(link) = self.places.get_mut(index).and_then(|place| place.link.as_mut())
            else {
                continue;
            };
            link.quiet = link.quiet.saturating_add(1);
            link.stuck = if link.is_pending() { link.stuck.saturating_add(1) } else { 0 };
            link.trim();
            let (name, quiet, stuck) = (link.name, link.quiet, link.stuck);
            if !link.proven && u64::from(quiet) > TCP_PROOF_MAX.as_secs() {
                self.close(name, TcpClose::Unproven);
            } else if u64::from(quiet) > TCP_IDLE_MAX.as_secs() {
                self.close(name, TcpClose::Idle);
            } else if u64::from(stuck) > TCP_IDLE_MAX.as_secs() {
                self.close(name, TcpClose::Stuck);
            }
        }
        self.forget_proven();
    }

    /// The poll that tells what connections and listeners have.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.poll.0.as_raw_fd()
    }

    /// What happened, at most as much as `events` holds; never sleeps.
    pub(super) fn poll(&self, events: &mut [EpollEvent]) -> usize {
        // Fails only by a signal.
        self.poll.wait(events, nix::sys::epoll::EpollTimeout::ZERO).unwrap_or_default()
    }

    /// Has the poll tell of connections to a listener, under a key that no connection has.
    pub(super) fn watch(&self, listener: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        Ok(self.poll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, key))?)
    }

    /// Ends that.
    pub(super) fn ignore(&self, listener: BorrowedFd<'_>) {
        let _ = self.poll.delete(listener);
    }

    /// The connection that the poll means by `key`.
    pub(super) fn named(&self, key: u64) -> Option<Connection> {
        let place = self.places.get(usize::from(key as u16))?;
        let link = place.link.as_ref()?;
        (u64::from(place.generation) == key >> 32).then_some(link.name)
    }

    /// What was counted so far.
    pub(crate) fn counters(&self) -> &TcpCounters {
        &self.counters
    }

    /// Finds a place for a connection, if the bounds allow it.
    fn admit(&mut self, migrant: Migrant) -> Option<Connection> {
        let Migrant { socket, remote, unread } = migrant;
        let site = site(remote.ip());
        let here = self.per_address.get(&site).copied().unwrap_or_default();
        if self.open >= self.most || here >= TCP_PER_ADDRESS_MAX {
            return None;
        }
        self.make_room();
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u16::try_from(self.places.len()).ok()?;
                self.places.push(Place { generation: 0, link: None });
                index
            }
        };
        let place = self.places.get_mut(usize::from(index))?;
        let name = Connection::new(remote, index, place.generation);
        let ready = Link::new(socket, name, unread).and_then(|link| {
            self.poll.add(link.descriptor().as_fd(), interest(key(name), false))?;
            Ok(link)
        });
        let Ok(link) = ready else {
            self.free.push(index);
            return None;
        };
        place.link = Some(Box::new(link));
        self.open += 1;
        self.counters.open = self.open as u64;
        *self.per_address.entry(site).or_default() += 1;
        self.unproven.push_back(name);
        self.unproven_count += 1;
        Some(name)
    }

    /// Ends the oldest connection without proof when there are too many.
    fn make_room(&mut self) {
        while self.unproven_count >= TCP_UNPROVEN_MAX {
            let Some(oldest) = self.unproven.pop_front() else { return };
            if find(&mut self.places, oldest).is_some_and(|link| !link.proven) {
                self.close(oldest, TcpClose::Crowded);
            }
        }
        if self.unproven.len() >= 2 * TCP_UNPROVEN_MAX {
            self.forget_proven();
        }
    }

    fn forget_proven(&mut self) {
        let Self { unproven, places, .. } = self;
        unproven.retain(|name| find(places, *name).is_some_and(|link| !link.proven));
    }

    fn remove(&mut self, name: Connection, reason: TcpClose) -> Option<Link> {
        find(&mut self.places, name)?;
        let place = self.places.get_mut(usize::from(name.index()))?;
        let link = place.link.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(name.index());
        self.open -= 1;
        self.counters.open = self.open as u64;
        self.counters.closed[reason as usize] += 1;
        self.unproven_count -= usize::from(!link.proven);
        let site = site(name.remote().ip());
        if let Some(count) = self.per_address.get_mut(&site) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&site);
            }
        }
        Some(*link)
    }
}

fn find(places: &mut [Place], name: Connection) -> Option<&mut Link> {
    let place = places.get_mut(usize::from(name.index()))?;
    let link = place.link.as_deref_mut()?;
    (place.generation == name.generation()).then_some(link)
}

/// How the poll knows a connection.
fn key(name: Connection) -> u64 {
    u64::from(name.generation()) << 32 | u64::from(name.index())
}

fn interest(key: u64, room: bool) -> EpollEvent {
    let mut flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP;
    flags.set(EpollFlags::EPOLLOUT, room);
    EpollEvent::new(flags, key)
}

/// What counts as one address: an IPv4 address, or the /64 that one IPv6 host has.
fn site(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from(u128::from(ip) >> 64 << 64)),
    }
}
