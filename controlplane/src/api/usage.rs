//! GET usage: what an app's sessions sent, received and published within a range of time.

use serde_json::json;

use super::{Call, Reply};
use crate::error::ApiError;
use crate::store::unix_time;
use crate::store::usage::{self, By, COARSE_SLOT, FINE, LINES_MAX, SLOT};

/// Length of the range when `since` is missing, in seconds; chosen.
const RANGE: i64 = 24 * 3_600;
/// Longest instant that is looked at, in bytes; a date of RFC 3339 with an offset has 25.
const INSTANT_MAX: usize = 40;

/// Sums the stored slots of the call's app.
pub(super) async fn read(call: &Call) -> Result<Reply, ApiError> {
    let (mut since, mut until, mut by) = (None, None, ("app", By::App));
    for (key, value) in form_urlencoded::parse(call.query.as_bytes()) {
        match key.as_ref() {
            "since" => since = Some(value.into_owned()),
            "until" => until = Some(value.into_owned()),
            "by" => by = grouping(&value)?,
            _ => {}
        }
    }
    if [&since, &until].into_iter().flatten().any(|text| text.len() > INSTANT_MAX) {
        return Err(wrong("since, until", "not a date"));
    }
    let app = call.node.apps.id(call.app).ok_or(ApiError::NoApp)?;
    let (asked, now) = (app.clone(), unix_time());
    let found = call.node.store.run(move |db| {
        let read = |text: Option<String>, or: i64| match text {
            Some(text) => usage::instant(db, &text),
            None => Ok(Some(or)),
        };
        let Some(until) = read(until, now)? else { return Ok(Err("until")) };
        let Some(since) = read(since, until.saturating_sub(RANGE))? else {
            return Ok(Err("since"));
        };
        let since = floor(since, now);
        let lines = usage::query(db, &asked, (since, until), by.1)?;
        Ok(Ok((usage::date(db, since)?, usage::date(db, until)?, lines)))
    });
    let (since, until, mut lines) = found.await?.map_err(|field| {
        wrong(field, "neither seconds since 1970 nor a date such as 2026-01-31T12:00:00Z")
    })?;
    let truncated = lines.len() > LINES_MAX;
    lines.truncate(LINES_MAX);
    let reply = json!({
        "appId": app,
        "by": by.0,
        "since": since,
        "until": until,
        "usage": lines,
        "truncated": truncated,
    });
    Ok(Reply::json(200, &reply))
}

/// The beginning of the slot that an instant lies in.
fn floor(instant: i64, now: i64) -> i64 {
    let coarse = instant < now.saturating_sub(FINE);
    let slot = if coarse { COARSE_SLOT } else { SLOT };
    instant.saturating_sub(instant.rem_euclid(slot))
}

fn grouping(text: &str) -> Result<(&'static str, By), ApiError> {
    match text {
        "app" => Ok(("app", By::App)),
        "session" => Ok(("session", By::Session)),
        "customIdentifier" => Ok(("customIdentifier", By::Identifier)),
        _ => Err(wrong("by", "none of app, session, customIdentifier")),
    }
}

fn wrong(field: &str, why: &str) -> ApiError {
    ApiError::InvalidParams(format!("{field}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_begins_where_the_slot_does() {
        let now = 100 * FINE;
        assert_eq!(floor(now - 1, now), now - SLOT);
        assert_eq!(floor(now - SLOT, now), now - SLOT);
        assert_eq!(floor(now - FINE - 1, now), now - FINE - COARSE_SLOT);
        assert_eq!(floor(i64::MIN, now), i64::MIN);
    }
}
