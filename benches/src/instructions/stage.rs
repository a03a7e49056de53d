//! The stage of the instruction count: one engine without driver, one publisher and N subscribers of
//! another stack, a network of fixed delay, a virtual clock. Called by `instructions`, inside
//! valgrind. Engine calls that count go through [`Stage::measured`], the one function the count is
//! switched by; nothing but the engine and the borrowing of slots may happen below it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::tests::control::Control;
use ::tests::peer::{Peer, PeerConfig, SUBSCRIBER_TYPES, StreamSpec};
use ::tests::source::{Shape, Source};
use common::address::TransportAddress;
use common::command::Command;
use common::event::Event;
use common::id::{CoreId, PeerId};
use common::limits::SEND_SLOT;
use common::media::MediaKind;
use engine::{Claim, FrameHeader, Host, Shard, ShardConfig};
use proto::dtls::Certificate;
use proto::ice::{NodeSecret, issue};

/// One way through the network. Chosen: a round trip of 20 ms, as within a country.
const DELAY: Duration = Duration::from_millis(10);
/// Slots one engine call can fill, as many as a core of the data plane has.
const SLOTS: usize = 4_096;
/// Longest (virtual) time until everybody is connected.
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// The seed of the engine's random decisions, and the key of its names.
const SEED: u64 = 7;

/// SSRC of the publisher's track `track` (0 video, 1 audio).
const fn published_ssrc(track: usize) -> u32 {
    0x1000_0000 + track as u32
}

/// SSRC under which subscriber `number` gets track `track`.
const fn subscribed_ssrc(number: usize, track: usize) -> u32 {
    0x5000_0000 + (number * 2 + track) as u32
}

/// Streams of a peer: MID, kind and SSRC of its two sections.
fn specs(ssrc: impl Fn(usize) -> u32) -> [StreamSpec; 2] {
    let video = StreamSpec { mid: "0", kind: MediaKind::Video, ssrc: ssrc(0), rtx: None };
    [video, StreamSpec { mid: "1", kind: MediaKind::Audio, ssrc: ssrc(1), ..video }]
}

/// What goes into one call of the engine.
enum Input {
    Datagram(SocketAddr, Vec<u8>),
    Command(Command),
    /// Everything that came at this instant is in.
    TurnEnd,
    Deadline,
}

/// A datagram under way.
struct Flying {
    at: Instant,
    /// The remote peer it comes from or goes to.
    remote: SocketAddr,
    bytes: Vec<u8>,
}

/// Send slots in memory, and everything else the engine can reach.
struct Memory {
    slots: Vec<[u8; SEND_SLOT]>,
    /// Destination and length of the slots in use.
    sent: Vec<(SocketAddr, usize)>,
    now: Instant,
    events: Vec<Event>,
}

/// Everything on the stage.
pub(crate) struct Stage {
    shard: Shard,
    memory: Memory,
    control: Control,
    /// The publisher, then the subscribers.
    peers: Vec<Peer>,
    sources: [Source; 2],
    up: VecDeque<Flying>,
    down: VecDeque<Flying>,
    start: Instant,
    now: Instant,
    connected: usize,
    /// Engine calls that count.
    pub(crate) calls: u64,
}

impl Stage {
    /// Sets up the publisher and `subscribers` more peers, all of whom begin to connect.
    pub(crate) fn new(subscribers: usize) -> Self {
        let now = Instant::now();
        let secret = NodeSecret::from_bytes([SEED as u8; 32]);
        let certificate = Arc::new(Certificate::generate().expect("a certificate"));
        let fingerprint = certificate.fingerprint();
        let config =
            ShardConfig { core: CoreId(0), secret: secret.clone(), certificate, seed: SEED };
        let [video, audio] = specs(published_ssrc);
        let mut stage = Self {
            shard: Shard::new(config, now),
            memory: Memory {
                slots: vec![[0; SEND_SLOT]; SLOTS],
                sent: Vec::with_capacity(SLOTS),
                now,
                events: Vec::new(),
            },
            control: Control::default(),
            peers: Vec::new(),
            sources: [
                Source::new(MediaKind::Video, video.ssrc, 0, Shape::FULL_CAMERA, 1_000),
                Source::new(MediaKind::Audio, audio.ssrc, 1, Shape::MICROPHONE, 2_000),
            ],
            up: VecDeque::new(),
            down: VecDeque::new(),
            start: now,
            now,
            connected: 0,
            calls: 0,
        };
        for number in 0..=subscribers {
            stage.join(number, &secret, fingerprint);
        }
        stage
    }

