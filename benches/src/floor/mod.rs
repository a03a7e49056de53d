//! The floor: what the same work costs a program that does nothing but receive, open, rewrite, seal
//! and send. It is measured in the same run as the servers, with the same packets at the same pace,
//! the same number of destinations asleep in epoll, and the same books. `forwarder` is that program;
//! this file feeds it and takes what it sends. Called by `run`.

pub(crate) mod forwarder;
mod seal;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use ::tests::source::Shape;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use serde_json::json;

use crate::client::batch::{Batch, LOOPBACK, socket};
use crate::report::figures::Figures;
use crate::scenario::forward::Load;
use crate::scenario::trace;
use crate::subject::{Setup, pin};
use crate::usage::Usage;
use crate::{Method, Outcome};
use seal::Sealer;

/// One stream that is fed in.
struct Feed {
    shape: Shape,
    sealer: Sealer,
    next_at: Instant,
}

/// The forwarder and everything around it.
struct Rig {
    child: Child,
    /// Kept open: its end ends the forwarder.
    _input: ChildStdin,
    feeder: UdpSocket,
    feeds: Vec<Feed>,
    ends: Vec<UdpSocket>,
    epoll: Epoll,
    batch: Batch,
    sent: u64,
    received: u64,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Measures the floor of a load; with `traced` a window more for the kernel's trace points.
pub(crate) fn run(method: Method, setup: &Setup, load: &Load, traced: bool) -> Outcome<Figures> {
    let mut rig = Rig::start(method, setup, load)?;
    rig.run_for(Duration::from_secs_f64(load.warm_up))?;
    let (before, sent) = (Usage::of(rig.child.id())?, rig.sent);
    let received = rig.received;
    let began = Instant::now();
    rig.run_for(Duration::from_secs_f64(load.seconds))?;
    let used = Usage::of(rig.child.id())?.since(&before);
    let time = began.elapsed().as_secs_f64();
    let (received, sent) = (rig.received - received, rig.sent - sent);
    let wanted = (sent * load.hearers()) as f64;
    let mut figures = Figures::default();
    figures.cpu(&used, received, load);
    figures.set("packets_per_second", received as f64 / time);
    figures.set("server_core_percent", 100.0 * used.run.as_secs_f64() / time);
    figures.set("delivered_percent", 100.0 * received as f64 / wanted.max(1.0));
    if traced {
        trace::run(rig.child.id(), &mut figures, || rig.turn())?;
    }
    Ok(figures)
}

impl Rig {
    fn start(method: Method, setup: &Setup, load: &Load) -> Outcome<Self> {
        pin(setup.server_cpu);
        let child = Command::new(std::env::current_exe()?)
            .args(["floor-forwarder", "--method", &format!("{method:?}").to_lowercase()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        pin(setup.client_cpu);
        let mut child = child?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut ends = Vec::new();
        // Who gets what of each publisher, by place of the end.
        let mut hearers: Vec<Vec<u16>> = vec![Vec::new(); load.rooms * load.publishers];
        for (number, (_, of)) in load.wishes().into_iter().enumerate() {
            let end = socket(LOOPBACK)?;
            epoll.add(&end, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
            let port = end.local_addr()?.port();
            for publisher in of.iter() {
                hearers.get_mut(*publisher).ok_or("a publisher too many")?.push(port);
            }
            ends.push(end);
        }
        let mut input = child.stdin.take().ok_or("no stdin")?;
        writeln!(input, "{}", json!(hearers))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        let address: SocketAddr = line.trim().parse()?;
        let feeder = socket(LOOPBACK)?;
        feeder.connect(address)?;
        let now = Instant::now();
        let feeds = (0..hearers.len()).flat_map(|publisher| {
            load.media.shapes().into_iter().enumerate().map(move |(place, shape)| {
                let phase = (publisher * 2_333 + place * 7_000) as u64 % 33_000;
                let next_at = now + Duration::from_micros(phase);
                Feed { shape, sealer: Sealer::new(publisher as u32), next_at }
            })
        });
        let feeds = feeds.collect();
        let (batch, sent, received) = (Batch::new(), 0, 0);
        let _input = input;
        Ok(Self { child, _input, feeder, feeds, ends, epoll, batch, sent, received })
    }

    fn run_for(&mut self, time: Duration) -> Outcome<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(())
    }

    /// Waits for datagrams at most a millisecond, takes them, sends what is due.
    fn turn(&mut self) -> Outcome<()> {
        let mut events = [EpollEvent::empty(); 256];
        let ready = self.epoll.wait(&mut events, EpollTimeout::from(1u8))?;
        for event in events.iter().take(ready) {
            if let Some(end) = self.ends.get(event.data() as usize) {
                self.batch.receive(end, |_| self.received += 1);
            }
        }
        self.feed()
    }

    /// Sends the frames that are due.
    fn feed(&mut self) -> Outcome<()> {
        let now = Instant::now();
        for feed in self.feeds.iter_mut().filter(|feed| feed.next_at <= now) {
            feed.next_at += feed.shape.interval;
            for _ in 0..feed.shape.packets {
                // A full socket buffer is loss like any other.
                let _ = self.feeder.send(feed.sealer.packet(feed.shape.len)?);
                self.sent += 1;
            }
        }
        Ok(())
    }
}
