//! The server's real binary on free ports of the loopback address, or of another. Called by `pages`. Ends the
//! process when dropped and, when a test failed, prints what the server had logged.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::http;

/// The app that the tests use.
pub(crate) const APP: &str = "00112233445566778899aabbccddeeff";

/// Its secret.
pub(crate) const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The token of the account API.
pub(crate) const ACCOUNT_TOKEN: &str = "ffeeddccbbaa99887766554433221100";

/// Longest time from the start of the process to its first answer.
const START_MAX: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts the server and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    /// The same with its API at `http`.
    pub(crate) fn start_at(http: &str) -> Self {
        let binary = binary();
        let mut process = Command::new(&binary)
            .args(["--http", http, "--media-port", "0"])
            .env("FANFALL_APP_ID", APP)
            .env("FANFALL_APP_SECRET", SECRET)
            .env("FANFALL_ACCOUNT_TOKEN", ACCOUNT_TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", binary.display()));
        let log = Arc::new(Mutex::new(String::new()));
        collect(process.stdout.take().unwrap(), &log);
        collect(process.stderr.take().unwrap(), &log);
        let mut server = Self { process, address: SocketAddr::from(([127, 0, 0, 1], 0)), log };
        server.wait_for_address();
        server
    }

    /// Where the server's pages and API are.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Status and body of a GET.
    pub(crate) fn get(&self, path: &str) -> http::Reply {
        http::request(self.address, "GET", path, "").expect("the server answers")
    }

    /// The UDP port of all media.
    pub(crate) fn media_port(&self) -> u16 {
        let log = self.log.lock().unwrap();
        let (_, rest) = log.split_once("UDP port ").expect("the banner names the media port");
        rest.split(',').next().unwrap().parse().unwrap()
    }

    /// Reads the address off the banner, then waits for the server's health.
    fn wait_for_address(&mut self) {
        let start = Instant::now();
        while start.elapsed() < START_MAX {
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("the server ended with {status}:\n{}", self.log.lock().unwrap());
            }
            if self.address.port() == 0 {
                let address = banner_address(&self.log.lock().unwrap());
                self.address = address.unwrap_or(self.address);
            } else if http::request(self.address, "GET", "/healthz", "").is_ok_and(|r| r.0 == 200) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server is not up after {START_MAX:?}:\n{}", self.log.lock().unwrap());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("the server's output:\n{}", self.log.lock().unwrap());
        }
    }
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("FANFALL_BINARY") {
        return path.into();
    }
    // This binary lies in <target>/<profile>/deps, the server's in <target>/<profile>.
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).unwrap().join("fanfall")
}

/// The address in the first URL that the server printed, once its line is whole.
fn banner_address(text: &str) -> Option<SocketAddr> {
    let (_, rest) = text.split_once("http://")?;
    rest.split_once('/')?.0.parse().ok()
}

fn collect(stream: impl Read + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    });
}
