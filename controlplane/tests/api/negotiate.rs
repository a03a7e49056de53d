//! Publishing, closing and renegotiating with recorded offers of real clients.

use serde_json::{Value, json};

use crate::http::{Server, answer, offer, sample};

fn push(server: &Server, sdp: &str, tracks: Value) -> (String, Value) {
    let id = server.session();
    let body = json!({ "sessionDescription": offer(sdp), "tracks": tracks });
    let json = server.post(&format!("/sessions/{id}/tracks/new"), body).ok();
    assert_eq!(json["requiresImmediateRenegotiation"], false);
    assert_eq!(json["sessionDescription"]["type"], "answer");
    (id, json)
}

fn mids(sdp: &str) -> Vec<String> {
    sdp.lines().filter_map(|line| line.strip_prefix("a=mid:")).map(str::to_owned).collect()
}

#[test]
fn every_client_s_first_push_is_answered() {
    let server = Server::start();
    for name in [
        "chromium-publish-audio-video",
        "chromium-simulcast",
        "chromium-publish-and-datachannel",
        "firefox-publish-audio-video",
        "firefox-simulcast",
        "aiortc-publish",
        "gstreamer-publish",
        "pion-publish",
        "werift-publish",
        "wrtc-publish",
    ] {
        let sdp = sample(name);
        let mid = mids(&sdp).first().cloned().unwrap();
        let tracks = json!([{ "location": "local", "trackName": "{a}", "mid": mid }]);
        let (_, json) = push(&server, &sdp, tracks);
        assert_eq!(json["tracks"], json!([{ "trackName": "{a}", "mid": mid }]), "{name}");
        let text = json["sessionDescription"]["sdp"].as_str().unwrap();
        assert_eq!(text.matches("\r\nm=").count(), sdp.matches("\nm=").count(), "{name}");
    }
}

#[test]
fn tracks_without_mids_take_the_sending_sections_in_order() {
    let server = Server::start();
    let tracks = json!([
        { "location": "local", "trackName": "first" },
        { "location": "local", "trackName": "second" },
        { "location": "local", "trackName": "third" },
    ]);
    let (_, json) = push(&server, &sample("chromium-publish-audio-video"), tracks);
    assert_eq!(json["tracks"][0], json!({ "trackName": "first", "mid": "0" }));
    assert_eq!(json["tracks"][1], json!({ "trackName": "second", "mid": "1" }));
    assert_eq!(json["tracks"][2]["errorCode"], "invalid_params");
    assert!(json["tracks"][2].get("mid").is_none());
}

#[test]
fn discovery_names_every_sending_section() {
    let server = Server::start();
    let id = server.session();
    let sdp = sample("chromium-publish-audio-video");
    let body = json!({ "sessionDescription": offer(&sdp), "autoDiscover": true });
    let json = server.post(&format!("/sessions/{id}/tracks/new"), body).ok();
    let tracks = json["tracks"].as_array().unwrap();
    let kinds: Vec<_> = tracks.iter().map(|t| (t["mid"].as_str(), t["kind"].as_str())).collect();
    let sections: Vec<_> = sdp.lines().filter(|line| line.starts_with("m=")).collect();
    for (index, (mid, kind)) in kinds.iter().enumerate() {
        assert_eq!(*mid, Some(index.to_string().as_str()));
        assert!(sections[index].starts_with(&format!("m={}", kind.unwrap())));
    }
    assert_eq!(kinds.len(), 2);
    assert_ne!(tracks[0]["trackName"], tracks[1]["trackName"]);
}

