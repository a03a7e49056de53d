//! The scenario `channels`: one publisher of a reliable, ordered data channel and N subscribers over
//! real sockets. Two runs of the same length: everybody reads; then one subscriber stops reading.
//! Says what a delivered message cost the server, how long it took, what was lost and what memory
//! did.

mod client;
mod server;

use std::error::Error;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use ring::digest::{SHA256, digest};

use crate::ChannelArguments;
use crate::Outcome;
use crate::client::batch::{LOOPBACK, socket};
use crate::report::figures::{ms, percentile};
use crate::usage::Usage;
use client::Client;
use server::Server;

/// SCTP streams of the publisher and of every subscriber, known to `serve` as well.
pub(crate) const PUBLISHED: u16 = 2;
/// See [`PUBLISHED`].
pub(crate) const SUBSCRIBED: u16 = 3;

/// Handshakes under way at a time.
const JOINING_MAX: usize = 16;
/// Longest time for all handshakes together.
const CONNECT_MAX: Duration = Duration::from_secs(180);
/// Messages flow this long before anything is counted.
const WARM_UP: Duration = Duration::from_secs(2);
/// Time after a run for what is under way.
const REST: Duration = Duration::from_secs(3);
/// How often timers of all peers are looked at.
const SWEEP: Duration = Duration::from_millis(20);
/// Number under which the publisher's socket is registered with epoll.
const PUBLISHER: u64 = u64::MAX;

/// One subscriber and what it got.
struct Subscriber {
    client: Client,
    /// The number its next message must have.
    next: Option<u32>,
    received: u64,
}

struct Scene {
    server: Server,
    publisher: Client,
    subscribers: Vec<Subscriber>,
    epoll: Epoll,
    start: Instant,
    sent: u32,
    next_at: Option<Instant>,
    pause: Duration,
    size: usize,
    latency: Vec<Duration>,
    wrong: u64,
    swept: Instant,
}

