//! Arbitrary JSON and damaged descriptions at the session endpoints: an error of the contract or a
//! reply with one entry per track, and a server that goes on.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::http::{Answer, Server, answer, offer, sample};

/// A server for all cases of one test; a session of its own for each.
fn server() -> &'static Server {
    static SERVER: std::sync::OnceLock<Server> = std::sync::OnceLock::new();
    SERVER.get_or_init(Server::start)
}

/// A value a client could put where another belongs.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!("")),
        prop::sample::select(vec!["0", "1", "#a", "#", "##", "audio", "video", "local", "remote"])
            .prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({ "preferredRid": "", "priorityOrdering": "none" })),
        Just(json!({ "preferredRid": 5 })),
    ]
}

/// A track with fields of any kind; most of them make sense.
fn track() -> impl Strategy<Value = Value> {
    let location = prop::sample::select(vec!["local", "local", "remote"]).prop_map(Value::from);
    let name = prop::sample::select(vec!["a", "b", "c", ""]).prop_map(Value::from);
    let kind = prop::sample::select(vec!["audio", "video", "x"]).prop_map(Value::from);
    let odd = prop::collection::vec(
        (
            prop::sample::select(vec![
                "location",
                "mid",
                "sessionId",
                "trackName",
                "kind",
                "bidirectionalMediaStream",
                "simulcast",
                "errorCode",
            ]),
            value(),
        ),
        0..3,
    );
    (location, name, kind, any::<bool>(), odd).prop_map(|(location, name, kind, both, odd)| {
        let mut track = json!({ "location": location, "trackName": name, "kind": kind,
            "bidirectionalMediaStream": both });
        for (key, value) in odd {
            track[key] = value;
        }
        track
    })
}

/// What any reply must be.
fn check(reply: &Answer, tracks: Option<usize>) -> Result<(), TestCaseError> {
    let json = reply.json();
    let known = [200, 400, 406, 410, 425, 429].contains(&reply.status);
    prop_assert!(known, "{} {json}", reply.status);
    prop_assert_eq!(json["errorCode"].is_string(), reply.status != 200, "{}", json);
    let Some(count) = tracks.filter(|_| reply.status == 200) else { return Ok(()) };
    let entries = json["tracks"].as_array().unwrap();
    prop_assert_eq!(entries.len(), count);
    let offered = json["requiresImmediateRenegotiation"] == json!(true);
    prop_assert_eq!(offered, json["sessionDescription"]["type"] == json!("offer"), "{}", json);
    for entry in entries {
        prop_assert!(entry["errorCode"].is_string() == entry["errorDescription"].is_string());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_tracks_get_an_entry_each(
        tracks in prop::collection::vec(track(), 0..5),
        more in prop::collection::vec(track(), 1..4),
        start in 0..3usize,
        discover in any::<bool>(),
    ) {
        let server = server();
        let id = server.session();
        let path = format!("/sessions/{id}/tracks");
        let mut body = json!({ "tracks": tracks });
        if start == 1 {
            body["sessionDescription"] = offer(&sample("chromium-sendrecv-audio-video"));
        }
        if discover && start == 2 {
            body["autoDiscover"] = json!(discover);
        }
        let reply = server.post(&format!("{path}/new"), body);
        let listed = reply.json()["tracks"].as_array().map(Vec::len);
        check(&reply, listed.or(Some(tracks.len())))?;
        if reply.status == 200 {
            prop_assert!(listed.unwrap() >= tracks.len());
        }
        // A failed entry of tracks/new has no mid (a close and an update keep theirs).
        for entry in reply.json()["tracks"].as_array().into_iter().flatten() {
            prop_assert!(entry["errorCode"].is_null() == entry["mid"].is_string(), "{}", entry);
        }
        for (call, body) in [
            ("update", json!({ "tracks": more })),
            ("close", json!({ "tracks": more, "force": true })),
            ("close", json!({ "tracks": tracks })),
        ] {
            let count = body["tracks"].as_array().unwrap().len();
            check(&server.put(&format!("{path}/{call}"), body), Some(count))?;
        }
        let reply = server.get(&format!("/sessions/{id}"));
        prop_assert_eq!(reply.status, 200);
        server.put(&format!("{path}/close"), json!({ "tracks": [{ "mid": "0" }], "force": true }));
    }

    #[test]
    fn damaged_answers_to_our_offer_leave_it_open_or_settle_it(
        cut in 0usize..4_000,
        from in prop::sample::select(vec!["m=video", "a=mid:1", "a=sendonly", "a=setup", "BUNDLE"]),
        to in "[ -~]{0,12}",
    ) {
        let server = server();
        let id = server.session();
        let body = json!({ "tracks": [
            { "location": "local", "trackName": "a", "kind": "audio" },
            { "location": "local", "trackName": "b", "kind": "video",
                "bidirectionalMediaStream": true },
        ] });
        let json = server.post(&format!("/sessions/{id}/tracks/new"), body).ok();
        let sdp = json["sessionDescription"]["sdp"].as_str().unwrap();
        let good = sdp.replace("a=recvonly", "a=sendonly").replace("actpass", "active");
        let end = cut.min(good.len());
        for text in [good.replace(from, &to), good[..end].to_owned()] {
            let body = json!({ "sessionDescription": answer(&text) });
            check(&server.put(&format!("/sessions/{id}/renegotiate"), body), None)?;
        }
        // Whatever happened, the good answer settles what is open still, or answers nothing.
        let body = json!({ "sessionDescription": answer(&good) });
        let last = server.put(&format!("/sessions/{id}/renegotiate"), body);
        prop_assert!([200, 406].contains(&last.status), "{}", last.text);
        prop_assert_eq!(server.get(&format!("/sessions/{id}")).status, 200);
    }
}
