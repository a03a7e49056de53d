//! The data plane as a whole, on real sockets, with both drivers: claims, hand-over between cores,
//! commands, events, counters, stop. Clients are plain sockets that send connectivity checks.
#![allow(clippy::unwrap_used)]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use common::command::Command;
use common::counters::{Counters, Drop};
use common::event::{CloseReason, Event};
use common::id::{CoreId, PeerId};
use common::limits;
use dataplane::{Config, DataPlane, DriverChoice, DriverKind, PeerTicket, Pinning, StartError};
use proto::stun::{BindingSuccess, write_binding_request};

const BOTH: [DriverChoice; 2] = [DriverChoice::Uring, DriverChoice::Mmsg];
const PATIENCE: Duration = Duration::from_secs(20);

fn config(driver: DriverChoice, cores: usize) -> Config {
    let binds = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    Config { driver, ..Config::new(binds, cores, [7; 32]) }
}

fn start(driver: DriverChoice, cores: usize) -> DataPlane {
    let plane = DataPlane::start(config(driver, cores)).unwrap();
    let kind = if driver == DriverChoice::Mmsg { DriverKind::Mmsg } else { DriverKind::Uring };
    assert_eq!(plane.driver(), kind);
    assert_eq!(plane.cores(), cores);
    plane
}

