//! A minimal SFU on str0m, written as its users write one: one thread, one UDP socket, RTP mode, no
//! transcoding, no layers, no bandwidth estimation. What is forwarded is written to every subscriber
//! at once and flushed once per batch of received datagrams; clients are found by their address.
//! Started by `subject::str0m`, one line of JSON per join.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Stdin, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use serde_json::{Value, json};
use str0m::change::SdpOffer;
use str0m::media::{KeyframeRequestKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, Ssrc};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::Outcome;

/// Datagrams taken before anything is sent.
const BATCH: usize = 64;
/// Kernel buffers of the socket in bytes, as Fanfall asks for.
const BUFFER: usize = 8 << 20;

/// Granularity of the wait.
const MILLISECOND: Duration = Duration::from_millis(1);

/// One client.
struct Client {
    rtc: Rtc,
    deadline: Instant,
}

/// One subscription of a track.
struct Subscription {
    client: usize,
    mid: Mid,
    payload_type: Pt,
}

/// What happened in a client that concerns others.
enum Note {
    Packet(Mid, Box<RtpPacket>),
    KeyFrame(Mid),
    Gone,
}

struct Sfu {
    socket: UdpSocket,
    address: SocketAddr,
    clients: Vec<Option<Client>>,
    by_address: HashMap<SocketAddr, usize>,
    /// Clients of the publishers, by the number they gave.
    publishers: HashMap<usize, usize>,
    /// Who gets a publisher's section.
    tracks: HashMap<(usize, Mid), Vec<Subscription>>,
    /// Whose section a subscriber's section shows.
    sources: HashMap<(usize, Mid), (usize, Mid)>,
    /// Clients with something to send.
    touched: HashSet<usize>,
}

/// Serves until stdin ends.
pub(crate) fn run() -> Outcome<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::RcvBuf, &BUFFER)?;
    setsockopt(&socket, sockopt::SndBuf, &BUFFER)?;
    // Need a capability; without it the plain options did what they could.
    let _ = setsockopt(&socket, sockopt::RcvBufForce, &BUFFER);
    let _ = setsockopt(&socket, sockopt::SndBufForce, &BUFFER);
    let address = socket.local_addr()?;
    let mut sfu = Sfu {
        socket,
        address,
        clients: Vec::new(),
        by_address: HashMap::new(),
        publishers: HashMap::new(),
        tracks: HashMap::new(),
        sources: HashMap::new(),
        touched: HashSet::new(),
    };
    let mut input = BufReader::new(std::io::stdin());
    println!("ready");
    std::io::stdout().flush()?;
    while sfu.turn(&mut input)? {}
    Ok(())
}

impl Sfu {
    /// Waits for something, does it; false when stdin has ended.
    fn turn(&mut self, input: &mut BufReader<Stdin>) -> Outcome<bool> {
        let now = Instant::now();
        let deadlines = self.clients.iter().flatten().map(|client| client.deadline);
        let wait = deadlines.min().map_or(Duration::from_secs(1), |at| at.duration_since(now));
        let wait = PollTimeout::try_from(wait.min(Duration::from_secs(1)) + MILLISECOND)?;
        let [media, lines] = {
            let mut polled = [
                PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
                PollFd::new(input.get_ref().as_fd(), PollFlags::POLLIN),
            ];
            poll(&mut polled, wait)?;
            polled.map(|one| one.any().unwrap_or(false))
        };
        if media {
            self.receive();
        }
        if lines {
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 {
                return Ok(false);
            }
            let reply = self.join(&line).map_err(|error| error.to_string());
            let reply = reply
                .map_or_else(|error| json!({ "error": error }), |sdp| json!({ "answer": sdp }));
            println!("{reply}");
            std::io::stdout().flush()?;
        }
        let now = Instant::now();
        let due = self.clients.iter().enumerate().filter_map(|(number, client)| {
            client.as_ref().filter(|client| client.deadline <= now).map(|_| number)
        });
        self.touched.extend(due.collect::<Vec<_>>());
        self.flush(now);
        Ok(true)
    }

    /// Takes a batch of datagrams and gives each to its client.
    fn receive(&mut self) {
        let mut bytes = [0; 2_000];
        for _ in 0..BATCH {
            let Ok((len, from)) = self.socket.recv_from(&mut bytes) else { return };
            let now = Instant::now();
            let Some(bytes) = bytes.get(..len) else { return };
            let Ok(receive) = Receive::new(Protocol::Udp, from, self.address, bytes) else {
                continue;
            };
            let input = Input::Receive(now, receive);
            let known = self.by_address.get(&from).copied();
            let accepts = |client: &Option<Client>| {
                client.as_ref().is_some_and(|client| client.rtc.accepts(&input))
            };
            let Some(number) = known.or_else(|| self.clients.iter().position(accepts)) else {
                continue;
            };
            if known.is_none() {
                self.by_address.insert(from, number);
            }
            let Some(Some(client)) = self.clients.get_mut(number) else { continue };
            if client.rtc.handle_input(input).is_err() {
                client.rtc.disconnect();
            }
            let notes = self.drain(number);
            self.act(number, notes, now);
        }
    }

    /// Sends what was written, and does what is due.
    fn flush(&mut self, now: Instant) {
        for number in std::mem::take(&mut self.touched) {
            let Some(Some(client)) = self.clients.get_mut(number) else { continue };
            if client.rtc.handle_input(Input::Timeout(now)).is_err() {
                client.rtc.disconnect();
            }
            let notes = self.drain(number);
            self.act(number, notes, now);
        }
    }

