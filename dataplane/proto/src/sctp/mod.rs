//! SCTP of one peer: a sans-IO surface in front of the library in `backend.rs`, for data channels
//! (RFC 8831) over a DTLS association that is up.
//!
//! The engine calls `start` when DTLS is up, `on_packet` for what DTLS delivers, `on_deadline` when
//! `next_deadline` is due, and after each of these and after `send` drains `poll` and `poll_packet`.
//! In order: `guard.rs` refuses what would cost too much, the library takes the rest, `dcep.rs`
//! reads what opens channels in band. The remote side begins, as browsers do at once; when it does
//! not, we do. Must never read a clock, and never hold more than `limits.rs` says, whatever arrives.
//!
//! RFC 9260 (SCTP), RFC 3758 (partial reliability), RFC 6525 (stream reset), RFC 8261 (over DTLS),
//! RFC 8832 (DCEP).

mod backend;
mod dcep;
mod guard;
mod queue;
mod split;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::command::{Reliability, ReliabilityLimit, SctpFacts};
use common::limits::{CHANNEL_MESSAGE_MAX, SCTP_STREAMS_MAX};

use backend::{Backend, Kind, Said};
use guard::{Admitted, Guard, Refusal};
use queue::Queues;

/// A message of a data channel. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Whether it is a string (UTF-8) rather than binary.
    pub text: bool,
    /// Its bytes; may be none.
    pub bytes: Bytes,
}

/// What [`Sctp::poll`] has to say.
#[derive(PartialEq, Eq, Debug)]
pub enum SctpOutput {
    /// The association is up.
    Connected,
    /// It failed, was ended by the remote side, or cost too much. Said once, as the last.
    Lost,
    /// A whole message arrived.
    Message {
        /// On this stream.
        stream: u16,
        /// The message.
        message: Message,
    },
    /// The remote side reset a stream: its channel is closed. Ours is reset in answer.
    Reset {
        /// The stream.
        stream: u16,
    },
    /// Both directions of a stream are reset: it can be opened anew.
    Freed {
        /// The stream.
        stream: u16,
    },
}

/// Why a message was not queued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendError {
    /// What waits is as much as may; the receiver does not keep up.
    Full,
    /// Longer than the remote side takes.
    TooLong,
    /// The association is not up, or the stream is not open.
    Closed,
}

/// The SCTP association of one peer.
pub struct Sctp {
    state: State,
    remote_port: u16,
    message_max: usize,
    server_events: bool,
    /// When we begin, if the remote side does not.
    begin_at: Option<Instant>,
    guard: Guard,
    queues: Queues,
    packets: VecDeque<Bytes>,
    /// Whether `poll` had nothing more to say since the last packet.
    drained: bool,
    /// Streams to reset when others are done.
    closing: VecDeque<u16>,
    /// Streams whose reset was asked for since the remote side last answered such a request.
    resets: usize,
}

enum State {
    /// Nothing was exchanged.
    Idle,
    /// The library shakes hands.
    Starting(Box<Backend>, Begun),
    Up(Box<Backend>),
    /// Ended; not said yet.
    Ended,
    /// Ended. Answers nothing.
    Dead,
}

/// Whose INIT counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Begun {
    /// Ours, until the remote side sends one.
    Ours,
    /// Ours: the remote side answered it, and is up once it has our COOKIE ECHO. An INIT that comes
    /// now was sent before (RFC 9260 section 5.2.1).
    Answered,
    /// The remote one of this tag.
    Remote(u32),
}

impl Sctp {
    /// An association that neither sends nor takes anything before [`Sctp::start`].
    pub fn new(facts: &SctpFacts) -> Sctp {
        let mut sctp = Sctp {
            state: State::Idle,
            remote_port: facts.port,
            message_max: CHANNEL_MESSAGE_MAX,
            server_events: facts.server_events,
            begin_at: None,
            guard: Guard::default(),
            queues: Queues::default(),
            packets: VecDeque::new(),
            drained: true,
            closing: VecDeque::new(),
            resets: 0,
        };
        sctp.update(facts);
        sctp
    }

    /// Takes facts of a renegotiation: the largest message may change.
    pub fn update(&mut self, facts: &SctpFacts) {
        self.message_max = match facts.max_message_size {
            0 => CHANNEL_MESSAGE_MAX,
            size => CHANNEL_MESSAGE_MAX.min(size as usize),
        };
    }

    /// DTLS is up.
    pub fn start(&mut self, now: Instant) {
        if matches!(self.state, State::Idle) {
            self.begin_at = Some(now + BEGIN_AFTER);
        }
    }

