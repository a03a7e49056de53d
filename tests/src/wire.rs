//! Remote peers on real sockets against a running data plane, in one thread with the real clock.
//! Used by the loopback tests; the control role is the simulation's. A peer's datagrams go over UDP,
//! or as frames (RFC 4571) over a TCP connection; the peer's stack does not know the difference.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use common::event::Event;
use common::id::CoreId;
use common::media::MediaKind;
use dataplane::{Config, DataPlane, DriverChoice};

use crate::control::Control;
use crate::oracle::StreamReport;
use crate::peer::{Peer, PeerConfig, SUBSCRIBER_TYPES, StreamSpec};
use crate::sim::MIDS;
use crate::source::{Shape, Source};

/// What carries a peer's datagrams.
enum Carrier {
    Udp(UdpSocket),
    Tcp(Stream),
}

/// A TCP connection with what has arrived of the next frame.
struct Stream {
    socket: TcpStream,
    unread: Vec<u8>,
}

/// A remote peer with its socket.
struct Wired {
    peer: Peer,
    carrier: Carrier,
    sources: Vec<Source>,
    mids: usize,
}

/// One subscription as its owner sees it.
struct Watch {
    peer: usize,
    track: usize,
    ssrc: u32,
}

/// A data plane and the remote peers around it.
pub struct Rig {
    /// The data plane under test.
    pub plane: DataPlane,
    /// What it reported so far.
    pub events: Vec<Event>,
    control: Control,
    peers: Vec<Wired>,
    watches: Vec<Watch>,
    start: Instant,
    server: SocketAddr,
}

impl Rig {
    /// Starts a data plane on a free port of `host`.
    pub fn start(driver: DriverChoice, cores: usize, host: &str) -> Self {
        let bind = SocketAddr::new(host.parse().expect("an IP address"), 0);
        let mut config = Config::new(vec![bind], cores, [7; 32]);
        config.driver = driver;
        config.pinning = dataplane::Pinning::Off;
        let plane = DataPlane::start(config).expect("the data plane starts");
        let server = SocketAddr::new(bind.ip(), plane.port());
        Self {
            plane,
            events: Vec::new(),
            control: Control::default(),
            peers: Vec::new(),
            watches: Vec::new(),
            start: Instant::now(),
            server,
        }
    }

    /// Adds a remote peer with a socket of its own; it starts to connect in the next turn.
    pub fn join(&mut self, publisher: bool) -> usize {
        let socket = UdpSocket::bind(SocketAddr::new(self.server.ip(), 0)).expect("a socket");
        socket.set_nonblocking(true).expect("a socket option");
        let local = socket.local_addr().expect("a bound socket");
        self.join_over(Carrier::Udp(socket), local, publisher)
    }

    /// The same over a TCP connection of its own.
    pub fn join_over_tcp(&mut self, publisher: bool) -> usize {
        let socket = TcpStream::connect(self.server).expect("a connection");
        socket.set_nonblocking(true).expect("a socket option");
        socket.set_nodelay(true).expect("a socket option");
        let local = socket.local_addr().expect("a bound socket");
        self.join_over(Carrier::Tcp(Stream { socket, unread: Vec::new() }), local, publisher)
    }

    fn join_over(&mut self, carrier: Carrier, local: SocketAddr, publisher: bool) -> usize {
        let ticket = self.plane.open_peer().expect("a free place");
        let mut config = PeerConfig::new(local, self.server);
        config.ufrag = ticket.ufrag;
        config.password = ticket.pwd;
        config.fingerprint = self.plane.fingerprint();
        if !publisher {
            config.types = SUBSCRIBER_TYPES;
        }
        let mut peer = Peer::new(&config, Instant::now());
        self.control.add_peer(ticket.peer, peer.fingerprint(), false);
        self.peers.push(Wired { peer, carrier, sources: Vec::new(), mids: 0 });
        self.peers.len() - 1
    }

    /// Declares a stream; it is sent once [`Rig::play`] is called. Returns the track's number.
    pub fn publish(&mut self, peer: usize, kind: MediaKind, shape: Shape) -> usize {
        let track = self.control.track_count();
        let ssrc = 0x1000_0000 + track as u32;
        let rtx = (kind == MediaKind::Video).then_some(0x2000_0000 + track as u32);
        let spec = StreamSpec { mid: self.next_mid(peer), kind, ssrc, rtx };
        self.peers[peer].peer.publish(spec);
        self.peers[peer].sources.push(Source::new(kind, ssrc, track as u32, shape, 100));
        self.control.add_track(peer, spec, true)
    }

    /// Subscribes a peer to a track. Returns the subscription's number.
    pub fn subscribe(&mut self, peer: usize, track: usize, kind: MediaKind) -> usize {
        let number = self.watches.len();
        let ssrc = 0x5000_0000 + number as u32;
        let spec = StreamSpec { mid: self.next_mid(peer), kind, ssrc, rtx: None };
        self.peers[peer].peer.subscribe(spec);
        self.watches.push(Watch { peer, track, ssrc });
        self.control.add_subscription(peer, track, spec)
    }