    fn join(&mut self, number: usize, secret: &NodeSecret, fingerprint: [u8; 32]) {
        let id = PeerId::new(number as u32, 1);
        let credentials = issue(secret, id, 0);
        let mut config = PeerConfig::new(address(number), server());
        config.ufrag = credentials.ufrag.as_str().to_owned();
        config.password = credentials.pwd.as_str().to_owned();
        config.fingerprint = fingerprint;
        config.watch_rtcp = false;
        config.transport_cc = true;
        if number > 0 {
            config.types = SUBSCRIBER_TYPES;
        }
        let mut peer = Peer::new(&config, self.now);
        let place = self.control.add_peer(id, peer.fingerprint(), true);
        match number.checked_sub(1) {
            None => specs(published_ssrc).into_iter().for_each(|spec| {
                peer.publish(spec);
                self.control.add_track(place, spec, true);
            }),
            Some(number) => {
                let specs = specs(|track| subscribed_ssrc(number, track));
                specs.into_iter().enumerate().for_each(|(track, mut spec)| {
                    // As browsers do; only then is the way to a subscriber measured.
                    spec.rtx = (spec.kind == MediaKind::Video).then_some(spec.ssrc ^ 0x4000_0000);
                    peer.subscribe(spec);
                    self.control.add_subscription(place, track, spec);
                });
            }
        }
        self.peers.push(peer);
        self.take_from(number);
    }

    /// Lets time pass until the engine has everybody's keys.
    pub(crate) fn connect(&mut self) -> Result<(), String> {
        let end = self.now + CONNECT_MAX;
        while self.connected < self.peers.len() {
            if self.now > end {
                return Err(format!("{} of {} connected", self.connected, self.peers.len()));
            }
            self.step(false);
        }
        Ok(())
    }

    /// Starts the sources.
    pub(crate) fn play(&mut self) {
        self.sources[0].next_at = Some(self.now);
        self.sources[1].next_at = Some(self.now + Duration::from_millis(7));
    }

    /// Lets `time` pass, its engine calls counted or not.
    pub(crate) fn run_for(&mut self, time: Duration, counted: bool) {
        let end = self.now + time;
        while self.next() <= end {
            self.step(counted);
        }
        self.now = end;
    }

    /// Media packets the engine sent to subscribers so far.
    pub(crate) fn forwarded(&self) -> u64 {
        self.shard.counters().media_out
    }

    /// Packets that had to wait for their pace so far.
    pub(crate) fn paced(&self) -> u64 {
        self.shard.counters().paced
    }

    /// Mean estimate towards the subscribers in bit/s.
    pub(crate) fn estimate(&self) -> u64 {
        let known =
            (1..self.peers.len()).filter_map(|n| self.shard.estimate(PeerId::new(n as u32, 1)));
        known.sum::<u64>() / (self.peers.len() as u64 - 1)
    }

    /// Media packets a peer's application got so far: (right, others).
    pub(crate) fn delivered(&self) -> (u64, u64) {
        let packets = self.peers.iter().flat_map(|peer| &peer.received);
        packets.fold((0, 0), |(right, wrong), packet| {
            let is_right = packet.stamp.is_some_and(|stamp| stamp.stream == packet.ssrc & 1);
            (right + u64::from(is_right), wrong + u64::from(!is_right))
        })
    }

    fn next(&self) -> Instant {
        let flying = [self.up.front(), self.down.front()].into_iter().flatten().map(|one| one.at);
        let peers = self.peers.iter().map(Peer::next_deadline);
        let sources = self.sources.iter().filter_map(|source| source.next_at);
        let others = flying.chain(peers).chain(sources).min();
        others.map_or(self.shard.next_deadline(), |at| at.min(self.shard.next_deadline()))
    }

