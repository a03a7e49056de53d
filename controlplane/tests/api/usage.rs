//! Usage over the API and in the metrics, and what a killed server leaves behind: the real binary,
//! a real client.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::account::{TOKEN, call, result};
use crate::http::{Server, offer};
use crate::receiver::Receiver;
use crate::rtc::{Client, until};
use crate::webhooks;

/// A server of its own process, whose log is read as it comes.
struct Process {
    child: Child,
    server: Server,
    log: Arc<Mutex<String>>,
}

impl Process {
    fn start(state: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanfall"));
        command
            .args(["--http", "127.0.0.1:0", "--media-port", "0", "--media-bind", "127.0.0.1"])
            .args(["--pin", "off", "--cores", "1", "--log", "trace", "--state"])
            .arg(state)
            .env("FANFALL_ACCOUNT_TOKEN", TOKEN)
            .env("FANFALL_WEBHOOK_PRIVATE", "on")
            // Beside the state is the certificate that its webhooks trust.
            .env("SSL_CERT_FILE", state.with_file_name("cert.pem"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut errors = child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let shared = log.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 16 << 10];
            while let Ok(len @ 1..) = errors.read(&mut piece) {
                shared.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..len]));
            }
        });
        let mut banner = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        while !banner.contains("curl ") {
            assert!(lines.read_line(&mut banner).unwrap() > 0, "ended early: {banner}");
        }
        let page = banner.lines().find_map(|line| line.trim().strip_prefix("page ")).unwrap();
        let address = page.trim().trim_start_matches("http://").trim_end_matches('/');
        let server = Server::at(address.parse().unwrap());
        Self { child, server, log }
    }

    /// Ends it as the kernel does when memory is out: nothing of it runs any more.
    fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.log.lock().unwrap().clone()
    }
}

/// An app made over the account API.
struct App {
    uid: String,
    secret: String,
}

impl App {
    fn create(server: &Server) -> Self {
        let made = result(&call(server, "POST", "/apps", json!({ "name": "metered" })), 201);
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        Self { uid: text("uid"), secret: text("secret") }
    }

    fn send(&self, server: &Server, method: &str, path: &str, body: &str) -> crate::http::Answer {
        let auth = format!("Authorization: Bearer {}\r\n", self.secret);
        server.send(method, &format!("/v1/apps/{}{path}", self.uid), &auth, body)
    }

    fn usage(&self, server: &Server, query: &str) -> Value {
        self.send(server, "GET", &format!("/usage{query}"), "").ok()
    }

    /// A session that publishes a video; its id.
    fn publish(&self, server: &Server, client: &Client) -> String {
        let path = "/sessions/new?correlationId=x&customIdentifier=ann%20%26%20co";
        let made = self.send(server, "POST", path, "");
        let session = made.json()["sessionId"].as_str().unwrap().to_owned();
        let (sdp, mids) = client.offer_video(1);
        let track = json!({ "location": "local", "trackName": "v", "mid": mids[0] });
        let body = json!({ "sessionDescription": offer(&sdp), "tracks": [track] }).to_string();
        let path = format!("/sessions/{session}/tracks/new");
        let json = self.send(server, "POST", &path, &body).ok();
        client.accept(json["sessionDescription"]["sdp"].as_str().unwrap());
        client.wait_connected();
        client.send(&mids[0]);
        session
    }
}

