//! The events of one app: numbered, written once as JSON, kept for a while, and given to whoever
//! listens. A leaf in the order of locks (`state/mod.rs`); nothing here waits for a listener.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use x509_cert::der::DateTime;

use common::limits::{EVENT_ABSENCE_MAX, EVENT_STREAMS_PER_APP_MAX};

use super::hook::Hook;
use super::kept::{Kept, Told};
use super::words::Kind;
use crate::state::{Session, lock};
use crate::wire::Event;

/// The events of an app.
#[derive(Debug)]
pub(super) struct Feed {
    /// Tells the ids of this run from those of others: 16 hexadecimal digits.
    run: String,
    inner: Mutex<Inner>,
    /// Number of the next event, for those who wait.
    news: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    next: u64,
    kept: Kept,
    /// Open streams.
    streams: usize,
    /// Changes when all streams must end.
    term: u64,
    hooks: Vec<Arc<Hook>>,
    /// Since when nobody listens, where nobody does.
    idle: Option<Instant>,
}

impl Inner {
    /// Who listens changed.
    fn settle(&mut self, now: Instant) {
        self.idle = (self.streams == 0 && self.hooks.is_empty()).then_some(now);
    }
}

/// What a stream finds.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// Events that gave way before they were read.
    pub(super) lost: u64,
    /// The events.
    pub(super) events: Vec<Arc<Told>>,
}

impl Feed {
    /// A feed without events.
    pub(super) fn new(run: String, now: Instant) -> Self {
        let inner = Inner {
            next: 0,
            kept: Kept::default(),
            streams: 0,
            term: 0,
            hooks: Vec::new(),
            idle: Some(now),
        };
        Self { run, inner: Mutex::new(inner), news: watch::Sender::new(0) }
    }

    /// Adds an event of a session, to which `fill` adds what it is about.
    pub(super) fn tell(&self, session: &Session, kind: Kind, fill: impl FnOnce(&mut Event)) {
        let mut inner = lock(&self.inner);
        let number = inner.next;
        inner.next += 1;
        let mut event = Event {
            id: format!("{}-{number}", self.run),
            what: kind,
            time: date(SystemTime::now()),
            app_id: session.app_id.clone(),
            session_id: session.id.clone(),
            custom_identifier: session.identifier.clone(),
            reason: None,
            track_name: None,
            mid: None,
            kind: None,
            rid: None,
            audio_level: None,
        };
        fill(&mut event);
        let json = serde_json::to_vec(&event).unwrap_or_default().into();
        let told = Arc::new(Told { number, id: event.id, kind, json, at: Instant::now() });
        inner.hooks.iter().for_each(|hook| hook.push(&told));
        inner.kept.push(told);
        drop(inner);
        self.news.send_replace(number + 1);
    }

    /// Opens a stream behind the event of an id, or behind all without one. Returns the number of
    /// its first event, whether events of another run are lost, and the term; None when there are
    /// too many streams.
    pub(super) fn open(&self, last: Option<&str>) -> Option<(u64, bool, u64)> {
        let mut inner = lock(&self.inner);
        if inner.streams >= EVENT_STREAMS_PER_APP_MAX {
            return None;
        }
        inner.streams += 1;
        inner.idle = None;
        let known = last.map(|id| {
            let (run, number) = id.rsplit_once('-')?;
            let number = number.parse::<u64>().ok()?;
            (run == self.run && number < inner.next).then(|| number + 1)
        });
        let (first, unknown) = match known {
            None => (inner.next, false),
            Some(Some(number)) => (number, false),
            Some(None) => (inner.kept.first().map_or(inner.next, |told| told.number), true),
        };
        Some((first, unknown, inner.term))
    }

    /// A stream closed.
    pub(super) fn close(&self, now: Instant) {
        let mut inner = lock(&self.inner);
        inner.streams = inner.streams.saturating_sub(1);
        inner.settle(now);
    }

    /// Serves a webhook of the app.
    pub(super) fn add_hook(&self, hook: Arc<Hook>) {
        let mut inner = lock(&self.inner);
        inner.hooks.push(hook);
        inner.idle = None;
    }

    /// Ends a webhook.
    pub(super) fn remove_hook(&self, id: &str, now: Instant) {
        let mut inner = lock(&self.inner);
        inner.hooks.retain(|hook| {
            let stays = hook.id != id;
            if !stays {
                hook.end();
            }
            stays
        });
        inner.settle(now);
    }

    /// How many events wait for a webhook, and why its newest attempt failed, if it did.
    pub(super) fn hook_state(&self, id: &str) -> Option<(usize, Option<String>)> {
        lock(&self.inner).hooks.iter().find(|hook| hook.id == id).map(|hook| hook.state())
    }

