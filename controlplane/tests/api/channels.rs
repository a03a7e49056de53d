//! The datachannels endpoints: shapes, codes, ids, names, flags, bounds, ends.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::http::{APP, Answer, OTHER_APP, OTHER_SECRET, SECRET, Server, answer, offer, sample};
use crate::rtc::{Client, until};

fn establish(with: Option<&str>) -> Value {
    let channel = json!({ "location": "remote", "dataChannelName": "server-events" });
    match with {
        Some(sdp) => json!({ "dataChannel": channel, "sessionDescription": offer(sdp) }),
        None => json!({ "dataChannel": channel }),
    }
}

fn local(name: &str) -> Value {
    json!({ "location": "local", "dataChannelName": name })
}

fn remote(session: &str, name: &str) -> Value {
    json!({ "location": "remote", "sessionId": session, "dataChannelName": name })
}

/// A session whose data channel transport is connected.
struct Party {
    id: String,
    client: Client,
}

impl Party {
    fn new(server: &Server) -> Self {
        let client = Client::new();
        let id = server.session();
        let path = format!("/sessions/{id}/datachannels/establish");
        let reply = server.post(&path, establish(Some(&client.offer_data()))).ok();
        client.accept(reply["sessionDescription"]["sdp"].as_str().unwrap());
        client.wait_connected();
        Self { id, client }
    }

    fn send(&self, server: &Server, method: &str, verb: &str, channels: &[Value]) -> Answer {
        let path = format!("/sessions/{}/datachannels/{verb}", self.id);
        server.call(method, &path, Some(&json!({ "dataChannels": channels })))
    }

    /// Opens channels; the entries of the reply.
    fn open(&self, server: &Server, channels: &[Value]) -> Vec<Value> {
        entries(&self.send(server, "POST", "new", channels), channels.len())
    }

    fn change(&self, server: &Server, channels: &[Value]) -> Vec<Value> {
        entries(&self.send(server, "PUT", "update", channels), channels.len())
    }

    fn close(&self, server: &Server, ids: &[Value]) -> Vec<Value> {
        let channels: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        entries(&self.send(server, "PUT", "close", &channels), ids.len())
    }

    /// Name and status of what the session lists.
    fn listed(&self, server: &Server) -> Vec<(String, String)> {
        let session = server.get(&format!("/sessions/{}", self.id)).ok();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let channels = session["dataChannels"].as_array().unwrap().iter();
        channels.map(|c| (text(&c["dataChannelName"]), text(&c["status"]))).collect()
    }
}

fn entries(answer: &Answer, count: usize) -> Vec<Value> {
    let json = answer.ok();
    assert_eq!(json.as_object().unwrap().len(), 1, "{json}");
    let entries = json["dataChannels"].as_array().unwrap().clone();
    assert_eq!(entries.len(), count, "{json}");
    entries
}

/// The entry's error code.
fn code(entry: &Value) -> &str {
    assert!(entry["errorDescription"].as_str().is_some_and(|text| !text.is_empty()), "{entry}");
    entry["errorCode"].as_str().unwrap()
}

#[test]
fn a_client_s_offer_establishes_the_transport() {
    let server = Server::start();
    for name in ["chromium-datachannel-only", "firefox-publish-and-datachannel"] {
        let id = server.session();
        let path = format!("/sessions/{id}/datachannels/establish");
        let reply = server.post(&path, establish(Some(&sample(name)))).ok();
        assert_eq!(reply["requiresImmediateRenegotiation"], false);
        assert_eq!(reply["dataChannel"], json!({ "dataChannelName": "server-events", "id": 0 }));
        assert_eq!(reply["sessionDescription"]["type"], "answer");
        let sdp = reply["sessionDescription"]["sdp"].as_str().unwrap();
        assert!(sdp.contains("a=sctp-port:5000\r\n") && sdp.ends_with("\r\n"));
        for again in [establish(None), establish(Some(&sample(name)))] {
            let again = server.post(&path, again);
            assert_eq!(again.error(), (400, "decoding_error".to_owned()), "a second transport");
        }
        let session = server.get(&format!("/sessions/{id}")).ok();
        assert_eq!(session["dataChannels"], json!([]));
    }
}

