//! The harness itself, without a server: two connections inside one page. When this fails, no
//! other failure here says anything about the server.

use std::rc::Rc;
use std::time::Duration;

use serde_json::json;

use crate::driver::Driver;
use crate::pages::{Page, figure, until};

#[test]
fn browser_sends_to_itself() {
    let page = Page::blank(&(Rc::new(Driver::start()) as _));
    let made = page.call("loop", &[json!({ "video": "VP8", "audio": "opus" })]);
    figure("harness connect ms", &made["connectMs"]);
    figure("harness first picture ms", &made["pictureMs"]);
    let receiver = &made["receiver"];
    until("frames and sound flow", Duration::from_secs(10), || {
        let got = page.received(receiver);
        (got.frames > 30.0 && got.audio > 50.0).then_some(())
    });
    let stats = page.stats(receiver);
    assert_eq!(stats["state"], "connected");
    let audio = stats["in"].as_array().unwrap().iter().find(|rtp| rtp["kind"] == "audio").unwrap();
    assert!(audio["energy"].as_f64().unwrap() > 0.0, "{stats}");

    // The number painted and the number seen are of the same second.
    let painted = page.call("painted", &[made["sender"].clone()]).as_i64().unwrap();
    let shown = page.call("shown", &[receiver.clone(), made["mids"][1].clone()]);
    let age = painted - shown.as_i64().unwrap();
    assert!((-30..30).contains(&age), "painted {painted}, shown {shown}");
    page.screenshot("harness");
}

#[test]
fn refusals_reach_the_test() {
    let page = Page::blank(&(Rc::new(Driver::start()) as _));
    assert!(page.try_call("canEncode", &[json!("video"), json!("none")]).is_ok());
    let refused = page.try_call("loop", &[json!({ "video": "none" })]).unwrap_err();
    assert!(refused.contains("no encoder for none"), "{refused}");
}
