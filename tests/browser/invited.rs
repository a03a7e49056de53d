//! Tracks that browsers publish in sections of the server's offer, sections used both ways, and
//! browsers that answer as DTLS server.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::firefox;
use crate::pages::{Browser, Page, Published, Stage, figure, until};

/// A window in which Chromium runs, and one of Firefox where it is installed.
fn windows(stage: &Stage) -> Vec<(&'static str, Page)> {
    let firefox = firefox::installed().map(|firefox| firefox as Rc<dyn Browser>);
    let firefox = firefox.map(|firefox| ("Firefox", Page::of(&firefox, &stage.server)));
    std::iter::once(("Chromium", stage.window())).chain(firefox).collect()
}

fn flows(page: &Page, session: &Value) {
    until("both kinds flow", Duration::from_secs(15), || {
        let got = page.received(session);
        (got.frames > 45.0 && got.audio > 100.0).then_some(())
    });
}

fn run(page: &Page, call: &str, arguments: &[Value]) -> Value {
    page.run(&format!("return invited.{call}(...args);"), arguments).unwrap()
}

#[test]
fn browsers_publish_in_sections_of_the_server_s_offer() {
    let stage = Stage::start();
    for (make, publisher) in windows(&stage) {
        let published = Published(run(&publisher, "publish", &[json!({})]));
        figure(&format!("{make}, invited publisher connected ms"), &published.0["connectMs"]);
        let (viewer, watching) = stage.viewer(&published);
        flows(&viewer, &watching["session"]);
    }
}

#[test]
fn browsers_send_and_receive_in_one_section_without_sdp() {
    let stage = Stage::start();
    let (_other, other) = stage.publisher(&json!({}));
    for (make, publisher) in windows(&stage) {
        let published = Published(run(&publisher, "publish", &[json!({ "bothWays": true })]));
        let session = published.0["session"].clone();
        let reply = run(&publisher, "pullOnto", &[session.clone(), other.locators()]);
        assert_eq!(reply["requiresImmediateRenegotiation"], false, "{make}: {reply}");
        assert!(reply.get("sessionDescription").is_none(), "{make}: {reply}");
        flows(&publisher, &session);
        let (viewer, watching) = stage.viewer(&published);
        flows(&viewer, &watching["session"]);
    }
}

#[test]
fn a_closed_section_shows_pictures_again() {
    let stage = Stage::start();
    let (_publisher, published) = stage.publisher(&json!({ "audio": null }));
    let locator = published.locators()[0].clone();
    for (make, page) in windows(&stage) {
        let watching = page.call("watch", &[json!([locator])]);
        let (session, mid) = (&watching["session"], &watching["mids"][0]);
        page.call("close", &[session.clone(), json!([mid]), json!(true)]);
        let frames = || page.received(session).frames;
        let shown = |what: &str, least: f64| {
            until(what, Duration::from_secs(15), || (frames() > least).then_some(()));
        };
        let again = run(&page, "pullAgain", &[session.clone(), mid.clone(), locator.clone()]);
        assert_eq!(again["mid"], *mid, "{make}: {again}");
        shown("pictures of the new stream", frames() + 45.0);
    }
}

#[test]
fn browsers_may_answer_as_dtls_server() {
    let stage = Stage::start();
    let (_publisher, published) = stage.publisher(&json!({ "audio": null }));
    let locator = published.locators()[0].clone();
    for (make, page) in windows(&stage) {
        let watching = run(&page, "watchServing", std::slice::from_ref(&locator));
        figure(&format!("{make} as DTLS server, connected ms"), &watching["connectMs"]);
        until("pictures", Duration::from_secs(15), || {
            (page.received(&watching["session"]).frames > 45.0).then_some(())
        });
        let serving = Published(run(&page, "publish", &[json!({ "serves": true })]));
        let (viewer, watching) = stage.viewer(&serving);
        flows(&viewer, &watching["session"]);
    }
}
