//! Data channels between real browsers: Chromium, and Firefox where it is installed, each in both
//! parts.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tests::link::LinkConfig;

use crate::driver::Driver;
use crate::firefox;
use crate::pages::{Browser, Page, until};
use crate::relay::{Relay, Way};
use crate::server::Server;

/// Longest wait for what takes a round trip or two.
const SOON: Duration = Duration::from_secs(10);

/// Browsers and a server.
struct Scene {
    browsers: Vec<Rc<dyn Browser>>,
    server: Server,
}

impl Scene {
    /// Chromium, and Firefox where it is installed.
    fn start() -> Self {
        let server = Server::start();
        let mut browsers: Vec<Rc<dyn Browser>> = vec![Rc::new(Driver::start())];
        browsers.extend(firefox::installed().map(|firefox| firefox as Rc<dyn Browser>));
        Self { browsers, server }
    }

    /// A window of one of the browsers, with data channels.
    fn party(&self, browser: usize, options: Value) -> Party {
        let browser = &self.browsers[browser % self.browsers.len()];
        let page = Page::of(browser, &self.server);
        Party::join(page, options)
    }

    /// What the API lists as the status of a session's channel.
    fn status(&self, party: &Party, name: &str) -> Option<String> {
        let path = format!("/sessions/{}", party.id);
        let reply = party.page.call("request", &[json!("GET"), json!(path)]);
        let channels = reply["body"]["dataChannels"].as_array()?.clone();
        let found = channels.iter().find(|channel| channel["dataChannelName"] == name)?;
        found["status"].as_str().map(str::to_owned)
    }
}

/// A window in which one session has data channels.
struct Party {
    page: Page,
    joined: Value,
    id: String,
}

impl Party {
    fn join(page: Page, options: Value) -> Self {
        let joined = data(&page, "join", &[options]);
        let id = joined["sessionId"].as_str().unwrap().to_owned();
        Self { page, joined, id }
    }

    fn call(&self, function: &str, arguments: &[Value]) -> Value {
        data(&self.page, function, arguments)
    }

    /// Opens one channel; its handle.
    fn open(&self, name: &str, from: Option<&Party>, wish: Value) -> Channel<'_> {
        let from = from.map(|party| party.id.clone());
        let mut made = self.open_all(json!([{ "name": name, "from": from, "wish": wish }]));
        made.remove(0)
    }

    fn open_all(&self, wanted: Value) -> Vec<Channel<'_>> {
        let made = self.call("open", &[self.joined["session"].clone(), wanted]);
        let end = |made: &Value| Channel {
            party: self,
            handle: made["handle"].clone(),
            stream: made["id"].clone(),
        };
        made.as_array().unwrap().iter().map(end).collect()
    }

    /// Publishes so many channels whose names begin alike.
    fn publish_all(&self, name: &str, count: usize) -> Vec<Channel<'_>> {
        let wanted = (0..count).map(|at| json!({ "name": format!("{name}{at}") }));
        self.open_all(wanted.collect())
    }

    fn publish(&self, name: &str) -> Channel<'_> {
        self.open(name, None, json!({}))
    }

    fn pull(&self, from: &Party, name: &str) -> Channel<'_> {
        self.open(name, Some(from), json!({}))
    }

    /// A PUT on one of the session's endpoints, for one channel.
    fn put(&self, verb: &str, channel: Value) -> Value {
        self.put_all(verb, json!([channel]))
    }

    /// The same for several.
    fn put_all(&self, verb: &str, channels: Value) -> Value {
        let path = format!("/sessions/{}/datachannels/{verb}", self.id);
        let body = json!({ "dataChannels": channels });
        self.page.call("api", &[json!("PUT"), json!(path), body])
    }
}

/// One end of a channel in a window.
struct Channel<'a> {
    party: &'a Party,
    handle: Value,
    stream: Value,
}

impl Channel<'_> {
    fn send(&self, message: Value) -> Value {
        self.party.call("send", &[self.handle.clone(), message])
    }

    fn got(&self) -> Vec<Value> {
        let got = self.party.call("got", std::slice::from_ref(&self.handle));
        got.as_array().unwrap().clone()
    }

    fn count(&self) -> u64 {
        self.seen()["messages"].as_u64().unwrap()
    }

    fn is_closed(&self) -> bool {
        self.seen()["closed"] == true
    }

    fn seen(&self) -> Value {
        self.party.call("seen", std::slice::from_ref(&self.handle))
    }

    /// Waits for exactly these messages.
    fn waits_for(&self, messages: &[Value]) {
        let enough = || (self.count() >= messages.len() as u64).then_some(());
        until("the messages arrive", SOON, enough);
        assert_eq!(self.got(), messages);
    }

    /// Waits until the window saw it close.
    fn waits_for_close(&self) {
        until("the channel closes", SOON, || self.is_closed().then_some(()));
    }
}

