//! Starts and stops everything: data plane, event thread, HTTP server on its own runtime thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use dataplane::{DataPlane, DriverChoice, DriverKind, Pinning};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::auth::Apps;
use crate::config::{AppConfig, Config, Driver};
use crate::endpoints::{RouteError, Routes};
use crate::host::Host;
use crate::metrics::Metrics;
use crate::respond::Responder;
use crate::server;
use crate::state::{EventThread, Node, announced_addresses};
use crate::tls::{Certificates, TlsError};

/// Threads of the HTTP runtime. Chosen: a request costs tens of microseconds of processor time;
/// the media threads need the rest.
const HTTP_THREADS: usize = 2;
/// Descriptors a process has where the system does not say: the usual soft limit.
const DESCRIPTORS: usize = 1_024;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The HTTP address cannot be bound.
    #[error("http: cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The certificate cannot be served.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// No address to tell clients.
    #[error("announce: the host has no address clients could reach; name one with --announce")]
    NothingToAnnounce,
    /// The data plane did not start.
    #[error("media: {0}")]
    Media(#[from] dataplane::StartError),
    /// A fault of the route table.
    #[error(transparent)]
    Routes(#[from] RouteError),
    /// A thread or the runtime could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The system gave no random numbers.
    #[error("the system's random source failed")]
    Random,
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    /// Where the API and the page are.
    pub http_addr: SocketAddr,
    /// Whether they are served over HTTPS.
    pub https: bool,
    /// Port of all media.
    pub media_port: u16,
    /// Whether media may come over TCP too.
    pub media_tcp: bool,
    /// Addresses told to clients.
    pub announced: Vec<SocketAddr>,
    /// The apps; the generated one when the settings name none.
    pub apps: Vec<AppConfig>,
    /// Which driver moves datagrams.
    pub driver: DriverKind,
    /// Why it is not io_uring, when that was allowed.
    pub fallback_reason: Option<String>,
    /// Number of media threads.
    pub cores: usize,
    stop: watch::Sender<bool>,
    serving: Option<JoinHandle<()>>,
    events: Option<EventThread>,
    node: Option<Arc<Node>>,
}

/// Starts the server; it serves when this returns.
///
/// # Errors
/// See [`StartError`]; nothing is left running.
pub fn start(config: Config) -> Result<Running, StartError> {
    let random = SystemRandom::new();
    let apps = match config.apps.is_empty() {
        true => vec![generated_app(&random)?],
        false => config.apps.clone(),
    };
    let certificates = config.tls.clone().map(Certificates::load).transpose()?.map(Arc::new);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(HTTP_THREADS)
        .thread_name("fanfall-http")
        .enable_all()
        .build()?;
    let address = config.http;
    let listener = std::net::TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|source| StartError::Listen { address, source })?;
    let http_addr = listener.local_addr()?;
    let listener = {
        let _context = runtime.enter();
        TcpListener::from_std(listener)?
    };
    let media = media(&config, &random)?;
    let socket_buffer = media.socket_buffer;
    let plane = DataPlane::start(media)?;
    let (media_port, driver, cores) = (plane.port(), plane.driver(), plane.cores());
    let fallback_reason = plane.fallback_reason().map(str::to_owned);
    let host = Host::look(socket_buffer);
    for advice in host.iter().flat_map(|it| it.advice(socket_buffer, plane.fallback_reason())) {
        tracing::warn!("{advice}");
    }
    let announced = announced_addresses(&config, media_port);
    if announced.is_empty() {
        return Err(StartError::NothingToAnnounce);
    }
    let node = Arc::new(Node::new(Apps::new(&apps), plane, announced.clone()));
    let responder = Arc::new(Responder {
        node: node.clone(),
        routes: Routes::new()?,
        metrics: Metrics::new(node.clone(), certificates.as_ref().map(|one| one.expiry())),
        limits: config.limits,
        page: config.page,
        loopback: http_addr.ip().is_loopback(),
    });
    let events = EventThread::start(node.clone())?;
    let https = certificates.is_some();
    let (stop, stopped) = watch::channel(false);
    let serving = std::thread::Builder::new().name("fanfall-serve".into()).spawn(move || {
        runtime.block_on(server::serve(listener, responder, config.limits, certificates, stopped));
    })?;
    tracing::info!(%http_addr, media_port, "serving");
    Ok(Running {
        http_addr,
        https,
        media_port,
        media_tcp: config.media_tcp,
        announced,
        apps,
        driver,
        fallback_reason,
        cores,
        stop,
        serving: Some(serving),
        events: Some(events),
        node: Some(node),
    })
}

impl Running {
    /// Ends gracefully: no new connections, requests in progress finish, peers are told, threads
    /// are joined and ports are free when it returns.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        self.stop.send_replace(true);
        if let Some(serving) = self.serving.take()
            && serving.join().is_err()
        {
            tracing::error!("the HTTP server ended by a panic");
        }
        if let Some(node) = self.node.take() {
            node.end_all("server stopped");
        }
        // The last owner of the node ends the data plane with it, which says good-bye to the peers.
        drop(self.events.take());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.halt();
    }
}

/// How many descriptors the process may have open, once it has taken what the system lets it have.
/// Half of them are for TCP connections of media, the others for the API and everything else.
fn descriptors() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return DESCRIPTORS };
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    usize::try_from(if raised { hard } else { soft }).unwrap_or(usize::MAX)
}

fn generated_app(random: &SystemRandom) -> Result<AppConfig, StartError> {
    let mut bytes = [0; 48];
    random.fill(&mut bytes).map_err(|_| StartError::Random)?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let (id, secret) = hex.split_at(32);
    Ok(AppConfig { id: id.to_owned(), secret: secret.to_owned() })
}

fn media(config: &Config, random: &SystemRandom) -> Result<dataplane::Config, StartError> {
    let mut secret = [0; 32];
    random.fill(&mut secret).map_err(|_| StartError::Random)?;
    let binds = config.media_binds.iter();
    let binds = binds.map(|ip| SocketAddr::new(*ip, config.media_port)).collect();
    let mut media = dataplane::Config::new(binds, config.cores, secret);
    if config.media_tcp {
        media.tcp_connections = (descriptors() / 2 / config.cores.max(1)).max(1);
    } else {
        media.tcp_connections = 0;
    }
    media.pinning = if config.pin { Pinning::Auto } else { Pinning::Off };
    media.driver = match config.driver {
        Driver::Auto => DriverChoice::Auto,
        Driver::Uring => DriverChoice::Uring,
        Driver::Mmsg => DriverChoice::Mmsg,
    };
    Ok(media)
}
