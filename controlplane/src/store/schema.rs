//! The tables, step by step: `user_version` says how many steps a database has had. A step that was
//! released is never changed; what is new is another one.

use rusqlite::Connection;

/// `application_id` of our databases: "FNFL".
pub(super) const APPLICATION: i64 = 0x464e_464c;

/// The steps. Times are in seconds since 1970, bytes are UDP payload.
const STEPS: [&str; 2] = [
    "
CREATE TABLE app (
    uid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT, WITHOUT ROWID;
CREATE TABLE usage (
    app TEXT NOT NULL,
    slot INTEGER NOT NULL,
    session TEXT NOT NULL,
    identifier TEXT NOT NULL,
    ingress INTEGER NOT NULL,
    egress INTEGER NOT NULL,
    track_ms INTEGER NOT NULL,
    PRIMARY KEY (app, slot, session)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_by_slot ON usage (slot);
",
    "
CREATE TABLE webhook (
    id TEXT PRIMARY KEY,
    app TEXT NOT NULL,
    url TEXT NOT NULL,
    types TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_by_app ON webhook (app);
",
];

/// Steps this program knows.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Takes the steps that a database lacks, each whole or not at all.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let had: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (step, version) in STEPS.iter().zip(1..).skip(usize::try_from(had).unwrap_or(0)) {
        let change = connection.transaction()?;
        change.execute_batch(step)?;
        change.pragma_update(None, "application_id", APPLICATION)?;
        change.pragma_update(None, "user_version", version as i64)?;
        change.commit()?;
    }
    Ok(())
}