fn data(page: &Page, function: &str, arguments: &[Value]) -> Value {
    match page.run(&format!("return data.{function}(...args);"), arguments) {
        Ok(value) => value,
        Err(reason) => panic!("data.{function}: {reason}"),
    }
}

#[test]
fn messages_of_every_kind_reach_every_subscriber() {
    let scene = Scene::start();
    for browser in 0..scene.browsers.len() {
        let publisher = scene.party(browser, json!({}));
        let subscribers = [scene.party(browser, json!({})), scene.party(browser + 1, json!({}))];
        let sending = publisher.publish("chat");
        let receiving = subscribers.each_ref().map(|party| party.pull(&publisher, "chat"));
        assert_eq!(publisher.joined["messageMax"], 262_144);
        let sent: Vec<Value> = [
            json!({ "text": "hello" }),
            json!({ "length": 3, "seed": 1 }),
            json!({ "text": "" }),
            json!({ "length": 0, "seed": 0 }),
            json!({ "text": "ä€😀".repeat(20) }),
            json!({ "length": 262_144, "seed": 7 }),
            json!({ "text": "x".repeat(262_144) }),
            json!({ "length": 1, "seed": 9 }),
        ]
        .into_iter()
        .map(|message| sending.send(message))
        .collect();
        for receiving in &receiving {
            receiving.waits_for(&sent);
            assert_eq!(scene.status(receiving.party, "chat").as_deref(), Some("active"));
        }
        assert_eq!(sending.count(), 0, "nothing comes back");
    }
}

#[test]
fn the_transport_comes_by_either_side_s_offer() {
    let scene = Scene::start();
    for browser in 0..scene.browsers.len() {
        let by = |by: &str| scene.party(browser, json!({ "by": by }));
        let parties = ["client", "negotiated", "server"].map(by);
        for party in &parties {
            assert_eq!(party.joined["label"], "server-events", "{}", party.joined);
            assert_eq!(party.joined["stream"], 0, "{}", party.joined);
        }
        let sending = parties[2].publish("chat");
        let receiving = [&parties[0], &parties[1]].map(|party| party.pull(&parties[2], "chat"));
        let sent = sending.send(json!({ "text": "hello" }));
        receiving.iter().for_each(|receiving| receiving.waits_for(std::slice::from_ref(&sent)));
    }
}

#[test]
fn an_unreliable_channel_carries_messages() {
    let scene = Scene::start();
    for browser in 0..scene.browsers.len() {
        let (publisher, subscriber) =
            (scene.party(browser, json!({})), scene.party(browser + 1, json!({})));
        let wish = json!({ "ordered": false, "maxRetransmits": 0 });
        let sending = publisher.open("state", None, wish);
        let receiving = subscriber.pull(&publisher, "state");
        publisher.call("stream", &[sending.handle.clone(), json!(200), json!(100), json!(5)]);
        until("most arrive", SOON, || (receiving.count() >= 190).then_some(()));
        assert!(receiving.count() <= 200);
    }
}

#[test]
fn one_subscriber_at_a_time_may_reply() {
    let scene = Scene::start();
    for browser in 0..scene.browsers.len() {
        let publisher = scene.party(browser, json!({}));
        let (one, two) = (scene.party(browser, json!({})), scene.party(browser + 1, json!({})));
        let sending = publisher.publish("chat");
        let first = one.open("chat", Some(&publisher), json!({ "canReply": true }));
        let second = two.pull(&publisher, "chat");
        second.send(json!({ "text": "without the right" }));
        let mut replies = vec![first.send(json!({ "text": "with the right" }))];
        sending.waits_for(&replies);
        let grant = json!({
            "location": "remote", "sessionId": publisher.id, "dataChannelName": "chat",
            "canReply": true,
        });
        two.put("update", grant.clone());
        std::thread::sleep(Duration::from_millis(200));
        first.send(json!({ "text": "the right moved on" }));
        replies.push(second.send(json!({ "length": 5, "seed": 5 })));
        sending.waits_for(&replies);
        let mut revoke = grant;
        revoke["canReply"] = json!(false);
        two.put("update", revoke);
        std::thread::sleep(Duration::from_millis(200));
        second.send(json!({ "text": "the right is gone" }));
        let sent = sending.send(json!({ "text": "to all" }));
        first.waits_for(std::slice::from_ref(&sent));
        second.waits_for(std::slice::from_ref(&sent));
        assert_eq!(sending.got(), replies);
    }
}

