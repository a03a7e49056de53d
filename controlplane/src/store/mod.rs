//! What outlives the process: the apps that were made at run time, their webhooks, and usage. One
//! SQLite database, one thread that owns its only connection; and beside it a random key.
//!
//! `api/account.rs`, the usage meter and the command line give it work ([`Store::run`]). No request
//! waits for it but those that change or read what is stored; no other thread ever touches the
//! database. Of secrets it is given digests only.

pub mod apps;
mod place;
mod schema;
#[cfg(test)]
mod tests;
pub mod usage;
pub mod webhooks;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::Connection;
use tokio::sync::oneshot;

/// Pieces of work that may wait. Chosen: one takes about a millisecond; who comes later is told to
/// come again.
const QUEUE: usize = 256;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory or the file in it cannot be made or opened.
    #[error("{path}: {source}")]
    Place {
        /// Directory or file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Others than its owner may enter the directory.
    #[error("{path}: others may read or write there: chmod 700 {path}")]
    Exposed {
        /// The directory.
        path: PathBuf,
    },
    /// Another process works on the directory.
    #[error("{path}: another server uses this directory")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file was written by a later version of this program.
    #[error("{path}: written by a later version (schema {found}; this one knows {known})")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file is another program's, or damaged. It is left as it is.
    #[error("{path}: not a sound database of this program: {reason}")]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// The database failed: no room, most likely.
    #[error("the database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// The system gave no random numbers.
    #[error("the system's random source failed")]
    Random,
    /// Too much work waits.
    #[error("too much to write at once")]
    Busy,
    /// The store's thread ended.
    #[error("not running")]
    Ended,
}

/// What waits for the thread; None ends it.
type Job = Option<Box<dyn FnOnce(&mut Connection) + Send>>;

/// A way to the store; clones lead to the same.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: SyncSender<Job>,
}

/// The store's thread. Dropping this lets it do what waits, ends it, and closes the database; what
/// a [`Store`] is given afterwards is refused.
#[derive(Debug)]
pub struct StoreThread {
    jobs: SyncSender<Job>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the database of a directory, which is made if it is missing; without one, a database
    /// in memory that ends with the process.
    ///
    /// # Errors
    /// Any [`StoreError`] but the last two; what is there is left as it is.
    pub fn open(directory: Option<&Path>) -> Result<(Self, StoreThread), StoreError> {
        let (mut connection, lock) = match directory {
            Some(directory) => place::open(directory).map(|(file, lock)| (file, Some(lock)))?,
            None => (Connection::open_in_memory()?, None),
        };
        schema::migrate(&mut connection)?;
        let (jobs, waiting) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("fanfall-store".into())
            .spawn(move || {
                work(connection, &waiting);
                drop(lock);
            })
            .map_err(|source| StoreError::Place { path: PathBuf::new(), source })?;
        Ok((Self { jobs: jobs.clone() }, StoreThread { jobs, thread: Some(thread) }))
    }

    /// Does `work` on the store's thread and waits for its result. It is done even when nobody waits
    /// any more.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Ended`], [`StoreError::Database`].
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.give(work)?.await.map_err(|_| StoreError::Ended)?.map_err(StoreError::Database)
    }

    /// [`Store::run`] for threads that may block.
    ///
    /// # Errors
    /// As there.
    pub fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.give(work)?;
        result.blocking_recv().map_err(|_| StoreError::Ended)?.map_err(StoreError::Database)
    }

    /// Has `work` done some time, and waits for nothing.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Ended`]: it will not be done.
    pub fn post(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<(), StoreError> {
        self.give(work).map(drop)
    }

    fn give<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<oneshot::Receiver<rusqlite::Result<T>>, StoreError> {
        let (tell, result) = oneshot::channel();
        let job = Box::new(move |connection: &mut Connection| {
            // Whoever asked may have gone.
            let _ = tell.send(work(connection));
        });
        self.jobs.try_send(Some(job)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Ended,
        })?;
        Ok(result)
    }
}

impl Drop for StoreThread {
    fn drop(&mut self) {
        // Fails when the thread ended before.
        let _ = self.jobs.send(None);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread ended by a panic");
        }
    }
}

fn work(mut connection: Connection, jobs: &Receiver<Job>) {
    while let Ok(Some(job)) = jobs.recv() {
        job(&mut connection);
    }
    if let Err((_, error)) = connection.close() {
        tracing::error!(%error, "the database was not closed");
    }
}

/// The key of a directory whose database is open, drawn when it is first asked for; without a
/// directory one that ends with the process. It is in a file of its own, so that the database alone,
/// or a copy of it, tells nothing that is derived from the key.
///
/// # Errors
/// [`StoreError::Place`], [`StoreError::Unsound`]; [`StoreError::Random`].
pub fn key(directory: Option<&Path>, random: &SystemRandom) -> Result<[u8; 32], StoreError> {
    let mut fresh = [0; 32];
    random.fill(&mut fresh).map_err(|_| StoreError::Random)?;
    directory.map_or(Ok(fresh), |directory| place::key(directory, &fresh))
}

/// Whether a directory can hold our database, or does: changes nothing and waits for nobody.
///
/// # Errors
/// [`StoreError::Place`], [`StoreError::Exposed`], [`StoreError::Newer`], [`StoreError::Unsound`].
pub fn check(directory: &Path) -> Result<(), StoreError> {
    place::check(directory)
}

/// Seconds since 1970 by the wall clock.
pub fn unix_time() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
