//! Garbage and forgeries before, during and after a handshake.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proto::dtls::{Dtls, DtlsError, DtlsFailure, is_client_hello};

use super::browser::{chromium, cut, fragment};
use super::net::{Net, Offer, certificate, drain};

/// Datagrams no honest client sends in the middle of a handshake or after it.
fn forgeries() -> Vec<Vec<u8>> {
    let record = |kind: u8, version: u8, epoch: u8, body: &[u8]| {
        let mut bytes = vec![kind, 0xFE, version, 0, epoch, 0, 0, 0, 0, 0xFF, 0xFF];
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    };
    let handshake = |kind: u8, sequence: u8| {
        let mut body = vec![kind, 0, 0, 4, 0, sequence, 0, 0, 0, 0, 0, 4];
        body.extend([1, 2, 3, 4]);
        body
    };
    let mut too_long = record(22, 0xFD, 0, &[0; 50]);
    too_long[12] = 200;
    let mut list = vec![
        vec![],
        vec![22],
        vec![0xFF; 60],
        too_long,
        record(21, 0xFD, 0, &[2, 40]),
        record(21, 0xFD, 0, &[1, 0]),
        record(23, 0xFD, 0, b"plain data"),
        record(22, 0x00, 0, &handshake(1, 0)),
        record(22, 0xFD, 0, &[1, 2, 3]),
        record(22, 0xFD, 0, &handshake(0, 0)),
        record(22, 0xFD, 0, &handshake(2, 1)),
        record(22, 0xFD, 0, &handshake(1, 9)),
        record(22, 0xFD, 0, &handshake(99, 1)),
        record(22, 0xFD, 0, &handshake(20, 1)),
        record(22, 0xFD, 7, &[9; 40]),
        record(22, 0xFD, 1, &[9; 40]),
        record(23, 0xFD, 1, &[9; 40]),
        record(21, 0xFD, 1, &[2; 40]),
        vec![0x2F; 60],
        vec![0x3F; 60],
        vec![0x2C, 1, 0xFF, 0xFF],
        cut(&chromium(), 500).concat(),
    ];
    for length in 0..48 {
        list.push(record(23, 0xFD, 1, &vec![length as u8; length]));
        list.push([&[0x2E, 0, length as u8][..], &vec![7; length]].concat());
    }
    list
}

#[test]
fn garbage_during_and_after_a_handshake_is_survived() {
    for offer in [Offer::Only12, Offer::Only13, Offer::Both] {
        let mut net = Net::new(offer, 1_150);
        net.fate = Box::new(|number, to_server, bytes| {
            let mut wire = Vec::new();
            // A forged hello before the genuine one would win the race on a path the attacker
            // shares; what follows the first datagram must not matter.
            if to_server && number > 0 {
                wire.extend(forgeries());
            }
            wire.push(bytes);
            if to_server {
                wire.extend(forgeries());
            }
            wire
        });
        assert!(net.run(Duration::from_secs(3)), "{offer:?}");
        net.check();
        assert!(net.rejected > 10, "{}", net.rejected);
        net.settle();
        net.client.dtls.send_application_data(b"still here").unwrap();
        net.settle();
        assert_eq!(net.said.plain, [b"still here"]);
        assert!(!net.said.closed);
    }
}

#[test]
fn a_forged_hello_that_is_refused_does_not_keep_the_genuine_one_out() {
    let now = Instant::now();
    let mut server = Dtls::new(certificate(), now);
    let forged = fragment(60, 0, &[0x55; 60]);
    assert_eq!(server.on_datagram(&forged, now), Err(DtlsError::Rejected));
    // A piece of another length, and a record that is no hello, between the genuine pieces.
    let pieces = cut(&chromium(), 700);
    server.on_datagram(&fragment(5_000, 0, &[1; 100]), now).unwrap();
    assert!(server.on_datagram(&[22; 80], now).is_err());
    for piece in &pieces {
        server.on_datagram(piece, now).unwrap();
    }
    assert!(!drain(&mut server, now).datagrams.is_empty());
}

#[test]
fn a_hello_that_never_completes_is_bounded_in_time() {
    let now = Instant::now();
    let mut server = Dtls::new(certificate(), now);
    let started = Instant::now();
    let mut datagrams = 0;
    let error = loop {
        let piece: Vec<u8> = (0..40).flat_map(|at| fragment(8_000, at * 2, &[3])).collect();
        match server.on_datagram(&piece, now) {
            Ok(()) | Err(DtlsError::Rejected) => datagrams += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, DtlsError::Fatal(DtlsFailure::Flood));
    assert!(datagrams <= 512);
    assert!(started.elapsed() < Duration::from_millis(200));
    assert_eq!(server.on_datagram(&[22], now), Err(DtlsError::Fatal(DtlsFailure::Closed)));
}

#[test]
fn a_hello_longer_than_the_limit_is_not_collected() {
    let now = Instant::now();
    let mut server = Dtls::new(certificate(), now);
    for total in [8_193, 0xFF_FFFF, 41, 1] {
        let piece = fragment(total, 0, &[0; 1]);
        assert_eq!(server.on_datagram(&piece, now), Err(DtlsError::Rejected));
    }
}

#[test]
fn protected_records_before_keys_are_dropped() {
    let now = Instant::now();
    let mut server = Dtls::new(certificate(), now);
    let mut record = vec![23, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 0, 0, 100];
    record.resize(113, 7);
    for _ in 0..100 {
        assert_eq!(server.on_datagram(&record, now), Err(DtlsError::Rejected));
        assert_eq!(server.on_datagram(&[0x2E; 90], now), Err(DtlsError::Rejected));
    }
    for piece in cut(&chromium(), 1_100) {
        server.on_datagram(&piece, now).unwrap();
    }
    assert!(!drain(&mut server, now).datagrams.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_never_panic(
        before in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..6),
        after in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..6),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        head in prop::sample::select(vec![20u8, 21, 22, 23, 26, 0x2C, 0x3E]),
    ) {
        let now = Instant::now();
        let mut server = Dtls::new(certificate(), now);
        for bytes in &before {
            is_client_hello(bytes);
            let _ = server.on_datagram(bytes, now);
            drain(&mut server, now);
        }
        let mut hello = chromium();
        for (at, value) in flips {
            *at.get_mut(&mut hello) = value;
        }
        for piece in cut(&hello, 1_000) {
            let _ = server.on_datagram(&piece, now);
            drain(&mut server, now);
        }
        for bytes in &after {
            let mut record = vec![head, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 5, 0, bytes.len() as u8];
            record.extend(bytes);
            let _ = server.on_datagram(&record, now);
            drain(&mut server, now);
        }
    }
}
