//! Both drivers on the same traffic over loopback: whatever one of them is tested for here, the
//! other is too. Real sockets of the standard library at the other end.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use common::address::TransportAddress;
use common::limits::{DATAGRAM_MAX, SEND_SLOT};
use io::{Datagram, Driver, DriverChoice, DriverConfig, DriverKind, ReceiveReport};

const BOTH: [DriverChoice; 2] = [DriverChoice::Uring, DriverChoice::Mmsg];
const PATIENCE: Duration = Duration::from_secs(10);

fn config(choice: DriverChoice) -> DriverConfig {
    DriverConfig {
        binds: vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()],
        join: false,
        tcp_connections: 0,
        choice,
        send_slots: 256,
        receive_buffers: 256,
        socket_buffer: 4 << 20,
    }
}

fn open(config: &DriverConfig) -> Driver {
    let driver = Driver::open(config).unwrap();
    let wanted = match config.choice {
        DriverChoice::Mmsg => DriverKind::Mmsg,
        _ => DriverKind::Uring,
    };
    assert_eq!(driver.kind(), wanted);
    driver
}

/// A peer of the driver's `family`-th address.
fn peer(driver: &Driver, family: usize) -> UdpSocket {
    let to = driver.local_addresses()[family];
    let socket = UdpSocket::bind(SocketAddr::new(to.ip(), 0)).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Runs `each` on everything that arrives until `count` datagrams were seen (cut ones included).
fn collect(
    driver: &mut Driver,
    count: u64,
    mut each: impl FnMut(Datagram<'_>, &mut io::SendQueue),
) -> ReceiveReport {
    let end = Instant::now() + PATIENCE;
    let mut sum = ReceiveReport::default();
    while sum.datagrams + sum.oversize < count {
        assert!(Instant::now() < end, "only {sum:?} of {count} arrived");
        driver.wait(Duration::from_millis(100)).unwrap();
        let report = driver.receive(64, &mut each);
        sum.datagrams += report.datagrams;
        sum.oversize += report.oversize;
        driver.submit().unwrap();
    }
    sum
}

/// Waits until no slot is used any more.
fn settle(driver: &mut Driver) {
    let end = Instant::now() + PATIENCE;
    while !driver.sends().is_idle() {
        assert!(Instant::now() < end, "slots are missing");
        driver.submit().unwrap();
        driver.wait(Duration::from_millis(1)).unwrap();
        driver.receive(64, |_, _| ());
    }
}

#[test]
fn datagrams_arrive_whole_from_their_sources_and_answers_return() {
    for choice in BOTH {
        let mut driver = open(&config(choice));
        let peers: Vec<UdpSocket> = (0..8).map(|index| peer(&driver, index % 2)).collect();
        let rounds = 40u8;
        let mut expected: HashMap<SocketAddr, Vec<Vec<u8>>> = HashMap::new();
        for round in 0..rounds {
            for (index, peer) in peers.iter().enumerate() {
                let len = (usize::from(round) * 97 + index * 31) % (DATAGRAM_MAX + 1);
                let bytes = vec![round ^ index as u8; len];
                peer.send(&bytes).unwrap();
                expected.entry(peer.local_addr().unwrap()).or_default().push(bytes);
            }
        }
        let total = u64::from(rounds) * peers.len() as u64;
        let mut seen: HashMap<SocketAddr, Vec<Vec<u8>>> = HashMap::new();
        let report = collect(&mut driver, total, |Datagram { from, bytes, .. }, sends| {
            seen.entry(from.socket()).or_default().push(bytes.to_vec());
            bytes.reverse();
            let slot = sends.reserve().unwrap();
            assert_eq!(slot.len(), SEND_SLOT);
            slot[..bytes.len()].copy_from_slice(bytes);
            slot[bytes.len()] = 0xee;
            sends.commit(from, bytes.len() + 1);
        });
        assert_eq!(report, ReceiveReport { datagrams: total, oversize: 0 });
        assert!(seen == expected, "{choice:?}: contents or sources differ");
        for peer in &peers {
            let mut buffer = [0; 2_000];
            for sent in &expected[&peer.local_addr().unwrap()] {
                let len = peer.recv(&mut buffer).unwrap();
                let mut answer: Vec<u8> = sent.iter().rev().copied().collect();
                answer.push(0xee);
                assert!(buffer[..len] == answer, "{choice:?}: another answer");
            }
        }
        settle(&mut driver);
        assert_eq!(driver.take_send_failures(), 0);
    }
}

#[test]
fn a_tiny_buffer_ring_loses_nothing() {
    for choice in BOTH {
        let mut driver = open(&DriverConfig { receive_buffers: 2, ..config(choice) });
        let sender = peer(&driver, 0);
        for number in 0..500u32 {
            sender.send(&number.to_be_bytes()).unwrap();
        }
        let mut next = 0u32;
        collect(&mut driver, 500, |Datagram { bytes, .. }, _| {
            assert_eq!(bytes, next.to_be_bytes());
            next += 1;
        });
    }
}

#[test]
fn one_receive_drains_what_is_queued_up_to_its_budget() {
    for choice in BOTH {
        let mut driver = open(&config(choice));
        let sender = peer(&driver, 0);
        for _ in 0..200 {
            sender.send(b"queued").unwrap();
        }
        driver.wait(PATIENCE).unwrap();
        assert_eq!(driver.receive(150, |_, _| ()).datagrams, 150, "{choice:?}");
        // What is left must not be slept over.
        let start = Instant::now();
        driver.wait(PATIENCE).unwrap();
        assert!(start.elapsed() < PATIENCE / 2);
        assert_eq!(driver.receive(150, |_, _| ()).datagrams, 50, "{choice:?}");
    }
}

#[test]
fn a_wake_from_another_thread_ends_the_sleep() {
    for choice in BOTH {
        let mut driver = open(&config(choice));
        for _ in 0..3 {
            let waker = driver.waker();
            let start = Instant::now();
            let thread = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(30));
                waker.wake();
                waker.wake();
            });
            while start.elapsed() < Duration::from_millis(25) {
                driver.wait(PATIENCE).unwrap();
            }
            assert!(start.elapsed() < PATIENCE / 2, "{choice:?}: slept through");
            thread.join().unwrap();
            // The second wake may have come after the first was noted.
            driver.wait(Duration::ZERO).unwrap();
        }
    }
}

