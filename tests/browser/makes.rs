//! Two makes of browser: Firefox publishes to Chromium and the other way.

use std::time::Duration;

use serde_json::{Value, json};

use crate::firefox;
use crate::pages::{Page, Published, Stage, figure, until};

#[test]
fn firefox_sends_to_itself() {
    let Some(firefox) = firefox::installed() else { return };
    let page = Page::blank(&(firefox as _));
    let made = page.call("loop", &[json!({ "video": "VP8", "audio": "opus" })]);
    figure("harness, Firefox, connect ms", &made["connectMs"]);
    flows(&page, &made["receiver"]);
}

#[test]
fn firefox_publishes_to_chromium() {
    let Some(firefox) = firefox::installed() else { return };
    let stage = Stage::start();
    let publisher = Page::of(&(firefox as _), &stage.server);
    let published = Published(publisher.call("publish", &[json!({})]));
    figure("Firefox publisher connected ms", &published.0["connectMs"]);
    let (page, watching) = stage.viewer(&published);
    flows(&page, &watching["session"]);
}

#[test]
fn chromium_publishes_to_firefox() {
    let Some(firefox) = firefox::installed() else { return };
    let stage = Stage::start();
    let (_publisher, published) = stage.publisher(&json!({}));
    let page = Page::of(&(firefox as _), &stage.server);
    let watching = page.call("watch", &[published.locators()]);
    figure("Firefox viewer connected ms", &watching["connectMs"]);
    figure("Firefox viewer's first picture ms", &watching["pictureMs"]);
    flows(&page, &watching["session"]);
    page.screenshot("firefox-viewer");
}

fn flows(page: &Page, session: &Value) {
    until("both kinds flow", Duration::from_secs(15), || {
        let got = page.received(session);
        (got.frames > 45.0 && got.audio > 100.0).then_some(())
    });
}
