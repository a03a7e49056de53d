//! The handle the control plane holds: peers, commands, events, counters, stop. Every call is for
//! threads of the control plane; none touches a core's state other than through its lanes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use common::command::Command;
use common::counters::Counters;
use common::event::Event;
use common::id::{CoreId, PeerId};
use crossbeam::channel::{Receiver, Sender, TrySendError};
use io::{DriverKind, Waker};
use proto::ice::NodeSecret;

use crate::start::{Config, StartError, start};
use crate::stats::Board;
use crate::steer::ClaimTable;

/// One running core, seen from outside.
pub(crate) struct Handle {
    pub(crate) commands: Sender<Command>,
    pub(crate) waker: Waker,
    pub(crate) board: Arc<Board>,
    /// None once it was joined.
    pub(crate) thread: Option<JoinHandle<()>>,
}

/// The running data plane. Dropping it stops it.
pub struct DataPlane {
    pub(crate) cores: Vec<Handle>,
    pub(crate) claims: Arc<ClaimTable>,
    pub(crate) events: Receiver<Event>,
    pub(crate) events_lost: Arc<AtomicU64>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) secret: NodeSecret,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) port: u16,
    pub(crate) tcp: bool,
    pub(crate) driver: DriverKind,
    pub(crate) fallback: Option<String>,
}

/// A new peer: what its session's SDP needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerTicket {
    /// Names the peer in commands and events.
    pub peer: PeerId,
    /// ICE user name fragment of our side.
    pub ufrag: String,
    /// ICE password of our side. A secret: never logged.
    pub pwd: String,
}

/// How full the lanes are, for metrics.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LaneDepths {
    /// Commands waiting, by core (bound: [`common::limits::COMMAND_LANE`]).
    pub commands: Vec<usize>,
    /// Frames of other cores waiting when the core last published, by core.
    pub frames: Vec<usize>,
    /// Events waiting (bound: [`common::limits::EVENT_LANE`]).
    pub events: usize,
    /// Events lost because their lane was full; anything but 0 is a broken program.
    pub events_lost: u64,
}

impl DataPlane {
    /// Starts all cores; they serve when it returns. Makes the node's certificate.
    ///
    /// Errors: see [`StartError`]; nothing is left running.
    pub fn start(config: Config) -> Result<DataPlane, StartError> {
        start(config)
    }

    /// SHA-256 of the node's DTLS certificate (RFC 8122), the same for all its peers.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// The port all sockets are bound to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether TCP connections are accepted there.
    pub fn tcp(&self) -> bool {
        self.tcp
    }

    /// Number of cores.
    pub fn cores(&self) -> usize {
        self.cores.len()
    }

    /// Which driver the cores use.
    pub fn driver(&self) -> DriverKind {
        self.driver
    }

    /// Why io_uring is not used although it was allowed; None when it is, or was not wanted.
    pub fn fallback_reason(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// Opens a peer: from now on its first authenticated check claims it for the core it lands on.
    /// None when [`common::limits::PEERS_MAX`] peers are open.
    pub fn open_peer(&self) -> Option<PeerTicket> {
        let peer = self.claims.open()?;
        let (ufrag, pwd) = self.restart_ice(peer, 0);
        Some(PeerTicket { peer, ufrag, pwd })
    }

    /// The credentials (ufrag, pwd) of a peer's `restart`-th ICE restart (RFC 8445 section 9); 0 are
    /// those of its ticket. Computed from the node's secret: no core is asked or told.
    pub fn restart_ice(&self, peer: PeerId, restart: u8) -> (String, String) {
        let credentials = proto::ice::issue(&self.secret, peer, restart);
        (credentials.ufrag.as_str().to_owned(), credentials.pwd.as_str().to_owned())
    }

    /// Ends a peer's claim: later checks of it resolve to nothing, its slot can be used again in the
    /// next generation. What its core holds of it ends by [`Command::ClosePeer`], not by this.
    pub fn release_peer(&self, peer: PeerId) {
        self.claims.release(peer);
    }

    /// Peers that are open.
    pub fn open_peers(&self) -> usize {
        self.claims.used()
    }

    /// Sends a command to a core and wakes it.
    ///
    /// Blocks while the core's lane holds [`common::limits::COMMAND_LANE`] commands; a core drains
    /// 256 per turn, so that lasts milliseconds. A command to a core that does not exist (any
    /// more) is dropped.
    pub fn send(&self, core: CoreId, command: Command) {
        let Some(core) = self.cores.get(usize::from(core.0)) else { return };
        if let Err(TrySendError::Full(command)) = core.commands.try_send(command) {
            core.waker.wake();
            // Fails only when the core is gone, and the command with it.
            let _ = core.commands.send(command);
        }
        core.waker.wake();
    }

    /// The lane of events; clones share it, each event is received once.
    pub fn events(&self) -> Receiver<Event> {
        self.events.clone()
    }

    /// Each core's counters, at most about 100 ms old.
    pub fn counters(&self) -> Vec<Counters> {
        self.cores.iter().map(|core| core.board.read().counters).collect()
    }

    /// How full the lanes are.
    pub fn lane_depths(&self) -> LaneDepths {
        LaneDepths {
            commands: self.cores.iter().map(|core| core.commands.len()).collect(),
            frames: self.cores.iter().map(|core| core.board.read().frames_waiting).collect(),
            events: self.events.len(),
            events_lost: self.events_lost.load(Ordering::Relaxed),
        }
    }

    /// Stops: every core applies the commands sent so far, sends what they produced, and ends. When
    /// it returns all threads are joined and all sockets closed.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        self.stop.store(true, Ordering::Release);
        for core in &self.cores {
            core.waker.wake();
        }
        for (index, core) in self.cores.iter_mut().enumerate() {
            let Some(thread) = core.thread.take() else { continue };
            if thread.join().is_err() {
                tracing::error!(core = index, "the thread of a core ended by a panic");
            }
        }
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.halt();
    }
}
