//! One open event stream: the body of a reply in the format of Server-Sent Events (WHATWG HTML,
//! section 9.2).
//!
//! Made by `mod.rs`, polled by hyper when the connection has room, so nothing is queued for a
//! reader: who is slow finds that the feed has moved on, and is told how many events that were.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::watch;

use super::feed::Feed;
use super::words::Kind;
use crate::wire::Lost;

/// Events that are written at once, in bytes of JSON. Chosen: a socket's worth.
const CHUNK: usize = 32 << 10;
/// What a stream begins with, so that its reader knows it is open: how long to wait before coming
/// back, in milliseconds. Chosen: a restart of the server takes about as long.
const GREETING: &str = "retry: 2000\n\n";
/// A comment, so that the way stays open through proxies.
const HEARTBEAT: &str = ":\n\n";

/// Who reads.
pub(super) struct Reader {
    pub(super) feed: Arc<Feed>,
    /// Number of the next event.
    pub(super) next: u64,
    /// Whether events of another run are lost.
    pub(super) unknown: bool,
    /// Term of the feed in which it was opened.
    pub(super) term: u64,
    /// Which types it wants.
    pub(super) kinds: Vec<Kind>,
    pub(super) news: watch::Receiver<u64>,
    /// Becomes true when the server stops.
    pub(super) stop: watch::Receiver<bool>,
    /// Time between two signs of life.
    pub(super) heartbeat: Duration,
    /// When something was written last; None before the greeting.
    pub(super) written: Option<Instant>,
    /// Its place among the streams of the node.
    pub(super) open: Arc<AtomicUsize>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.feed.close(Instant::now());
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

type Step = Pin<Box<dyn Future<Output = (Reader, Option<String>)> + Send>>;

/// The body.
pub(crate) struct EventBody(Option<Step>);

impl std::fmt::Debug for EventBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventBody").finish_non_exhaustive()
    }
}

impl EventBody {
    pub(super) fn new(reader: Reader) -> Self {
        Self(Some(Box::pin(reader.step())))
    }
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(step) = &mut self.0 else { return Poll::Ready(None) };
        let (reader, text) = ready!(step.as_mut().poll(context));
        self.0 = text.is_some().then(|| Box::pin(reader.step()) as Step);
        Poll::Ready(text.map(|text| Ok(Frame::data(Bytes::from(text)))))
    }
}

impl Reader {
    /// Waits for the next thing to write. None: the stream ends.
    async fn step(mut self) -> (Self, Option<String>) {
        loop {
            self.news.borrow_and_update();
            let text = if *self.stop.borrow() { None } else { self.written() };
            if text.as_ref().is_none_or(|text| !text.is_empty()) {
                self.written = Some(Instant::now());
                return (self, text);
            }
            let beat = self.written.unwrap_or_else(Instant::now) + self.heartbeat;
            let silent = tokio::select! {
                _ = self.news.changed() => false,
                _ = self.stop.changed() => false,
                () = tokio::time::sleep_until(beat.into()) => true,
            };
            if silent {
                self.written = Some(Instant::now());
                return (self, Some(HEARTBEAT.to_owned()));
            }
        }
    }

