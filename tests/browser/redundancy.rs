//! Redundant audio (RED, RFC 2198): a publisher sends it, a viewer that negotiated it and one that
//! did not both hear the tone without a gap.

use std::time::Duration;

use serde_json::{Value, json};

use crate::pages::{Page, Stage, figure};
use crate::samples::Samples;

/// Largest part of the samples that may have been made up, on a machine that is busy otherwise.
const CONCEALED_MAX: f64 = 0.02;

#[test]
fn viewers_with_and_without_it_hear() {
    let stage = Stage::start();
    let (publisher, published) = stage.publisher(&json!({ "video": null, "audio": "red" }));
    let page = stage.window();
    let with = page.watch(&published, &json!({}));
    let without = page.watch(&published, &json!({ "without": ["red"] }));
    std::thread::sleep(Duration::from_secs(2));
    for watching in [&with, &without] {
        Samples::begin(&page, &watching["session"]);
    }
    std::thread::sleep(Duration::from_secs(4));
    let sent = publisher.stats(&published.0["session"]);
    figure("RED: sent", &sent["out"][0]["packets"]);
    let redundant = hears("with RED", &page, &with["session"]);
    let plain = hears("without RED", &page, &without["session"]);
    // Every packet carries the sound of the one before it once more; the statistics name the
    // inner codec.
    assert!(redundant > 1.5 * plain, "{redundant} and {plain} bytes a second");
}

/// The tone is heard; returns the bytes a second.
fn hears(who: &str, page: &Page, session: &Value) -> f64 {
    let samples = Samples::take(page, session);
    let rate = samples.rate("audio", "packets");
    let concealed = samples.growth("audio", "concealed") / samples.growth("audio", "samples");
    figure(
        &format!("{who}: packets/s, bytes/s, part concealed"),
        format!("{rate:.1}, {:.0}, {concealed:.4}", samples.rate("audio", "bytes")),
    );
    assert!((40.0..60.0).contains(&rate), "{who}: {rate} packets a second");
    assert!(samples.growth("audio", "energy") > 0.0, "{who}: silence");
    assert!(concealed < CONCEALED_MAX, "{who}: {concealed}");
    samples.rate("audio", "bytes")
}
