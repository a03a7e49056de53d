//! Publishing by the server's offer, sections used both ways, pulls onto sections that are there,
//! and clients that answer as DTLS server.

use serde_json::{Value, json};

use crate::http::{Server, answer, offer, sample};
use crate::media::{Publisher, Watcher, publish};
use crate::rtc::Client;

/// Asks for sections to publish in.
fn invite(server: &Server, session: &str, tracks: Value) -> Value {
    server.post(&format!("/sessions/{session}/tracks/new"), json!({ "tracks": tracks })).ok()
}

fn renegotiate(server: &Server, session: &str, sdp: &str) {
    let body = json!({ "sessionDescription": answer(sdp) });
    assert_eq!(server.put(&format!("/sessions/{session}/renegotiate"), body).ok(), json!({}));
}

/// A client that publishes one video in a section the server offered; its mid.
fn invited(server: &Server, track: Value) -> (Publisher, String) {
    let (session, client) = (server.session(), Client::new());
    let json = invite(server, &session, json!([track]));
    assert_eq!(json["requiresImmediateRenegotiation"], true, "{json}");
    assert_eq!(json["sessionDescription"]["type"], "offer");
    let mid = json["tracks"][0]["mid"].as_str().unwrap().to_owned();
    assert_eq!(json["tracks"][0], json!({ "trackName": track["trackName"], "mid": mid }));
    let sdp = client.answer(json["sessionDescription"]["sdp"].as_str().unwrap());
    renegotiate(server, &session, &sdp);
    client.wait_connected();
    client.send(&mid);
    (Publisher { session, client }, mid)
}

fn tracks(server: &Server, session: &str) -> Vec<Value> {
    let json = server.get(&format!("/sessions/{session}")).ok();
    json["tracks"].as_array().unwrap().clone()
}

/// A pull without a description onto a mid.
fn pull_onto(server: &Server, into: &str, mid: &str, from: &Publisher, name: &str) -> Value {
    let track = json!({ "location": "remote", "sessionId": from.session, "trackName": name,
        "mid": mid });
    server.post(&format!("/sessions/{into}/tracks/new"), json!({ "tracks": [track] })).ok()
}

fn one_way() -> Value {
    json!({ "location": "local", "trackName": "v", "kind": "video" })
}

fn both_ways() -> Value {
    json!({ "location": "local", "trackName": "v", "kind": "video",
        "bidirectionalMediaStream": true })
}

#[test]
fn a_track_is_published_by_the_server_s_offer() {
    let server = Server::start();
    let (publisher, mid) = invited(&server, one_way());
    let watcher = Watcher::new(&server);
    let pulled = watcher.pull(&server, &publisher, "v");
    watcher.client.wait_flow(&pulled);
    let listed = tracks(&server, &publisher.session);
    assert_eq!((&listed[0]["mid"], &listed[0]["location"]), (&json!(mid), &json!("local")));
    assert_eq!((listed.len(), &listed[0]["status"]), (1, &json!("active")));
    // The session goes on as any other: a push by its own offer, a close by name.
    let (sdp, mids) = publisher.client.offer_video(1);
    let body = json!({ "sessionDescription": offer(&sdp),
        "tracks": [{ "location": "local", "trackName": "w", "mid": mids[0] }] });
    let json = server.post(&format!("/sessions/{}/tracks/new", publisher.session), body).ok();
    publisher.client.accept(json["sessionDescription"]["sdp"].as_str().unwrap());
    publisher.client.send(&mids[0]);
    let second = watcher.pull(&server, &publisher, "w");
    watcher.client.wait_flow(&second);
    let body = json!({ "tracks": [{ "trackName": "v" }], "force": true });
    server.put(&format!("/sessions/{}/tracks/close", publisher.session), body).ok();
    assert!(watcher.client.is_silent(&pulled));
}

