//! A bad network between one session of a page and the server: a UDP relay on this machine's addresses
//! whose two directions lose, delay and throttle datagrams as a [`LinkConfig`] says. Called by the
//! tests of media quality; the page learns the relay's port as an option of its session
//! (client.js puts it into the server's candidates). It never looks into a datagram.
//!
//! One seed gives one sequence of chances per direction; which datagram meets which chance is up
//! to the browser. Everything through one relay shares its two links.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tests::link::{Link, LinkConfig};
use tests::random::Random;

/// How often a waiting receiver looks whether the relay ends.
const LOOK: Duration = Duration::from_millis(100);

/// Largest UDP payload.
const DATAGRAM_MAX: usize = 65_536;

/// A running relay. Ends its threads when dropped.
pub(crate) struct Relay {
    port: u16,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Which way a datagram goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// From the page to the server.
    Up,
    /// From the server to the page.
    Down,
}

/// What one direction has done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    /// Datagrams that came in.
    pub(crate) offered: u64,
    /// Of them, lost by chance or for a full queue.
    pub(crate) lost: u64,
    /// Bytes that came in.
    pub(crate) bytes: u64,
}

/// One direction.
struct Direction {
    link: Link,
    offered: u64,
    bytes: u64,
}

/// What the threads share.
struct Shared {
    up: Mutex<Direction>,
    down: Mutex<Direction>,
    queue: Mutex<Queue>,
    due: Condvar,
    ends: AtomicBool,
}

/// Datagrams under way by the instant of their arrival; numbers keep the order within an instant.
#[derive(Default)]
struct Queue {
    flights: BTreeMap<(Instant, u64), Flight>,
    next: u64,
}

/// A datagram under way.
struct Flight {
    bytes: Vec<u8>,
    socket: Arc<UdpSocket>,
    to: SocketAddr,
}

impl Relay {
    /// Starts a relay to the server's media port. Both directions are `config`.
    pub(crate) fn start(media_port: u16, config: LinkConfig, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut direction = || {
            Mutex::new(Direction { link: Link::new(config, random.fork()), offered: 0, bytes: 0 })
        };
        let shared = Arc::new(Shared {
            up: direction(),
            down: direction(),
            queue: Mutex::default(),
            due: Condvar::new(),
            ends: AtomicBool::new(false),
        });
        let front = bind(Ipv4Addr::UNSPECIFIED.into());
        let port = front.local_addr().unwrap().port();
        let (receiving, sending) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            std::thread::spawn(move || receiving.listen_front(&front, media_port)),
            std::thread::spawn(move || sending.send_due()),
        ];
        Self { port, shared, threads }
    }

    /// The port that the page sends to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Changes one direction from now on.
    pub(crate) fn reconfigure(&self, way: Way, config: LinkConfig) {
        self.shared.direction(way).lock().unwrap().link.reconfigure(config);
    }

    /// What a direction has done so far.
    pub(crate) fn tally(&self, way: Way) -> Tally {
        let direction = self.shared.direction(way).lock().unwrap();
        Tally { offered: direction.offered, lost: direction.link.lost, bytes: direction.bytes }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        self.shared.due.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn direction(&self, way: Way) -> &Mutex<Direction> {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    /// Receives from the page; every address of it gets a socket of its own towards the server, as
    /// behind an address translator, but of the same address: Firefox refuses to be told that it is
    /// seen at a loopback address when it is at another.
    fn listen_front(self: &Arc<Self>, front: &Arc<UdpSocket>, media_port: u16) {
        let mut backs: HashMap<SocketAddr, (Arc<UdpSocket>, JoinHandle<()>)> = HashMap::new();
        self.receive(front, |bytes, client| {
            let (back, _) = backs.entry(client).or_insert_with(|| {
                let back = bind(client.ip());
                let (shared, socket) = (Arc::clone(self), Arc::clone(&back));
                let front = Arc::clone(front);
                let thread =
                    std::thread::spawn(move || shared.listen_back(&socket, &front, client));
                (back, thread)
            });
            self.carry(Way::Up, bytes, back, (client.ip(), media_port).into());
        });
        for (_, thread) in backs.into_values() {
            let _ = thread.join();
        }
    }

    fn listen_back(&self, back: &UdpSocket, front: &Arc<UdpSocket>, client: SocketAddr) {
        self.receive(back, |bytes, _| self.carry(Way::Down, bytes, front, client));
    }

    fn receive(&self, socket: &UdpSocket, mut take: impl FnMut(&[u8], SocketAddr)) {
        let mut buffer = vec![0; DATAGRAM_MAX];
        while !self.ends.load(Ordering::Relaxed) {
            // An error is the time-out, or a port that nobody listens on any more.
            if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                take(&buffer[..len], from);
            }
        }
    }

    /// Gives a datagram to a direction's link, which says when its copies arrive.
    fn carry(&self, way: Way, bytes: &[u8], socket: &Arc<UdpSocket>, to: SocketAddr) {
        let arrivals = {
            let mut direction = self.direction(way).lock().unwrap();
            direction.offered += 1;
            direction.bytes += bytes.len() as u64;
            direction.link.send(bytes.len(), Instant::now())
        };
        for at in arrivals.into_iter().flatten() {
            let flight = Flight { bytes: bytes.to_vec(), socket: Arc::clone(socket), to };
            self.queue.lock().unwrap().push(at, flight);
            self.due.notify_one();
        }
    }

    fn send_due(&self) {
        let mut queue = self.queue.lock().unwrap();
        while !self.ends.load(Ordering::Relaxed) {
            let now = Instant::now();
            while let Some(flight) = queue.pop_due(now) {
                let _ = flight.socket.send_to(&flight.bytes, flight.to);
            }
            let wait = queue.next_due().map_or(LOOK, |at| at.saturating_duration_since(now));
            (queue, _) = self.due.wait_timeout(queue, wait.min(LOOK)).unwrap();
        }
    }
}

impl Queue {
    fn push(&mut self, at: Instant, flight: Flight) {
        self.flights.insert((at, self.next), flight);
        self.next += 1;
    }

    fn next_due(&self) -> Option<Instant> {
        self.flights.first_key_value().map(|((at, _), _)| *at)
    }

    fn pop_due(&mut self, now: Instant) -> Option<Flight> {
        if self.next_due()? > now {
            return None;
        }
        self.flights.pop_first().map(|(_, flight)| flight)
    }
}

fn bind(address: IpAddr) -> Arc<UdpSocket> {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_read_timeout(Some(LOOK)).unwrap();
    Arc::new(socket)
}
