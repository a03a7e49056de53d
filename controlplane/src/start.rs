//! Starts and stops everything: data plane, event thread, HTTP server on its own runtime thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use dataplane::{DataPlane, DriverChoice, DriverKind, Pinning};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::auth::{Apps, sha256};
use crate::config::{AppConfig, Config, Driver};
use crate::demo::Rooms;
use crate::endpoints::{RouteError, Routes};
use crate::events::{Courier, CourierThread, Events, NodeKey, Reason};
use crate::host::Host;
use crate::metrics::Metrics;
use crate::respond::Responder;
use crate::server;
use crate::state::{EventThread, Node, announced_addresses};
use crate::store::apps::{Credentials, digests};
use crate::store::{self, Store, StoreError, StoreThread, webhooks};
use crate::tls::{Certificates, TlsError};

/// Threads of the HTTP runtime. Chosen: a request costs tens of microseconds of processor time;
/// the media threads need the rest.
const HTTP_THREADS: usize = 2;
/// Descriptors a process has where the system does not say: the usual soft limit.
const DESCRIPTORS: usize = 1_024;

/// How long a stop waits for the cores' last words of their peers. Chosen: they answer within
/// milliseconds.
const STOP_MAX: Duration = Duration::from_millis(500);

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
    /// What is kept cannot be read.
    #[error("state: {0}")]
    Store(#[from] StoreError),
    /// An app is in the settings and in the state.
    #[error("app {0:?} is in the settings and in the state: delete one of them")]
    AppTwice(String),
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
    /// The settings' apps; the generated one when there is none, in the state neither.
    pub apps: Vec<AppConfig>,
    /// Whether the app is the generated one.
    pub generated: bool,
    /// Ids of the apps that the state had.
    pub stored: Vec<String>,
    /// Which driver moves datagrams.
    pub driver: DriverKind,
    /// Why it is not io_uring, when that was allowed.
    pub fallback_reason: Option<String>,
    /// Number of media threads.
    pub cores: usize,
    stop: watch::Sender<bool>,
    serving: Option<JoinHandle<()>>,
    events: Option<EventThread>,
    courier: Option<CourierThread>,
    node: Option<Arc<Node>>,
    store: Option<StoreThread>,
}

/// Starts the server; it serves when this returns.
///
/// # Errors
/// See [`StartError`]; nothing is left running.
pub fn start(config: Config) -> Result<Running, StartError> {
    let random = SystemRandom::new();
    let certificates = config.tls.clone().map(Certificates::load).transpose()?.map(Arc::new);
    let (store, store_thread) = Store::open(config.state.as_deref())?;
    let Known { table, apps, generated, stored } = known_apps(&config, &store, &random)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(HTTP_THREADS)
        .thread_name("fanfall-http")
        .enable_all()
        .build()?;
    let listener = listen(config.http, &runtime)?;
    let http_addr = listener.local_addr()?;
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
    let (stop, stopped) = watch::channel(false);
    let (events, courier) = listeners(&config, &store, &random, stopped.clone())?;
    let node = Arc::new(Node::new(table, store, plane, announced.clone(), events));
    serve_webhooks(&node)?;
    let responder = Arc::new(Responder {
        node: node.clone(),
        routes: Routes::new()?,
        metrics: Metrics::new(node.clone(), certificates.as_ref().map(|one| one.expiry())),
        limits: config.limits,
        account: config.account_token.as_ref().map(|token| sha256(token.0.as_bytes())),
        dashboard: config.dashboard_token.as_ref().map(|token| sha256(token.0.as_bytes())),
        page: config.page,
        rooms: Rooms::default(),
        loopback: http_addr.ip().is_loopback(),
    });
    let events = EventThread::start(node.clone())?;
    let https = certificates.is_some();
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
        generated,
        stored,
        driver,
        fallback_reason,
        cores,
        stop,
        serving: Some(serving),
        events: Some(events),
        courier: Some(courier),
        node: Some(node),
        store: Some(store_thread),
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
            node.end_all(Reason::ServerStopped);
            node.settle(STOP_MAX);
            drop(self.events.take());
            drop(self.courier.take());
            let meter = node.meter.clone();
            if let Err(error) = node.store.run_blocking(move |db| meter.write(db)) {
                tracing::error!(%error, "the last usage is not written");
            }
        }
        // The last owner of the node ends the data plane with it, which says good-bye to the peers.
        drop(self.store.take());
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

/// The apps of a start.
struct Known {
    table: Apps,
    apps: Vec<AppConfig>,
    generated: bool,
    stored: Vec<String>,
}

/// The apps of the settings and of the state; one made for this run when there is none.
fn known_apps(config: &Config, store: &Store, random: &SystemRandom) -> Result<Known, StartError> {
    let mut apps = config.apps.clone();
    let kept = store.run_blocking(|db| digests(db))?;
    let generated = apps.is_empty() && kept.is_empty();
    if generated {
        let Credentials { uid, secret } = Credentials::draw(random).ok_or(StartError::Random)?;
        apps.push(AppConfig { id: uid, secret });
    }
    let table = Apps::new(&apps);
    let mut stored = Vec::with_capacity(kept.len());
    for (uid, digest) in kept {
        if !table.insert(&uid, digest) {
            return Err(StartError::AppTwice(uid));
        }
        stored.push(uid);
    }
    Ok(Known { table, apps, generated, stored })
}

/// Binds the address of the API.
fn listen(address: SocketAddr, runtime: &Runtime) -> Result<TcpListener, StartError> {
    let _context = runtime.enter();
    std::net::TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .and_then(TcpListener::from_std)
        .map_err(|source| StartError::Listen { address, source })
}

/// Who may listen to events: nobody yet, and the thread that will serve webhooks.
fn listeners(
    config: &Config,
    store: &Store,
    random: &SystemRandom,
    stopped: watch::Receiver<bool>,
) -> Result<(Events, CourierThread), StartError> {
    let key = NodeKey::new(&store::key(config.state.as_deref(), random)?);
    let (courier, thread) = Courier::start(config.webhooks, config.webhook_private, store.clone())?;
    Ok((Events::new(stopped, courier, key), thread))
}

/// Serves the webhooks that the state has, of apps that there are.
fn serve_webhooks(node: &Node) -> Result<(), StartError> {
    for webhook in node.store.run_blocking(|db| webhooks::all(db))? {
        if let (true, Ok(app)) = (webhook.enabled, node.apps.find(&webhook.app)) {
            let run = node.random_id().map_err(|_| StartError::Random)?;
            node.events.add_hook(&node.apps, app, &webhook, run);
        }
    }
    Ok(())
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