    /// Sends every source's frames at their pace until each has sent `packets`, and half a second
    /// more for stragglers.
    pub fn play(&mut self, packets: u64) {
        let now = Instant::now();
        for source in self.peers.iter_mut().flat_map(|peer| &mut peer.sources) {
            source.next_at = Some(now);
        }
        let done = |rig: &Rig| {
            let mut sources = rig.peers.iter().flat_map(|peer| &peer.sources);
            sources.all(|source| source.counter >= packets)
        };
        while !done(self) {
            self.turn();
            self.send_due(packets);
        }
        self.run_for(Duration::from_millis(500));
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Lets time pass until `done`, at most `limit`. Returns whether it came true.
    pub fn run_until(&mut self, limit: Duration, done: impl Fn(&Rig) -> bool) -> bool {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if done(self) {
                return true;
            }
            self.turn();
        }
        done(self)
    }

    /// Lets time pass until all peers are connected on both sides and their commands are applied.
    pub fn connect(&mut self) -> bool {
        let connected = |rig: &Rig| {
            let served =
                rig.events.iter().filter(|event| matches!(event, Event::Connected { .. })).count();
            served == rig.peers.len() && rig.peers.iter().all(|wired| wired.peer.connected)
        };
        let done = self.run_until(Duration::from_secs(20), connected);
        self.run_for(Duration::from_millis(200));
        done
    }

    /// A remote peer.
    pub fn peer(&self, peer: usize) -> &Peer {
        &self.peers[peer].peer
    }

    /// Closes a remote peer from its side.
    pub fn close(&mut self, peer: usize) {
        self.peers[peer].peer.close(Instant::now());
    }

    /// The core a peer lives on.
    pub fn home(&self, peer: usize) -> Option<CoreId> {
        self.control.home(peer)
    }

    /// What a subscription looked like so far.
    pub fn report(&self, subscription: usize) -> StreamReport {
        let watch = &self.watches[subscription];
        let received = &self.peers[watch.peer].peer.received;
        let packets = received.iter().filter(|packet| packet.ssrc == watch.ssrc);
        StreamReport::judge(packets, watch.track as u32)
    }

    fn turn(&mut self) {
        while let Ok(event) = self.plane.events().try_recv() {
            self.control.on_event(&event);
            self.events.push(event);
        }
        for (core, command) in self.control.poll_commands() {
            self.plane.send(core, command);
        }
        let mut idle = true;
        for wired in &mut self.peers {
            idle &= !wired.turn(self.server);
        }
        if idle {
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    fn send_due(&mut self, packets: u64) {
        let (now, since) = (Instant::now(), self.start.elapsed());
        for wired in &mut self.peers {
            for source in &mut wired.sources {
                if source.counter < packets && source.next_at.is_some_and(|at| at <= now) {
                    for packet in source.frame(now, since) {
                        wired.peer.send(packet, now);
                    }
                }
            }
        }
    }

    fn next_mid(&mut self, peer: usize) -> &'static str {
        let mids = &mut self.peers[peer].mids;
        *mids += 1;
        MIDS[*mids - 1]
    }
}

impl Wired {
    /// Receives, does what is due, sends. Returns whether anything arrived.
    fn turn(&mut self, server: SocketAddr) -> bool {
        let mut busy = false;
        while let Some(bytes) = self.carrier.receive() {
            self.peer.on_datagram(server, &bytes, Instant::now());
            busy = true;
        }
        let now = Instant::now();
        if self.peer.next_deadline() <= now {
            self.peer.on_deadline(now);
        }
        while let Some(datagram) = self.peer.poll_datagram() {
            if datagram.to == server {
                self.carrier.send(&datagram.bytes, server);
            }
        }
        busy
    }
}

impl Carrier {
    /// The next datagram of the server.
    fn receive(&mut self) -> Option<Vec<u8>> {
        match self {
            Carrier::Udp(socket) => {
                let mut buffer = [0; 2048];
                let (len, _) = socket.recv_from(&mut buffer).ok()?;
                Some(buffer[..len].to_vec())
            }
            Carrier::Tcp(stream) => stream.receive(),
        }
    }

    fn send(&mut self, bytes: &[u8], server: SocketAddr) {
        match self {
            // A full socket buffer is loss like any other.
            Carrier::Udp(socket) => drop(socket.send_to(bytes, server)),
            Carrier::Tcp(stream) => stream.send(bytes),
        }
    }
}

impl Stream {
    fn receive(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some((header, rest)) = self.unread.split_first_chunk::<2>()
                && let Some(bytes) = rest.get(..usize::from(u16::from_be_bytes(*header)))
            {
                let bytes = bytes.to_vec();
                self.unread.drain(..2 + bytes.len());
                return Some(bytes);
            }
            let mut buffer = [0; 16 << 10];
            let count = self.socket.read(&mut buffer).ok().filter(|count| *count != 0)?;
            self.unread.extend_from_slice(&buffer[..count]);
        }
    }

    /// Sends a frame; the server reads at once, so waiting for room is short.
    fn send(&mut self, bytes: &[u8]) {
        let frame = [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
        let mut rest = &frame[..];
        while !rest.is_empty() {
            match self.socket.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                // The server closed it; the peer learns that by silence.
                Err(_) => return,
            }
        }
    }
}
