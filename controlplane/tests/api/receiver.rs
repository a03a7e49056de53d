//! A receiver of webhooks, over HTTP or HTTPS, that behaves as it is told, and what it got.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use sha2::Sha256;

/// What it does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// Takes it.
    Take,
    /// Answers with a status; a redirect leads to another path of its own.
    Status(u16),
    /// Says nothing.
    Hang,
    /// Takes it, with a body without end.
    Flood,
    /// Answers with headers without end.
    FloodHead,
}

/// A request it got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.iter().filter(|(own, _)| own == name);
        let (_, value) = values.next().unwrap_or_else(|| panic!("{name}: {self:?}"));
        assert!(values.next().is_none(), "{name} twice");
        value
    }

    /// The event, whose signature is checked against a webhook's secret.
    pub(crate) fn event(&self, secret: &str) -> Value {
        let [id, at, signature] =
            ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| self.header(name));
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        assert!(now.abs_diff(at.parse().unwrap()) < 60, "{at}");
        let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{id}.{at}.{}", self.body).as_bytes());
        let expected = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(signature, expected);
        assert_eq!(self.header("content-type"), "application/json");
        let event: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(event["id"], id);
        event
    }
}

/// The receiver.
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Mutex<(Manner, Vec<Got>)>>,
}

impl Receiver {
    pub(crate) fn new(manner: Manner) -> Self {
        let (address, shared) = serve(manner, |stream| Box::new(stream));
        Self { url: format!("http://{address}/hook?x=1"), shared }
    }

    /// One with the certificate of a folder (`https::certify`).
    pub(crate) fn secure(folder: &Path) -> Self {
        let certificate = rustls::pki_types::CertificateDer::from_pem_file(folder.join("cert.pem"));
        let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.unwrap()], key)
            .unwrap();
        let config = Arc::new(config);
        let (address, shared) = serve(Manner::Take, move |stream| {
            let session = ServerConnection::new(config.clone()).unwrap();
            Box::new(StreamOwned::new(session, stream))
        });
        Self { url: format!("https://{address}/hook?x=1"), shared }
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.shared.lock().unwrap().0 = manner;
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.shared.lock().unwrap().1.clone()
    }

    /// Waits until it got so many requests.
    pub(crate) fn wait(&self, count: usize) -> Vec<Got> {
        crate::rtc::until(&format!("{count} requests"), || self.got().len() >= count);
        self.got()
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

type Shared = Arc<Mutex<(Manner, Vec<Got>)>>;

fn serve(
    manner: Manner,
    wrap: impl Fn(TcpStream) -> Box<dyn Stream> + Send + 'static,
) -> (SocketAddr, Shared) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let shared = Arc::new(Mutex::new((manner, Vec::new())));
    let there = shared.clone();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = stream.set_write_timeout(Some(Duration::from_secs(10)));
            let (stream, shared) = (wrap(stream), there.clone());
            std::thread::spawn(move || converse(stream, &shared));
        }
    });
    (address, shared)
}

/// One connection, request after request.
fn converse(stream: Box<dyn Stream>, shared: &Shared) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let got = read(&mut stream)?;
        let manner = {
            let mut shared = shared.lock().unwrap();
            shared.1.push(got);
            shared.0
        };
        let out = stream.get_mut();
        match manner {
            Manner::Take => {
                out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok()?;
            }
            Manner::Status(status) => {
                let head = format!("HTTP/1.1 {status} x\r\nLocation: /elsewhere\r\n");
                out.write_all(format!("{head}Content-Length: 0\r\n\r\n").as_bytes()).ok()?;
            }
            Manner::Hang => {
                // Until the other end closes.
                let _ = stream.read(&mut [0]);
                return None;
            }
            Manner::Flood | Manner::FloodHead => {
                let end = if manner == Manner::Flood { "\r\n\r\n" } else { "\r\n" };
                out.write_all(format!("HTTP/1.1 200 OK{end}").as_bytes()).ok()?;
                loop {
                    out.write_all("x: yyyyyyyyyyyyyyyy\r\n".repeat(1_000).as_bytes()).ok()?;
                }
            }
        }
        out.flush().ok()?;
    }
}

fn read(stream: &mut impl BufRead) -> Option<Got> {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|len| *len > 0)?;
        Some(line.trim_end().to_owned())
    };
    let path = line()?.strip_prefix("POST ")?.split(' ').next()?.to_owned();
    let mut headers = Vec::new();
    while let Some((name, value)) = line()?.split_once(": ") {
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut got = Got { path, headers, body: String::new() };
    let length: u64 = got.header("content-length").parse().unwrap();
    stream.take(length).read_to_string(&mut got.body).ok()?;
    Some(got)
}
