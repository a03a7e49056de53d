//! Envelope, authorisation, codes.

use serde_json::json;

use crate::http::{APP, OTHER_APP, OTHER_SECRET, SECRET, Server, offer, sample};

#[test]
fn a_session_is_made_however_clients_ask_for_it() {
    let server = Server::start();
    let auth = format!("Authorization: Bearer {SECRET}\r\n");
    for (path, body) in [
        (format!("/v1/apps/{APP}/sessions/new"), ""),
        (format!("/v1/apps/{APP}/sessions/new?"), ""),
        (format!("/apps/{APP}/sessions/new?correlationId=m&userId=1&x"), "{}"),
        (format!("/v1/apps/{APP}/sessions/new?thirdparty=true"), "{\"unknown\":[1]}"),
    ] {
        let answer = server.send("POST", &path, &auth, body);
        assert_eq!(answer.status, 201, "{path}: {}", answer.text);
        let json = answer.json();
        let id = json["sessionId"].as_str().unwrap();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()));
        assert_eq!(json.as_object().unwrap().len(), 1);
        assert_eq!(answer.headers["vary"], "Origin");
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
    }
}

#[test]
fn a_session_with_an_offer_comes_with_the_answer() {
    let server = Server::start();
    let body = json!({ "sessionDescription": offer(&sample("chromium-publish-audio-video")) });
    let answer = server.post("/sessions/new", body);
    assert_eq!(answer.status, 201);
    let json = answer.json();
    assert_eq!(json["sessionDescription"]["type"], "answer");
    let sdp = json["sessionDescription"]["sdp"].as_str().unwrap();
    assert!(sdp.ends_with("\r\n") && sdp.contains("a=ice-lite"));
    let port = sdp.matches(" typ host").count();
    assert!(port >= 1, "candidates in the answer: {sdp}");
    assert_eq!(
        server.get(&format!("/sessions/{}", json["sessionId"].as_str().unwrap())).status,
        200
    );
}

#[test]
fn secrets_and_apps_are_told_apart() {
    let server = Server::start();
    let ask = |app: &str, auth: &str| {
        server.send("POST", &format!("/v1/apps/{app}/sessions/new"), auth, "")
    };
    let bearer = |secret: &str| format!("authorization: bearer {secret}\r\n");
    assert_eq!(ask(APP, &bearer(SECRET)).status, 201);
    let unauthorized = (401, "unauthorized".to_owned());
    assert_eq!(ask(APP, "").error(), unauthorized);
    assert_eq!(ask(APP, &bearer(OTHER_SECRET)).error(), unauthorized);
    assert_eq!(ask(APP, &format!("Authorization: Basic {SECRET}\r\n")).error(), unauthorized);
    let twice = format!("{}{}", bearer(SECRET), bearer(SECRET));
    assert_eq!(ask(APP, &twice).error(), unauthorized);
    assert_eq!(ask("nobody", &bearer(SECRET)).error(), (404, "not_found".to_owned()));
    // An error is readable by pages of other origins, too.
    assert_eq!(ask(APP, "").headers["access-control-allow-origin"], "*");
}

#[test]
fn other_apps_sessions_look_like_none() {
    let server = Server::start();
    let id = server.session();
    let auth = format!("Authorization: Bearer {OTHER_SECRET}\r\n");
    let get =
        |id: &str| server.send("GET", &format!("/v1/apps/{OTHER_APP}/sessions/{id}"), &auth, "");
    let (theirs, none) = (get(&id), get("0123456789abcdef0123456789abcdef"));
    assert_eq!(theirs.error(), (410, "session_error".to_owned()));
    assert_eq!(theirs.text, none.text);
}

#[test]
fn paths_and_methods_are_refused_as_json() {
    let server = Server::start();
    let auth = format!("Authorization: Bearer {SECRET}\r\n");
    let ask = |method: &str, path: &str| server.send(method, path, &auth, "");
    assert_eq!(ask("GET", "/v3/apps").error(), (404, "not_found".to_owned()));
    assert_eq!(ask("POST", &format!("/v1/apps/{APP}/nothing")).error().0, 404);
    let wrong = ask("DELETE", &format!("/v1/apps/{APP}/sessions/new"));
    assert_eq!(wrong.error(), (405, "invalid_params".to_owned()));
    assert_eq!(wrong.headers["allow"], "POST");
    let dots = format!("/v1/apps/{APP}/sessions/../../x/sessions/new");
    assert_eq!(ask("POST", &dots).status, 404);
    let encoded = format!("/v1/apps/{APP}%2fsessions/new/x");
    assert_eq!(ask("POST", &encoded).status, 404);
}