#[test]
fn a_declined_invitation_leaves_the_name_free() {
    let server = Server::start();
    let (session, client) = (server.session(), Client::new());
    let json = invite(&server, &session, json!([one_way()]));
    let sdp = client.answer(json["sessionDescription"]["sdp"].as_str().unwrap());
    renegotiate(&server, &session, &sdp.replace("a=sendonly", "a=inactive"));
    assert_eq!(tracks(&server, &session), Vec::<Value>::new());
    client.wait_connected();
    let again = invite(&server, &session, json!([one_way()]));
    assert!(again["tracks"][0]["mid"].is_string(), "{again}");
}

#[test]
fn wrong_invitations_fail_alone() {
    let server = Server::start();
    let session = server.session();
    let json = invite(
        &server,
        &session,
        json!([
            { "location": "local", "trackName": "a" },
            { "location": "local", "trackName": "a", "kind": "screen" },
            { "location": "local", "kind": "audio" },
            { "location": "local", "trackName": "x".repeat(513), "kind": "audio" },
            { "location": "local", "trackName": "a", "kind": "audio", "mid": "4" },
            { "location": "local", "trackName": "good", "kind": "audio" },
            { "location": "local", "trackName": "good", "kind": "video" },
        ]),
    );
    let code = |track: &Value| track["errorCode"].as_str().unwrap_or("ok").to_owned();
    let codes: Vec<_> = json["tracks"].as_array().unwrap().iter().map(code).collect();
    let bad = "invalid_params";
    assert_eq!(codes, [bad, bad, bad, bad, bad, "ok", "repeated_local_track_error"]);
    assert_eq!(json["requiresImmediateRenegotiation"], true);
    let text = json["sessionDescription"]["sdp"].as_str().unwrap();
    assert_eq!(text.matches("\r\nm=").count(), 1);
    // While that offer is open, what needs another one is out of order.
    let body = json!({ "tracks": [{ "location": "local", "trackName": "b", "kind": "audio" }] });
    let glare = server.post(&format!("/sessions/{session}/tracks/new"), body);
    assert_eq!(glare.error(), (406, "invalid_session_description".to_owned()));
    // Without one good track there is no offer, and nothing is allocated.
    let other = server.session();
    let json = invite(&server, &other, json!([{ "location": "local", "trackName": "a" }]));
    assert_eq!(json["requiresImmediateRenegotiation"], false);
    assert!(json.get("sessionDescription").is_none());
}

#[test]
fn a_section_offered_both_ways_takes_a_pull_by_name_without_sdp() {
    let server = Server::start();
    let other = publish(&server, &["w"]);
    let (publisher, mid) = invited(&server, both_ways());
    let json = pull_onto(&server, &publisher.session, "#v", &other, "w");
    assert_eq!(json["requiresImmediateRenegotiation"], false, "{json}");
    assert!(json.get("sessionDescription").is_none());
    let expected = json!({ "sessionId": other.session, "trackName": "w", "mid": mid });
    assert_eq!(json["tracks"], json!([expected]));
    publisher.client.wait_flow(&mid);
    let watcher = Watcher::new(&server);
    let pulled = watcher.pull(&server, &publisher, "v");
    watcher.client.wait_flow(&pulled);
    // Both are listed under one mid, and one close ends both.
    let listed = tracks(&server, &publisher.session);
    assert_eq!(listed.iter().filter(|track| track["mid"] == json!(mid)).count(), 2);
    let body = json!({ "tracks": [{ "mid": "#v" }], "force": true });
    let json = server.put(&format!("/sessions/{}/tracks/close", publisher.session), body).ok();
    assert_eq!(json["tracks"], json!([{ "mid": mid }]));
    assert!(publisher.client.is_silent(&mid) && watcher.client.is_silent(&pulled));
    let listed = tracks(&server, &publisher.session);
    assert!(listed.iter().all(|track| track["status"] == "inactive"), "{listed:?}");
}

