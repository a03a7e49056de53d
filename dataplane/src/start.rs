//! Starts the cores: pinning, sockets, rings, lanes, threads, readiness. All memory that does not
//! depend on peers is taken here, each core's on its own thread.
//!
//! Two phases: every core opens its driver and reports; only when all are ready they get each
//! other's lanes and begin. The first core finds the port and proves that no other process has it,
//! the others join its group.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use common::command::Command;
use common::id::CoreId;
use common::limits;
use crossbeam::channel::{Receiver, Sender, bounded};
use engine::{Shard, ShardConfig};
use io::{Driver, DriverChoice, DriverConfig, DriverKind, Migrant, Waker};
use proto::dtls::Certificate;
use proto::ice::NodeSecret;
use ring::rand::{SecureRandom, SystemRandom};

use crate::clock;
use crate::mailbox::{EventLane, FrameReader, FrameWriter, Outbound, frame_lane};
use crate::plane::{DataPlane, Handle};
use crate::stats::{Board, Schedule};
use crate::steer::ClaimTable;
use crate::worker::{Core, Worker};

/// Send slots of one core. Chosen: one packet to 4,096 subscribers before the queue is flushed;
/// 6.5 MB.
const SEND_SLOTS: usize = 4_096;
/// Receive buffers of one core. Chosen: 10 ms of 400,000 packets a second; 6.5 MB.
const RECEIVE_BUFFERS: usize = 4_096;
/// Kernel's receive and send buffer of one socket in bytes, as far as the system allows.
const SOCKET_BUFFER: usize = 8 << 20;

/// What a data plane is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// One or two addresses, at most one per family, both with the same port. Port 0 lets the
    /// system choose; [`DataPlane::port`] tells which.
    pub binds: Vec<SocketAddr>,
    /// Most TCP connections of one core, beside UDP on the same addresses and port, at most
    /// [`limits::TCP_CONNECTIONS_MAX`]; 0 listens for none.
    pub tcp_connections: usize,
    /// Number of cores (threads), 1 to [`limits::CORES_MAX`].
    pub cores: usize,
    /// Whether and where they are pinned.
    pub pinning: Pinning,
    /// Which driver they use.
    pub driver: DriverChoice,
    /// Key of ICE user names and passwords. Random, and another one each time the node starts:
    /// otherwise credentials of the last run would name peers of this one.
    pub secret: [u8; 32],
    /// Most peers at a time, at most [`limits::PEERS_MAX`].
    pub peers_max: usize,
    /// Send slots per core.
    pub send_slots: usize,
    /// Receive buffers per core.
    pub receive_buffers: usize,
    /// Wanted size of the kernel's buffers per socket and direction, in bytes.
    pub socket_buffer: usize,
}

impl Config {
    /// The defaults: pinned where there are processors enough, driver chosen at start.
    pub fn new(binds: Vec<SocketAddr>, cores: usize, secret: [u8; 32]) -> Self {
        Self {
            binds,
            tcp_connections: limits::TCP_CONNECTIONS_MAX,
            cores,
            pinning: Pinning::Auto,
            driver: DriverChoice::Auto,
            secret,
            peers_max: limits::PEERS_MAX,
            send_slots: SEND_SLOTS,
            receive_buffers: RECEIVE_BUFFERS,
            socket_buffer: SOCKET_BUFFER,
        }
    }
}

/// Where the threads of cores may run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Pinning {
    /// Each on a processor of its own, when there are that many; otherwise not pinned.
    #[default]
    Auto,
    /// Wherever the system puts them.
    Off,
    /// Core n on the n-th of these processor numbers.
    Processors(Vec<usize>),
}

/// Why a data plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration contradicts itself or a limit.
    #[error("{0}")]
    Config(String),
    /// A socket or ring could not be made; most often the port is in use.
    #[error("core {core}: cannot open {binds:?}: {source}")]
    Driver {
        /// Number of the core.
        core: usize,
        /// What it was to be bound to.
        binds: Vec<SocketAddr>,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("core {core}: cannot start its thread: {source}")]
    Thread {
        /// Number of the core.
        core: usize,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The certificate could not be made.
    #[error("cannot make the DTLS certificate: {0}")]
    Certificate(String),
    /// The system gave no random numbers.
    #[error("the system's random source failed")]
    Random,
}

/// What all cores share.
struct Shared {
    claims: Arc<ClaimTable>,
    events: EventLane,
    stop: Arc<AtomicBool>,
    secret: NodeSecret,
    certificate: Arc<Certificate>,
}

/// What a core reports when its driver is open.
struct Ready {
    port: u16,
    kind: DriverKind,
    fallback: Option<String>,
    waker: Waker,
    receive_buffer: usize,
}

/// What a core gets when all are ready.
struct Go {
    outbound: Outbound,
    moves: Receiver<Migrant>,
    inbound: Vec<FrameReader>,
}

