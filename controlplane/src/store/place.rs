//! Where the database lies: a directory of its owner alone, one process at a time, and a file that
//! is looked at before it is written to. Called by `mod.rs` at start.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{StoreError, schema};

const DATABASE: &str = "fanfall.db";
const LOCK: &str = "lock";
const KEY: &str = "key";
const KEY_NEW: &str = "key.new";
/// What others than the owner may do with a file or directory.
const OTHERS: u32 = 0o077;

/// Opens the database of a directory. The file is the lock on the directory: it is held while it is
/// open, also by a process that is killed.
pub(super) fn open(directory: &Path) -> Result<(Connection, File), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(at(directory))?;
    private_directory(directory)?;
    let path = directory.join(LOCK);
    let lock = private(&path).map_err(at(&path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StoreError::InUse { path: directory.to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(StoreError::Place { path, source }),
    }
    let path = directory.join(DATABASE);
    // SQLite gives its other files the mode of this one.
    let file = private(&path).map_err(at(&path))?;
    if file.metadata().map_err(at(&path))?.len() > 0 {
        look(&path)?;
    }
    let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // A commit is on the disk before its app is told of.
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    Ok((connection, lock))
}

/// The key that is kept in a directory; `fresh` becomes it when there is none. The caller has the
/// lock.
pub(super) fn key(directory: &Path, fresh: &[u8; 32]) -> Result<[u8; 32], StoreError> {
    let path = directory.join(KEY);
    match std::fs::read(&path) {
        Ok(bytes) => bytes
            .try_into()
            .map_err(|_| StoreError::Unsound { path, reason: "a key has 32 bytes".to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Either all of it is there or nothing, whenever the process is killed.
            let new = directory.join(KEY_NEW);
            let written = private(&new).and_then(|mut file| {
                file.set_len(0)?;
                file.write_all(fresh)?;
                file.sync_all()?;
                std::fs::rename(&new, &path)?;
                File::open(directory)?.sync_all()
            });
            written.map_err(at(&path)).map(|()| *fresh)
        }
        Err(source) => Err(StoreError::Place { path, source }),
    }
}

/// Looks at a directory and what is in it, if it is there.
pub(super) fn check(directory: &Path) -> Result<(), StoreError> {
    if !directory.try_exists().map_err(at(directory))? {
        return Ok(());
    }
    private_directory(directory)?;
    let path = directory.join(DATABASE);
    match path.metadata() {
        Ok(file) if file.len() > 0 => look(&path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StoreError::Place { path, source }),
    }
}

fn private_directory(directory: &Path) -> Result<(), StoreError> {
    let mode = directory.metadata().map_err(at(directory))?.mode();
    if mode & OTHERS == 0 {
        Ok(())
    } else {
        Err(StoreError::Exposed { path: directory.to_owned() })
    }
}

/// Says where the system failed.
fn at(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::Place { path, source }
}

/// Looks at an existing database without changing a byte of it.
///
/// # Errors
/// [`StoreError::Newer`], [`StoreError::Unsound`].
fn look(path: &Path) -> Result<(), StoreError> {
    let unsound = |reason: String| StoreError::Unsound { path: path.to_owned(), reason };
    let failed = |error: rusqlite::Error| unsound(error.to_string());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, found) = (pragma("application_id"), pragma("user_version"));
    if application.map_err(failed)? != schema::APPLICATION {
        return Err(unsound("it is another program's".to_owned()));
    }
    let (found, known) = (found.map_err(failed)?, schema::VERSION);
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    let verdict: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict == "ok" { Ok(()) } else { Err(unsound(verdict)) }
}

/// Opens a file of the owner alone, making it when it is missing.
fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path)?;
    if file.metadata()?.mode() & OTHERS != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}
