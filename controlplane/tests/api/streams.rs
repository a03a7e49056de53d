//! WHIP (RFC 9725), WHEP (draft-ietf-wish-whep-04) and stream tokens.

use serde_json::json;

use crate::exchange::{
    FRAGMENT, SDP, ask, broadcast, call, location, look, patch, path, post, token, view,
};
use crate::http::{OTHER_APP, OTHER_SECRET, SECRET, Server, answer, sample};
use crate::rtc::{Client, until};

const PWD: &str = "vw5LmwG4y/e6dPP/zAP9Gp5k";

#[test]
fn a_stream_is_published_and_watched_in_every_way() {
    let server = Server::start();
    assert_eq!(look(&server, "show"), json!({ "live": false, "tracks": [], "viewers": 0 }));
    let (publisher, place) = broadcast(&server, "show");
    let (viewer, mid, _) = view(&server, "show");
    viewer.wait_flow(&mid);

    // By our offer: a POST without a body.
    let other = Client::new();
    let play = format!("Bearer {}", token(&server, "show", "play"));
    let reply = ask(&server, "POST", &path("/whep/show"), &[("Authorization", &play)], "");
    let watched = location(&reply, 201);
    assert!(reply.text.contains("a=setup:actpass\r\n") && reply.text.contains("a=sendonly\r\n"));
    assert_eq!(reply.headers["accept-patch"], format!("{FRAGMENT}, {SDP}"));
    let sdp = other.answer(&reply.text);
    let headers = [("Authorization", play.as_str()), ("Content-Type", SDP)];
    let patched = ask(&server, "PATCH", &watched, &headers, &sdp);
    assert_eq!((patched.status, patched.text.as_str()), (204, ""));
    assert!(!patched.headers.contains_key("content-type"));
    other.wait_flow("0");
    assert_eq!(patch(&server, &watched, SDP, "", &sdp).status, 406, "no offer is open");

    // By the normal API, with what the stream says of itself.
    let seen = look(&server, "show");
    let publisher_id = place.rsplit('/').next().unwrap();
    let track = json!({ "trackName": "video", "mid": seen["tracks"][0]["mid"], "kind": "video" });
    let live = json!({ "live": true, "sessionId": publisher_id, "tracks": [track], "viewers": 2 });
    assert_eq!(seen, live);
    let (third, session) = (Client::new(), server.session());
    let track = json!({ "location": "remote", "sessionId": publisher_id, "trackName": "video" });
    let json =
        server.post(&format!("/sessions/{session}/tracks/new"), json!({ "tracks": [track] }));
    let json = json.ok();
    let sdp = third.answer(json["sessionDescription"]["sdp"].as_str().unwrap());
    let body = json!({ "sessionDescription": answer(&sdp) });
    server.put(&format!("/sessions/{session}/renegotiate"), body).ok();
    third.wait_flow(json["tracks"][0]["mid"].as_str().unwrap());

    // DELETE ends a session, and only that one.
    assert_eq!(call(&server, "DELETE", &watched).status, 200);
    assert_eq!(call(&server, "DELETE", &watched).error(), (404, "not_found".into()));
    assert_eq!(look(&server, "show")["viewers"], 1);
    assert!(other.is_silent("0"));
    viewer.wait_flow(&mid);
    assert_eq!(call(&server, "DELETE", &place).status, 200);
    let gone = look(&server, "show");
    assert_eq!(gone, json!({ "live": false, "tracks": [], "viewers": 1 }));
    drop(publisher);
}

#[test]
fn viewers_are_shown_a_publisher_that_takes_over_or_comes_back() {
    let server = Server::start();
    let (first, place) = broadcast(&server, "show");
    let (viewer, mid, watched) = view(&server, "show");
    viewer.wait_flow(&mid);
    // Takes over: the first one's session ends.
    let (second, other) = broadcast(&server, "show");
    assert_eq!(call(&server, "GET", &place).status, 404);
    first.mute();
    viewer.wait_flow(&mid);
    // Ends by DELETE, as OBS does before it connects again.
    assert_eq!(call(&server, "DELETE", &other).status, 200);
    second.mute();
    assert!(viewer.is_silent(&mid));
    let play = token(&server, "show", "play");
    let late = post(&server, "/whep/show", &play, &Client::new().offer_to_receive(1).0);
    assert_eq!(late.error(), (409, "not_live".into()));
    assert!(late.headers["retry-after"].parse::<u32>().is_ok_and(|seconds| seconds > 0));
    let (_third, _) = broadcast(&server, "show");
    viewer.wait_flow(&mid);
    assert_eq!(call(&server, "GET", &watched).status, 204);
}