/// A core that waits for its lanes.
struct Waiting {
    handle: Handle,
    ready: Ready,
    go: Sender<Go>,
}

pub(crate) fn start(config: Config) -> Result<DataPlane, StartError> {
    check(&config)?;
    let processors = processors(&config)?;
    let certificate =
        Certificate::generate().map_err(|error| StartError::Certificate(format!("{error:?}")))?;
    let (events, receiver, events_lost) = EventLane::new();
    let shared = Shared {
        claims: Arc::new(ClaimTable::new(config.peers_max)),
        events,
        stop: Arc::new(AtomicBool::new(false)),
        secret: NodeSecret::from_bytes(config.secret),
        certificate: Arc::new(certificate),
    };
    let mut binds = config.binds.clone();
    let mut waiting = Vec::with_capacity(config.cores);
    for core in 0..config.cores {
        let processor = processors.get(core).copied();
        let one = match open_core(core, &binds, processor, &config, &shared) {
            Ok(one) => one,
            Err(error) => {
                abandon(waiting);
                return Err(error);
            }
        };
        binds.iter_mut().for_each(|bind| bind.set_port(one.ready.port));
        waiting.push(one);
    }
    let granted = waiting[0].ready.receive_buffer;
    if granted < config.socket_buffer {
        tracing::warn!(
            granted,
            wanted = config.socket_buffer,
            "small receive buffers: bursts may be lost (raise net.core.rmem_max)"
        );
    }
    let plane = DataPlane {
        port: binds[0].port(),
        tcp: config.tcp_connections != 0,
        driver: waiting[0].ready.kind,
        fallback: waiting.iter_mut().find_map(|core| core.ready.fallback.take()),
        cores: connect(waiting),
        claims: shared.claims,
        events: receiver,
        events_lost,
        stop: shared.stop,
        secret: shared.secret,
        fingerprint: shared.certificate.fingerprint(),
    };
    tracing::info!(
        cores = plane.cores(),
        port = plane.port(),
        driver = ?plane.driver(),
        fallback = plane.fallback_reason(),
        pinned = !processors.is_empty(),
        "data plane started"
    );
    Ok(plane)
}

fn check(config: &Config) -> Result<(), StartError> {
    let refuse = |reason: String| Err(StartError::Config(reason));
    if config.cores == 0 || config.cores > limits::CORES_MAX {
        return refuse(format!("{} cores: it must be 1 to {}", config.cores, limits::CORES_MAX));
    }
    match config.binds[..] {
        [_] => {}
        [one, two] if one.is_ipv4() == two.is_ipv4() => {
            return refuse(format!("{one} and {two}: at most one media address per family"));
        }
        [one, two] if one.port() != two.port() => {
            return refuse(format!("{one} and {two}: both must have the same port"));
        }
        [_, _] => {}
        _ => return refuse("one or two media addresses are needed".to_owned()),
    }
    if config.send_slots == 0 || config.receive_buffers == 0 {
        return refuse("a core needs send slots and receive buffers".to_owned());
    }
    Ok(())
}

