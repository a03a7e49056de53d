//! Media through the real data plane, steered by the API alone: publish, pull, close, re-point,
//! end.

use serde_json::{Value, json};

use crate::http::{Server, answer, offer};
use crate::rtc::{Client, until};

/// A session that sends.
pub(crate) struct Publisher {
    pub(crate) session: String,
    pub(crate) client: Client,
}

/// A session that receives.
pub(crate) struct Watcher {
    pub(crate) session: String,
    pub(crate) client: Client,
}

/// Publishes and sends one video per name.
pub(crate) fn publish(server: &Server, names: &[&str]) -> Publisher {
    let (session, client) = (server.session(), Client::new());
    let (sdp, mids) = client.offer_video(names.len());
    let tracks: Vec<Value> = names
        .iter()
        .zip(&mids)
        .map(|(name, mid)| json!({ "location": "local", "trackName": name, "mid": mid }))
        .collect();
    let body = json!({ "sessionDescription": offer(&sdp), "tracks": tracks });
    let json = server.post(&format!("/sessions/{session}/tracks/new"), body).ok();
    client.accept(json["sessionDescription"]["sdp"].as_str().unwrap());
    client.wait_connected();
    mids.iter().for_each(|mid| client.send(mid));
    Publisher { session, client }
}

impl Watcher {
    pub(crate) fn new(server: &Server) -> Self {
        Self { session: server.session(), client: Client::new() }
    }

    /// Pulls a track by the server's offer; returns its mid.
    pub(crate) fn pull(&self, server: &Server, from: &Publisher, name: &str) -> String {
        let track = json!({ "location": "remote", "sessionId": from.session, "trackName": name });
        let path = format!("/sessions/{}/tracks/new", self.session);
        let json = server.post(&path, json!({ "tracks": [track] })).ok();
        assert_eq!(json["requiresImmediateRenegotiation"], true, "{json}");
        assert_eq!(json["tracks"][0]["sessionId"], from.session);
        assert_eq!(json["tracks"][0]["trackName"], name);
        let sdp = self.client.answer(json["sessionDescription"]["sdp"].as_str().unwrap());
        let body = json!({ "sessionDescription": answer(&sdp) });
        let path = format!("/sessions/{}/renegotiate", self.session);
        assert_eq!(server.put(&path, body).ok(), json!({}));
        json["tracks"][0]["mid"].as_str().unwrap().to_owned()
    }

    pub(crate) fn close(&self, server: &Server, mid: &str) {
        let body = json!({ "tracks": [{ "mid": mid }], "force": true });
        let json = server.put(&format!("/sessions/{}/tracks/close", self.session), body).ok();
        assert_eq!(json["tracks"], json!([{ "mid": mid }]));
    }

