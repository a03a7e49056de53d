//! The simulation: several shards and remote peers in one thread under a virtual clock, with lossy
//! links between them. One seed is one run. Tests build a [`Sim`], let time pass and read reports;
//! [`Sim::check`] asks every oracle. Must never sleep or read a clock (beside one origin instant).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::command::{Command, LayerChoice};
use common::counters::Counters;
use common::event::{CloseReason, Event};
use common::id::{CoreId, PeerId};
use common::media::MediaKind;
use engine::host::FrameHeader;
use engine::shard::{Shard, ShardConfig};
use proto::dtls::Certificate;
use proto::ice::{NodeSecret, issue};

use crate::client::{Client, Watcher};
use crate::control::Control;
use crate::decoder::Viewing;
use crate::link::{Link, LinkConfig};
use crate::oracle::{self, Oracle, StreamReport};
use crate::peer::{Peer, StreamSpec};
use crate::probe;
use crate::random::Random;
pub use crate::scenario::{Join, MIDS, SimConfig};
use crate::source::{Rung, Shape, Source};
use crate::world::{CoreHost, What, World, ip_bits};

struct Watch {
    client: usize,
    track: usize,
    ssrc: u32,
    /// Whether the stream's frames are told apart by picture numbers: [`Viewing`] judges it.
    pictures: bool,
}

/// A running simulation.
pub struct Sim {
    config: SimConfig,
    shards: Vec<Shard>,
    world: World,
    clients: Vec<Client>,
    owners: HashMap<SocketAddr, usize>,
    pub(crate) control: Control,
    watches: Vec<Watch>,
    /// Of each track, whether its packets carry picture numbers.
    pictures: Vec<bool>,
    random: Random,
    secret: NodeSecret,
    server: SocketAddr,
    fingerprint: [u8; 32],
    fed: Vec<u64>,
    stuck: u32,
    /// Everything the cores reported, with the time since the start.
    pub events: Vec<(Duration, Event)>,
    /// When set, every datagram a remote peer sends is also kept here.
    pub recorded: Option<Vec<(SocketAddr, Vec<u8>)>>,
    /// Engine allocations in calls that took or sent media, or took a datagram of another kind
    /// (binary `alloc` only).
    pub media_allocations: u64,
    /// How many such calls there were.
    pub media_walks: u64,
}

impl Sim {
    /// Starts `config.cores` empty shards.
    pub fn new(config: SimConfig) -> Self {
        let start = Instant::now();
        let mut random = Random::new(config.seed);
        let certificate = Arc::new(Certificate::generate().expect("certificate"));
        let secret = NodeSecret::from_bytes(std::array::from_fn(|_| random.next_u64() as u8));
        let shard = |core: usize, seed| {
            let (secret, certificate) = (secret.clone(), certificate.clone());
            Shard::new(ShardConfig { core: CoreId(core as u8), secret, certificate, seed }, start)
        };
        Self {
            shards: (0..config.cores).map(|core| shard(core, random.next_u64())).collect(),
            world: World::new(config.cores, config.lane_depth, start),
            clients: Vec::new(),
            owners: HashMap::new(),
            control: Control::default(),
            watches: Vec::new(),
            pictures: Vec::new(),
            server: SocketAddr::from(([192, 0, 2, 1], 3478)),
            fingerprint: certificate.fingerprint(),
            fed: vec![0; config.cores],
            stuck: 0,
            events: Vec::new(),
            recorded: None,
            media_allocations: 0,
            media_walks: 0,
            config,
            random,
            secret,
        }
    }

    /// Adds a remote peer, which starts its first check at once. Returns its number.
    pub fn join(&mut self, join: Join) -> usize {
        let number = self.clients.len();
        let id = PeerId::new(number as u32, 1);
        let credentials = issue(&self.secret, id, 0);
        let port = 10_000 + self.random.below(20_000) as u16;
        let inside = SocketAddr::from(([10, 0, 0, 1 + number as u8], port));
        let mut config = join.peer_config(inside, self.server);
        config.ufrag = credentials.ufrag.as_str().to_owned();
        config.password = credentials.pwd.as_str().to_owned();
        config.fingerprint = self.fingerprint;
        let mut peer = Peer::new(&config, self.world.now);
        let mut fingerprint = peer.fingerprint();
        if join.impostor {
            fingerprint[0] ^= 1;
        }
        self.world.open_claim(id);
        let place = self.control.add_peer(id, fingerprint, join.transport_cc);
        if join.serves_dtls {
            self.control.make_dtls_client(number);
        }
        if let Some(facts) = join.sctp {
            peer.start_sctp(true, self.world.now);
            self.control.negotiate_sctp(place, facts);
        }
        self.owners.insert(inside, number);
        self.clients.push(Client {
            peer,
            id,
            outside: inside,
            up: Link::new(join.up, self.random.fork()),
            down: Link::new(join.down, self.random.fork()),
            sources: Vec::new(),
            watchers: Vec::new(),
            seen: 0,
            mids: 0,
            video_lost: 0,
        });
        self.pump(number);
        number
    }