#[test]
fn recorded_offers_of_encoders_are_published() {
    let server = Server::start();
    for (name, kinds, setup) in [
        ("ffmpeg-publish", &["audio", "video"][..], "active"),
        ("ffmpeg-publish-audio", &["audio"], "active"),
        ("ffmpeg-publish-video", &["video"], "active"),
        ("obs-publish", &["audio", "video"], "passive"),
        ("gstreamer-publish", &["audio", "video"], "passive"),
        ("chromium-publish-audio-video", &["audio", "video"], "passive"),
        ("chromium-sendrecv-audio-video", &["audio", "video"], "passive"),
    ] {
        let reply = post(&server, &format!("/whip/{name}"), SECRET, &sample(name));
        location(&reply, 201);
        assert_eq!(reply.headers["accept-patch"], FRAGMENT);
        assert_eq!(reply.text.matches("a=recvonly\r\n").count(), kinds.len(), "{name}");
        assert!(reply.text.contains(&format!("a=setup:{setup}\r\n")), "{name}");
        assert!(reply.text.contains("a=candidate:") && !reply.text.contains("m=video 0"), "{name}");
        let seen = look(&server, name);
        let names: Vec<_> = seen["tracks"].as_array().unwrap().iter().map(|t| &t["kind"]).collect();
        assert_eq!((json!(names), &seen["live"]), (json!(kinds), &json!(false)), "{name}");
    }
}

#[test]
fn offers_that_a_stream_cannot_take_are_refused_whole() {
    let server = Server::start();
    let offers = sample("chromium-publish-audio-video");
    let two_videos = Client::new().offer_video(2).0;
    let receiving = Client::new().offer_to_receive(1).0;
    let codec = sample("obs-publish").replace("H264/90000", "theora/90000");
    for (offer, expected) in [
        (two_videos.as_str(), (422, "invalid_session_description")),
        (&receiving, (422, "invalid_session_description")),
        (&codec, (422, "invalid_session_description")),
        (&sample("chromium-publish-and-datachannel"), (422, "invalid_session_description")),
        ("", (400, "invalid_session_description")),
        ("v=0\r\n{}", (400, "invalid_session_description")),
    ] {
        let (status, code) = post(&server, "/whip/show", SECRET, offer).error();
        assert_eq!((status, code.as_str()), expected, "{offer}");
    }
    let bearer = format!("Bearer {SECRET}");
    for kind in ["", "application/json", "text/plain;charset=UTF-8"] {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        let reply = ask(&server, "POST", &path("/whip/show"), &headers, &offers);
        assert_eq!(reply.error(), (415, "invalid_params".into()), "{kind}");
        assert_eq!(reply.headers["accept-post"], SDP);
    }
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "Application/SDP; a=b")];
    assert_eq!(ask(&server, "POST", &path("/whip/show"), &headers, &offers).status, 201);
    for name in ["a%20b", &"a".repeat(129)] {
        let reply = post(&server, &format!("/whip/{name}"), SECRET, &offers);
        assert_eq!(reply.error(), (406, "invalid_params".into()));
    }
    assert_eq!(look(&server, "show")["tracks"].as_array().unwrap().len(), 2);
}

#[test]
fn a_viewer_whose_offer_cannot_receive_the_stream_gets_ours() {
    let server = Server::start();
    let (_publisher, _) = broadcast(&server, "show");
    let offer = sample("obs-publish").replace("a=sendonly", "a=recvonly");
    let offer = offer.replace("H264/90000", "theora/90000");
    let viewer = Client::new();
    let reply = post(&server, "/whep/show", SECRET, &offer);
    let place = location(&reply, 406);
    assert_eq!(look(&server, "show")["viewers"], 1, "the refused offer left no session");
    let sdp = viewer.answer(&reply.text);
    assert_eq!(patch(&server, &place, SDP, "", &sdp).status, 204);
    viewer.wait_flow("0");
    let sending = post(&server, "/whep/show", SECRET, &Client::new().offer_video(1).0);
    assert_eq!(sending.error().0, 422);
}