    /// Takes everything a client has to say; what it sends goes out at once.
    fn drain(&mut self, number: usize) -> Vec<Note> {
        let mut notes = Vec::new();
        let Some(Some(client)) = self.clients.get_mut(number) else { return notes };
        loop {
            match client.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    client.deadline = at;
                    if !client.rtc.is_alive() {
                        notes.push(Note::Gone);
                    }
                    return notes;
                }
                Ok(Output::Transmit(transmit)) => {
                    // A full socket buffer is loss like any other.
                    let _ = self.socket.send_to(&transmit.contents, transmit.destination);
                }
                Ok(Output::Event(Event::RtpPacket(packet))) => {
                    let mut direct = client.rtc.direct_api();
                    if let Some(stream) = direct.stream_rx(&packet.header.ssrc) {
                        notes.push(Note::Packet(stream.mid(), Box::new(packet)));
                    }
                }
                Ok(Output::Event(Event::KeyframeRequest(request))) => {
                    notes.push(Note::KeyFrame(request.mid));
                }
                Ok(Output::Event(_)) => {}
                Err(_) => {
                    notes.push(Note::Gone);
                    return notes;
                }
            }
        }
    }

    fn act(&mut self, number: usize, notes: Vec<Note>, now: Instant) {
        for note in notes {
            match note {
                Note::Packet(mid, packet) => self.forward(number, mid, &packet, now),
                Note::KeyFrame(mid) => self.ask_key_frame(number, mid),
                Note::Gone => self.forget(number),
            }
        }
    }

    /// Writes a packet to every subscriber of its track.
    fn forward(&mut self, number: usize, mid: Mid, packet: &RtpPacket, now: Instant) {
        let Some(subscriptions) = self.tracks.get(&(number, mid)) else { return };
        for one in subscriptions {
            let Some(Some(client)) = self.clients.get_mut(one.client) else { continue };
            let mut direct = client.rtc.direct_api();
            let Some(stream) = direct.stream_tx_by_mid(one.mid, None) else { continue };
            let (time, payload) = (packet.header.timestamp, packet.payload.clone());
            let write = RtpWrite::new(one.payload_type, packet.seq_no, time, now, payload)
                .marker(packet.header.marker)
                .ext_vals(ExtensionValues::default())
                .nackable(true);
            stream.write_rtp(write);
            self.touched.insert(one.client);
        }
    }

    fn ask_key_frame(&mut self, number: usize, mid: Mid) {
        let Some(&(publisher, source)) = self.sources.get(&(number, mid)) else { return };
        let Some(Some(client)) = self.clients.get_mut(publisher) else { return };
        let mut direct = client.rtc.direct_api();
        if let Some(stream) = direct.stream_rx_by_mid(source, None) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
            self.touched.insert(publisher);
        }
    }

    fn forget(&mut self, number: usize) {
        if let Some(client) = self.clients.get_mut(number) {
            *client = None;
        }
        self.by_address.retain(|_, client| *client != number);
        self.sources.retain(|(client, _), _| *client != number);
        for subscriptions in self.tracks.values_mut() {
            subscriptions.retain(|one| one.client != number);
        }
    }

    /// Takes a client's offer; returns the answer.
    fn join(&mut self, line: &str) -> Outcome<String> {
        let request: Value = serde_json::from_str(line)?;
        let now = Instant::now();
        let mut rtc = RtcConfig::new().set_ice_lite(true).set_rtp_mode(true).build(now);
        rtc.add_local_candidate(Candidate::host(self.address, "udp")?);
        let offer = SdpOffer::from_sdp_string(request["offer"].as_str().unwrap_or_default())?;
        let mut answer = rtc.sdp_api().accept_offer(offer)?.to_sdp_string();
        let number = self.clients.len();
        self.clients.push(Some(Client { rtc, deadline: now }));
        self.touched.insert(number);
        if let Some(publisher) = request["publish"].as_u64() {
            self.publishers.insert(usize::try_from(publisher)?, number);
        }
        for wish in request["subscribe"].as_array().into_iter().flatten() {
            let ssrc = self.subscribe(number, wish)?;
            let mid = wish[2].as_str().unwrap_or_default();
            answer = with_ssrc(&answer, mid, ssrc);
        }
        Ok(answer)
    }

    /// Connects a section of a client to a publisher's; returns the SSRC it will be sent under.
    fn subscribe(&mut self, number: usize, wish: &Value) -> Outcome<Ssrc> {
        let publisher = wish[0].as_u64().and_then(|one| usize::try_from(one).ok());
        let publisher = publisher.and_then(|one| self.publishers.get(&one).copied());
        let publisher = publisher.ok_or("no such publisher")?;
        let source = Mid::from(wish[1].to_string().as_str());
        let mid = Mid::from(wish[2].as_str().unwrap_or_default());
        let Some(Some(client)) = self.clients.get_mut(number) else { return Err("gone".into()) };
        let media = client.rtc.media(mid).ok_or("no such section")?;
        let payload_type = *media.remote_pts().first().ok_or("no codec in common")?;
        let mut direct = client.rtc.direct_api();
        let stream = direct.stream_tx_by_mid(mid, None).ok_or("no stream to send")?;
        stream.set_unpaced(true);
        let ssrc = stream.ssrc();
        let subscription = Subscription { client: number, mid, payload_type };
        self.tracks.entry((publisher, source)).or_default().push(subscription);
        self.sources.insert((number, mid), (publisher, source));
        Ok(ssrc)
    }
}

/// The description with the SSRC of a section in it, where the library wrote none.
fn with_ssrc(sdp: &str, mid: &str, ssrc: Ssrc) -> String {
    let line = format!("a=ssrc:{ssrc} ");
    if sdp.contains(&line) {
        return sdp.to_owned();
    }
    let mark = format!("a=mid:{mid}\r\n");
    sdp.replace(&mark, &format!("{mark}a=ssrc:{ssrc} cname:sfu\r\n"))
}