    /// Whether messages can be sent.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Takes one packet; false when it was refused. Cost: some microseconds and allocations per
    /// DATA chunk.
    pub fn on_packet(&mut self, packet: &[u8], now: Instant) -> bool {
        // Whoever sends faster than its messages are taken sends again later.
        if !self.drained && self.guard.is_half_full() {
            return false;
        }
        self.drained = false;
        let up = self.is_up();
        let (mut backend, begun) = match &mut self.state {
            State::Starting(backend, begun) => (Some(backend), Some(begun)),
            State::Up(backend) => (Some(backend), None),
            State::Idle => (None, None),
            State::Ended | State::Dead => return false,
        };
        let settled = up || begun.as_deref() == Some(&Begun::Answered);
        let open = |stream| backend.as_mut().is_some_and(|backend| backend.exists(stream));
        match self.guard.admit(packet, settled, open) {
            Err(Refusal::Drop) => return false,
            Err(Refusal::End) => {
                self.end();
                return false;
            }
            // Another INIT than the one we know, or both sides began: the remote one's counts.
            Ok(Admitted::Init(new)) if begun.as_deref() != Some(&Begun::Remote(new)) => {
                self.begin_at = None;
                self.state = State::Starting(Box::new(Backend::server()), Begun::Remote(new));
            }
            Ok(Admitted::InitAck) => {
                if let Some(begun) = begun.filter(|begun| **begun == Begun::Ours) {
                    *begun = Begun::Answered;
                }
            }
            Ok(_) => {}
        }
        let Some(backend) = self.backend() else { return false };
        backend.on_packet(Bytes::copy_from_slice(packet), now);
        if self.guard.take_answered() {
            self.resets = 0;
            self.reset_more();
        }
        true
    }

    /// Resends what is due, begins when that is due.
    pub fn on_deadline(&mut self, now: Instant) {
        if self.begin_at.is_some_and(|at| at <= now) {
            self.begin_at = None;
            self.state = match Backend::client(self.remote_port) {
                Some(backend) => State::Starting(Box::new(backend), Begun::Ours),
                None => State::Ended,
            };
        }
        if let Some(backend) = self.backend() {
            backend.on_deadline(now);
        }
    }

