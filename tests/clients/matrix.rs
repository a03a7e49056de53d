//! Every client publishes and subscribes, closes and pulls again, and talks on data channels, in one call
//! of all of them: each watches the first one (Chromium) and its neighbour, the first one watches all.

use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::driver::{self, Driver};
use crate::pages::{Browser, figure};
use crate::server::Server;
use crate::stack::{self, Program, Site, Stack, Window};
use crate::table::{Column, Row};
use crate::watching::{Watching, strings};
use crate::{firefox, table, talking};

/// A client of the call.
struct Client {
    row: Row,
    /// What its marks say.
    sender: u64,
    stack: Box<dyn Stack>,
    /// What it published, as `watch` takes it.
    published: Vec<Value>,
    watching: Watching,
    /// What it pulled, in order.
    pulled: Vec<Pulled>,
}

/// What one client published, as another one has pulled it: its sound, then its picture.
struct Pulled {
    sender: u64,
    locators: Vec<Value>,
    mids: Vec<String>,
}

/// A client without an interface for data channels of its own.
const NO_CHANNELS: &str = "partytracks";

/// Clients that send an empty message without the byte that RFC 8831 section 6.6 has for it: werift's
/// does not come, webrtcbin's holds up all that is sent after it. They do receive empty messages.
const NO_EMPTY_MESSAGES: [&str; 2] = ["GStreamer webrtcbin", "werift"];

