//! GET events: what a request for an event stream asks for.

use std::time::Duration;

use hyper::Request;

use crate::error::ApiError;
use crate::events::{HEARTBEAT, Kind, Wanted};

/// Media type of event streams (WHATWG HTML section 9.2).
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
/// Longest id that can be one of ours.
const ID_MAX: usize = 64;

/// Reads the request's query and headers. `heartbeat_max`: what the connection may idle.
///
/// # Errors
/// [`ApiError::InvalidParams`].
pub(crate) fn wanted<B>(request: &Request<B>, heartbeat_max: Duration) -> Result<Wanted, ApiError> {
    let mut kinds = Kind::ALL.to_vec();
    let query = request.uri().query().unwrap_or_default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if key == "types" {
            kinds = types("types", &value)?;
        }
    }
    let last = request.headers().get("last-event-id").map(|value| value.to_str());
    // What cannot be an id is one that is not known.
    let last =
        last.map(|id| id.ok().filter(|id| id.len() <= ID_MAX).unwrap_or_default().to_owned());
    Ok(Wanted { kinds, last, heartbeat: HEARTBEAT.min(heartbeat_max) })
}

/// Event types by their names.
pub(super) fn types(field: &str, names: &str) -> Result<Vec<Kind>, ApiError> {
    Kind::list(names).map_err(|name| {
        let name: String = name.chars().take(ID_MAX).collect();
        ApiError::InvalidParams(format!("{field}: {name:?} is not a type of events"))
    })
}
