//! Fanfall whole, as users run it: control plane and data plane in one process, clients join over
//! HTTP. `start` runs `node` of this same program, which is the server's library under its own
//! settings; [`Api`] makes a session and exchanges one offer and answer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::signal::{self, Http, Signals, Wish};
use super::{Setup, Subject, ready};
use crate::Outcome;
use crate::client::batch::LOOPBACK;
use crate::client::sdp::{self, Remote, Section};

/// Starts the server.
pub(super) fn start(setup: &Setup) -> Outcome<Subject> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["node", "--driver", &setup.driver])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (words, _) = ready(&mut child)?;
    let [_, http, id, secret, driver, why @ ..] = words.as_slice() else {
        return Err(format!("the server said {words:?}").into());
    };
    if !why.is_empty() {
        eprintln!("io_uring is not used: {}", why.join(" "));
    }
    let api = Http::new(format!("http://{http}/v1/apps/{id}"), Some(secret.clone()));
    let api = Api { http: api, sessions: RefCell::default() };
    let signals = Signals::start(async move || Ok(signal::Api::Fanfall(Box::new(api))))?;
    let description = format!("Fanfall {}, {driver}", env!("CARGO_PKG_VERSION"));
    Ok(Subject { child, description, signals, client_ip: LOOPBACK, _files: None })
}

/// The API of one app.
pub(super) struct Api {
    http: Http,
    /// Sessions of the publishers.
    sessions: RefCell<HashMap<usize, String>>,
}

impl Api {
    /// Joins with one session and one call for all tracks.
    pub(super) async fn join(&self, wish: Wish) -> Outcome<Remote> {
        let reply = self.http.call("POST", "/sessions/new", None).await?;
        let session = reply["sessionId"].as_str().ok_or("no session")?.to_owned();
        let (local, sections, tracks) = match wish {
            Wish::Publish { number, local, sections, .. } => {
                self.sessions.borrow_mut().insert(number, session.clone());
                let track = |one: &Section| json!({ "location": "local", "mid": one.mid, "trackName": one.mid });
                let tracks: Vec<Value> = sections.iter().map(track).collect();
                (local, sections, tracks)
            }
            Wish::Subscribe { local, sections, of, .. } => {
                let tracks = self.remote_tracks(&sections, &of)?;
                (local, sections, tracks)
            }
            Wish::Leave(_) => return Err("leaving is no joining".into()),
        };
        let offer = sdp::offer(&local, &sections);
        let body = json!({
            "sessionDescription": { "type": "offer", "sdp": offer },
            "tracks": tracks,
        });
        let path = format!("/sessions/{session}/tracks/new");
        let reply = self.http.call("POST", &path, Some(&body)).await?;
        let answer = reply["sessionDescription"]["sdp"].as_str();
        sdp::read(answer.ok_or_else(|| format!("no answer: {reply}"))?)
    }

    /// The tracks of these publishers, spread over the sections in order.
    fn remote_tracks(&self, sections: &[Section], of: &[usize]) -> Outcome<Vec<Value>> {
        let each = sections.len() / of.len().max(1);
        let sessions = self.sessions.borrow();
        let track = |(place, section): (usize, &Section)| {
            let publisher = of.get(place / each.max(1)).and_then(|number| sessions.get(number));
            let session = publisher.ok_or("a publisher without a session")?;
            let name = (place % each.max(1)).to_string();
            Ok(json!({
                "location": "remote", "sessionId": session, "trackName": name, "mid": section.mid,
            }))
        };
        sections.iter().enumerate().map(track).collect()
    }
}
