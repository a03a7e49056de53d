//! The server's own page, used as a person would: a test picture in one window, watched in
//! another through the page's controls. Element ids: controlplane/web/app.js.

use std::time::Duration;

use serde_json::{Value, json};

use crate::pages::{Page, Stage, figure, until};

#[test]
fn publish_in_one_window_and_watch_in_another() {
    let stage = Stage::start();
    let first = stage.page("/");
    click(&first, "#publish-test");
    let locator = until("a locator", Duration::from_secs(15), || text(&first, "#locator"));
    figure("locator", &locator);
    until("own picture", Duration::from_secs(10), || plays(&first, "local"));

    let second = stage.page("/");
    let fill = "const input = document.querySelector('#watch-input'); input.value = args[0];\
                input.dispatchEvent(new Event('input', { bubbles: true }));";
    second.run(fill, &[json!(locator)]).unwrap();
    click(&second, "#watch");
    until("the picture of the first window", Duration::from_secs(15), || plays(&second, "remote"));
    // Live numbers are there after two seconds.
    std::thread::sleep(Duration::from_secs(3));
    first.screenshot("page-publish");
    second.screenshot("page-watch");
    let state = second.run("return window.fanfall.state;", &[]).unwrap();
    assert!(!state.is_null(), "window.fanfall.state is missing");

    click(&first, "#stop");
    until("the picture ends", Duration::from_secs(20), || {
        let before = frames(&second);
        std::thread::sleep(Duration::from_secs(1));
        (frames(&second) == before).then_some(())
    });
}

#[test]
fn link_to_watch_opens_the_picture() {
    let stage = Stage::start();
    let first = stage.page("/");
    click(&first, "#publish-test");
    let locator = until("a locator", Duration::from_secs(15), || text(&first, "#locator"));
    let second = stage.page(&format!("/#watch={locator}"));
    until("the picture of the first window", Duration::from_secs(15), || plays(&second, "remote"));
}

#[test]
fn layer_is_chosen_on_the_page() {
    let stage = Stage::start();
    let first = stage.page("/");
    click(&first, "#simulcast");
    click(&first, "#publish-test");
    let locator = until("a locator", Duration::from_secs(15), || text(&first, "#locator"));
    let second = stage.page(&format!("/#watch={locator}"));
    until("the picture of the first window", Duration::from_secs(15), || plays(&second, "remote"));
    let options = "return [...document.querySelectorAll('#layer option')].map((o) => o.value);";
    assert_eq!(second.run(options, &[]).unwrap(), json!(["", "f", "h", "q"]));
    for (rid, width) in [("q", 240), ("h", 480)] {
        let choose = "const layer = document.querySelector('#layer'); layer.value = args[0];\
                      layer.dispatchEvent(new Event('change'));";
        second.run(choose, &[json!(rid)]).unwrap();
        until("the chosen layer", Duration::from_secs(15), || {
            let width_now = "return document.querySelector('video[data-role=remote]').videoWidth;";
            (second.run(width_now, &[]).unwrap() == json!(width)).then_some(())
        });
    }
    std::thread::sleep(Duration::from_secs(2));
    first.screenshot("page-simulcast");
    second.screenshot("page-layer");
}

#[test]
fn page_holds_no_secret() {
    let stage = Stage::start();
    let (status, page) = stage.server.get("/");
    assert_eq!(status, 200);
    assert!(!page.contains(crate::server::SECRET));
}

fn click(page: &Page, selector: &str) {
    let script = "const found = document.querySelector(args[0]);\
                  if (!found) throw new Error(`no ${args[0]}`); found.click();";
    page.run(script, &[json!(selector)]).unwrap();
}

/// Text or value of an element, when it has any.
fn text(page: &Page, selector: &str) -> Option<String> {
    let script = "const found = document.querySelector(args[0]);\
                  return found ? (found.value || found.textContent || '').trim() : '';";
    let value = page.run(script, &[json!(selector)]).unwrap();
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Whether a video of this role shows a picture that moves.
fn plays(page: &Page, role: &str) -> Option<()> {
    let script = "const video = document.querySelector(`video[data-role=\"${args[0]}\"]`);\
                  return video ? [video.videoWidth, video.currentTime] : null;";
    let look = || page.run(script, &[json!(role)]).unwrap();
    let before = look();
    std::thread::sleep(Duration::from_millis(300));
    let after = look();
    let moves = after[0].as_f64() > Some(0.0) && after[1].as_f64() > before[1].as_f64();
    moves.then_some(())
}

/// Pictures that all remote videos of the page have shown.
fn frames(page: &Page) -> Value {
    let script = "let sum = 0;\
                  for (const video of document.querySelectorAll('video[data-role=\"remote\"]')) {\
                    sum += video.getVideoPlaybackQuality().totalVideoFrames;\
                  } return sum;";
    page.run(script, &[]).unwrap()
}
