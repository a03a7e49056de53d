//! What the tests are written with: a server, a browser, and windows in which client.js runs.

use std::fmt::Display;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::driver::Driver;
use crate::server::{APP, SECRET, Server};

/// The client that is injected into every page.
const CLIENT: &str = concat!(
    include_str!("cipher.js"),
    include_str!("client.js"),
    include_str!("sampler.js"),
    include_str!("channels.js"),
    include_str!("invited.js"),
);

/// What a browser must be able to do.
pub(crate) trait Browser {
    /// Opens another window and returns its handle.
    fn new_window(&self) -> String;

    /// Loads a page in a window and waits until it is there.
    fn navigate(&self, window: &str, url: &str);

    /// Runs a script whose last argument is a callback that takes its result.
    fn script(&self, window: &str, script: &str, arguments: &[Value]) -> Result<Value, String>;

    /// Gives a window's page a size in CSS pixels: less than a window can have, too.
    fn resize(&self, window: &str, width: u32, height: u32);

    /// A picture of a window, PNG in base64.
    fn screenshot(&self, window: &str) -> String;
}

/// A server and a browser.
pub(crate) struct Stage {
    // Dropped in this order: the browser first, so that it leaves its sessions in good order.
    browser: Rc<dyn Browser>,
    pub(crate) server: Server,
}

impl Stage {
    /// Starts both.
    pub(crate) fn start() -> Self {
        let server = Server::start();
        Self::of(server, Rc::new(Driver::start()))
    }

    /// Of what was started already.
    pub(crate) fn of(server: Server, browser: Rc<dyn Browser>) -> Self {
        Self { browser, server }
    }

    /// A new window with the client, of the server's origin but without its page.
    pub(crate) fn window(&self) -> Page {
        Page::of(&self.browser, &self.server)
    }

    /// A new window on one of the server's pages, without the client.
    pub(crate) fn page(&self, path: &str) -> Page {
        let page = Page::open(&self.browser);
        page.navigate(&self.server.url(path));
        page
    }

    /// A window that publishes.
    pub(crate) fn publisher(&self, options: &Value) -> (Page, Published) {
        let page = self.window();
        let published = Published(page.call("publish", std::slice::from_ref(options)));
        (page, published)
    }

    /// A window that watches all tracks of a publisher.
    pub(crate) fn viewer(&self, published: &Published) -> (Page, Value) {
        let page = self.window();
        let watching = page.call("watch", &[published.locators()]);
        (page, watching)
    }
}

/// What a page published: `{session, sessionId, tracks: [{trackName, mid, kind}], connectMs}`.
pub(crate) struct Published(pub(crate) Value);

impl Published {
    /// The API's id of the session.
    pub(crate) fn session_id(&self) -> &str {
        self.0["sessionId"].as_str().unwrap()
    }

    /// What a viewer pulls: every track.
    pub(crate) fn locators(&self) -> Value {
        let tracks = self.0["tracks"].as_array().unwrap();
        let locator = |track: &Value| json!([self.session_id(), track["trackName"]]);
        tracks.iter().map(locator).collect()
    }
}

/// A window.
pub(crate) struct Page {
    browser: Rc<dyn Browser>,
    window: String,
}

impl Page {
    fn open(browser: &Rc<dyn Browser>) -> Self {
        Self { browser: Rc::clone(browser), window: browser.new_window() }
    }

    /// A window with the client, without a server.
    pub(crate) fn blank(browser: &Rc<dyn Browser>) -> Self {
        let page = Self::open(browser);
        page.inject(&Value::Null);
        page
    }

    /// A window with the client, of a server's origin but without its page.
    pub(crate) fn of(browser: &Rc<dyn Browser>, server: &Server) -> Self {
        let page = Self::open(browser);
        page.load_client(server);
        page
    }

    /// Loads a page.
    pub(crate) fn navigate(&self, url: &str) {
        self.browser.navigate(&self.window, url);
    }

    /// Loads a bare page of the server's origin and the client into it: also what a reload is.
    pub(crate) fn load_client(&self, server: &Server) {
        self.navigate(&server.url("/healthz"));
        self.inject(&json!({ "app": APP, "secret": SECRET }));
    }

    fn inject(&self, config: &Value) {
        let script = format!("{CLIENT}\nfan.configure(arguments[0]); arguments[1](null);");
        self.browser.script(&self.window, &script, std::slice::from_ref(config)).unwrap();
    }

    /// Calls a function of the client and waits for its promise; a rejection fails the test.
    pub(crate) fn call(&self, function: &str, arguments: &[Value]) -> Value {
        match self.try_call(function, arguments) {
            Ok(value) => value,
            Err(reason) => panic!("fan.{function}: {reason}"),
        }
    }

    /// The same; a rejection is an error.
    pub(crate) fn try_call(&self, function: &str, arguments: &[Value]) -> Result<Value, String> {
        self.run(&format!("return fan.{function}(...args);"), arguments)
    }

    /// Runs the body of an async function of `args` and returns its result.
    pub(crate) fn run(&self, body: &str, arguments: &[Value]) -> Result<Value, String> {
        let script = format!(
            "const done = arguments[arguments.length - 1];\n\
             const args = Array.from(arguments).slice(0, -1);\n\
             (async () => {{ {body} }})().then(\n\
               (value) => done({{ value: value === undefined ? null : value }}),\n\
               (error) => done({{ error: `${{error}}\n${{(error && error.stack) || ''}}` }}));"
        );
        let result = self.browser.script(&self.window, &script, arguments)?;
        match result["error"].as_str() {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(result["value"].clone()),
        }
    }

    /// Watches all tracks of a publisher, with options (client.js).
    pub(crate) fn watch(&self, published: &Published, options: &Value) -> Value {
        self.call("watch", &[published.locators(), options.clone()])
    }

    /// A summary of a session's statistics; see client.js.
    pub(crate) fn stats(&self, session: &Value) -> Value {
        self.call("stats", std::slice::from_ref(session))
    }

    /// Frames decoded and audio packets received over all receiving sections.
    pub(crate) fn received(&self, session: &Value) -> Received {
        let stats = self.stats(session);
        let sum = |kind: &str, field: &str| {
            let receiving = stats["in"].as_array().unwrap().iter();
            let fields = receiving.filter(|rtp| rtp["kind"] == kind).map(|rtp| &rtp[field]);
            fields.filter_map(Value::as_f64).sum()
        };
        Received { frames: sum("video", "frames"), audio: sum("audio", "packets") }
    }

    /// Gives the page a size in CSS pixels.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        self.browser.resize(&self.window, width, height);
    }

    /// Writes a picture of the window to the folder for screenshots, if there is one.
    pub(crate) fn screenshot(&self, name: &str) {
        let Some(folder) = std::env::var_os("FANFALL_SCREENSHOTS") else { return };
        let folder = std::path::PathBuf::from(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let picture = decode_base64(&self.browser.screenshot(&self.window));
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }
}

/// What a viewer has got so far.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Received {
    /// Pictures decoded.
    pub(crate) frames: f64,
    /// Audio packets.
    pub(crate) audio: f64,
}

/// Waits until `check` gives a value; fails the test after `limit`.
pub(crate) fn until<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Prints one measured figure.
pub(crate) fn figure(name: &str, value: impl Display) {
    println!("figure: {name}: {value}");
}

/// Standard base64 (RFC 4648 section 4) as WebDriver sends it.
fn decode_base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}
