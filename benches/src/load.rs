//! The generator: starts the server process, connects one publisher and N subscribers over real
//! sockets, sends the measured work in real time and reads the kernel's books about the server.
//! One thread, pinned beside the server.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use ::tests::peer::{Peer, PeerConfig, SUBSCRIBER_TYPES};
use ::tests::source::{Shape, Source};
use common::media::MediaKind;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{setsockopt, sockopt};

use crate::report::Report;
use crate::serve::{hex, published_ssrc, specs, subscribed_ssrc, unhex};
use crate::subscriber::{Count, Subscriber};
use crate::usage::{self, Usage};
use crate::{LoadArguments, ServeArguments};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Handshakes under way at a time.
const JOINING_MAX: usize = 16;
/// Longest time for all handshakes together.
const CONNECT_MAX: Duration = Duration::from_secs(120);
/// Media flows this long before anything is counted.
const WARM_UP: Duration = Duration::from_secs(2);
/// Kernel receive buffer of each socket in bytes. Chosen: about a second of one subscriber's media.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Number under which the publisher's socket is registered with epoll.
const PUBLISHER: u64 = u64::MAX;

/// The server process with its two pipes.
pub(crate) struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    fingerprint: [u8; 32],
    pub(crate) driver: String,
}

impl Server {
    pub(crate) fn start(arguments: &ServeArguments) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .args(["--cores", &arguments.cores.to_string()])
            .args(["--server-cpu", &arguments.server_cpu.to_string()])
            .args(["--driver", &format!("{:?}", arguments.driver).to_lowercase()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("no stdin")?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let ready = read_line(&mut output)?;
        let words: Vec<&str> = ready.split_whitespace().collect();
        let ["ready", port, fingerprint, driver, why @ ..] = words.as_slice() else {
            return Err(format!("the server said {ready:?}").into());
        };
        if why != ["-"] {
            eprintln!("io_uring is not used: {}", why.join(" "));
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
        let fingerprint = unhex(fingerprint).ok_or("not a fingerprint")?;
        Ok(Self { child, input, output, address, fingerprint, driver: (*driver).to_owned() })
    }

    fn ask(&mut self, line: &str) -> Outcome<String> {
        writeln!(self.input, "{line}")?;
        self.input.flush()?;
        read_line(&mut self.output)
    }

    pub(crate) fn open(&mut self, role: &str, fingerprint: &[u8]) -> Outcome<(String, String)> {
        let reply = self.ask(&format!("open {role} {}", hex(fingerprint)))?;
        match reply.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["ticket", ufrag, password] => Ok(((*ufrag).to_owned(), (*password).to_owned())),
            _ => Err(format!("the server said {reply:?}").into()),
        }
    }

    pub(crate) fn stats(&mut self) -> Outcome<serde_json::Value> {
        Ok(serde_json::from_str(&self.ask("stats")?)?)
    }

    pub(crate) fn usage(&self) -> Outcome<Usage> {
        Ok(Usage::of(self.child.id())?)
    }

    /// Ends the server by closing its stdin.
    pub(crate) fn stop(self) -> Outcome<()> {
        let Self { mut child, input, output, .. } = self;
        drop((input, output));
        child.wait()?;
        Ok(())
    }
}

/// The publisher with its two sources.
struct Publisher {
    socket: UdpSocket,
    peer: Peer,
    sources: [Source; 2],
    start: Instant,
}

/// Figures taken at the two ends of the measured time.
struct Mark {
    at: Instant,
    server: Usage,
    generator: Usage,
    sent: u64,
    refused: u64,
}

struct Generator {
    server: Server,
    publisher: Publisher,
    subscribers: Vec<Subscriber>,
    epoll: Epoll,
    buffer: Vec<u8>,
    latency: Vec<Duration>,
    verified: u64,
    wrong: u64,
}

/// Measures and reports.
pub(crate) fn run(arguments: &LoadArguments) -> Outcome<()> {
    let server = Server::start(&arguments.serve)?;
    if !crate::pin(arguments.client_cpu) {
        eprintln!("the generator is not pinned");
    }
    let mut generator = Generator::new(server)?;
    generator.connect_publisher()?;
    let idle = generator.server.usage()?;
    generator.connect(arguments.subscribers)?;
    let full = generator.server.usage()?;
    let kib = full.resident_kib.saturating_sub(idle.resident_kib) as f64;
    generator.lighten(arguments.verify_every);
    generator.publisher.play();
    generator.run_for(WARM_UP)?;
    generator.reset();
    let begin = generator.mark()?;
    generator.run_for(Duration::from_secs(arguments.seconds))?;
    let end = generator.mark()?;
    let report = generator.report(arguments, &begin, &end, kib)?;
    report.print();
    if arguments.json {
        println!("{}", report.json());
    }
    generator.server.stop()?;
    if report.wrong > 0 { Err("payloads were wrong".into()) } else { Ok(()) }
}

impl Generator {
    fn new(mut server: Server) -> Outcome<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let now = Instant::now();
        let (socket, config) = endpoint(&server)?;
        let (peer, _) = join(&mut server, config, "publisher", now)?;
        epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, PUBLISHER))?;
        let [video, audio] = specs(published_ssrc);
        let sources = [
            Source::new(MediaKind::Video, video.ssrc, 0, Shape::FULL_CAMERA, 1_000),
            Source::new(MediaKind::Audio, audio.ssrc, 1, Shape::MICROPHONE, 2_000),
        ];
        let mut publisher = Publisher { socket, peer, sources, start: now };
        publisher.peer.publish(video);
        publisher.peer.publish(audio);
        Ok(Self {
            server,
            publisher,
            subscribers: Vec::new(),
            epoll,
            buffer: vec![0; 2048],
            latency: Vec::new(),
            verified: 0,
            wrong: 0,
        })
    }

    fn connect_publisher(&mut self) -> Outcome<()> {
        let end = Instant::now() + CONNECT_MAX;
        while !self.publisher.peer.connected {
            self.turn()?;
            if Instant::now() > end {
                return Err("the publisher does not connect".into());
            }
        }
        Ok(())
    }

    /// Connects subscribers, a few at a time, until all are up on both sides.
    fn connect(&mut self, count: usize) -> Outcome<()> {
        let end = Instant::now() + CONNECT_MAX;
        let mut looked = Instant::now();
        loop {
            let done = self.subscribers.iter().filter(|s| s.connect.is_some()).count();
            while self.subscribers.len() < count && self.subscribers.len() - done < JOINING_MAX {
                self.add_subscriber()?;
            }
            self.turn()?;
            if done == count && looked.elapsed() > Duration::from_millis(100) {
                looked = Instant::now();
                if self.server.stats()?["connected"].as_u64() == Some(count as u64 + 1) {
                    return Ok(());
                }
            }
            if Instant::now() > end {
                return Err(format!("{done} of {count} subscribers connected").into());
            }
        }
    }

    fn add_subscriber(&mut self) -> Outcome<()> {
        let number = self.subscribers.len();
        let (socket, mut config) = endpoint(&self.server)?;
        config.types = SUBSCRIBER_TYPES;
        let now = Instant::now();
        let (mut peer, credentials) = join(&mut self.server, config, "subscriber", now)?;
        for spec in specs(|track| subscribed_ssrc(number, track)) {
            peer.subscribe(spec);
        }
        self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
        self.subscribers.push(Subscriber::new(socket, peer, number, credentials, now));
        Ok(())
    }

    fn lighten(&mut self, verify_every: usize) {
        let now = Instant::now();
        for subscriber in &mut self.subscribers {
            if !subscriber.number.is_multiple_of(verify_every.max(1)) {
                subscriber.become_cheap(now);
            }
        }
    }

    fn run_for(&mut self, time: Duration) -> Outcome<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(())
    }

    /// Waits for datagrams at most a millisecond, takes them, does what is due.
    fn turn(&mut self) -> Outcome<()> {
        let mut events = [EpollEvent::empty(); 256];
        let ready = self.epoll.wait(&mut events, EpollTimeout::from(1u8))?;
        for event in &events[..ready] {
            let server = self.server.address;
            if event.data() == PUBLISHER {
                self.publisher.receive(&mut self.buffer, server);
            } else if let Some(one) = self.subscribers.get_mut(event.data() as usize) {
                one.receive(&mut self.buffer, server);
            }
        }
        self.publisher.on_time(Instant::now());
        let now = Instant::now();
        for subscriber in &mut self.subscribers {
            subscriber.on_time(now)?;
        }
        self.verify();
        Ok(())
    }

    /// Checks what the verifying subscribers decrypted.
    fn verify(&mut self) {
        let start = self.publisher.start;
        for peer in self.subscribers.iter_mut().filter_map(|one| one.peer.as_mut()) {
            for packet in peer.received.drain(..) {
                self.verified += 1;
                let track = packet.ssrc & 1;
                match packet.stamp.filter(|stamp| stamp.stream == track) {
                    Some(stamp) => {
                        let took = packet.at.saturating_duration_since(start);
                        let sent = Duration::from_nanos(stamp.sent_ns);
                        self.latency.push(took.saturating_sub(sent));
                    }
                    None => self.wrong += 1,
                }
            }
        }
    }

    fn reset(&mut self) {
        self.latency.clear();
        self.verified = 0;
        for subscriber in &mut self.subscribers {
            subscriber.counts = [Count::default(); 2];
        }
    }

    fn mark(&self) -> Outcome<Mark> {
        let sent = self.publisher.sources.iter().map(|source| source.counter).sum();
        let (server, generator) = (self.server.usage()?, Usage::of(std::process::id())?);
        let refused = usage::receive_buffer_errors()?;
        Ok(Mark { at: Instant::now(), server, generator, sent, refused })
    }

    fn report(
        &mut self,
        arguments: &LoadArguments,
        begin: &Mark,
        end: &Mark,
        kib: f64,
    ) -> Outcome<Report> {
        let stats = self.server.stats()?;
        let counts = self.subscribers.iter().flat_map(|subscriber| subscriber.counts);
        let (received, expected) =
            counts.fold((0, 0), |(r, e), count| (r + count.received, e + count.expected()));
        let mut connect: Vec<_> = self.subscribers.iter().filter_map(|s| s.connect).collect();
        connect.sort();
        let mut latency = std::mem::take(&mut self.latency);
        latency.sort();
        if let Some(closed) = stats["closed"].as_u64().filter(|closed| *closed > 0) {
            eprintln!("{closed} peers were closed by the server");
        }
        Ok(Report {
            subscribers: arguments.subscribers,
            driver: self.server.driver.clone(),
            profiles: stats["profiles"].to_string(),
            time: end.at - begin.at,
            received,
            expected,
            sent: end.sent - begin.sent,
            server: end.server.since(&begin.server),
            generator: end.generator.since(&begin.generator),
            kib_per_subscriber: kib / arguments.subscribers.max(1) as f64,
            connect,
            latency,
            verified: self.verified,
            wrong: self.wrong,
            drops: stats["drops"].clone(),
            refused: end.refused - begin.refused,
        })
    }
}

