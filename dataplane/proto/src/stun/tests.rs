//! Tests of the STUN reader and writer: published vectors, browsers' messages, forged ones.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
const OURS: &str = "AbCdEfGhIjKlMnOpQrStUv:evtj";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// RFC 5769 section 2.1.
fn sample_request() -> Vec<u8> {
    bytes(
        "00010058 2112a442 b7e7a701bc34d686fa87dfae
         80220010 5354554e207465737420636c69656e74 00240004 6e0001ff
         80290008 932ff9b151263b36 00060009 6576746a3a68367659202020
         00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004 e57a3bcf",
    )
}

/// RFC 5769 section 2.2.
fn sample_response_v4() -> Vec<u8> {
    bytes(
        "0101003c 2112a442 b7e7a701bc34d686fa87dfae
         8022000b 7465737420766563746f7220 00200008 0001a147e112a643
         00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004 c07d4c96",
    )
}

/// RFC 5769 section 2.3.
fn sample_response_v6() -> Vec<u8> {
    bytes(
        "01010048 2112a442 b7e7a701bc34d686fa87dfae
         8022000b 7465737420766563746f7220
         00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9
         00080014 a382954e4be67bf11784c97c8292c275bfe3ed41 80280004 c8fb0b4c",
    )
}

/// Replaces the FINGERPRINT and the length of a message whose last eight bytes are a FINGERPRINT.
fn refinish(message: &mut Vec<u8>) {
    message.truncate(message.len() - 8);
    let len = (message.len() - HEADER_LEN + 8) as u16;
    message[2..4].copy_from_slice(&len.to_be_bytes());
    let fingerprint = integrity::fingerprint(message);
    message.extend_from_slice(&attribute::FINGERPRINT.to_be_bytes());
    message.extend_from_slice(&[0, 4]);
    message.extend_from_slice(&fingerprint.to_be_bytes());
}

/// Puts `extra` before the FINGERPRINT, that is after MESSAGE-INTEGRITY.
fn after_integrity(message: &[u8], extra: &[u8]) -> Vec<u8> {
    let mut longer = message.to_vec();
    let at = longer.len() - 8;
    longer.splice(at..at, extra.iter().copied());
    refinish(&mut longer);
    longer
}

/// A request with `extra` right after the header, signed or not.
fn request_with(extra: &[u8], signed: bool) -> Vec<u8> {
    let mut message = bytes("00010000 2112a442 b7e7a701bc34d686fa87dfae");
    message.extend_from_slice(extra);
    if signed {
        let code = integrity::sign(&message, message.len(), PASSWORD).unwrap();
        message.extend_from_slice(&[0, 8, 0, 20]);
        message.extend_from_slice(&code);
    }
    message.extend_from_slice(&[0; 8]);
    refinish(&mut message);
    message
}

#[test]
fn rfc_5769_request() {
    let message = sample_request();
    let request = BindingRequest::parse(&message).unwrap();
    assert_eq!(request.transaction(), *message[8..].first_chunk().unwrap());
    assert_eq!(request.local_ufrag(), b"evtj");
    assert_eq!(request.remote_ufrag(), b"h6vY");
    assert_eq!(request.priority(), Some(0x6E00_01FF));
    assert_eq!(request.role(), Some(IceRole::Controlled(0x932F_F9B1_5126_3B36)));
    assert!(!request.controlling() && !request.use_candidate());
    assert!(request.verify(PASSWORD));
    assert!(!request.verify(b"VOkJxbRl1RmTxUk/WvJxBu"));
    assert!(!request.verify(b""));
}