#[test]
fn a_client_s_section_both_ways_takes_a_pull_and_another() {
    let server = Server::start();
    let (one, two) = (publish(&server, &["w"]), publish(&server, &["x"]));
    let (session, client) = (server.session(), Client::new());
    let (sdp, mids) = client.offer_both_ways(2);
    let track = |name: &str, mid: &str, both: bool| {
        json!({ "location": "local", "trackName": name, "mid": mid,
            "bidirectionalMediaStream": both })
    };
    let body = json!({ "sessionDescription": offer(&sdp),
        "tracks": [track("v", &mids[0], true), track("plain", &mids[1], false)] });
    let path = format!("/sessions/{session}/tracks/new");
    let json = server.post(&path, body).ok();
    let text = json["sessionDescription"]["sdp"].as_str().unwrap();
    assert_eq!((text.matches("a=sendrecv").count(), text.matches("a=recvonly").count()), (1, 1));
    client.accept(text);
    client.wait_connected();
    let json = pull_onto(&server, &session, &mids[0], &one, "w");
    assert_eq!(json["requiresImmediateRenegotiation"], false, "{json}");
    client.wait_flow(&mids[0]);
    // Another pull takes the place of the first.
    one.client.mute();
    let json = pull_onto(&server, &session, "#v", &two, "x");
    assert_eq!(json["tracks"][0]["mid"], mids[0]);
    client.wait_flow(&mids[0]);
    let remote = |track: &&Value| track["location"] == "remote";
    let listed = tracks(&server, &session);
    let remote: Vec<_> = listed.iter().filter(remote).collect();
    assert_eq!((remote.len(), &remote[0]["sessionId"]), (1, &json!(two.session)));
    // So does an update by name.
    let update = json!({ "tracks": [{ "mid": "#v", "sessionId": one.session, "trackName": "w" }] });
    let json = server.put(&format!("/sessions/{session}/tracks/update"), update).ok();
    assert_eq!(
        (json["tracks"][0].get("errorCode"), &json["tracks"][0]["mid"]),
        (None, &json!(mids[0]))
    );
    // The section without the flag needs an offer to be sent in.
    let json = pull_onto(&server, &session, "#plain", &two, "x");
    assert_eq!(json["requiresImmediateRenegotiation"], true, "{json}");
    assert_eq!(json["tracks"][0]["mid"], mids[1]);
    let sdp = client.answer(json["sessionDescription"]["sdp"].as_str().unwrap());
    renegotiate(&server, &session, &sdp);
    client.wait_flow(&mids[1]);
}

#[test]
fn pulls_onto_wrong_sections_fail_alone_and_none_needs_a_closed_offer() {
    let server = Server::start();
    let publisher = publish(&server, &["v"]);
    let watcher = Watcher::new(&server);
    let first = watcher.pull(&server, &publisher, "v");
    watcher.client.wait_flow(&first);
    let path = format!("/sessions/{}/tracks/new", watcher.session);
    let track = |mid: &str| json!({ "location": "remote", "sessionId": publisher.session, "trackName": "v", "mid": mid });
    let body = json!({ "tracks": [track("#nobody"), track("77"), track(&first), track(&first)] });
    let json = server.post(&path, body).ok();
    assert_eq!(json["requiresImmediateRenegotiation"], false);
    assert_eq!(json["tracks"][2]["mid"], first);
    for failed in [0, 1, 3] {
        let track = &json["tracks"][failed];
        assert_eq!(track["errorCode"], "invalid_params", "{track}");
        assert!(track.get("mid").is_none());
    }
    // An open offer: a new section must wait for its answer, one that is there need not.
    let plain = json!({ "location": "remote", "sessionId": publisher.session, "trackName": "v" });
    let open = server.post(&path, json!({ "tracks": [plain.clone()] })).ok();
    assert_eq!(open["requiresImmediateRenegotiation"], true);
    server.post(&path, json!({ "tracks": [track(&first)] })).ok();
    for body in [json!({ "tracks": [plain] }), json!({ "tracks": [track(&first), track("77")] })] {
        let answer = server.post(&path, body);
        if answer.status == 200 {
            assert_eq!(answer.ok()["tracks"][1]["errorCode"], "invalid_params");
        } else {
            assert_eq!(answer.error(), (406, "invalid_session_description".to_owned()));
        }
    }
    let sdp = watcher.client.answer(open["sessionDescription"]["sdp"].as_str().unwrap());
    renegotiate(&server, &watcher.session, &sdp);
    watcher.client.wait_flow(&first);
}