#[test]
fn ice_trickles_and_restarts_in_the_session_it_names() {
    let server = Server::start();
    let offer = sample("chromium-publish-audio-video");
    let reply = post(&server, "/whip/show", SECRET, &offer);
    let (place, tag) = (location(&reply, 201), reply.headers["etag"].clone());
    let own = |name: &str| {
        let line = offer.lines().find(|line| line.starts_with(name)).unwrap();
        format!("{line}\r\n")
    };
    let (ufrag, pwd) = (own("a=ice-ufrag:"), own("a=ice-pwd:"));
    let candidate = "a=candidate:1 1 udp 2122260223 host.invalid 61764 typ host\r\n";
    let trickle = format!("{ufrag}{pwd}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n{candidate}");
    for if_match in [tag.as_str(), "*", "\"*\""] {
        let reply = patch(&server, &place, FRAGMENT, if_match, &trickle);
        assert_eq!((reply.status, reply.text.as_str()), (204, ""));
        assert!(!reply.headers.contains_key("etag"));
    }
    for (kind, if_match, body, status) in [
        (FRAGMENT, "", trickle.as_str(), 428),
        (FRAGMENT, "\"other\"", &trickle, 412),
        (FRAGMENT, &tag, "{\"candidate\":\"\"}", 400),
        (FRAGMENT, &tag, "", 400),
        (FRAGMENT, &tag, "a=mid:7\r\n", 422),
        (SDP, &tag, &offer, 415),
        ("application/json", &tag, "{}", 415),
        ("", &tag, "", 415),
    ] {
        let reply = patch(&server, &place, kind, if_match, body);
        assert_eq!(reply.error().0, status, "{kind} {if_match} {body}");
        let accepted = reply.headers.get("accept-patch").map(String::as_str);
        assert_eq!(accepted, (status == 415).then_some(FRAGMENT));
    }
    // New credentials: a restart, with ours and another tag.
    let restart = format!("a=ice-ufrag:ysXw\r\na=ice-pwd:{PWD}\r\n{candidate}");
    let reply = patch(&server, &place, FRAGMENT, "*", &restart);
    assert_eq!((reply.status, reply.headers["content-type"].as_str()), (200, FRAGMENT));
    let next = reply.headers["etag"].clone();
    assert_ne!(next, tag);
    assert!(reply.text.starts_with("a=ice-lite\r\n") && reply.text.contains("a=mid:0\r\n"));
    assert!(reply.text.contains(&format!("a=ice-ufrag:{}\r\n", next.trim_matches('"'))));
    assert!(reply.text.contains("a=candidate:") && reply.text.contains("a=end-of-candidates\r\n"));
    // The same again is no restart; the old tag is over.
    assert_eq!(patch(&server, &place, FRAGMENT, &next, &restart).status, 204);
    assert_eq!(patch(&server, &place, FRAGMENT, &tag, &restart).status, 412);
}

#[test]
fn a_client_goes_on_after_an_ice_restart_by_patch() {
    let server = Server::start();
    let (_publisher, _) = broadcast(&server, "show");
    let viewer = Client::new();
    let (offer, mids) = viewer.offer_to_receive(1);
    let reply = post(&server, "/whep/show", SECRET, &offer);
    let place = location(&reply, 201);
    viewer.accept(&reply.text);
    viewer.wait_flow(&mids[0]);
    // The fragment of its offer, and the first answer with the ICE of the reply's fragment.
    let is_ice = |line: &&str| line.starts_with("a=ice-ufrag:") || line.starts_with("a=ice-pwd:");
    let restart = viewer.offer_restart();
    let fragment: Vec<&str> = restart.lines().filter(is_ice).take(2).collect();
    let patched = patch(&server, &place, FRAGMENT, "*", &fragment.join("\r\n"));
    assert_eq!(patched.status, 200, "{}", patched.text);
    let mut answer = reply.text.clone();
    let old: Vec<&str> = reply.text.lines().filter(is_ice).take(2).collect();
    for (old, new) in old.into_iter().zip(patched.text.lines().filter(is_ice)) {
        assert_ne!(old, new);
        answer = answer.replace(old, new);
    }
    viewer.accept(&answer);
    std::thread::sleep(std::time::Duration::from_millis(300));
    viewer.wait_flow(&mids[0]);
    assert_eq!(look(&server, "show")["viewers"], 1);
}

#[test]
fn tokens_open_their_stream_and_role_and_no_other() {
    let server = Server::start();
    let offer = sample("obs-publish");
    let publish = token(&server, "show", "publish");
    let play = token(&server, "show", "play");
    let reply = post(&server, "/whip/show", &publish, &offer);
    let place = location(&reply, 201);
    for bearer in
        [play.as_str(), &token(&server, "other", "publish"), OTHER_SECRET, "x", "publish.9.0"]
    {
        assert_eq!(post(&server, "/whip/show", bearer, &offer).status, 401, "{bearer}");
        let headers = [("Authorization", &*format!("Bearer {bearer}")), ("Content-Type", FRAGMENT)];
        for method in ["GET", "PATCH", "DELETE"] {
            let reply = ask(&server, method, &place, &headers, "");
            assert_eq!(reply.error(), (401, "unauthorized".into()), "{method} {bearer}");
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
        }
    }
    assert_eq!(post(&server, "/whep/show", &publish, "").status, 401);
    // Tokens make no tokens, and open nothing else of the app.
    let bearer = format!("Authorization: Bearer {publish}\r\n");
    for place in ["/streams/show/tokens", "/sessions/new"] {
        let reply = server.send("POST", &path(place), &bearer, "{\"role\":\"play\"}");
        assert_eq!(reply.status, 401, "{place}");
    }
    // The same id and stream of another app.
    let other = place.replace(crate::http::APP, OTHER_APP);
    let reply = ask(&server, "DELETE", &other, &[("Authorization", bearer[15..].trim_end())], "");
    assert_eq!(reply.status, 401);
    let secret = format!("Bearer {OTHER_SECRET}");
    assert_eq!(ask(&server, "DELETE", &other, &[("Authorization", &secret)], "").status, 404);
    for role in [&publish, &play] {
        let headers = format!("Authorization: Bearer {role}\r\n");
        assert_eq!(server.request("GET", &path("/streams/show"), &headers, "").status, 200);
        assert_eq!(server.request("GET", &path("/streams/two"), &headers, "").status, 401);
    }
    // A session is reached by its own way only.
    let wrong = place.replace("/whip/", "/whep/");
    assert_eq!(call(&server, "DELETE", &wrong).status, 404);
    let wrong = place.replace("/show/", "/other/");
    assert_eq!(call(&server, "DELETE", &wrong).status, 404);
    let bearer = [("Authorization", &*format!("Bearer {publish}"))];
    assert_eq!(ask(&server, "DELETE", &place, &bearer, "").status, 200);
}

