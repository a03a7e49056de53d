//! What this node knows: apps, sessions, tracks, and who waits for them.
//!
//! Handlers in `api/` read and change it; `events.rs` applies what the cores report. Locks, in the
//! order they may be taken: a session's work (async, one request at a time), then the door to the
//! cores, then a directory, then a session's facts, then an app's events. None is held across an
//! await but the first. What begins or ends a session or track is told while the directory of tracks
//! is held, so that events come in the order of what they tell.

mod sessions;
mod tracks;
mod channels;
mod streams;
mod events;
mod place;
mod figures;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use common::command::PublishFacts;
use common::id::{PeerId, TrackId};
use dataplane::{DataPlane, PeerTicket};
use ring::rand::{SecureRandom, SystemRandom};

use crate::auth::{AppIndex, Apps};
use crate::error::ApiError;
use crate::events::{Events, Kind, Reason};
use crate::meter::Meter;
use crate::push::{Outbox, Push};
use crate::sdp::LocalTransport;
use crate::store::Store;
use crate::store::usage::Amount;

pub use channels::{Association, Channel, ChannelEnd, ChannelSubscription, Channels};
pub use events::EventThread;
pub use figures::{Figures, SAMPLES_MAX, Sample};
pub use place::announced_addresses;
use sessions::Ended;
pub use sessions::{Facts, Link, LookUp, Owner, Session, Work};
pub use streams::{ABSENCE_MAX, Streams};
pub use tracks::{Details, Publication, Sound, Subscription, TrackState};

/// Contract 1.10: how long a session without connectivity stays usable.
pub const UNCONNECTED_MAX: Duration = Duration::from_secs(30);
/// Contract 1.10: how long a request waits for the transport.
pub const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long a pull waits for a publication. Chosen: covers a publisher's handshake; with
/// [`CONNECT_WAIT`] it stays below [`REQUEST_WAIT_MAX`].
pub const PUBLICATION_WAIT: Duration = Duration::from_secs(5);
/// Longest wait of one request in sum: clients give up after 10 s.
pub const REQUEST_WAIT_MAX: Duration = Duration::from_secs(9);
/// How long our offer waits for its answer before it is rolled back.
pub const OFFER_MAX: Duration = Duration::from_secs(30);
/// Most sessions of a node, connected or not. Chosen: twice the peers, so that sessions waiting
/// for their first use cannot keep a full node from being used.
const SESSIONS_MAX: usize = 2 * common::limits::PEERS_MAX;

/// Takes a lock whose holder cannot leave it half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state of this node.
pub struct Node {
    /// Apps and their secrets.
    pub apps: Apps,
    /// Streams of WHIP and WHEP.
    pub streams: Streams,
    /// What outlives the process.
    pub store: Store,
    /// What sessions use.
    pub meter: Arc<Meter>,
    /// What happens, for who listens.
    pub events: Events,
    plane: DataPlane,
    /// Addresses told to clients, most preferred first.
    candidates: Vec<SocketAddr>,
    push: Mutex<Push>,
    sessions: RwLock<HashMap<(AppIndex, String), Arc<Session>>>,
    peers: Mutex<HashMap<PeerId, Weak<Session>>>,
    /// Sessions by peers that they gave up, until the peer's core has reported the last of it.
    closing: Mutex<HashMap<PeerId, Arc<Session>>>,
    tracks: Mutex<HashMap<TrackId, Published>>,
    random: SystemRandom,
}

/// A publication and the session it belongs to.
type Published = (Weak<Session>, Arc<Publication>);

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("sessions", &self.session_count()).finish_non_exhaustive()
    }
}

impl Node {
    /// A node without sessions over a running data plane.
    pub fn new(
        apps: Apps,
        store: Store,
        plane: DataPlane,
        candidates: Vec<SocketAddr>,
        events: Events,
    ) -> Self {
        Self {
            apps,
            streams: Streams::default(),
            store,
            meter: Arc::default(),
            events,
            plane,
            candidates,
            push: Mutex::default(),
            sessions: RwLock::default(),
            peers: Mutex::default(),
            closing: Mutex::default(),
            tracks: Mutex::default(),
            random: SystemRandom::new(),
        }
    }

    /// The data plane, for counters and its facts.
    pub fn plane(&self) -> &DataPlane {
        &self.plane
    }

