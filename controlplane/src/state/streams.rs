//! Streams: which session publishes under a stream's name (WHIP), and which watch it (WHEP).
//!
//! Changed by `api/whip.rs` and `api/whep.rs`, swept by the event thread once a second. A stream is
//! known while somebody publishes or watches it, so there are never more than sessions; it holds
//! nothing that its sessions do not have. A directory in the order of locks (`mod.rs`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::limits::STREAMS_PER_APP_MAX;

use super::lock;
use super::sessions::{Link, Session};
use crate::auth::AppIndex;
use crate::error::ApiError;
use crate::events::Reason;

/// How long viewers stay while nobody publishes. Encoders end their session (by DELETE) and make
/// another when they lose their connection: their viewers should see a gap, not an end. Chosen: as
/// long as an unconnected session stays usable.
pub const ABSENCE_MAX: Duration = super::UNCONNECTED_MAX;

/// All streams of a node.
#[derive(Default, Debug)]
pub struct Streams {
    apps: Mutex<HashMap<AppIndex, HashMap<String, Stream>>>,
}

#[derive(Debug)]
struct Stream {
    publisher: Option<Arc<Session>>,
    /// Since when there is no publisher, where there is none.
    absent: Option<Instant>,
    viewers: Vec<Arc<Session>>,
}

/// A session that must end, and why.
type Ending = (Arc<Session>, Reason);

fn lives(session: &Arc<Session>) -> bool {
    session.link() != Link::Gone
}

impl Stream {
    fn publisher(&self) -> Option<&Arc<Session>> {
        self.publisher.as_ref().filter(|session| lives(session))
    }

    /// Forgets sessions that ended. Returns those that must end, too.
    fn sweep(&mut self, now: Instant) -> Vec<Ending> {
        self.viewers.retain(lives);
        let Some(publisher) = self.publisher() else {
            self.publisher = None;
            let since = *self.absent.get_or_insert(now);
            if now.saturating_duration_since(since) < ABSENCE_MAX {
                return Vec::new();
            }
            return self.viewers.drain(..).map(|viewer| (viewer, Reason::StreamEnded)).collect();
        };
        let silent = publisher.facts().publications.iter().all(|track| !track.is_live());
        silent.then(|| (publisher.clone(), Reason::StreamEnded)).into_iter().collect()
    }

    /// Whether anybody is left.
    fn is_used(&self) -> bool {
        self.publisher.is_some() || !self.viewers.is_empty()
    }
}

impl Streams {
    /// Makes a session the publisher of a stream. Returns the one it takes over from, which the
    /// caller ends.
    ///
    /// # Errors
    /// [`ApiError::Full`] when the app has too many streams.
    pub fn publish(
        &self,
        name: &str,
        session: &Arc<Session>,
    ) -> Result<Option<Arc<Session>>, ApiError> {
        let mut apps = lock(&self.apps);
        let streams = apps.entry(session.app).or_default();
        if streams.len() >= STREAMS_PER_APP_MAX && !streams.contains_key(name) {
            return Err(ApiError::Full("another stream of this app"));
        }
        let new = || Stream { publisher: None, absent: None, viewers: Vec::new() };
        let stream = streams.entry(name.to_owned()).or_insert_with(new);
        stream.absent = None;
        Ok(stream.publisher.replace(session.clone()).filter(lives))
    }

    /// Makes a session a viewer of a stream. Returns the stream's publisher: whoever takes over
    /// from it later finds the viewer.
    ///
    /// # Errors
    /// [`ApiError::NotLive`].
    pub fn watch(&self, name: &str, viewer: &Arc<Session>) -> Result<Arc<Session>, ApiError> {
        let mut apps = lock(&self.apps);
        let stream = apps.get_mut(&viewer.app).and_then(|streams| streams.get_mut(name));
        let stream = stream.ok_or(ApiError::NotLive)?;
        let publisher = stream.publisher().cloned().ok_or(ApiError::NotLive)?;
        stream.viewers.push(viewer.clone());
        Ok(publisher)
    }

    /// The publisher of a stream, connected or not.
    pub fn publisher(&self, app: AppIndex, name: &str) -> Option<Arc<Session>> {
        lock(&self.apps).get(&app)?.get(name)?.publisher().cloned()
    }

    /// The viewers of a stream, connected or not.
    pub fn viewers(&self, app: AppIndex, name: &str) -> Vec<Arc<Session>> {
        let apps = lock(&self.apps);
        let stream = apps.get(&app).and_then(|streams| streams.get(name));
        let viewers = stream.map(|stream| stream.viewers.iter().filter(|viewer| lives(viewer)));
        viewers.into_iter().flatten().cloned().collect()
    }

    /// Looks after all streams. Returns the sessions that must end: viewers of a stream that did
    /// not come back, and publishers without a track.
    pub(super) fn sweep(&self, now: Instant) -> Vec<Ending> {
        let mut endings = Vec::new();
        lock(&self.apps).retain(|_, streams| {
            streams.retain(|_, stream| {
                endings.extend(stream.sweep(now));
                stream.is_used()
            });
            !streams.is_empty()
        });
        endings
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::Owner;

    fn session(id: &str, start: Instant) -> Arc<Session> {
        let owner = Owner { app: AppIndex(0), app_id: "app".into(), identifier: String::new() };
        Arc::new(Session::new(owner, id.into(), start))
    }

    #[test]
    fn viewers_outlive_a_short_absence_of_their_publisher() {
        let (streams, start) = (Streams::default(), Instant::now());
        let [one, two, viewer] = ["1", "2", "v"].map(|id| session(id, start));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(streams.watch("s", &viewer).err(), Some(ApiError::NotLive));
        assert!(streams.publish("s", &one).unwrap().is_none());
        assert_eq!(streams.watch("s", &viewer).unwrap().id, "1");
        one.end();
        assert_eq!(streams.watch("s", &viewer).err(), Some(ApiError::NotLive));
        assert!(streams.sweep(at(0)).is_empty() && streams.sweep(at(29)).is_empty());
        assert!(streams.publish("s", &two).unwrap().is_none(), "the first one is gone");
        assert_eq!(streams.viewers(AppIndex(0), "s").len(), 1);
        two.end();
        assert!(streams.sweep(at(40)).is_empty() && streams.sweep(at(69)).is_empty());
        let ended: Vec<_> = streams.sweep(at(70)).into_iter().map(|(s, _)| s.id.clone()).collect();
        assert_eq!(ended, ["v"]);
        assert!(lock(&streams.apps).is_empty(), "nothing is left of the stream");
    }

    #[test]
    fn a_second_publisher_takes_over_and_one_without_tracks_ends() {
        let (streams, start) = (Streams::default(), Instant::now());
        let [one, two] = ["1", "2"].map(|id| session(id, start));
        assert!(streams.publish("s", &one).unwrap().is_none());
        assert_eq!(streams.publish("s", &two).unwrap().unwrap().id, "1");
        assert_eq!(streams.publisher(AppIndex(0), "s").unwrap().id, "2");
        assert_eq!(streams.sweep(start).len(), 1, "it publishes nothing");
    }

    #[test]
    fn the_streams_of_an_app_are_bounded() {
        let (streams, start) = (Streams::default(), Instant::now());
        let one = session("1", start);
        for n in 0..STREAMS_PER_APP_MAX {
            assert!(streams.publish(&n.to_string(), &one).is_ok());
        }
        assert!(matches!(streams.publish("more", &one), Err(ApiError::Full(_))));
        assert!(streams.publish("0", &one).is_ok());
    }
}