#[test]
fn a_preflight_needs_no_secret() {
    let server = Server::start();
    let headers = "Origin: http://page.example\r\nAccess-Control-Request-Method: PUT\r\n\
                   Access-Control-Request-Headers: authorization,x-trace\r\n";
    let path = format!("/v1/apps/{APP}/sessions/x/renegotiate?");
    let answer = server.send("OPTIONS", &path, headers, "");
    assert_eq!(answer.status, 204);
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    let allowed = &answer.headers["access-control-allow-headers"];
    assert_eq!(allowed, "authorization, content-type, x-trace");
    assert!(answer.headers["access-control-allow-methods"].contains("PUT"));
    assert_eq!(answer.headers["vary"], "Origin");
}

#[test]
fn ice_servers_are_an_array_and_need_no_secret() {
    let server = Server::start();
    for path in
        [format!("/v1/apps/{APP}/generate-ice-servers"), "/page/api/generate-ice-servers".into()]
    {
        let answer = server.send("GET", &path, "", "");
        assert_eq!(answer.ok(), json!({ "iceServers": [] }), "{path}");
    }
    assert_eq!(server.send("GET", "/v1/apps/no/generate-ice-servers", "", "").status, 404);
}

#[test]
fn the_page_reaches_the_api_only_from_its_own_origin() {
    let server = Server::start();
    let ask = |headers: &str| server.send("POST", "/page/api/sessions/new", headers, "");
    assert_eq!(ask("").status, 201);
    assert_eq!(ask(&format!("Origin: http://{}\r\n", server.address)).status, 201);
    let foreign = ask("Origin: https://evil.example\r\n");
    assert_eq!(foreign.error().0, 404);
    assert!(!foreign.headers.contains_key("access-control-allow-origin"));
    assert_eq!(ask("Sec-Fetch-Site: cross-site\r\n").status, 404);
    let page = server.send("GET", "/", "", "");
    assert_eq!(page.status, 200);
    assert!(!page.text.contains(SECRET) && page.text.contains("app.js"));
}

#[test]
fn members_of_the_demo_call_meet_under_its_own_origin() {
    let server = Server::start();
    for path in ["/demo", "/demo/", "/demo/some-room", "/demo/assets/main.js"] {
        let file = server.send("GET", path, "", "");
        assert_eq!(file.status, 200, "{path}");
        assert!(file.headers["content-security-policy"].starts_with("default-src 'self';"));
    }
    let beat = r#"{"key": "k", "name": "Ada", "sessionId": "5e55", "muted": true,
        "tracks": [{"trackName": "t", "source": "camera"}]}"#;
    let put = |path: &str, headers: &str| server.send("PUT", path, headers, beat);
    let here = put("/demo/api/room/a", "").ok();
    let ada = json!({ "id": "a", "name": "Ada", "sessionId": "5e55", "muted": true,
        "tracks": [{ "trackName": "t", "source": "camera" }] });
    assert_eq!(here, json!({ "members": [ada] }));
    let foreign = put("/demo/api/room/b", "Origin: https://evil.example\r\n");
    assert_eq!(foreign.error(), (404, "not_found".to_owned()));
    let wrong = server.send("PUT", "/demo/api/room/b", "", r#"{"key": "k", "name": 5}"#);
    assert_eq!(wrong.error(), (400, "decoding_error".to_owned()));
    let leave = |key: &str| {
        server.send("DELETE", "/demo/api/room/a", "", &json!({ "key": key }).to_string())
    };
    assert_eq!(leave("another").error().0, 401);
    assert_eq!(leave("k").status, 200);
    assert_eq!(put("/demo/api/room/b", "").ok()["members"].as_array().unwrap().len(), 1);
}

