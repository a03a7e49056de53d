//! Offers from both sides on one connection, and ICE restarts.

use std::time::Duration;

use serde_json::{Value, json};

use crate::pages::{Page, Published, Received, Stage, figure, until};

#[test]
fn one_session_publishes_and_watches() {
    let stage = Stage::start();
    let (first, published_first) = stage.publisher(&json!({}));
    let (second, published_second) = stage.publisher(&json!({}));
    let one = &published_first.0["session"];
    let two = &published_second.0["session"];
    first.call("watchMore", &[one.clone(), published_second.locators()]);
    second.call("watchMore", &[two.clone(), published_first.locators()]);
    for (page, session) in [(&first, one), (&second, two)] {
        grows(page, session);
        let stats = page.stats(session);
        assert_eq!(stats["in"].as_array().unwrap().len(), 2, "{stats}");
        assert_eq!(stats["out"].as_array().unwrap().len(), 2, "{stats}");
    }
}

#[test]
fn offers_alternate() {
    let stage = Stage::start();
    let (publisher, published) = stage.publisher(&json!({ "audio": null }));
    let (other, other_published) = stage.publisher(&json!({}));
    let session = &published.0["session"];

    // A push, a pull (the server offers), another push by a new offer, another pull.
    publisher.call("watchMore", &[session.clone(), other_published.locators()]);
    let more = publisher.call("publishMore", &[session.clone(), json!({ "video": null })]);
    publisher.call("watchMore", &[session.clone(), other_published.locators()]);
    grows(&publisher, session);
    let stats = publisher.stats(session);
    assert_eq!(stats["in"].as_array().unwrap().len(), 4, "{stats}");

    // The other one sees both pushes.
    let mut locators = published.locators();
    locators.as_array_mut().unwrap().extend(Published(more).locators().as_array().unwrap().clone());
    other.call("watchMore", &[other_published.0["session"].clone(), locators]);
    grows(&other, &other_published.0["session"]);
}

#[test]
fn second_push_by_a_new_offer_is_seen() {
    let stage = Stage::start();
    let (publisher, published) = stage.publisher(&json!({}));
    let (page, watching) = stage.viewer(&published);
    let more = publisher.call("publishMore", &[published.0["session"].clone(), json!({})]);
    page.call("watchMore", &[watching["session"].clone(), Published(more).locators()]);
    let all_grow = || {
        let stats = page.stats(&watching["session"]);
        let receiving = stats["in"].as_array().unwrap();
        let enough = |rtp: &Value| rtp["packets"].as_f64().unwrap_or(0.0) > 50.0;
        (receiving.len() == 4 && receiving.iter().all(enough)).then_some(())
    };
    until("four tracks flow", Duration::from_secs(10), all_grow);
}

#[test]
fn publisher_restarts_ice() {
    let stage = Stage::start();
    let (publisher, published) = stage.publisher(&json!({}));
    let (page, watching) = stage.viewer(&published);
    grows(&page, &watching["session"]);
    restart(&publisher, &published.0["session"]);
    grows(&page, &watching["session"]);
}

#[test]
fn viewer_restarts_ice() {
    let stage = Stage::start();
    let (_publisher, published) = stage.publisher(&json!({}));
    let (page, watching) = stage.viewer(&published);
    grows(&page, &watching["session"]);
    restart(&page, &watching["session"]);
    grows(&page, &watching["session"]);
}

/// New credentials on both sides (RFC 8445 section 9), proven by an answered check.
fn restart(page: &Page, session: &Value) {
    let done = page.call("restart", std::slice::from_ref(session));
    figure("ICE restart ms", &done["restartMs"]);
    for side in ["local", "remote"] {
        assert_ne!(done["before"][side], done["after"][side], "{done}");
    }
    assert_eq!(page.stats(session)["state"], "connected");
}

fn grows(page: &Page, session: &Value) {
    let before = page.received(session);
    let more =
        |now: &Received| now.frames > before.frames + 15.0 && now.audio > before.audio + 25.0;
    until("both kinds flow", Duration::from_secs(10), || Some(page.received(session)).filter(more));
}