    /// Lets a peer publish a stream as soon as it is connected. Returns the track's number.
    pub fn publish(&mut self, client: usize, kind: MediaKind, shape: Shape) -> usize {
        let mid = self.clients[client].next_mid();
        let track = self.control.track_count();
        let ssrc = 0x1000_0000 + track as u32;
        let rtx = (kind == MediaKind::Video).then_some(0x2000_0000 + track as u32);
        let spec = StreamSpec { mid, kind, ssrc, rtx };
        self.clients[client].peer.publish(spec);
        let source = self.source_of(spec, track, shape);
        self.clients[client].sources.push(source);
        let track = self.control.add_track(client, spec, self.config.signal_ssrc);
        self.push_commands();
        track
    }

    /// Lets a peer publish a video track with an encoding for each rung, the server learning their
    /// SSRCs from MIDs and RIDs. Returns the track's number.
    pub fn publish_simulcast(&mut self, client: usize, rungs: &[Rung]) -> usize {
        let (mid, kind) = (self.clients[client].next_mid(), MediaKind::Video);
        let track = self.control.track_count();
        self.clients[client].peer.declare(mid, kind);
        for (number, rung) in rungs.iter().enumerate() {
            let ssrc = 0x3000_0000 + (track as u32) * 0x100 + number as u32;
            let spec = StreamSpec { mid, kind, ssrc, rtx: Some(ssrc + 0x1000_0000) };
            self.clients[client].peer.publish_encoding(spec, Some(rung.rid));
            let mut source = self.source_of(spec, track, rung.shape);
            (source.rid, source.encoding) = (Some(rung.rid), number as u8);
            self.clients[client].sources.push(source);
        }
        let spec = StreamSpec { mid, kind, ssrc: 0, rtx: Some(0) };
        let rids: Vec<&str> = rungs.iter().map(|rung| rung.rid).collect();
        self.control.add_simulcast(client, spec, &rids);
        self.push_commands();
        track
    }

    fn source_of(&mut self, spec: StreamSpec, track: usize, shape: Shape) -> Source {
        let sequence = self.random.below(30_000) as u16;
        let mut source = Source::new(spec.kind, spec.ssrc, track as u32, shape, sequence);
        source.mid = spec.mid;
        self.pictures.resize(track + 1, false);
        self.pictures[track] |= shape.temporal.is_some();
        source
    }

    /// Subscribes a peer to a track, with or without RTX. Returns the subscription's number.
    pub fn subscribe(&mut self, client: usize, track: usize, kind: MediaKind, rtx: bool) -> usize {
        let mid = self.clients[client].next_mid();
        let number = self.watches.len();
        let ssrc = 0x5000_0000 + number as u32;
        let rtx = rtx.then_some(0x6000_0000 + number as u32);
        let spec = StreamSpec { mid, kind, ssrc, rtx };
        self.clients[client].peer.subscribe(spec);
        let pictures = self.pictures[track];
        if pictures {
            self.clients[client].watchers.push(Watcher::new(ssrc));
        }
        self.watches.push(Watch { client, track, ssrc, pictures });
        self.control.add_subscription(client, track, spec);
        self.push_commands();
        number
    }

    /// Says which encoding a subscription shows.
    pub fn choose(&mut self, subscription: usize, layers: LayerChoice) {
        self.control.choose(subscription, layers);
        self.push_commands();
    }

