//! Scalable video of one stream (VP9, AV1) with the dependency descriptor: a viewer on a clean path
//! gets all of it, one behind a bottleneck fewer spatial or temporal layers, which still decode.

use std::time::Duration;

use serde_json::{Value, json};
use tests::link::LinkConfig;

use crate::pages::{Page, Published, Stage, figure, until};
use crate::relay::{Relay, Way};
use crate::samples::Samples;

/// A scalable stream and a path that is too narrow for it.
struct Case {
    codec: &'static str,
    mode: &'static str,
    width: u32,
    height: u32,
    /// What the encoder may use, bit/s.
    bitrate: u32,
    /// What the bottleneck carries, bit/s.
    bottleneck: u64,
}

/// Pictures a second.
const FPS: f64 = 16.0;

/// Part of them below which a temporal layer is missing.
const FEWER: f64 = 0.8;

/// The lowest temporal layer of three has a quarter of the pictures; less some for the machine.
const FEWEST: f64 = 6.0;

/// Longest time without a new picture, in milliseconds: two and a half pictures of that layer.
const STALL_MS_MAX: f64 = 650.0;

/// The same while the bottleneck stays: a try to go up that does not last costs a key frame there and
/// back. Measured: 100 to 710.
const STALL_NARROW_MS_MAX: f64 = 1500.0;

/// Longest time from the beginning of the bottleneck until fewer layers flow.
const SETTLE_MAX: Duration = Duration::from_secs(10);

#[test]
fn vp9_with_independent_spatial_layers() {
    shrinks(&Case { mode: "L3T3_KEY", ..VP9 });
}

#[test]
fn vp9_with_dependent_spatial_layers() {
    shrinks(&Case { mode: "L3T3", ..VP9 });
}

#[test]
fn vp9_with_temporal_layers() {
    shrinks(&Case {
        mode: "L1T3",
        width: 480,
        height: 270,
        bitrate: 500_000,
        bottleneck: 380_000,
        ..VP9
    });
}

#[test]
fn av1_with_temporal_layers() {
    shrinks(&Case {
        mode: "L1T3",
        width: 480,
        height: 270,
        bitrate: 500_000,
        bottleneck: 380_000,
        ..AV1
    });
}

#[test]
fn av1_with_spatial_layers() {
    shrinks(&Case {
        mode: "L2T2",
        width: 480,
        height: 270,
        bitrate: 500_000,
        bottleneck: 250_000,
        ..AV1
    });
}

const VP9: Case = Case {
    codec: "VP9",
    mode: "",
    // Smaller pictures get fewer layers from Chromium.
    width: 960,
    height: 540,
    bitrate: 1_200_000,
    bottleneck: 500_000,
};

const AV1: Case = Case { codec: "AV1", ..VP9 };

fn shrinks(case: &Case) {
    let stage = Stage::start();
    let Some((publisher, published)) = publish(&stage, case) else { return };
    let path = LinkConfig::clean(Duration::from_millis(10));
    let relay = Relay::start(stage.server.media_port(), path, 1);
    let page = stage.window();
    let watching = page.watch(&published, &json!({ "relay": relay.port() }));
    let session = &watching["session"];
    figure(&format!("{} {} first picture ms", case.codec, case.mode), &watching["pictureMs"]);
    Samples::begin(&page, session);
    let wide = until("the whole picture", Duration::from_secs(20), || {
        std::thread::sleep(Duration::from_secs(2));
        let seen = Samples::take(&page, session);
        let full = seen.rate("video", "bytes") * 8.0 > 0.7 * f64::from(case.bitrate);
        (full && seen.last("video", "width") == f64::from(case.width)).then_some(seen)
    });
    relay.reconfigure(Way::Down, LinkConfig { rate: Some(case.bottleneck / 8), ..path });
    let rate = wide.rate("video", "frames");
    let fewer = |seen: &Samples| {
        seen.last("video", "width") < f64::from(case.width)
            || seen.rate("video", "frames") < FEWER * rate
    };
    let flows = |seen: &Samples| {
        fewer(seen)
            && seen.rate("video", "frames") >= FPS / FEWEST
            && seen.longest_stall().millis() < STALL_MS_MAX
    };
    let change = Samples::settle(&page, session, SETTLE_MAX, flows);
    std::thread::sleep(Duration::from_secs(3));
    let narrow = Samples::take(&page, session);
    for (when, samples) in [("wide", &wide), ("change", &change), ("narrow", &narrow)] {
        report(case, when, samples);
    }
    check_descriptor(&publisher, &published, &page, session);
    let fps = narrow.rate("video", "frames");
    assert!(fps >= FPS / FEWEST, "{fps} pictures a second");
    assert!(fewer(&narrow), "all layers still there");
    let stall = narrow.longest_stall();
    assert!(stall.millis() < STALL_NARROW_MS_MAX, "{stall:?}");
}

/// A publisher of the case; None, and a word about it, when this browser has no such encoder.
fn publish(stage: &Stage, case: &Case) -> Option<(Page, Published)> {
    let page = stage.window();
    if page.call("canEncode", &[json!("video"), json!(case.codec)]) != true {
        println!("SKIPPED: this browser does not encode {}", case.codec);
        return None;
    }
    let options = json!({
        "audio": null,
        "video": case.codec,
        "scalabilityMode": case.mode,
        "maxBitrate": case.bitrate,
        "width": case.width,
        "height": case.height,
        "fps": FPS,
    });
    let published = Published(page.call("publish", &[options]));
    Some((page, published))
}

/// Both ends negotiated the descriptor and the mode is the one that was asked for.
fn check_descriptor(publisher: &Page, published: &Published, page: &Page, session: &Value) {
    for (page, session) in [(publisher, &published.0["session"]), (page, session)] {
        let extensions = page.call("extensions", std::slice::from_ref(session));
        let has = |uri: &Value| uri.as_str().unwrap().contains("dependency-descriptor");
        assert!(extensions.as_array().unwrap().iter().any(has), "{extensions}");
    }
}

fn report(case: &Case, when: &str, samples: &Samples) {
    figure(
        &format!(
            "{} {}, {when}: width, pictures/s, kbit/s, stall ms, freezes",
            case.codec, case.mode
        ),
        format!(
            "{}, {:.1}, {:.0}, {:.0}, {}",
            samples.last("video", "width"),
            samples.rate("video", "frames"),
            samples.rate("video", "bytes") * 8.0 / 1000.0,
            samples.longest_stall().millis(),
            samples.freezes().len(),
        ),
    );
}
