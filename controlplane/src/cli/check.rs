//! `fanfall check-config`: that the settings hold, and what they come to. Changes nothing, also when
//! a server runs with them.

use super::{CliError, row, table};
use crate::config::Config;
use crate::store;

/// What the command prints when all is well; no secret is in it.
pub(super) fn text(config: &Config) -> Result<String, CliError> {
    if let Some(directory) = &config.state {
        store::check(directory)?;
    }
    let switch = |on: bool| if on { "on" } else { "off" };
    let list = |items: Vec<String>, none: &str| {
        if items.is_empty() { none.to_owned() } else { items.join(", ") }
    };
    let binds = config.media_binds.iter().map(ToString::to_string).collect();
    let announced = config.announce.iter().map(|announced| match announced.port {
        Some(port) => std::net::SocketAddr::new(announced.ip, port).to_string(),
        None => announced.ip.to_string(),
    });
    let apps = config.apps.iter().map(|app| app.id.clone()).collect();
    let state = config.state.as_ref().map(|path| path.display().to_string());
    let rows = [
        row!["http", config.http],
        row!["media-bind", list(binds, "none")],
        row!["media-port", config.media_port],
        row!["media-tcp", switch(config.media_tcp)],
        row!["announce", list(announced.collect(), "the host's addresses")],
        row!["cores", config.cores],
        row!["pin", switch(config.pin)],
        row!["driver", format!("{:?}", config.driver).to_lowercase()],
        row!["apps", list(apps, "those of the state, else one is generated")],
        row!["state", state.as_deref().unwrap_or("in memory")],
        row!["account-token", if config.account_token.is_some() { "set" } else { "none" }],
        row!["log", config.log],
        row!["page", switch(config.page)],
    ];
    Ok(table(&rows))
}