#[test]
fn a_gated_channel_begins_with_its_subscriber_s_first_message() {
    let scene = Scene::start();
    for browser in 0..scene.browsers.len() {
        let (publisher, subscriber) =
            (scene.party(browser, json!({})), scene.party(browser + 1, json!({})));
        let sending = publisher.publish("chat");
        let wish = json!({ "waitForAck": true, "canReply": true });
        let gated = subscriber.open("chat", Some(&publisher), wish);
        let early = sending.send(json!({ "text": "early" }));
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(gated.count(), 0, "nothing before the first message");
        gated.send(json!({ "text": "ack" }));
        gated.waits_for(std::slice::from_ref(&early));
        let reply = gated.send(json!({ "text": "reply" }));
        sending.waits_for(&[reply]);
    }
}

#[test]
fn closed_channels_close_in_the_windows_and_are_published_again() {
    let scene = Scene::start();
    for browser in 0..scene.browsers.len() {
        let (publisher, subscriber) =
            (scene.party(browser, json!({})), scene.party(browser + 1, json!({})));
        let (mut streams, mut ends) = (Vec::new(), Vec::new());
        // By the API at the publisher, by the API at the subscriber, by either window.
        for way in 0..4 {
            let sending = publisher.publish("chat");
            let receiving = subscriber.pull(&publisher, "chat");
            let sent = sending.send(json!({ "text": format!("round {way}") }));
            receiving.waits_for(&[sent]);
            match way {
                0 => publisher.put("close", json!({ "id": sending.stream })),
                1 => subscriber.put("close", json!({ "id": receiving.stream })),
                2 => publisher.call("shut", std::slice::from_ref(&sending.handle)),
                _ => subscriber.call("shut", std::slice::from_ref(&receiving.handle)),
            };
            receiving.waits_for_close();
            until("the API says so", SOON, || {
                let status = scene.status(&subscriber, "chat");
                (status.as_deref() == Some("inactive")).then_some(())
            });
            if way % 2 == 0 {
                sending.waits_for_close();
            } else {
                assert!(!sending.is_closed(), "a subscriber's close is its own");
                publisher.put("close", json!({ "id": sending.stream }));
                sending.waits_for_close();
            }
            streams.push(sending.stream.clone());
            ends.push(receiving.stream.clone());
        }
        for streams in [streams, ends] {
            assert!((1..4).all(|at| streams[at] != streams[at - 1]), "{streams:?}");
        }
    }
}

#[test]
fn streams_come_back_after_all_were_used() {
    let scene = Scene::start();
    for browser in 0..scene.browsers.len() {
        let (publisher, subscriber) = (scene.party(browser, json!({})), scene.party(0, json!({})));
        let mut used = std::collections::BTreeSet::new();
        // 17 times 64 are more than the 1,022 streams of an association.
        for round in 0..17 {
            let channels = publisher.publish_all(&format!("{round}-"), 64);
            let again = channels.iter().position(|made| !used.insert(made.stream.as_u64()));
            if let Some(at) = again {
                let receiving = subscriber.pull(&publisher, &format!("{round}-{at}"));
                let sent = channels[at].send(json!({ "text": "once more" }));
                receiving.waits_for(&[sent]);
            }
            let ids: Vec<Value> =
                channels.iter().map(|made| json!({ "id": made.stream })).collect();
            publisher.put_all("close", json!(ids));
            let handles: Value = channels.iter().map(|made| made.handle.clone()).collect();
            publisher.call("allClosed", &[handles]);
        }
        assert_eq!(used, (2..1_024).map(Some).collect());
    }
}

#[test]
fn a_publisher_that_leaves_closes_its_subscribers_channels() {
    let scene = Scene::start();
    for browser in 0..scene.browsers.len() {
        let (publisher, subscriber) =
            (scene.party(browser, json!({})), scene.party(browser + 1, json!({})));
        let _sending = publisher.publish("chat");
        let receiving = subscriber.pull(&publisher, "chat");
        publisher.call("leave", std::slice::from_ref(&publisher.joined["session"]));
        receiving.waits_for_close();
        assert_eq!(scene.status(&subscriber, "chat").as_deref(), Some("inactive"));
    }
}

