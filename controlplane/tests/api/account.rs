//! The account API: apps made, renamed, rotated and deleted at run time, and every refusal.

use controlplane::Config;
use controlplane::config::Secret;
use serde_json::{Value, json};

use crate::http::{APP, Answer, Server, config};

pub(crate) const TOKEN: &str = "an-account-token-of-our-own";
pub(crate) const BASE: &str = "/client/v4/accounts/0123456789abcdef0123456789abcdef/calls";

fn server() -> Server {
    Server::with(Config { account_token: Some(Secret(TOKEN.into())), ..config() })
}

/// A call with a token and a JSON body, with the headers of the Cloudflare SDK (npm `cloudflare`
/// 7.3.0), as far as they are not the transport's.
pub(crate) fn call(server: &Server, method: &str, path: &str, body: Value) -> Answer {
    let headers = format!(
        "Accept: application/json\r\nUser-Agent: Cloudflare/JS 7.3.0\r\napi-version: 2026-11-25\r\n\
         X-Stainless-Retry-Count: 0\r\nX-Stainless-Lang: js\r\nauthorization: Bearer {TOKEN}\r\n\
         accept-language: *\r\nsec-fetch-mode: cors\r\naccept-encoding: gzip, deflate\r\n"
    );
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.send(method, &format!("{BASE}{path}"), &headers, &body)
}

/// The result of a call that must succeed.
pub(crate) fn result(answer: &Answer, status: u16) -> Value {
    let json = answer.json();
    assert_eq!(answer.status, status, "{json}");
    assert_eq!((&json["success"], &json["errors"]), (&json!(true), &json!([])), "{json}");
    assert_eq!(json["messages"], json!([]));
    json["result"].clone()
}

/// Status and code of a call that must fail.
fn refused(answer: &Answer) -> (u16, u64) {
    let json = answer.json();
    assert_eq!((&json["success"], &json["result"]), (&json!(false), &Value::Null), "{json}");
    assert!(json["errors"][0]["message"].as_str().is_some_and(|text| !text.is_empty()), "{json}");
    (answer.status, json["errors"][0]["code"].as_u64().unwrap())
}

/// The status of sessions/new for an app and a secret.
fn new_session(server: &Server, app: &Value, secret: &Value) -> (u16, Value) {
    let [app, secret] = [app, secret].map(|text| text.as_str().unwrap());
    let auth = format!("Authorization: Bearer {secret}\r\n");
    let answer = server.send("POST", &format!("/v1/apps/{app}/sessions/new"), &auth, "");
    (answer.status, answer.json()["sessionId"].clone())
}

