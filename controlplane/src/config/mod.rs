//! Settings of the process: parsed once, validated once, immutable afterwards.
//!
//! `main.rs` calls [`Config::from_args`]; tests build a [`Config`] from [`Config::default`]. A
//! wrong setting is refused with the flag, variable or file line it stands in and the reason. Never
//! puts a secret into an error or into `Debug`.

mod commands;
mod settings;
mod sources;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sources::{Layers, Raw};

use crate::events::WebhookLimits;
use crate::tls::TlsFiles;
pub use commands::{AppTask, Task};

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address of the HTTP API; port 0 takes a free one.
    pub http: SocketAddr,
    /// Certificate and key of the HTTP API; None: it is plain.
    pub tls: Option<TlsFiles>,
    /// Local addresses of the media sockets: one or two, of different families.
    pub media_binds: Vec<IpAddr>,
    /// Port of all media; 0 takes a free one.
    pub media_port: u16,
    /// Whether media may come over TCP.
    pub media_tcp: bool,
    /// Addresses told to clients; empty: found on the host. Port None is the media port.
    pub announce: Vec<Announced>,
    /// Number of media threads, 1 to [`common::limits::CORES_MAX`].
    pub cores: usize,
    /// Whether each media thread is pinned to a CPU.
    pub pin: bool,
    /// How datagrams move.
    pub driver: Driver,
    /// The apps; empty: one is generated.
    pub apps: Vec<AppConfig>,
    /// Directory of what outlives the process; None: nothing does.
    pub state: Option<PathBuf>,
    /// Token of the account API; None: that API is off.
    pub account_token: Option<Secret>,
    /// Token of the dashboard; None: it is open on loopback and off elsewhere.
    pub dashboard_token: Option<Secret>,
    /// Log filter in the syntax of `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// Whether the page may use the first app without its secret.
    pub page: bool,
    /// Whether webhooks may go to private networks, and over plain HTTP.
    pub webhook_private: bool,
    /// Limits of the HTTP server. Not settable by the operator.
    pub limits: HttpLimits,
    /// Deadlines of webhooks. Not settable by the operator.
    pub webhooks: WebhookLimits,
}

/// An address told to clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announced {
    /// Address.
    pub ip: IpAddr,
    /// Port, when it is not the media port (port translation).
    pub port: Option<u16>,
}

/// Which driver moves datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Driver {
    /// io_uring where the kernel allows it, else mmsg.
    Auto,
    /// io_uring or refuse to start.
    Uring,
    /// recvmmsg and sendmmsg.
    Mmsg,
}

/// One app: a name space of sessions and the secret that opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct AppConfig {
    /// Id, as in the API's paths.
    pub id: String,
    /// Bearer secret.
    pub secret: String,
}

impl std::fmt::Debug for AppConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppConfig").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Deadlines and caps of the HTTP server.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// From the first wait for a request to its complete head; also how long a connection may idle,
    /// and how long its TLS handshake may take.
    pub head: Duration,
    /// From the head of a request to the end of its body.
    pub body: Duration,
    /// Longest body in bytes. Contract section 8: a 64-section session is some 150 KB.
    pub body_bytes: usize,
    /// Most connections at a time.
    pub connections: usize,
    /// Most connections from one address at a time.
    pub connections_per_address: usize,
    /// How long requests in progress may take after a stop was asked for.
    pub drain: Duration,
    /// How long a changed certificate may go unseen.
    pub tls_look: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            body: Duration::from_secs(15),
            body_bytes: 1 << 20,
            connections: 8_192,
            connections_per_address: 4_096,
            drain: Duration::from_secs(3),
            tls_look: Duration::from_secs(5),
        }
    }
}

/// A setting that was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{origin}: {reason}")]
pub struct ConfigError {
    /// Flag, variable, or file and line.
    pub origin: String,
    /// What is wrong with it.
    pub reason: String,
}

impl ConfigError {
    fn new(origin: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { origin: origin.into(), reason: reason.into() }
    }
}

/// Why [`Config::from_args`] returned no configuration.
#[derive(Debug)]
pub enum Refusal {
    /// Help or version was asked for, or the command line does not parse; clap words the message.
    Command(clap::Error),
    /// A setting is wrong.
    Setting(ConfigError),
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Refusal::Setting(error)
    }
}

