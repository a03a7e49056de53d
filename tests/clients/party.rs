//! partytracks in Chromium, through its own proxy on Node and straight to the API of another origin:
//! batches, the first track closed, a track replaced, an encoding preferred, a connection lost.

use std::rc::Rc;

use serde_json::{Value, json};

use crate::driver::Driver;
use crate::echo::shows;
use crate::pages::Browser;
use crate::server::{SECRET, Server};
use crate::stack::{self, Site, Stack, Window};
use crate::watching::{Watching, strings};

/// Tracks that go in one batch, and the number in the marks of the first of them.
const BATCH: u64 = 8;
const FIRST: u64 = 20;

/// Two windows of one application, and what the second one watches.
struct Stage {
    publisher: Window,
    viewer: Window,
    watching: Watching,
    _server: Server,
}

#[test]
fn partytracks_works_through_its_proxy() {
    scenario(&|_| json!({ "prefix": "/partytracks" }));
}

#[test]
fn partytracks_works_without_a_proxy() {
    // It asks for ICE servers without the secret, which the server answers.
    scenario(&|server| {
        json!({ "prefix": stack::api(server),
                "headers": { "authorization": format!("Bearer {SECRET}") } })
    });
}

fn scenario(place: &dyn Fn(&Server) -> Value) {
    let server = Server::start();
    let site = Site::start(&server);
    let browser: Rc<dyn Browser> = Rc::new(Driver::start());
    let window = || Window::open(&browser, &site, &place(&server));
    let (publisher, viewer) = (window(), window());
    let mut stage = Stage { publisher, viewer, watching: Watching::default(), _server: server };
    let pushed = stage.batch();
    stage.close_first(&pushed);
    stage.replace(&pushed[3]);
    stage.prefer();
    stage.reconnect();
}

impl Stage {
    /// Eight pushes are one request, eight pulls few; every picture is the right one.
    fn batch(&mut self) -> Vec<Pushed> {
        let senders: Vec<u64> = (FIRST..FIRST + BATCH).collect();
        let locators = self.publisher.call("batch", &[json!(senders)]).unwrap();
        assert_eq!(self.publisher.call("requests", &[json!("tracks/new")]).unwrap(), 1);
        let mids = self.watch(&locators, &senders);
        let pulls = self.viewer.call("requests", &[json!("tracks/new")]).unwrap();
        assert!(pulls.as_u64().is_some_and(|pulls| pulls <= 3), "{pulls} requests for 8 pulls");
        let ids = locators.as_array().unwrap().iter().map(|locator| locator["mid"].clone());
        ids.zip(mids).map(|(id, mid)| Pushed { id, mid }).collect()
    }

    /// Either end closes the first section of its bundle, which moves the rest to a new transport.
    fn close_first(&mut self, pushed: &[Pushed]) {
        self.viewer.call("unwatch", &[json!([pushed[0].mid])]).unwrap();
        self.watching.expect(std::slice::from_ref(&pushed[0].mid), None);
        self.check("the viewer closed its first track");
        self.publisher.call("unpublish", &[json!([pushed[0].id])]).unwrap();
        self.check("the publisher closed its first track");
        for window in [&self.viewer, &self.publisher] {
            assert_eq!(window.call("connectionState", &[]).unwrap(), "connected");
        }
    }

    /// Another picture on the same transceiver.
    fn replace(&mut self, pushed: &Pushed) {
        self.publisher.call("replace", &[pushed.id.clone(), json!(40)]).unwrap();
        self.watching.expect(std::slice::from_ref(&pushed.mid), Some(40));
        self.check("a track was replaced");
    }

    fn prefer(&mut self) {
        let rids = json!(["f", "h"]);
        let pushed = self.publisher.call("publishSimulcast", &[json!(50), rids]).unwrap();
        let mid = self.viewer.call("watchRid", &[pushed[0].clone(), json!("h")]).unwrap();
        let mid = mid.as_str().unwrap().to_owned();
        for (rid, width) in [("h", 320), ("f", 640), ("h", 320)] {
            self.viewer.call("prefer", &[json!(rid)]).unwrap();
            shows(&self.viewer, &mid, width);
        }
        self.watching.expect(std::slice::from_ref(&mid), Some(50));
        self.check("an encoding was preferred");
        self.viewer.screenshot("partytracks");
    }

    /// The viewer's connection is lost, then the publisher's: partytracks makes new sessions.
    fn reconnect(&mut self) {
        self.viewer.call("reconnect", &[]).unwrap();
        self.check("the viewer reconnected");
        let pushed = self.publisher.call("reconnect", &[]).unwrap();
        let last = json!([pushed.as_array().unwrap().last().unwrap()]);
        self.watching = Watching::default();
        self.watch(&last, &[50]);
    }

    fn watch(&mut self, locators: &Value, senders: &[u64]) -> Vec<String> {
        let mids = strings(&self.viewer.call("watch", std::slice::from_ref(locators)).unwrap());
        for (mid, sender) in mids.iter().zip(senders) {
            self.watching.expect(std::slice::from_ref(mid), Some(*sender));
        }
        self.check("tracks were pulled");
        mids
    }

    fn check(&self, when: &str) {
        if let Err(reason) = self.watching.check(&self.viewer) {
            panic!("{when}: {reason}");
        }
    }
}

/// A pushed track, as either window calls it.
struct Pushed {
    id: Value,
    mid: String,
}
