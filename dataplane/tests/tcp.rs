//! TCP at the data plane as a whole, with both drivers: checks over connections, connections that
//! move to the core where their peer lives, and what strangers can and cannot do.
#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use common::counters::{Counters, Drop, TcpClose};
use common::event::Event;
use common::id::{CoreId, PeerId};
use common::limits::{DATAGRAM_MAX, TCP_PROOF_MAX};
use dataplane::{Config, DataPlane, DriverChoice, PeerTicket};
use proto::stun::{BindingSuccess, write_binding_request};

const BOTH: [DriverChoice; 2] = [DriverChoice::Uring, DriverChoice::Mmsg];
const PATIENCE: Duration = Duration::from_secs(20);

fn start(driver: DriverChoice, cores: usize) -> DataPlane {
    let binds = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    DataPlane::start(Config { driver, ..Config::new(binds, cores, [7; 32]) }).unwrap()
}

fn connect(plane: &DataPlane, v6: bool) -> TcpStream {
    let stream = TcpStream::connect((if v6 { "::1" } else { "127.0.0.1" }, plane.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A connectivity check of `ticket`'s peer.
fn check(ticket: &PeerTicket, number: u8) -> Vec<u8> {
    let mut slot = vec![0; 300];
    let user = format!("{}:theirs", ticket.ufrag);
    let password = ticket.pwd.as_bytes();
    let len = write_binding_request(&mut slot, [number; 12], &user, false, 1, 2, password);
    slot.truncate(len);
    slot
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

/// Reads the answer to a check.
fn answer(stream: &mut TcpStream, ticket: &PeerTicket, number: u8) {
    let mut header = [0; 2];
    stream.read_exact(&mut header).expect("no answer to the check");
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(header))];
    stream.read_exact(&mut bytes).unwrap();
    let success = BindingSuccess::parse(&bytes).unwrap();
    assert_eq!(success.transaction(), [number; 12]);
    assert_eq!(success.mapped(), stream.local_addr().unwrap());
    assert!(success.verify(ticket.pwd.as_bytes()));
}

fn home(plane: &DataPlane, expected: PeerId) -> CoreId {
    match plane.events().recv_timeout(PATIENCE).expect("no event") {
        Event::Claimed { peer, core } if peer == expected => core,
        other => panic!("{other:?} instead of a claim of {expected:?}"),
    }
}

fn sum(plane: &DataPlane, pick: impl Fn(&Counters) -> u64) -> u64 {
    plane.counters().iter().map(pick).sum()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_connection_moves_to_the_home_of_its_peer() {
    for driver in BOTH {
        let plane = start(driver, 2);
        let ticket = plane.open_peer().unwrap();
        let mut first = connect(&plane, false);
        first.write_all(&frame(&check(&ticket, 0))).unwrap();
        answer(&mut first, &ticket, 0);
        let home = usize::from(home(&plane, ticket.peer).0);
        let mut others: Vec<TcpStream> = (0..24).map(|n| connect(&plane, n % 2 == 1)).collect();
        for (number, stream) in others.iter_mut().enumerate() {
            // Two at once and the third cut: what is unread moves along.
            let number = number as u8 * 4;
            let bytes: Vec<u8> = (1..4).flat_map(|n| frame(&check(&ticket, number + n))).collect();
            let (head, tail) = bytes.split_at(bytes.len() - 30);
            stream.write_all(head).unwrap();
            answer(stream, &ticket, number + 1);
            answer(stream, &ticket, number + 2);
            stream.write_all(tail).unwrap();
            answer(stream, &ticket, number + 3);
        }
        // Each core publishes in its own time: until the blocks agree.
        until("published", || {
            let moved = sum(&plane, |c| c.tcp.closed(TcpClose::Moved));
            sum(&plane, |c| c.tcp.accepted) == 25
                && sum(&plane, |c| c.tcp.open) == 25
                && sum(&plane, |c| c.tcp.adopted) == moved
                && sum(&plane, |c| c.control_in) == 73
        });
        let counters = plane.counters();
        let (there, other) = (&counters[home].tcp, &counters[1 - home].tcp);
        assert!(other.accepted > 2, "the kernel puts all connections on one core");
        assert_eq!(other.closed(TcpClose::Moved), other.accepted);
        assert_eq!((there.adopted, there.closed(TcpClose::Moved)), (other.accepted, 0));
        // Each was handed over once, with its first message; the rest came straight.
        assert_eq!(sum(&plane, |c| c.handed_over), other.accepted);
        for counters in &counters {
            let dropped: u64 = counters.drops.iter().sum();
            let went = counters.media_in + counters.control_in + counters.handed_over + dropped;
            assert_eq!((counters.datagrams_in, dropped), (went, 0));
        }
        assert!(plane.events().is_empty());
        plane.stop();
    }
}

/// Garbage, forged checks, checks of a peer that is gone, slow and long frames, silence: none is
/// answered, each is bounded and ends, and a check over UDP is answered all the while.
#[test]
fn strangers_get_no_answer_and_no_state() {
    for driver in BOTH {
        let plane = start(driver, 1);
        let (ticket, gone) = (plane.open_peer().unwrap(), plane.open_peer().unwrap());
        plane.release_peer(gone.peer);
        let forged =
            PeerTicket { pwd: "0123456789abcdef0123456789abcdef".into(), ..ticket.clone() };
        let noise: Vec<u8> = (0..400u32).map(|n| ((n * 131) >> 3) as u8 | 0x80).collect();
        let messages = [frame(&noise), frame(&check(&forged, 1)), frame(&check(&gone, 2))];
        let mut strangers: Vec<TcpStream> = messages
            .iter()
            .map(|message| {
                let mut stream = connect(&plane, false);
                stream.write_all(message).unwrap();
                stream
            })
            .collect();
        let mut long = connect(&plane, true);
        long.write_all(&[0xff; 2_000]).unwrap();
        let mut slow = connect(&plane, true);
        slow.write_all(&frame(&[1; DATAGRAM_MAX])[..700]).unwrap();
        strangers.push(slow);
        strangers.push(connect(&plane, false));
        let start = Instant::now();
        until("the long frame ends its connection", || {
            sum(&plane, |c| c.tcp.closed(TcpClose::FrameTooLong)) == 1
        });
        let friend = UdpSocket::bind("127.0.0.1:0").unwrap();
        friend.connect(("127.0.0.1", plane.port())).unwrap();
        friend.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut number = 0;
        while sum(&plane, |c| c.tcp.open) != 0 {
            number += 1;
            friend.send(&check(&ticket, number)).unwrap();
            let asked = Instant::now();
            friend.recv(&mut [0; 300]).unwrap();
            assert!(asked.elapsed() < Duration::from_millis(500), "a friend had to wait");
            assert!(start.elapsed() < 3 * TCP_PROOF_MAX);
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(start.elapsed() > TCP_PROOF_MAX / 2);
        assert_eq!(sum(&plane, |c| c.tcp.closed(TcpClose::Unproven)), 5);
        for mut stream in strangers {
            match stream.read(&mut [0; 10]) {
                Ok(count) => assert_eq!(count, 0, "an answer"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            }
        }
        let counters = plane.counters()[0];
        for reason in [Drop::StunUnauthentic, Drop::StunUnknownUser, Drop::UnknownAddress] {
            assert_eq!(counters.dropped(reason), 1, "{reason:?}");
        }
        assert_eq!(plane.events().len(), 1, "only the friend is known");
        plane.stop();
    }
}

/// A peer of one core may not be taken away by checks of a peer of another core.
#[test]
fn a_connection_that_carries_a_peer_stays() {
    let plane = start(DriverChoice::Auto, 2);
    let tickets: Vec<PeerTicket> = (0..8).map(|_| plane.open_peer().unwrap()).collect();
    let mut streams: Vec<TcpStream> = tickets.iter().map(|_| connect(&plane, false)).collect();
    let mut homes = Vec::new();
    for (stream, ticket) in streams.iter_mut().zip(&tickets) {
        stream.write_all(&frame(&check(ticket, 1))).unwrap();
        answer(stream, ticket, 1);
        homes.push(home(&plane, ticket.peer));
    }
    let other = homes.iter().position(|home| *home != homes[0]);
    let other = other.expect("the kernel puts all connections on one core");
    let stream = &mut streams[0];
    stream.write_all(&frame(&check(&tickets[other], 2))).unwrap();
    stream.write_all(&frame(&check(&tickets[0], 3))).unwrap();
    answer(stream, &tickets[0], 3);
    until("the stray check is counted", || sum(&plane, |c| c.dropped(Drop::HandOverFull)) == 1);
    assert_eq!(sum(&plane, |c| c.tcp.closed(TcpClose::Moved)), 0);
}

#[test]
fn a_stop_closes_connections_and_frees_the_port() {
    for driver in BOTH {
        let plane = start(driver, 2);
        let port = plane.port();
        let ticket = plane.open_peer().unwrap();
        let mut stream = connect(&plane, false);
        stream.write_all(&frame(&check(&ticket, 1))).unwrap();
        answer(&mut stream, &ticket, 1);
        plane.stop();
        assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);
        // The closed connection lingers; a node that starts again has its port all the same.
        let binds = vec![format!("127.0.0.1:{port}").parse().unwrap()];
        let again = DataPlane::start(Config::new(binds.clone(), 2, [7; 32])).unwrap();
        again.stop();
        let stranger = TcpListener::bind(("::1", port)).unwrap();
        let binds = vec![format!("[::1]:{port}").parse().unwrap()];
        assert!(DataPlane::start(Config::new(binds.clone(), 1, [7; 32])).is_err());
        let without = Config { tcp_connections: 0, ..Config::new(binds, 1, [7; 32]) };
        DataPlane::start(without).unwrap().stop();
        drop(stranger);
    }
}
