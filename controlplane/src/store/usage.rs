//! Stored usage: what each session sent and received in each slot of time. Rows of the table
//! `usage`, written by the meter in one transaction every few seconds, read by `api/usage.rs`; both
//! on the store's thread.
//!
//! Bounded three ways: a slot is five minutes long, after two days an hour; after 35 days it is
//! gone; and beyond five million rows the oldest go first.

use rusqlite::types::ToSql;
use rusqlite::{Connection, params};
use serde::Serialize;

/// Seconds of a new slot. Chosen: as fine as bills and graphs want it.
pub const SLOT: i64 = 300;
/// Seconds of a slot that is older than [`FINE`].
pub const COARSE_SLOT: i64 = 3_600;
/// Age in seconds from which slots are an hour long; a multiple of that.
pub const FINE: i64 = 2 * 24 * 3_600;
/// Age in seconds beyond which slots are forgotten. Chosen: a month's bill and four days to write it.
const KEPT: i64 = 35 * 24 * 3_600;
/// Most rows, at some 100 bytes each. Chosen: 3,000 sessions at any time fit.
const ROWS_MAX: i64 = 5_000_000;
/// Most lines of one answer; the largest come first.
pub const LINES_MAX: usize = 10_000;

/// What a session used since it was last written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Usage {
    /// The app's id.
    pub app: String,
    /// The session's id.
    pub session: String,
    /// What the app calls whoever uses the session; may be empty.
    pub identifier: String,
    /// What was used.
    pub amount: Amount,
}

/// An amount of use.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Amount {
    /// Bytes received from the session's client, as UDP payload.
    pub ingress: u64,
    /// Bytes sent to it.
    pub egress: u64,
    /// Milliseconds of published tracks with packets, summed over the tracks.
    pub track_ms: u64,
}

impl Amount {
    /// Adds another amount.
    pub fn add(&mut self, other: Amount) {
        self.ingress = self.ingress.saturating_add(other.ingress);
        self.egress = self.egress.saturating_add(other.egress);
        self.track_ms = self.track_ms.saturating_add(other.track_ms);
    }

    /// Whether nothing was used.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// What the lines of an answer are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// The app as a whole.
    App,
    /// Each session.
    Session,
    /// Each custom identifier.
    Identifier,
}

/// One line of an answer.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The session, when lines are sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The custom identifier, when lines are sessions or identifiers; empty for those without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_identifier: Option<String>,
    /// Bytes received.
    pub ingress_bytes: i64,
    /// Bytes sent.
    pub egress_bytes: i64,
    /// Seconds of published tracks.
    pub track_seconds: f64,
}

/// Adds what sessions used to the slot of `now`, all of it or nothing. The first call of an hour
/// also forgets what is too old.
pub fn add(db: &mut Connection, used: &[Usage], now: i64) -> rusqlite::Result<()> {
    let slot = now - now.rem_euclid(SLOT);
    let change = db.transaction()?;
    let newest: Option<i64> =
        change.query_row("SELECT max(slot) FROM usage", [], |row| row.get(0))?;
    {
        let mut insert = change.prepare(
            "INSERT INTO usage (app, slot, session, identifier, ingress, egress, track_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT DO UPDATE SET ingress = ingress + excluded.ingress, \
             egress = egress + excluded.egress, track_ms = track_ms + excluded.track_ms",
        )?;
        for Usage { app, session, identifier, amount } in used {
            let [ingress, egress, track_ms] = [amount.ingress, amount.egress, amount.track_ms]
                .map(|value| i64::try_from(value).unwrap_or(i64::MAX));
            insert.execute(params![app, slot, session, identifier, ingress, egress, track_ms])?;
        }
    }
    if newest.is_none_or(|newest| newest / COARSE_SLOT != slot / COARSE_SLOT) {
        forget(&change, slot)?;
    }
    change.commit()
}

/// Makes old slots coarse and drops what is too old or too much.
fn forget(db: &Connection, now: i64) -> rusqlite::Result<()> {
    let fine = now - FINE;
    let fine = fine - fine.rem_euclid(COARSE_SLOT);
    db.execute(
        "INSERT INTO usage SELECT app, slot - slot % ?2, session, max(identifier), sum(ingress), \
         sum(egress), sum(track_ms) FROM usage WHERE slot < ?1 AND slot % ?2 <> 0 GROUP BY 1, 2, 3 \
         ON CONFLICT DO UPDATE SET ingress = ingress + excluded.ingress, \
         egress = egress + excluded.egress, track_ms = track_ms + excluded.track_ms",
        [fine, COARSE_SLOT],
    )?;
    db.execute("DELETE FROM usage WHERE slot < ?1 AND slot % ?2 <> 0", [fine, COARSE_SLOT])?;
    db.execute("DELETE FROM usage WHERE slot < ?1", [now - KEPT])?;
    drop_beyond(db, ROWS_MAX)
}

/// Drops the oldest slots until no more than `rows` rows are left.
fn drop_beyond(db: &Connection, rows: i64) -> rusqlite::Result<()> {
    let dropped = db.execute(
        "DELETE FROM usage WHERE slot <= (SELECT slot FROM usage ORDER BY slot DESC LIMIT 1 OFFSET ?1)",
        [rows],
    )?;
    if dropped != 0 {
        tracing::warn!(rows = dropped, "usage was forgotten before its time: too many sessions");
    }
    Ok(())
}

/// What an app used in the slots that begin from `since` on and before `until`, the largest egress
/// first; at most [`LINES_MAX`] lines and one, which says that there are more.
pub fn query(
    db: &Connection,
    app: &str,
    (since, until): (i64, i64),
    by: By,
) -> rusqlite::Result<Vec<Line>> {
    let (session, identifier, group) = match by {
        By::App => ("NULL", "NULL", ""),
        By::Session => ("session", "max(identifier)", "GROUP BY session"),
        By::Identifier => ("NULL", "identifier", "GROUP BY identifier"),
    };
    let sql = format!(
        "SELECT {session}, {identifier}, coalesce(sum(ingress), 0), coalesce(sum(egress), 0), \
         coalesce(sum(track_ms), 0) FROM usage WHERE app = ?1 AND slot >= ?2 AND slot < ?3 {group} \
         ORDER BY 4 DESC, 1, 2 LIMIT {}",
        LINES_MAX + 1
    );
    let parameters: [&dyn ToSql; 3] = [&app, &since, &until];
    let mut statement = db.prepare(&sql)?;
    let lines = statement.query_map(parameters, |row| {
        Ok(Line {
            session_id: row.get(0)?,
            custom_identifier: row.get(1)?,
            ingress_bytes: row.get(2)?,
            egress_bytes: row.get(3)?,
            track_seconds: row.get::<_, i64>(4)? as f64 / 1e3,
        })
    })?;
    lines.collect()
}

/// The instant that `text` names, in seconds since 1970: a number of them, or a date of RFC 3339.
/// None when it is neither.
pub fn instant(db: &Connection, text: &str) -> rusqlite::Result<Option<i64>> {
    if let Ok(seconds) = text.parse() {
        return Ok(Some(seconds));
    }
    db.query_row("SELECT unixepoch(?1)", [text], |row| row.get(0))
}

/// An instant as a date of RFC 3339.
pub fn date(db: &Connection, seconds: i64) -> rusqlite::Result<String> {
    let sql = "SELECT coalesce(strftime('%Y-%m-%dT%H:%M:%SZ', ?1, 'unixepoch'), '')";
    db.query_row(sql, [seconds], |row| row.get(0))
}