/// Whether a file below a folder holds a text.
fn holds(folder: &Path, text: &str) -> bool {
    folder.read_dir().unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[test]
fn a_killed_server_leaves_apps_and_usage_and_no_secret() {
    let kept = tempfile::tempdir().unwrap();
    let state = kept.path().join("state");
    crate::https::certify(kept.path());
    let receiver = Receiver::secure(kept.path());
    let first = Process::start(&state);
    let (app, client) = (App::create(&first.server), Client::new());
    let (_, webhook_secret) = webhooks::create(&first.server, &app.uid, &receiver.url);
    let session = app.publish(&first.server, &client);
    let lines = |server: &Server| app.usage(server, "?by=session")["usage"].clone();
    until("usage of some seconds", || {
        lines(&first.server)[0]["trackSeconds"].as_f64().is_some_and(|seconds| seconds > 1.0)
    });
    let written = lines(&first.server);
    let line = &written[0];
    assert_eq!((&line["sessionId"], written.as_array().unwrap().len()), (&json!(session), 1));
    assert_eq!(line["customIdentifier"], "ann & co");
    // A picture of 310 bytes, 50 a second; reports and checks on the way back.
    let bytes = |field: &str| line[field].as_u64().unwrap();
    assert!(bytes("ingressBytes") > 10_000 && bytes("egressBytes") > 100, "{line}");
    let sessions = result(&call(&first.server, "GET", "/sessions", Value::Null), 200);
    assert_eq!(sessions[0]["publishedTracks"], 1, "{sessions}");
    assert!(sessions[0]["ingressBytes"].as_u64().unwrap() >= bytes("ingressBytes"));
    let metrics = first.server.send("GET", "/metrics", "", "").text;
    let series = format!("fanfall_app_ingress_bytes_total{{app=\"{}\"}} ", app.uid);
    let value = metrics.lines().find_map(|line| line.strip_prefix(&series)).unwrap();
    assert!(value.parse::<f64>().unwrap() > 10_000.0, "{value}");

    let log = first.kill();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "{log}");
    let told = receiver.wait(2);
    assert_eq!(told[0].event(&webhook_secret)["type"], "session.connected");
    assert_eq!(told[1].event(&webhook_secret)["sessionId"], session);
    assert!(told.iter().all(|got| !got.body.contains(&app.secret)));
    for secret in [app.secret.as_str(), &webhook_secret, &webhook_secret[6..], TOKEN] {
        assert!(!log.contains(secret) && !metrics.contains(secret) && !holds(&state, secret));
    }
    assert!(holds(&state, &app.uid), "the files that were searched are the right ones");

    let second = Process::start(&state);
    let listed = result(&call(&second.server, "GET", "/apps", Value::Null), 200);
    assert_eq!((&listed[0]["uid"], &listed[0]["name"]), (&json!(app.uid), &json!("metered")));
    let kept = lines(&second.server);
    let more = |field: &str| kept[0][field].as_f64() >= line[field].as_f64();
    assert!(more("ingressBytes") && more("egressBytes") && more("trackSeconds"), "{kept} {line}");
    assert_eq!(app.send(&second.server, "POST", "/sessions/new", "").status, 201);
    let told = webhooks::happen(&second.server, &app.uid, &app.secret);
    assert_eq!(receiver.wait(3)[2].event(&webhook_secret)["sessionId"], told, "the same secret");
    let log = second.kill();
    for secret in [app.secret.as_str(), &webhook_secret[6..], TOKEN] {
        assert!(!log.contains(secret));
    }
}

#[test]
fn usage_is_asked_for_by_range_and_group() {
    let server = Server::start();
    let get = |query: &str| server.get(&format!("/usage{query}"));
    let json = get("?by=session&since=2026-01-31T12:01:00Z&until=1769860800").ok();
    let reply = json!({
        "appId": crate::http::APP, "by": "session", "usage": [], "truncated": false,
        "since": "2026-01-31T12:00:00Z", "until": "2026-01-31T12:00:00Z",
    });
    assert_eq!(json, reply);
    let all = get("?x=y").ok();
    let nothing = json!([{ "ingressBytes": 0, "egressBytes": 0, "trackSeconds": 0.0 }]);
    assert_eq!((&all["by"], &all["usage"]), (&json!("app"), &nothing));
    for (query, field) in [
        ("?by=room", "by"),
        ("?since=yesterday", "since"),
        ("?until=2026-13-01", "until"),
        (&format!("?since={}", "1".repeat(41)), "since"),
    ] {
        let answer = get(query);
        assert_eq!(answer.error(), (406, "invalid_params".to_owned()), "{query}");
        assert!(answer.text.contains(&format!("\"{field}")), "{}", answer.text);
    }
    let answer = server.send("GET", &format!("/v1/apps/{}/usage", crate::http::APP), "", "");
    assert_eq!(answer.error(), (401, "unauthorized".to_owned()));
    assert_eq!(server.call("POST", "/usage", None).status, 405);
    let long = json!({ "customIdentifier": "x".repeat(129) });
    assert_eq!(server.post("/sessions/new", long).error().0, 406);
    assert_eq!(server.post("/sessions/new", json!({ "customIdentifier": "x" })).status, 201);
}