    /// When [`Sctp::on_deadline`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Starting(backend, _) | State::Up(backend) => backend.next_deadline(),
            State::Idle | State::Ended | State::Dead => self.begin_at,
        }
    }

    /// The next thing that happened.
    pub fn poll(&mut self) -> Option<SctpOutput> {
        loop {
            if matches!(self.state, State::Ended) {
                self.state = State::Dead;
                return Some(SctpOutput::Lost);
            }
            let said = self.backend().and_then(Backend::poll);
            self.drained = said.is_none();
            match said? {
                Said::Connected => {
                    self.on_connected();
                    return Some(SctpOutput::Connected);
                }
                Said::Lost => self.end(),
                Said::Message { stream, kind, bytes, chunks } => {
                    self.guard.on_read(chunks);
                    if let Some(message) = self.on_message(stream, kind, bytes) {
                        return Some(SctpOutput::Message { stream, message });
                    }
                }
                Said::Reset(stream) => {
                    self.guard.on_reset(stream);
                    return Some(SctpOutput::Reset { stream });
                }
                Said::Freed(stream) => {
                    self.queues.remove(stream);
                    return Some(SctpOutput::Freed { stream });
                }
            }
        }
    }

    /// The next packet to be sent through DTLS.
    pub fn poll_packet(&mut self, now: Instant) -> Option<Bytes> {
        let (State::Starting(backend, _) | State::Up(backend)) = &mut self.state else {
            return None;
        };
        if self.packets.is_empty() {
            let mut packets = Vec::new();
            backend.poll_packets(&mut packets, now);
            for packet in packets {
                self.guard.on_sent(&packet, |stream| backend.exists(stream));
                split::push(&mut self.packets, packet);
            }
        }
        self.packets.pop_front()
    }

    /// Opens a stream for [`Sctp::send`], or changes its reliability. False when that cannot be
    /// now: try again after [`SctpOutput::Connected`] or [`SctpOutput::Freed`].
    pub fn open(&mut self, stream: u16, reliability: Reliability) -> bool {
        let State::Up(backend) = &mut self.state else { return false };
        let opened = stream < SCTP_STREAMS_MAX && backend.open(stream, reliability);
        if opened {
            self.queues.add(stream);
        }
        opened
    }

    /// Queues a message on an open stream. Its bytes are shared, not copied.
    ///
    /// # Errors
    /// The message was dropped for the reason given.
    pub fn send(&mut self, stream: u16, message: &Message) -> Result<(), SendError> {
        if message.bytes.len() > self.message_max {
            return Err(SendError::TooLong);
        }
        // RFC 8831 section 6.6: an empty message is one byte under an identifier of its own.
        let (kind, bytes) = match (message.bytes.is_empty(), message.text) {
            (false, true) => (Kind::Text, message.bytes.clone()),
            (false, false) => (Kind::Binary, message.bytes.clone()),
            (true, true) => (Kind::EmptyText, Bytes::from_static(&[0])),
            (true, false) => (Kind::EmptyBinary, Bytes::from_static(&[0])),
        };
        self.queue(stream, kind, bytes)
    }

    /// Closes the channel on a stream: resets our direction once what was sent is acknowledged; the
    /// remote side then resets its own. False when nothing was open, so that there is nothing to
    /// wait for.
    pub fn close(&mut self, stream: u16) -> bool {
        if !self.is_up() || stream >= SCTP_STREAMS_MAX {
            return false;
        }
        self.closing.push_back(stream);
        self.reset_more();
        true
    }

    fn backend(&mut self) -> Option<&mut Backend> {
        match &mut self.state {
            State::Starting(backend, _) | State::Up(backend) => Some(backend),
            State::Idle | State::Ended | State::Dead => None,
        }
    }

    fn on_connected(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Ended);
        if let State::Starting(backend, _) | State::Up(backend) = state {
            self.state = State::Up(backend);
        }
        if self.server_events && self.open(SERVER_EVENTS_STREAM, RELIABLE) {
            let message = dcep::open(SERVER_EVENTS).into();
            let _ = self.queue(SERVER_EVENTS_STREAM, Kind::Dcep, message);
        }
    }

    /// What of a message is for the channel's receivers.
    fn on_message(&mut self, stream: u16, kind: Kind, bytes: Bytes) -> Option<Message> {
        match kind {
            Kind::Text => Some(Message { text: true, bytes }),
            Kind::Binary => Some(Message { text: false, bytes }),
            Kind::EmptyText => Some(Message { text: true, bytes: Bytes::new() }),
            Kind::EmptyBinary => Some(Message { text: false, bytes: Bytes::new() }),
            Kind::Dcep => {
                if dcep::is_open(&bytes) {
                    self.queues.add(stream);
                    // Full: whoever opens channels without taking the answers gets none.
                    let _ = self.queue(stream, Kind::Dcep, Bytes::from_static(dcep::ACK));
                }
                None
            }
            Kind::Other => None,
        }
    }

    fn queue(&mut self, stream: u16, kind: Kind, bytes: Bytes) -> Result<(), SendError> {
        let State::Up(backend) = &mut self.state else { return Err(SendError::Closed) };
        let len = bytes.len();
        if !self.queues.has_room(len, backend) {
            return Err(SendError::Full);
        }
        if !self.queues.contains(stream) || !backend.send(stream, kind, bytes) {
            return Err(SendError::Closed);
        }
        self.queues.push(stream, len);
        Ok(())
    }

    /// Lets waiting resets go, a few at a time: the library puts all into one chunk.
    fn reset_more(&mut self) {
        while self.resets < RESETS_MAX {
            let State::Up(backend) = &mut self.state else { return };
            let Some(stream) = self.closing.pop_front() else { return };
            backend.close(stream);
            self.resets += 1;
        }
    }

    /// Gives everything up; `poll` says so.
    fn end(&mut self) {
        self.state = State::Ended;
        self.begin_at = None;
        self.queues = Queues::default();
        self.packets = VecDeque::new();
        self.closing = VecDeque::new();
    }
}

/// Label and stream of the channel that brings the transport up.
const SERVER_EVENTS: &str = "server-events";
const SERVER_EVENTS_STREAM: u16 = 0;
const RELIABLE: Reliability = Reliability { ordered: true, limit: ReliabilityLimit::Never };
/// How long the remote side has to begin. Chosen: all that were seen do within a round trip, unless their
/// INIT came before the control plane's word of the association; Chromium repeats that after 1 s.
const BEGIN_AFTER: Duration = Duration::from_secs(1);
/// Longest packet. With a DTLS record (37 bytes in 1.2 with GCM) that is a datagram of 1,200.
const PACKET_MAX: usize = 1_163;
/// Resets under way at a time; the library may send twice as many in one chunk. Chosen: 512 bytes.
const RESETS_MAX: usize = 128;
