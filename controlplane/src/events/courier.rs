//! Delivers events to webhooks: a thread of its own with a task for each, so that no receiver, however
//! it behaves, holds up another, the API or media.
//!
//! A task sends its events one by one in their order. One that is not taken (no reply in time, or a
//! status other than 2xx) is sent again after a wait that doubles, spread by chance, until it is too
//! old. 410 means that the receiver wants no more: the webhook is disabled.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

use super::hook::Hook;
use super::kept::Told;
use super::line::{Line, Message};
use crate::store::{Store, unix_time, webhooks};

/// How long a stop waits for what can be delivered at once; chosen.
const DRAIN: Duration = Duration::from_millis(1_000);

/// Names that are looked up at a time. Chosen: one whose servers do not answer takes half a minute,
/// and must not hold up others.
const LOOK_UPS_MAX: usize = 64;

/// Deadlines of deliveries. Not settable by the operator.
#[derive(Clone, Copy, Debug)]
pub struct WebhookLimits {
    /// From the look-up of the name to the end of the reply's head.
    pub attempt: Duration,
    /// Wait after the first attempt; each one after that is twice as long.
    pub backoff: Duration,
    /// Longest wait between two attempts.
    pub backoff_max: Duration,
    /// An event is dropped when it is older.
    pub age: Duration,
}

impl Default for WebhookLimits {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(5),
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(120),
            age: Duration::from_secs(3_600),
        }
    }
}

/// A way to the thread.
#[derive(Debug)]
pub struct Courier {
    limits: WebhookLimits,
    /// Whether private networks may be spoken to.
    private: bool,
    store: Store,
    runtime: Handle,
    /// True: the server stops.
    stop: watch::Sender<bool>,
}

/// The thread; dropping it ends it, after what can be delivered at once.
#[derive(Debug)]
pub struct CourierThread {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Courier {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's, when no thread can be started.
    pub fn start(
        limits: WebhookLimits,
        private: bool,
        store: Store,
    ) -> std::io::Result<(Self, CourierThread)> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOK_UPS_MAX)
            .build()?;
        let handle = runtime.handle().clone();
        let stop = watch::Sender::new(false);
        let (told, name) = (stop.clone(), "fanfall-webhooks".to_owned());
        let thread = std::thread::Builder::new().name(name).spawn(move || run(runtime, &told))?;
        let courier = Self { limits, private, store, runtime: handle, stop: stop.clone() };
        Ok((courier, CourierThread { stop, thread: Some(thread) }))
    }

    /// Whether private networks may be spoken to.
    pub(super) fn private(&self) -> bool {
        self.private
    }

    /// Delivers what a webhook gets, until it is over.
    pub(super) fn serve(self: &Arc<Self>, hook: Arc<Hook>) {
        let (stop, wait) = (self.stop.subscribe(), self.limits.backoff);
        self.runtime.spawn(Task { courier: self.clone(), hook, stop, wait }.run());
    }
}

impl Drop for CourierThread {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of webhooks ended by a panic");
        }
    }
}

fn run(runtime: Runtime, stop: &watch::Sender<bool>) {
    runtime.block_on(async {
        let mut stopped = stop.subscribe();
        let _ = stopped.wait_for(|stop| *stop).await;
        drop(stopped);
        // Every task has a receiver while it runs.
        let _ = tokio::time::timeout(DRAIN, stop.closed()).await;
    });
    // A look-up of a name may hang as long as it likes.
    runtime.shutdown_background();
}

/// The deliveries of one webhook.
struct Task {
    courier: Arc<Courier>,
    hook: Arc<Hook>,
    stop: watch::Receiver<bool>,
    /// Wait after the next attempt that fails.
    wait: Duration,
}

impl Task {
    async fn run(mut self) {
        let mut line = Line::default();
        while !self.hook.is_over() {
            let Some(told) = self.hook.first() else {
                // What comes some time later finds another connection.
                line.close();
                if *self.stop.borrow() {
                    return;
                }
                tokio::select! {
                    () = self.hook.woken() => {}
                    _ = self.stop.changed() => {}
                }
                continue;
            };
            if told.at.elapsed() >= self.courier.limits.age {
                self.hook.dropped(told.number);
            } else if self.attempt(&told, &mut line).await {
                self.wait = self.courier.limits.backoff;
            } else {
                line.close();
                if *self.stop.borrow() {
                    return;
                }
                self.pause().await;
            }
        }
    }

    /// Waits before the next attempt, whatever event that is for.
    async fn pause(&mut self) {
        let wake = Instant::now() + spread(self.wait);
        self.wait = (self.wait * 2).min(self.courier.limits.backoff_max);
        while Instant::now() < wake && !self.hook.is_over() && !*self.stop.borrow() {
            tokio::select! {
                // More events, which have to wait as well; or it is over.
                () = self.hook.woken() => {}
                _ = self.stop.changed() => {}
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    /// Tries once. True when nothing more is to be done for the event.
    async fn attempt(&mut self, told: &Told, line: &mut Line) -> bool {
        let timestamp = u64::try_from(unix_time()).unwrap_or_default();
        let signature = self.hook.key.sign(&told.id, timestamp, &told.json);
        let body = told.json.clone();
        let message = Message { id: &told.id, timestamp, signature, body };
        let post = line.post(&self.hook.target, self.courier.private, &message);
        match tokio::time::timeout(self.courier.limits.attempt, post).await {
            Ok(Ok(200..300)) => {
                self.hook.delivered(told.number);
                line.settle().await;
                return true;
            }
            Ok(Ok(410)) => {
                self.hook.failed("status 410: its receiver wants no more".to_owned());
                self.disable();
                return true;
            }
            Ok(Ok(status)) => self.hook.failed(format!("status {status}")),
            Ok(Err(error)) => self.hook.failed(error.to_string()),
            Err(_) => self.hook.failed("no reply in time".to_owned()),
        }
        false
    }

    /// The receiver wants no more.
    fn disable(&self) {
        tracing::warn!(webhook = self.hook.id, "its receiver answered 410: it is disabled");
        self.hook.end();
        let id = self.hook.id.clone();
        let disabled = self.courier.store.post(move |db| webhooks::disable(db, &id));
        if let Err(error) = disabled {
            tracing::error!(%error, "a webhook stays enabled after a restart");
        }
    }
}

/// Half of a wait to the whole of it, by chance: receivers that come back are not all called at once.
fn spread(wait: Duration) -> Duration {
    let mut byte = [0];
    // Without random numbers nothing is spread.
    let _ = SystemRandom::new().fill(&mut byte);
    wait / 2 + wait / 2 * u32::from(byte[0]) / 255
}
