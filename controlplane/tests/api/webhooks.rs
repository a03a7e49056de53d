//! Webhooks at receivers of every kind: signed and in order where they are taken, again and again
//! where not, and media flows on whatever a receiver does.

use std::time::{Duration, Instant};

use controlplane::Config;
use controlplane::config::Secret;
use controlplane::events::WebhookLimits;
use serde_json::{Value, json};

use crate::account::{TOKEN, call, result};
use crate::events::Stream;
use crate::http::{APP, OTHER_APP, SECRET, Server, config, sample};
use crate::receiver::{Manner, Receiver};
use crate::rtc::until;

fn server(private: bool) -> Server {
    let ms = Duration::from_millis;
    let webhooks =
        WebhookLimits { attempt: ms(300), backoff: ms(40), backoff_max: ms(80), age: ms(3_000) };
    let account_token = Some(Secret(TOKEN.into()));
    Server::with(Config { account_token, webhook_private: private, webhooks, ..config() })
}

fn path(app: &str) -> String {
    format!("/apps/{app}/webhooks")
}

/// Makes a webhook; its path and its secret.
pub(crate) fn create(server: &Server, app: &str, url: &str) -> (String, String) {
    let made = result(&call(server, "POST", &path(app), json!({ "url": url })), 201);
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    assert!(text("secret").starts_with("whsec_") && text("secret").len() == 50, "{made}");
    (format!("{}/{}", path(app), text("id")), text("secret"))
}

fn get(server: &Server, path: &str) -> Value {
    result(&call(server, "GET", path, Value::Null), 200)
}

/// Something happens: a session is made and ended. Its id.
pub(crate) fn happen(server: &Server, app: &str, secret: &str) -> String {
    let auth = format!("Authorization: Bearer {secret}\r\n");
    let typed = format!("Content-Type: application/sdp\r\n{auth}");
    let path = format!("/v1/apps/{app}/whip/show");
    let made = server.request("POST", &path, &typed, &sample("obs-publish"));
    assert_eq!(made.status, 201, "{}", made.text);
    let session = &made.headers["location"];
    assert_eq!(server.request("DELETE", session, &auth, "").status, 200);
    session.rsplit('/').next().unwrap().to_owned()
}

fn metric(server: &Server, name: &str) -> u64 {
    let metrics = server.send("GET", "/metrics", "", "").text;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("fanfall_{name} ")));
    line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse().unwrap()
}

#[test]
fn events_are_signed_and_arrive_in_order() {
    let server = server(true);
    let receiver = Receiver::new(Manner::Take);
    let (webhook, secret) = create(&server, APP, &receiver.url);
    let (other, _) = create(&server, OTHER_APP, &receiver.url);
    let mut stream = Stream::open(&server, APP, SECRET, "", "");
    let sessions: Vec<String> = (0..20).map(|_| happen(&server, APP, SECRET)).collect();
    let got = receiver.wait(20);
    for (got, session) in got.iter().zip(&sessions) {
        let event = got.event(&secret);
        assert_eq!((&event["sessionId"], &event["reason"]), (&json!(session), &json!("ended")));
        assert_eq!(event, stream.next("session.closed"), "the same as in a stream");
        assert_eq!(
            (got.path.as_str(), got.header("host")),
            ("/hook?x=1", &receiver.url[7..receiver.url.len() - 9])
        );
    }
    until("an empty queue", || metric(&server, "webhook_delivered_total") == 20);
    assert_eq!(metric(&server, "webhook_pending"), 0);

    let shown = get(&server, &webhook);
    assert_eq!(
        (&shown["enabled"], &shown["pending"], shown.get("lastError")),
        (&json!(true), &json!(0), None)
    );
    assert_eq!(shown["types"].as_array().unwrap().len(), 8, "all but levels: {shown}");
    assert_eq!(get(&server, &path(APP)), json!([shown]), "of its app alone");
    let metrics = server.send("GET", "/metrics", "", "").text;
    for text in [shown.to_string(), metrics, got[0].body.clone()] {
        assert!(!text.contains(&secret) && !text.contains("whsec"), "{text}");
    }

    // Other types, then none, then no webhook.
    let change = |body: Value| result(&call(&server, "PUT", &webhook, body), 200);
    assert_eq!(change(json!({ "types": ["track.started"] }))["types"], json!(["track.started"]));
    happen(&server, APP, SECRET);
    change(json!({ "types": ["session.closed"] }));
    let told = happen(&server, APP, SECRET);
    assert_eq!(receiver.wait(21)[20].event(&secret)["sessionId"], told, "with the same secret");
    assert_eq!(change(json!({ "enabled": false }))["enabled"], false);
    happen(&server, APP, SECRET);
    assert_eq!(change(json!({ "enabled": true }))["url"], receiver.url);
    let deleted = result(&call(&server, "DELETE", &webhook, Value::Null), 200);
    assert_eq!(deleted["id"], shown["id"]);
    happen(&server, APP, SECRET);
    for (method, path) in [("GET", &webhook), ("PUT", &webhook), ("DELETE", &webhook)] {
        assert_eq!(call(&server, method, path, Value::Null).status, 404, "{method}");
    }
    let foreign = format!("{}/{}", path(APP), other.rsplit('/').next().unwrap());
    assert_eq!(call(&server, "GET", &foreign, Value::Null).status, 404, "another app's");
    assert_eq!(call(&server, "GET", &path("none"), Value::Null).status, 404);
    server.stop();
    assert_eq!(receiver.got().len(), 21);
}