#[test]
fn health_and_metrics_answer() {
    let server = Server::start();
    server.session();
    assert_eq!(server.send("GET", "/healthz", "", "").ok()["status"], "ok");
    let metrics = server.send("GET", "/metrics", "", "");
    assert_eq!(metrics.status, 200);
    for line in [
        "fanfall_sessions 1",
        "fanfall_datagrams_in_total{core=\"1\"} 0",
        "fanfall_drops_total{core=\"0\",reason=\"unclassified\"} 0",
        "fanfall_http_requests_total{endpoint=\"sessions_new\",status=\"201\"} 1",
        "fanfall_handshake_seconds_total{core=\"0\"}",
        "fanfall_command_lane_depth{core=\"0\"}",
    ] {
        assert!(metrics.text.contains(line), "{line} in {}", metrics.text);
    }
    assert!(!metrics.text.contains(APP) && !metrics.text.contains(SECRET));
}

#[test]
fn bad_json_names_the_offending_field() {
    let server = Server::start();
    let id = server.session();
    let path = format!("/sessions/{id}/tracks/new");
    for (body, status, part) in [
        ("{", 400, "EOF"),
        ("[[[[", 400, ""),
        ("{\"tracks\":[{\"location\":\"local\",\"mid\":0}]}", 400, "tracks[0].mid"),
        ("{\"tracks\":[{\"location\":\"up\"}]}", 400, "tracks[0].location"),
        ("{\"tracks\":[{}],\"sessionDescription\":{\"type\":\"offer\"}}", 400, "sdp"),
        (
            "{\"tracks\":[{}],\"sessionDescription\":{\"type\":\"pranswer\",\"sdp\":\"\"}}",
            400,
            "type",
        ),
        ("{}", 406, "tracks"),
        ("{\"tracks\":[]}", 406, "tracks"),
        ("{\"tracks\":[{\"trackName\":\"a\"}]}", 406, "tracks[0].location"),
        ("{\"tracks\":[],\"autoDiscover\":true}", 406, "sessionDescription"),
        (
            "{\"tracks\":[{\"location\":\"remote\"},{\"location\":\"local\"}]}",
            406,
            "publishing and pulling",
        ),
    ] {
        let auth = format!("Authorization: Bearer {SECRET}\r\n");
        let answer = server.send("POST", &format!("/v1/apps/{APP}{path}"), &auth, body);
        let (got, code) = answer.error();
        assert_eq!(got, status, "{body}: {}", answer.text);
        assert_eq!(code, if status == 400 { "decoding_error" } else { "invalid_params" });
        let text = answer.json()["errorDescription"].as_str().unwrap().to_owned();
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
}

#[test]
fn bad_sdp_is_refused_with_its_place() {
    let server = Server::start();
    let id = server.session();
    let path = format!("/sessions/{id}/tracks/new");
    let tracks = json!([{ "location": "local", "trackName": "a", "mid": "0" }]);
    let broken = sample("chromium-publish-VP8").replace("UDP/TLS/RTP/SAVPF", "RTP/AVP");
    for sdp in ["", "nonsense\r\n", broken.as_str()] {
        let body = json!({ "sessionDescription": offer(sdp), "tracks": tracks });
        let answer = server.post(&path, body);
        assert_eq!(answer.error(), (400, "invalid_session_description".to_owned()), "{sdp:?}");
    }
    let wrong_type = json!({
        "sessionDescription": { "type": "answer", "sdp": sample("chromium-publish-VP8") },
        "tracks": tracks,
    });
    let answer = server.post(&path, wrong_type);
    assert_eq!(answer.error(), (406, "invalid_session_description".to_owned()));
}

#[test]
fn sixty_five_tracks_are_too_many() {
    let server = Server::start();
    let id = server.session();
    let track = json!({ "location": "remote", "sessionId": "x", "trackName": "a" });
    let body = |count: usize| json!({ "tracks": vec![track.clone(); count] });
    let path = format!("/sessions/{id}/tracks/new");
    assert_eq!(server.post(&path, body(65)).error(), (406, "invalid_params".to_owned()));
    let all_failed = server.post(&path, body(64)).ok();
    assert_eq!(all_failed["tracks"].as_array().unwrap().len(), 64);
}
