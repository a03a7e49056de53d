//! HTTPS with an independent client: both protocols by ALPN, the exchange of the certificate while
//! the server runs, and connections that never finish a handshake.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use controlplane::Config;
use controlplane::config::HttpLimits;
use controlplane::tls::TlsFiles;
use http_body_util::BodyExt;
use hyper::{Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::http::{APP, SECRET, Server, config};

/// A certificate for the loopback address, put into the folder with its key.
pub(crate) fn certify(folder: &Path) -> CertificateDer<'static> {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let cert = params.self_signed(&key).unwrap();
    // The key first: the server must not be seen to fail over a pair that is half there.
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    cert.der().clone()
}

fn files(folder: &Path) -> TlsFiles {
    TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem") }
}

pub(crate) fn server(folder: &Path) -> Server {
    let limits = HttpLimits {
        head: Duration::from_millis(400),
        tls_look: Duration::from_millis(20),
        ..HttpLimits::default()
    };
    Server::with(Config { tls: Some(files(folder)), limits, ..config() })
}

/// Runs a client, outside of whose runtime servers start and stop.
pub(crate) fn run<T>(client: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(client)
}

/// A connection of a client that trusts this certificate alone and offers these protocols.
async fn connect(
    server: &Server,
    trusted: &CertificateDer<'static>,
    protocols: &[&str],
) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = tokio::net::TcpStream::connect(server.address).await?;
    let name = ServerName::from(server.address.ip());
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The body of a GET.
pub(crate) async fn get(server: &Server, trusted: &CertificateDer<'static>, path: &str) -> String {
    let stream = TokioIo::new(connect(server, trusted, &["http/1.1"]).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "127.0.0.1").body(String::new()).unwrap();
    let body = sender.send_request(request).await.unwrap().into_body();
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Makes a session over a connection of either version.
async fn new_session(stream: TlsStream<tokio::net::TcpStream>, version: Version) {
    let path = format!("/v1/apps/{APP}/sessions/new");
    let uri = match version {
        Version::HTTP_2 => format!("https://127.0.0.1{path}"),
        _ => path,
    };
    let request = Request::post(uri)
        .version(version)
        .header("host", "127.0.0.1")
        .header("authorization", format!("Bearer {SECRET}"))
        .body(String::new())
        .unwrap();
    let stream = TokioIo::new(stream);
    let response = if version == Version::HTTP_2 {
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.version(), version);
}

#[test]
fn both_protocols_are_spoken_over_tls_and_nothing_without() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = certify(folder.path());
    let server = server(folder.path());
    run(speak(&server, &trusted));

    let mut plain = server.connect();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut got = Vec::new();
    let _ = plain.read_to_end(&mut got);
    assert!(!got.starts_with(b"HTTP"), "{got:?}");
    server.stop();
}

async fn speak(server: &Server, trusted: &CertificateDer<'static>) {
    for (offered, chosen, version) in [
        (&["http/1.1", "h2"][..], Some(&b"h2"[..]), Version::HTTP_2),
        (&["http/1.1"], Some(b"http/1.1"), Version::HTTP_11),
        (&[], None, Version::HTTP_11),
    ] {
        let stream = connect(server, trusted, offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
        new_session(stream, version).await;
    }
    connect(server, trusted, &["spdy/3"]).await.unwrap_err();
}

#[test]
fn a_new_certificate_is_served_without_a_restart_and_a_broken_one_never() {
    let folder = tempfile::tempdir().unwrap();
    let first = certify(folder.path());
    let server = server(folder.path());
    run(exchange(&server, folder.path(), &first));
    server.stop();
}

async fn exchange(server: &Server, folder: &Path, first: &CertificateDer<'static>) {
    connect(server, first, &["h2"]).await.unwrap();

    std::fs::write(folder.join("key.pem"), "nothing").unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    connect(server, first, &["h2"]).await.unwrap();

    let second = certify(folder);
    let start = Instant::now();
    while connect(server, &second, &["h2"]).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(5), "the new certificate is not served");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    connect(server, first, &["h2"]).await.unwrap_err();
}

#[test]
fn a_handshake_that_stalls_is_ended_and_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let server = server(folder.path());
    let stalled: Vec<TcpStream> = (0..3)
        .map(|bytes| {
            let mut stream = server.connect();
            // The beginning of a record of a handshake (RFC 8446 section 5.1).
            stream.write_all(&[0x16, 0x03, 0x01][..bytes]).unwrap();
            stream
        })
        .collect();
    let start = Instant::now();
    for mut stream in stalled {
        let ended = stream.read(&mut [0; 64]);
        assert!(matches!(&ended, Ok(0)) || is_reset(&ended), "{ended:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    // One that stalls holds up the stop neither.
    let _stalled = server.connect();
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

fn is_reset(result: &std::io::Result<usize>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn a_certificate_that_cannot_be_served_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    std::fs::write(folder.path().join("cert.pem"), "nothing").unwrap();
    let error = controlplane::start(Config { tls: Some(files(folder.path())), ..config() });
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("tls: ") && text.contains("cert.pem holds no certificate"), "{text}");
}