    /// What is to be written now, which may be nothing; None when its term is over.
    fn written(&mut self) -> Option<String> {
        let found = self.feed.read(self.next, self.term, CHUNK)?;
        let mut text = if self.written.is_none() { GREETING.to_owned() } else { String::new() };
        let unknown = std::mem::take(&mut self.unknown);
        if unknown || found.lost > 0 {
            let count = (!unknown).then_some(found.lost);
            let lost = serde_json::to_string(&Lost { count }).unwrap_or_default();
            text.push_str(&format!("event: lost\ndata: {lost}\n\n"));
        }
        self.next += found.lost;
        for told in found.events {
            self.next = told.number + 1;
            if self.kinds.contains(&told.kind) {
                // JSON of serde has no line breaks, so one line of data holds it.
                let json = String::from_utf8_lossy(&told.json);
                text.push_str(&format!(
                    "id: {}\nevent: {}\ndata: {json}\n\n",
                    told.id,
                    told.kind.name()
                ));
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use common::limits::{EVENT_STREAMS_PER_APP_MAX, EVENTS_KEPT_MAX};
    use http_body_util::BodyExt;

    use super::*;
    use crate::auth::{AppIndex, Apps};
    use crate::config::AppConfig;
    use crate::error::ApiError;
    use crate::events::{Courier, Events, NodeKey, Wanted, WebhookLimits};
    use crate::state::{Owner, Session};
    use crate::store::Store;

    /// Events of one app, a session of it, and what stops everything.
    fn events() -> (Events, Apps, Session, watch::Sender<bool>) {
        let (stop, stopped) = watch::channel(false);
        let (store, _thread) = Store::open(None).unwrap();
        let (courier, _thread) = Courier::start(WebhookLimits::default(), false, store).unwrap();
        let apps = Apps::new(&[AppConfig { id: "app".into(), secret: "0123456789abcdef".into() }]);
        let app = apps.find("app").unwrap();
        let owner = Owner { app, app_id: "app".into(), identifier: "ann".into() };
        (
            Events::new(stopped, courier, NodeKey::new(&[0; 32])),
            apps,
            Session::new(owner, "s".into(), Instant::now()),
            stop,
        )
    }

    fn open(events: &Events, apps: &Apps, last: Option<&str>) -> Result<EventBody, ApiError> {
        let kinds = vec![Kind::SessionClosed, Kind::SpeakerStarted];
        let last = last.map(str::to_owned);
        let wanted = Wanted { kinds, last, heartbeat: Duration::from_millis(20) };
        events.open(apps, AppIndex(0), wanted, "run".into())
    }

    async fn next(body: &mut EventBody) -> Option<String> {
        let data = body.frame().await?.unwrap().into_data().unwrap();
        Some(String::from_utf8(data.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_stream_greets_tells_what_it_is_asked_for_and_lives() {
        let (events, apps, session, stop) = events();
        events.tell(&session, Kind::SessionClosed, |_| panic!("nobody listens"));
        let mut body = open(&events, &apps, None).unwrap();
        assert_eq!(next(&mut body).await.unwrap(), GREETING);
        assert_eq!(next(&mut body).await.unwrap(), HEARTBEAT);
        events.tell(&session, Kind::AudioLevel, |_| ());
        events.tell(&session, Kind::SpeakerStarted, |event| event.audio_level = Some(-30));
        let text = next(&mut body).await.unwrap();
        let head = "id: run-1\nevent: speaker.started\ndata: {\"id\":\"run-1\",";
        assert!(text.starts_with(head) && text.ends_with("\"audioLevel\":-30}\n\n"), "{text}");
        // Types that are not wanted are no sign of life.
        for _ in 0..4 {
            events.tell(&session, Kind::AudioLevel, |_| ());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(next(&mut body).await.unwrap(), HEARTBEAT);
        events.end_streams(AppIndex(0));
        assert_eq!(next(&mut body).await, None);
        let mut body = open(&events, &apps, None).unwrap();
        stop.send_replace(true);
        assert_eq!((next(&mut body).await, next(&mut body).await), (None, None));
        assert_eq!(events.streams(), 0);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_lost_and_holds_up_nobody() {
        let (events, apps, session, _stop) = events();
        let mut body = open(&events, &apps, None).unwrap();
        next(&mut body).await.unwrap();
        for _ in 0..2 * EVENTS_KEPT_MAX {
            events.tell(&session, Kind::SessionClosed, |_| ());
        }
        let (mut got, mut lost) = (0, 0);
        while got + lost < 2 * EVENTS_KEPT_MAX {
            let text = next(&mut body).await.unwrap();
            assert!(text.len() < 2 * CHUNK, "{}", text.len());
            if let Some(rest) = text.strip_prefix("event: lost\ndata: {\"count\":") {
                lost += rest.split('}').next().unwrap().parse::<usize>().unwrap();
            }
            got += text.matches("id: run-").count();
        }
        assert!(lost >= EVENTS_KEPT_MAX && got > 500, "{lost} {got}");
    }

    #[tokio::test]
    async fn a_reader_of_another_run_is_told_that_something_is_lost() {
        let (events, apps, session, _stop) = events();
        drop(open(&events, &apps, None).unwrap());
        events.tell(&session, Kind::SessionClosed, |_| ());
        let mut body = open(&events, &apps, Some("old-7")).unwrap();
        let text = next(&mut body).await.unwrap();
        assert!(text.contains("event: lost\ndata: {}\n\nid: run-0\n"), "{text}");
        let mut body = open(&events, &apps, Some("run-0")).unwrap();
        assert_eq!(next(&mut body).await.unwrap(), GREETING);
    }

    #[tokio::test]
    async fn streams_are_bounded_and_apps_are_forgotten() {
        let (events, apps, session, _stop) = events();
        let open = || open(&events, &apps, None);
        let mut streams: Vec<_> = (0..EVENT_STREAMS_PER_APP_MAX).map(|_| open().unwrap()).collect();
        assert!(matches!(open(), Err(ApiError::Full(_))));
        streams.pop();
        streams.push(open().unwrap());
        let later = Instant::now() + common::limits::EVENT_ABSENCE_MAX;
        events.sweep(later);
        assert_eq!(events.read().len(), 1, "somebody listens");
        streams.clear();
        events.sweep(later + Duration::from_secs(1));
        assert_eq!((events.read().len(), events.streams()), (0, 0));
        apps.remove("app");
        assert!(matches!(open(), Err(ApiError::NoApp)));
        events.tell(&session, Kind::SessionClosed, |_| panic!("nobody listens"));
    }
}
