//! Pages after the public echo examples: one page publishes and pulls what it published, with one
//! session for each way, plain, with simulcast and with data channels.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::driver::Driver;
use crate::firefox;
use crate::pages::{Browser, until};
use crate::server::Server;
use crate::stack::{self, Site, Stack, Window};
use crate::talking;
use crate::watching::{Watching, strings};

/// The number in the page's marks; the one whose tone Firefox's microphone has.
const SENDER: u64 = stack::MICROPHONE;

#[test]
fn chromium_hears_its_echo() {
    echo(&(Rc::new(Driver::start()) as _), stack::direct);
}

#[test]
fn firefox_hears_its_echo() {
    if let Some(browser) = firefox::installed() {
        echo(&(browser as _), stack::direct_with_microphone);
    }
}

#[test]
fn chromium_chooses_the_encoding_of_its_echo() {
    echo_simulcast(&(Rc::new(Driver::start()) as _), stack::direct);
}

#[test]
fn firefox_chooses_the_encoding_of_its_echo() {
    if let Some(browser) = firefox::installed() {
        echo_simulcast(&(browser as _), stack::direct_with_microphone);
    }
}

fn echo(browser: &Rc<dyn Browser>, place: fn(&Server) -> Value) {
    let server = Server::start();
    let site = Site::start(&server);
    let window = Window::open(browser, &site, &place(&server));
    let published = window.call("publish", &[json!(SENDER)]).unwrap();
    watch(&window, &[published]);
    echo_datachannels(&window);
}

/// The page says something on a channel that it publishes in one session and pulls in another.
fn echo_datachannels(window: &Window) {
    let locator = window.call("speak", &[json!("echo")]).unwrap();
    window.call("listen", &[json!([locator])]).unwrap();
    let speech = talking::speech(SENDER, true);
    window.call("say", &[json!(speech)]).unwrap();
    talking::check(window, &[speech]).unwrap();
}

fn echo_simulcast(browser: &Rc<dyn Browser>, place: fn(&Server) -> Value) {
    let server = Server::start();
    let site = Site::start(&server);
    let window = Window::open(browser, &site, &place(&server));
    let options = json!({ "rids": ["f", "h", "q"], "width": 960, "height": 540 });
    let published = window.call("publish", &[json!(SENDER), options]).unwrap();
    let picture = published[1].clone();
    let wish = |rid: &str| json!({ "preferredRid": rid });
    let mids = watch(&window, &[json!([picture]), wish("q")]);
    shows(&window, &mids[0], 240);
    for (rid, width) in [("f", 960), ("h", 480)] {
        window.call("prefer", &[json!(mids[0]), picture.clone(), wish(rid)]).unwrap();
        shows(&window, &mids[0], width);
    }
}

/// Pulls, and sees and hears the page's own marks.
fn watch(window: &Window, arguments: &[Value]) -> Vec<String> {
    let mids = strings(&window.call("watch", arguments).unwrap());
    let mut watching = Watching::default();
    watching.expect(&mids, Some(SENDER));
    watching.check(window).unwrap();
    mids
}

/// Waits for a marked picture of a width. An encoding may be some pixels smaller than asked for.
pub(crate) fn shows(window: &Window, mid: &str, width: i64) {
    until(&format!("a picture {width} wide"), Duration::from_secs(25), || {
        let seen = window.call("seen", &[]).unwrap();
        let report = &seen[mid];
        let near = report["width"].as_i64().is_some_and(|seen| (seen - width).abs() < 16);
        (near && report["mark"].is_object()).then_some(())
    });
}
