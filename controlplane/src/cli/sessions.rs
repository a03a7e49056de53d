//! `fanfall sessions`: the live sessions of the running server, by its account API.

use hyper::Method;
use serde_json::Value;

use super::client::Client;
use super::{CliError, row, table};
use crate::config::Config;

/// The table that the command prints.
pub(super) fn text(config: &Config) -> Result<String, CliError> {
    let sessions = list(&Client::new(config)?)?;
    let mut rows = vec![row![
        "SESSION",
        "APP",
        "CONNECTED",
        "CORE",
        "TRACKS",
        "SECONDS",
        "BYTES IN",
        "BYTES OUT",
        "IDENTIFIER"
    ]];
    rows.extend(sessions.iter().map(|session| {
        let number = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
        row![
            session.id,
            session.app,
            if session.connected { "yes" } else { "no" },
            number(session.core),
            session.tracks,
            session.seconds,
            session.ingress,
            session.egress,
            session.identifier
        ]
    }));
    Ok(table(&rows))
}

/// A live session.
pub(super) struct Live {
    pub(super) id: String,
    pub(super) app: String,
    pub(super) identifier: String,
    pub(super) connected: bool,
    pub(super) core: Option<u64>,
    pub(super) tracks: u64,
    pub(super) seconds: u64,
    pub(super) ingress: u64,
    pub(super) egress: u64,
}

/// The server's sessions, the oldest first.
pub(super) fn list(client: &Client) -> Result<Vec<Live>, CliError> {
    let result = client.account(Method::GET, "/sessions", None)?;
    let sessions = result.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(sessions.iter().map(Live::read).collect())
}

impl Live {
    fn read(value: &Value) -> Self {
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let number = |field: &str| value[field].as_u64();
        Self {
            id: text("sessionId"),
            app: text("appId"),
            identifier: text("customIdentifier"),
            connected: value["connected"].as_bool().unwrap_or(false),
            core: number("core"),
            tracks: number("publishedTracks").unwrap_or(0),
            seconds: number("seconds").unwrap_or(0),
            ingress: number("ingressBytes").unwrap_or(0),
            egress: number("egressBytes").unwrap_or(0),
        }
    }
}