/// Measures and prints.
pub(crate) fn run(arguments: &ChannelArguments) -> Outcome<()> {
    let server = Server::start(&arguments.serve)?;
    crate::subject::pin(arguments.client_cpu);
    let mut scene = Scene::new(server, arguments)?;
    let idle = scene.server.usage()?;
    scene.connect(arguments.subscribers)?;
    let full = scene.server.usage()?;
    let kib = full.resident_kib.saturating_sub(idle.resident_kib) / arguments.subscribers as u64;
    println!(
        "{} subscribers, {} messages/s of {} bytes, reliable and ordered, {}; {kib} KiB each",
        arguments.subscribers, arguments.rate, arguments.size, scene.server.driver
    );
    println!(
        "| reading | sent | delivered | lost | us/message | core % | latency ms p50 | p99 | p99.9 | server MiB before | after | generator core % |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    scene.next_at = Some(Instant::now());
    scene.run_for(WARM_UP)?;
    let time = Duration::from_secs(arguments.seconds);
    let mut lost = scene.measure(time, "all")?;
    if let Some(one) = scene.subscribers.first_mut() {
        one.client.stalled = true;
    }
    lost += scene.measure(time, "all but one")?;
    println!("the server's counts: {}", scene.server.stats()?);
    let wrong = scene.wrong;
    scene.server.stop()?;
    match (lost, wrong) {
        (0, 0) => Ok(()),
        _ => Err(format!("{lost} messages lost, {wrong} wrong").into()),
    }
}

impl Scene {
    fn new(mut server: Server, arguments: &ChannelArguments) -> Outcome<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let publisher = join(&mut server, "publisher", PUBLISHED)?;
        epoll.add(&publisher.socket, EpollEvent::new(EpollFlags::EPOLLIN, PUBLISHER))?;
        let now = Instant::now();
        Ok(Self {
            server,
            publisher,
            subscribers: Vec::new(),
            epoll,
            start: now,
            sent: 0,
            next_at: None,
            pause: Duration::from_secs(1) / arguments.rate.max(1),
            size: arguments.size.max(12),
            latency: Vec::new(),
            wrong: 0,
            swept: now,
        })
    }

    fn connect(&mut self, count: usize) -> Outcome<()> {
        let end = Instant::now() + CONNECT_MAX;
        let mut looked = Instant::now();
        loop {
            let up = self.subscribers.iter().filter(|one| one.client.up).count();
            while self.subscribers.len() < count && self.subscribers.len() - up < JOINING_MAX {
                let number = self.subscribers.len() as u64;
                let client = join(&mut self.server, "subscriber", SUBSCRIBED)?;
                let event = EpollEvent::new(EpollFlags::EPOLLIN, number);
                self.epoll.add(&client.socket, event)?;
                self.subscribers.push(Subscriber { client, next: None, received: 0 });
            }
            self.turn()?;
            if up == count && self.publisher.up && looked.elapsed() > Duration::from_millis(100) {
                looked = Instant::now();
                if self.server.stats()?["sctp"].as_u64() == Some(count as u64 + 1) {
                    return Ok(());
                }
            }
            if Instant::now() > end {
                return Err(format!("{up} of {count} subscribers came up").into());
            }
        }
    }

    /// Measures one run; returns how many messages were lost by those who read.
    fn measure(&mut self, time: Duration, who: &str) -> Outcome<u64> {
        let (server, own) = (self.server.usage()?, Usage::of(std::process::id())?);
        self.latency.clear();
        let (sent, began) = (self.sent, Instant::now());
        let received = |scene: &Self| -> u64 {
            let reading = scene.subscribers.iter().filter(|one| !one.client.stalled);
            reading.map(|one| one.received).sum()
        };
        let before = received(self);
        self.run_for(time)?;
        let took = began.elapsed();
        let server_used = self.server.usage()?.since(&server);
        let own_used = Usage::of(std::process::id())?.since(&own);
        let delivered = received(self) - before;
        let mut latency = std::mem::take(&mut self.latency);
        latency.sort();
        let sent = self.sent - sent;
        // What is under way comes in; then everybody must be at the newest.
        let next_at = self.next_at.take();
        self.run_for(REST)?;
        self.next_at = next_at.map(|_| Instant::now());
        let newest = self.sent;
        let missing = |one: &Subscriber| u64::from(newest - one.next.unwrap_or(0));
        let reading = self.subscribers.iter().filter(|one| !one.client.stalled);
        let lost: u64 = reading.map(missing).sum();
        let after = self.server.usage()?;
        println!(
            "| {who} | {sent} | {delivered} | {lost} | {:.2} | {:.0} | {:.2} | {:.2} | {:.2} | {:.1} | {:.1} | {:.0} |",
            server_used.run.as_secs_f64() * 1e6 / delivered.max(1) as f64,
            100.0 * server_used.run.as_secs_f64() / took.as_secs_f64(),
            ms(percentile(&latency, 0.5)),
            ms(percentile(&latency, 0.99)),
            ms(percentile(&latency, 0.999)),
            server.resident_kib as f64 / 1024.0,
            after.resident_kib as f64 / 1024.0,
            100.0 * own_used.run.as_secs_f64() / took.as_secs_f64(),
        );
        Ok(lost)
    }

    fn run_for(&mut self, time: Duration) -> Outcome<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(())
    }

    /// Waits for datagrams at most a millisecond, takes them, does what is due.
    fn turn(&mut self) -> Outcome<()> {
        let mut events = [EpollEvent::empty(); 64];
        let ready = self.epoll.wait(&mut events, EpollTimeout::from(1u8))?;
        for event in &events[..ready] {
            if event.data() == PUBLISHER {
                self.publisher.receive();
            } else {
                self.receive(event.data() as usize)?;
            }
            self.publish();
        }
        self.publish();
        let now = Instant::now();
        if now.duration_since(self.swept) >= SWEEP {
            self.swept = now;
            self.publisher.on_time(now);
            for one in &mut self.subscribers {
                one.client.on_time(now);
            }
        }
        Ok(())
    }

    fn receive(&mut self, number: usize) -> Outcome<()> {
        let Some(one) = self.subscribers.get_mut(number) else { return Ok(()) };
        if one.client.stalled {
            // Its socket stays ready for ever.
            let _ = self.epoll.delete(&one.client.socket);
            return Ok(());
        }
        one.client.receive();
        let now = self.start.elapsed();
        for message in one.client.messages.drain(..) {
            let (Some(count), Some(sent)) = (message.first_chunk::<4>(), message.get(4..12)) else {
                self.wrong += 1;
                continue;
            };
            let count = u32::from_be_bytes(*count);
            let sent = Duration::from_nanos(u64::from_be_bytes(sent.try_into()?));
            let whole = message.len() == self.size && message.iter().skip(12).all(|it| *it == 0x5a);
            // Its first message may be any; then each comes once, in order.
            if !whole || one.next.is_some_and(|next| next != count) {
                self.wrong += 1;
            }
            one.next = Some(count + 1);
            one.received += 1;
            self.latency.push(now.saturating_sub(sent));
        }
        Ok(())
    }

    fn publish(&mut self) {
        let now = Instant::now();
        while let Some(at) = self.next_at.filter(|at| *at <= now) {
            self.next_at = Some(at + self.pause);
            let mut message = vec![0x5a; self.size];
            message[..4].copy_from_slice(&self.sent.to_be_bytes());
            let since = self.start.elapsed().as_nanos() as u64;
            message[4..12].copy_from_slice(&since.to_be_bytes());
            if self.publisher.send(&message, now) {
                self.sent += 1;
            }
        }
    }
}

/// Opens a place at the server and makes the peer for it.
fn join(server: &mut Server, role: &str, stream: u16) -> Result<Client, Box<dyn Error>> {
    let socket: UdpSocket = socket(LOOPBACK)?;
    socket.connect(server.address)?;
    let certificate = dimpl::certificate::generate_self_signed_certificate()?;
    let print = digest(&SHA256, &certificate.certificate);
    let credentials = server.open(role, print.as_ref())?;
    Ok(Client::new(socket, certificate, credentials, stream, Instant::now()))
}
