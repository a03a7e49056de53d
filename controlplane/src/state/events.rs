//! What the cores report, applied to the state: one thread that drains the event lane.
//!
//! Started by `lib.rs`, ended by dropping its [`EventThread`]. It also keeps the once-a-second
//! clock of session expiry. Never waits for a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::event::{Event, SrtpProfile};
use common::id::{PeerId, TrackId};
use common::media::Label;
use crossbeam::channel::RecvTimeoutError;

use super::{Node, Publication, Session, lock};
use crate::events::{Kind, Reason};

/// How often expiry is looked at when no event comes.
const TICK: Duration = Duration::from_millis(250);

/// How often usage is written. With the cores' two seconds that makes five, which is what a killed
/// process loses.
const USAGE_INTERVAL: Duration = Duration::from_secs(3);

/// The running thread; dropping it ends and joins it.
#[derive(Debug)]
pub struct EventThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl EventThread {
    /// Starts draining.
    ///
    /// # Errors
    /// The system's, when no thread can be started.
    pub fn start(node: Arc<Node>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let thread = std::thread::Builder::new()
            .name("fanfall-events".into())
            .spawn(move || drain(&node, &flag))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for EventThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the event thread ended by a panic");
        }
    }
}

fn drain(node: &Arc<Node>, stop: &AtomicBool) {
    let events = node.plane.events();
    let mut expired = Instant::now();
    let mut written = expired;
    while !stop.load(Ordering::Acquire) {
        match events.recv_timeout(TICK) {
            Ok(event) => apply(node, event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK),
        }
        let now = Instant::now();
        if now.duration_since(expired) >= Duration::from_secs(1) {
            node.count_tracks(now.duration_since(expired));
            expired = now;
            node.expire(now);
        }
        if now.duration_since(written) >= USAGE_INTERVAL {
            written = now;
            node.write_usage();
        }
    }
}

fn apply(node: &Node, event: Event) {
    match event {
        Event::Claimed { peer, core } => {
            node.push(|push, out| push.claimed(peer, core, out));
            if let Some(session) = node.owner(peer) {
                session.claimed(peer, core);
            }
        }
        Event::Connected { peer, setup, profile } => {
            if let Some(session) = node.owner(peer) {
                node.connected(&session, peer, profile);
                tracing::info!(session = session.id, ?setup, profile = profile.name(), "connected");
            }
        }
        Event::Closed { peer, reason } => {
            node.push(|push, out| push.closed(peer, out));
            if let Some(session) = node.owner(peer) {
                tracing::info!(session = session.id, ?reason, "transport closed");
                if session.detach(peer, Instant::now()) {
                    lock(&node.peers).remove(&peer);
                } else {
                    node.end_session(&session, reason.into());
                }
            }
            lock(&node.closing).remove(&peer);
            node.plane.release_peer(peer);
        }
        Event::Traffic { peer, received, sent, path } => {
            if let Some(session) = node.owner(peer) {
                session.figures().note(received, sent, path, Instant::now());
            }
            node.count_traffic(peer, received, sent);
        }
        Event::TrackRates { track, rates } => node.of_track(track, |_, it| it.set_rates(rates)),
        Event::Shown { peer, subscription, encoding } => {
            if let Some(session) = node.owner(peer) {
                session.figures().show(subscription, encoding);
            }
        }
        Event::TrackStarted { track } => node.track_started(track),
        Event::AudioLevel { track, level, speaking } => node.heard(track, level, speaking),
        Event::Layer { track, rid, available } => node.layer(track, rid, available),
        Event::SctpConnected { peer } => node.association(peer, true),
        Event::SctpClosed { peer } => node.association(peer, false),
        Event::ChannelClosed { channel } => node.channel_closed(channel),
        Event::ChannelSubscriptionClosed { subscription, reason } => {
            node.channel_subscription_closed(subscription, reason);
        }
        Event::StreamFreed { peer, stream } => {
            node.push(|push, _| push.free_stream(peer, stream));
        }
        Event::TrackSilent { track } => {
            let entry = lock(&node.tracks).get(&track).cloned();
            if let Some((session, publication)) = entry
                && let Some(session) = session.upgrade()
            {
                tracing::info!(session = session.id, "track ended: no packets");
                node.unpublish(&session, &publication, Reason::Silent);
            }
        }
    }
}

impl Node {
    /// A session's transport is up.
    fn connected(&self, session: &Session, peer: PeerId, profile: SrtpProfile) {
        let _order = lock(&self.tracks);
        if session.connect(peer, profile) {
            self.events.tell(session, Kind::SessionConnected, |_| ());
        }
    }

    fn track_started(&self, track: TrackId) {
        self.of_track(track, |session, publication| {
            if publication.start() {
                self.events.tell(session, Kind::TrackStarted, |it| it.of_track(publication));
            }
            session.changed();
        });
    }

    fn heard(&self, track: TrackId, level: u8, speaking: bool) {
        self.of_track(track, |session, publication| {
            let kind = match (publication.hear(level, speaking), speaking) {
                (false, _) => Kind::AudioLevel,
                (true, true) => Kind::SpeakerStarted,
                (true, false) => Kind::SpeakerStopped,
            };
            self.events.tell(session, kind, |event| {
                event.of_track(publication);
                event.audio_level = Some(-i16::from(level));
            });
        });
    }

    fn layer(&self, track: TrackId, rid: Label, available: bool) {
        let kind = if available { Kind::LayerAvailable } else { Kind::LayerGone };
        self.of_track(track, |session, publication| {
            self.events.tell(session, kind, |event| {
                event.of_track(publication);
                event.rid = Some(String::from_utf8_lossy(rid.as_bytes()).into_owned());
            });
        });
    }

    /// Does something with a published track while the directory is held.
    fn of_track(&self, track: TrackId, apply: impl FnOnce(&Session, &Publication)) {
        let tracks = lock(&self.tracks);
        let Some((session, publication)) = tracks.get(&track) else { return };
        if let Some(session) = session.upgrade() {
            apply(&session, publication);
        }
    }
}
