//! The server process of a measurement: a data plane and the control role, driven by lines on
//! stdin, answering on stdout. Does nothing on a timer but look for events, so that the process's
//! run time is the data plane's.
//!
//! `open publisher|subscriber FINGERPRINT` is answered by `ticket UFRAG PWD`; `stats` by one line of
//! JSON; the end of stdin ends the process.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use ::tests::control::Control;
use common::command::{Reliability, ReliabilityLimit, SctpFacts};
use common::event::Event;
use dataplane::{Config, DataPlane, DriverChoice, Pinning};

use crate::channels::{PUBLISHED, SUBSCRIBED};
use crate::{Driver, ServeArguments};

const RELIABLE: Reliability = Reliability { ordered: true, limit: ReliabilityLimit::Never };

/// How often events are looked for: a claim waits this long for its facts.
const LOOK: Duration = Duration::from_millis(5);

struct Server {
    plane: DataPlane,
    control: Control,
    connected: u64,
    sctp: u64,
    channels_closed: u64,
    closed: u64,
    profiles: BTreeMap<&'static str, u64>,
}

/// Serves until stdin ends.
pub(crate) fn run(arguments: &ServeArguments) -> Result<(), Box<dyn Error>> {
    let mut secret = [0; 32];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut secret)?;
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut config = Config::new(vec![bind], arguments.cores, secret);
    let processors = arguments.server_cpu..arguments.server_cpu + arguments.cores;
    config.pinning = Pinning::Processors(processors.collect());
    config.driver = match arguments.driver {
        Driver::Auto => DriverChoice::Auto,
        Driver::Uring => DriverChoice::Uring,
        Driver::Mmsg => DriverChoice::Mmsg,
    };
    let plane = DataPlane::start(config)?;
    crate::subject::pin(arguments.server_cpu);
    let (fingerprint, port) = (hex(&plane.fingerprint()), plane.port());
    let why = plane.fallback_reason().unwrap_or("-").replace('\n', " ");
    answer(&format!("ready {port} {fingerprint} {:?} {why}", plane.driver()))?;
    let server = Server {
        plane,
        control: Control::default(),
        connected: 0,
        sctp: 0,
        channels_closed: 0,
        closed: 0,
        profiles: BTreeMap::new(),
    };
    server.serve(&lines())
}

impl Server {
    fn serve(mut self, lines: &Receiver<String>) -> Result<(), Box<dyn Error>> {
        loop {
            match lines.recv_timeout(LOOK) {
                Ok(line) => self.obey(&line)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while let Ok(line) = lines.try_recv() {
                self.obey(&line)?;
            }
            self.take_events();
        }
        self.plane.stop();
        Ok(())
    }

    fn obey(&mut self, line: &str) -> Result<(), Box<dyn Error>> {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("open"), Some(role), Some(fingerprint)) => self.open(role, fingerprint),
            (Some("stats"), None, None) => self.stats(),
            _ => Err(format!("not understood: {line}").into()),
        }
    }

    fn open(&mut self, role: &str, fingerprint: &str) -> Result<(), Box<dyn Error>> {
        let fingerprint = unhex(fingerprint).ok_or("not a fingerprint")?;
        let ticket = self.plane.open_peer().ok_or("no free peer")?;
        let peer = self.control.add_peer(ticket.peer, fingerprint, false);
        let facts = SctpFacts { port: 5_000, max_message_size: 0, server_events: false };
        self.control.negotiate_sctp(peer, facts);
        match role {
            "publisher" => self.control.add_channel(peer, PUBLISHED, RELIABLE),
            _ => self.control.add_channel_subscription(peer, 0, SUBSCRIBED),
        };
        answer(&format!("ticket {} {}", ticket.ufrag, ticket.pwd))
    }

    fn stats(&mut self) -> Result<(), Box<dyn Error>> {
        self.take_events();
        let counters = self.plane.counters();
        let sum = |figure: fn(&common::counters::Counters) -> u64| -> u64 {
            counters.iter().map(figure).sum()
        };
        let drops: BTreeMap<&str, u64> = common::counters::Drop::ALL
            .into_iter()
            .map(|(reason, name)| (name, counters.iter().map(|c| c.dropped(reason)).sum()))
            .filter(|(_, count)| *count > 0)
            .collect();
        let value = serde_json::json!({
            "connected": self.connected,
            "sctp": self.sctp,
            "channels_closed": self.channels_closed,
            "channel_in": sum(|c| c.channel_in),
            "channel_out": sum(|c| c.channel_out),
            "channel_dropped": sum(|c| c.channel_dropped),
            "sctp_rejected": sum(|c| c.sctp_rejected),
            "closed": self.closed,
            "profiles": self.profiles,
            "media_in": sum(|c| c.media_in),
            "media_out": sum(|c| c.media_out),
            "datagrams_out": sum(|c| c.datagrams_out),
            "sends": sum(|c| c.sends),
            "resent": sum(|c| c.resent),
            "drops": drops,
        });
        answer(&value.to_string())
    }

    fn take_events(&mut self) {
        while let Ok(event) = self.plane.events().try_recv() {
            self.control.on_event(&event);
            match event {
                Event::Connected { profile, .. } => {
                    self.connected += 1;
                    *self.profiles.entry(profile.name()).or_default() += 1;
                }
                Event::SctpConnected { .. } => self.sctp += 1,
                Event::ChannelSubscriptionClosed { .. } => self.channels_closed += 1,
                Event::Closed { .. } => self.closed += 1,
                Event::Claimed { .. } => {
                    for (core, command) in self.control.poll_commands() {
                        self.plane.send(core, command);
                    }
                }
                _ => {}
            }
        }
    }
}

fn lines() -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn answer(line: &str) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a SHA-256 in hexadecimal.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_survives_the_pipe() {
        let bytes: [u8; 32] = std::array::from_fn(|place| (place * 9) as u8);
        assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        assert_eq!(unhex("00"), None);
        assert_eq!(unhex(&"zz".repeat(32)), None);
    }
}
