//! The stored apps: rows of the table `app`. Called on the store's thread by `api/account.rs`, at
//! start and by the command line. Of a secret it sees the SHA-256 only, which tells nothing about
//! 256 random bits.

use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, OptionalExtension, Row, params};
use schemars::JsonSchema;
use serde::Serialize;

use super::webhooks;
use crate::auth::{Digest, sha256};

/// Most stored apps. Chosen: all of them are kept in memory, at some 200 bytes each.
pub const APPS_MAX: usize = 10_000;
/// Longest name of an app in bytes; chosen.
pub const NAME_MAX: usize = 256;

/// A stored app, as the account API shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct App {
    /// Its id: 32 hexadecimal digits.
    pub uid: String,
    /// What its owner calls it.
    pub name: String,
    /// When it was made (RFC 3339).
    pub created: String,
    /// When its name or secret last changed (RFC 3339).
    pub modified: String,
}

/// Random bits as a new app's id or secret. The secret is told once and kept nowhere.
#[derive(Clone)]
pub struct Credentials {
    /// 32 hexadecimal digits.
    pub uid: String,
    /// 64 hexadecimal digits.
    pub secret: String,
}

impl Credentials {
    /// Draws an id and a secret. None when the system has no random numbers.
    pub fn draw(random: &SystemRandom) -> Option<Self> {
        let mut bytes = [0; 48];
        random.fill(&mut bytes).ok()?;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let (uid, secret) = hex.split_at(32);
        Some(Self { uid: uid.to_owned(), secret: secret.to_owned() })
    }

    /// What is kept of the secret.
    pub fn digest(&self) -> Digest {
        sha256(self.secret.as_bytes())
    }
}

/// A name that an app can have.
///
/// # Errors
/// What is wrong with it.
pub fn name(name: String) -> Result<String, String> {
    if name.len() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(format!("name: at most {NAME_MAX} bytes without control characters"));
    }
    Ok(name)
}

/// What a query for an [`App`] selects.
macro_rules! columns {
    () => {
        "uid, name, strftime('%Y-%m-%dT%H:%M:%SZ', created, 'unixepoch'), \
         strftime('%Y-%m-%dT%H:%M:%SZ', modified, 'unixepoch')"
    };
}

fn app(row: &Row<'_>) -> rusqlite::Result<App> {
    Ok(App { uid: row.get(0)?, name: row.get(1)?, created: row.get(2)?, modified: row.get(3)? })
}

/// Adds an app. None when there are [`APPS_MAX`].
pub fn insert(
    db: &Connection,
    uid: &str,
    digest: &Digest,
    name: &str,
    now: i64,
) -> rusqlite::Result<Option<App>> {
    let sql = concat!(
        "INSERT INTO app (uid, digest, name, created, modified) SELECT ?1, ?2, ?3, ?4, ?4 ",
        "WHERE (SELECT count(*) FROM app) < ?5 RETURNING ",
        columns!()
    );
    db.query_row(sql, params![uid, digest, name, now, APPS_MAX as i64], app).optional()
}

/// All apps, the oldest first.
pub fn list(db: &Connection) -> rusqlite::Result<Vec<App>> {
    let sql = concat!("SELECT ", columns!(), " FROM app ORDER BY created, uid");
    db.prepare(sql)?.query_map([], app)?.collect()
}

/// One app.
pub fn read(db: &Connection, uid: &str) -> rusqlite::Result<Option<App>> {
    let sql = concat!("SELECT ", columns!(), " FROM app WHERE uid = ?1");
    db.query_row(sql, [uid], app).optional()
}

/// Gives an app another name.
pub fn rename(db: &Connection, uid: &str, name: &str, now: i64) -> rusqlite::Result<Option<App>> {
    let sql =
        concat!("UPDATE app SET name = ?2, modified = ?3 WHERE uid = ?1 RETURNING ", columns!());
    db.query_row(sql, params![uid, name, now], app).optional()
}

/// Gives an app another secret.
pub fn rotate(
    db: &Connection,
    uid: &str,
    digest: &Digest,
    now: i64,
) -> rusqlite::Result<Option<App>> {
    let sql =
        concat!("UPDATE app SET digest = ?2, modified = ?3 WHERE uid = ?1 RETURNING ", columns!());
    db.query_row(sql, params![uid, digest, now], app).optional()
}

/// Removes an app with its webhooks. Its usage stays until it is too old.
pub fn delete(db: &Connection, uid: &str) -> rusqlite::Result<Option<App>> {
    let change = db.unchecked_transaction()?;
    let sql = concat!("DELETE FROM app WHERE uid = ?1 RETURNING ", columns!());
    let deleted = change.query_row(sql, [uid], app).optional()?;
    if deleted.is_some() {
        webhooks::delete_of(&change, uid)?;
    }
    change.commit()?;
    Ok(deleted)
}

/// Ids and digests of all apps, for the table that requests are checked against.
pub fn digests(db: &Connection) -> rusqlite::Result<Vec<(String, Digest)>> {
    let sql = "SELECT uid, digest FROM app ORDER BY created, uid";
    db.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
