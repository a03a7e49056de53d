//! Every codec that this browser encodes passes through and decodes at the other end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::pages::{Page, Stage, figure, until};

#[test]
fn h264() {
    video("H264");
}

#[test]
fn vp9() {
    video("VP9");
}

#[test]
fn av1() {
    video("AV1");
}

#[test]
fn h265() {
    video("H265");
}

#[test]
fn pcmu() {
    audio("PCMU");
}

#[test]
fn pcma() {
    audio("PCMA");
}

/// Three simulcast encodings arrive; without a preference the viewer gets the first that is alive.
#[test]
fn simulcast() {
    let stage = Stage::start();
    let options = json!({ "audio": null, "rids": ["f", "h", "q"], "width": 1280, "height": 720 });
    let (_publisher, published) = stage.publisher(&options);
    let (page, watching) = stage.viewer(&published);
    figure("simulcast first picture ms", &watching["pictureMs"]);
    let widest = until("the largest encoding is shown", Duration::from_secs(40), || {
        let stats = page.stats(&watching["session"]);
        let width = stats["in"][0]["width"].as_f64().unwrap_or(0.0);
        (width >= 1280.0).then_some(width)
    });
    figure("simulcast width", widest);
    let frames = page.received(&watching["session"]).frames;
    until("pictures go on", Duration::from_secs(15), || {
        (page.received(&watching["session"]).frames > frames + 60.0).then_some(())
    });
}

fn video(name: &str) {
    let stage = Stage::start();
    let Some((page, watching)) = watch(&stage, "video", name) else { return };
    figure(&format!("{name} first picture ms"), &watching["pictureMs"]);
    until("pictures decode", Duration::from_secs(15), || {
        (page.received(&watching["session"]).frames > 45.0).then_some(())
    });
    check_codec(&page, &watching, name);
}

fn audio(name: &str) {
    let stage = Stage::start();
    let Some((page, watching)) = watch(&stage, "audio", name) else { return };
    until("sound arrives", Duration::from_secs(15), || {
        let stats = page.stats(&watching["session"]);
        let energy = stats["in"][0]["energy"].as_f64().unwrap_or(0.0);
        (energy > 0.0 && page.received(&watching["session"]).audio > 100.0).then_some(())
    });
    check_codec(&page, &watching, name);
}

/// A viewer of a publisher with one codec; None, and a word about it, when this browser has no
/// such encoder.
fn watch(stage: &Stage, kind: &str, name: &str) -> Option<(Page, Value)> {
    let page = stage.window();
    if page.call("canEncode", &[json!(kind), json!(name)]) != true {
        println!("SKIPPED: this browser does not encode {name}");
        return None;
    }
    let mut options = json!({ "video": null, "audio": null });
    options[kind] = json!(name);
    let (_publisher, published) = stage.publisher(&options);
    Some(stage.viewer(&published))
}

fn check_codec(page: &Page, watching: &Value, name: &str) {
    let stats = page.stats(&watching["session"]);
    assert_eq!(stats["in"].as_array().unwrap().len(), 1, "{stats}");
    assert_eq!(stats["in"][0]["codec"], name, "{stats}");
}
