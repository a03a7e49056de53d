//! Ends and beginnings: closing, pulling again, reloading either side, leaving.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::pages::{Page, Published, Received, Stage, figure, until};

/// Longest time until an end at one side is seen at the other. A page that is gone says so by
/// closing its DTLS connection (RFC 8446 section 6.1, close_notify).
const END_MAX: Duration = Duration::from_secs(10);

#[test]
fn closed_tracks_stop_and_can_be_published_again() {
    let stage = Stage::start();
    let (publisher, published) = stage.publisher(&json!({}));
    let (page, watching) = stage.viewer(&published);
    flows(&page, &watching);

    let tracks = published.0["tracks"].as_array().unwrap();
    let mids: Value = tracks.iter().map(|track| track["mid"].clone()).collect();
    let closed = publisher.call("close", &[published.0["session"].clone(), mids, json!(true)]);
    assert_eq!(closed.as_array().unwrap().len(), 2, "{closed}");
    silent(&page, &watching);

    // The same page publishes anew, the same viewer pulls into its session.
    let again = publisher.call("publishMore", &[published.0["session"].clone(), json!({})]);
    let locators = Published(again).locators();
    let pulled = page.call("watchMore", &[watching["session"].clone(), locators]);
    flows(&page, &pulled);
}

#[test]
fn viewer_closes_and_pulls_again() {
    let stage = Stage::start();
    let (_publisher, published) = stage.publisher(&json!({}));
    let (page, watching) = stage.viewer(&published);
    let (other, other_watching) = stage.viewer(&published);
    flows(&page, &watching);

    page.call("close", &[watching["session"].clone(), watching["mids"].clone(), json!(true)]);
    silent(&page, &watching);
    flows(&other, &other_watching);

    let pulled = page.call("watchMore", &[watching["session"].clone(), published.locators()]);
    figure("pulled again, first picture ms", &pulled["pictureMs"]);
    flows(&page, &pulled);
}

#[test]
fn viewer_closes_one_track_by_an_offer() {
    let stage = Stage::start();
    let (_publisher, published) = stage.publisher(&json!({}));
    let (page, watching) = stage.viewer(&published);
    flows(&page, &watching);
    // The second section: the first is the tag of the bundle, which has a test of its own.
    let second = json!([watching["mids"][1]]);
    page.call("close", &[watching["session"].clone(), second, json!(false)]);
    let audio_grows = || {
        let before = page.received(&watching["session"]).audio;
        std::thread::sleep(Duration::from_millis(500));
        (page.received(&watching["session"]).audio > before + 10.0).then_some(())
    };
    until("the other track flows on", Duration::from_secs(5), audio_grows);
}

#[test]
fn viewers_close_the_first_section_of_their_bundle() {
    let stage = Stage::start();
    let (_publisher, published) = stage.publisher(&json!({}));
    // Several, because what goes wrong here goes wrong by chance: with the first numbers of the
    // streams that the server sends, and with the core on which the new transport arrives.
    let viewers: Vec<_> = (0..4).map(|_| stage.viewer(&published)).collect();
    for (page, watching) in &viewers {
        flows(page, watching);
        // Chromium starts a new transport for what is left when the tagged section goes.
        let first = json!([watching["mids"][0]]);
        page.call("close", &[watching["session"].clone(), first, json!(false)]);
        pictures_flow(page, watching);
        assert_eq!(page.stats(&watching["session"])["state"], "connected");
    }
}

#[test]
fn publisher_closes_the_first_section_of_its_bundle() {
    let stage = Stage::start();
    let (publisher, published) = stage.publisher(&json!({}));
    let (page, watching) = stage.viewer(&published);
    flows(&page, &watching);
    let first = json!([published.0["tracks"][0]["mid"]]);
    publisher.call("close", &[published.0["session"].clone(), first, json!(false)]);
    pictures_flow(&page, &watching);
}

#[test]
fn viewer_reloads() {
    let stage = Stage::start();
    let (_publisher, published) = stage.publisher(&json!({}));
    let (page, watching) = stage.viewer(&published);
    flows(&page, &watching);
    page.load_client(&stage.server);
    let watching = page.call("watch", &[published.locators()]);
    figure("reloaded viewer, first picture ms", &watching["pictureMs"]);
    flows(&page, &watching);
}

#[test]
fn publisher_s_reload_ends_its_tracks() {
    let stage = Stage::start();
    let (publisher, published) = stage.publisher(&json!({}));
    let (page, watching) = stage.viewer(&published);
    flows(&page, &watching);

    publisher.load_client(&stage.server);
    let start = Instant::now();
    let path = json!(format!("/sessions/{}", published.session_id()));
    until("the session is gone", END_MAX, || {
        let reply = publisher.call("request", &[json!("GET"), path.clone()]);
        let tracks = reply["body"]["tracks"].as_array();
        let inactive = |track: &Value| track["status"] == "inactive";
        let ended = tracks.is_some_and(|tracks| tracks.iter().all(inactive));
        (reply["status"] == 410 || (reply["status"] == 200 && ended)).then_some(())
    });
    figure("session seen ended, ms after the reload", start.elapsed().as_millis());
    silent(&page, &watching);

    // The viewer's session lives on and pulls what the new page publishes.
    let again = Published(publisher.call("publish", &[json!({})]));
    let pulled = page.call("watchMore", &[watching["session"].clone(), again.locators()]);
    flows(&page, &pulled);
}

/// Both kinds arrive.
fn flows(page: &Page, watching: &Value) {
    let before = page.received(&watching["session"]);
    let more =
        |now: &Received| now.frames > before.frames + 15.0 && now.audio > before.audio + 25.0;
    until("both kinds flow", Duration::from_secs(10), || {
        Some(page.received(&watching["session"])).filter(more)
    });
}

/// Pictures go on, after a gap of two seconds at most.
fn pictures_flow(page: &Page, watching: &Value) {
    std::thread::sleep(Duration::from_secs(2));
    let before = page.received(&watching["session"]).frames;
    std::thread::sleep(Duration::from_secs(1));
    let grown = page.received(&watching["session"]).frames - before;
    assert!(grown > 3.0, "{grown} pictures in a second: {}", page.stats(&watching["session"]));
}

/// Nothing arrives any more.
fn silent(page: &Page, watching: &Value) {
    until("nothing flows", END_MAX, || {
        let before = page.received(&watching["session"]);
        std::thread::sleep(Duration::from_secs(1));
        (page.received(&watching["session"]) == before).then_some(())
    });
}
