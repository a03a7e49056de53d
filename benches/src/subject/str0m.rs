//! The minimal SFU on str0m: starts `peer-str0m` of this same program (see `peers::str0m`) and joins
//! clients by one line of JSON each way, which is quicker than any HTTP API.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::signal::{self, Signals, Wish};
use super::{Subject, ready};
use crate::Outcome;
use crate::client::batch::LOOPBACK;
use crate::client::sdp::{self, Remote};

/// Starts the server.
pub(super) fn start() -> Outcome<Subject> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("peer-str0m")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let input = child.stdin.take().ok_or("no stdin")?;
    let (_, output) = ready(&mut child)?;
    let api = Api { pipes: RefCell::new((input, output)) };
    let signals = Signals::start(async move || Ok(signal::Api::Str0m(api)))?;
    let description = "minimal SFU on str0m (RTP mode, no bandwidth estimation)".to_owned();
    Ok(Subject { child, description, signals, client_ip: LOOPBACK, _files: None })
}

/// The server's pipes.
pub(super) struct Api {
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Api {
    /// Joins with one line; waits for its answer, which holds up nobody but other joins.
    pub(super) fn join(&self, wish: &Wish) -> Outcome<Remote> {
        let request = match wish {
            Wish::Publish { number, local, sections, .. } => {
                json!({ "publish": number, "offer": sdp::offer(local, sections) })
            }
            Wish::Subscribe { local, sections, of, .. } => {
                let each = sections.len() / of.len().max(1);
                let tracks = sections.iter().enumerate().map(|(place, section)| {
                    json!([of.get(place / each.max(1)), place % each.max(1), section.mid])
                });
                let tracks: Vec<Value> = tracks.collect();
                json!({ "subscribe": tracks, "offer": sdp::offer(local, sections) })
            }
            Wish::Leave(_) => return Err("leaving is no joining".into()),
        };
        let mut pipes = self.pipes.borrow_mut();
        let (input, output) = &mut *pipes;
        writeln!(input, "{request}")?;
        input.flush()?;
        let mut line = String::new();
        output.read_line(&mut line)?;
        let reply: Value = serde_json::from_str(&line)?;
        let answer = reply["answer"].as_str();
        sdp::read(answer.ok_or_else(|| format!("no answer: {reply}"))?)
    }
}