    /// Number of sessions that did not end.
    pub fn session_count(&self) -> usize {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Number of published tracks on which somebody speaks now.
    pub fn active_speakers(&self) -> usize {
        let speaks =
            |(_, publication): &&Published| publication.sound().is_some_and(|sound| sound.speaking);
        lock(&self.tracks).values().filter(speaks).count()
    }

    /// Changes wishes and sends the commands that follow, in one step: two changes can never send
    /// in another order than they were made. Blocks while a core's lane is full.
    pub fn push<R>(&self, change: impl FnOnce(&mut Push, &mut Outbox) -> R) -> R {
        let mut out = Outbox::new();
        let mut push = lock(&self.push);
        let result = change(&mut push, &mut out);
        for (core, command) in out {
            self.plane.send(core, command);
        }
        result
    }

    /// Creates a session.
    ///
    /// # Errors
    /// [`ApiError::Full`]; [`ApiError::NoApp`] when the app was removed meanwhile.
    pub fn new_session(&self, app: AppIndex, now: Instant) -> Result<Arc<Session>, ApiError> {
        self.new_session_of(app, String::new(), now)
    }

    /// Creates a session whose use is counted under a custom identifier.
    ///
    /// # Errors
    /// As [`Node::new_session`].
    pub fn new_session_of(
        &self,
        app: AppIndex,
        identifier: String,
        now: Instant,
    ) -> Result<Arc<Session>, ApiError> {
        let id = self.random_id()?;
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= SESSIONS_MAX {
            return Err(ApiError::Full("another session"));
        }
        // Looked at while the sessions are held: an app that is being removed either finds this
        // session or is found to be gone.
        let app_id = self.apps.id(app).ok_or(ApiError::NoApp)?;
        let owner = Owner { app, app_id, identifier };
        let session = Arc::new(Session::new(owner, id.clone(), now));
        sessions.insert((app, id), session.clone());
        Ok(session)
    }

    /// A session of an app that did not end.
    ///
    /// # Errors
    /// [`ApiError::SessionGone`].
    pub fn session(&self, app: AppIndex, id: &str) -> Result<Arc<Session>, ApiError> {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&(app, id.to_owned())).cloned().ok_or(ApiError::SessionGone)
    }

    /// Opens a peer of the data plane and the transport that descriptions announce for it.
    ///
    /// # Errors
    /// [`ApiError::Full`].
    pub fn open_peer(&self) -> Result<(PeerId, LocalTransport), ApiError> {
        let PeerTicket { peer, ufrag, pwd } =
            self.plane.open_peer().ok_or(ApiError::Full("another transport"))?;
        Ok((peer, self.transport(ufrag, pwd)))
    }

    /// The transport after an ICE restart of a peer.
    pub fn restart_ice(&self, peer: PeerId, restart: u8) -> LocalTransport {
        let (ufrag, pwd) = self.plane.restart_ice(peer, restart);
        self.transport(ufrag, pwd)
    }

    fn transport(&self, ufrag: String, pwd: String) -> LocalTransport {
        let fingerprint = self.plane.fingerprint();
        let (candidates, tcp) = (self.candidates.clone(), self.plane.tcp());
        LocalTransport { ufrag, pwd, fingerprint, candidates, tcp }
    }

    /// Makes `peer` the transport of a session, in the place of the one it has.
    ///
    /// # Errors
    /// [`ApiError::SessionGone`] when the session ended meanwhile; the peer is given back.
    pub fn attach(
        &self,
        session: &Arc<Session>,
        peer: PeerId,
        now: Instant,
    ) -> Result<(), ApiError> {
        let Ok(old) = session.attach(peer, now) else {
            self.plane.release_peer(peer);
            return Err(ApiError::SessionGone);
        };
        {
            let mut peers = lock(&self.peers);
            peers.insert(peer, Arc::downgrade(session));
            if let Some(old) = old {
                peers.remove(&old);
                lock(&self.closing).insert(old, session.clone());
            }
        }
        let held = self.push(|push, out| {
            push.open_peer(peer);
            old.is_none_or(|old| push.move_peer(old, peer, out))
        });
        if let Some(old) = old.filter(|_| !held) {
            lock(&self.closing).remove(&old);
            self.plane.release_peer(old);
        }
        Ok(())
    }

    /// Ends a session: its transport, tracks and subscriptions. Later requests find it gone.
    pub fn end_session(&self, session: &Arc<Session>, reason: Reason) {
        let Some(peer) = self.end_facts(session, reason) else { return };
        let key = (session.app, session.id.clone());
        self.sessions.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
        if let Some(peer) = peer {
            lock(&self.peers).remove(&peer);
            lock(&self.closing).insert(peer, session.clone());
            if !self.push(|push, out| push.close_peer(peer, out)) {
                lock(&self.closing).remove(&peer);
                self.plane.release_peer(peer);
            }
        }
        tracing::info!(session = session.id, reason = reason.name(), "session ended");
    }

    /// Ends a session and its tracks as far as others see them, and tells so. Returns its transport;
    /// None when it had ended before.
    fn end_facts(&self, session: &Session, reason: Reason) -> Option<Option<PeerId>> {
        let mut tracks = lock(&self.tracks);
        let Ended { peer, publications, stopped } = session.end()?;
        for publication in &publications {
            tracks.remove(&publication.track);
        }
        for publication in stopped {
            self.tell_stopped(session, &publication, Reason::SessionClosed);
        }
        self.events.tell(session, Kind::SessionClosed, |event| event.reason = Some(reason));
        Some(peer)
    }

