//! The generator: one thread, pinned beside the server, that plays all clients of a run in real time
//! and reads the kernel's books about the server. Called by `scenario`, which says who joins and
//! when; knows no scenario and no server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::Config;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::Outcome;
use crate::client::batch::Batch;
use crate::client::publisher::{Media, Publisher};
use crate::client::sdp::Section;
use crate::client::subscriber::{Findings, Room, Subscriber};
use crate::subject::{Client, Kind, Reply, Setup, Subject, Wish};
use crate::usage::{self, Usage};

/// Joins under way at a time while a scene is set up.
const JOINING_MAX: usize = 16;
/// Longest time for all joins together.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// How long after a publisher's handshake a server may take to offer what it sends.
const ANNOUNCED: Duration = Duration::from_millis(300);
/// First retransmission of a client's handshake, as in libwebrtc (`kInitialTimeout`).
const DTLS_TIMEOUT: Duration = Duration::from_millis(50);
/// Retransmissions before it gives up. Chosen: they take 25 s, so that a server beyond its limit is
/// shown by its times, not by its clients' impatience.
const DTLS_RETRIES: usize = 8;
/// How often the timers of subscribers are looked at.
const SWEEP: Duration = Duration::from_millis(4);
/// Epoll's numbers: publishers have this bit, the signalling has all.
const PUBLISHER: u64 = 1 << 32;
const SIGNALS: u64 = u64::MAX;

/// What happened between two marks.
pub(crate) struct Window {
    pub(crate) time: Duration,
    /// Media packets that subscribers got, that were sent to them (by their sequence numbers), and
    /// that their publishers sent for them.
    pub(crate) received: u64,
    pub(crate) expected: u64,
    pub(crate) wanted: u64,
    /// The worst served subscriber's part of what was sent for it, 0 to 1.
    pub(crate) worst_share: f64,
    pub(crate) server: Usage,
    pub(crate) generator: Usage,
    pub(crate) found: Findings,
    /// Datagrams the kernel threw away for want of receive buffer, on both sides together.
    pub(crate) refused: u64,
}

/// A server and all its clients.
pub(crate) struct Generator {
    pub(crate) subject: Subject,
    pub(crate) publishers: Vec<Publisher>,
    /// Places of those who left are empty.
    pub(crate) subscribers: Vec<Option<Subscriber>>,
    pub(crate) found: Findings,
    /// Whom a subscriber hears.
    hears: HashMap<usize, Arc<[usize]>>,
    media: Media,
    sample: u64,
    dtls: Arc<Config>,
    epoll: Epoll,
    batch: Batch,
    start: Instant,
    swept: Instant,
}