#[test]
fn our_offer_establishes_the_transport() {
    let server = Server::start();
    let id = server.session();
    let path = format!("/apps/{APP}/sessions/{id}/datachannels/establish?x=1");
    let auth = format!("Authorization: Bearer {SECRET}\r\n");
    let reply = server.send("POST", &path, &auth, &establish(None).to_string()).ok();
    assert_eq!(reply["requiresImmediateRenegotiation"], true);
    assert_eq!(reply["dataChannel"], json!({ "dataChannelName": "server-events", "id": 0 }));
    assert_eq!(reply["sessionDescription"]["type"], "offer");
    let path = format!("/sessions/{id}/datachannels/establish");
    let open = (406, "invalid_session_description".to_owned());
    assert_eq!(server.post(&path, establish(None)).error(), open, "our offer is open");
    let sdp = reply["sessionDescription"]["sdp"].as_str().unwrap();
    let sdp = sdp.replace("a=setup:actpass", "a=setup:active").replace("a=ice-lite\r\n", "");
    let body = json!({ "sessionDescription": answer(&sdp) });
    assert_eq!(server.put(&format!("/sessions/{id}/renegotiate"), body).ok(), json!({}));
    let again = server.post(&path, establish(None));
    assert_eq!(again.error(), (400, "decoding_error".to_owned()));
}

#[test]
fn a_first_offer_anywhere_may_bring_the_transport() {
    let server = Server::start();
    let sdp = sample("chromium-datachannel-only");
    let made = server.post("/sessions/new", json!({ "sessionDescription": offer(&sdp) }));
    assert_eq!(made.status, 201);
    assert!(made.text.contains("a=sctp-port:5000"), "{}", made.text);
    let (with_tracks, by_renegotiation) = (server.session(), server.session());
    let both = sample("chromium-publish-and-datachannel");
    let tracks = json!([{ "location": "local", "trackName": "a", "mid": "0" }]);
    let body = json!({ "sessionDescription": offer(&both), "tracks": tracks });
    let reply = server.post(&format!("/sessions/{with_tracks}/tracks/new"), body).ok();
    assert!(reply.to_string().contains("a=sctp-port:5000"), "{reply}");
    let body = json!({ "sessionDescription": offer(&sdp) });
    let reply = server.put(&format!("/sessions/{by_renegotiation}/renegotiate"), body).ok();
    assert!(reply.to_string().contains("a=sctp-port:5000"), "{reply}");
    for id in [made.json()["sessionId"].as_str().unwrap(), &with_tracks, &by_renegotiation] {
        let again = server.post(&format!("/sessions/{id}/datachannels/establish"), establish(None));
        assert_eq!(again.error(), (400, "decoding_error".to_owned()));
    }
}

#[test]
fn establish_takes_server_events_and_a_usable_offer_only() {
    let server = Server::start();
    let id = server.session();
    let path = format!("/sessions/{id}/datachannels/establish");
    for channel in [
        json!(null),
        json!({}),
        json!({ "location": "local", "dataChannelName": "server-events" }),
        json!({ "location": "remote", "dataChannelName": "chat" }),
    ] {
        let reply = server.post(&path, json!({ "dataChannel": channel }));
        assert_eq!(reply.error(), (406, "invalid_params".to_owned()), "{channel}");
    }
    let data = sample("chromium-datachannel-only");
    for sdp in [
        sample("chromium-publish-audio-video"),
        data.replace("m=application 53400", "m=application 0"),
        data.replace("a=sctp-port:5000", "a=sctp-port:0"),
        data.replace("UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000"),
    ] {
        let reply = server.post(&path, establish(Some(&sdp)));
        assert_eq!(reply.error(), (400, "decoding_error".to_owned()));
    }
    let broken = data.replace("a=mid:0\r\n", "");
    let invalid = "invalid_session_description".to_owned();
    assert_eq!(server.post(&path, establish(Some(&broken))).error(), (400, invalid.clone()));
    let mut wrong_type = establish(Some(&data));
    wrong_type["sessionDescription"]["type"] = json!("answer");
    assert_eq!(server.post(&path, wrong_type).error(), (406, invalid));
    // Nothing of that left anything behind.
    assert_eq!(server.post(&path, establish(Some(&data))).status, 200);
    for (method, verb, allowed) in [
        ("PUT", "establish", "POST"),
        ("PUT", "new", "POST"),
        ("POST", "update", "PUT"),
        ("POST", "close", "PUT"),
    ] {
        let wrong = server.call(method, &format!("/sessions/{id}/datachannels/{verb}"), None);
        assert_eq!((wrong.status, wrong.headers["allow"].as_str()), (405, allowed));
    }
}

