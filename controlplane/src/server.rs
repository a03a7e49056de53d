//! The HTTP server: accept loop, limits, graceful drain.
//!
//! HTTP/1.1 and HTTP/2 on one port, over TLS where there is a certificate. Started by `start.rs` on
//! its own runtime; requests go through `respond.rs`. A connection that stalls, in its handshake
//! too, idles or floods is ended here; the media threads never notice.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::config::HttpLimits;
use crate::respond::{Content, Responder};
use crate::state::lock;
use crate::tls::Certificates;

/// HTTP/2 requests in progress on one connection. Chosen: a client batches one request per session
/// and tick.
const STREAMS_MAX: u32 = 128;
/// Largest head of an HTTP/1 request, and list of HTTP/2 headers, in bytes. Chosen: one cookie per
/// session accumulates in browsers; 64 KiB hold some 200.
const HEAD_BYTES: usize = 64 << 10;
/// Most headers of a request.
const HEADERS_MAX: usize = 256;
/// Streams a peer may reset before we answered, and that we reset, before the connection ends (rapid
/// reset, CVE-2023-44487).
const RESETS_MAX: usize = 32;
/// Pause after the system refused to accept (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` becomes true, then lets requests in progress finish within the drain limit.
pub(crate) async fn serve(
    listener: TcpListener,
    responder: Arc<Responder>,
    limits: HttpLimits,
    certificates: Option<Arc<Certificates>>,
    mut stop: watch::Receiver<bool>,
) {
    let tls = certificates.as_ref().map(|certificates| certificates.acceptor());
    let mut looking = JoinSet::new();
    if let Some(certificates) = certificates {
        looking.spawn(certificates.watch(limits.tls_look));
    }
    let mut connections = JoinSet::new();
    let census = Arc::new(Census::default());
    let stop_of_connections = stop.clone();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let Some(place) = census.admit(from.ip(), &limits) else { continue };
                    let connection = Connection {
                        responder: responder.clone(),
                        limits,
                        tls: tls.clone(),
                        stop: stop_of_connections.clone(),
                        _place: place,
                    };
                    connections.spawn(connection.serve(stream, from));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(limits.drain, async {
        while connections.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        tracing::warn!(open = connections.len(), "connections cut off at the end of the drain");
    }
}

/// How many connections there are, in all and per address.
#[derive(Default)]
struct Census {
    counts: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

/// A counted connection; leaves the census when dropped.
struct Place {
    census: Arc<Census>,
    ip: IpAddr,
}

impl Census {
    fn admit(self: &Arc<Self>, ip: IpAddr, limits: &HttpLimits) -> Option<Place> {
        let mut counts = lock(&self.counts);
        let here = counts.1.get(&ip).copied().unwrap_or(0);
        if counts.0 >= limits.connections || here >= limits.connections_per_address {
            return None;
        }
        counts.0 += 1;
        counts.1.insert(ip, here + 1);
        Some(Place { census: self.clone(), ip })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = lock(&self.census.counts);
        counts.0 = counts.0.saturating_sub(1);
        match counts.1.get_mut(&self.ip) {
            Some(here) if *here > 1 => *here -= 1,
            _ => {
                counts.1.remove(&self.ip);
            }
        }
    }
}

/// One connection being served.
struct Connection {
    responder: Arc<Responder>,
    limits: HttpLimits,
    tls: Option<TlsAcceptor>,
    stop: watch::Receiver<bool>,
    _place: Place,
}

/// What the idle watch knows of a connection.
struct Activity {
    in_progress: AtomicUsize,
    last: Mutex<Instant>,
}

impl Activity {
    /// When the connection has been idle for `limit`; None while a request is in progress.
    fn idle_until(&self, limit: Duration) -> Option<Instant> {
        (self.in_progress.load(Ordering::Acquire) == 0).then(|| *lock(&self.last) + limit)
    }
}

/// A request in progress; notes its end when dropped.
struct InProgress(Arc<Activity>);

impl InProgress {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.in_progress.fetch_add(1, Ordering::AcqRel);
        Self(activity.clone())
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        *lock(&self.0.last) = Instant::now();
        self.0.in_progress.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A response's body, each wait for which is a sign of life: a reader who takes nothing any more
/// makes the connection an idle one.
struct Lively {
    body: Content,
    activity: Arc<Activity>,
}

impl Body for Lively {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        *lock(&self.activity.last) = Instant::now();
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn builder(limits: &HttpLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES as u32)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX);
    builder
}

impl Connection {
    async fn serve(mut self, stream: TcpStream, from: SocketAddr) {
        // Small replies must not wait for the client's delayed acknowledgement.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let Some(tls) = self.tls.take() else { return self.requests(stream, from).await };
        let handshake = tokio::time::timeout(self.limits.head, tls.accept(stream));
        let handshake = tokio::select! {
            handshake = handshake => handshake,
            _ = self.stop.wait_for(|stop| *stop) => return,
        };
        match handshake {
            Ok(Ok(stream)) => self.requests(stream, from).await,
            Ok(Err(error)) => tracing::debug!(%from, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%from, "TLS handshake took too long"),
        }
    }

    /// Answers requests until the connection ends.
    async fn requests(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        from: SocketAddr,
    ) {
        let activity = Arc::new(Activity {
            in_progress: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
        });
        let (responder, seen) = (self.responder.clone(), activity.clone());
        let service = service_fn(move |request| {
            let (responder, guard) = (responder.clone(), InProgress::new(&seen));
            async move {
                let response = responder.respond(request).await;
                let activity = guard.0.clone();
                Ok::<_, std::convert::Infallible>(response.map(|body| Lively { body, activity }))
            }
        });
        let builder = builder(&self.limits);
        let serving = builder.serve_connection(TokioIo::new(stream), service);
        let mut serving = std::pin::pin!(serving);
        let mut stopping = false;
        loop {
            // hyper's own timer starts with the first byte of a known protocol; this one also ends
            // connections that never send any, and idle HTTP/2 ones.
            let idle = activity.idle_until(self.limits.head);
            let check = idle.unwrap_or_else(|| Instant::now() + self.limits.head);
            tokio::select! {
                result = serving.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%from, %error, "connection ended");
                    }
                    return;
                }
                _ = self.stop.wait_for(|stop| *stop), if !stopping => {
                    stopping = true;
                    serving.as_mut().graceful_shutdown();
                }
                () = tokio::time::sleep_until(check.into()) => {
                    let idle = activity.idle_until(self.limits.head);
                    if idle.is_some_and(|until| until <= Instant::now()) {
                        tracing::debug!(%from, "idle connection ended");
                        return;
                    }
                }
            }
        }
    }
}
