//! One page publishes, others watch: what everything else stands on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::pages::{Page, Published, Stage, figure, until};

/// Longest time from the answer to a connection, in milliseconds: ten times the aim on loopback,
/// for machines that build something else meanwhile.
const CONNECT_MS_MAX: f64 = 1500.0;

/// Longest time from the answer to a late viewer's first picture, in milliseconds.
const PICTURE_MS_MAX: f64 = 3000.0;

#[test]
fn three_viewers_see_and_hear_one_publisher() {
    let stage = Stage::start();
    let (publisher, published) = stage.publisher(&json!({ "video": "VP8", "audio": "opus" }));
    let viewers: Vec<(Page, Value)> = (0..3).map(|_| stage.viewer(&published)).collect();
    check_connected(&publisher, &published.0, "publisher");
    for (index, (page, watching)) in viewers.iter().enumerate() {
        check_connected(page, watching, &format!("viewer {index}"));
        check_flow(page, watching);
        check_picture(&publisher, &published, page, watching);
    }
    viewers[0].0.screenshot("viewer");
}

#[test]
fn late_viewer_sees_a_picture_at_once() {
    let stage = Stage::start();
    let (_publisher, published) = stage.publisher(&json!({ "video": "VP8", "audio": "opus" }));
    // Longer than Chromium's start, in which key frames come by themselves.
    std::thread::sleep(Duration::from_secs(4));
    let mut times = Vec::new();
    for _ in 0..3 {
        let (_page, watching) = stage.viewer(&published);
        times.push(watching["pictureMs"].as_f64().unwrap());
    }
    figure("late viewer's first picture ms after its answer", format!("{times:?}"));
    assert!(times.iter().all(|&time| time < PICTURE_MS_MAX), "{times:?}");
}

#[test]
fn both_kinds_can_go_alone() {
    let stage = Stage::start();
    for (options, kind) in [
        (json!({ "video": "VP8", "audio": null }), "video"),
        (json!({ "video": null, "audio": "opus" }), "audio"),
    ] {
        let (_publisher, published) = stage.publisher(&options);
        let (page, watching) = stage.viewer(&published);
        let packets = |page: &Page| {
            let stats = page.stats(&watching["session"]);
            let receiving = stats["in"].as_array().unwrap();
            assert!(receiving.iter().all(|rtp| rtp["kind"] == kind), "{stats}");
            receiving.iter().filter_map(|rtp| rtp["packets"].as_f64()).sum::<f64>()
        };
        until(kind, Duration::from_secs(10), || (packets(&page) > 100.0).then_some(()));
    }
}

/// Connected in time, with an AEAD profile (RFC 7714) and not Chromium's first choice.
fn check_connected(page: &Page, opened: &Value, who: &str) {
    let time = opened["connectMs"].as_f64().unwrap();
    let stats = page.stats(&opened["session"]);
    figure(&format!("{who} connected ms after the answer"), time);
    figure(&format!("{who} cipher"), &stats["cipher"]);
    assert!(time < CONNECT_MS_MAX, "{who}: {time} ms");
    assert_eq!(stats["state"], "connected", "{who}: {stats}");
    assert!(stats["cipher"].as_str().unwrap().contains("AEAD_AES_"), "{who}: {stats}");
}

/// Pictures and sound grow at about their rate, nothing is lost, the tone is heard.
fn check_flow(page: &Page, watching: &Value) {
    let session = &watching["session"];
    let start = Instant::now();
    let before = page.received(session);
    std::thread::sleep(Duration::from_secs(3));
    let after = page.received(session);
    let seconds = start.elapsed().as_secs_f64();
    let frames = (after.frames - before.frames) / seconds;
    let audio = (after.audio - before.audio) / seconds;
    figure("pictures per second", format!("{frames:.1}"));
    assert!(frames > 10.0, "{frames} pictures per second of 30");
    assert!(audio > 40.0, "{audio} audio packets per second of 50");
    let stats = page.stats(session);
    let receiving = stats["in"].as_array().unwrap();
    assert_eq!(receiving.len(), 2, "{stats}");
    for rtp in receiving {
        assert_eq!(rtp["lost"], 0, "{stats}");
    }
    let energy = receiving.iter().filter_map(|rtp| rtp["energy"].as_f64()).sum::<f64>();
    assert!(energy > 0.0, "silence: {stats}");
}

/// The picture that is seen is the one that was painted less than two seconds ago: frames carry
/// their number.
fn check_picture(publisher: &Page, published: &Published, page: &Page, watching: &Value) {
    let mids = watching["mids"].as_array().unwrap();
    let number = |mid: &Value| {
        page.call("shown", &[watching["session"].clone(), mid.clone()]).as_i64().filter(|n| *n > 0)
    };
    let shown =
        until("a numbered picture", Duration::from_secs(5), || mids.iter().find_map(number));
    let painted = publisher.call("painted", &[published.0["session"].clone()]).as_i64().unwrap();
    let age = painted - shown;
    figure("age of the picture seen, in frames", age);
    assert!((-1..60).contains(&age), "painted {painted}, shown {shown}");
}