impl Default for Config {
    /// The embedded defaults.
    fn default() -> Self {
        Self {
            http: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 8080),
            tls: None,
            media_binds: default_binds(),
            media_port: 1473,
            media_tcp: true,
            announce: Vec::new(),
            cores: default_cores(),
            pin: true,
            driver: Driver::Auto,
            apps: Vec::new(),
            state: None,
            account_token: None,
            dashboard_token: None,
            log: "info".to_owned(),
            page: true,
            webhook_private: false,
            limits: HttpLimits::default(),
            webhooks: WebhookLimits::default(),
        }
    }
}

impl Config {
    /// Reads flags, environment and file.
    ///
    /// # Errors
    /// [`Refusal::Command`] for help, version and unknown flags; [`Refusal::Setting`] for a value
    /// that is refused. The process prints it and ends.
    pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Self, Refusal> {
        Self::with_task(args).map(|(config, _)| config)
    }

    /// [`Config::from_args`] with what the binary is asked to do.
    ///
    /// # Errors
    /// As there.
    pub fn with_task(args: impl IntoIterator<Item = OsString>) -> Result<(Self, Task), Refusal> {
        let matches = sources::command().try_get_matches_from(args).map_err(Refusal::Command)?;
        let config = Self::from_layers(&sources::read(&matches)?)?;
        Ok((config, commands::task(&matches)))
    }

    fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        let http = parsed(layers.one("http"), http)?.unwrap_or(defaults.http);
        Ok(Self {
            http,
            tls: tls(layers)?,
            media_binds: media_binds(layers.all("media_bind"))?.unwrap_or(defaults.media_binds),
            media_port: parsed(layers.one("media_port"), number)?.unwrap_or(defaults.media_port),
            media_tcp: parsed(layers.one("media_tcp"), switch)?.unwrap_or(defaults.media_tcp),
            announce: layers.all("announce").iter().map(announced).collect::<Result<_, _>>()?,
            cores: parsed(layers.one("cores"), cores)?.unwrap_or(defaults.cores),
            pin: parsed(layers.one("pin"), switch)?.unwrap_or(defaults.pin),
            driver: parsed(layers.one("driver"), driver)?.unwrap_or(defaults.driver),
            apps: apps(layers)?,
            state: parsed(layers.one("state"), state)?,
            account_token: parsed(layers.one("account_token"), secret)?.map(Secret),
            dashboard_token: parsed(layers.one("dashboard_token"), secret)?.map(Secret),
            log: parsed(layers.one("log"), filter)?.unwrap_or(defaults.log),
            page: parsed(layers.one("page"), switch)?.unwrap_or(http.ip().is_loopback()),
            webhook_private: parsed(layers.one("webhook_private"), switch)?
                .unwrap_or(defaults.webhook_private),
            limits: defaults.limits,
            webhooks: defaults.webhooks,
        })
    }
}

/// Applies a parser of one text and puts the origin in front of its complaint.
fn parsed<T>(
    raw: Option<&Raw>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, ConfigError> {
    raw.map(|raw| parse(&raw.text).map_err(|reason| ConfigError::new(&raw.origin, reason)))
        .transpose()
}

fn http(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not ADDRESS:PORT (such as 127.0.0.1:8080)"))
}

fn tls(layers: &Layers) -> Result<Option<TlsFiles>, ConfigError> {
    match (layers.one("tls_cert"), layers.one("tls_key")) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => {
            Ok(Some(TlsFiles { cert: cert.text.clone().into(), key: key.text.clone().into() }))
        }
        (Some(cert), None) => Err(ConfigError::new(&cert.origin, "tls_key is missing")),
        (None, Some(key)) => Err(ConfigError::new(&key.origin, "tls_cert is missing")),
    }
}

fn number(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("{text:?} is not a port number from 0 to 65535"))
}

fn cores(text: &str) -> Result<usize, String> {
    let max = common::limits::CORES_MAX;
    text.parse()
        .ok()
        .filter(|cores| (1..=max).contains(cores))
        .ok_or_else(|| format!("{text:?} is not a number of cores from 1 to {max}"))
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" | "1" => Ok(true),
        "off" | "false" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither on nor off")),
    }
}