#[test]
fn tokens_say_what_they_are_for_and_how_long() {
    let server = Server::start();
    let make = |body| server.post("/streams/show/tokens", body);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let json = make(json!({ "role": "publish", "ttl": 60 })).json();
    assert_eq!(json["whip"], path("/whip/show"));
    let expires = json["expires"].as_u64().unwrap();
    assert!((now + 59..now + 70).contains(&expires));
    let json = make(json!({ "role": "play" })).json();
    assert_eq!(json["whep"], path("/whep/show"));
    assert!((now + 86_399..now + 86_410).contains(&json["expires"].as_u64().unwrap()));
    let short = make(json!({ "role": "play", "ttl": 1 })).json();
    for (body, code) in [
        (json!({ "role": "play", "ttl": 0 }), "invalid_params"),
        (json!({ "role": "play", "ttl": 366 * 86_400 + 1 }), "invalid_params"),
        (json!({ "role": "play", "ttl": -1 }), "decoding_error"),
        (json!({ "role": "own" }), "decoding_error"),
        (json!({}), "decoding_error"),
    ] {
        assert_eq!(make(body.clone()).error().1, code, "{body}");
    }
    let bearer = format!("Authorization: Bearer {}\r\n", short["token"].as_str().unwrap());
    let read = || server.request("GET", &path("/streams/show"), &bearer, "").status;
    until("end of the token", || read() == 401);
}

#[test]
fn methods_and_preflights_are_those_of_the_protocols() {
    let server = Server::start();
    let reply = post(&server, "/whip/show", SECRET, &sample("obs-publish"));
    let place = location(&reply, 201);
    let exposed = &reply.headers["access-control-expose-headers"];
    for name in ["location", "etag", "link", "accept-patch", "accept-post", "retry-after"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    for endpoint in ["/whip/show", "/whep/show"] {
        let endpoint = path(endpoint);
        let preflight = "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n\
            Access-Control-Request-Headers: authorization,if-match\r\n";
        let reply = server.request("OPTIONS", &endpoint, preflight, "");
        assert_eq!((reply.status, reply.headers["accept-post"].as_str()), (200, SDP));
        assert_eq!(reply.headers["access-control-allow-origin"], "*");
        assert!(reply.headers["access-control-allow-headers"].contains("if-match"));
        assert!(reply.headers["access-control-allow-methods"].contains("POST"));
        let reply = server.request("GET", &endpoint, "", "");
        assert_eq!((reply.status, reply.text.as_str()), (200, ""));
        assert_eq!(server.request("HEAD", &endpoint, "", "").headers["content-type"], SDP);
        let reply = server.request("PUT", &endpoint, "", "");
        assert_eq!(reply.error().0, 405);
        assert_eq!(reply.headers["allow"], "OPTIONS, GET, HEAD, POST");
    }
    assert_eq!(call(&server, "GET", &place).status, 204);
    assert_eq!(call(&server, "HEAD", &place).status, 204);
    for method in ["PUT", "POST"] {
        let reply = call(&server, method, &place);
        assert_eq!(reply.error().0, 405);
        assert_eq!(reply.headers["allow"], "OPTIONS, GET, HEAD, PATCH, DELETE");
    }
    let methods =
        &server.request("OPTIONS", &place, "", "").headers["access-control-allow-methods"];
    assert!(methods.contains("PATCH") && methods.contains("DELETE"), "{methods}");
    assert_eq!(server.request("GET", "/v1/apps/none/whip/show", "", "").status, 404);
    assert_eq!(server.request("POST", "/page/api/whip/show", "", "").status, 404);
}