fn client(plane: &DataPlane, v6: bool) -> UdpSocket {
    let ip = if v6 { "::1" } else { "127.0.0.1" };
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.connect((ip, plane.port())).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends a connectivity check of `ticket`'s peer.
fn check(socket: &UdpSocket, ticket: &PeerTicket, number: u8) {
    let mut slot = [0; 300];
    let user = format!("{}:theirs", ticket.ufrag);
    let password = ticket.pwd.as_bytes();
    let len = write_binding_request(&mut slot, [number; 12], &user, false, 1, 2, password);
    assert_ne!(len, 0);
    socket.send(&slot[..len]).unwrap();
}

/// Receives the answer to a check.
fn answer(socket: &UdpSocket, ticket: &PeerTicket, number: u8) {
    let mut buffer = [0; 300];
    let len = socket.recv(&mut buffer).expect("no answer to the check");
    let success = BindingSuccess::parse(&buffer[..len]).unwrap();
    assert_eq!(success.transaction(), [number; 12]);
    assert_eq!(success.mapped(), socket.local_addr().unwrap());
    assert!(success.verify(ticket.pwd.as_bytes()));
}

fn next_event(plane: &DataPlane) -> Event {
    plane.events().recv_timeout(PATIENCE).expect("no event")
}

/// Takes the two events of a peer's end: its bytes, then its close.
fn end(events: &crossbeam::channel::Receiver<Event>) -> Event {
    let traffic = events.recv_timeout(PATIENCE).expect("no event");
    assert!(matches!(traffic, Event::Traffic { received: 1.., sent: 1.., .. }), "{traffic:?}");
    events.recv_timeout(PATIENCE).expect("no event")
}

fn home(plane: &DataPlane, expected: PeerId) -> CoreId {
    match next_event(plane) {
        Event::Claimed { peer, core } if peer == expected => core,
        other => panic!("{other:?} instead of a claim of {expected:?}"),
    }
}

/// Sums `pick` over all cores until it is `wanted`.
fn until(plane: &DataPlane, wanted: u64, pick: impl Fn(&Counters) -> u64) {
    let end = Instant::now() + PATIENCE;
    loop {
        let sum: u64 = plane.counters().iter().map(&pick).sum();
        if sum == wanted {
            return;
        }
        assert!(Instant::now() < end && sum < wanted, "{sum} instead of {wanted}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn every_peer_has_one_home_and_is_answered_wherever_its_checks_land() {
    for driver in BOTH {
        let plane = start(driver, 2);
        let (peers, paths) = (30, 6);
        let mut homes = [0; 2];
        for number in 0..peers {
            let ticket = plane.open_peer().unwrap();
            let sockets: Vec<UdpSocket> =
                (0..paths).map(|path| client(&plane, path % 2 == 1)).collect();
            // All at once: the cores race for the claim.
            sockets.iter().for_each(|socket| check(socket, &ticket, number));
            sockets.iter().for_each(|socket| answer(socket, &ticket, number));
            let core = home(&plane, ticket.peer);
            homes[usize::from(core.0)] += 1;
            assert!(plane.events().is_empty(), "a second core claimed it, or worse");
        }
        assert!(homes[0] > 0 && homes[1] > 0, "{driver:?}: all at home on one core: {homes:?}");
        let total = u64::from(peers) * paths as u64;
        until(&plane, total, |counters| counters.control_in);
        until(&plane, total, |counters| counters.datagrams_out);
        let counters = plane.counters();
        let handed_over: u64 = counters.iter().map(|counters| counters.handed_over).sum();
        assert!(handed_over > 0, "{driver:?}: nothing landed on the other core");
        for counters in counters {
            let dropped: u64 = counters.drops.iter().sum();
            assert_eq!(
                counters.datagrams_in,
                counters.media_in + counters.control_in + counters.handed_over + dropped
            );
            assert_eq!(dropped, 0);
        }
        assert_eq!(plane.open_peers(), usize::from(peers));
        plane.stop();
    }
}

#[test]
fn commands_reach_their_core_and_what_follows_is_sent() {
    for driver in BOTH {
        let plane = start(driver, 2);
        let ticket = plane.open_peer().unwrap();
        let socket = client(&plane, false);
        check(&socket, &ticket, 1);
        answer(&socket, &ticket, 1);
        let core = home(&plane, ticket.peer);
        plane.send(core, Command::ClosePeer { peer: ticket.peer });
        let closed = Event::Closed { peer: ticket.peer, reason: CloseReason::Requested };
        assert_eq!(end(&plane.events()), closed);
        plane.release_peer(ticket.peer);
        assert_eq!(plane.open_peers(), 0);
        // Dead: no answer, no event, one counted drop.
        check(&socket, &ticket, 2);
        until(&plane, 1, |counters| counters.dropped(Drop::StunUnknownUser));
        assert!(plane.events().is_empty());
        // A core that does not exist.
        plane.send(CoreId(2), Command::ClosePeer { peer: ticket.peer });
    }
}

#[test]
fn a_restart_changes_the_credentials_and_names_the_same_peer() {
    let plane = start(DriverChoice::Auto, 1);
    let ticket = plane.open_peer().unwrap();
    assert_eq!(plane.restart_ice(ticket.peer, 0), (ticket.ufrag.clone(), ticket.pwd.clone()));
    let (ufrag, pwd) = plane.restart_ice(ticket.peer, 1);
    assert!(ufrag != ticket.ufrag && pwd != ticket.pwd);
    let restarted = PeerTicket { peer: ticket.peer, ufrag, pwd };
    let socket = client(&plane, false);
    check(&socket, &restarted, 9);
    answer(&socket, &restarted, 9);
    assert_eq!(home(&plane, ticket.peer), CoreId(0));
}

#[test]
fn more_commands_than_a_lane_holds_make_the_sender_wait_and_are_all_applied() {
    let plane = start(DriverChoice::Auto, 1);
    let ticket = plane.open_peer().unwrap();
    let unknown = PeerId::new(60_000, 3);
    for _ in 0..2 * limits::COMMAND_LANE {
        plane.send(CoreId(0), Command::ClosePeer { peer: unknown });
    }
    let socket = client(&plane, true);
    check(&socket, &ticket, 3);
    answer(&socket, &ticket, 3);
    plane.send(CoreId(0), Command::ClosePeer { peer: ticket.peer });
    assert_eq!(home(&plane, ticket.peer), CoreId(0));
    assert!(matches!(end(&plane.events()), Event::Closed { .. }));
    let depths = plane.lane_depths();
    assert_eq!((depths.commands, depths.events, depths.events_lost), (vec![0], 0, 0));
}

#[test]
fn stop_applies_what_was_sent_before_and_frees_the_port() {
    for driver in BOTH {
        let plane = start(driver, 2);
        let ticket = plane.open_peer().unwrap();
        let socket = client(&plane, false);
        check(&socket, &ticket, 1);
        answer(&socket, &ticket, 1);
        let core = home(&plane, ticket.peer);
        let events = plane.events();
        plane.send(core, Command::ClosePeer { peer: ticket.peer });
        let port = plane.port();
        plane.stop();
        assert!(matches!(end(&events), Event::Closed { .. }));
        // Bound without sharing: works only when every socket is gone.
        UdpSocket::bind(("127.0.0.1", port)).unwrap();
        UdpSocket::bind(("::1", port)).unwrap();
    }
}

#[test]
fn the_first_core_sees_that_the_port_is_taken() {
    let plane = start(DriverChoice::Auto, 1);
    let binds: Vec<SocketAddr> = vec![format!("127.0.0.1:{}", plane.port()).parse().unwrap()];
    let config = Config { binds, ..config(DriverChoice::Auto, 2) };
    let error = DataPlane::start(config).err().unwrap();
    let StartError::Driver { core: 0, source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn contradictions_are_refused() {
    let good = || config(DriverChoice::Auto, 1);
    let one: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let bad = [
        Config { cores: 0, ..good() },
        Config { cores: limits::CORES_MAX + 1, ..good() },
        Config { binds: vec![], ..good() },
        Config { binds: vec![one, one], ..good() },
        Config { binds: vec![one, "[::1]:5".parse().unwrap()], ..good() },
        Config { send_slots: 0, ..good() },
        Config { pinning: Pinning::Processors(vec![]), ..good() },
        Config { pinning: Pinning::Processors(vec![100_000]), ..good() },
    ];
    for config in bad {
        let shown = format!("{config:?}");
        let error = DataPlane::start(config).err();
        assert!(matches!(error, Some(StartError::Config(_))), "{shown}: {error:?}");
    }
}

#[test]
fn more_cores_than_processors_start_unpinned() {
    let cores = std::thread::available_parallelism().unwrap().get() + 1;
    let plane = start(DriverChoice::Auto, cores);
    let ticket = plane.open_peer().unwrap();
    let socket = client(&plane, false);
    check(&socket, &ticket, 1);
    answer(&socket, &ticket, 1);
}