    /// Events that wait for webhooks.
    pub(super) fn pending(&self) -> usize {
        lock(&self.inner).hooks.iter().map(|hook| hook.state().0).sum()
    }

    /// Ends whatever listens: the app is no more.
    pub(super) fn end(&self) {
        self.end_streams();
        std::mem::take(&mut lock(&self.inner).hooks).iter().for_each(|hook| hook.end());
    }

    /// Ends the streams that are open.
    pub(super) fn end_streams(&self) {
        let mut inner = lock(&self.inner);
        inner.term += 1;
        drop(inner);
        self.news.send_modify(|_| ());
    }

    /// Wakes at the next event, and when the term changes.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Events from a number on, at most so many bytes of JSON (but one at least). None when the
    /// term is over.
    pub(super) fn read(&self, from: u64, term: u64, bytes_max: usize) -> Option<Found> {
        let inner = lock(&self.inner);
        if inner.term != term {
            return None;
        }
        let first = inner.kept.first().map_or(inner.next, |told| told.number);
        let mut bytes = 0;
        let room = |told: &&Arc<Told>| {
            let fits = bytes == 0 || bytes + told.json.len() <= bytes_max;
            bytes += told.json.len();
            fits
        };
        let events = inner.kept.from(from).take_while(room).cloned().collect();
        Some(Found { lost: first.saturating_sub(from), events })
    }

    /// Whether nobody listens, for at least so long.
    pub(super) fn idles(&self, now: Instant, least: Duration) -> bool {
        lock(&self.inner).idle.is_some_and(|at| now.saturating_duration_since(at) >= least)
    }

    /// Whether nobody will come back for its events.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.idles(now, EVENT_ABSENCE_MAX)
    }
}

/// A date of RFC 3339 in UTC, with milliseconds.
fn date(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = DateTime::from_unix_duration(Duration::from_secs(since.as_secs()));
    let seconds = seconds.map(|date| date.to_string()).unwrap_or_default();
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), since.subsec_millis())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::auth::AppIndex;
    use crate::state::Owner;

    fn session() -> Session {
        let owner = Owner { app: AppIndex(0), app_id: "app".into(), identifier: String::new() };
        Session::new(owner, "s".into(), Instant::now())
    }

    fn feed(events: u64) -> Feed {
        let feed = Feed::new("r".into(), Instant::now());
        (0..events).for_each(|_| feed.tell(&session(), Kind::SessionConnected, |_| ()));
        feed
    }

    #[test]
    fn a_date_has_milliseconds() {
        let at = UNIX_EPOCH + Duration::from_millis(1_769_860_800_007);
        assert_eq!(date(at), "2026-01-31T12:00:00.007Z");
    }

    #[test]
    fn a_stream_begins_behind_the_last_id_it_names() {
        let feed = feed(5);
        for (last, begins) in [
            (None, (5, false, 0)),
            (Some("r-1"), (2, false, 0)),
            (Some("r-4"), (5, false, 0)),
            // Of another run, or never told.
            (Some("q-1"), (0, true, 0)),
            (Some("r-5"), (0, true, 0)),
            (Some("r-18446744073709551615"), (0, true, 0)),
            (Some("-"), (0, true, 0)),
            (Some(""), (0, true, 0)),
        ] {
            assert_eq!(feed.open(last), Some(begins), "{last:?}");
        }
        let found = feed.read(3, 0, usize::MAX).unwrap();
        assert_eq!((found.lost, found.events.len(), found.events[0].id.as_str()), (0, 2, "r-3"));
        assert_eq!(feed.read(0, 0, 1).unwrap().events.len(), 1, "one at least");
    }

    #[test]
    fn who_is_too_slow_is_told_how_much_was_lost() {
        let feed = feed(common::limits::EVENTS_KEPT_MAX as u64 + 7);
        let found = feed.read(0, 0, usize::MAX).unwrap();
        assert_eq!((found.lost, found.events[0].number), (found.events[0].number, found.lost));
        assert!(found.lost >= 7, "{}", found.lost);
    }

    #[test]
    fn streams_are_counted_and_end_with_the_term() {
        let (feed, now) = (feed(0), Instant::now());
        let term = (0..EVENT_STREAMS_PER_APP_MAX).map(|_| feed.open(None).unwrap().2).max();
        assert_eq!(feed.open(None), None);
        assert!(feed.read(0, term.unwrap(), 1).is_some());
        feed.end_streams();
        assert_eq!(feed.read(0, term.unwrap(), 1), None);
        (1..EVENT_STREAMS_PER_APP_MAX).for_each(|_| feed.close(now));
        assert!(!feed.is_over(now + EVENT_ABSENCE_MAX), "one is open");
        feed.close(now);
        assert!(!feed.is_over(now) && feed.is_over(now + EVENT_ABSENCE_MAX));
    }
}
