//! Event streams over real connections: what is told of sessions, tracks, layers and speakers, where
//! a stream goes on, and how it ends.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use controlplane::Config;
use controlplane::config::{HttpLimits, Secret};
use http_body_util::BodyExt;
use hyper::Request;
use serde_json::{Value, json};

use crate::account::{TOKEN, call, result};
use crate::http::{APP, OTHER_APP, SECRET, Server, config, offer};
use crate::rtc::Client;

/// A stream as its reader sees it.
pub(crate) struct Stream(BufReader<TcpStream>);

impl Stream {
    /// Opens a stream of an app; `extra` are more headers.
    pub(crate) fn open(server: &Server, app: &str, secret: &str, query: &str, extra: &str) -> Self {
        let mut stream = server.connect();
        write!(
            stream,
            "GET /v1/apps/{app}/events{query} HTTP/1.1\r\nHost: x\r\n{extra}\
             Authorization: Bearer {secret}\r\n\r\n"
        )
        .unwrap();
        let mut stream = Self(BufReader::new(stream));
        let head = stream.until_empty();
        assert!(head[0].starts_with("HTTP/1.1 200"), "{head:?}");
        for header in ["content-type: text/event-stream", "cache-control: no-store"] {
            assert!(head.iter().any(|line| line == header), "{head:?}");
        }
        stream
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let len = self.0.read_line(&mut line).unwrap();
        (len > 0).then(|| line.trim_end().to_owned())
    }

    fn until_empty(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.line().filter(|line| !line.is_empty())).collect()
    }

    /// The next event: its name, its id if it has one, its data. None at a clean end.
    fn event(&mut self) -> Option<(String, Option<String>, Value)> {
        let (mut name, mut id) = (String::new(), None);
        loop {
            let line = self.line().expect("the last chunk");
            match line.split_once(": ") {
                Some(("event", value)) => name = value.to_owned(),
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("data", value)) => {
                    return Some((name, id, serde_json::from_str(value).unwrap()));
                }
                // Of the chunks only the last one has this length.
                _ if line == "0" => return None,
                _ => {}
            }
        }
    }

    /// The data of the next event of a type; others before it are skipped.
    pub(crate) fn next(&mut self, wanted: &str) -> Value {
        loop {
            let (name, id, data) = self.event().unwrap_or_else(|| panic!("no {wanted}"));
            assert_eq!(
                (data["type"].as_str(), data["id"].as_str()),
                (Some(name.as_str()), id.as_deref())
            );
            if name == wanted {
                return data;
            }
        }
    }
}

/// A stream of the first app.
fn stream(server: &Server, query: &str) -> Stream {
    Stream::open(server, APP, SECRET, query, "")
}

