//! TCP through both drivers: real connections of the standard library at the other end, friendly
//! and hostile ones. Whatever one driver is tested for here, the other is too.
#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use common::address::TransportAddress;
use common::counters::TcpClose;
use common::id::CoreId;
use common::limits::{
    DATAGRAM_MAX, TCP_CONNECTIONS_MAX, TCP_IDLE_MAX, TCP_PER_ADDRESS_MAX, TCP_PROOF_MAX,
    TCP_QUEUE_BYTES, TCP_UNPROVEN_BYTES_MAX, TCP_UNPROVEN_MAX,
};
use io::{Datagram, Driver, DriverChoice, DriverConfig, SendQueue};

const BOTH: [DriverChoice; 2] = [DriverChoice::Uring, DriverChoice::Mmsg];
/// Most that the kernel keeps of one connection at both ends: what it lets buffers grow to.
const KERNEL_BYTES_MAX: usize = 32 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

fn config(choice: DriverChoice) -> DriverConfig {
    DriverConfig {
        binds: vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()],
        join: false,
        tcp_connections: TCP_CONNECTIONS_MAX,
        choice,
        send_slots: 64,
        receive_buffers: 64,
        socket_buffer: 1 << 20,
    }
}

fn open(choice: DriverChoice) -> Driver {
    Driver::open(&config(choice)).unwrap()
}

/// More descriptors than a shell has by default: some tests open over a thousand connections.
fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

fn connect(driver: &Driver, family: usize) -> TcpStream {
    let stream = TcpStream::connect(driver.local_addresses()[family]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 2];
    stream.read_exact(&mut header).unwrap();
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(header))];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// One turn as the worker makes it.
fn turn(driver: &mut Driver, each: impl FnMut(Datagram<'_>, &mut SendQueue)) {
    driver.wait(Duration::from_millis(20)).unwrap();
    driver.receive(64, each);
    driver.submit().unwrap();
}

/// Turns until `done`.
fn until(driver: &mut Driver, mut done: impl FnMut(&Driver) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done(driver) {
        assert!(Instant::now() < end, "{:?}", driver.tcp_counters());
        turn(driver, |_, _| ());
    }
}

fn send(sends: &mut SendQueue, to: TransportAddress, bytes: &[u8]) {
    sends.reserve().unwrap()[..bytes.len()].copy_from_slice(bytes);
    sends.commit(to, bytes.len());
}

/// Answers with the same bytes.
fn echo(datagram: Datagram<'_>, sends: &mut SendQueue) {
    send(sends, datagram.from, datagram.bytes);
}

fn closed(driver: &Driver, reason: TcpClose) -> u64 {
    driver.tcp_counters().closed(reason)
}

/// Sends a datagram and gets it back, so that the connection has proved itself.
fn prove(driver: &mut Driver, stream: &mut TcpStream) -> TransportAddress {
    stream.write_all(&frame(b"prove")).unwrap();
    let mut from = None;
    let end = Instant::now() + PATIENCE;
    while from.is_none() {
        assert!(Instant::now() < end);
        turn(driver, |datagram, sends| {
            from = Some(datagram.from);
            echo(datagram, sends);
        });
    }
    assert_eq!(read_frame(stream), b"prove");
    from.unwrap()
}

/// Whether the far end closed or reset it, now or soon.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    match stream.read(&mut [0; 100]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn datagrams_come_and_go_whole_in_both_families() {
    for choice in BOTH {
        let mut driver = open(choice);
        let mut streams: Vec<TcpStream> = (0..4).map(|index| connect(&driver, index % 2)).collect();
        for stream in &mut streams {
            let from = prove(&mut driver, stream);
            assert!(from.is_tcp());
            assert_eq!(from.socket(), stream.local_addr().unwrap());
        }
        // All sizes, each stream cut in other places.
        let datagrams: Vec<Vec<u8>> =
            (1..=DATAGRAM_MAX).step_by(37).map(|len| vec![len as u8; len]).collect();
        let bytes: Vec<u8> = datagrams.iter().flat_map(|datagram| frame(datagram)).collect();
        let threads: Vec<_> = streams
            .into_iter()
            .enumerate()
            .map(|(number, mut stream)| {
                let (bytes, expected) = (bytes.clone(), datagrams.clone());
                std::thread::spawn(move || {
                    let mut writer = stream.try_clone().unwrap();
                    let feeder = std::thread::spawn(move || {
                        for piece in bytes.chunks(1 + number * 701) {
                            writer.write_all(piece).unwrap();
                        }
                    });
                    for datagram in expected {
                        assert_eq!(read_frame(&mut stream), datagram);
                    }
                    feeder.join().unwrap();
                })
            })
            .collect();
        let end = Instant::now() + 3 * PATIENCE;
        while threads.iter().any(|thread| !thread.is_finished()) {
            assert!(Instant::now() < end, "{choice:?}");
            turn(&mut driver, echo);
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        until(&mut driver, |driver| closed(driver, TcpClose::Remote) == 4);
        let counters = *driver.tcp_counters();
        assert_eq!((counters.accepted, counters.open, counters.datagrams_dropped), (4, 0, 0));
        assert_eq!(driver.take_send_failures(), 0);
    }
}

#[test]
fn a_parked_driver_wakes_for_a_connection_and_for_its_data() {
    for choice in BOTH {
        let mut driver = open(choice);
        turn(&mut driver, |_, _| ());
        let to = driver.local_addresses()[0];
        let client = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            let mut stream = TcpStream::connect(to).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            stream.write_all(&frame(b"wake")).unwrap();
            stream
        });
        let (start, mut seen) = (Instant::now(), 0);
        while seen == 0 {
            driver.wait(PATIENCE).unwrap();
            driver.receive(64, |_, _| seen += 1);
        }
        let took = start.elapsed();
        assert!(took < PATIENCE / 2, "{choice:?}: {took:?}");
        client.join().unwrap();
    }
}

