//! End-to-end encryption by encoded transforms (cipher.js): the server forwards what it cannot
//! read, and a viewer that joins late gets its first picture all the same.

use std::time::Duration;

use serde_json::json;

use crate::pages::{Page, Published, Stage, figure, until};

/// Longest time from the answer to a late viewer's first picture, in milliseconds.
const PICTURE_MS_MAX: f64 = 3000.0;

/// What is encrypted, and how (client.js, cipher.js). Of VP8 without a clear byte only the dependency
/// descriptor tells a key frame; VP9's payload descriptor (RFC 9628) is not part of the frame and
/// stays clear.
const CASES: [(&str, &str, bool); 3] =
    [("VP8", "headers", false), ("VP8", "all", true), ("VP9", "all", false)];

#[test]
fn what_the_server_cannot_read_is_seen() {
    let stage = Stage::start();
    let publish = |(video, mode, describe): (_, &'static str, bool)| {
        let name = format!("{video}, {mode}");
        let options = json!({
            "video": video,
            "cipher": mode,
            "describe": describe,
            "width": 320,
            "height": 180,
        });
        (name, mode, stage.publisher(&options))
    };
    let publishers = CASES.map(publish);
    // Longer than Chromium's start, in which key frames come by themselves.
    std::thread::sleep(Duration::from_secs(4));
    for (name, mode, (_page, published)) in &publishers {
        opens(name, mode, &stage.window(), published);
    }
}

fn opens(name: &str, mode: &str, page: &Page, published: &Published) {
    let watching = page.watch(published, &json!({ "cipher": mode }));
    figure(&format!("sealed ({name}), first picture ms"), &watching["pictureMs"]);
    assert!(watching["pictureMs"].as_f64().unwrap() < PICTURE_MS_MAX, "{name}: {watching}");
    until(&format!("{name}: pictures and sound flow"), Duration::from_secs(10), || {
        let got = page.received(&watching["session"]);
        (got.frames > 45.0 && got.audio > 100.0).then_some(())
    });
    let stats = page.stats(&watching["session"]);
    let energy = stats["in"].as_array().unwrap().iter().filter_map(|rtp| rtp["energy"].as_f64());
    assert!(energy.sum::<f64>() > 0.0, "{name}, silence: {stats}");
    let counts = page.run("return cipher.counts();", &[]).unwrap();
    assert!(counts["whole"].as_f64() > Some(100.0), "{name}: {counts}");
    assert_eq!(counts["broken"], 0, "{name}: {counts}");
}