#[test]
fn every_client_publishes_and_subscribes() {
    let server = Server::start();
    let site = Site::start(&server);
    let mut clients = clients(&server, &site);
    for client in &mut clients {
        let made = client.publish();
        client.note(Column::Publish, made);
    }
    for index in 0..clients.len() {
        watch_others(&mut clients, index);
    }
    check(&mut clients, Column::Subscribe);
    talk(&mut clients);

    for client in &mut clients {
        let closed = client.close_first();
        client.note(Column::Close, closed);
    }
    check(&mut clients, Column::Close);
    for client in &mut clients {
        let pulled = client.pull_first_again();
        client.note(Column::Repull, pulled);
    }
    check(&mut clients, Column::Repull);
    withdraw_pictures(&mut clients);
    check(&mut clients, Column::Close);

    let rows: Vec<Row> = clients.into_iter().map(|client| client.row).collect();
    let table = table::markdown(&rows);
    println!("{table}");
    if let Some(file) = std::env::var_os("FANFALL_MATRIX") {
        std::fs::write(file, &table).unwrap();
    }
    let failures: Vec<String> = rows.iter().flat_map(Row::failures).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// All of them, running; the first one is Chromium.
fn clients(server: &Server, site: &Site) -> Vec<Client> {
    let chromium: Rc<dyn Browser> = Rc::new(Driver::start());
    let direct = stack::direct(server);
    let window = |browser: &Rc<dyn Browser>, place: &Value| -> Box<dyn Stack> {
        Box::new(Window::open(browser, site, place))
    };
    let program = |interpreter, script| {
        Box::new(Program::start(interpreter, script, server)) as Box<dyn Stack>
    };
    let python = || stack::python().into();
    let mut found =
        vec![("Chromium", browser_version("FANFALL_CHROMIUM"), window(&chromium, &direct))];
    if let Some(firefox) = firefox::installed() {
        let browser: Rc<dyn Browser> = firefox;
        found.push((
            "Firefox",
            browser_version("FANFALL_FIREFOX"),
            window(&browser, &stack::direct_with_microphone(server)),
        ));
    }
    let place = json!({ "prefix": "/partytracks" });
    found.push(("partytracks", package_version("partytracks"), window(&chromium, &place)));
    for (name, stack) in [
        ("aiortc", program(stack::aiortc(), "aiortc_client.py")),
        ("GStreamer webrtcbin", program(python(), "gstreamer_client.py")),
        ("werift", program(stack::node(), "werift_client.js")),
        ("@roamhq/wrtc", program(stack::node(), "wrtc_client.js")),
    ] {
        let version = stack.call("version", &[]).unwrap();
        found.push((name, version.as_str().unwrap().to_owned(), stack));
    }
    let wanted = std::env::var("FANFALL_CLIENTS").unwrap_or_default();
    found.retain(|(name, ..)| wanted.is_empty() || wanted.split(',').any(|one| one == *name));
    found
        .into_iter()
        .zip(1..)
        .map(|((name, version, stack), number)| Client {
            row: row(name, &version),
            sender: if name == "Firefox" { stack::MICROPHONE } else { number },
            stack,
            published: Vec::new(),
            watching: Watching::default(),
            pulled: Vec::new(),
        })
        .collect()
}

fn row(name: &'static str, version: &str) -> Row {
    let row = Row::new(name, version);
    if name == NO_CHANNELS { row.lacks(Column::Data) } else { row }
}

/// Whom a client watches: the first one all others, the others the first one and their neighbour.
fn watched(index: usize, count: usize) -> Vec<usize> {
    let neighbour = if index + 1 == count { 1 } else { index + 1 };
    if index == 0 {
        (1..count).collect()
    } else if neighbour == index {
        vec![0]
    } else {
        vec![0, neighbour]
    }
}

fn watch_others(clients: &mut [Client], index: usize) {
    for other in watched(index, clients.len()) {
        let (sender, locators) = (clients[other].sender, clients[other].published.clone());
        let watched = clients[index].watch(sender, &locators);
        clients[index].note(Column::Subscribe, watched);
    }
}

/// Looks at what every client sees. What is wrong with a picture may be its sender's fault; the table
/// blames who watches, the reason names both.
fn check(clients: &mut [Client], column: Column) {
    for client in clients {
        let seen = client.watching.check(&*client.stack);
        client.note(column, seen);
    }
}

/// Every client publishes a channel and pulls those of whom it watches; then all speak, and what each one
/// hears is compared.
fn talk(clients: &mut [Client]) {
    let mut talkers: Vec<&mut Client> =
        clients.iter_mut().filter(|client| client.row.has(Column::Data)).collect();
    let mut locators = Vec::new();
    for client in &mut talkers {
        let published = client.stack.call("speak", &[json!(client.row.name())]);
        locators.push(published.clone().ok());
        client.note(Column::Data, published.map(drop));
    }
    let heard_by = |index| {
        watched(index, locators.len()).into_iter().filter(|&other| locators[other].is_some())
    };
    for (index, client) in talkers.iter_mut().enumerate() {
        let wanted = heard_by(index).map(|other| locators[other].clone());
        let pulled = client.stack.call("listen", &[wanted.collect()]).map(drop);
        client.note(Column::Data, pulled);
    }
    for client in &mut talkers {
        let said = client.stack.call("say", &[client.speech().into()]).map(drop);
        client.note(Column::Data, said);
    }
    let speeches: Vec<Vec<Value>> = talkers.iter().map(|client| client.speech()).collect();
    for (index, client) in talkers.iter_mut().enumerate() {
        let expected: Vec<Vec<Value>> =
            heard_by(index).map(|other| speeches[other].clone()).collect();
        let heard = talking::check(&*client.stack, &expected);
        client.note(Column::Data, heard);
    }
}

/// Every client closes its picture; its sound goes on.
fn withdraw_pictures(clients: &mut [Client]) {
    for client in clients {
        let picture = client.published.iter().find(|track| track["kind"] == "video");
        let mid = picture.map_or(Value::Null, |track| track["mid"].clone());
        let closed = client.stack.call("unpublish", &[json!([mid])]).map(drop);
        client.note(Column::Close, closed);
        for Pulled { mids, .. } in &client.pulled {
            client.watching.expect(&mids[1..], None);
        }
    }
}

impl Client {
    fn publish(&mut self) -> Result<(), String> {
        let published = self.stack.call("publish", &[json!(self.sender)])?;
        self.published = published.as_array().cloned().unwrap_or_default();
        Ok(())
    }

    fn watch(&mut self, sender: u64, locators: &[Value]) -> Result<(), String> {
        let mids = strings(&self.stack.call("watch", &[Value::from(locators)])?);
        self.watching.expect(&mids, Some(sender));
        self.pulled.push(Pulled { sender, locators: locators.to_vec(), mids });
        Ok(())
    }

    /// Closes its first sound: the tag of the bundle, where the connection only receives. Firefox and
    /// werift close the picture: they do not follow when the tag moves (ARCHITECTURE.md, section 9).
    fn close_first(&mut self) -> Result<(), String> {
        let mids = &self.pulled.first().ok_or("nothing is watched")?.mids;
        let closed = vec![mids[self.closes()].clone()];
        self.stack.call("unwatch", &[json!(closed)])?;
        self.watching.expect(&closed, None);
        Ok(())
    }

    fn closes(&self) -> usize {
        usize::from(["Firefox", "werift"].contains(&self.row.name()))
    }

    fn pull_first_again(&mut self) -> Result<(), String> {
        let Pulled { sender, locators, .. } = self.pulled.first().ok_or("nothing is watched")?;
        let locator = json!([locators[self.closes()]]);
        let mids = strings(&self.stack.call("watch", &[locator])?);
        let again = mids.first().ok_or("pulled again without a section")?.clone();
        self.watching.expect(&mids, Some(*sender));
        let closes = self.closes();
        self.pulled[0].mids[closes] = again;
        Ok(())
    }

    /// What it says on its channel.
    fn speech(&self) -> Vec<Value> {
        talking::speech(self.sender, !NO_EMPTY_MESSAGES.contains(&self.row.name()))
    }

    fn note(&mut self, column: Column, result: Result<(), String>) {
        if let Err(reason) = &result {
            figure(&format!("{} {column:?} failed", self.row.name()), reason);
        }
        self.row.note(column, result);
    }
}

/// What a browser's program says of its version.
fn browser_version(variable: &str) -> String {
    let names: &[&str] =
        if variable == "FANFALL_CHROMIUM" { &["chromium"] } else { &["firefox-esr", "firefox"] };
    let program = driver::find(variable, names).unwrap();
    let output = Command::new(program).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let version =
        text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    version.unwrap_or_default().to_owned()
}

/// The version of an npm package that is installed.
fn package_version(name: &str) -> String {
    let file = stack::folder().join("node_modules").join(Path::new(name)).join("package.json");
    let manifest: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    manifest["version"].as_str().unwrap().to_owned()
}