#[test]
fn an_app_lives_from_its_making_to_its_deletion() {
    let server = server();
    assert_eq!(result(&call(&server, "GET", "/apps", Value::Null), 200), json!([]));
    let made = result(&call(&server, "POST", "/apps", json!({ "name": "calls" })), 201);
    let (uid, secret) = (&made["uid"], &made["secret"]);
    assert_eq!(uid.as_str().map(str::len), Some(32));
    assert_eq!(secret.as_str().map(str::len), Some(64));
    assert_eq!((&made["name"], &made["created"]), (&json!("calls"), &made["modified"]));
    assert!(made["created"].as_str().is_some_and(|at| at.len() == 20 && at.ends_with('Z')));
    let path = format!("/apps/{}", uid.as_str().unwrap());

    // From the next request on.
    let (status, session) = new_session(&server, uid, secret);
    assert_eq!(status, 201);
    let listed = result(&call(&server, "GET", "/apps", Value::Null), 200);
    let mut shown = made.clone();
    shown.as_object_mut().unwrap().remove("secret");
    assert_eq!(listed, json!([shown]), "no secret after its making");
    assert_eq!(result(&call(&server, "GET", &path, Value::Null), 200), shown);

    let renamed = result(&call(&server, "PUT", &path, json!({ "name": "other" })), 200);
    assert_eq!((&renamed["name"], renamed.get("secret")), (&json!("other"), None));
    assert_eq!(result(&call(&server, "PUT", &path, json!({})), 200), renamed);

    let rotated = result(&call(&server, "POST", &format!("{path}/rotate"), Value::Null), 200);
    assert_ne!(&rotated["secret"], secret);
    assert_eq!(new_session(&server, uid, secret).0, 401);
    assert_eq!(new_session(&server, uid, &rotated["secret"]).0, 201);
    let sessions = result(&call(&server, "GET", "/sessions", Value::Null), 200);
    let sessions = sessions.as_array().unwrap();
    assert_eq!((sessions.len(), &sessions[0]["sessionId"]), (2, &session));
    assert_eq!((&sessions[0]["appId"], &sessions[0]["connected"]), (uid, &json!(false)));

    let deleted = result(&call(&server, "DELETE", &path, Value::Null), 200);
    assert_eq!((&deleted["uid"], deleted.get("secret")), (uid, None));
    assert_eq!(new_session(&server, uid, &rotated["secret"]).0, 404);
    assert_eq!(result(&call(&server, "GET", "/sessions", Value::Null), 200), json!([]));
    for (method, path) in
        [("DELETE", path.clone()), ("GET", path.clone()), ("POST", format!("{path}/rotate"))]
    {
        assert_eq!(refused(&call(&server, method, &path, Value::Null)), (404, 7_003), "{method}");
    }
    assert_eq!(refused(&call(&server, "PUT", &path, json!({ "name": "x" }))), (404, 7_003));
    // An app of the settings goes on, and is not this API's to change.
    assert_eq!(server.call("POST", "/sessions/new", None).status, 201);
    assert_eq!(call(&server, "DELETE", &format!("/apps/{APP}"), Value::Null).status, 404);
}

#[test]
fn what_the_account_api_refuses_it_refuses_in_its_envelope() {
    let server = server();
    let apps = format!("{BASE}/apps");
    for headers in [
        String::new(),
        "Authorization: Bearer another-account-token\r\n".to_owned(),
        format!("Authorization: Basic {TOKEN}\r\n"),
        format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}\r\n"),
        format!("Authorization: Bearer {}\r\n", crate::http::SECRET),
    ] {
        for method in ["GET", "POST"] {
            let answer = server.send(method, &apps, &headers, "");
            assert_eq!(refused(&answer), (401, 10_000), "{method} {headers}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
    let long = "x".repeat(257);
    for body in
        [json!({ "name": 5 }), json!([1]), json!({ "name": "a\u{7}" }), json!({"name": long})]
    {
        assert_eq!(refused(&call(&server, "POST", "/apps", body)), (400, 6_007));
    }
    let answer = call(&server, "PATCH", "/apps", Value::Null);
    assert_eq!(refused(&answer), (405, 10_405));
    assert_eq!(answer.headers["allow"], "GET, HEAD, POST");
    assert_eq!(refused(&call(&server, "GET", "/turn_keys", Value::Null)), (404, 7_000));
    // Pages of other origins have no business here.
    let answer = server.send("OPTIONS", &apps, "Origin: https://x.example\r\n", "");
    assert_eq!(refused(&answer).0, 405);
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    // Nothing of it was made.
    assert_eq!(result(&call(&server, "GET", "/apps", Value::Null), 200), json!([]));
    // The token opens no app, and without one the API is off.
    let auth = format!("Authorization: Bearer {TOKEN}\r\n");
    let answer = server.send("POST", &format!("/v1/apps/{APP}/sessions/new"), &auth, "");
    assert_eq!(answer.error(), (401, "unauthorized".to_owned()));
    server.stop();
    let off = call(&Server::start(), "GET", "/apps", Value::Null);
    assert_eq!(refused(&off), (404, 7_000));
    assert!(off.text.contains("--account-token"), "{}", off.text);
}
