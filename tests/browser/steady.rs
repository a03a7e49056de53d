//! A minute of one publisher and one viewer: the picture never stands still, and the publisher,
//! told by the server's feedback what arrives, climbs to its maximum bit rate.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::pages::{Stage, figure};

/// The publisher's maximum. Well above the 300 kbit/s that Chromium starts with.
const BITRATE_MAX: f64 = 1_500_000.0;

/// How long to look.
const DURATION: Duration = Duration::from_secs(60);

/// Longest time until the maximum is reached. Chromium needs about ten seconds on loopback.
const RAMP_MAX: Duration = Duration::from_secs(40);

/// Most seconds of standing picture, on a machine that is busy otherwise.
const FROZEN_SECONDS_MAX: f64 = 2.0;

#[test]
fn a_minute_without_a_freeze_at_full_rate() {
    let stage = Stage::start();
    let options = json!({ "maxBitrate": BITRATE_MAX });
    let (publisher, published) = stage.publisher(&options);
    let (page, watching) = stage.viewer(&published);
    let start = Instant::now();
    let mut full_after = None;
    let mut frames = page.received(&watching["session"]).frames;
    while start.elapsed() < DURATION {
        std::thread::sleep(Duration::from_secs(2));
        let now = page.received(&watching["session"]).frames;
        assert!(now > frames, "no picture in two seconds, {:?} after the start", start.elapsed());
        frames = now;
        let target = video(&publisher.stats(&published.0["session"]), "out", "target");
        if full_after.is_none() && target >= 0.95 * BITRATE_MAX {
            full_after = Some(start.elapsed());
        }
    }
    let sent = publisher.stats(&published.0["session"]);
    let received = page.stats(&watching["session"]);
    figure("target bit rate after a minute", video(&sent, "out", "target"));
    figure("available outgoing bit rate", &sent["available"]);
    figure("seconds to the maximum bit rate", format!("{:?}", full_after.map(|t| t.as_secs())));
    figure("pictures sent", video(&sent, "out", "frames"));
    figure("pictures decoded", video(&received, "in", "frames"));
    figure("freezes", video(&received, "in", "freezes"));
    figure("seconds frozen", video(&received, "in", "freezeSeconds"));
    figure("key frame requests", video(&sent, "out", "plis"));
    figure("round trip ms", &received["roundTripMs"]);
    assert!(full_after.is_some_and(|time| time < RAMP_MAX), "{full_after:?}: {sent}");
    assert_eq!(video(&received, "in", "lost"), 0.0, "{received}");
    // Every picture sent was decoded, but for those before the viewer came. Chromium counts a
    // freeze also when the publisher's page was not scheduled to paint: a figure of the machine.
    let missing = video(&sent, "out", "frames") - video(&received, "in", "frames");
    assert!(missing < 45.0, "{missing} pictures missing: {sent} {received}");
    assert!(video(&received, "in", "freezeSeconds") < FROZEN_SECONDS_MAX, "{received}");
    assert!(sent["reports"].as_u64() >= Some(1), "no receiver reports: {sent}");
}

/// A figure of the one video section of a direction.
fn video(stats: &Value, direction: &str, field: &str) -> f64 {
    let sections = stats[direction].as_array().unwrap();
    sections.iter().find(|rtp| rtp["kind"] == "video").unwrap()[field].as_f64().unwrap()
}
