//! The harness itself, without a server: two connections inside one page, and the relay. When this fails, no
//! other failure here says anything about the server.

use std::net::{Ipv4Addr, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::link::LinkConfig;

use crate::driver::Driver;
use crate::pages::{Page, figure, until};
use crate::relay::{Relay, Way};

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

#[test]
fn relay_delays_and_loses_both_ways() {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    server.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let delay = Duration::from_millis(20);
    let relay = Relay::start(server.local_addr().unwrap().port(), LinkConfig::clean(delay), 1);
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    client.connect((Ipv4Addr::LOCALHOST, relay.port())).unwrap();
    let mut buffer = [0; 100];
    let start = Instant::now();
    for number in 0..50_u8 {
        client.send(&[number]).unwrap();
    }
    for number in 0..50_u8 {
        let (len, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(buffer[..len], [number]);
        server.send_to(&[number, number], from).unwrap();
    }
    for number in 0..50_u8 {
        assert_eq!(client.recv(&mut buffer).unwrap(), 2);
        assert_eq!(buffer[0], number);
    }
    assert!(start.elapsed() >= 2 * delay, "{:?}", start.elapsed());

    relay.reconfigure(Way::Up, LinkConfig::clean(Duration::ZERO).with_loss(0.5));
    // Not faster than a socket's buffer takes them.
    for _ in 0..1000 {
        client.send(&[0]).unwrap();
        std::thread::sleep(Duration::from_micros(100));
    }
    until("all datagrams came in", Duration::from_secs(5), || {
        (relay.tally(Way::Up).offered == 1050).then_some(())
    });
    let lost = relay.tally(Way::Up).lost;
    assert!((400..600).contains(&lost), "{lost}");
    assert_eq!(relay.tally(Way::Down).lost, 0);
}
