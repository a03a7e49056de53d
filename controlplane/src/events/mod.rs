//! What happens in the apps, for whoever listens: event streams (Server-Sent Events) and webhooks.
//!
//! Told by `state/` when something changed, also by the thread that applies what the cores report:
//! so nothing here waits for a listener. Of an app nobody listens to nothing is kept, or even
//! written. Streams are opened by `respond.rs`, webhooks come from the store (`api/webhooks.rs`,
//! `start.rs`) and are served by a thread of their own (`courier.rs`). All streams are closed when the server stops, and those of
//! an app when its secret changes.

mod feed;
mod kept;
mod stream;
mod words;
mod hook;
mod sign;
mod target;
mod line;
mod courier;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use common::limits::{EVENT_APPS_MAX, EVENT_STREAMS_MAX};
use tokio::sync::watch;

use crate::auth::{AppIndex, Apps};
use crate::error::ApiError;
use crate::state::Session;
use crate::store::webhooks::Stored;
use crate::wire::Event;
use feed::Feed;
use hook::{Counts, Hook};
use stream::Reader;
use target::Target;

pub use courier::{Courier, CourierThread, WebhookLimits};
pub use sign::NodeKey;
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
    courier: Arc<Courier>,
    key: NodeKey,
    counts: Arc<Counts>,
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
    /// Nobody listens yet; streams end when `stop` becomes true. Webhooks are served by `courier`,
    /// their secrets derived from `key`.
    pub fn new(stop: watch::Receiver<bool>, courier: Courier, key: NodeKey) -> Self {
        Self {
            feeds: RwLock::default(),
            streams: Arc::default(),
            stop,
            courier: Arc::new(courier),
            key,
            counts: Arc::default(),
        }
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

    /// Whether a webhook may have this URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check_url(&self, url: &str) -> Result<(), &'static str> {
        Target::parse(url, self.courier.private()).map(drop)
    }

    /// The secret of a webhook.
    pub(crate) fn secret(&self, webhook: &str) -> String {
        self.key.secret(webhook)
    }

    /// Serves a webhook of an app. `run` is as in [`Events::open`]. One that the settings do not
    /// allow any more is left alone, and so is one of an app that was removed meanwhile.
    pub(crate) fn add_hook(&self, apps: &Apps, app: AppIndex, webhook: &Stored, run: String) {
        let kinds = Kind::list(&webhook.types).unwrap_or_default();
        let target = match Target::parse(&webhook.url, self.courier.private()) {
            Ok(target) => target,
            Err(why) => {
                return tracing::warn!(webhook = webhook.id, why, "a webhook is not served");
            }
        };
        let (id, counts) = (webhook.id.clone(), self.counts.clone());
        let hook = Arc::new(Hook::new(id, target, self.key.key(&webhook.id), kinds, counts));
        let mut feeds = self.write();
        if apps.id(app).is_none() {
            return;
        }
        let new = || Arc::new(Feed::new(run, Instant::now()));
        feeds.entry(app).or_insert_with(new).add_hook(hook.clone());
        drop(feeds);
        self.courier.serve(hook);
    }

    /// Ends a webhook of an app, if it is served.
    pub(crate) fn remove_hook(&self, app: AppIndex, id: &str) {
        if let Some(feed) = self.read().get(&app) {
            feed.remove_hook(id, Instant::now());
        }
    }

    /// How many events wait for a webhook, and why its newest attempt failed, if it did.
    pub(crate) fn hook_state(&self, app: AppIndex, id: &str) -> Option<(usize, Option<String>)> {
        self.read().get(&app)?.hook_state(id)
    }

    /// What the deliveries of all webhooks came to.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Events that wait for webhooks.
    pub(crate) fn pending(&self) -> usize {
        self.read().values().map(|feed| feed.pending()).sum()
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
            feed.end();
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
