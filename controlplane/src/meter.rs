//! What sessions use, gathered between two writings to the store: the cores report bytes, the
//! tracks are counted once a second.
//!
//! Fed by the event thread (`state/events.rs`), emptied on the store's thread every few seconds, so
//! that a process that is killed loses no more than those. Nothing here waits for the disk, and
//! what could not be written is written with the next.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use rusqlite::Connection;

use crate::state::{Session, lock};
use crate::store::unix_time;
use crate::store::usage::{self, Amount, Usage};

/// Sessions whose use may wait to be written. Chosen: more than a node has; reached only while the
/// disk refuses, and then use is forgotten and logged rather than kept without bound.
const PENDING_MAX: usize = 1 << 18;

/// Gathers use.
#[derive(Debug, Default)]
pub struct Meter {
    pending: Mutex<HashMap<String, Usage>>,
    totals: Mutex<BTreeMap<String, Amount>>,
}

impl Meter {
    /// Counts what a session used.
    pub fn count(&self, session: &Session, amount: Amount) {
        if amount.is_zero() {
            return;
        }
        session.count(amount);
        lock(&self.totals).entry(session.app_id.clone()).or_default().add(amount);
        self.keep(Usage {
            app: session.app_id.clone(),
            session: session.id.clone(),
            identifier: session.identifier.clone(),
            amount,
        });
    }

    fn keep(&self, used: Usage) {
        let mut pending = lock(&self.pending);
        if let Some(known) = pending.get_mut(&used.session) {
            known.amount.add(used.amount);
        } else if pending.len() < PENDING_MAX {
            pending.insert(used.session.clone(), used);
        } else {
            tracing::error!("usage was not written for too long: some of it is forgotten");
        }
    }

    /// Writes what was gathered since the last call, in one transaction. Called on the store's
    /// thread.
    ///
    /// # Errors
    /// The database's; everything is kept for the next call.
    pub fn write(&self, db: &mut Connection) -> rusqlite::Result<()> {
        let used: Vec<Usage> = std::mem::take(&mut *lock(&self.pending)).into_values().collect();
        if used.is_empty() {
            return Ok(());
        }
        usage::add(db, &used, unix_time()).inspect_err(|error| {
            tracing::error!(%error, "usage is not written");
            used.into_iter().for_each(|used| self.keep(used));
        })
    }

    /// What each app used since the process started, by its id.
    pub fn totals(&self) -> BTreeMap<String, Amount> {
        lock(&self.totals).clone()
    }

    /// Forgets the totals of an app that is no more.
    pub fn forget(&self, app: &str) {
        lock(&self.totals).remove(app);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Instant;

    use super::*;
    use crate::auth::AppIndex;
    use crate::state::Owner;
    use crate::store::Store;
    use crate::store::usage::By;

    #[test]
    fn what_cannot_be_written_is_written_with_the_next() {
        let meter = Meter::default();
        let owner = |identifier: &str| Owner {
            app: AppIndex(0),
            app_id: "a".to_owned(),
            identifier: identifier.to_owned(),
        };
        let session = Session::new(owner("ann"), "s".into(), Instant::now());
        let used = |egress| Amount { ingress: 0, egress, track_ms: 0 };
        meter.count(&session, used(3));
        meter.count(&session, used(0));
        assert_eq!(lock(&meter.pending).len(), 1);
        // No tables.
        let mut broken = Connection::open_in_memory().unwrap();
        assert!(meter.write(&mut broken).is_err());
        meter.count(&session, used(4));
        let (store, _thread) = Store::open(None).unwrap();
        let meter = std::sync::Arc::new(meter);
        let there = meter.clone();
        store.run_blocking(move |db| there.write(db)).unwrap();
        let ask = |db: &mut Connection| usage::query(db, "a", (0, i64::MAX), By::Identifier);
        let lines = store.run_blocking(ask).unwrap();
        assert_eq!(
            (lines[0].egress_bytes, lines[0].custom_identifier.as_deref()),
            (7, Some("ann"))
        );
        assert_eq!((meter.totals()["a"], session.used()), (used(7), used(7)));
        assert!(lock(&meter.pending).is_empty());
    }
}