#[test]
fn a_wake_before_the_sleep_is_not_lost() {
    for choice in BOTH {
        let mut driver = open(&config(choice));
        for _ in 0..100 {
            driver.waker().wake();
            // The wake may be noted on the way of receiving; the next sleep must still end.
            driver.receive(8, |_, _| ());
            let start = Instant::now();
            driver.wait(PATIENCE).unwrap();
            assert!(start.elapsed() < PATIENCE / 2, "{choice:?}: lost");
        }
    }
}

#[test]
fn an_undisturbed_sleep_lasts_its_time() {
    for choice in BOTH {
        let mut driver = open(&config(choice));
        driver.wait(Duration::ZERO).unwrap();
        let start = Instant::now();
        driver.wait(Duration::from_millis(50)).unwrap();
        let slept = start.elapsed();
        assert!(slept >= Duration::from_millis(49), "{choice:?}: {slept:?}");
        assert!(slept < Duration::from_secs(2), "{choice:?}: {slept:?}");
    }
}

#[test]
fn a_datagram_that_is_too_long_is_counted_and_dropped() {
    for choice in BOTH {
        let mut driver = open(&config(choice));
        let sender = peer(&driver, 1);
        sender.send(&[1; DATAGRAM_MAX + 1]).unwrap();
        sender.send(&[2; DATAGRAM_MAX]).unwrap();
        sender.send(&[3; 60_000]).unwrap();
        sender.send(&[]).unwrap();
        let mut lengths = Vec::new();
        let report = collect(&mut driver, 4, |Datagram { bytes, .. }, _| lengths.push(bytes.len()));
        assert_eq!(report, ReceiveReport { datagrams: 2, oversize: 2 }, "{choice:?}");
        assert_eq!(lengths, [DATAGRAM_MAX, 0]);
    }
}