#[test]
fn sessions_tracks_layers_and_speakers_are_told() {
    let server = Server::start();
    let (mut all, mut other) =
        (stream(&server, ""), Stream::open(&server, OTHER_APP, crate::http::OTHER_SECRET, "", ""));
    let made = server.post("/sessions/new", json!({ "customIdentifier": "ann" }));
    let session = made.json()["sessionId"].as_str().unwrap().to_owned();
    let client = Client::new();
    let (audio, mid) = client.offer_audio();
    let path = format!("/sessions/{session}/tracks/new");
    let publish = |sdp: &str, name: &str, mid: &str| {
        let track = json!({ "location": "local", "trackName": name, "mid": mid });
        let body = json!({ "sessionDescription": offer(sdp), "tracks": [track] });
        let json = server.post(&path, body).ok();
        client.accept(json["sessionDescription"]["sdp"].as_str().unwrap());
    };
    publish(&audio, "voice", &mid);
    client.wait_connected();
    client.send(&mid);
    let connected = all.next("session.connected");
    let time = connected["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z') && time.starts_with("20"), "{time}");
    let mut expected = json!({
        "id": connected["id"], "type": "session.connected", "time": time,
        "appId": APP, "sessionId": session, "customIdentifier": "ann",
    });
    assert_eq!(connected, expected);
    let started = all.next("track.started");
    for (field, value) in [
        ("id", &started["id"]),
        ("time", &started["time"]),
        ("type", &json!("track.started")),
        ("trackName", &json!("voice")),
        ("mid", &json!(mid)),
        ("kind", &json!("audio")),
    ] {
        expected[field] = value.clone();
    }
    assert_eq!(started, expected);
    let speaker = all.next("speaker.started");
    assert!((-45..=-20).contains(&speaker["audioLevel"].as_i64().unwrap()), "{speaker}");

    let (video, layered) = client.offer_layers(&["h", "l"]);
    publish(&video, "picture", &layered);
    client.send_layers(&layered, &["h", "l"]);
    assert_eq!(all.next("track.started")["kind"], "video");
    let mut rids = [(); 2].map(|()| all.next("layer.available")["rid"].clone());
    rids.sort_by_key(Value::to_string);
    assert_eq!(rids, ["h", "l"]);
    // The second one goes on alone.
    client.mute();
    client.send_layers(&layered, &["h"]);
    let gone = all.next("layer.gone");
    assert_eq!((&gone["rid"], &gone["trackName"]), (&json!("l"), &json!("picture")));
    let closing = json!({ "tracks": [{ "mid": layered }], "force": true });
    server.put(&format!("/sessions/{session}/tracks/close"), closing).ok();
    let stopped = all.next("track.stopped");
    assert_eq!((&stopped["reason"], &stopped["mid"]), (&json!("ended"), &json!(layered)));

    // A reader that comes back goes on where it was, with what it asks for.
    let last = format!("Last-Event-ID: {}\r\n", connected["id"].as_str().unwrap());
    let mut again =
        Stream::open(&server, APP, SECRET, "?types=track.stopped,session.closed", &last);
    let (name, _, data) = again.event().unwrap();
    assert_eq!((name.as_str(), &data), ("track.stopped", &stopped));
    client.close();
    for stream in [&mut all, &mut again] {
        assert_eq!(stream.next("track.stopped")["reason"], "session_closed");
        assert_eq!(stream.next("session.closed")["reason"], "left");
    }

    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!((all.event(), again.event()), (None, None), "a clean end");
    assert_eq!(other.event(), None, "nothing of another app");
}

#[test]
fn a_stream_is_for_who_has_the_secret_as_long_as_it_is_that() {
    let server = Server::with(Config { account_token: Some(Secret(TOKEN.into())), ..config() });
    let path = format!("/v1/apps/{APP}/events");
    for auth in ["", "Authorization: Bearer another-secret-of-ours\r\n"] {
        let answer = server.send("GET", &path, auth, "");
        assert_eq!(answer.error(), (401, "unauthorized".to_owned()), "{auth}");
    }
    let nowhere = server.send("GET", "/v1/apps/none/events", "", "");
    assert_eq!(nowhere.error(), (404, "not_found".to_owned()));
    assert_eq!(server.send("GET", "/page/api/events", "", "").status, 404);
    for query in ["?types=", "?types=track.started,lost"] {
        let answer = server.get(&format!("/events{query}"));
        assert_eq!(answer.error(), (406, "invalid_params".to_owned()), "{query}");
    }
    let auth = format!("Authorization: Bearer {SECRET}\r\n");
    let head = server.send("HEAD", &path, &auth, "");
    assert_eq!((head.status, head.headers["content-type"].as_str()), (200, "text/event-stream"));

    let made = result(&call(&server, "POST", "/apps", Value::Null), 201);
    let [app, secret] = ["uid", "secret"].map(|field| made[field].as_str().unwrap());
    let mut open = Stream::open(&server, app, secret, "", "");
    let rotated = call(&server, "POST", &format!("/apps/{app}/rotate"), Value::Null);
    let secret = result(&rotated, 200)["secret"].as_str().unwrap().to_owned();
    assert_eq!(open.event(), None, "its secret is another one");
    let mut open = Stream::open(&server, app, &secret, "", "");
    assert!(server.send("GET", "/metrics", "", "").text.contains("\nfanfall_event_streams 1\n"));
    result(&call(&server, "DELETE", &format!("/apps/{app}"), Value::Null), 200);
    assert_eq!(open.event(), None, "its app is gone");
}

#[test]
fn a_silent_stream_outlives_the_idle_limit_over_both_protocols() {
    let limits = HttpLimits { head: Duration::from_millis(200), ..HttpLimits::default() };
    let server = Server::with_limits(limits);
    let mut plain = stream(&server, "");
    crate::https::run(async {
        let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let (executor, stream) =
            (hyper_util::rt::TokioExecutor::new(), hyper_util::rt::TokioIo::new(stream));
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("http://127.0.0.1/v1/apps/{APP}/events"))
            .header("authorization", format!("Bearer {SECRET}"))
            .body(String::new())
            .unwrap();
        let mut body = sender.send_request(request).await.unwrap().into_body();
        let mut texts = Vec::new();
        for _ in 0..6 {
            let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
            texts.push(String::from_utf8(data.to_vec()).unwrap());
        }
        assert_eq!(texts.remove(0), "retry: 2000\n\n");
        assert_eq!(texts, [":\n\n"; 5], "half a second of heartbeats");
    });
    server.stop();
    assert_eq!(plain.event(), None);
}
