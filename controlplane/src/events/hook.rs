//! One webhook: what it wants, what waits for it, and how its deliveries go. Filled by the feed of
//! its app, emptied by its task (`courier.rs`); the two share nothing else.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::kept::{Kept, Told};
use super::sign::HookKey;
use super::target::Target;
use super::words::Kind;
use crate::state::lock;

/// A webhook.
#[derive(Debug)]
pub(super) struct Hook {
    /// Its id.
    pub(super) id: String,
    /// Where it goes.
    pub(super) target: Target,
    /// What its requests are signed with.
    pub(super) key: HookKey,
    kinds: Vec<Kind>,
    inner: Mutex<Inner>,
    wake: Notify,
    counts: Arc<Counts>,
}

#[derive(Default, Debug)]
struct Inner {
    waiting: Kept,
    /// Whether it ended: deleted, changed, or not wanted any more by its receiver.
    over: bool,
    /// Why the newest attempt failed, if it did.
    error: Option<String>,
}

/// What the deliveries of all webhooks came to.
#[derive(Default, Debug)]
pub(crate) struct Counts {
    /// Events that were taken.
    pub(crate) delivered: AtomicU64,
    /// Attempts that failed.
    pub(crate) failed: AtomicU64,
    /// Events that were never taken.
    pub(crate) dropped: AtomicU64,
}

impl Hook {
    pub(super) fn new(
        id: String,
        target: Target,
        key: HookKey,
        kinds: Vec<Kind>,
        counts: Arc<Counts>,
    ) -> Self {
        let (inner, wake) = (Mutex::default(), Notify::new());
        Self { id, target, key, kinds, inner, wake, counts }
    }

    /// Something happened. The oldest events give way when too many wait.
    pub(super) fn push(&self, told: &Arc<Told>) {
        if !self.kinds.contains(&told.kind) {
            return;
        }
        let mut inner = lock(&self.inner);
        if inner.over {
            return;
        }
        let gone = inner.waiting.push(told.clone());
        drop(inner);
        self.counts.dropped.fetch_add(gone, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// What is to be delivered next.
    pub(super) fn first(&self) -> Option<Arc<Told>> {
        lock(&self.inner).waiting.first().cloned()
    }

    /// Wakes when something is to be delivered, or when it is over.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// An event was delivered.
    pub(super) fn delivered(&self, number: u64) {
        self.counts.delivered.fetch_add(1, Ordering::Relaxed);
        if lock(&self.inner).error.take().is_some() {
            tracing::info!(webhook = self.id, "a webhook takes events again");
        }
        self.forget(number);
    }

    /// An attempt failed.
    pub(super) fn failed(&self, why: String) {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        let mut inner = lock(&self.inner);
        if inner.error.is_none() {
            tracing::warn!(webhook = self.id, why, "a webhook does not take events");
        }
        inner.error = Some(why);
    }

    /// An event was too old.
    pub(super) fn dropped(&self, number: u64) {
        // What gave way meanwhile was counted there.
        let gone = u64::from(self.forget(number));
        self.counts.dropped.fetch_add(gone, Ordering::Relaxed);
    }

    fn forget(&self, number: u64) -> bool {
        let mut inner = lock(&self.inner);
        let there = inner.waiting.first().is_some_and(|told| told.number == number);
        if there {
            inner.waiting.pop();
        }
        there
    }

    /// Ends it; what waits is dropped.
    pub(super) fn end(&self) {
        let mut inner = lock(&self.inner);
        inner.over = true;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        self.counts.dropped.fetch_add(waiting.len() as u64, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Whether it ended.
    pub(super) fn is_over(&self) -> bool {
        lock(&self.inner).over
    }

    /// How many events wait, and why the newest attempt failed, if it did.
    pub(super) fn state(&self) -> (usize, Option<String>) {
        let inner = lock(&self.inner);
        (inner.waiting.len(), inner.error.clone())
    }
}
