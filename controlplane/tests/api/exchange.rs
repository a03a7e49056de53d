//! A client of WHIP and WHEP: requests with their headers, and str0m at both ends.

use serde_json::{Value, json};

use crate::http::{APP, Answer, SECRET, Server};
use crate::rtc::Client;

pub(crate) const SDP: &str = "application/sdp";
pub(crate) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// A path of the first app.
pub(crate) fn path(rest: &str) -> String {
    format!("/v1/apps/{APP}{rest}")
}

/// One request; an empty value leaves the header out.
pub(crate) fn ask(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let lines = headers.iter().filter(|(_, value)| !value.is_empty());
    let lines: String = lines.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    server.request(method, path, &lines, body)
}

/// A token of the backend.
pub(crate) fn token(server: &Server, stream: &str, role: &str) -> String {
    let reply = server.post(&format!("/streams/{stream}/tokens"), json!({ "role": role }));
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.json()["token"].as_str().unwrap().to_owned()
}

/// POST of an offer with a bearer token.
pub(crate) fn post(server: &Server, place: &str, bearer: &str, offer: &str) -> Answer {
    let bearer = format!("Bearer {bearer}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", SDP)];
    ask(server, "POST", &path(place), &headers, offer)
}

/// What a stream is now.
pub(crate) fn look(server: &Server, stream: &str) -> Value {
    server.get(&format!("/streams/{stream}")).ok()
}

/// Where a session is, after checking the reply that made it.
pub(crate) fn location(reply: &Answer, status: u16) -> String {
    assert_eq!(reply.status, status, "{}", reply.text);
    assert_eq!(reply.headers["content-type"], SDP);
    assert!(reply.headers["etag"].len() > 6, "{:?}", reply.headers);
    assert!(reply.text.contains("a=rtcp-mux-only\r\n"));
    reply.headers["location"].clone()
}

/// A client that publishes a video, and where its session is.
pub(crate) fn broadcast(server: &Server, stream: &str) -> (Client, String) {
    let client = Client::new();
    let (sdp, mids) = client.offer_video(1);
    let token = token(server, stream, "publish");
    let reply = post(server, &format!("/whip/{stream}"), &token, &sdp);
    let place = location(&reply, 201);
    assert!(reply.text.contains("a=recvonly\r\n"));
    client.accept(&reply.text);
    client.wait_connected();
    client.send(&mids[0]);
    (client, place)
}

/// A client that watches by its own offer; its mid, and where its session is.
pub(crate) fn view(server: &Server, stream: &str) -> (Client, String, String) {
    let client = Client::new();
    let (sdp, mids) = client.offer_to_receive(1);
    let token = token(server, stream, "play");
    let reply = post(server, &format!("/whep/{stream}"), &token, &sdp);
    let place = location(&reply, 201);
    assert!(reply.text.contains("a=sendonly\r\n"));
    client.accept(&reply.text);
    (client, mids[0].clone(), place)
}

/// PATCH of a session with the secret.
pub(crate) fn patch(
    server: &Server,
    place: &str,
    kind: &str,
    if_match: &str,
    body: &str,
) -> Answer {
    let bearer = format!("Bearer {SECRET}");
    let headers =
        [("Authorization", bearer.as_str()), ("Content-Type", kind), ("If-Match", if_match)];
    ask(server, "PATCH", place, &headers, body)
}

/// Any other request with the secret.
pub(crate) fn call(server: &Server, method: &str, place: &str) -> Answer {
    ask(server, method, place, &[("Authorization", &format!("Bearer {SECRET}"))], "")
}