#[test]
fn unreachable_destinations_are_counted_and_end_nothing() {
    for choice in BOTH {
        let mut driver = open(&config(choice));
        let answering = peer(&driver, 0);
        // A port nobody listens on: the ICMP error must not reach anything but a counter.
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = ["127.0.0.1:0".parse().unwrap(), "255.255.255.255:9".parse().unwrap()];
        for to in [closed, refused[0], closed, refused[1], answering.local_addr().unwrap()] {
            driver.sends().reserve().unwrap()[..4].copy_from_slice(b"data");
            driver.sends().commit(to.into(), 4);
            driver.submit().unwrap();
        }
        assert_eq!(answering.recv(&mut [0; 10]).unwrap(), 4);
        for _ in 0..20 {
            answering.send(b"still there?").unwrap();
        }
        collect(&mut driver, 20, |_, _| ());
        settle(&mut driver);
        assert_eq!(driver.take_send_failures(), 2, "{choice:?}");
        assert_eq!(driver.take_send_failures(), 0);
    }
}

#[test]
fn a_family_without_socket_is_a_failed_send() {
    for choice in BOTH {
        let binds = vec!["127.0.0.1:0".parse().unwrap()];
        let mut driver = open(&DriverConfig { binds, ..config(choice) });
        driver.sends().reserve().unwrap();
        driver.sends().commit(TransportAddress::Udp("[::1]:9".parse().unwrap()), 10);
        driver.submit().unwrap();
        assert_eq!(driver.take_send_failures(), 1);
        settle(&mut driver);
    }
}

#[test]
fn an_uncommitted_slot_is_lent_again() {
    for choice in BOTH {
        let mut driver = open(&DriverConfig { send_slots: 1, ..config(choice) });
        let first = driver.sends().reserve().unwrap().as_ptr();
        assert_eq!(driver.sends().reserve().unwrap().as_ptr(), first);
        assert!(driver.sends().is_idle());
    }
}

#[test]
fn a_queue_smaller_than_a_fan_out_sends_on_its_own() {
    for choice in BOTH {
        let mut driver = open(&DriverConfig { send_slots: 8, ..config(choice) });
        let receivers: Vec<UdpSocket> = (0..10).map(|index| peer(&driver, index % 2)).collect();
        for round in 0..50u8 {
            for receiver in &receivers {
                driver.sends().reserve().unwrap()[..100].fill(round);
                driver.sends().commit(receiver.local_addr().unwrap().into(), 100);
            }
        }
        settle(&mut driver);
        for receiver in &receivers {
            for round in 0..50u8 {
                let mut buffer = [0; 200];
                assert_eq!(receiver.recv(&mut buffer).unwrap(), 100);
                assert_eq!(buffer[..100], [round; 100], "{choice:?}: out of order");
            }
        }
    }
}

#[test]
fn runs_of_one_destination_arrive_as_the_datagrams_they_were() {
    for choice in BOTH {
        let mut driver = open(&config(choice));
        let receivers: Vec<UdpSocket> = (0..4).map(|index| peer(&driver, index % 2)).collect();
        // Frames of equal packets with a shorter last one, interleaved between destinations.
        let lengths = [1200, 1200, 1200, 1200, 700, 1200, 1200, 1201, 3, 3, 2, 0, 5];
        for (number, len) in lengths.into_iter().enumerate() {
            for receiver in &receivers {
                driver.sends().reserve().unwrap()[..len].fill(number as u8);
                driver.sends().commit(receiver.local_addr().unwrap().into(), len);
            }
        }
        driver.submit().unwrap();
        for receiver in &receivers {
            for (number, len) in lengths.into_iter().enumerate() {
                let mut buffer = [0xff; 2_000];
                assert_eq!(receiver.recv(&mut buffer).unwrap(), len, "{choice:?}: {number}");
                assert!(buffer[..len].iter().all(|byte| *byte == number as u8));
            }
        }
        settle(&mut driver);
        assert_eq!(driver.take_send_failures(), 0);
    }
}