#[test]
fn an_idle_listener_lets_the_driver_sleep() {
    for choice in BOTH {
        let mut driver = open(choice);
        let mut stream = connect(&driver, 0);
        prove(&mut driver, &mut stream);
        driver.wait(Duration::ZERO).unwrap();
        driver.receive(64, |_, _| ());
        let start = Instant::now();
        driver.wait(Duration::from_millis(60)).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(59), "{choice:?}: woken by nothing");
    }
}

#[test]
fn udp_and_tcp_share_the_port_and_do_not_mix() {
    for choice in BOTH {
        let mut driver = open(choice);
        let mut stream = connect(&driver, 0);
        let datagrams = UdpSocket::bind(stream.local_addr().unwrap()).unwrap();
        datagrams.connect(driver.local_addresses()[0]).unwrap();
        datagrams.set_read_timeout(Some(PATIENCE)).unwrap();
        let over_tcp = prove(&mut driver, &mut stream);
        datagrams.send(b"udp").unwrap();
        let mut over_udp = None;
        while over_udp.is_none() {
            turn(&mut driver, |datagram, sends| {
                over_udp = Some(datagram.from);
                send(sends, over_tcp, b"to tcp");
                send(sends, datagram.from, b"to udp");
            });
        }
        assert_eq!(over_udp.unwrap().socket(), over_tcp.socket());
        assert_ne!(over_udp.unwrap(), over_tcp);
        assert_eq!(read_frame(&mut stream), b"to tcp");
        let mut buffer = [0; 10];
        assert_eq!(datagrams.recv(&mut buffer).unwrap(), 6);
        assert_eq!(&buffer[..6], b"to udp");
    }
}

#[test]
fn a_slow_reader_loses_whole_frames_and_delays_nobody() {
    for choice in BOTH {
        let mut driver = open(choice);
        let (mut slow, mut quick) = (connect(&driver, 0), connect(&driver, 0));
        let to_slow = prove(&mut driver, &mut slow);
        let to_quick = prove(&mut driver, &mut quick);
        let mut sent = 0u32;
        let start = Instant::now();
        // Until the kernel's buffers and then ours are full.
        while driver.tcp_counters().datagrams_dropped < 200 {
            for _ in 0..20 {
                let mut bytes = [0; 1_000];
                bytes[..4].copy_from_slice(&sent.to_be_bytes());
                send(driver.sends(), to_slow, &bytes);
                send(driver.sends(), to_quick, &bytes);
                sent += 1;
            }
            driver.submit().unwrap();
            for number in sent - 20..sent {
                assert_eq!(read_frame(&mut quick)[..4], number.to_be_bytes());
            }
            assert!(start.elapsed() < PATIENCE, "{:?}", driver.tcp_counters());
        }
        let dropped = *driver.tcp_counters();
        assert_eq!(dropped.bytes_dropped, dropped.datagrams_dropped * 1_000);
        // What was taken arrives whole and in order once the reader reads.
        let taken = sent - dropped.datagrams_dropped as u32;
        assert!((taken as usize * 1_000) < TCP_QUEUE_BYTES + KERNEL_BYTES_MAX, "{taken} are kept");
        let reader = std::thread::spawn(move || {
            let mut last = None;
            for _ in 0..taken {
                let bytes = read_frame(&mut slow);
                let number = u32::from_be_bytes(bytes[..4].try_into().unwrap());
                assert!(bytes.len() == 1_000 && last < Some(number));
                last = Some(number);
            }
            slow
        });
        let end = Instant::now() + PATIENCE;
        while !reader.is_finished() {
            assert!(Instant::now() < end, "{choice:?}");
            turn(&mut driver, |_, _| ());
        }
        let mut slow = reader.join().unwrap();
        // And the connection goes on.
        prove(&mut driver, &mut slow);
        assert_eq!(driver.tcp_counters().datagrams_dropped, dropped.datagrams_dropped);
    }
}