#[test]
fn no_receiver_holds_up_another_or_media() {
    let server = server(true);
    let publisher = crate::media::publish(&server, &["v"]);
    let watcher = crate::media::Watcher::new(&server);
    let mid = watcher.pull(&server, &publisher, "v");
    watcher.client.wait_flow(&mid);
    let [good, fails, moves] =
        [Manner::Take, Manner::Status(500), Manner::Status(307)].map(Receiver::new);
    let [hangs, floods, heads] =
        [Manner::Hang, Manner::Flood, Manner::FloodHead].map(Receiver::new);
    let gone = Receiver::new(Manner::Status(410));
    let [
        (_, good_secret),
        (fails_path, fails_secret),
        (hangs_path, hangs_secret),
        _,
        _,
        _,
        (gone_path, _),
    ] = [&good, &fails, &hangs, &floods, &heads, &moves, &gone]
        .map(|receiver| create(&server, APP, &receiver.url));
    let (start, before) = (Instant::now(), watcher.client.received(&mid));
    let sessions = [(); 3].map(|()| happen(&server, APP, SECRET));
    let ids = |got: &[crate::receiver::Got], secret: &str| {
        got.iter().map(|got| got.event(secret)["sessionId"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&good.wait(3), &good_secret), sessions);
    floods.wait(3);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());

    // The same event again, signed anew, until it is taken; then the others.
    let again = fails.wait(3);
    assert!(again.iter().all(|got| got.event(&fails_secret)["sessionId"] == sessions[0]));
    assert_eq!(get(&server, &fails_path)["lastError"], "status 500");
    assert_eq!(get(&server, &fails_path)["pending"], 3);
    hangs.wait(2);
    assert_eq!(get(&server, &hangs_path)["lastError"], "no reply in time");
    for (receiver, secret) in [(&fails, &fails_secret), (&hangs, &hangs_secret)] {
        receiver.behave(Manner::Take);
        let seen = receiver.got().len();
        let mut taken = ids(&receiver.wait(seen + 3), secret).split_off(seen);
        taken.dedup();
        assert_eq!(taken[taken.len() - 3..], sessions, "{taken:?}");
    }
    assert_eq!(get(&server, &fails_path).get("lastError"), None);
    assert_eq!((get(&server, &gone_path)["enabled"].clone(), gone.got().len()), (json!(false), 1));
    // Neither redirects nor endless headers are followed; what stays so is dropped when it is old.
    until("events to be dropped", || metric(&server, "webhook_pending") == 0);
    assert!((7..=9).contains(&metric(&server, "webhook_dropped_total")));
    assert!(moves.got().iter().all(|got| got.path == "/hook?x=1"));
    assert!(moves.got().len() > 5 && heads.got().len() > 5);
    assert!(metric(&server, "webhook_failed_total") > 10);
    assert_eq!(metric(&server, "webhook_delivered_total"), 4 * 3);

    let expected = (start.elapsed().as_secs_f64() * 50.0 * 0.8) as usize;
    let flowed = watcher.client.received(&mid) - before;
    assert!(flowed > expected, "{flowed} pictures of {expected}");
    assert_eq!(metric(&server, "events_lost_total"), 0);
    hangs.behave(Manner::Hang);
    happen(&server, APP, SECRET);
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_webhook_leads_out_of_the_private_network_alone() {
    let server = server(false);
    let receiver = Receiver::new(Manner::Take);
    for url in [
        receiver.url.as_str(),
        &receiver.url.replace("http:", "https:"),
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "http://example.com/",
        "https://user:password@example.com/",
        "example.com",
        "",
    ] {
        let answer = call(&server, "POST", &path(APP), json!({ "url": url }));
        assert_eq!(answer.status, 400, "{url}");
        assert!(
            answer.text.contains("\"url: ") && !answer.text.contains("password@"),
            "{}",
            answer.text
        );
    }
    for body in [
        json!({}),
        json!({ "url": "https://example.com", "types": ["lost"] }),
        json!({ "url": "https://example.com", "types": [] }),
    ] {
        assert_eq!(call(&server, "POST", &path(APP), body).status, 400);
    }
    // A name is judged by its addresses, when it is connected to.
    let port = receiver.url.rsplit(':').next().unwrap().split('/').next().unwrap();
    let (webhook, _) = create(&server, APP, &format!("https://localhost:{port}/"));
    happen(&server, APP, SECRET);
    until("a refusal", || get(&server, &webhook).get("lastError").is_some());
    let shown = get(&server, &webhook);
    assert!(shown["lastError"].as_str().unwrap().contains("private"), "{shown}");
    assert!(receiver.got().is_empty());
    for _ in 0..7 {
        create(&server, APP, "https://example.com/");
    }
    let full = call(&server, "POST", &path(APP), json!({ "url": "https://example.com/" }));
    assert_eq!(full.status, 503, "eight of an app");
    assert_eq!(
        server.send("GET", &format!("{}{}", crate::account::BASE, path(APP)), "", "").status,
        401
    );
}
