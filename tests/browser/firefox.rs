//! Firefox under the WebDriver BiDi protocol, which it speaks itself on a WebSocket: no driver is
//! needed. Called by `pages`, for the tests in which two makes of browser meet. Ends the program
//! when dropped.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

use crate::pages::Browser;

/// Longest wait for a reply; longer than any script may run.
const TIMEOUT: Duration = Duration::from_secs(130);

/// No first-run pages, no updates, no reports; sound may start by itself; a page in the background
/// is not throttled; JSON is shown as text (the viewer for it lets no script reach the server); the
/// microphone is a tone, since without a sound device an AudioContext of Firefox never starts.
const PREFERENCES: &str = r#"
user_pref("app.update.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("devtools.jsonview.enabled", false);
user_pref("dom.min_background_timeout_value", 10);
user_pref("dom.timeout.enable_budget_timer_throttling", false);
user_pref("extensions.update.enabled", false);
user_pref("media.autoplay.blocking_policy", 0);
user_pref("media.autoplay.default", 0);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("media.navigator.audio.fake_frequency", 1000);
user_pref("media.navigator.permission.disabled", true);
user_pref("media.navigator.streams.fake", true);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "http://127.0.0.1:9");
user_pref("toolkit.telemetry.enabled", false);
"#;

/// A running Firefox; None, and a word about it, when none is installed.
pub(crate) fn installed() -> Option<Rc<Firefox>> {
    let found = Firefox::start();
    if found.is_none() {
        println!("SKIPPED: no Firefox; install the package firefox-esr (Ubuntu: firefox)");
    }
    found.map(Rc::new)
}

/// A running Firefox.
pub(crate) struct Firefox {
    process: Child,
    socket: RefCell<WebSocket<MaybeTlsStream<TcpStream>>>,
    id: Cell<u64>,
    _profile: TempDir,
}

impl Firefox {
    /// Starts Firefox when it is installed.
    fn start() -> Option<Self> {
        let program = super::driver::find("FANFALL_FIREFOX", &["firefox-esr", "firefox"])?;
        let profile = tempfile::tempdir().unwrap();
        std::fs::write(profile.path().join("user.js"), PREFERENCES).unwrap();
        let mut process = spawn(&program, profile.path());
        let address = announced_address(&mut process).expect("Firefox names its BiDi address");
        let (socket, _) = tungstenite::connect(format!("{address}/session")).unwrap();
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        }
        let socket = RefCell::new(socket);
        let browser = Self { process, socket, id: Cell::new(0), _profile: profile };
        browser.command("session.new", json!({ "capabilities": {} })).expect("a BiDi session");
        Some(browser)
    }

    /// Sends a command and waits for its reply; events in between are not for us.
    fn command(&self, method: &str, params: Value) -> Result<Value, String> {
        let id = self.id.get() + 1;
        self.id.set(id);
        let text = json!({ "id": id, "method": method, "params": params }).to_string();
        let mut socket = self.socket.borrow_mut();
        socket.send(Message::text(text)).map_err(|error| format!("{method}: {error}"))?;
        loop {
            let message = socket.read().map_err(|error| format!("{method}: {error}"))?;
            let Ok(text) = message.to_text() else { continue };
            let Ok(reply) = serde_json::from_str::<Value>(text) else { continue };
            if reply["id"] == id {
                return match reply["type"].as_str() {
                    Some("success") => Ok(reply["result"].clone()),
                    _ => Err(format!("{method}: {reply}")),
                };
            }
        }
    }
}

impl Browser for Firefox {
    fn new_window(&self) -> String {
        let made = self.command("browsingContext.create", json!({ "type": "window" })).unwrap();
        made["context"].as_str().unwrap().to_owned()
    }

    fn navigate(&self, window: &str, url: &str) {
        let params = json!({ "context": window, "url": url, "wait": "complete" });
        self.command("browsingContext.navigate", params).unwrap();
    }

    fn script(&self, window: &str, script: &str, arguments: &[Value]) -> Result<Value, String> {
        // Values travel as JSON text in both directions.
        let function = format!(
            "(text) => new Promise((resolve) => {{\n\
               (function () {{ {script} }}).apply(window, [...JSON.parse(text), resolve]);\n\
             }}).then((value) => JSON.stringify(value === undefined ? null : value))"
        );
        let text = Value::from(arguments).to_string();
        let params = json!({
            "functionDeclaration": function,
            "target": { "context": window },
            "awaitPromise": true,
            "arguments": [{ "type": "string", "value": text }],
        });
        let reply = self.command("script.callFunction", params)?;
        let value = reply["result"]["value"].as_str().ok_or_else(|| reply.to_string())?;
        serde_json::from_str(value).map_err(|error| error.to_string())
    }

    fn resize(&self, window: &str, width: u32, height: u32) {
        let viewport = json!({ "width": width, "height": height });
        let params = json!({ "context": window, "viewport": viewport });
        self.command("browsingContext.setViewport", params).unwrap();
    }

    fn screenshot(&self, window: &str) -> String {
        let params = json!({ "context": window });
        let picture = self.command("browsingContext.captureScreenshot", params).unwrap();
        picture["data"].as_str().unwrap().to_owned()
    }
}

impl Drop for Firefox {
    fn drop(&mut self) {
        // Best effort: a browser that ends by itself leaves no child processes.
        let _ = self.command("browser.close", json!({}));
        for _ in 0..50 {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(program: &Path, profile: &Path) -> Child {
    Command::new(program)
        .args(["--headless", "--no-remote", "--remote-debugging-port", "0", "--profile"])
        .arg(profile)
        .env("MOZ_CRASHREPORTER_DISABLE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()))
}

/// Reads Firefox's messages up to the one that names its address.
fn announced_address(process: &mut Child) -> Option<String> {
    let mut lines = BufReader::new(process.stderr.take()?).lines();
    let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, address) = line.split_once("WebDriver BiDi listening on ")?;
        Some(address.trim().to_owned())
    });
    // The pipe is read on, so that the browser never waits for it.
    std::thread::spawn(move || lines.for_each(drop));
    address
}