#[test]
fn without_a_connected_transport_a_channel_waits_five_seconds() {
    let server = Server::start();
    let sdp = sample("chromium-datachannel-only");
    let unconnected = server.session();
    let path = format!("/sessions/{unconnected}/datachannels/establish");
    server.post(&path, establish(Some(&sdp))).ok();
    std::thread::scope(|scope| {
        for id in [unconnected, server.session()] {
            let server = &server;
            scope.spawn(move || {
                let start = Instant::now();
                let body = json!({ "dataChannels": [local("a")] });
                let reply = server.post(&format!("/sessions/{id}/datachannels/new"), body);
                assert_eq!(reply.error(), (425, "session_error".to_owned()));
                let waited = start.elapsed();
                assert!(waited > Duration::from_secs(4) && waited < Duration::from_secs(7));
            });
        }
        let gone = "0123456789abcdef0123456789abcdef";
        for (method, verb) in
            [("POST", "new"), ("PUT", "update"), ("PUT", "close"), ("POST", "establish")]
        {
            let path = format!("/sessions/{gone}/datachannels/{verb}");
            let reply = server.call(method, &path, Some(&json!({ "dataChannels": [local("a")] })));
            assert_eq!(reply.error(), (410, "session_error".to_owned()), "{verb}");
        }
    });
}

#[test]
fn a_channel_that_waits_is_opened_when_the_transport_connects() {
    let server = Server::start();
    let client = Client::new();
    let body = json!({ "sessionDescription": offer(&client.offer_data()) });
    let made = server.post("/sessions/new", body);
    let id = made.json()["sessionId"].as_str().unwrap().to_owned();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let body = json!({ "dataChannels": [local("a")] });
            server.post(&format!("/sessions/{id}/datachannels/new"), body).ok()
        });
        std::thread::sleep(Duration::from_millis(300));
        client.accept(made.json()["sessionDescription"]["sdp"].as_str().unwrap());
        assert_eq!(waiting.join().unwrap()["dataChannels"][0]["id"], 2);
    });
}

