//! Who waits how long for what.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{Answer, Server, offer, sample};
use crate::rtc::Client;

fn timed(call: impl FnOnce() -> Answer) -> (Answer, Duration) {
    let start = Instant::now();
    let answer = call();
    (answer, start.elapsed())
}

const QUICK: Duration = Duration::from_secs(1);
const WAITED: std::ops::Range<Duration> =
    Duration::from_millis(4_800)..Duration::from_millis(7_000);

fn pull(session: &str, name: &str) -> Value {
    json!({ "tracks": [{ "location": "remote", "sessionId": session, "trackName": name }] })
}

/// A session whose client never connects, with one publication "a" at mid 0.
fn unconnected(server: &Server) -> String {
    let id = server.session();
    let body = json!({
        "sessionDescription": offer(&sample("chromium-publish-VP8")),
        "tracks": [{ "location": "local", "trackName": "a", "mid": "0" }],
    });
    let (answer, took) = timed(|| server.post(&format!("/sessions/{id}/tracks/new"), body));
    assert!(took < QUICK, "the first exchange waited {took:?}");
    answer.ok();
    id
}

#[test]
fn later_tracks_wait_for_the_transport_and_the_rest_does_not() {
    let server = Server::start();
    let id = unconnected(&server);
    let tracks = format!("/sessions/{id}/tracks/new");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| timed(|| server.post(&tracks, pull(&id, "a"))));
        std::thread::sleep(Duration::from_millis(300));
        let update = json!({ "tracks": [{ "mid": "7", "simulcast": { "preferredRid": "" } }] });
        let close = json!({ "tracks": [{ "mid": "7" }], "force": true });
        for call in [
            timed(|| server.get(&format!("/sessions/{id}"))),
            timed(|| server.put(&format!("/sessions/{id}/tracks/update"), update)),
            timed(|| server.put(&format!("/sessions/{id}/tracks/close"), close)),
        ] {
            assert_eq!(call.0.status, 200, "{}", call.0.text);
            assert!(call.1 < QUICK, "waited {:?}", call.1);
        }
        let (answer, took) = waiting.join().unwrap();
        assert_eq!(answer.error(), (425, "session_error".to_owned()));
        assert!(WAITED.contains(&took), "{took:?}");
    });
}

#[test]
fn a_repeated_push_never_waits_and_never_conflicts() {
    let server = Server::start();
    let id = unconnected(&server);
    let body = json!({
        "sessionDescription": offer(&sample("chromium-publish-VP8")),
        "tracks": [{ "location": "local", "trackName": "a", "mid": "0" }],
    });
    for _ in 0..3 {
        let path = format!("/sessions/{id}/tracks/new");
        let (answer, took) = timed(|| server.post(&path, body.clone()));
        assert_eq!(answer.ok()["tracks"], json!([{ "trackName": "a", "mid": "0" }]));
        assert!(took < QUICK, "{took:?}");
    }
    let session = server.get(&format!("/sessions/{id}")).ok();
    assert_eq!(session["tracks"].as_array().unwrap().len(), 1);
}

#[test]
fn a_hopeless_pull_fails_at_once_and_allocates_nothing() {
    let server = Server::start();
    let id = server.session();
    let path = format!("/sessions/{id}/tracks/new");
    let nobody = pull("0123456789abcdef0123456789abcdef", "a");
    let (answer, took) = timed(|| server.post(&path, nobody));
    let json = answer.ok();
    assert!(took < QUICK, "{took:?}");
    assert_eq!(json["requiresImmediateRenegotiation"], false);
    assert!(json.get("sessionDescription").is_none());
    let track = &json["tracks"][0];
    assert_eq!(track["errorCode"], "not_found_track_error");
    assert!(track.get("mid").is_none() && track["trackName"] == "a");
    assert_eq!(server.get(&format!("/sessions/{id}")).ok()["tracks"], json!([]));
}

#[test]
fn a_pull_waits_for_a_publication_that_may_come() {
    let server = Server::start();
    let publisher = unconnected(&server);
    let watcher = server.session();
    let path = format!("/sessions/{watcher}/tracks/new");
    // Known but not connected, and unknown: one wait for both.
    let body = json!({ "tracks": [
        { "location": "remote", "sessionId": publisher, "trackName": "a" },
        { "location": "remote", "sessionId": publisher, "trackName": "b" },
    ] });
    let (answer, took) = timed(|| server.post(&path, body));
    assert!(WAITED.contains(&took), "{took:?}");
    for track in answer.ok()["tracks"].as_array().unwrap() {
        assert_eq!(track["errorCode"], "not_found_track_error");
    }
}