    /// Status of a subscription.
    pub(crate) fn status(&self, server: &Server, mid: &str) -> String {
        let json = server.get(&format!("/sessions/{}", self.session)).ok();
        let tracks = json["tracks"].as_array().unwrap();
        let track = tracks.iter().find(|track| track["mid"] == mid).unwrap();
        track["status"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_track_is_pulled_closed_and_pulled_again() {
    let server = Server::start();
    let publisher = publish(&server, &["v"]);
    let watcher = Watcher::new(&server);
    let mid = watcher.pull(&server, &publisher, "v");
    watcher.client.wait_flow(&mid);
    let json = server.get(&format!("/sessions/{}", watcher.session)).ok();
    assert!(json["core"].is_number() && json["srtpProfile"].is_string(), "{json}");
    watcher.close(&server, &mid);
    assert!(watcher.client.is_silent(&mid));
    assert_eq!(watcher.status(&server, &mid), "inactive");
    let again = watcher.pull(&server, &publisher, "v");
    watcher.client.wait_flow(&again);
    assert_eq!(watcher.status(&server, &again), "active");
}

#[test]
fn the_same_track_may_be_pulled_twice() {
    let server = Server::start();
    let publisher = publish(&server, &["v"]);
    let watcher = Watcher::new(&server);
    let first = watcher.pull(&server, &publisher, "v");
    watcher.client.wait_connected();
    let second = watcher.pull(&server, &publisher, "v");
    assert_ne!(first, second);
    watcher.client.wait_flow(&first);
    watcher.client.wait_flow(&second);
}

#[test]
fn a_pull_waits_for_a_publisher_that_is_still_connecting() {
    let server = Server::start();
    let (session, client) = (server.session(), Client::new());
    let watcher = Watcher::new(&server);
    std::thread::scope(|scope| {
        let path = format!("/sessions/{}/tracks/new", watcher.session);
        let track = json!({ "location": "remote", "sessionId": session, "trackName": "v" });
        let server = &server;
        let pull = scope.spawn(move || server.post(&path, json!({ "tracks": [track] })));
        std::thread::sleep(std::time::Duration::from_millis(300));
        let (sdp, mids) = client.offer_video(1);
        let body = json!({
            "sessionDescription": offer(&sdp),
            "tracks": [{ "location": "local", "trackName": "v", "mid": mids[0] }],
        });
        let json = server.post(&format!("/sessions/{session}/tracks/new"), body).ok();
        client.accept(json["sessionDescription"]["sdp"].as_str().unwrap());
        client.send(&mids[0]);
        let json = pull.join().unwrap().ok();
        assert!(json["tracks"][0]["mid"].is_string(), "{json}");
    });
}

#[test]
fn partial_failure_offers_the_rest() {
    let server = Server::start();
    let publisher = publish(&server, &["v"]);
    let watcher = Watcher::new(&server);
    let track = |session: &str| {
        json!({ "location": "remote", "sessionId": session, "trackName": "v",
                "simulcast": { "preferredRid": "a" } })
    };
    let path = format!("/sessions/{}/tracks/new", watcher.session);
    let body = json!({ "tracks": [track("none"), track(&publisher.session)] });
    let json = server.post(&path, body).ok();
    assert_eq!(json["requiresImmediateRenegotiation"], true);
    assert_eq!(json["tracks"][0]["errorCode"], "not_found_track_error");
    assert!(json["tracks"][0].get("mid").is_none());
    assert_eq!(json["tracks"][1]["simulcast"], json!({ "preferredRid": "a" }));
    let mid = json["tracks"][1]["mid"].as_str().unwrap().to_owned();
    // What needs no SDP goes on while our offer is open.
    let update = json!({ "tracks": [{ "mid": mid, "sessionId": publisher.session,
        "trackName": "v", "simulcast": { "preferredRid": "" } }] });
    let updated = server.put(&format!("/sessions/{}/tracks/update", watcher.session), update).ok();
    assert!(updated["tracks"][0].get("errorCode").is_none(), "{updated}");
    // What needs SDP does not.
    let renegotiate = format!("/sessions/{}/renegotiate", watcher.session);
    let (sdp, _) = Client::new().offer_video(1);
    let glare = server.put(&renegotiate, json!({ "sessionDescription": offer(&sdp) }));
    assert_eq!(glare.error(), (406, "invalid_session_description".to_owned()));
    let sdp = watcher.client.answer(json["sessionDescription"]["sdp"].as_str().unwrap());
    let body = json!({ "sessionDescription": answer(&sdp) });
    server.put(&renegotiate, body.clone()).ok();
    watcher.client.wait_flow(&mid);
    // The answer once more answers nothing.
    let repeated = server.put(&renegotiate, body);
    assert_eq!(repeated.error(), (406, "invalid_session_description".to_owned()));
}

#[test]
fn a_subscription_is_re_pointed_without_sdp() {
    let server = Server::start();
    let one = publish(&server, &["v"]);
    let two = publish(&server, &["w"]);
    let watcher = Watcher::new(&server);
    let mid = watcher.pull(&server, &one, "v");
    watcher.client.wait_flow(&mid);
    one.client.mute();
    assert!(watcher.client.is_silent(&mid));
    let update = |name: &str| {
        let body = json!({ "tracks": [{ "location": "remote", "mid": mid,
            "sessionId": two.session, "trackName": name }] });
        server.put(&format!("/sessions/{}/tracks/update", watcher.session), body).ok()
    };
    assert_eq!(update("none")["tracks"][0]["errorCode"], "not_found_track_error");
    let json = update("w");
    let expected = json!({ "location": "remote", "mid": mid, "sessionId": two.session,
        "trackName": "w" });
    assert_eq!(json["tracks"][0], expected);
    assert!(json.get("sessionDescription").is_none());
    watcher.client.wait_flow(&mid);
}

#[test]
fn layers_of_a_plain_track_cannot_be_chosen() {
    let server = Server::start();
    let publisher = publish(&server, &["v"]);
    let watcher = Watcher::new(&server);
    let mid = watcher.pull(&server, &publisher, "v");
    let body = json!({ "tracks": [{ "mid": mid, "simulcast": { "preferredRid": "b" } }] });
    let path = format!("/sessions/{}/tracks/update", watcher.session);
    let json = server.put(&path, body).ok();
    assert_eq!(json["tracks"][0]["errorCode"], "update_track_error");
    assert_eq!(json["tracks"][0]["mid"], mid);
}

#[test]
fn a_closed_publication_ends_for_everybody_and_can_come_back() {
    let server = Server::start();
    let publisher = publish(&server, &["v", "w"]);
    let watcher = Watcher::new(&server);
    let mid = watcher.pull(&server, &publisher, "v");
    watcher.client.wait_flow(&mid);
    let path = format!("/sessions/{}/tracks", publisher.session);
    let body = json!({ "tracks": [{ "trackName": "v" }], "force": true });
    server.put(&format!("{path}/close"), body).ok();
    assert!(watcher.client.is_silent(&mid));
    assert_eq!(watcher.status(&server, &mid), "inactive");
    // A new section under the same name.
    let (sdp, mids) = publisher.client.offer_video(1);
    let body = json!({
        "sessionDescription": offer(&sdp),
        "tracks": [{ "location": "local", "trackName": "v", "mid": mids[0] }],
    });
    let json = server.post(&format!("{path}/new"), body).ok();
    publisher.client.accept(json["sessionDescription"]["sdp"].as_str().unwrap());
    publisher.client.send(&mids[0]);
    let again = watcher.pull(&server, &publisher, "v");
    watcher.client.wait_flow(&again);
}

#[test]
fn good_bye_of_a_client_ends_its_session() {
    let server = Server::start();
    let publisher = publish(&server, &["v"]);
    let watcher = Watcher::new(&server);
    let mid = watcher.pull(&server, &publisher, "v");
    watcher.client.wait_flow(&mid);
    publisher.client.close();
    let path = format!("/sessions/{}", publisher.session);
    until("end of the session", || server.get(&path).status == 410);
    assert_eq!(watcher.status(&server, &mid), "inactive");
    let track = json!({ "location": "remote", "sessionId": publisher.session, "trackName": "v" });
    let path = format!("/sessions/{}/tracks/new", watcher.session);
    let json = server.post(&path, json!({ "tracks": [track] })).ok();
    assert_eq!(json["tracks"][0]["errorCode"], "not_found_track_error");
}

#[test]
fn tracks_are_pulled_onto_the_client_s_offer() {
    let server = Server::start();
    let publisher = publish(&server, &["v"]);
    let watcher = Watcher::new(&server);
    let (sdp, mids) = watcher.client.offer_to_receive(1);
    let track = json!({ "location": "remote", "sessionId": publisher.session, "trackName": "v",
        "kind": "video" });
    let body = json!({ "sessionDescription": offer(&sdp), "tracks": [track.clone(), track] });
    let path = format!("/sessions/{}/tracks/new", watcher.session);
    let json = server.post(&path, body).ok();
    assert_eq!(json["requiresImmediateRenegotiation"], false);
    assert_eq!(json["sessionDescription"]["type"], "answer");
    assert_eq!(json["tracks"][0]["mid"], mids[0]);
    assert_eq!(json["tracks"][1]["errorCode"], "invalid_params", "one section, two tracks");
    watcher.client.accept(json["sessionDescription"]["sdp"].as_str().unwrap());
    watcher.client.wait_flow(&mids[0]);
}
