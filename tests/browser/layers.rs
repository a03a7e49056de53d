//! Which simulcast layer a viewer gets: the best one on a clean path, the one it wishes within a
//! second, a lower one behind a bottleneck and the best one again after it. The picture moves on
//! through all of it, and sound and picture stay together.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::link::LinkConfig;

use crate::firefox;
use crate::pages::{Page, Published, Stage, figure, until};
use crate::relay::{Relay, Way};
use crate::samples::Samples;

/// Longest time from a wish to the picture of the wished layer, in milliseconds.
const SWITCH_MS_MAX: f64 = 1000.0;

/// Longest time without a new picture, in milliseconds.
const STALL_MS_MAX: f64 = 500.0;

/// Largest median distance of sound and picture, in milliseconds: from here on people notice
/// leading sound (ITU-R BT.1359-1). Chromium leaves up to 30 ms uncorrected by itself
/// (`kMinDeltaMs` in libwebrtc's `stream_synchronization.cc`).
const OFFSET_MS_MAX: f64 = 45.0;

/// Widths of the layers f, h and q. Smaller sources than this get fewer layers from Chromium.
const WIDTHS: [(&str, u32); 3] = [("f", 960), ("h", 480), ("q", 240)];

/// Bytes a second of the bottleneck: 300 kbit/s.
const BOTTLENECK: u64 = 300_000 / 8;

#[test]
fn chromium_s_layers_follow_wishes() {
    let stage = Stage::start();
    let (publisher, published) = stage.publisher(&simulcast());
    follows_wishes("Chromium", &stage, &publisher, &published);
}

#[test]
fn firefox_s_layers_follow_wishes() {
    let Some(firefox) = firefox::installed() else { return };
    let stage = Stage::start();
    let publisher = Page::of(&(firefox as Rc<_>), &stage.server);
    let published = Published(publisher.call("publish", &[simulcast()]));
    follows_wishes("Firefox", &stage, &publisher, &published);
}

#[test]
fn a_bottleneck_takes_a_layer_and_no_more() {
    let stage = Stage::start();
    let (_publisher, published) = stage.publisher(&simulcast());
    let path = LinkConfig::clean(Duration::from_millis(20));
    let relay = Relay::start(stage.server.media_port(), path, 1);
    let page = stage.window();
    let watching = page.watch(&published, &json!({ "relay": relay.port() }));
    let session = &watching["session"];
    Samples::begin(&page, session);
    becomes(&page, session, "the best layer, before", WIDTHS[0].1);
    let _ = Samples::take(&page, session);

    relay.reconfigure(Way::Down, LinkConfig { rate: Some(BOTTLENECK), ..path });
    std::thread::sleep(Duration::from_secs(4));
    report("going down", &Samples::take(&page, session));
    std::thread::sleep(Duration::from_secs(8));
    let narrow = Samples::take(&page, session);
    report("behind the bottleneck", &narrow);

    relay.reconfigure(Way::Down, path);
    becomes(&page, session, "the best layer, after", WIDTHS[0].1);
    std::thread::sleep(Duration::from_secs(2));
    let after = Samples::take(&page, session);
    report("after it", &after);

    let width = narrow.last("video", "width");
    assert!(width > 0.0 && width < 960.0, "{width}");
    assert!(narrow.rate("video", "frames") > 10.0);
    assert_eq!(narrow.freezes(), [0.0; 0], "freezes behind the bottleneck");
    assert_eq!(after.freezes(), [0.0; 0], "freezes on the way up");
}

/// Three layers of a moving picture, and a tone.
fn simulcast() -> Value {
    json!({ "rids": ["f", "h", "q"], "width": 960, "height": 540, "fps": 20 })
}

fn follows_wishes(who: &str, stage: &Stage, publisher: &Page, published: &Published) {
    let page = stage.window();
    let watching = page.watch(published, &json!({}));
    let session = &watching["session"];
    Samples::begin(&page, session);
    becomes(&page, session, &format!("{who}: the best layer by itself"), WIDTHS[0].1);
    // From here on the clocks of sound and picture are compared: the start is adaptation.
    std::thread::sleep(Duration::from_secs(3));
    report(&format!("{who}, before the switches"), &Samples::take(&page, session));

    let [f, h, q] = WIDTHS;
    for (rid, width) in [q, h, f, h, q] {
        let took = choose(&page, session, rid, width);
        figure(&format!("{who}: {rid} shown, ms after the wish"), took);
        assert!(took < SWITCH_MS_MAX, "{rid} after {took} ms");
        std::thread::sleep(Duration::from_secs(1));
    }
    figure(&format!("{who}: f shown, ms without a wish"), choose(&page, session, "", WIDTHS[0].1));
    std::thread::sleep(Duration::from_secs(2));
    let switched = Samples::take(&page, session);
    report(&format!("{who}, with switches"), &switched);

    publisher.call("pause", &[published.0["session"].clone(), json!(true)]);
    std::thread::sleep(Duration::from_secs(2));
    publisher.call("pause", &[published.0["session"].clone(), json!(false)]);
    std::thread::sleep(Duration::from_secs(3));
    let _ = Samples::take(&page, session);
    std::thread::sleep(Duration::from_secs(2));
    let resumed = Samples::take(&page, session);
    report(&format!("{who}, after a pause"), &resumed);

    let stall = switched.longest_stall();
    assert!(stall.millis() <= STALL_MS_MAX, "{who}: {stall:?}");
    assert!(resumed.rate("video", "frames") > 5.0, "{who}: no picture after the pause");
    for (when, samples) in [("switches", switched), ("a pause", resumed)] {
        let offset = samples.offset_percentile(50);
        assert!(offset < OFFSET_MS_MAX, "{who}: {offset} ms apart after {when}");
    }
}

/// Wishes a layer and returns after how many milliseconds it was seen.
fn choose(page: &Page, session: &Value, rid: &str, width: u32) -> f64 {
    let wish = json!({ "preferredRid": rid });
    page.call("choose", &[session.clone(), wish, json!(width)])["shownMs"].as_f64().unwrap()
}

/// Waits for a width.
fn becomes(page: &Page, session: &Value, what: &str, width: u32) {
    let start = Instant::now();
    until(what, Duration::from_secs(40), || {
        let stats = page.stats(session);
        let sections = stats["in"].as_array().unwrap();
        sections.iter().any(|rtp| rtp["width"] == width).then_some(())
    });
    figure(&format!("{what}, after ms"), start.elapsed().as_millis());
}

fn report(when: &str, samples: &Samples) {
    let stall = samples.longest_stall().millis();
    figure(
        &format!("{when}: width, pictures/s, kbit/s, longest stall ms, freezes, offset ms (median, p95)"),
        format!(
            "{}, {:.1}, {:.0}, {stall:.0}, {}, {:.0}, {:.0}",
            samples.last("video", "width"),
            samples.rate("video", "frames"),
            samples.rate("video", "bytes") * 8.0 / 1000.0,
            samples.freezes().len(),
            samples.offset_percentile(50),
            samples.offset_percentile(95),
        ),
    );
}