#[test]
fn channels_are_published_pulled_closed_and_published_again() {
    let server = Server::start();
    let (publisher, subscriber) = (Party::new(&server), Party::new(&server));
    let tuned = json!({ "location": "local", "dataChannelName": "state", "ordered": false, "maxRetransmits": 0 });
    let made = publisher.open(&server, &[local("chat"), tuned]);
    assert_eq!(made[0], json!({ "location": "local", "dataChannelName": "chat", "id": 2 }));
    let state = json!({ "location": "local", "dataChannelName": "state", "id": 3, "ordered": false, "maxRetransmits": 0 });
    assert_eq!(made[1], state);
    let mut acked = remote(&publisher.id, "chat");
    acked["waitForAck"] = json!(true);
    let pulled = subscriber.open(&server, &[acked.clone(), remote(&publisher.id, "state")]);
    acked["id"] = json!(2);
    assert_eq!(pulled[0], acked);
    // The publisher's policy counts, whatever the pull says.
    assert_eq!((&pulled[1]["ordered"], &pulled[1]["maxRetransmits"]), (&json!(false), &json!(0)));

    for party in [&publisher, &subscriber] {
        until("open channels", || {
            std::thread::sleep(Duration::from_millis(50));
            party.listed(&server).iter().all(|(_, status)| status == "active")
        });
    }

    let again = publisher.open(&server, &[local("chat")]);
    assert_eq!(code(&again[0]), "repeated_local_track_error");
    let again =
        subscriber.open(&server, &[remote(&publisher.id, "chat"), remote(&publisher.id, "no")]);
    assert_eq!(code(&again[0]), "repeated_local_track_error");
    assert_eq!(code(&again[1]), "not_found_track_error");
    assert!(again.iter().all(|entry| entry.get("id").is_none()));
    assert_eq!(again[1]["sessionId"], publisher.id);

    let closed = publisher.close(&server, &[json!(2), json!(2), json!(99), json!(-1)]);
    let first = json!({ "id": 2, "location": "local", "dataChannelName": "chat" });
    assert_eq!(closed[0], first);
    assert!(closed[1..].iter().all(|entry| code(entry) == "close_track_error"));
    assert_eq!(closed[2]["id"], 99);
    let listed: Vec<(String, String)> = subscriber.listed(&server);
    assert!(listed.contains(&("chat".into(), "inactive".into())), "{listed:?}");
    assert!(publisher.listed(&server).contains(&("chat".into(), "inactive".into())));

    let made = publisher.open(&server, &[local("chat")]);
    assert_eq!(made[0]["id"], 4, "a closed channel's stream is not taken while it is being reset");
    let pulled = subscriber.open(&server, &[remote(&publisher.id, "chat")]);
    assert_eq!(pulled[0]["id"], 4);
    assert_eq!(subscriber.listed(&server).len(), 2, "the ended one gave way");
    let closed = subscriber.close(&server, &[json!(4)]);
    assert_eq!(closed[0]["sessionId"], publisher.id);
    assert_eq!(closed[0]["location"], "remote");
    assert!(!publisher.listed(&server).contains(&("chat".into(), "inactive".into())));
}

#[test]
fn entries_fail_alone_for_what_is_wrong_with_them() {
    let server = Server::start();
    let party = Party::new(&server);
    let with = |field: &str, value: Value| {
        let mut channel = local("a");
        channel[field] = value;
        channel
    };
    let bad = [
        json!({ "location": "local" }),
        local(""),
        local(&"x".repeat(513)),
        with("maxRetransmits", json!(-1)),
        with("maxRetransmits", json!(65_536)),
        with("maxPacketLifeTime", json!(1e300)),
        with("maxPacketLifeTime", json!(1.5)),
        json!({ "location": "local", "dataChannelName": "a", "maxRetransmits": 1, "maxPacketLifeTime": 1 }),
    ];
    for entry in party.open(&server, &bad) {
        assert_eq!(code(&entry), "invalid_params", "{entry}");
    }
    let bad = [
        json!({ "location": "remote", "dataChannelName": "a" }),
        json!({ "location": "remote", "sessionId": party.id }),
    ];
    for entry in party.open(&server, &bad) {
        assert_eq!(code(&entry), "invalid_params", "{entry}");
    }
    let good = [
        local(&"x".repeat(512)),
        with("maxRetransmits", json!(65_535)),
        json!({ "location": "local", "dataChannelName": "b", "maxPacketLifeTime": 0 }),
        json!({ "location": "local", "dataChannelName": "c", "maxRetransmits": null, "id": 7, "x": [] }),
    ];
    let made = party.open(&server, &good);
    assert_eq!(made[2]["maxPacketLifeTime"], 0);
    assert_eq!(made[3], json!({ "location": "local", "dataChannelName": "c", "id": 5 }));
}

