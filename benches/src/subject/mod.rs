//! The servers under measurement, one process each, all started and driven alike: pinned to one
//! processor, spoken to by the thread in `signal`, read from the kernel's books. `fanfall`, `str0m`
//! and `janus` know how each is started and how a client joins it. Called by `generator`.

mod fanfall;
mod janus;
mod signal;
mod str0m;

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::process::{Child, ChildStdout};
use std::time::Duration;

use crate::Outcome;
use crate::usage::Usage;
pub(crate) use janus::program as janus_program;
pub(crate) use signal::{Client, Reply, Signals, Wish};

/// How long a server may take to end when asked to.
const STOP: Duration = Duration::from_secs(3);

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Fanfall,
    Str0m,
    Janus,
}

impl Kind {
    /// Its name in tables and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fanfall => "fanfall",
            Self::Str0m => "str0m",
            Self::Janus => "janus",
        }
    }
}

/// How a server is run.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Processor it is pinned to, and the generator's.
    pub(crate) server_cpu: usize,
    pub(crate) client_cpu: usize,
    /// Driver of Fanfall's data plane: auto, uring or mmsg.
    pub(crate) driver: String,
}

/// A running server.
pub(crate) struct Subject {
    child: Child,
    /// What it is: version, driver, library.
    pub(crate) description: String,
    pub(crate) signals: Signals,
    /// Where its clients are: on loopback, or on the host's address for a server that shuns loopback.
    /// Either way packets take the loopback device.
    pub(crate) client_ip: IpAddr,
    /// Kept while it runs: its configuration.
    _files: Option<tempfile::TempDir>,
}

impl Subject {
    /// Starts a server on `setup.server_cpu`; the calling thread goes on on `setup.client_cpu`.
    pub(crate) fn start(kind: Kind, setup: &Setup) -> Outcome<Self> {
        // A child inherits the processor of the thread that starts it.
        pin(setup.server_cpu);
        let started = match kind {
            Kind::Fanfall => fanfall::start(setup),
            Kind::Str0m => str0m::start(),
            Kind::Janus => janus::start(),
        };
        pin(setup.client_cpu);
        started
    }

    /// What its threads used so far, and its memory.
    pub(crate) fn usage(&self) -> Outcome<Usage> {
        Ok(Usage::of(self.child.id())?)
    }

    /// Its process id, for a tracer.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.signals.end();
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let end = std::time::Instant::now() + STOP;
        while std::time::Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Pins the calling thread to a processor; where that is refused the run goes on unpinned.
pub(crate) fn pin(processor: usize) {
    let mut set = nix::sched::CpuSet::new();
    let this = nix::unistd::Pid::from_raw(0);
    if set.set(processor).is_err() || nix::sched::sched_setaffinity(this, &set).is_err() {
        eprintln!("processor {processor}: not pinned");
    }
}

/// The words of a child's first line, which begins with `ready`.
fn ready(child: &mut Child) -> Outcome<(Vec<String>, BufReader<ChildStdout>)> {
    let mut output = BufReader::new(child.stdout.take().ok_or("no stdout")?);
    let mut line = String::new();
    output.read_line(&mut line)?;
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    match words.first().map(String::as_str) {
        Some("ready") => Ok((words, output)),
        _ => Err(format!("the server said {line:?}").into()),
    }
}