    /// Lets virtual time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.world.now + time;
        self.run(end, |_| false);
    }

    /// Lets time pass until `done`, at most `limit`. Returns whether it came true.
    pub fn run_until(&mut self, limit: Duration, done: impl Fn(&Sim) -> bool) -> bool {
        let end = self.world.now + limit;
        self.run(end, done)
    }

    /// Lets time pass until every remote peer is connected.
    pub fn run_until_connected(&mut self, limit: Duration) -> bool {
        self.run_until(limit, |sim| sim.clients.iter().all(|client| client.peer.connected))
    }

    /// Moves a peer behind another source address, on another core if there are several. The old
    /// mapping is gone. Returns the new address.
    pub fn rebind(&mut self, client: usize) -> SocketAddr {
        let old = self.clients[client].outside;
        let mut new = old;
        for _ in 0..1000 {
            new.set_port(30_000 + self.random.below(30_000) as u16);
            let moved = self.config.cores == 1 || self.core_of(new) != self.core_of(old);
            if moved && !self.owners.contains_key(&new) {
                break;
            }
        }
        self.owners.remove(&old);
        self.owners.insert(new, client);
        self.clients[client].outside = new;
        new
    }

    /// Replaces both links of a peer.
    pub fn relink(&mut self, client: usize, up: LinkConfig, down: LinkConfig) {
        self.clients[client].up.reconfigure(up);
        self.clients[client].down.reconfigure(down);
    }

    /// An attacker's datagram arrives now.
    pub fn inject(&mut self, from: SocketAddr, bytes: Vec<u8>) {
        let now = self.world.now;
        self.world.schedule(now, What::ToServer { from, owner: None, bytes });
        self.run(now, |_| false);
    }

    /// Lets the control plane fall behind after so many events more; 0: it has.
    pub fn set_event_room(&mut self, events: usize) {
        self.world.event_room = events;
    }

    /// Sends a command to a core, behind those under way.
    pub fn command(&mut self, core: CoreId, command: Command) {
        let at = self.world.now + self.config.control_delay;
        self.world.schedule(at, What::Command { core, command: Box::new(command) });
    }

    /// The remote peer with this number.
    pub fn peer(&self, client: usize) -> &Peer {
        &self.clients[client].peer
    }

    /// Acts as a remote peer: what it does is sent at once.
    pub fn act<T>(&mut self, client: usize, act: impl FnOnce(&mut Peer, Instant) -> T) -> T {
        let now = self.world.now;
        let result = act(&mut self.clients[client].peer, now);
        self.pump(client);
        result
    }

    /// A publisher's source (in order of publication by that peer).
    pub fn source(&mut self, client: usize, source: usize) -> &mut Source {
        &mut self.clients[client].sources[source]
    }

    /// Lets a stopped source go on now, with a key frame as encoders do.
    pub fn resume(&mut self, client: usize, source: usize) {
        let now = self.world.now;
        let source = &mut self.clients[client].sources[source];
        (source.next_at, source.key_wanted) = (Some(now), true);
    }

    /// Stops a source: it sends nothing until it is resumed.
    pub fn stop(&mut self, client: usize, source: usize) {
        self.clients[client].sources[source].next_at = None;
    }

    /// A peer's id.
    pub fn peer_id(&self, client: usize) -> PeerId {
        self.clients[client].id
    }

    /// A peer's address as the server sees it.
    pub fn outside(&self, client: usize) -> SocketAddr {
        self.clients[client].outside
    }

    /// Datagrams a peer's links lost: (up, down).
    pub fn lost(&self, client: usize) -> (u64, u64) {
        (self.clients[client].up.lost, self.clients[client].down.lost)
    }

    /// Video packets a publisher's link lost, resent ones too.
    pub fn video_lost(&self, client: usize) -> u64 {
        self.clients[client].video_lost
    }

    /// A peer's links: (up, down).
    pub fn links(&self, client: usize) -> (&Link, &Link) {
        (&self.clients[client].up, &self.clients[client].down)
    }

    /// The engine's estimate of what a peer's path carries, in bit/s, if it has one.
    pub fn estimate(&self, client: usize) -> Option<u64> {
        let id = self.clients[client].id;
        self.shards.iter().find_map(|shard| shard.estimate(id))
    }

    /// The control role, for ids.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The core that claimed a peer.
    pub fn home(&self, client: usize) -> Option<CoreId> {
        self.world.claimed_by(self.clients[client].id)
    }

    /// The core on which datagrams from an address arrive.
    pub fn core_of(&self, from: SocketAddr) -> usize {
        let mixed =
            Random::new(self.config.seed ^ u64::from(from.port()) << 32 ^ ip_bits(from)).next_u64();
        (mixed % self.config.cores as u64) as usize
    }

    /// One core's counters.
    pub fn counters(&self, core: usize) -> &Counters {
        self.shards[core].counters()
    }

    /// One figure summed over all cores.
    pub fn sum(&self, figure: impl Fn(&Counters) -> u64) -> u64 {
        self.shards.iter().map(|shard| figure(shard.counters())).sum()
    }

    /// Runs of datagrams to one destination that left the engine.
    pub fn runs(&self) -> u64 {
        self.world.runs
    }

    /// What left the engine.
    pub fn oracle(&self) -> &Oracle {
        &self.world.oracle
    }

    /// Time since the start.
    pub fn now(&self) -> Duration {
        self.world.since_start()
    }

    /// Whether the engine reported a peer as connected (which can be later than the peer's own view).
    pub fn served(&self, client: usize) -> bool {
        let id = self.clients[client].id;
        let connected = |e: &Event| matches!(e, Event::Connected { peer, .. } if *peer == id);
        self.events.iter().any(|(_, event)| connected(event))
    }

    /// Why a peer was closed, if it was.
    pub fn closed(&self, client: usize) -> Option<CloseReason> {
        self.events.iter().find_map(|(_, event)| match event {
            Event::Closed { peer, reason } if *peer == self.clients[client].id => Some(*reason),
            _ => None,
        })
    }

    /// What a subscription looked like at the far end so far.
    pub fn report(&self, subscription: usize) -> StreamReport {
        let watch = &self.watches[subscription];
        let received = &self.clients[watch.client].peer.received;
        let packets = received.iter().filter(|packet| packet.ssrc == watch.ssrc);
        StreamReport::judge(packets, watch.track as u32)
    }

    /// How a subscription's pictures looked at the far end so far.
    pub fn viewing(&self, subscription: usize) -> Viewing {
        let watch = &self.watches[subscription];
        let received = &self.clients[watch.client].peer.received;
        let packets = received.iter().filter(|packet| packet.ssrc == watch.ssrc);
        Viewing::judge(packets, watch.track as u32, self.world.now)
    }

    /// The instant it is.
    pub fn instant(&self) -> Instant {
        self.world.now
    }

    /// Asks every oracle; panics with all findings.
    pub fn check(&self) {
        let mut findings = self.world.oracle.violations.clone();
        findings.truncate(10);
        for (core, shard) in self.shards.iter().enumerate() {
            let (came, went) = oracle::accounted(shard.counters());
            if came != went || came != self.fed[core] {
                let fed = self.fed[core];
                let counters = shard.counters();
                findings
                    .push(format!("core {core}: fed {fed}, in {came}, out {went}: {counters:?}"));
            }
        }
        for (number, watch) in self.watches.iter().enumerate() {
            if watch.pictures {
                let viewing = self.viewing(number);
                let wrong = viewing.violations.iter().take(5);
                findings.extend(wrong.map(|wrong| format!("subscription {number}: {wrong}")));
                continue;
            }
            let report = self.report(number);
            let wrong = report.broken + report.foreign + report.repeated + report.torn;
            if wrong > 0 {
                findings.push(format!("subscription {number}: {report:?}"));
            }
        }
        for (number, client) in self.clients.iter().enumerate() {
            // A peer the engine gave up may find that its handshake failed.
            let failure = client.peer.failure.as_ref().filter(|_| self.closed(number).is_none());
            if let Some(failure) = failure {
                findings.push(format!("peer {number}: its stack failed: {failure}"));
            }
        }
        assert!(findings.is_empty(), "seed {}: {findings:#?}", self.config.seed);
    }

    fn run(&mut self, end: Instant, done: impl Fn(&Sim) -> bool) -> bool {
        loop {
            if done(self) {
                return true;
            }
            let next = self.next_instant();
            if next > end {
                self.world.now = end;
                return false;
            }
            self.stuck = if next > self.world.now { 0 } else { self.stuck + 1 };
            assert!(self.stuck < 1_000_000, "time stands still at {:?}", self.now());
            self.world.now = self.world.now.max(next);
            self.step();
        }
    }

    fn next_instant(&self) -> Instant {
        let shards = self.shards.iter().map(Shard::next_deadline);
        let clients = self.clients.iter().map(Client::next_deadline);
        let mut next = shards.chain(clients).min().expect("at least one shard");
        if let Some(at) = self.world.next_at() {
            next = next.min(at);
        }
        next
    }

    fn step(&mut self) {
        let now = self.world.now;
        while let Some(what) = self.world.pop_due() {
            self.happen(what);
        }
        for core in 0..self.shards.len() {
            self.call(core, |shard, _, host| shard.forward(host));
        }
        for number in 0..self.clients.len() {
            if self.clients[number].next_deadline() <= now {
                self.clients[number].on_deadline(now, self.world.since_start());
                self.pump(number);
            }
        }
        for core in 0..self.shards.len() {
            if self.shards[core].next_deadline() <= now {
                self.call(core, |shard, now, host| shard.on_deadline(now, host));
            }
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::ToServer { from, owner, mut bytes } => {
                if let Some(owner) = owner {
                    let now = self.world.now;
                    self.world.oracle.on_delivered(from, owner, &bytes, now);
                }
                let core = self.core_of(from);
                self.fed[core] += 1;
                self.call(core, |shard, now, host| shard.on_datagram(from, &mut bytes, now, host));
            }
            What::ToPeer { to, bytes } => {
                if let Some(&number) = self.owners.get(&to) {
                    let now = self.world.now;
                    self.clients[number].peer.on_datagram(self.server, &bytes, now);
                    self.pump(number);
                }
            }
            What::Command { core, command } => {
                let core = usize::from(core.0);
                self.call(core, |shard, now, host| shard.on_command(*command, now, host));
            }
            What::Lanes { core } => {
                while let Some((header, mut bytes)) = self.world.take_frame(core) {
                    let core = usize::from(core.0);
                    self.fed[core] += u64::from(matches!(header, FrameHeader::Datagram { .. }));
                    self.call(core, |shard, now, host| {
                        shard.on_frame(header, &mut bytes, now, host)
                    });
                }
            }
        }
    }

    fn call(&mut self, core: usize, f: impl FnOnce(&mut Shard, Instant, &mut CoreHost<'_>)) {
        let shard = &mut self.shards[core];
        let walked = |shard: &Shard| {
            let counters = shard.counters();
            counters.media_in + counters.frames_in + counters.media_out + counters.control_in
        };
        let (before, allocated) = (walked(shard), probe::allocations());
        self.world.slots = self.config.slots;
        let now = self.world.now;
        let mut host = CoreHost { core: CoreId(core as u8), world: &mut self.world };
        probe::set_in_engine(true);
        f(shard, now, &mut host);
        probe::set_in_engine(false);
        if walked(shard) > before {
            self.media_walks += 1;
            self.media_allocations += probe::allocations() - allocated;
        }
        self.flush();
    }

    /// Carries out what a shard left behind: datagrams and events.
    fn flush(&mut self) {
        let (now, since) = (self.world.now, self.world.since_start());
        while let Some((to, bytes)) = self.world.sends.pop_front() {
            self.world.oracle.on_sent(to, &bytes, now, since);
            let Some(&number) = self.owners.get(&to) else { continue };
            let arrivals = self.clients[number].down.send(bytes.len(), now);
            for at in arrivals.into_iter().flatten() {
                self.world.schedule(at, What::ToPeer { to, bytes: bytes.clone() });
            }
        }
        if self.world.events.is_empty() {
            return;
        }
        for event in std::mem::take(&mut self.world.events) {
            if let Event::Closed { peer, .. } = event {
                self.world.release_claim(peer);
            }
            self.control.on_event(&event);
            self.events.push((since, event));
        }
        self.push_commands();
    }

    pub(crate) fn push_commands(&mut self) {
        for (core, command) in self.control.poll_commands() {
            self.command(core, command);
        }
    }

    /// Puts a remote peer's datagrams on its link.
    fn pump(&mut self, number: usize) {
        let now = self.world.now;
        let client = &mut self.clients[number];
        client.watch(now);
        while let Some(datagram) = client.peer.poll_datagram() {
            if datagram.to != self.server {
                continue;
            }
            let (from, bytes) = (client.outside, datagram.bytes);
            if let Some(recorded) = &mut self.recorded {
                recorded.push((from, bytes.clone()));
            }
            for at in client.send(&bytes, now).into_iter().flatten() {
                let bytes = bytes.clone();
                self.world.schedule(at, What::ToServer { from, owner: Some(number), bytes });
            }
        }
        client.start_sources(now);
        client.take_key_frame_wishes();
    }
}
