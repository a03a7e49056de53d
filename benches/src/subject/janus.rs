//! Janus from the system's package, VideoRoom plugin, over its HTTP API: one session of the API, one
//! handle per client, events by long polling. `start` writes its configuration into a folder of its
//! own: one event loop, no limits on rates, everything else as packaged.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::signal::{self, Client, Http, Signals, Wish};
use super::{Kind, Subject};
use crate::Outcome;
use crate::client::sdp::{self, Local, Remote};

/// Longest time until its API answers.
const START: Duration = Duration::from_secs(20);
/// Ports of its media.
const MEDIA_PORTS: &str = "20000-60000";

/// The package's program, if it is there.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join("janus")).find(|file| file.is_file())
}

/// Starts the server. Errors: the package is not installed, or the program does not come up.
pub(super) fn start() -> Outcome<Subject> {
    let program = program().ok_or("Janus is not installed")?;
    let files = tempfile::tempdir()?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    configure(files.path(), port)?;
    // Ends with the thread that started it, however that ends.
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(&program)
        .arg(format!("--configs-folder={}", files.path().display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let http = Http::new(format!("http://127.0.0.1:{port}/janus"), None);
    let signals = Signals::start(async move || Ok(signal::Api::Janus(Api::connect(http).await?)));
    let signals = match signals {
        Ok(signals) => signals,
        Err(error) => {
            child.kill()?;
            child.wait()?;
            return Err(error);
        }
    };
    let description = format!("{}, one event loop", version(&program));
    Ok(Subject { child, description, signals, client_ip: host_ip()?, _files: Some(files) })
}

/// The host's own address: Janus never uses the loopback interface for media.
fn host_ip() -> Outcome<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // Chooses a route, sends nothing.
    socket.connect("192.0.2.1:9").map_err(|_| "Janus needs an address that is not loopback")?;
    Ok(socket.local_addr()?.ip())
}

/// The program's own word.
fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    // "Janus version: 1102 (1.1.2)"
    let version = text.lines().find_map(|line| line.split_once('(')?.1.split_once(')'));
    format!("Janus {}", version.map_or("of unknown version", |(version, _)| version))
}

fn configure(folder: &Path, port: u16) -> Outcome<()> {
    let main = format!(
        "general: {{ configs_folder = \"{0}\"; debug_level = 1; event_loops = 1; }}\n\
         media: {{ rtp_port_range = \"{MEDIA_PORTS}\" }}\n\
         plugins: {{ disable = \"{1}\" }}\n\
         transports: {{ disable = \"{2}\" }}\n",
        folder.display(),
        "libjanus_audiobridge.so,libjanus_duktape.so,libjanus_echotest.so,libjanus_lua.so,\
         libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_streaming.so,\
         libjanus_textroom.so,libjanus_videocall.so,libjanus_voicemail.so",
        "libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_rabbitmq.so,\
         libjanus_websockets.so"
    );
    std::fs::write(folder.join("janus.jcfg"), main)?;
    let http = format!(
        "general: {{ json = \"compact\"; base_path = \"/janus\"; http = true; port = {port}; \
         ip = \"127.0.0.1\"; https = false }}\nadmin: {{ admin_http = false }}\n"
    );
    std::fs::write(folder.join("janus.transport.http.jcfg"), http)?;
    std::fs::write(folder.join("janus.plugin.videoroom.jcfg"), "general: { }\n")?;
    Ok(())
}

/// One session of the API.
pub(super) struct Api {
    http: Http,
    session: String,
    /// A handle that makes rooms.
    keeper: String,
    rooms: RefCell<HashSet<usize>>,
    handles: RefCell<HashMap<Client, String>>,
    /// Who waits for the event of which transaction.
    waiting: RefCell<HashMap<String, oneshot::Sender<Value>>>,
    transaction: Cell<u64>,
}

