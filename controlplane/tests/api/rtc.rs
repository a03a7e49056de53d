//! A WebRTC client of another make (str0m) on a socket of its own, driven by a thread: offers,
//! answers, sends VP8 pictures, counts what arrives.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, MediaTime, Mid, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

/// What the thread and the test share.
struct Inner {
    rtc: Rtc,
    pending: Option<SdpPendingOffer>,
    /// Sections in which pictures are sent, with the RIDs they are sent under, if any.
    sending: Vec<(Mid, Vec<Rid>)>,
    /// Frames received per mid.
    received: HashMap<String, usize>,
    /// Length of the newest frame per mid.
    newest: HashMap<String, usize>,
    connected: bool,
}

/// The client.
pub(crate) struct Client {
    inner: Arc<Mutex<Inner>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    pub(crate) fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut rtc = Rtc::builder().build(Instant::now());
        let address = socket.local_addr().unwrap();
        rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
        let inner = Arc::new(Mutex::new(Inner {
            rtc,
            pending: None,
            sending: Vec::new(),
            received: HashMap::new(),
            newest: HashMap::new(),
            connected: false,
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, flag) = (inner.clone(), stop.clone());
        let thread = std::thread::spawn(move || drive(&socket, &shared, &flag));
        Self { inner, stop, thread: Some(thread) }
    }

    /// An offer with so many more video sections in which it sends; their mids.
    pub(crate) fn offer_video(&self, count: usize) -> (String, Vec<String>) {
        self.offer(count, Direction::SendOnly)
    }

    /// An offer with so many more video sections in which it sends and receives; their mids.
    pub(crate) fn offer_both_ways(&self, count: usize) -> (String, Vec<String>) {
        self.offer(count, Direction::SendRecv)
    }

    /// An offer with so many more video sections in which it receives; their mids.
    pub(crate) fn offer_to_receive(&self, count: usize) -> (String, Vec<String>) {
        self.offer(count, Direction::RecvOnly)
    }

    /// An offer with one more audio section in which it sends; its mid.
    pub(crate) fn offer_audio(&self) -> (String, String) {
        let (offer, mids) = self.offer_kind(1, MediaKind::Audio, Direction::SendOnly);
        (offer, mids.into_iter().next().unwrap())
    }

    fn offer(&self, count: usize, direction: Direction) -> (String, Vec<String>) {
        self.offer_kind(count, MediaKind::Video, direction)
    }

    fn offer_kind(
        &self,
        count: usize,
        kind: MediaKind,
        direction: Direction,
    ) -> (String, Vec<String>) {
        let mut inner = self.inner.lock().unwrap();
        let mut api = inner.rtc.sdp_api();
        let mids: Vec<Mid> =
            (0..count).map(|_| api.add_media(kind, direction, None, None, None)).collect();
        let (offer, pending) = api.apply().unwrap();
        inner.pending = Some(pending);
        (offer.to_sdp_string(), mids.iter().map(ToString::to_string).collect())
    }

    /// An offer with one more video section in which it sends simulcast; its mid.
    pub(crate) fn offer_layers(&self, rids: &[&str]) -> (String, String) {
        let mut layers = Simulcast::new();
        rids.iter().for_each(|rid| layers.add_send_layer(SimulcastLayer::new(rid)));
        let mut inner = self.inner.lock().unwrap();
        let mut api = inner.rtc.sdp_api();
        let mid = api.add_media(MediaKind::Video, Direction::SendOnly, None, None, Some(layers));
        let (offer, pending) = api.apply().unwrap();
        inner.pending = Some(pending);
        (offer.to_sdp_string(), mid.to_string())
    }

    /// An offer with an application section, as a browser makes it with its first data channel.
    pub(crate) fn offer_data(&self) -> String {
        let mut inner = self.inner.lock().unwrap();
        let mut api = inner.rtc.sdp_api();
        api.add_channel("server-events".to_owned());
        let (offer, pending) = api.apply().unwrap();
        inner.pending = Some(pending);
        offer.to_sdp_string()
    }

    /// An offer in which these sections end.
    pub(crate) fn offer_without(&self, mids: &[&str]) -> String {
        let mut inner = self.inner.lock().unwrap();
        let mut api = inner.rtc.sdp_api();
        mids.iter().for_each(|mid| api.set_direction(Mid::from(*mid), Direction::Inactive));
        let (offer, pending) = api.apply().unwrap();
        inner.pending = Some(pending);
        offer.to_sdp_string()
    }

    /// An offer that restarts ICE.
    pub(crate) fn offer_restart(&self) -> String {
        let mut inner = self.inner.lock().unwrap();
        let mut api = inner.rtc.sdp_api();
        api.ice_restart(true);
        let (offer, pending) = api.apply().unwrap();
        inner.pending = Some(pending);
        offer.to_sdp_string()
    }

    /// Completes its offer.
    pub(crate) fn accept(&self, answer: &str) {
        let answer = SdpAnswer::from_sdp_string(answer).unwrap();
        let mut inner = self.inner.lock().unwrap();
        let pending = inner.pending.take().unwrap();
        inner.rtc.sdp_api().accept_answer(pending, answer).unwrap();
    }

    /// Answers an offer. This stack would choose the DTLS server's role; browsers choose the
    /// client's, so it is left no choice.
    pub(crate) fn answer(&self, offer: &str) -> String {
        let offer = offer.replace("a=setup:actpass", "a=setup:passive");
        let offer = SdpOffer::from_sdp_string(&offer).unwrap();
        let mut inner = self.inner.lock().unwrap();
        inner.rtc.sdp_api().accept_offer(offer).unwrap().to_sdp_string()
    }

    /// Answers an offer as DTLS server, as this stack does towards an ICE-lite side.
    pub(crate) fn answer_as_server(&self, offer: &str) -> String {
        let offer = SdpOffer::from_sdp_string(offer).unwrap();
        let mut inner = self.inner.lock().unwrap();
        let answer = inner.rtc.sdp_api().accept_offer(offer).unwrap().to_sdp_string();
        assert!(answer.contains("a=setup:passive"), "{answer}");
        answer
    }

    /// Starts sending pictures in a section.
    pub(crate) fn send(&self, mid: &str) {
        self.send_layers(mid, &[]);
    }

    /// Starts sending pictures in a section under each RID: [`layer_len`] tells them apart.
    pub(crate) fn send_layers(&self, mid: &str, rids: &[&str]) {
        let rids = rids.iter().map(|rid| Rid::from(*rid)).collect();
        self.inner.lock().unwrap().sending.push((Mid::from(mid), rids));
    }

    /// Stops sending anywhere.
    pub(crate) fn mute(&self) {
        self.inner.lock().unwrap().sending.clear();
    }

    pub(crate) fn received(&self, mid: &str) -> usize {
        self.inner.lock().unwrap().received.get(mid).copied().unwrap_or(0)
    }

    /// Waits until the pictures of a section are of this length.
    pub(crate) fn wait_len(&self, mid: &str, len: usize) {
        let newest = || self.inner.lock().unwrap().newest.get(mid).copied();
        until(&format!("picture of {len} bytes"), || newest() == Some(len));
    }

    pub(crate) fn wait_connected(&self) {
        until("a connection", || self.inner.lock().unwrap().connected);
    }

    /// Waits until more pictures arrive in a section.
    pub(crate) fn wait_flow(&self, mid: &str) {
        let before = self.received(mid);
        until("pictures", || self.received(mid) > before + 5);
    }

    /// Whether nothing arrives in a section for half a second, after it had time to run dry.
    pub(crate) fn is_silent(&self, mid: &str) -> bool {
        std::thread::sleep(Duration::from_millis(500));
        let before = self.received(mid);
        std::thread::sleep(Duration::from_millis(500));
        self.received(mid) == before
    }

    /// Says good-bye (DTLS close_notify).
    pub(crate) fn close(&self) {
        let _ = self.inner.lock().unwrap().rtc.close();
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Waits up to ten seconds for something to hold.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "no {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Audio level of what is sent, in dBov: speech.
const LOUD: i8 = -25;
/// Pictures a second of a sender.
const RATE: u32 = 50;

fn drive(socket: &UdpSocket, shared: &Mutex<Inner>, stop: &AtomicBool) {
    let address = socket.local_addr().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    let start = Instant::now();
    let mut frames = 0;
    let mut bytes = vec![0; 2_000];
    while !stop.load(Ordering::Acquire) {
        let read = socket.recv_from(&mut bytes);
        let mut inner = shared.lock().unwrap();
        let now = Instant::now();
        let input = match &read {
            Ok((len, from)) => match Receive::new(Protocol::Udp, *from, address, &bytes[..*len]) {
                Ok(receive) => Input::Receive(now, receive),
                Err(_) => Input::Timeout(now),
            },
            Err(error) => {
                let kind = error.kind();
                assert!(kind == ErrorKind::WouldBlock || kind == ErrorKind::TimedOut, "{error}");
                Input::Timeout(now)
            }
        };
        if !inner.rtc.is_alive() {
            continue;
        }
        inner.rtc.handle_input(input).unwrap();
        drain(&mut inner, socket);
        if start.elapsed() * RATE > Duration::from_secs(frames) {
            frames += 1;
            write(&mut inner, frames);
            drain(&mut inner, socket);
        }
    }
}

fn drain(inner: &mut Inner, socket: &UdpSocket) {
    loop {
        match inner.rtc.poll_output() {
            Ok(Output::Transmit(out)) => {
                let _ = socket.send_to(&out.contents, out.destination);
            }
            Ok(Output::Event(Event::Connected)) => inner.connected = true,
            Ok(Output::Event(Event::MediaData(data))) => {
                *inner.received.entry(data.mid.to_string()).or_default() += 1;
                inner.newest.insert(data.mid.to_string(), data.data.len());
            }
            Ok(Output::Event(_)) => {}
            Ok(Output::Timeout(_)) | Err(_) => return,
        }
    }
}

/// Length of the pictures of a section's RID of this place.
pub(crate) const fn layer_len(place: usize) -> usize {
    310 + 100 * place
}

/// A VP8 key frame of 320x240 as far as its header goes (RFC 6386 section 9.1), in every section.
fn write(inner: &mut Inner, frames: u64) {
    let header = [0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00];
    let time =
        MediaTime::new(frames * 90_000 / u64::from(RATE), str0m::media::Frequency::NINETY_KHZ);
    for (mid, rids) in inner.sending.clone() {
        for place in 0..rids.len().max(1) {
            let mut picture = header.to_vec();
            picture.resize(layer_len(place), frames as u8);
            let Some(writer) = inner.rtc.writer(mid) else { continue };
            let payload = writer.payload_params().next().map(|params| params.pt());
            let Some(payload) = payload else { continue };
            let writer = match rids.get(place) {
                Some(rid) => writer.rid(*rid),
                None => writer,
            };
            // Only of sound it says anything.
            let writer = writer.audio_level(LOUD, true);
            let _ = writer.write(payload, Instant::now(), time, picture);
        }
    }
}