#[test]
fn requests_as_a_whole_fail_for_what_is_wrong_with_them() {
    let server = Server::start();
    let party = Party::new(&server);
    for (channels, part) in [
        (vec![], "1 to 64"),
        (vec![local("a"); 65], "1 to 64"),
        (vec![local("a"), remote("s", "a")], "publishing and pulling"),
        (vec![local("a"), json!({ "dataChannelName": "b" })], "dataChannels[1].location"),
    ] {
        let reply = party.send(&server, "POST", "new", &channels);
        assert_eq!(reply.error(), (406, "invalid_params".to_owned()));
        assert!(reply.text.contains(part), "{part}: {}", reply.text);
    }
    for channel in [
        json!({ "location": "up" }),
        json!({ "maxRetransmits": "3" }),
        json!({ "ordered": 1 }),
        json!(3),
    ] {
        let reply = party.send(&server, "POST", "new", std::slice::from_ref(&channel));
        assert_eq!(reply.error(), (400, "decoding_error".to_owned()), "{channel}");
    }
    assert_eq!(party.send(&server, "PUT", "close", &vec![json!({ "id": 9 }); 257]).status, 406);
    assert_eq!(party.send(&server, "PUT", "update", &[]).status, 406);
    assert!(party.listed(&server).is_empty());
}

#[test]
fn the_right_to_reply_is_updated_by_locator() {
    let server = Server::start();
    let (publisher, one) = (Party::new(&server), Party::new(&server));
    publisher.open(&server, &[local("chat")]);
    let mut pull = remote(&publisher.id, "chat");
    pull["canReply"] = json!(true);
    assert_eq!(one.open(&server, &[pull.clone()])[0]["canReply"], true);
    let mut unknown = remote(&publisher.id, "no");
    unknown["canReply"] = json!(true);
    let without = remote(&publisher.id, "chat");
    let replies = one.change(&server, &[pull.clone(), unknown, without]);
    pull["id"] = json!(2);
    assert_eq!(replies[0], pull);
    assert_eq!(code(&replies[1]), "update_track_error");
    assert_eq!(code(&replies[2]), "invalid_params");
    pull["canReply"] = json!(false);
    assert_eq!(one.change(&server, &[pull.clone()])[0], pull);
    // The publisher's own end has no such flag.
    assert_eq!(code(&publisher.change(&server, &[pull])[0]), "update_track_error");
}

#[test]
fn a_session_has_a_bounded_number_of_streams() {
    let server = Server::start();
    let party = Party::new(&server);
    let all = usize::from(common::limits::SCTP_STREAMS_MAX) - 2;
    let mut ids = Vec::new();
    for request in 0..=all / 64 {
        let channels: Vec<Value> = (0..64).map(|n| local(&format!("{request}-{n}"))).collect();
        for entry in party.open(&server, &channels) {
            match entry.get("id").and_then(Value::as_u64) {
                Some(id) => ids.push(id),
                None => assert_eq!(code(&entry), "temporarily_unavailable_error"),
            }
        }
    }
    assert_eq!(ids, Vec::from_iter(2..u64::from(common::limits::SCTP_STREAMS_MAX)));
    let closed = party.close(&server, &ids[..256].iter().map(|id| json!(id)).collect::<Vec<_>>());
    assert!(closed.iter().all(|entry| entry.get("errorCode").is_none()));
}

