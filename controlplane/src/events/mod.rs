//! What happens in the apps, for whoever listens: event streams (Server-Sent Events).
//!
//! Told by `state/` when something changed, also by the thread that applies what the cores report:
//! so nothing here waits for a listener. Of an app nobody listens to nothing is kept, or even
//! written. Streams are opened by `respond.rs`; all are closed when the server stops, and those of
//! an app when its secret changes.

mod feed;
mod kept;
mod stream;
mod words;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use common::limits::{EVENT_APPS_MAX, EVENT_STREAMS_MAX};
use tokio::sync::watch;

use crate::auth::{AppIndex, Apps};
use crate::error::ApiError;
use crate::state::Session;
use crate::wire::Event;
use feed::Feed;
use stream::Reader;

pub(crate) use stream::EventBody;
pub use words::{Kind, Reason};

/// Time between two signs of life of a stream. Chosen: proxies end silent connections after 30 to
/// 60 s.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// The events of all apps.
#[derive(Debug)]
pub struct Events {
    feeds: RwLock<HashMap<AppIndex, Arc<Feed>>>,
    /// Open streams.
    streams: Arc<AtomicUsize>,
    /// Becomes true when the server stops.
    stop: watch::Receiver<bool>,
}

/// How a stream is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    /// The types.
    pub(crate) kinds: Vec<Kind>,
    /// Id of the last event that was read.
    pub(crate) last: Option<String>,
    /// Time between two signs of life.
    pub(crate) heartbeat: Duration,
}

impl Events {
    /// Nobody listens yet; streams end when `stop` becomes true.
    pub fn new(stop: watch::Receiver<bool>) -> Self {
        Self { feeds: RwLock::default(), streams: Arc::default(), stop }
    }

    /// Tells an event of a session, to which `fill` adds what it is about. Blocks for nobody; costs
    /// a look into a table where nobody listens.
    pub(crate) fn tell(&self, session: &Session, kind: Kind, fill: impl FnOnce(&mut Event)) {
        let feed = self.read().get(&session.app).cloned();
        if let Some(feed) = feed {
            feed.tell(session, kind, fill);
        }
    }

    /// Opens a stream of an app. `run` is drawn at random; it names the events of this run.
    ///
    /// # Errors
    /// [`ApiError::Full`]; [`ApiError::NoApp`] when the app was removed meanwhile.
    pub(crate) fn open(
        &self,
        apps: &Apps,
        app: AppIndex,
        wanted: Wanted,
        run: String,
    ) -> Result<EventBody, ApiError> {
        const FULL: ApiError = ApiError::Full("another event stream");
        let now = Instant::now();
        let mut feeds = self.write();
        // Looked at while the feeds are held: an app that is being removed either finds its feed or
        // is found to be gone.
        apps.id(app).ok_or(ApiError::NoApp)?;
        if self.streams.load(Ordering::Acquire) >= EVENT_STREAMS_MAX {
            return Err(FULL);
        }
        if !feeds.contains_key(&app) {
            if feeds.len() >= EVENT_APPS_MAX {
                feeds.retain(|_, feed| !feed.idles(now, Duration::ZERO));
            }
            if feeds.len() >= EVENT_APPS_MAX {
                return Err(FULL);
            }
        }
        let feed = feeds.entry(app).or_insert_with(|| Arc::new(Feed::new(run, now))).clone();
        let (next, unknown, term) = feed.open(wanted.last.as_deref()).ok_or(FULL)?;
        self.streams.fetch_add(1, Ordering::AcqRel);
        drop(feeds);
        Ok(EventBody::new(Reader {
            news: feed.news(),
            feed,
            next,
            unknown,
            term,
            kinds: wanted.kinds,
            stop: self.stop.clone(),
            heartbeat: wanted.heartbeat,
            written: None,
            open: self.streams.clone(),
        }))
    }

    /// Number of open streams.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Acquire)
    }

    /// Ends the open streams of an app: its secret is another one.
    pub(crate) fn end_streams(&self, app: AppIndex) {
        if let Some(feed) = self.read().get(&app) {
            feed.end_streams();
        }
    }

    /// Forgets an app that was removed.
    pub(crate) fn forget(&self, app: AppIndex) {
        if let Some(feed) = self.write().remove(&app) {
            feed.end_streams();
        }
    }

    /// Forgets the events of apps that nobody comes back to. Called once a second.
    pub(crate) fn sweep(&self, now: Instant) {
        if self.read().values().any(|feed| feed.is_over(now)) {
            self.write().retain(|_, feed| !feed.is_over(now));
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<AppIndex, Arc<Feed>>> {
        self.feeds.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<AppIndex, Arc<Feed>>> {
        self.feeds.write().unwrap_or_else(PoisonError::into_inner)
    }
}