fn driver(text: &str) -> Result<Driver, String> {
    match text {
        "auto" => Ok(Driver::Auto),
        "uring" => Ok(Driver::Uring),
        "mmsg" => Ok(Driver::Mmsg),
        _ => Err(format!("{text:?} is none of auto, uring, mmsg")),
    }
}

fn filter(text: &str) -> Result<String, String> {
    match text.parse::<tracing_subscriber::filter::targets::Targets>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{text:?} is not a log filter: {error}")),
    }
}

fn state(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("names no directory".to_owned()) } else { Ok(text.into()) }
}

/// A secret of whatever kind; its text is in no complaint.
fn secret(text: &str) -> Result<String, String> {
    if (16..=256).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err("a secret is 16 to 256 printable characters without spaces".to_owned())
}

/// An IP address, with or without the brackets of IPv6.
fn ip(text: &str) -> Option<IpAddr> {
    text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text).parse().ok()
}

fn media_binds(raws: &[Raw]) -> Result<Option<Vec<IpAddr>>, ConfigError> {
    let mut binds: Vec<IpAddr> = Vec::new();
    for raw in raws {
        let refused = |reason: String| ConfigError::new(&raw.origin, reason);
        let bind =
            ip(&raw.text).ok_or_else(|| refused(format!("{:?} is not an IP address", raw.text)))?;
        if binds.iter().any(|other| other.is_ipv4() == bind.is_ipv4()) {
            return Err(refused(format!("{bind} is a second address of the same family")));
        }
        binds.push(bind);
    }
    Ok((!binds.is_empty()).then_some(binds))
}

fn announced(raw: &Raw) -> Result<Announced, ConfigError> {
    let refused = |reason: &str| ConfigError::new(&raw.origin, format!("{:?} {reason}", raw.text));
    let announced = match (ip(&raw.text), raw.text.parse::<SocketAddr>()) {
        (Some(ip), _) => Announced { ip, port: None },
        (None, Ok(address)) => Announced { ip: address.ip(), port: Some(address.port()) },
        (None, Err(_)) => return Err(refused("is neither IP nor IP:PORT")),
    };
    if announced.ip.is_unspecified() || announced.ip.is_multicast() || announced.port == Some(0) {
        return Err(refused("is no address a client could send to"));
    }
    Ok(announced)
}

fn apps(layers: &Layers) -> Result<Vec<AppConfig>, ConfigError> {
    let mut apps: Vec<AppConfig> = Vec::new();
    let mut pairs: Vec<(&Raw, &Raw)> = Vec::new();
    match (layers.one("app_id"), layers.one("app_secret")) {
        (Some(id), Some(secret)) => pairs.push((id, secret)),
        (Some(id), None) => return Err(ConfigError::new(&id.origin, "app_secret is missing")),
        (None, Some(secret)) => {
            return Err(ConfigError::new(&secret.origin, "app_id is missing"));
        }
        (None, None) => pairs.extend(layers.apps.iter().map(|app| (&app.id, &app.secret))),
    }
    for (id, secret) in pairs {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !(1..=64).contains(&id.text.len()) || !id.text.chars().all(allowed) {
            let reason = "an app id is 1 to 64 letters, digits, '-' or '_'";
            return Err(ConfigError::new(&id.origin, reason));
        }
        parsed(Some(secret), self::secret)?;
        if apps.iter().any(|app| app.id == id.text) {
            return Err(ConfigError::new(&id.origin, format!("app {:?} is listed twice", id.text)));
        }
        apps.push(AppConfig { id: id.text.clone(), secret: secret.text.clone() });
    }
    Ok(apps)
}

fn default_cores() -> usize {
    std::thread::available_parallelism()
        .map_or(1, std::num::NonZeroUsize::get)
        .min(common::limits::CORES_MAX)
}

/// The families of which a socket can be bound.
fn default_binds() -> Vec<IpAddr> {
    let families = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    families.into_iter().filter(|ip| std::net::UdpSocket::bind((*ip, 0)).is_ok()).collect()
}