impl Publisher {
    fn play(&mut self) {
        let now = Instant::now();
        self.sources[0].next_at = Some(now);
        self.sources[1].next_at = Some(now + Duration::from_millis(7));
    }

    fn receive(&mut self, buffer: &mut [u8], server: SocketAddr) {
        while let Ok(len) = self.socket.recv(buffer) {
            self.peer.on_datagram(server, &buffer[..len], Instant::now());
        }
    }

    fn on_time(&mut self, now: Instant) {
        if self.peer.next_deadline() <= now {
            self.peer.on_deadline(now);
        }
        self.sources[0].key_wanted |= !self.peer.key_frames_wanted.is_empty();
        self.peer.key_frames_wanted.clear();
        for source in &mut self.sources {
            if source.next_at.is_some_and(|at| at <= now) {
                for packet in source.frame(now, now.duration_since(self.start)) {
                    self.peer.send(packet, now);
                }
            }
        }
        while let Some(datagram) = self.peer.poll_datagram() {
            // A full socket buffer is loss like any other.
            let _ = self.socket.send(&datagram.bytes);
        }
    }
}

/// A socket towards the server.
pub(crate) fn socket(server: SocketAddr) -> Outcome<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    // As much as the system allows: a generator that is not scheduled for a moment loses nothing.
    setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    // Needs a capability; without it the plain option did what it could.
    let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
    Ok(socket)
}

/// A socket towards the server, and the configuration of the peer behind it.
fn endpoint(server: &Server) -> Outcome<(UdpSocket, PeerConfig)> {
    let socket = socket(server.address)?;
    let mut config = PeerConfig::new(socket.local_addr()?, server.address);
    config.fingerprint = server.fingerprint;
    config.watch_rtcp = false;
    Ok((socket, config))
}

/// Opens a place at the server and makes the peer for it.
fn join(
    server: &mut Server,
    mut config: PeerConfig,
    role: &str,
    now: Instant,
) -> Outcome<(Peer, (String, String))> {
    let certificate = Peer::certificate();
    let credentials = server.open(role, &Peer::fingerprint_of(&certificate))?;
    (config.ufrag, config.password) = credentials.clone();
    config.certificate = Some(certificate);
    Ok((Peer::new(&config, now), credentials))
}

fn read_line(output: &mut BufReader<ChildStdout>) -> Outcome<String> {
    let mut line = String::new();
    if output.read_line(&mut line)? == 0 {
        return Err("the server ended".into());
    }
    Ok(line)
}
