//! Pages after the public echo examples: one page publishes and pulls what it published, with one
//! session for each way, plain and with simulcast.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::driver::Driver;
use crate::firefox;
use crate::pages::{Browser, until};
use crate::server::Server;
use crate::stack::{self, Site, Stack, Window};
use crate::watching::{Watching, strings};

/// The number in the page's marks.
const SENDER: u64 = 9;

#[test]
fn chromium_hears_its_echo() {
    echo(&(Rc::new(Driver::start()) as _));
}

#[test]
fn firefox_hears_its_echo() {
    if let Some(browser) = firefox::installed() {
        echo(&(browser as _));
    }
}

#[test]
fn chromium_chooses_the_encoding_of_its_echo() {
    echo_simulcast(&(Rc::new(Driver::start()) as _));
}

#[test]
fn firefox_chooses_the_encoding_of_its_echo() {
    if let Some(browser) = firefox::installed() {
        echo_simulcast(&(browser as _));
    }
}

fn echo(browser: &Rc<dyn Browser>) {
    let server = Server::start();
    let site = Site::start(&server);
    let window = Window::open(browser, &site, &stack::direct(&server));
    let published = window.call("publish", &[json!(SENDER)]).unwrap();
    watch(&window, &[published]);
}

fn echo_simulcast(browser: &Rc<dyn Browser>) {
    let server = Server::start();
    let site = Site::start(&server);
    let window = Window::open(browser, &site, &stack::direct(&server));
    let options = json!({ "rids": ["f", "h", "q"], "width": 640, "height": 360 });
    let published = window.call("publish", &[json!(SENDER), options]).unwrap();
    let picture = published[1].clone();
    let wish = |rid: &str| json!({ "preferredRid": rid });
    let mids = watch(&window, &[json!([picture]), wish("q")]);
    shows(&window, &mids[0], 160);
    for (rid, width) in [("f", 640), ("h", 320)] {
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
