//! The stored webhooks: rows of the table `webhook`. Called on the store's thread by
//! `api/webhooks.rs`, at start, and when a receiver wants no more. Their secrets are not here: they
//! are derived from a key beside the database (`events/sign.rs`).

use rusqlite::{Connection, OptionalExtension, Row, params};

/// Most webhooks of one app. Chosen: a few services of a backend.
pub const WEBHOOKS_PER_APP_MAX: usize = 8;
/// Most webhooks of a node. Chosen: with all of their queues full 256 MiB.
pub const WEBHOOKS_MAX: usize = 1_024;

/// A stored webhook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Its id: 32 hexadecimal digits.
    pub id: String,
    /// Id of its app.
    pub app: String,
    /// Where it goes.
    pub url: String,
    /// Names of its event types, with commas between.
    pub types: String,
    /// Whether events are sent to it.
    pub enabled: bool,
    /// When it was made (RFC 3339).
    pub created: String,
}

/// What of a webhook is to be changed.
#[derive(Clone, Default, Debug)]
pub struct Change {
    /// Where it goes.
    pub url: Option<String>,
    /// Its types.
    pub types: Option<String>,
    /// Whether events are sent to it.
    pub enabled: Option<bool>,
}

/// What a query for a [`Stored`] selects.
macro_rules! columns {
    () => {
        "id, app, url, types, enabled, strftime('%Y-%m-%dT%H:%M:%SZ', created, 'unixepoch')"
    };
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        id: row.get(0)?,
        app: row.get(1)?,
        url: row.get(2)?,
        types: row.get(3)?,
        enabled: row.get(4)?,
        created: row.get(5)?,
    })
}

/// Adds a webhook. None when there are too many.
pub fn insert(
    db: &Connection,
    [id, app, url, types]: [&str; 4],
    now: i64,
) -> rusqlite::Result<Option<Stored>> {
    let sql = concat!(
        "INSERT INTO webhook (id, app, url, types, enabled, created) SELECT ?1, ?2, ?3, ?4, 1, ?5 ",
        "WHERE (SELECT count(*) FROM webhook) < ?6 ",
        "AND (SELECT count(*) FROM webhook WHERE app = ?2) < ?7 RETURNING ",
        columns!()
    );
    let (all, of_app) = (WEBHOOKS_MAX as i64, WEBHOOKS_PER_APP_MAX as i64);
    db.query_row(sql, params![id, app, url, types, now, all, of_app], stored).optional()
}

/// Those of an app, the oldest first.
pub fn list(db: &Connection, app: &str) -> rusqlite::Result<Vec<Stored>> {
    let sql = concat!("SELECT ", columns!(), " FROM webhook WHERE app = ?1 ORDER BY created, id");
    db.prepare(sql)?.query_map([app], stored)?.collect()
}

/// All of them.
pub fn all(db: &Connection) -> rusqlite::Result<Vec<Stored>> {
    db.prepare(concat!("SELECT ", columns!(), " FROM webhook"))?.query_map([], stored)?.collect()
}

/// One of an app.
pub fn read(db: &Connection, app: &str, id: &str) -> rusqlite::Result<Option<Stored>> {
    let sql = concat!("SELECT ", columns!(), " FROM webhook WHERE app = ?1 AND id = ?2");
    db.query_row(sql, [app, id], stored).optional()
}

/// Changes one of an app.
pub fn update(
    db: &Connection,
    app: &str,
    id: &str,
    change: &Change,
) -> rusqlite::Result<Option<Stored>> {
    let sql = concat!(
        "UPDATE webhook SET url = coalesce(?3, url), types = coalesce(?4, types), ",
        "enabled = coalesce(?5, enabled) WHERE app = ?1 AND id = ?2 RETURNING ",
        columns!()
    );
    db.query_row(sql, params![app, id, change.url, change.types, change.enabled], stored).optional()
}

/// Sends no events to it any more.
pub fn disable(db: &Connection, id: &str) -> rusqlite::Result<()> {
    db.execute("UPDATE webhook SET enabled = 0 WHERE id = ?1", [id]).map(drop)
}

/// Removes one of an app.
pub fn delete(db: &Connection, app: &str, id: &str) -> rusqlite::Result<Option<Stored>> {
    let sql = concat!("DELETE FROM webhook WHERE app = ?1 AND id = ?2 RETURNING ", columns!());
    db.query_row(sql, [app, id], stored).optional()
}

/// Removes those of an app that is deleted.
pub(super) fn delete_of(db: &Connection, app: &str) -> rusqlite::Result<()> {
    db.execute("DELETE FROM webhook WHERE app = ?1", [app]).map(drop)
}