#[test]
fn a_connected_publisher_that_sends_nothing_is_empty() {
    let server = Server::start();
    let (publisher, client) = (server.session(), Client::new());
    let (sdp, mids) = client.offer_video(1);
    let body = json!({
        "sessionDescription": offer(&sdp),
        "tracks": [{ "location": "local", "trackName": "a", "mid": mids[0] }],
    });
    let json = server.post(&format!("/sessions/{publisher}/tracks/new"), body).ok();
    client.accept(json["sessionDescription"]["sdp"].as_str().unwrap());
    client.wait_connected();
    let watcher = server.session();
    let path = format!("/sessions/{watcher}/tracks/new");
    let (answer, took) = timed(|| server.post(&path, pull(&publisher, "a")));
    assert_eq!(answer.ok()["tracks"][0]["errorCode"], "empty_track_error");
    assert!(WAITED.contains(&took), "{took:?}");
}

#[test]
fn unused_sessions_expire_and_used_ones_do_not() {
    let server = Server::start();
    let unused = server.session();
    let never_connected = unconnected(&server);
    let crate::media::Publisher { session: alive, client } = crate::media::publish(&server, &["v"]);
    std::thread::sleep(Duration::from_millis(32_500));
    for id in [unused, never_connected] {
        let answer = server.get(&format!("/sessions/{id}"));
        assert_eq!(answer.error(), (410, "session_error".to_owned()));
    }
    let json = server.get(&format!("/sessions/{alive}")).ok();
    assert_eq!(json["tracks"][0]["status"], "active");
    // A track without packets ends after 30 s, its session does not.
    client.mute();
    std::thread::sleep(Duration::from_millis(32_500));
    let json = server.get(&format!("/sessions/{alive}")).ok();
    assert_eq!(json["tracks"][0]["status"], "inactive");
}

#[test]
fn an_unanswered_invitation_is_forgotten() {
    let server = Server::start();
    // A session that stays: it is connected.
    let crate::media::Publisher { session, client } = crate::media::publish(&server, &["v"]);
    let path = format!("/sessions/{session}/tracks/new");
    let invite = json!({ "tracks": [
        { "location": "local", "trackName": "late", "kind": "video" },
    ] });
    let lost = server.post(&path, invite.clone()).ok();
    let sdp = lost["sessionDescription"]["sdp"].as_str().unwrap();
    // A pull onto it must wait for the answer: the track is none yet.
    let early = json!({ "tracks": [{ "location": "remote", "sessionId": session,
        "trackName": "v", "mid": "#late" }] });
    assert_eq!(server.post(&path, early).ok()["tracks"][0]["errorCode"], "invalid_params");
    std::thread::sleep(Duration::from_millis(32_500));
    let answer = json!({ "type": "answer", "sdp": client.answer(sdp) });
    let body = json!({ "sessionDescription": answer });
    let late = server.put(&format!("/sessions/{session}/renegotiate"), body);
    assert_eq!(late.error(), (406, "invalid_session_description".to_owned()));
    let again = server.post(&path, invite).ok();
    assert!(again["tracks"][0]["mid"].is_string(), "{again}");
    assert_ne!(again["tracks"][0]["mid"], lost["tracks"][0]["mid"]);
}

#[test]
fn an_unanswered_offer_is_rolled_back() {
    let server = Server::start();
    let publisher = crate::media::publish(&server, &["v"]);
    let watcher = crate::media::Watcher::new(&server);
    let first = watcher.pull(&server, &publisher, "v");
    watcher.client.wait_flow(&first);
    let path = format!("/sessions/{}/tracks/new", watcher.session);
    let lost = server.post(&path, pull(&publisher.session, "v")).ok();
    let (answer, took) = timed(|| server.post(&path, pull(&publisher.session, "v")));
    assert_eq!(answer.error(), (406, "invalid_session_description".to_owned()));
    assert!(took < QUICK, "{took:?}");
    std::thread::sleep(Duration::from_secs(31));
    let mid = watcher.pull(&server, &publisher, "v");
    assert_ne!(Some(mid.as_str()), lost["tracks"][0]["mid"].as_str());
    watcher.client.wait_flow(&mid);
    let json = server.get(&format!("/sessions/{}", watcher.session)).ok();
    assert_eq!(json["tracks"].as_array().unwrap().len(), 2, "{json}");
}