    /// Goes to the next instant at which something happens, and lets all of it happen.
    fn step(&mut self, counted: bool) {
        self.now = self.now.max(self.next());
        let now = self.now;
        while let Some(one) = self.up.pop_front_if(|one| one.at <= now) {
            self.engine(Input::Datagram(one.remote, one.bytes), counted);
        }
        self.engine(Input::TurnEnd, counted);
        if self.shard.next_deadline() <= now {
            self.engine(Input::Deadline, counted);
        }
        while let Some(one) = self.down.pop_front_if(|one| one.at <= now) {
            let number = number(one.remote);
            self.peers[number].on_datagram(server(), &one.bytes, now);
            self.take_from(number);
        }
        for number in 0..self.peers.len() {
            if self.peers[number].next_deadline() <= now {
                self.peers[number].on_deadline(now);
                self.take_from(number);
            }
        }
        self.publish();
    }

    fn publish(&mut self) {
        let (now, since) = (self.now, self.now - self.start);
        let publisher = &mut self.peers[0];
        self.sources[0].key_wanted |= !publisher.key_frames_wanted.is_empty();
        publisher.key_frames_wanted.clear();
        for source in &mut self.sources {
            if source.next_at.is_some_and(|at| at <= now) {
                for packet in source.frame(now, since) {
                    publisher.send(packet, now);
                }
            }
        }
        self.take_from(0);
    }

    /// Puts a remote peer's datagrams on their way.
    fn take_from(&mut self, number: usize) {
        while let Some(datagram) = self.peers[number].poll_datagram() {
            let (at, remote) = (self.now + DELAY, address(number));
            self.up.push_back(Flying { at, remote, bytes: datagram.bytes });
        }
    }

    /// Calls the engine, and takes what it sent and reported.
    fn engine(&mut self, input: Input, counted: bool) {
        self.memory.now = self.now;
        if counted {
            self.measured(input)
        } else {
            self.call(input)
        }
        let at = self.now + DELAY;
        for ((remote, len), slot) in self.memory.sent.drain(..).zip(&self.memory.slots) {
            self.down.push_back(Flying { at, remote, bytes: slot[..len].to_vec() });
        }
        let events = std::mem::take(&mut self.memory.events);
        for event in &events {
            self.connected += usize::from(matches!(event, Event::Connected { .. }));
            self.control.on_event(event);
        }
        if !events.is_empty() {
            for (_, command) in self.control.poll_commands() {
                self.engine(Input::Command(command), counted);
            }
        }
    }

    /// A call that counts. The count is switched by this function's name.
    #[inline(never)]
    fn measured(&mut self, input: Input) {
        self.calls += 1;
        self.call(input);
    }

    #[inline(never)]
    fn call(&mut self, input: Input) {
        match input {
            Input::Datagram(from, mut bytes) => {
                self.shard.on_datagram(from, &mut bytes, self.now, &mut self.memory);
            }
            Input::Command(command) => self.shard.on_command(command, self.now, &mut self.memory),
            Input::TurnEnd => self.shard.forward(&mut self.memory),
            Input::Deadline => self.shard.on_deadline(self.now, &mut self.memory),
        }
    }
}

impl Host for Memory {
    fn reserve(&mut self) -> Option<&mut [u8]> {
        self.slots.get_mut(self.sent.len()).map(|slot| &mut slot[..])
    }

    fn commit(&mut self, to: TransportAddress, len: usize) {
        self.sent.push((to.socket(), len));
    }

    fn departure(&self) -> Instant {
        self.now
    }

    fn hand(&mut self, _: CoreId, _: FrameHeader, _: &[u8]) -> bool {
        false
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    fn is_heard(&self) -> bool {
        true
    }

    fn claim(&mut self, _: PeerId) -> Claim {
        Claim::Mine
    }
}

fn server() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 3478))
}

/// Where remote peer `number` is: its number is its address.
fn address(number: usize) -> SocketAddr {
    let [_, _, high, low] = (number as u32).to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 40_000))
}

fn number(address: SocketAddr) -> usize {
    match address.ip() {
        std::net::IpAddr::V4(ip) => (ip.to_bits() & 0xffff) as usize,
        std::net::IpAddr::V6(_) => 0,
    }
}
