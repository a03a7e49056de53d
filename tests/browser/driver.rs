//! A browser under the W3C WebDriver protocol: starts chromedriver, which starts Chromium with a
//! fresh profile; opens windows and runs scripts in them. Called by `pages`. Ends both programs
//! when dropped.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http;
use crate::pages::Browser;

/// Longest run of one script, in milliseconds.
const SCRIPT_MS_MAX: u64 = 120_000;

/// No sandbox: the tests may run as root. No network of its own: nothing but the server is
/// reached. No throttling: a window in the background paints and counts like the one in front.
const FLAGS: [&str; 17] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1000,900",
];

/// A running browser.
pub(crate) struct Driver {
    process: Child,
    address: SocketAddr,
    session: String,
    /// The window that commands go to.
    current: RefCell<String>,
    _profile: TempDir,
}

impl Driver {
    /// Starts a browser with one empty window.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same; pages of `origin` may do what otherwise pages of the loopback address may.
    pub(crate) fn trusting(origin: &str) -> Self {
        Self::start_with(&[format!("--unsafely-treat-insecure-origin-as-secure={origin}")])
    }

    fn start_with(more_flags: &[String]) -> Self {
        let mut process = Command::new(program("FANFALL_CHROMEDRIVER", "chromedriver"))
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts; `cargo xtask test --only browser` installs it");
        let port = announced_port(&mut process).expect("chromedriver names its port");
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Self {
            process,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
            current: RefCell::default(),
            _profile: profile,
        };
        driver.open_session(more_flags);
        driver
    }

    fn open_session(&mut self, more_flags: &[String]) {
        let profile = format!("--user-data-dir={}", self._profile.path().display());
        let more_flags = more_flags.iter().chain([&profile]).map(String::as_str);
        let flags: Vec<&str> = FLAGS.into_iter().chain(more_flags).collect();
        let options = json!({
            "binary": program("FANFALL_CHROMIUM", "chromium"),
            "args": flags,
        });
        let body = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "timeouts": { "script": SCRIPT_MS_MAX, "pageLoad": 30_000 },
        }}});
        let value = self.send("POST", "/session", &body).expect("Chromium starts");
        self.session = value["sessionId"].as_str().unwrap().to_owned();
        *self.current.borrow_mut() = self.command("GET", "window", &json!({})).to_string();
    }

    fn switch(&self, window: &str) {
        if *self.current.borrow() != window {
            self.command("POST", "window", &json!({ "handle": window }));
            *self.current.borrow_mut() = window.to_owned();
        }
    }

    /// One command of the session; a refused command is a failed test.
    fn command(&self, method: &str, name: &str, body: &Value) -> Value {
        match self.send(method, &format!("/session/{}/{name}", self.session), body) {
            Ok(value) => value,
            Err(reason) => panic!("WebDriver {method} {name}: {reason}"),
        }
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let text = if method == "POST" { body.to_string() } else { String::new() };
        let (status, reply) = http::request(self.address, method, path, &text)?;
        let reply: Value = serde_json::from_str(&reply)
            .map_err(|error| format!("reply {status} is no JSON ({error}): {reply}"))?;
        let value = reply["value"].clone();
        if status == 200 { Ok(value) } else { Err(format!("status {status}: {value}")) }
    }
}

impl Browser for Driver {
    fn new_window(&self) -> String {
        let value = self.command("POST", "window/new", &json!({ "type": "window" }));
        value["handle"].as_str().unwrap().to_owned()
    }

    fn navigate(&self, window: &str, url: &str) {
        self.switch(window);
        self.command("POST", "url", &json!({ "url": url }));
    }

    fn script(&self, window: &str, script: &str, arguments: &[Value]) -> Result<Value, String> {
        self.switch(window);
        let body = json!({ "script": script, "args": arguments });
        self.send("POST", &format!("/session/{}/execute/async", self.session), &body)
    }

    fn resize(&self, window: &str, width: u32, height: u32) {
        self.switch(window);
        let params =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": params });
        self.command("POST", "goog/cdp/execute", &command);
    }

    fn screenshot(&self, window: &str) -> String {
        self.switch(window);
        self.command("GET", "screenshot", &json!({})).as_str().unwrap().to_owned()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Best effort: ends the browser; the driver is ended in any case.
        let _ = self.send("DELETE", &format!("/session/{}", self.session), &json!({}));
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program that the environment names, else the first of the usual names on the search path
/// (chromedriver wants an absolute path of the browser).
pub(crate) fn find(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let places = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.into_iter().find(|file| file.is_file())
}

fn program(variable: &str, name: &str) -> PathBuf {
    let missing = || panic!("no program `{name}`: `cargo xtask test --only browser` installs it");
    find(variable, &[name]).unwrap_or_else(missing)
}

/// Reads chromedriver's output up to the line that names its port.
fn announced_port(process: &mut Child) -> Option<u16> {
    let mut lines = BufReader::new(process.stdout.take()?).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    // The pipe is read on, so that the driver never waits for it.
    std::thread::spawn(move || lines.for_each(drop));
    port
}