#[test]
fn rfc_5769_responses() {
    for (message, mapped) in [
        (sample_response_v4(), "192.0.2.1:32853"),
        (sample_response_v6(), "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let response = BindingSuccess::parse(&message).unwrap();
        assert_eq!(response.mapped(), mapped.parse().unwrap());
        assert!(response.verify(PASSWORD));
        assert!(!response.verify(b"other"));
    }
}

#[test]
fn browsers_requests_are_read() {
    let chromium = include_str!("../../tests/fixtures/stun-binding-request-chromium.hex");
    let firefox = include_str!("../../tests/fixtures/stun-binding-request-firefox.hex");
    let mut nominated = 0;
    for line in chromium.lines().chain(firefox.lines()).filter(|line| !line.is_empty()) {
        let message = bytes(line);
        if message[0] != 0 {
            assert_eq!(
                BindingRequest::parse(&message).unwrap_err(),
                StunError::NotRequest(kind::SUCCESS)
            );
            assert!(BindingSuccess::parse(&message).unwrap().mapped().is_ipv4());
            continue;
        }
        let request = BindingRequest::parse(&message).unwrap();
        assert!(request.controlling() && request.priority().is_some());
        assert!([&b"nxhnxcUtnNoimWRC"[..], b"lcyglhnpPThwmyyk"].contains(&request.local_ufrag()));
        nominated += u32::from(request.use_candidate());
    }
    assert_eq!(nominated, 3);
}

#[test]
fn one_flipped_bit_is_never_authentic() {
    // FINGERPRINT is made right again, so that MESSAGE-INTEGRITY decides.
    let mut slot = [0; 200];
    let len = write_binding_request(&mut slot, [3; 12], OURS, false, 1, 2, PASSWORD);
    for bit in 0..(len - 8) * 8 {
        let mut forged = slot[..len].to_vec();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(!BindingRequest::parse(&forged).is_ok_and(|request| request.verify(PASSWORD)));
        let covers_length = (16..32).contains(&bit);
        if !covers_length {
            refinish(&mut forged);
            let authentic =
                BindingRequest::parse(&forged).is_ok_and(|request| request.verify(PASSWORD));
            assert!(!authentic, "bit {bit}");
        }
    }
}

#[test]
fn what_follows_message_integrity_is_ignored() {
    let use_candidate = bytes("00250000");
    let unknown = bytes("7abc0004 01020304");
    let second_name = bytes("00060003 613a6200");
    let controlling = bytes("802a0008 0000000000000001");
    let second_integrity = bytes("00080014 0000000000000000000000000000000000000000");
    for extra in [use_candidate, unknown, second_name, controlling, second_integrity] {
        let message = after_integrity(&sample_request(), &extra);
        let request = BindingRequest::parse(&message).unwrap();
        assert!(request.verify(PASSWORD));
        assert!(!request.use_candidate() && !request.controlling());
        assert_eq!(request.local_ufrag(), b"evtj");
    }
}

#[test]
fn malformed_messages_are_refused() {
    // Each case is one edit of a good message.
    let good = sample_request();
    let edit = |at: usize, with: &[u8]| {
        let mut message = good.clone();
        message[at..at + with.len()].copy_from_slice(with);
        BindingRequest::parse(&message).map(|_| ()).unwrap_err()
    };
    assert_eq!(edit(2, &[0, 0x57]), StunError::Length);
    assert_eq!(edit(2, &[0, 0x5C]), StunError::Length);
    assert_eq!(edit(2, &[0xFF, 0xFF]), StunError::Length);
    assert_eq!(edit(4, &[0x20]), StunError::Cookie);
    assert_eq!(edit(0, &[0x40]), StunError::Cookie);
    assert_eq!(edit(0, &[0x00, 0x11]), StunError::NotRequest(0x0011));
    assert_eq!(edit(0, &[0x00, 0x03]), StunError::NotRequest(0x0003));
    assert_eq!(edit(22, &[0xFF, 0xFF]), StunError::Attribute);
    assert_eq!(edit(22, &[0, 0x0B]), StunError::Attribute);
    assert_eq!(edit(good.len() - 1, &[0]), StunError::Fingerprint);
    for len in 0..good.len() {
        assert_eq!(BindingRequest::parse(&good[..len]).unwrap_err(), StunError::Length);
    }
}

#[test]
fn user_names_must_be_two() {
    let refused = |extra: &str| BindingRequest::parse(&request_with(&bytes(extra), true)).err();
    assert_eq!(refused(""), Some(StunError::Username));
    assert_eq!(refused("00060000"), Some(StunError::Username));
    assert_eq!(refused("00060003 61626300"), Some(StunError::Username));
    assert_eq!(refused("00060003 3a626300"), Some(StunError::Username));
    assert_eq!(refused("00060003 61623a00"), Some(StunError::Username));
    assert_eq!(refused("00060003 613a6200"), None);
    let long = [b"\0\x06\x02\x02".to_vec(), vec![b':'; 514], vec![0; 2]].concat();
    let message = request_with(&long, true);
    assert_eq!(BindingRequest::parse(&message).unwrap_err(), StunError::Username);
}

#[test]
fn attributes_have_their_lengths_and_known_types() {
    let refused = |extra: &str| {
        let name = bytes("00060003 613a6200");
        let message = request_with(&[name, bytes(extra)].concat(), true);
        BindingRequest::parse(&message).err()
    };
    assert_eq!(refused("00240003 00000000"), Some(StunError::Attribute));
    assert_eq!(refused("802a0004 00000000"), Some(StunError::Attribute));
    assert_eq!(refused("80290000"), Some(StunError::Attribute));
    assert_eq!(refused("00080004 00000000"), Some(StunError::Attribute));
    assert_eq!(refused("7fff0000"), Some(StunError::UnknownAttribute(0x7FFF)));
    assert_eq!(refused("80000000"), None);
    assert_eq!(refused("c0570004 00010000"), None);
    // FINGERPRINT anywhere but at the end.
    assert_eq!(refused("80280004 00000000"), Some(StunError::Fingerprint));
}

#[test]
fn unsigned_requests_are_refused() {
    let message = request_with(&bytes("00060003 613a6200"), false);
    assert_eq!(BindingRequest::parse(&message).unwrap_err(), StunError::Unsigned);
}

#[test]
fn fingerprint_may_be_missing() {
    let mut message = sample_request();
    message.truncate(message.len() - 8);
    message[2..4].copy_from_slice(&0x50u16.to_be_bytes());
    assert!(BindingRequest::parse(&message).unwrap().verify(PASSWORD));
}

#[test]
fn nothing_may_follow_fingerprint() {
    let mut message = sample_request();
    message[2..4].copy_from_slice(&0x60u16.to_be_bytes());
    let at = message.len() - 8;
    let fingerprint = integrity::fingerprint(&message[..at]);
    message[at + 4..].copy_from_slice(&fingerprint.to_be_bytes());
    message.extend_from_slice(&bytes("80220004 61626364"));
    assert_eq!(BindingRequest::parse(&message).unwrap_err(), StunError::Fingerprint);
}

#[test]
fn answers_are_never_longer_than_the_shortest_request() {
    let mut slot = [0; 200];
    let shortest = {
        let username = [&b"\0\x06\0\x1b"[..], OURS.as_bytes(), &[0]].concat();
        let mut message = request_with(&username, true);
        message.truncate(message.len() - 8);
        let len = (message.len() - HEADER_LEN) as u16;
        message[2..4].copy_from_slice(&len.to_be_bytes());
        assert!(BindingRequest::parse(&message).unwrap().verify(PASSWORD));
        message.len()
    };
    let longest_address = "[2001:db8::1]:65535".parse().unwrap();
    let success = write_binding_success(&mut slot, [1; 12], longest_address, PASSWORD);
    let conflict = write_binding_error(&mut slot, [1; 12], ROLE_CONFLICT, PASSWORD);
    assert!(success <= shortest && conflict <= shortest, "{success} {conflict} {shortest}");
    assert_eq!(success.max(conflict), BINDING_REPLY_MAX);
}

#[test]
fn an_error_carries_its_code_and_is_signed() {
    let mut slot = [0; 100];
    let len = write_binding_error(&mut slot, [1; 12], ROLE_CONFLICT, PASSWORD);
    assert_eq!(slot[..2], [0x01, 0x11]);
    assert_eq!(slot[20..28], [0, 9, 0, 17, 0, 0, 4, 87]);
    assert_eq!(&slot[28..41], b"Role Conflict");
    assert!(integrity::verify(&slot[..len], 44, PASSWORD));
    assert_eq!(BindingSuccess::parse(&slot[..len]).unwrap_err(), StunError::NotRequest(0x0111));
    let len = write_binding_error(&mut slot, [1; 12], 400, PASSWORD);
    assert_eq!((len, &slot[20..28]), (60, &[0, 9, 0, 4, 0, 0, 4, 0][..]));
}

#[test]
fn a_short_slot_gets_nothing() {
    let mapped = "192.0.2.1:1".parse().unwrap();
    for len in 0..64 {
        assert_eq!(write_binding_success(&mut vec![0; len], [1; 12], mapped, PASSWORD), 0);
        assert_eq!(write_binding_error(&mut vec![0; len], [1; 12], 487, PASSWORD), 0);
        assert_eq!(write_binding_request(&mut vec![0; len], [1; 12], OURS, true, 1, 2, b""), 0);
    }
    assert_eq!(write_binding_success(&mut [0; 64], [1; 12], mapped, PASSWORD), 64);
}

#[test]
fn mapped_ipv6_clothes_are_taken_off() {
    let mut slot = [0; 100];
    let dressed: SocketAddr = "[::ffff:192.0.2.1]:32853".parse().unwrap();
    let len = write_binding_success(&mut slot, [9; 12], dressed, PASSWORD);
    let mapped = BindingSuccess::parse(&slot[..len]).unwrap().mapped();
    assert_eq!(mapped, "192.0.2.1:32853".parse().unwrap());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(message in proptest::collection::vec(any::<u8>(), 0..1600)) {
        let _ = BindingRequest::parse(&message);
        let _ = BindingSuccess::parse(&message);
    }

    #[test]
    fn plausible_bytes_never_panic(
        kind in prop_oneof![Just(kind::REQUEST), Just(kind::SUCCESS)],
        body in proptest::collection::vec(
            prop_oneof![Just(0u8), Just(6), Just(8), Just(0x20), Just(0x24), Just(0x80), any::<u8>()],
            0..200,
        ),
    ) {
        let mut message = kind.to_be_bytes().to_vec();
        message.extend_from_slice(&(body.len() as u16).to_be_bytes());
        message.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        message.extend_from_slice(&[0; 12]);
        message.extend_from_slice(&body);
        if let Ok(request) = BindingRequest::parse(&message) {
            prop_assert!(!request.verify(PASSWORD));
        }
        let _ = BindingSuccess::parse(&message);
    }

    #[test]
    fn mutated_requests_are_not_authentic(at in 0usize..100, value: u8, cut in 0usize..108) {
        let good = sample_request();
        let mut message = good.clone();
        message[at] = value;
        if message != good {
            let authentic = BindingRequest::parse(&message).is_ok_and(|it| it.verify(PASSWORD));
            prop_assert!(!authentic, "byte {at}");
        }
        let _ = BindingRequest::parse(&message[..cut]);
    }

    #[test]
    fn requests_round_trip(
        transaction: [u8; 12],
        local in "[A-Za-z0-9+/]{4,30}",
        remote in "[A-Za-z0-9+/]{4,30}",
        nominate: bool,
        priority: u32,
        tie_breaker: u64,
        password in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut slot = [0; 300];
        let username = format!("{local}:{remote}");
        let len = write_binding_request(
            &mut slot, transaction, &username, nominate, priority, tie_breaker, &password,
        );
        let request = BindingRequest::parse(&slot[..len]).unwrap();
        prop_assert_eq!(request.transaction(), transaction);
        prop_assert_eq!(request.local_ufrag(), local.as_bytes());
        prop_assert_eq!(request.remote_ufrag(), remote.as_bytes());
        prop_assert_eq!(request.use_candidate(), nominate);
        prop_assert_eq!(request.priority(), Some(priority));
        prop_assert_eq!(request.role(), Some(IceRole::Controlling(tie_breaker)));
        prop_assert!(request.verify(&password));
    }

    #[test]
    fn answers_round_trip(transaction: [u8; 12], ip: std::net::IpAddr, port: u16) {
        let mut slot = [0; 100];
        let mapped = SocketAddr::new(ip.to_canonical(), port);
        let len = write_binding_success(&mut slot, transaction, mapped, PASSWORD);
        let response = BindingSuccess::parse(&slot[..len]).unwrap();
        prop_assert_eq!(response.mapped(), mapped);
        prop_assert_eq!(response.transaction(), transaction);
        prop_assert!(response.verify(PASSWORD));
    }
}