impl Api {
    /// Waits for the API and makes the session.
    async fn connect(http: Http) -> Outcome<Rc<Self>> {
        let end = Instant::now() + START;
        let create = json!({ "janus": "create", "transaction": "create" });
        let reply = loop {
            match http.call("POST", "", Some(&create)).await {
                Ok(reply) => break reply,
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let session = format!("/{}", id_of(&reply)?);
        let mut api = Self {
            http,
            session,
            keeper: String::new(),
            rooms: RefCell::default(),
            handles: RefCell::default(),
            waiting: RefCell::default(),
            transaction: Cell::new(0),
        };
        api.keeper = api.attach().await?;
        let api = Rc::new(api);
        tokio::task::spawn_local(Rc::clone(&api).listen());
        Ok(api)
    }

    /// Takes events until the server is gone.
    async fn listen(self: Rc<Self>) {
        let path = format!("{}?maxev=10", self.session);
        while let Ok(reply) = self.http.call("GET", &path, None).await {
            let one = [reply];
            let events = one[0].as_array().map_or(one.as_slice(), Vec::as_slice);
            for event in events.iter().filter(|event| event["janus"] == "event") {
                let transaction = event["transaction"].as_str().unwrap_or_default();
                if let Some(waiter) = self.waiting.borrow_mut().remove(transaction) {
                    let _ = waiter.send(event.clone());
                }
            }
        }
    }

    /// Joins: attach, then the messages of the plugin for a publisher or a subscriber.
    pub(super) async fn join(&self, wish: Wish) -> Outcome<Remote> {
        match wish {
            Wish::Publish { number, room, local, sections } => {
                self.make_room(room).await?;
                let handle = self.attach().await?;
                self.handles.borrow_mut().insert(Client::Publisher(number), handle.clone());
                let body = json!({
                    "request": "joinandconfigure", "ptype": "publisher", "room": room + 1,
                    "id": number + 1,
                });
                let offer = json!({ "type": "offer", "sdp": sdp::offer(&local, &sections) });
                let event = self.message(&handle, &body, Some(offer)).await?;
                description(&event)
            }
            Wish::Subscribe { number, room, local, of, .. } => {
                let handle = self.attach().await?;
                self.handles.borrow_mut().insert(Client::Subscriber(number), handle.clone());
                self.subscribe(&handle, room, &local, &of).await
            }
            Wish::Leave(_) => Err("leaving is no joining".into()),
        }
    }

    /// The plugin offers, the client answers.
    async fn subscribe(
        &self,
        handle: &str,
        room: usize,
        local: &Local,
        of: &[usize],
    ) -> Outcome<Remote> {
        let feeds: Vec<Value> = of.iter().map(|number| json!({ "feed": number + 1 })).collect();
        let body = json!({
            "request": "join", "ptype": "subscriber", "room": room + 1, "streams": feeds,
        });
        let remote = description(&self.message(handle, &body, None).await?)?;
        let answer = json!({ "type": "answer", "sdp": sdp::answer(local, &remote) });
        self.message(handle, &json!({ "request": "start" }), Some(answer)).await?;
        Ok(remote)
    }

    /// Forgets a client.
    pub(super) async fn leave(&self, client: Client) {
        let handle = self.handles.borrow_mut().remove(&client);
        if let Some(handle) = handle {
            let detach = json!({ "janus": "detach", "transaction": self.next() });
            // A handle that is gone already is as good.
            let _ = self.http.call("POST", &handle, Some(&detach)).await;
        }
    }

    async fn make_room(&self, room: usize) -> Outcome<()> {
        if !self.rooms.borrow_mut().insert(room) {
            return Ok(());
        }
        let body = json!({
            "request": "create", "room": room + 1, "publishers": 1_000, "bitrate": 0, "fir_freq": 0,
            "audiocodec": "opus", "videocodec": "vp8",
        });
        let message = json!({ "janus": "message", "transaction": self.next(), "body": body });
        let reply = self.http.call("POST", &self.keeper, Some(&message)).await?;
        let made = reply["plugindata"]["data"]["videoroom"] == "created";
        if made { Ok(()) } else { Err(format!("no room: {reply}").into()) }
    }

    async fn attach(&self) -> Outcome<String> {
        let attach = json!({
            "janus": "attach", "plugin": "janus.plugin.videoroom", "transaction": self.next(),
        });
        let reply = self.http.call("POST", &self.session, Some(&attach)).await?;
        Ok(format!("{}/{}", self.session, id_of(&reply)?))
    }

    /// Sends a message to the plugin and waits for its event.
    async fn message(&self, handle: &str, body: &Value, jsep: Option<Value>) -> Outcome<Value> {
        let transaction = self.next();
        let (waiter, event) = oneshot::channel();
        self.waiting.borrow_mut().insert(transaction.clone(), waiter);
        let mut message = json!({ "janus": "message", "transaction": transaction, "body": body });
        if let Some(jsep) = jsep {
            message["jsep"] = jsep;
        }
        self.http.call("POST", handle, Some(&message)).await?;
        let event = event.await?;
        match event["plugindata"]["data"]["error"].as_str() {
            Some(error) => Err(format!("{}: {error}", Kind::Janus.name()).into()),
            None => Ok(event),
        }
    }

    fn next(&self) -> String {
        self.transaction.set(self.transaction.get() + 1);
        format!("t{}", self.transaction.get())
    }
}

fn id_of(reply: &Value) -> Outcome<u64> {
    reply["data"]["id"].as_u64().ok_or_else(|| format!("no id: {reply}").into())
}

fn description(event: &Value) -> Outcome<Remote> {
    let text = event["jsep"]["sdp"].as_str();
    sdp::read(text.ok_or_else(|| format!("no description: {event}"))?)
}