#[test]
fn channels_end_with_their_session_and_stay_in_their_app() {
    let server = Server::start();
    let (publisher, subscriber) = (Party::new(&server), Party::new(&server));
    publisher.open(&server, &[local("chat")]);
    subscriber.open(&server, &[remote(&publisher.id, "chat")]);
    // Another app's session sees nothing of it.
    let auth = format!("Authorization: Bearer {OTHER_SECRET}\r\n");
    let ask = |method: &str, path: String, body: Value| {
        server.send(method, &format!("/v1/apps/{OTHER_APP}{path}"), &auth, &body.to_string())
    };
    let client = Client::new();
    let body = json!({ "sessionDescription": offer(&client.offer_data()) });
    let made = ask("POST", "/sessions/new".into(), body).json();
    client.accept(made["sessionDescription"]["sdp"].as_str().unwrap());
    let foreign = made["sessionId"].as_str().unwrap();
    let body = json!({ "dataChannels": [remote(&publisher.id, "chat")] });
    let reply = ask("POST", format!("/sessions/{foreign}/datachannels/new"), body).ok();
    assert_eq!(code(&reply["dataChannels"][0]), "not_found_track_error");
    let path = format!("/sessions/{}/datachannels/close", publisher.id);
    let body = json!({ "dataChannels": [{ "id": 2 }] });
    assert_eq!(ask("PUT", path, body).error().0, 410);

    publisher.client.close();
    until("an end of the session", || {
        server.get(&format!("/sessions/{}", publisher.id)).status == 410
    });
    assert_eq!(subscriber.listed(&server), [("chat".to_owned(), "inactive".to_owned())]);
    let again = subscriber.open(&server, &[remote(&publisher.id, "chat")]);
    assert_eq!(code(&again[0]), "not_found_track_error");
    let late = publisher.send(&server, "POST", "new", &[local("chat")]);
    assert_eq!(late.error(), (410, "session_error".to_owned()));
}

#[test]
fn stopping_the_application_section_ends_the_channels() {
    let server = Server::start();
    let party = Party::new(&server);
    party.open(&server, &[local("chat")]);
    let (video, mids) = party.client.offer_video(1);
    let tracks = json!([{ "location": "local", "trackName": "v", "mid": mids[0] }]);
    let body = json!({ "sessionDescription": offer(&video), "tracks": tracks });
    let path = format!("/sessions/{}/tracks/new", party.id);
    let reply = server.post(&path, body).ok();
    let sdp = reply["sessionDescription"]["sdp"].as_str().unwrap();
    assert!(sdp.contains("a=sctp-port:5000"), "{sdp}");
    assert!(!party.listed(&server).contains(&("chat".into(), "inactive".into())));
    let data = video.find("m=application").unwrap();
    let group = video.find("a=group:BUNDLE ").unwrap();
    let end = group + video[group..].find("\r\n").unwrap();
    let stopped = format!(
        "{}a=group:BUNDLE {}{}m=application 0{}",
        &video[..group],
        mids[0],
        &video[end..data],
        &video[data + "m=application 9".len()..]
    );
    let body = json!({ "sessionDescription": offer(&stopped) });
    let reply = server.put(&format!("/sessions/{}/renegotiate", party.id), body).ok();
    assert!(reply.to_string().contains("m=application 0"), "{reply}");
    assert_eq!(party.listed(&server), [("chat".to_owned(), "inactive".to_owned())]);
}

/// JSON of any shape, with the endpoints' own names among its keys.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "(local|remote|server-events|offer|\\PC{0,8})".prop_map(Value::from),
    ];
    let key = "(dataChannels?|location|dataChannelName|sessionId|maxRetransmits|\
               maxPacketLifeTime|ordered|waitForAck|canReply|id|sessionDescription|type|sdp)";
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(key, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn any_json_is_refused_or_answered() {
    let server = Server::start();
    let session = std::sync::Mutex::new((server.session(), 0));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) };
    proptest!(config, |(body in any_json(), wrapped in any::<bool>())| {
        let body = if wrapped { json!({ "dataChannels": [body] }) } else { body };
        for (method, verb) in [("PUT", "update"), ("PUT", "close"), ("POST", "establish")] {
            let id = {
                let mut session = session.lock().unwrap();
                session.1 += 1;
                if session.1 % 45 == 0 {
                    session.0 = server.session();
                }
                session.0.clone()
            };
            let path = format!("/sessions/{id}/datachannels/{verb}");
            let reply = server.call(method, &path, Some(&body));
            prop_assert!([200, 400, 406].contains(&reply.status), "{}: {}", reply.status, reply.text);
            prop_assert!(reply.json().is_object());
        }
    });
}