#[test]
fn a_closed_subscription_comes_back_in_its_section() {
    let server = Server::start();
    let publisher = publish(&server, &["v"]);
    let watcher = Watcher::new(&server);
    let mid = watcher.pull(&server, &publisher, "v");
    watcher.client.wait_flow(&mid);
    watcher.close(&server, &mid);
    assert!(watcher.client.is_silent(&mid));
    let json = pull_onto(&server, &watcher.session, &mid, &publisher, "v");
    assert_eq!(json["requiresImmediateRenegotiation"], true, "{json}");
    assert_eq!(json["tracks"][0]["mid"], mid);
    let sdp = watcher.client.answer(json["sessionDescription"]["sdp"].as_str().unwrap());
    renegotiate(&server, &watcher.session, &sdp);
    // Whether pictures come is asked of browsers: this stack takes the numbers of a section's next
    // stream for those of its last one.
    assert_eq!(watcher.status(&server, &mid), "active");
}

#[test]
fn a_client_that_answers_as_dtls_server_is_called_by_us() {
    let server = Server::start();
    let publisher = publish(&server, &["v"]);
    let (session, client) = (server.session(), Client::new());
    let path = format!("/sessions/{session}/tracks/new");
    let track = json!({ "location": "remote", "sessionId": publisher.session, "trackName": "v" });
    let json = server.post(&path, json!({ "tracks": [track] })).ok();
    let mid = json["tracks"][0]["mid"].as_str().unwrap().to_owned();
    let sdp = client.answer_as_server(json["sessionDescription"]["sdp"].as_str().unwrap());
    renegotiate(&server, &session, &sdp);
    client.wait_connected();
    client.wait_flow(&mid);
    // Its own later offer is answered in the role that stands, and it publishes as others do.
    let (sdp, mids) = client.offer_video(1);
    let body = json!({ "sessionDescription": offer(&sdp),
        "tracks": [{ "location": "local", "trackName": "own", "mid": mids[0] }] });
    let json = server.post(&path, body).ok();
    let text = json["sessionDescription"]["sdp"].as_str().unwrap();
    assert!(text.contains("a=setup:active") && !text.contains("a=setup:passive"), "{text}");
    client.accept(text);
    client.send(&mids[0]);
    let watcher = Watcher::new(&server);
    let from = Publisher { session, client };
    let pulled = watcher.pull(&server, &from, "own");
    watcher.client.wait_flow(&pulled);
}

#[test]
fn recorded_answers_of_every_client_begin_an_invited_publication() {
    let server = Server::start();
    for name in ["chromium", "firefox", "gstreamer", "werift", "wrtc", "aiortc", "pion"] {
        let session = server.session();
        let json = invite(
            &server,
            &session,
            json!([
                { "location": "local", "trackName": "a", "kind": "audio" },
                { "location": "local", "trackName": "b", "kind": "video" },
            ]),
        );
        assert_eq!(json["tracks"].as_array().unwrap().len(), 2);
        let sdp =
            sample(&format!("{name}-answer-to-server-offer")).replace("a=recvonly", "a=sendonly");
        renegotiate(&server, &session, &sdp);
        let listed = tracks(&server, &session);
        let names: Vec<_> = listed.iter().map(|t| t["trackName"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", "b"], "{name}");
    }
}