impl Generator {
    /// Starts the server. Subscribers open one packet in `sample` of each stream.
    pub(crate) fn start(kind: Kind, setup: &Setup, media: Media, sample: u64) -> Outcome<Self> {
        let subject = Subject::start(kind, setup)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS);
        epoll.add(subject.signals.descriptor(), event)?;
        let now = Instant::now();
        Ok(Self {
            subject,
            publishers: Vec::new(),
            subscribers: Vec::new(),
            found: Findings::default(),
            hears: HashMap::new(),
            media,
            sample,
            dtls: Arc::new(
                Config::builder()
                    .flight_start_rto(DTLS_TIMEOUT)
                    .flight_retries(DTLS_RETRIES)
                    .build()?,
            ),
            epoll,
            batch: Batch::new(),
            start: now,
            swept: now,
        })
    }

    /// Connects so many publishers to each of `rooms` rooms, one after the other.
    pub(crate) fn publish(&mut self, rooms: usize, each: usize) -> Outcome<()> {
        for number in 0..rooms * each {
            let publisher = Publisher::new(number, &self.media, self.subject.client_ip)?;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, PUBLISHER | number as u64);
            self.epoll.add(&publisher.socket, event)?;
            self.subject.signals.send(Wish::Publish {
                number,
                room: number / each.max(1),
                local: publisher.local.clone(),
                sections: publisher.sections(),
            });
            self.publishers.push(publisher);
            let end = Instant::now() + CONNECT_MAX;
            while !self.publishers.last().is_some_and(Publisher::is_connected) {
                self.turn()?;
                if Instant::now() > end {
                    return Err("the publisher does not connect".into());
                }
            }
        }
        self.run_for(ANNOUNCED)
    }

    /// Starts all sources.
    pub(crate) fn play(&mut self) {
        let now = Instant::now();
        self.publishers.iter_mut().for_each(|publisher| publisher.play(now));
    }

    /// Stops all sources.
    pub(crate) fn pause(&mut self) {
        self.publishers.iter_mut().for_each(Publisher::pause);
    }

    /// What the server is, and the cipher that was agreed on.
    pub(crate) fn about(&self) -> String {
        let keys = self.present().find_map(|one| one.transport.as_ref()?.keys.as_ref());
        let profile = keys.map_or("no keys", |keys| keys.profile);
        format!("{}, {profile}", self.subject.description)
    }

    /// Lets one more subscriber join a room and hear these publishers; returns its number.
    pub(crate) fn join(&mut self, room: usize, each: usize, of: Arc<[usize]>) -> Outcome<usize> {
        let number = self.subscribers.len();
        let rooms = Room { first: (room * each) as u32, publishers: each as u32 };
        let subscriber = Subscriber::new(number, rooms, self.subject.client_ip, Instant::now())?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
        self.epoll.add(&subscriber.socket, event)?;
        let kinds = of.iter().flat_map(|_| self.media.kinds());
        let sections =
            kinds.enumerate().map(|(place, kind)| Section::offered(place, kind, None, None));
        self.subject.signals.send(Wish::Subscribe {
            number,
            room,
            local: subscriber.local.clone(),
            sections: sections.collect(),
            of: of.to_vec(),
        });
        self.hears.insert(number, of);
        self.subscribers.push(Some(subscriber));
        Ok(number)
    }

    /// Lets a subscriber leave.
    pub(crate) fn leave(&mut self, number: usize) {
        let Some(mut subscriber) = self.subscribers.get_mut(number).and_then(Option::take) else {
            return;
        };
        if let Some(transport) = &mut subscriber.transport {
            transport.close(&subscriber.socket);
        }
        self.hears.remove(&number);
        let _ = self.epoll.delete(&subscriber.socket);
        self.subject.signals.send(Wish::Leave(Client::Subscriber(number)));
    }

    /// Joins `wishes` (a room and whom to hear), a few at a time, until all have their keys.
    pub(crate) fn join_all(
        &mut self,
        each: usize,
        wishes: Vec<(usize, Arc<[usize]>)>,
    ) -> Outcome<()> {
        let end = Instant::now() + CONNECT_MAX;
        let mut wishes = wishes.into_iter().peekable();
        loop {
            let joining = self.joining();
            for (room, of) in wishes.by_ref().take(JOINING_MAX.saturating_sub(joining)) {
                self.join(room, each, of)?;
            }
            self.turn()?;
            let joining = self.joining();
            if let Some(failure) = self.present().find_map(|one| one.failure.clone()) {
                return Err(failure.into());
            }
            if joining == 0 && wishes.peek().is_none() {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("{joining} subscribers still not connected").into());
            }
        }
    }

    fn joining(&self) -> usize {
        self.present().filter(|one| one.connected.is_none()).count()
    }

    /// Those who did not leave.
    pub(crate) fn present(&self) -> impl Iterator<Item = &Subscriber> {
        self.subscribers.iter().flatten()
    }

    /// Lets time pass.
    pub(crate) fn run_for(&mut self, time: Duration) -> Outcome<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(())
    }

    /// Measures for a while.
    pub(crate) fn measure(&mut self, time: Duration) -> Outcome<Window> {
        self.found = Findings::default();
        self.subscribers.iter_mut().flatten().for_each(Subscriber::reset);
        let sent_before = self.sent();
        let (server, own) = (self.subject.usage()?, Usage::of(std::process::id())?);
        let refused = usage::receive_buffer_errors()?;
        let began = Instant::now();
        self.run_for(time)?;
        let (time, sent) = (began.elapsed(), self.sent());
        let (server, generator) =
            (self.subject.usage()?.since(&server), Usage::of(std::process::id())?.since(&own));
        let mut window = Window {
            time,
            received: 0,
            expected: 0,
            wanted: 0,
            worst_share: 1.0,
            server,
            generator,
            found: std::mem::take(&mut self.found),
            refused: usage::receive_buffer_errors()? - refused,
        };
        let sent: Vec<u64> =
            sent.iter().zip(sent_before).map(|(now, before)| now - before).collect();
        for subscriber in self.present() {
            let of = self.hears.get(&subscriber.number).into_iter().flat_map(|of| of.iter());
            let wanted: u64 = of.filter_map(|publisher| sent.get(*publisher)).sum();
            let (received, expected) = subscriber.counts();
            window.received += received;
            window.expected += expected;
            window.wanted += wanted;
            let share = received as f64 / wanted.max(1) as f64;
            window.worst_share = window.worst_share.min(share);
        }
        Ok(window)
    }

    /// Packets each publisher sent so far.
    fn sent(&self) -> Vec<u64> {
        let sent = |one: &Publisher| one.sources.iter().map(|source| source.counter).sum();
        self.publishers.iter().map(sent).collect()
    }

    /// Waits for datagrams at most a millisecond, takes them, does what is due.
    pub(crate) fn turn(&mut self) -> Outcome<()> {
        let mut events = [EpollEvent::empty(); 256];
        let ready = self.epoll.wait(&mut events, EpollTimeout::from(1u8))?;
        for event in events.iter().take(ready) {
            match event.data() {
                SIGNALS => self.take_replies()?,
                data if data & PUBLISHER != 0 => {
                    let mut buffer = [0; 2_048];
                    if let Some(one) = self.publishers.get_mut((data ^ PUBLISHER) as usize) {
                        one.receive(&mut buffer);
                    }
                }
                data => {
                    if let Some(Some(one)) = self.subscribers.get_mut(data as usize) {
                        one.receive(&mut self.batch, self.sample, self.start, &mut self.found);
                    }
                }
            }
        }
        let now = Instant::now();
        self.publishers.iter_mut().for_each(|publisher| publisher.on_time(now, self.start));
        if let Some(failure) = self.publishers.iter().find_map(Publisher::failure) {
            return Err(failure.into());
        }
        if now - self.swept >= SWEEP {
            self.swept = now;
            self.subscribers.iter_mut().flatten().for_each(|subscriber| subscriber.on_time(now));
        }
        Ok(())
    }

    fn take_replies(&mut self) -> Outcome<()> {
        while let Some(Reply { client, remote }) = self.subject.signals.poll() {
            let now = Instant::now();
            match client {
                Client::Publisher(number) => {
                    if let Some(publisher) = self.publishers.get_mut(number) {
                        publisher.begin(remote?, now)?;
                    }
                }
                Client::Subscriber(number) => {
                    let Some(Some(one)) = self.subscribers.get_mut(number) else { continue };
                    match remote {
                        Ok(remote) => one.begin(&self.dtls, remote, now),
                        Err(error) => one.failure = Some(error),
                    }
                }
            }
        }
        Ok(())
    }
}
