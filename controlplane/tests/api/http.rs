//! A server on free ports and a plain blocking HTTP/1.1 client for it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use controlplane::config::{AppConfig, Driver, HttpLimits};
use controlplane::{Config, Running, start};
use serde_json::Value;

pub(crate) const APP: &str = "00112233445566778899aabbccddeeff";
pub(crate) const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
pub(crate) const OTHER_APP: &str = "ffeeddccbbaa99887766554433221100";
pub(crate) const OTHER_SECRET: &str = "f0e1d2c3b4a5968778695a4b3c2d1e0f";

/// A running server.
pub(crate) struct Server {
    running: Option<Running>,
    pub(crate) address: SocketAddr,
}

/// A reply.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) text: String,
}

pub(crate) fn config() -> Config {
    let app = |id: &str, secret: &str| AppConfig { id: id.into(), secret: secret.into() };
    Config {
        http: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
        media_binds: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        media_port: 0,
        cores: 2,
        pin: false,
        driver: Driver::Auto,
        apps: vec![app(APP, SECRET), app(OTHER_APP, OTHER_SECRET)],
        ..Config::default()
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(config())
    }

    pub(crate) fn with_limits(limits: HttpLimits) -> Self {
        Self::with(Config { limits, ..config() })
    }

    pub(crate) fn with(config: Config) -> Self {
        let running = start(config).unwrap();
        let address = running.http_addr;
        Self { running: Some(running), address }
    }

    /// A server of another process.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { running: None, address }
    }

    pub(crate) fn stop(mut self) {
        self.running.take().unwrap().stop();
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// One request with the first app's secret; `path` begins behind the app.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(Value::to_string).unwrap_or_default();
        let auth = format!("Authorization: Bearer {SECRET}\r\n");
        self.send(method, &format!("/v1/apps/{APP}{path}"), &auth, &body)
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(&body))
    }

    pub(crate) fn put(&self, path: &str, body: Value) -> Answer {
        self.call("PUT", path, Some(&body))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None)
    }

    /// A session's id.
    pub(crate) fn session(&self) -> String {
        let answer = self.call("POST", "/sessions/new", None);
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()["sessionId"].as_str().unwrap().to_owned()
    }

    /// One request with headers of the caller's choice (each ending in CRLF), like browsers' fetch
    /// as text/plain.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        self.request(
            method,
            path,
            &format!("Content-Type: text/plain;charset=UTF-8\r\n{headers}"),
            body,
        )
    }

    /// One request with these headers and no others but the connection's.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Length: {}\r\n{headers}\r\n{body}",
            self.address,
            body.len()
        );
        let mut stream = self.connect();
        // The server may refuse before it read everything.
        let _ = stream.write_all(request.as_bytes());
        read(&mut stream)
    }
}

/// Reads one reply to its end.
pub(crate) fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        if let Some(answer) = parse(&bytes) {
            return answer;
        }
        match stream.read(&mut piece) {
            Ok(0) => panic!("connection ended after {:?}", String::from_utf8_lossy(&bytes)),
            Ok(len) => bytes.extend_from_slice(&piece[..len]),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let body = bytes.get(end + 4..end + 4 + length)?;
    Some(Answer { status, headers, text: String::from_utf8(body.to_vec()).unwrap() })
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_str(&self.text).unwrap()
    }

    /// Status and error code, after checking that it is a complete error.
    pub(crate) fn error(&self) -> (u16, String) {
        let json = self.json();
        assert!(json["errorDescription"].as_str().is_some_and(|text| !text.is_empty()), "{json}");
        let code = json["errorCode"].as_str().unwrap_or_else(|| panic!("no error: {json}"));
        (self.status, code.to_owned())
    }

    /// The JSON of a reply that must be a success.
    pub(crate) fn ok(&self) -> Value {
        let json = self.json();
        assert_eq!(self.status, 200, "{json}");
        assert!(json.get("errorCode").is_none(), "{json}");
        json
    }
}

/// A recorded offer or answer of a real client.
pub(crate) fn sample(name: &str) -> String {
    let path = format!("{}/tests/fixtures/sdp/{name}.sdp", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

pub(crate) fn offer(sdp: &str) -> Value {
    serde_json::json!({ "type": "offer", "sdp": sdp })
}

pub(crate) fn answer(sdp: &str) -> Value {
    serde_json::json!({ "type": "answer", "sdp": sdp })
}
