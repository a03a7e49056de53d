//! Transports that end or move while their session lives: sections stopped in any order.

use serde_json::{Value, json};

use crate::http::{Server, answer, offer};
use crate::media::{Publisher, Watcher, publish};
use crate::rtc::{Client, until};

/// Our offer as a browser would turn it around.
fn turned(sdp: &str) -> String {
    sdp.replace("a=sendonly", "a=x-was-sendonly")
        .replace("a=recvonly", "a=sendonly")
        .replace("a=x-was-sendonly", "a=recvonly")
        .replace("a=setup:actpass", "a=setup:active")
        .replace("a=ice-lite\r\n", "")
}

/// The same as the client's next offer, with these sections stopped.
fn stopping(sdp: &str, stopped: &[usize]) -> String {
    let sdp = turned(sdp).replace("a=setup:active", "a=setup:actpass");
    let mut parts = sdp.split("\r\nm=").map(str::to_owned);
    let head = parts.next().unwrap();
    let mut sections: Vec<String> = parts.collect();
    for index in stopped {
        let section = &mut sections[*index];
        *section = section.replacen(" 9 ", " 0 ", 1);
        for direction in ["a=sendonly", "a=recvonly", "a=sendrecv"] {
            *section = section.replace(direction, "a=inactive");
        }
    }
    let mid = |section: &String| {
        let line = section.lines().find(|line| line.starts_with("a=mid:")).unwrap();
        line.trim_start_matches("a=mid:").to_owned()
    };
    let alive = (0..sections.len()).filter(|index| !stopped.contains(index));
    let group: Vec<String> = alive.map(|index| mid(&sections[index])).collect();
    let lines = head.split("\r\n").filter(|line| !line.starts_with("a=group"));
    let mut head: Vec<String> = lines.map(str::to_owned).collect();
    if !group.is_empty() {
        head.push(format!("a=group:BUNDLE {}", group.join(" ")));
    }
    format!("{}\r\nm={}", head.join("\r\n"), sections.join("\r\nm="))
}

fn ufrag(sdp: &str) -> String {
    sdp.lines().find(|line| line.starts_with("a=ice-ufrag:")).unwrap().to_owned()
}

fn text(json: &Value) -> String {
    json["sessionDescription"]["sdp"].as_str().unwrap().to_owned()
}

/// A session with two invited publications, one of them with our half open; our offer's text.
fn two_invited(server: &Server) -> (String, String) {
    let session = server.session();
    let body = json!({ "tracks": [
        { "location": "local", "trackName": "a", "kind": "audio" },
        { "location": "local", "trackName": "b", "kind": "video", "bidirectionalMediaStream": true },
    ] });
    let json = server.post(&format!("/sessions/{session}/tracks/new"), body).ok();
    let sdp = text(&json);
    let body = json!({ "sessionDescription": answer(&turned(&sdp)) });
    server.put(&format!("/sessions/{session}/renegotiate"), body).ok();
    (session, sdp)
}

fn close(server: &Server, session: &str, mid: &str, sdp: &str) -> Value {
    let body = json!({ "sessionDescription": offer(sdp), "tracks": [{ "mid": mid }],
        "force": false });
    server.put(&format!("/sessions/{session}/tracks/close"), body).ok()
}

fn status(server: &Server, session: &str) -> Vec<(String, String)> {
    let json = server.get(&format!("/sessions/{session}")).ok();
    let word = |track: &Value, key: &str| track[key].as_str().unwrap().to_owned();
    let tracks = json["tracks"].as_array().unwrap();
    tracks.iter().map(|track| (word(track, "trackName"), word(track, "status"))).collect()
}

#[test]
fn the_first_invited_section_stops_and_the_rest_moves() {
    let server = Server::start();
    let (session, sdp) = two_invited(&server);
    let json = close(&server, &session, "0", &stopping(&sdp, &[0]));
    let answered = text(&json);
    assert_ne!(ufrag(&answered), ufrag(&sdp), "another transport");
    assert!(answered.contains("a=group:BUNDLE 1\r\n"), "{answered}");
    assert!(answered.contains("a=sendrecv\r\n"), "the half kept open stays: {answered}");
    let pair = |name: &str, status: &str| (name.to_owned(), status.to_owned());
    assert_eq!(status(&server, &session), [pair("a", "inactive"), pair("b", "active")]);
}

#[test]
fn the_last_section_stops_and_the_transport_stays() {
    let server = Server::start();
    let (session, sdp) = two_invited(&server);
    let json = close(&server, &session, "1", &stopping(&sdp, &[1]));
    assert_eq!(ufrag(&text(&json)), ufrag(&sdp));
    let pair = |name: &str, status: &str| (name.to_owned(), status.to_owned());
    assert_eq!(status(&server, &session), [pair("a", "active"), pair("b", "inactive")]);
}

#[test]
fn after_all_sections_stopped_our_offer_brings_a_new_transport_without_a_wait() {
    let server = Server::start();
    let (session, sdp) = two_invited(&server);
    let json = close(&server, &session, "0", &stopping(&sdp, &[0, 1]));
    assert!(!text(&json).contains("a=group"), "{}", text(&json));
    let start = std::time::Instant::now();
    let body = json!({ "tracks": [{ "location": "local", "trackName": "c", "kind": "video" }] });
    let json = server.post(&format!("/sessions/{session}/tracks/new"), body).ok();
    assert!(start.elapsed() < std::time::Duration::from_secs(1));
    let next = text(&json);
    assert_ne!(ufrag(&next), ufrag(&sdp));
    assert!(next.contains("a=group:BUNDLE 2\r\n"), "{next}");
    assert_eq!(next.matches("\r\nm=").count(), 2, "the places are used again: {next}");
}

#[test]
fn a_session_outlives_the_transport_it_does_not_need() {
    let server = Server::start();
    let Publisher { session, client } = publish(&server, &["v"]);
    let watcher = Watcher::new(&server);
    // Every section stops, and the client says good-bye on the transport.
    let listed = server.get(&format!("/sessions/{session}")).ok();
    let mid = listed["tracks"][0]["mid"].as_str().unwrap().to_owned();
    let sdp = client.offer_without(&[&mid]);
    let json = close(&server, &session, &mid, &stopping(&turned(&sdp), &[0]));
    assert!(json["tracks"][0].get("errorCode").is_none(), "{json}");
    client.close();
    let core = || server.get(&format!("/sessions/{session}")).ok()["core"].clone();
    until("the transport's end", || core().is_null());
    // It comes back with another transport.
    let client = Client::new();
    let body = json!({ "tracks": [{ "location": "local", "trackName": "w", "kind": "video" }] });
    let json = server.post(&format!("/sessions/{session}/tracks/new"), body).ok();
    let mid = json["tracks"][0]["mid"].as_str().unwrap().to_owned();
    let body = json!({ "sessionDescription": answer(&client.answer(&text(&json))) });
    server.put(&format!("/sessions/{session}/renegotiate"), body).ok();
    client.wait_connected();
    client.send(&mid);
    let publisher = Publisher { session, client };
    let pulled = watcher.pull(&server, &publisher, "w");
    watcher.client.wait_flow(&pulled);
}