#[test]
fn a_frame_that_is_too_long_ends_its_connection_at_once() {
    for choice in BOTH {
        let mut driver = open(choice);
        for header in [(DATAGRAM_MAX + 1) as u16, u16::MAX] {
            let mut stream = connect(&driver, 0);
            stream.write_all(&header.to_be_bytes()).unwrap();
            let before = closed(&driver, TcpClose::FrameTooLong);
            until(&mut driver, |driver| closed(driver, TcpClose::FrameTooLong) == before + 1);
            assert!(is_closed(&mut stream));
        }
        assert_eq!(driver.tcp_counters().open, 0);
    }
}

#[test]
fn an_unproven_connection_has_few_bytes_and_little_time() {
    for choice in BOTH {
        let mut driver = open(choice);
        let mut talker = connect(&driver, 0);
        let mut shown = 0;
        for _ in 0..TCP_UNPROVEN_BYTES_MAX / 100 + 50 {
            let _ = talker.write_all(&frame(&[0x55; 98]));
        }
        while closed(&driver, TcpClose::Unproven) == 0 {
            turn(&mut driver, |_, _| shown += 1);
        }
        assert_eq!(shown, TCP_UNPROVEN_BYTES_MAX / 100);
        assert!(is_closed(&mut talker));

        // One that says nothing, one that sends a byte now and then, one that has proved itself.
        let mut silent = connect(&driver, 0);
        let mut slow = connect(&driver, 1);
        let mut proven = connect(&driver, 0);
        prove(&mut driver, &mut proven);
        assert!(driver.wants_sweep());
        for _ in 0..TCP_PROOF_MAX.as_secs() {
            slow.write_all(&[0]).unwrap();
            turn(&mut driver, |_, _| ());
            driver.sweep();
        }
        assert_eq!(driver.tcp_counters().open, 3);
        driver.sweep();
        assert_eq!(closed(&driver, TcpClose::Unproven), 3);
        assert!(is_closed(&mut silent) && is_closed(&mut slow));
        prove(&mut driver, &mut proven);
    }
}

#[test]
fn a_connection_nobody_sends_on_ends_and_one_that_takes_nothing_too() {
    for choice in BOTH {
        let mut driver = open(choice);
        let (mut unused, mut used) = (connect(&driver, 0), connect(&driver, 0));
        let mut stuck = connect(&driver, 1);
        let from_unused = prove(&mut driver, &mut unused);
        let to_used = prove(&mut driver, &mut used);
        let to_stuck = prove(&mut driver, &mut stuck);
        while driver.tcp_counters().datagrams_dropped == 0 {
            send(driver.sends(), to_stuck, &[1; 1_000]);
            driver.submit().unwrap();
        }
        for _ in 0..TCP_IDLE_MAX.as_secs() {
            send(driver.sends(), to_used, b"media");
            send(driver.sends(), to_stuck, b"media");
            unused.write_all(&frame(b"is anybody there?")).unwrap();
            assert_eq!(read_later(&mut driver, &mut used), b"media");
            driver.sweep();
        }
        assert_eq!(driver.tcp_counters().open, 3, "{choice:?} {:?}", driver.tcp_counters());
        driver.sweep();
        let ended = [TcpClose::Idle, TcpClose::Stuck].map(|why| closed(&driver, why));
        assert_eq!((ended, driver.tcp_counters().open), ([1, 1], 1), "{choice:?}");
        assert!(is_closed(&mut unused));
        // Its name means nobody now, whoever gets its place.
        let mut heirs = [connect(&driver, 0), connect(&driver, 0)];
        for heir in &mut heirs {
            prove(&mut driver, heir);
        }
        send(driver.sends(), from_unused, b"for the dead");
        driver.submit().unwrap();
        assert_eq!(driver.take_send_failures(), 1);
        for heir in &mut heirs {
            heir.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            assert!(heir.read(&mut [0; 10]).is_err());
        }
    }
}

fn read_later(driver: &mut Driver, stream: &mut TcpStream) -> Vec<u8> {
    driver.submit().unwrap();
    let bytes = read_frame(stream);
    driver.receive(64, |_, _| ());
    bytes
}

