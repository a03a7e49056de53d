//! Recorded traffic of partytracks (fixtures/wire), request by request against the server: ids, mids
//! and SDPs are those of this run, everything else is what the browser sent. Each reply must hold
//! everything the recorded one holds.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::http::{APP, Answer, SECRET, Server, answer, offer};
use crate::rtc::Client;

/// One recorded session, alive.
struct Session {
    id: String,
    client: Client,
    /// Recorded mid to this run's.
    mids: HashMap<String, String>,
    connected: bool,
}

struct Replay {
    server: Server,
    /// By recorded session id.
    sessions: HashMap<String, Session>,
}

#[test]
fn through_the_proxy() {
    replay("wire");
}

#[test]
fn straight_from_the_page_with_preflights() {
    replay("wire-direct");
}

#[test]
fn close_both_pull_again_close_and_push_again() {
    replay("wire2");
}

fn replay(name: &str) {
    let path = format!("{}/tests/fixtures/wire/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut replay = Replay { server: Server::start(), sessions: HashMap::new() };
    let mut requests = 0;
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        if !record["u"].as_str().unwrap().contains("/turn/") {
            replay.request(&record);
            requests += 1;
        }
    }
    assert!(requests >= 7, "{requests} requests in {name}");
}

impl Replay {
    fn request(&mut self, record: &Value) {
        let (method, url) = (record["m"].as_str().unwrap(), record["u"].as_str().unwrap());
        let recorded = self.sessions.keys().find(|id| url.contains(id.as_str())).cloned();
        let mut path = url.replace("/app1/", &format!("/{APP}/"));
        let mut body = record["body"].clone();
        if let Some(recorded) = &recorded {
            path = path.replace(recorded, &self.sessions[recorded].id);
            if method != "OPTIONS" {
                body = self.live_body(recorded, url, body);
            }
        }
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let got = self.server.send(method, &path, &headers(record), &text);
        assert_eq!(
            u64::from(got.status),
            record["status"].as_u64().unwrap(),
            "{url}: {}",
            got.text
        );
        if !record["resp"].is_null() {
            self.compare(recorded, url, record, &got);
        }
    }

    /// The recorded body with this run's ids, mids and SDP.
    fn live_body(&self, recorded: &str, url: &str, mut body: Value) -> Value {
        let session = &self.sessions[recorded];
        let kind = body["sessionDescription"]["type"].as_str().map(str::to_owned);
        let tracks = body["tracks"].as_array().cloned().unwrap_or_default();
        if kind.as_deref() == Some("offer") {
            let (sdp, fresh) = if url.contains("/close") {
                let mids: Vec<_> =
                    tracks.iter().map(|track| self.mid(recorded, &track["mid"])).collect();
                let mids: Vec<_> = mids.iter().map(|mid| mid.as_str().unwrap()).collect();
                (session.client.offer_without(&mids), Vec::new())
            } else {
                session.client.offer_video(tracks.len())
            };
            body["sessionDescription"] = offer(&sdp);
            for (track, mid) in body["tracks"].as_array_mut().unwrap().iter_mut().zip(fresh) {
                track["mid"] = json!(mid);
            }
        }
        let Some(tracks) = body["tracks"].as_array_mut() else {
            return self.answered(session, body);
        };
        for track in tracks {
            if let Some(id) = track["sessionId"].as_str() {
                track["sessionId"] = json!(self.sessions[id].id);
            }
            if track["mid"].is_string() && !url.contains("/tracks/new") {
                track["mid"] = self.mid(recorded, &track["mid"]);
            }
        }
        body
    }

    /// A recorded answer becomes the one the client gave to our offer.
    fn answered(&self, session: &Session, mut body: Value) -> Value {
        if let Some(sdp) = session.mids.get("answer") {
            body["sessionDescription"] = answer(sdp);
        }
        body
    }

    fn mid(&self, recorded: &str, mid: &Value) -> Value {
        json!(self.sessions[recorded].mids[mid.as_str().unwrap()])
    }

