//! Recorded first flights of Chromium and Firefox: the choice they get, and the ways their
//! datagrams may be cut, doubled and reordered.

use std::time::{Duration, Instant};

use proto::dtls::{Dtls, DtlsError, DtlsFailure, is_client_hello};

use super::net::{certificate, drain};

const CHROMIUM: &str = include_str!("../fixtures/dtls-first-flight-chromium.hex");
const FIREFOX: &str = include_str!("../fixtures/dtls-first-flight-firefox.hex");

fn flight(hex: &str) -> Vec<Vec<u8>> {
    hex.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let digits: Vec<u8> = line
                .chars()
                .filter_map(|digit| digit.to_digit(16))
                .map(|digit| digit as u8)
                .collect();
            digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
        })
        .collect()
}

/// The ClientHello of a flight in one piece, without headers.
pub(crate) fn body(hex: &str) -> Vec<u8> {
    flight(hex).iter().flat_map(|datagram| datagram[25..].to_vec()).collect()
}

pub(crate) fn chromium() -> Vec<u8> {
    body(CHROMIUM)
}

/// Cuts a ClientHello into pieces of `size` bytes, one datagram each.
pub(crate) fn cut(body: &[u8], size: usize) -> Vec<Vec<u8>> {
    body.chunks(size)
        .enumerate()
        .map(|(number, piece)| fragment(body.len(), number * size, piece))
        .collect()
}

pub(crate) fn fragment(total: usize, offset: usize, piece: &[u8]) -> Vec<u8> {
    let wide = |value: usize| (value as u32).to_be_bytes();
    let mut datagram = vec![22, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1];
    datagram.extend(((piece.len() + 12) as u16).to_be_bytes());
    datagram.push(1);
    datagram.extend(&wide(total)[1..]);
    datagram.extend([0, 0]);
    datagram.extend(&wide(offset)[1..]);
    datagram.extend(&wide(piece.len())[1..]);
    datagram.extend(piece);
    datagram
}

/// Feeds datagrams and returns the server's flight.
fn answer(datagrams: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let now = Instant::now();
    let mut server = Dtls::new(certificate(), now);
    let mut flight = Vec::new();
    for datagram in datagrams {
        server.on_datagram(datagram, now).unwrap();
        flight.extend(drain(&mut server, now).datagrams);
    }
    flight
}

/// Extensions of the ServerHello at the start of a flight.
fn extensions(flight: &[Vec<u8>]) -> Vec<(u16, Vec<u8>)> {
    let hello = &flight[0];
    assert_eq!((hello[0], hello[13]), (22, 2), "a ServerHello comes first");
    let session = usize::from(hello[25 + 34]);
    let mut rest = &hello[25 + 35 + session + 3..];
    let end = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    rest = &rest[2..2 + end];
    let mut list = Vec::new();
    while let [a, b, c, d, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([c, d]));
        list.push((u16::from_be_bytes([a, b]), rest[4..4 + length].to_vec()));
        rest = &rest[4 + length..];
    }
    list
}

#[test]
fn chromium_gets_gcm_by_dtls_1_2() {
    let list = extensions(&answer(&flight(CHROMIUM)));
    assert!(list.iter().all(|extension| extension.0 != 43));
    assert!(list.contains(&(14, vec![0, 2, 0, 8, 0])), "{list:?}");
}

#[test]
fn firefox_gets_dtls_1_3() {
    let list = extensions(&answer(&flight(FIREFOX)));
    assert!(list.contains(&(43, vec![0xFE, 0xFC])), "{list:?}");
}

#[test]
fn a_first_flight_is_recognised() {
    for hex in [CHROMIUM, FIREFOX] {
        assert!(is_client_hello(&flight(hex)[0]));
    }
    for noise in [&[][..], &[22], &[22; 30], &[23; 100], &[0x80; 200]] {
        assert!(!is_client_hello(noise));
    }
}

#[test]
fn a_hello_in_any_order_and_number_is_answered() {
    for hex in [CHROMIUM, FIREFOX] {
        let whole = body(hex);
        for size in [1, 7, 100, 1_000, whole.len()] {
            if whole.len() / size > 500 {
                continue;
            }
            let mut pieces = cut(&whole, size);
            assert!(!answer(&pieces).is_empty(), "size {size}");
            pieces.reverse();
            assert!(!answer(&pieces).is_empty(), "size {size}, reversed");
            let mut doubled = pieces[1..].to_vec();
            doubled.extend(pieces.clone());
            assert!(!answer(&doubled).is_empty(), "size {size}, doubled");
        }
    }
}

#[test]
fn single_bytes_in_few_datagrams_are_answered() {
    let whole = chromium();
    let datagrams: Vec<Vec<u8>> = cut(&whole, 1).chunks(40).map(|pieces| pieces.concat()).collect();
    assert!(!answer(&datagrams).is_empty());
}

#[test]
fn a_resent_hello_is_answered_again() {
    for hex in [CHROMIUM, FIREFOX] {
        let now = Instant::now();
        let mut server = Dtls::new(certificate(), now);
        for datagram in flight(hex) {
            server.on_datagram(&datagram, now).unwrap();
        }
        let first = drain(&mut server, now).datagrams.len();
        assert!(first > 0);
        let later = now + Duration::from_millis(900);
        let mut again = 0;
        for datagram in flight(hex) {
            server.on_datagram(&datagram, later).unwrap();
            again += drain(&mut server, later).datagrams.len();
        }
        assert!(again >= first, "{again} after {first}");
    }
}

#[test]
fn an_unanswered_flight_ends_in_time() {
    let start = Instant::now();
    let mut server = Dtls::new(certificate(), start);
    let mut now = start;
    for datagram in flight(CHROMIUM) {
        server.on_datagram(&datagram, now).unwrap();
    }
    let mut flights = 0;
    loop {
        let said = drain(&mut server, now);
        flights += usize::from(!said.datagrams.is_empty());
        now = said.deadline.unwrap();
        assert!(now - start <= Duration::from_secs(31));
        match server.on_deadline(now) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error, DtlsError::Fatal(DtlsFailure::Timeout));
                break;
            }
        }
    }
    assert!((5..=8).contains(&flights), "{flights}");
}

#[test]
fn a_hello_without_what_we_need_is_refused() {
    let whole = chromium();
    let srtp = find(&whole, &[0, 14, 0, 9, 0, 6, 0, 1, 0, 8, 0, 7]);
    let mut without = whole.clone();
    without[srtp + 1] = 99;
    let mut null = whole.clone();
    // Only the profiles with no encryption (RFC 5764 section 4.1.2: 0x0005, 0x0006).
    null[srtp + 6..srtp + 12].copy_from_slice(&[0, 5, 0, 6, 0, 5]);
    let mut old = whole.clone();
    let versions = find(&whole, &[0, 43, 0, 5, 4, 0xFE, 0xFC, 0xFE, 0xFD]);
    old[versions + 5..versions + 9].copy_from_slice(&[0xFE, 0xFF, 0xFE, 0xFF]);
    for hello in [without, null, old] {
        let now = Instant::now();
        let mut server = Dtls::new(certificate(), now);
        let datagram = fragment(hello.len(), 0, &hello);
        for _ in 0..3 {
            assert_eq!(server.on_datagram(&datagram, now), Err(DtlsError::Rejected));
        }
        assert_eq!(server.on_datagram(&datagram, now), Err(DtlsError::Fatal(DtlsFailure::Refused)));
        assert!(drain(&mut server, now).datagrams.is_empty());
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).unwrap()
}