#[test]
fn one_address_has_its_share_and_no_more() {
    raise_descriptors();
    for choice in BOTH {
        let mut driver = open(choice);
        let mut streams = Vec::new();
        for _ in 0..TCP_PER_ADDRESS_MAX + 20 {
            streams.push(connect(&driver, 0));
            // The kernel's queue of connections to be accepted is shorter.
            driver.receive(64, |_, _| ());
            driver.wait(Duration::ZERO).unwrap();
        }
        let all = streams.len() as u64;
        until(&mut driver, |driver| driver.tcp_counters().accepted == all);
        let counters = *driver.tcp_counters();
        assert_eq!((counters.open, counters.refused), (TCP_PER_ADDRESS_MAX as u64, 20));
        assert!(is_closed(streams.last_mut().unwrap()));
        // Another address is served.
        let mut other = connect(&driver, 1);
        prove(&mut driver, &mut other);
        // Places come back.
        drop(streams);
        until(&mut driver, |driver| driver.tcp_counters().open == 1);
        let mut again = connect(&driver, 0);
        prove(&mut driver, &mut again);
    }
}

#[test]
fn no_more_connections_than_were_allowed() {
    for choice in BOTH {
        let mut driver =
            Driver::open(&DriverConfig { tcp_connections: 2, ..config(choice) }).unwrap();
        let mut streams: Vec<TcpStream> =
            (0..3).map(|family| connect(&driver, family % 2)).collect();
        until(&mut driver, |driver| driver.tcp_counters().accepted == 3);
        let counters = *driver.tcp_counters();
        assert_eq!((counters.open, counters.refused), (2, 1), "{choice:?}");
        assert_eq!(streams.iter_mut().map(is_closed).filter(|closed| *closed).count(), 1);
    }
}

#[test]
fn the_oldest_unproven_connection_makes_room() {
    raise_descriptors();
    let mut driver = open(DriverChoice::Mmsg);
    let to = driver.local_addresses()[0];
    // Loopback has addresses enough to be many.
    let from = |number: usize| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        let host = SocketAddr::from(([127, 0, 1, 1 + (number / 400) as u8], 0));
        socket.bind(&host.into()).unwrap();
        socket.connect(&to.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let mut proven = from(0);
    prove(&mut driver, &mut proven);
    let mut streams = Vec::new();
    for number in 0..TCP_UNPROVEN_MAX + 10 {
        streams.push(from(number));
        turn(&mut driver, |_, _| ());
    }
    until(&mut driver, |driver| closed(driver, TcpClose::Crowded) == 10);
    assert_eq!(driver.tcp_counters().open, TCP_UNPROVEN_MAX as u64 + 1);
    assert!(is_closed(&mut streams[0]) && is_closed(&mut streams[9]));
    assert!(!is_closed(&mut streams[10]));
    prove(&mut driver, streams.last_mut().unwrap());
    prove(&mut driver, &mut proven);
}

#[test]
fn a_connection_moves_to_another_driver_with_what_it_had_not_read() {
    for choice in BOTH {
        let mut first = open(choice);
        let mut second = open(choice);
        let mut stream = connect(&first, 0);
        let bytes = [frame(b"not for you"), frame(b"nor this"), frame(b"cut in two")].concat();
        stream.write_all(&bytes[..bytes.len() - 4]).unwrap();
        let mut detached = 0;
        while detached == 0 {
            turn(&mut first, |datagram, sends| {
                let TransportAddress::Tcp(connection) = datagram.from else { panic!("not TCP") };
                assert!(sends.detach(connection, CoreId(3)));
                detached += 1;
            });
        }
        assert_eq!(detached, 1);
        let (core, migrant) = first.pop_leaving().unwrap();
        assert_eq!(core, CoreId(3));
        assert_eq!((closed(&first, TcpClose::Moved), first.tcp_counters().open), (1, 0));
        assert!(first.pop_leaving().is_none());
        second.adopt(migrant);
        let mut seen = Vec::new();
        let mut from = None;
        second.receive(64, |datagram, _| {
            seen.push(datagram.bytes.to_vec());
            from = Some(datagram.from);
        });
        assert_eq!(seen, [&b"not for you"[..], b"nor this"]);
        stream.write_all(&bytes[bytes.len() - 4..]).unwrap();
        while seen.len() < 3 {
            turn(&mut second, |datagram, sends| {
                seen.push(datagram.bytes.to_vec());
                echo(datagram, sends);
            });
        }
        assert_eq!(read_frame(&mut stream), b"cut in two");
        // Now it carries a peer of the second core, and stays.
        let TransportAddress::Tcp(connection) = from.unwrap() else { panic!("not TCP") };
        assert!(!second.sends().detach(connection, CoreId(0)));
        assert_eq!(second.tcp_counters().adopted, 1);
    }
}

#[test]
fn no_listener_without_the_setting() {
    for choice in BOTH {
        let driver = Driver::open(&DriverConfig { tcp_connections: 0, ..config(choice) }).unwrap();
        let refused = TcpStream::connect(driver.local_addresses()[0]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(!driver.wants_sweep());
    }
}
