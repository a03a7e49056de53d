//! Simulcast: encodings chosen by their names, through the API alone.

use serde_json::{Value, json};

use crate::http::{Server, answer, offer};
use crate::media::{Publisher, Watcher, publish};
use crate::rtc::{Client, layer_len};

/// Publishes one simulcast video and sends all its encodings.
fn publish_layers(server: &Server, name: &str, rids: &[&str]) -> Publisher {
    let (session, client) = (server.session(), Client::new());
    let (sdp, mid) = client.offer_layers(rids);
    let track = json!({ "location": "local", "trackName": name, "mid": mid });
    let body = json!({ "sessionDescription": offer(&sdp), "tracks": [track] });
    let json = server.post(&format!("/sessions/{session}/tracks/new"), body).ok();
    client.accept(json["sessionDescription"]["sdp"].as_str().unwrap());
    client.wait_connected();
    client.send_layers(&mid, rids);
    Publisher { session, client }
}

/// Pulls a track with settings; the reply holds an open offer.
fn ask(server: &Server, watcher: &Watcher, from: &Publisher, simulcast: &Value) -> Value {
    let track = json!({ "location": "remote", "sessionId": from.session, "trackName": "v",
        "simulcast": simulcast });
    let path = format!("/sessions/{}/tracks/new", watcher.session);
    server.post(&path, json!({ "tracks": [track] })).ok()
}

/// Answers the offer of a pull; returns the mid.
fn take(server: &Server, watcher: &Watcher, pulled: &Value) -> String {
    let sdp = watcher.client.answer(pulled["sessionDescription"]["sdp"].as_str().unwrap());
    let path = format!("/sessions/{}/renegotiate", watcher.session);
    server.put(&path, json!({ "sessionDescription": answer(&sdp) })).ok();
    pulled["tracks"][0]["mid"].as_str().unwrap().to_owned()
}

fn update(server: &Server, watcher: &Watcher, track: Value) -> Value {
    let path = format!("/sessions/{}/tracks/update", watcher.session);
    server.put(&path, json!({ "tracks": [track] })).ok()["tracks"][0].clone()
}

#[test]
fn an_encoding_is_chosen_by_its_name() {
    let server = Server::start();
    let publisher = publish_layers(&server, "v", &["a", "b"]);
    let watcher = Watcher::new(&server);
    let wish = json!({ "preferredRid": "b", "priorityOrdering": "none" });
    let pulled = ask(&server, &watcher, &publisher, &wish);
    assert_eq!(pulled["tracks"][0]["simulcast"], wish, "echoed as given");
    let mid = take(&server, &watcher, &pulled);
    watcher.client.wait_len(&mid, layer_len(1));
    let read = server.get(&format!("/sessions/{}", publisher.session)).ok();
    assert_eq!(read["tracks"][0]["rids"], json!(["a", "b"]));
    assert!(read["tracks"][0].get("audioLevel").is_none(), "{read}");

    let wish = json!({ "preferredRid": "a" });
    let reply = update(&server, &watcher, json!({ "mid": mid, "simulcast": wish }));
    assert_eq!(reply, json!({ "location": "remote", "mid": mid, "simulcast": wish }));
    watcher.client.wait_len(&mid, layer_len(0));
    let read = server.get(&format!("/sessions/{}", watcher.session)).ok();
    assert_eq!(read["tracks"][0]["simulcast"], wish);

    // A name the track lacks takes the next one that is there.
    let wish = json!({ "preferredRid": "aa", "ridNotAvailable": "asciibetical" });
    update(&server, &watcher, json!({ "mid": mid, "simulcast": wish }));
    watcher.client.wait_len(&mid, layer_len(1));
}

#[test]
fn a_wish_goes_along_to_another_track_by_name() {
    let server = Server::start();
    let one = publish_layers(&server, "v", &["a", "b"]);
    let two = publish_layers(&server, "w", &["b", "c", "a"]);
    let plain = publish(&server, &["p"]);
    let watcher = Watcher::new(&server);
    let pulled = ask(&server, &watcher, &one, &json!({ "preferredRid": "a" }));
    let mid = take(&server, &watcher, &pulled);
    watcher.client.wait_len(&mid, layer_len(0));
    let point = |publisher: &Publisher, name: &str| {
        let track = json!({ "mid": mid, "sessionId": publisher.session, "trackName": name });
        let reply = update(&server, &watcher, track);
        assert!(reply.get("errorCode").is_none(), "{reply}");
    };
    point(&two, "w");
    watcher.client.wait_len(&mid, layer_len(2));
    point(&plain, "p");
    watcher.client.wait_len(&mid, layer_len(0));
    point(&two, "w");
    watcher.client.wait_len(&mid, layer_len(2));
}

#[test]
fn a_choice_is_made_while_the_offer_is_open() {
    let server = Server::start();
    let publisher = publish_layers(&server, "v", &["f", "h", "q"]);
    let watcher = Watcher::new(&server);
    let pulled = ask(&server, &watcher, &publisher, &json!({ "preferredRid": "f" }));
    let mid = &pulled["tracks"][0]["mid"];
    let wish = json!({ "mid": mid, "simulcast": { "preferredRid": "q" } });
    assert!(update(&server, &watcher, wish).get("errorCode").is_none());
    let mid = take(&server, &watcher, &pulled);
    watcher.client.wait_len(&mid, layer_len(2));
}

#[test]
fn unknown_policies_fail_alone_and_change_nothing() {
    let server = Server::start();
    let publisher = publish_layers(&server, "v", &["a", "b"]);
    let watcher = Watcher::new(&server);
    let refused = |reply: &Value, field: &str| {
        assert_eq!(reply["errorCode"], "invalid_params", "{reply}");
        let text = reply["errorDescription"].as_str().unwrap();
        assert!(text.starts_with(&format!("simulcast.{field}: ")), "{text}");
    };
    let wish = json!({ "preferredRid": "a", "ridNotAvailable": "alphabetical" });
    let pulled = ask(&server, &watcher, &publisher, &wish);
    refused(&pulled["tracks"][0], "ridNotAvailable");
    assert!(pulled["tracks"][0].get("mid").is_none());
    assert_eq!(pulled["requiresImmediateRenegotiation"], false);
    assert!(pulled.get("sessionDescription").is_none());

    let pulled = ask(&server, &watcher, &publisher, &json!({ "preferredRid": "b" }));
    let mid = take(&server, &watcher, &pulled);
    watcher.client.wait_len(&mid, layer_len(1));
    let wish = json!({ "preferredRid": "a", "priorityOrdering": "" });
    let reply = update(&server, &watcher, json!({ "mid": mid, "simulcast": wish }));
    refused(&reply, "priorityOrdering");
    assert_eq!(reply["mid"], mid);
    let read = server.get(&format!("/sessions/{}", watcher.session)).ok();
    assert_eq!(read["tracks"][0]["simulcast"], json!({ "preferredRid": "b" }));
}

#[test]
fn speakers_are_counted() {
    let server = Server::start();
    let metrics = server.send("GET", "/metrics", "", "").text;
    assert!(metrics.contains("\nfanfall_active_speakers 0\n"), "{metrics}");
}
