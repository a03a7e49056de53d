//! One client of the server, whatever it is written in: a program that takes its commands as lines
//! (control.py, control.js), or a window of a browser (page.js). Called by the tests.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::driver;
use crate::pages::{Browser, Page};
use crate::server::{APP, SECRET, Server};

/// Longest run of one command.
const COMMAND_MAX: Duration = Duration::from_secs(40);

/// The sender's number that Firefox's fake microphone has: its tone is of 1,000 Hz (marks.py).
pub(crate) const MICROPHONE: u64 = 15;

/// What takes commands.
pub(crate) trait Stack {
    /// Runs one command of peer.js.
    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, String>;
}

/// A program that plays a client.
pub(crate) struct Program {
    process: Child,
    commands: RefCell<ChildStdin>,
    replies: Receiver<String>,
}

impl Program {
    /// Starts `script` with the interpreter that `interpreter` names.
    pub(crate) fn start(interpreter: PathBuf, script: &str, server: &Server) -> Self {
        let mut process = Command::new(&interpreter)
            .arg(folder().join(script))
            .env("FANFALL_API", api(server))
            .env("FANFALL_SECRET", SECRET)
            .env("FANFALL_PYTHON", python())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", interpreter.display()));
        let commands = RefCell::new(process.stdin.take().unwrap());
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (sender, replies) = channel();
        std::thread::spawn(move || {
            // Ends with the program, or with the test.
            let _ = lines.map_while(Result::ok).try_for_each(|line| sender.send(line));
        });
        Self { process, commands, replies }
    }

    /// The next line that the program prints.
    pub(crate) fn line(&self) -> Result<String, String> {
        self.replies.recv_timeout(COMMAND_MAX).map_err(|error| format!("no reply: {error}"))
    }
}

impl Stack for Program {
    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        let command = json!({ "call": name, "arguments": arguments });
        writeln!(self.commands.borrow_mut(), "{command}").map_err(|error| error.to_string())?;
        let line = self.line().map_err(|error| format!("{name}: {error}"))?;
        let reply: Value = serde_json::from_str(&line).map_err(|_| format!("{name}: {line}"))?;
        match reply["error"].as_str() {
            Some(reason) => Err(format!("{name}: {reason}")),
            None => Ok(reply["value"].clone()),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A window with page.js in it.
pub(crate) struct Window(Page);

impl Window {
    /// Opens the application's page and starts the client of `place` in it.
    pub(crate) fn open(browser: &Rc<dyn Browser>, site: &Site, place: &Value) -> Self {
        let page = Page::blank(browser);
        page.navigate(&site.url);
        page.run("client.start(args[0]);", std::slice::from_ref(place)).unwrap();
        Self(page)
    }

    /// Writes a picture of the window to the folder for screenshots, if there is one.
    pub(crate) fn screenshot(&self, name: &str) {
        self.0.screenshot(name);
    }
}

impl Stack for Window {
    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        let arguments = [json!(name), Value::from(arguments)];
        self.0.run("return client.call(args[0], ...args[1]);", &arguments)
    }
}

/// The application's own server, site.js.
pub(crate) struct Site {
    url: String,
    _program: Program,
}

impl Site {
    /// Starts it and waits for its address.
    pub(crate) fn start(server: &Server) -> Self {
        let program = Program::start(node(), "site.js", server);
        let url = program.line().expect("the site names its address");
        Self { url, _program: program }
    }
}

/// Where a client of the API finds it.
pub(crate) fn direct(server: &Server) -> Value {
    json!({ "api": api(server), "secret": SECRET })
}

/// The same for a browser whose sound comes from its fake microphone.
pub(crate) fn direct_with_microphone(server: &Server) -> Value {
    json!({ "api": api(server), "secret": SECRET, "microphone": true })
}

/// The API's URL down to the app.
pub(crate) fn api(server: &Server) -> String {
    server.url(&format!("/v1/apps/{APP}"))
}

/// Where the scripts are.
pub(crate) fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "clients"].iter().collect()
}

/// Node.
pub(crate) fn node() -> PathBuf {
    driver::find("FANFALL_NODE", &["node", "nodejs"]).expect("Node is installed")
}

/// The Python that has aiortc.
pub(crate) fn aiortc() -> PathBuf {
    let named = std::env::var_os("FANFALL_AIORTC").map(PathBuf::from);
    named.unwrap_or_else(|| folder().join("venv/bin/python"))
}

/// The Python that has GStreamer's bindings: the system's own.
pub(crate) fn python() -> OsString {
    std::env::var_os("FANFALL_PYTHON").unwrap_or_else(|| "/usr/bin/python3".into())
}