#[test]
fn a_hundred_thousand_packets_leave_nothing_behind() {
    for choice in BOTH {
        let mut driver = open(&config(choice));
        let other = peer(&driver, 0);
        let to = other.local_addr().unwrap();
        let mut buffer = [0; 2_000];
        for batch in 0..1_000u32 {
            for number in 0..50u32 {
                driver.sends().reserve().unwrap()[..1_200].fill((batch + number) as u8);
                driver.sends().commit(to.into(), 1_200);
            }
            driver.submit().unwrap();
            for number in 0..50u32 {
                assert_eq!(other.recv(&mut buffer).unwrap(), 1_200);
                assert_eq!(buffer[0], (batch + number) as u8);
                other.send(&buffer[..1_200]).unwrap();
            }
            collect(&mut driver, 50, |Datagram { from, bytes, .. }, _| {
                assert_eq!((from, bytes.len()), (to.into(), 1_200))
            });
        }
        settle(&mut driver);
        assert_eq!(driver.take_send_failures(), 0);
        assert_eq!(driver.receive(10, |_, _| ()), ReceiveReport::default());
    }
}

#[test]
fn drivers_of_one_group_share_the_flows_and_a_closed_one_leaves_the_group() {
    for choice in BOTH {
        let mut first = open(&config(choice));
        let binds = first.local_addresses().to_vec();
        let join = DriverConfig { binds: binds.clone(), join: true, ..config(choice) };
        let mut second = open(&join);
        let flows: Vec<UdpSocket> = (0..64).map(|index| peer(&first, index % 2)).collect();
        flows.iter().for_each(|flow| assert_eq!(flow.send(b"hello").unwrap(), 5));
        let count = |driver: &mut Driver| {
            let mut sum = 0;
            while driver.wait(Duration::from_millis(50)).is_ok() {
                match driver.receive(100, |_, _| ()).datagrams {
                    0 => break,
                    more => sum += more,
                }
            }
            sum
        };
        let (ours, theirs) = (count(&mut first), count(&mut second));
        assert_eq!(ours + theirs, 64, "{choice:?}");
        assert!(ours > 8 && theirs > 8, "{choice:?}: {ours} and {theirs}");

        drop(second);
        flows.iter().for_each(|flow| assert_eq!(flow.send(b"hello").unwrap(), 5));
        assert_eq!(count(&mut first), 64, "{choice:?}: a closed driver took datagrams");
        drop(first);
        Driver::open(&DriverConfig { binds, ..config(choice) }).unwrap();
    }
}

#[test]
fn a_port_in_use_is_an_error_of_its_kind() {
    for choice in BOTH {
        let driver = open(&config(choice));
        let binds = driver.local_addresses().to_vec();
        let error = Driver::open(&DriverConfig { binds, ..config(choice) }).err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    }
}

#[test]
fn bounds_of_the_configuration_are_kept() {
    for (send_slots, receive_buffers) in [(0, 1), (1, 0), (32_769, 1), (1, 32_769)] {
        let config = DriverConfig { send_slots, receive_buffers, ..config(DriverChoice::Auto) };
        let error = Driver::open(&config).err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
    for choice in BOTH {
        open(&DriverConfig { send_slots: 1, receive_buffers: 1, ..config(choice) });
        open(&DriverConfig { send_slots: 32_768, receive_buffers: 32_768, ..config(choice) });
    }
}

/// How long a datagram lies in the socket's buffer before anybody looks.
const UNSEEN: Duration = Duration::from_millis(50);

#[test]
fn the_stamp_is_the_time_of_arrival_and_not_that_of_looking() {
    for choice in BOTH {
        let mut driver = open(&config(choice));
        let peers = [peer(&driver, 0), peer(&driver, 1)];
        // Just after open the kernel may still be turning its stamps on, and then gives the time of
        // looking instead: datagrams until one is stamped before the look.
        let end = Instant::now() + PATIENCE;
        loop {
            let before = SystemTime::now();
            peers.iter().for_each(|peer| assert_eq!(peer.send(b"stamped").unwrap(), 7));
            let sent = SystemTime::now();
            std::thread::sleep(UNSEEN);
            let mut in_time = 0;
            collect(&mut driver, 2, |datagram, _| {
                let stamp = datagram.stamp.expect("no stamp");
                assert!(before <= stamp, "{choice:?}: stamped before it was sent");
                in_time += usize::from(stamp <= sent + UNSEEN / 2);
            });
            if in_time == peers.len() {
                break;
            }
            assert!(Instant::now() < end, "{choice:?}: stamped when it was looked at");
        }
    }
}
