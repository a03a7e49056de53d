//! A connection to a webhook's receiver, and one request on it. The receiver is nobody we know: each
//! wait has an end (`courier.rs`), redirects are answers like others, and of a reply little is read.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring as provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::target::{Target, is_public};

/// What is read of a reply's body before its connection is given up, in bytes; chosen.
const REPLY_MAX: usize = 4 << 10;
/// How long that may take; chosen: it comes with its head, or somebody plays for time.
const REPLY_WAIT: Duration = Duration::from_millis(200);
/// Longest head of a reply, in bytes; chosen.
const HEAD_MAX: usize = 16 << 10;
/// Most headers of a reply; chosen.
const HEADERS_MAX: usize = 100;
/// Addresses of a name that are tried; chosen.
const ADDRESSES_MAX: usize = 3;
/// Who we are.
const AGENT: &str = concat!("fanfall/", env!("CARGO_PKG_VERSION"));

/// Why there was no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// The name leads to nowhere else.
    #[error("its name leads to a private network alone, which only --webhook-private allows")]
    Private,
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    /// No certificate authorities.
    #[error("TLS cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The host of the URL is no name a certificate can have.
    #[error("its host is no name for TLS")]
    Name,
    /// The exchange broke off.
    #[error("the exchange failed: {0}")]
    Exchange(#[from] hyper::Error),
    /// The request cannot be written.
    #[error("the request cannot be written")]
    Request,
}

/// What is sent.
pub(super) struct Message<'a> {
    /// Id of the event, the same in every attempt.
    pub(super) id: &'a str,
    /// Seconds since 1970.
    pub(super) timestamp: u64,
    /// Value of `webhook-signature`.
    pub(super) signature: String,
    /// The event.
    pub(super) body: Bytes,
}

/// A way to one receiver.
#[derive(Default)]
pub(super) enum Line {
    /// Not connected.
    #[default]
    Closed,
    /// Ready for the next message.
    Open(Connection),
    /// A reply's status came, its body has not been read.
    Unread(Connection, Incoming),
}

/// An open connection; dropping it closes it whatever the receiver does.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    /// Sends one message. Returns the status of the reply.
    pub(super) async fn post(
        &mut self,
        target: &Target,
        private: bool,
        message: &Message<'_>,
    ) -> Result<u16, LineError> {
        let mut connection = match std::mem::take(self) {
            Line::Open(kept) if !kept.sender.is_closed() => kept,
            _ => connect(target, private).await?,
        };
        let uri: Uri = target.path.parse().map_err(|_| LineError::Request)?;
        let request = Request::post(uri)
            .header(HOST, &target.authority)
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", message.timestamp)
            .header("webhook-signature", &message.signature)
            .body(Full::new(message.body.clone()))
            .map_err(|_| LineError::Request)?;
        connection.sender.ready().await?;
        let reply = connection.sender.send_request(request).await?;
        let status = reply.status().as_u16();
        *self = Line::Unread(connection, reply.into_body());
        Ok(status)
    }

    /// Makes the connection ready for another message, where the reply's body is short and comes at
    /// once; closes it otherwise. Its status has said everything.
    pub(super) async fn settle(&mut self) {
        let Line::Unread(connection, body) = std::mem::take(self) else { return };
        let read = tokio::time::timeout(REPLY_WAIT, Limited::new(body, REPLY_MAX).collect());
        if let Ok(Ok(_)) = read.await {
            *self = Line::Open(connection);
        }
    }

    /// Closes the connection.
    pub(super) fn close(&mut self) {
        *self = Line::Closed;
    }
}

async fn connect(target: &Target, private: bool) -> Result<Connection, LineError> {
    let stream = reach(target, private).await?;
    stream.set_nodelay(true)?;
    if !target.tls {
        return speak(stream).await;
    }
    let name = ServerName::try_from(target.host.clone()).map_err(|_| LineError::Name)?;
    speak(TlsConnector::from(tls()?).connect(name, stream).await?).await
}

/// Connects to an address of the target that may be spoken to. What was looked at is what is
/// connected to: the name is not resolved a second time.
async fn reach(target: &Target, private: bool) -> Result<TcpStream, LineError> {
    let found: Vec<SocketAddr> = match target.host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, target.port)],
        Err(_) => tokio::net::lookup_host((target.host.as_str(), target.port)).await?.collect(),
    };
    let mut last = LineError::Private;
    let allowed = |address: &&SocketAddr| private || is_public(address.ip());
    for address in found.iter().filter(allowed).take(ADDRESSES_MAX) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Connection, LineError> {
    let (sender, connection) = Builder::new()
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    let task = tokio::spawn(async move {
        // Whoever waits for the reply is told of it, too.
        let _ = connection.await;
    });
    Ok(Connection { sender, task })
}

/// TLS that trusts the certificate authorities of the system, read once.
fn tls() -> Result<Arc<ClientConfig>, rustls::Error> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let errors = found.errors;
        tracing::warn!(
            ?errors,
            "the system has no certificate authorities: install ca-certificates"
        );
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(CONFIG.get_or_init(|| Arc::new(config)).clone())
}