    fn tell_stopped(&self, session: &Session, publication: &Publication, reason: Reason) {
        self.events.tell(session, Kind::TrackStopped, |event| {
            event.reason = Some(reason);
            event.of_track(publication);
        });
    }

    /// Removes an app and ends its sessions.
    pub fn end_app(&self, id: &str) {
        let Some(app) = self.apps.remove(id) else { return };
        for session in self.all_sessions().iter().filter(|session| session.app == app) {
            self.end_session(session, Reason::AppDeleted);
        }
        self.events.forget(app);
        self.meter.forget(id);
        tracing::info!(app = id, "app deleted");
    }

    /// The sessions that did not end, in any order.
    pub fn all_sessions(&self) -> Vec<Arc<Session>> {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.values().cloned().collect()
    }

    /// Ends every session that had no connectivity for [`UNCONNECTED_MAX`], and rolls back offers
    /// that nobody answered for [`OFFER_MAX`]; then looks after streams and events. Called once a
    /// second.
    pub fn expire(&self, now: Instant) {
        for session in self.all_sessions() {
            if session.expired(now) {
                self.end_session(&session, Reason::NotConnected);
            } else if let Ok(mut work) = session.work.try_lock() {
                // A request that holds the work looks at its offer itself.
                self.lapse(&mut work, now);
            }
        }
        for (session, reason) in self.streams.sweep(now) {
            self.end_session(&session, reason);
        }
        self.events.sweep(now);
    }

    /// Rolls an overdue offer of ours back, with what was allocated for it.
    pub fn lapse(&self, work: &mut Work, now: Instant) {
        let lapsed = work.lapse(now);
        if !lapsed.is_empty() {
            self.push(|push, out| lapsed.iter().for_each(|s| push.unsubscribe(s.id, out)));
        }
    }

    /// Ends every session.
    pub fn end_all(&self, reason: Reason) {
        for session in self.all_sessions() {
            self.end_session(&session, reason);
        }
    }

    /// Waits until the cores have reported the end of every peer that was closed, but not for ever.
    pub fn settle(&self, longest: Duration) {
        let start = Instant::now();
        while !lock(&self.closing).is_empty() && start.elapsed() < longest {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Enters a publication into the directory and publishes it.
    pub fn publish(
        &self,
        session: &Arc<Session>,
        publication: &Arc<Publication>,
        facts: PublishFacts,
    ) {
        let entry = (Arc::downgrade(session), publication.clone());
        lock(&self.tracks).insert(publication.track, entry);
        if !session.publish(publication.clone()) {
            lock(&self.tracks).remove(&publication.track);
            return;
        }
        self.push(|push, out| push.publish(facts, out));
    }

    /// Ends a publication: its subscriptions become inactive.
    pub fn unpublish(&self, session: &Session, publication: &Publication, reason: Reason) {
        {
            let mut tracks = lock(&self.tracks);
            tracks.remove(&publication.track);
            if publication.end() {
                self.tell_stopped(session, publication, reason);
            }
        }
        self.push(|push, out| push.unpublish(publication.track, out));
        session.changed();
    }

    /// 32 lowercase hexadecimal digits from the system's random source.
    ///
    /// # Errors
    /// [`ApiError::Full`] when the system has no random numbers.
    pub fn random_id(&self) -> Result<String, ApiError> {
        Ok(self.random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Random bytes.
    ///
    /// # Errors
    /// [`ApiError::Full`] when the system has no random numbers.
    pub fn random<const N: usize>(&self) -> Result<[u8; N], ApiError> {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes).map_err(|_| ApiError::Full("random numbers"))?;
        Ok(bytes)
    }

    /// Counts the bytes of a peer for its session, the last one's too.
    fn count_traffic(&self, peer: PeerId, received: u64, sent: u64) {
        let closing = || lock(&self.closing).get(&peer).cloned();
        if let Some(session) = self.owner(peer).or_else(closing) {
            let amount = Amount { ingress: received, egress: sent, track_ms: 0 };
            self.meter.count(&session, amount);
        }
    }

    /// Counts the tracks of all sessions for the time since this was done last.
    fn count_tracks(&self, passed: Duration) {
        let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        for session in self.all_sessions() {
            let track_ms = passed.saturating_mul(session.tracks_sending() as u64);
            self.meter.count(&session, Amount { track_ms, ..Amount::default() });
        }
    }

    /// Has what was counted written.
    fn write_usage(&self) {
        let meter = self.meter.clone();
        if let Err(error) = self.store.post(move |db| meter.write(db)) {
            tracing::warn!(%error, "usage is not written now");
        }
    }

    /// The session whose transport `peer` is.
    fn owner(&self, peer: PeerId) -> Option<Arc<Session>> {
        lock(&self.peers).get(&peer)?.upgrade()
    }
}