/// The processor of each core; empty when they are not pinned.
///
/// Read once, before the first pin: a pinned thread and its children see only their own processor.
fn processors(config: &Config) -> Result<Vec<core_affinity::CoreId>, StartError> {
    let available = match config.pinning {
        Pinning::Off => return Ok(Vec::new()),
        _ => core_affinity::get_core_ids().unwrap_or_default(),
    };
    match &config.pinning {
        Pinning::Processors(wanted) if wanted.len() != config.cores => Err(StartError::Config(
            format!("{} processors listed for {} cores", wanted.len(), config.cores),
        )),
        Pinning::Processors(wanted) => {
            let find = |id: &usize| {
                available.iter().find(|processor| processor.id == *id).copied().ok_or_else(|| {
                    StartError::Config(format!("processor {id} is not available to this process"))
                })
            };
            wanted.iter().map(find).collect()
        }
        _ if available.len() >= config.cores => {
            Ok(available.into_iter().take(config.cores).collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// Starts a core's thread and waits until its driver is open.
fn open_core(
    core: usize,
    binds: &[SocketAddr],
    processor: Option<core_affinity::CoreId>,
    config: &Config,
    shared: &Shared,
) -> Result<Waiting, StartError> {
    let mut seed = [0; 8];
    SystemRandom::new().fill(&mut seed).map_err(|_| StartError::Random)?;
    let (commands_in, commands) = bounded(limits::COMMAND_LANE);
    let (ready_in, ready) = bounded(1);
    let (go_in, go) = bounded(1);
    let board = Arc::new(Board::default());
    let seat = Seat {
        processor,
        driver: DriverConfig {
            binds: binds.to_vec(),
            join: core != 0,
            tcp_connections: config.tcp_connections,
            choice: config.driver,
            send_slots: config.send_slots,
            receive_buffers: config.receive_buffers,
            socket_buffer: config.socket_buffer,
        },
        shard: ShardConfig {
            core: CoreId(core as u8),
            secret: shared.secret.clone(),
            certificate: Arc::clone(&shared.certificate),
            seed: u64::from_ne_bytes(seed),
        },
        commands,
        events: shared.events.clone(),
        claims: Arc::clone(&shared.claims),
        board: Arc::clone(&board),
        stop: Arc::clone(&shared.stop),
    };
    let thread = std::thread::Builder::new()
        .name(format!("core-{core}"))
        .spawn(move || seat.run(&ready_in, &go))
        .map_err(|source| StartError::Thread { core, source })?;
    let refused = |source| StartError::Driver { core, binds: binds.to_vec(), source };
    let ready: Ready = match ready.recv() {
        Ok(Ok(ready)) => ready,
        Ok(Err(source)) => return Err(refused(source)),
        Err(_) => return Err(refused(std::io::Error::other("its thread ended"))),
    };
    let handle =
        Handle { commands: commands_in, waker: ready.waker.clone(), board, thread: Some(thread) };
    Ok(Waiting { handle, ready, go: go_in })
}

/// Ends cores that wait for their lanes, and waits until their sockets are closed.
fn abandon(waiting: Vec<Waiting>) {
    for Waiting { handle, go, .. } in waiting {
        // Without a sender the core stops waiting.
        drop(go);
        if let Some(thread) = handle.thread {
            let _ = thread.join();
        }
    }
}

/// Gives the cores their lanes to each other, which starts them.
fn connect(waiting: Vec<Waiting>) -> Vec<Handle> {
    let count = waiting.len();
    let wakers: Vec<Waker> = waiting.iter().map(|core| core.ready.waker.clone()).collect();
    let mut outbound: Vec<Vec<Option<FrameWriter>>> = Vec::with_capacity(count);
    let mut inbound: Vec<Vec<FrameReader>> = (0..count).map(|_| Vec::new()).collect();
    for from in 0..count {
        let mut lanes = Vec::with_capacity(count);
        for (to, readers) in inbound.iter_mut().enumerate() {
            lanes.push((to != from).then(|| {
                let (writer, reader) = frame_lane();
                readers.push(reader);
                writer
            }));
        }
        outbound.push(lanes);
    }
    let (moves_in, moves): (Vec<_>, Vec<_>) =
        (0..count).map(|_| bounded(limits::TCP_MOVES)).unzip();
    let mut handles = Vec::with_capacity(count);
    let lanes = outbound.into_iter().zip(inbound).zip(moves);
    for (core, ((lanes, inbound), moves)) in waiting.into_iter().zip(lanes) {
        let outbound = Outbound::new(lanes, moves_in.clone(), wakers.clone());
        // Fails only when the thread died meanwhile; `stop` then reports its panic.
        let _ = core.go.send(Go { outbound, moves, inbound });
        handles.push(core.handle);
    }
    handles
}

/// What a core's thread takes with it.
struct Seat {
    processor: Option<core_affinity::CoreId>,
    driver: DriverConfig,
    shard: ShardConfig,
    commands: Receiver<Command>,
    events: EventLane,
    claims: Arc<ClaimTable>,
    board: Arc<Board>,
    stop: Arc<AtomicBool>,
}

impl Seat {
    /// The body of a core's thread.
    fn run(self, ready: &Sender<std::io::Result<Ready>>, go: &Receiver<Go>) {
        let core = self.shard.core;
        if let Some(processor) = self.processor
            && !core_affinity::set_for_current(processor)
        {
            tracing::warn!(core = core.0, processor = processor.id, "could not pin the core");
        }
        let driver = match Driver::open(&self.driver) {
            Ok(driver) => driver,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let report = Ready {
            port: driver.local_addresses().first().map_or(0, SocketAddr::port),
            kind: driver.kind(),
            fallback: driver.fallback_reason().map(str::to_owned),
            waker: driver.waker(),
            receive_buffer: driver.receive_buffer(),
        };
        let now = clock::now();
        let shard = Shard::new(self.shard, now);
        let _ = ready.send(Ok(report));
        // No lanes: another core could not start, or the data plane is gone.
        let Ok(Go { outbound, moves, inbound }) = go.recv() else { return };
        let worker = Worker {
            driver,
            core: Core { id: core, shard, outbound, events: self.events, claims: self.claims },
            commands: self.commands,
            inbound,
            moves,
            sweep_at: now,
            board: self.board,
            schedule: Schedule::new(now),
            stop: self.stop,
        };
        if let Err(error) = worker.run() {
            tracing::error!(core = core.0, %error, "the driver failed: this core serves no more");
        }
    }
}