#[test]
fn wrong_entries_fail_alone() {
    let server = Server::start();
    let tracks = json!([
        { "location": "local", "trackName": "good", "mid": "0" },
        { "location": "local", "trackName": "good", "mid": "1" },
        { "location": "local", "trackName": "same", "mid": "0" },
        { "location": "local", "trackName": "nowhere", "mid": "9" },
        { "location": "local", "mid": "1" },
    ]);
    let (_, json) = push(&server, &sample("chromium-publish-audio-video"), tracks);
    let codes: Vec<_> = json["tracks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|track| track["errorCode"].as_str().unwrap_or("ok"))
        .collect();
    let bad = "invalid_params";
    assert_eq!(codes, ["ok", "repeated_local_track_error", bad, bad, bad]);
    assert!(json["tracks"].as_array().unwrap().iter().skip(1).all(|t| t.get("mid").is_none()));
}

#[test]
fn a_forced_close_needs_no_sdp_and_leaves_an_inactive_entry() {
    let server = Server::start();
    let tracks = json!([
        { "location": "local", "trackName": "a", "mid": "0" },
        { "location": "local", "trackName": "b", "mid": "1" },
    ]);
    let (id, _) = push(&server, &sample("chromium-publish-audio-video"), tracks);
    let path = format!("/sessions/{id}/tracks/close");
    let json = server.put(&path, json!({ "tracks": [{ "mid": "0" }], "force": true })).ok();
    let expected = json!({ "requiresImmediateRenegotiation": false, "tracks": [{ "mid": "0" }] });
    assert_eq!(json, expected);
    // Seeds close by name, without force or SDP.
    let json = server.put(&path, json!({ "tracks": [{ "trackName": "b" }] })).ok();
    assert_eq!(json["tracks"], json!([{ "trackName": "b", "mid": "1" }]));
    // Once more: both are closed already.
    let again = json!({ "tracks": [{ "mid": "0" }, { "mid": "77" }], "force": true });
    for track in server.put(&path, again).ok()["tracks"].as_array().unwrap() {
        assert_eq!(track["errorCode"], "close_track_error");
        assert!(track["mid"].as_str().is_some_and(|mid| !mid.is_empty()));
    }
    let tracks = server.get(&format!("/sessions/{id}")).ok()["tracks"].clone();
    assert!(tracks.as_array().unwrap().iter().all(|track| track["status"] == "inactive"));
    let refused = server.put(&path, json!({ "tracks": [] }));
    assert_eq!(refused.error(), (406, "invalid_params".to_owned()));
}

#[test]
fn a_negotiated_close_always_returns_the_answer() {
    let server = Server::start();
    let first = sample("chromium-publish-audio-video");
    let tracks = json!([
        { "location": "local", "trackName": "a", "mid": "0" },
        { "location": "local", "trackName": "b", "mid": "1" },
    ]);
    let (id, _) = push(&server, &first, tracks);
    let path = format!("/sessions/{id}/tracks/close");
    // Partytracks' batch: both mids listed, neither stopped in the offer.
    let both = json!({
        "sessionDescription": offer(&first),
        "tracks": [{ "mid": "0" }, { "mid": "1" }, { "mid": "5" }],
        "force": false,
    });
    let json = server.put(&path, both.clone()).ok();
    let text = json["sessionDescription"]["sdp"].as_str().unwrap();
    assert_eq!(text.matches("a=inactive").count(), 2, "{text}");
    assert!(!text.contains("m=audio 0") && !text.contains("m=video 0"));
    assert_eq!(json["tracks"][2]["errorCode"], "close_track_error");
    assert_eq!(json["tracks"][2]["mid"], "5");
    // Every item fails now; the answer comes nevertheless.
    let json = server.put(&path, both).ok();
    assert_eq!(json["sessionDescription"]["type"], "answer");
    assert!(json["tracks"].as_array().unwrap().iter().all(|t| t["errorCode"].is_string()));
}

#[test]
fn renegotiation_without_an_open_offer_is_out_of_order() {
    let server = Server::start();
    let id = server.session();
    let path = format!("/sessions/{id}/renegotiate");
    let sdp = sample("chromium-answer-to-server-offer");
    let body = json!({ "sessionDescription": answer(&sdp) });
    let code = (406, "invalid_session_description".to_owned());
    assert_eq!(server.put(&path, body.clone()).error(), code);
    let tracks = json!([{ "location": "local", "trackName": "a", "mid": "0" }]);
    let (id, _) = push(&server, &sample("chromium-publish-VP8"), tracks);
    assert_eq!(server.put(&format!("/sessions/{id}/renegotiate"), body).error(), code);
}

#[test]
fn an_ice_restart_gets_new_credentials_and_a_plain_re_offer_keeps_them() {
    let server = Server::start();
    let first = sample("chromium-publish-VP8");
    let tracks = json!([{ "location": "local", "trackName": "a", "mid": "0" }]);
    let (id, json) = push(&server, &first, tracks);
    let before = ufrag(&json["sessionDescription"]["sdp"]);
    let path = format!("/sessions/{id}/renegotiate");
    let offered = |sdp: &str| {
        let body = json!({ "sessionDescription": offer(sdp) });
        ufrag(&server.put(&path, body).ok()["sessionDescription"]["sdp"])
    };
    assert_eq!(offered(&first), before);
    let own = first.lines().find(|line| line.starts_with("a=ice-ufrag:")).unwrap();
    let restarted = first.replace(own, "a=ice-ufrag:NEWx");
    let after = offered(&restarted);
    assert_ne!(after, before);
    assert_eq!(offered(&restarted), after);
}

fn ufrag(sdp: &Value) -> String {
    let text = sdp.as_str().unwrap();
    text.lines().find(|line| line.starts_with("a=ice-ufrag:")).unwrap().to_owned()
}

#[test]
fn a_moved_bundle_tag_gets_a_new_transport() {
    let server = Server::start();
    let first = sample("chromium-publish-audio-video");
    let tracks = json!([
        { "location": "local", "trackName": "a", "mid": "0" },
        { "location": "local", "trackName": "b", "mid": "1" },
    ]);
    let (id, json) = push(&server, &first, tracks);
    let before = ufrag(&json["sessionDescription"]["sdp"]);
    // The first section stops: port 0, inactive, out of the group.
    let mut sections: Vec<String> = first.split("\r\nm=").map(str::to_owned).collect();
    sections[0] = sections[0].replace("BUNDLE 0 1", "BUNDLE 1");
    let rest = sections[1].split_once(' ').unwrap();
    let rest = (rest.0.to_owned(), rest.1.split_once(' ').unwrap().1.to_owned());
    sections[1] = format!("{} 0 {}", rest.0, rest.1).replace("a=sendonly", "a=inactive");
    let body = json!({
        "sessionDescription": offer(&sections.join("\r\nm=")),
        "tracks": [{ "mid": "0" }],
        "force": false,
    });
    let json = server.put(&format!("/sessions/{id}/tracks/close"), body).ok();
    let text = json["sessionDescription"]["sdp"].as_str().unwrap();
    assert!(text.contains("a=group:BUNDLE 1\r\n"), "{text}");
    assert_ne!(ufrag(&json["sessionDescription"]["sdp"]), before);
}