#[test]
fn a_subscriber_behind_a_dead_path_disturbs_nobody() {
    let scene = Scene::start();
    let relay = Relay::start(scene.server.media_port(), LinkConfig::clean(Duration::ZERO), 1);
    let publisher = scene.party(0, json!({}));
    let (dead, well) =
        (scene.party(0, json!({ "relay": relay.port() })), scene.party(1, json!({})));
    let sending = publisher.publish("bulk");
    let (stuck, flowing) = (dead.pull(&publisher, "bulk"), well.pull(&publisher, "bulk"));
    let sent = sending.send(json!({ "text": "first" }));
    stuck.waits_for(std::slice::from_ref(&sent));
    flowing.waits_for(&[sent]);
    relay.reconfigure(Way::Down, LinkConfig::clean(Duration::ZERO).with_loss(1.0));
    // More than a queue holds, not faster than a window takes it.
    publisher.call("stream", &[sending.handle.clone(), json!(200), json!(16_000), json!(25)]);
    until("all arrive", SOON, || (flowing.count() == 201).then_some(()));
    until("the dead one is given up", Duration::from_secs(30), || {
        (scene.status(&dead, "bulk").as_deref() == Some("inactive")).then_some(())
    });
}

#[test]
fn data_carries_the_transport_when_the_media_ended() {
    let scene = Scene::start();
    let page = Page::of(&scene.browsers[0], &scene.server);
    let published = page.call("publish", &[json!({ "video": null })]);
    let media = published["session"].clone();
    let publisher = Party::join(page, json!({ "media": media }));
    let subscriber = scene.party(0, json!({}));
    let sending = publisher.publish("chat");
    let receiving = subscriber.pull(&publisher, "chat");
    let mut sent = vec![sending.send(json!({ "text": "beside media" }))];
    receiving.waits_for(&sent);
    let audio = json!([published["tracks"][0]["mid"]]);
    publisher.page.call("close", &[media, audio, json!(false)]);
    sent.push(sending.send(json!({ "text": "alone" })));
    receiving.waits_for(&sent);
    let more = publisher.publish("more");
    let receiving = subscriber.pull(&publisher, "more");
    let sent = more.send(json!({ "text": "on the new transport" }));
    receiving.waits_for(&[sent]);
}

#[test]
fn media_and_data_share_a_session() {
    let scene = Scene::start();
    for browser in 0..scene.browsers.len() {
        let page = Page::of(&scene.browsers[browser], &scene.server);
        let published = page.call("publish", &[json!({})]);
        let media = published["session"].clone();
        let publisher = Party::join(page, json!({ "media": media }));
        let sending = publisher.publish("chat");

        let page = Page::of(&scene.browsers[(browser + 1) % scene.browsers.len()], &scene.server);
        let locator = |at: usize| json!([publisher.id, published["tracks"][at]["trackName"]]);
        let watching = page.call("watch", &[json!([locator(0), locator(1)])]);
        let subscriber = Party::join(page, json!({ "media": watching["session"], "by": "server" }));
        let receiving = subscriber.pull(&publisher, "chat");
        let mut sent = vec![sending.send(json!({ "text": "beside media" }))];
        receiving.waits_for(&sent);
        let frames = || subscriber.page.received(&watching["session"]).frames;
        let flows = |what: &str| {
            let before = frames();
            until(what, SOON, || (frames() > before + 15.0).then_some(()));
        };
        flows("pictures beside data");

        // Stopping the first section of the bundle moves what is left to a new transport. Firefox
        // refuses the new credentials that it has in the answer, also without data channels.
        if browser == 0 {
            let first = json!([published["tracks"][0]["mid"]]);
            publisher.page.call("close", &[media, first, json!(false)]);
            flows("pictures on the publisher's new transport");
            sent.push(sending.send(json!({ "text": "the publisher moved" })));
            receiving.waits_for(&sent);
        }
        if (browser + 1) % scene.browsers.len() == 0 {
            let first = json!([watching["mids"][0]]);
            subscriber.page.call("close", &[watching["session"].clone(), first, json!(false)]);
            sent.push(sending.send(json!({ "text": "the subscriber moved" })));
            receiving.waits_for(&sent);
            flows("pictures on the subscriber's new transport");
        }
        assert_eq!(scene.status(&subscriber, "chat").as_deref(), Some("active"));
    }
}