    /// Checks a reply against the recorded one and does with it what the page did.
    fn compare(&mut self, recorded: Option<String>, url: &str, record: &Value, got: &Answer) {
        let (want, live) = (&record["resp"], got.json());
        assert!(live.get("errorCode").is_none(), "{url}: {live}");
        let Some(recorded) = recorded else {
            if let (Some(old), Some(new)) = (want["sessionId"].as_str(), live["sessionId"].as_str())
            {
                let session = Session {
                    id: new.to_owned(),
                    client: Client::new(),
                    mids: HashMap::new(),
                    connected: false,
                };
                self.sessions.insert(old.to_owned(), session);
            } else {
                assert_eq!(&live, want, "{url}");
            }
            return;
        };
        for (old, new) in pairs(want, &live) {
            self.track(&recorded, url, old, new);
        }
        let wanted = &want["requiresImmediateRenegotiation"];
        assert_eq!(&live["requiresImmediateRenegotiation"], wanted, "{url}");
        assert_eq!(live["sessionDescription"]["type"], want["sessionDescription"]["type"], "{url}");
        self.apply(&recorded, url, &live);
    }

    /// One entry: what the recorded one says, this one says.
    fn track(&mut self, recorded: &str, url: &str, old: &Value, new: &Value) {
        if let (Some(old), Some(new)) = (old["mid"].as_str(), new["mid"].as_str()) {
            let session = self.sessions.get_mut(recorded).unwrap();
            session.mids.insert(old.to_owned(), new.to_owned());
        }
        // The recorded page asked for a layer of a track without layers; the stand-in let it pass.
        if url.contains("/tracks/update") {
            assert_eq!(new["errorCode"], "update_track_error", "{new}");
        } else {
            assert!(new.get("errorCode").is_none(), "{url}: {new}");
        }
        for (key, value) in old.as_object().unwrap() {
            match key.as_str() {
                "mid" => assert!(new["mid"].as_str().is_some_and(|mid| !mid.is_empty()), "{new}"),
                "sessionId" => {
                    assert_eq!(new[key], self.sessions[value.as_str().unwrap()].id, "{new}");
                }
                _ => assert_eq!(&new[key], value, "{url}: {new}"),
            }
        }
    }

    fn apply(&mut self, recorded: &str, url: &str, live: &Value) {
        let session = self.sessions.get_mut(recorded).unwrap();
        let sdp = live["sessionDescription"]["sdp"].as_str();
        match (live["sessionDescription"]["type"].as_str(), sdp) {
            (Some("offer"), Some(sdp)) => {
                let answer = session.client.answer(sdp);
                session.mids.insert("answer".to_owned(), answer);
            }
            (Some("answer"), Some(sdp)) => {
                session.client.accept(sdp);
                if url.contains("/tracks/new") {
                    for track in live["tracks"].as_array().unwrap() {
                        session.client.send(track["mid"].as_str().unwrap());
                    }
                }
            }
            _ => {}
        }
        let answered = url.contains("/renegotiate") || sdp.is_some_and(|_| url.contains("/new"));
        if answered && live["requiresImmediateRenegotiation"] != json!(true) && !session.connected {
            session.client.wait_connected();
            session.connected = true;
        }
    }
}

fn pairs<'a>(want: &'a Value, live: &'a Value) -> Vec<(&'a Value, &'a Value)> {
    let want = want["tracks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let live = live["tracks"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert_eq!(want.len(), live.len());
    want.iter().zip(live).collect()
}

/// The recorded headers, except those the client makes itself, with this run's secret.
fn headers(record: &Value) -> String {
    let own = ["host", "connection", "content-length", "content-type", "accept-encoding"];
    let headers = record["h"].as_object().unwrap().iter();
    headers
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| match name.as_str() {
            "authorization" => format!("{name}: Bearer {SECRET}\r\n"),
            _ => format!("{name}: {}\r\n", value.as_str().unwrap()),
        })
        .collect()
}
