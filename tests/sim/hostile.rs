//! Attackers: nothing unauthenticated makes state or gets an answer; nothing authentic but hostile
//! costs more than its own processing.

use std::net::SocketAddr;

use common::command::Command;
use common::counters::Drop;
use tests::link::LinkConfig;
use tests::oracle::{Kind, kind_of};
use tests::peer::{Outgoing, PUBLISHER_TYPES, StreamSpec};
use tests::random::Random;
use tests::sim::{Join, Sim, SimConfig};

use crate::{Call, millis, seconds};

fn attacker(random: &mut Random) -> SocketAddr {
    let host = [203, 0, 113, random.next_u64() as u8];
    SocketAddr::from((host, 1024 + random.below(60_000) as u16))
}

/// A running call whose publisher's datagrams were recorded.
fn recorded_call(seed: u64, cores: usize) -> (Call, Vec<(SocketAddr, Vec<u8>)>) {
    let mut call = Call::clean(seed, cores);
    call.connect();
    call.sim.recorded = Some(Vec::new());
    call.sim.run_for(seconds(3));
    let recorded = call.sim.recorded.take().unwrap();
    // What is still on the link must arrive before its copies do.
    call.sim.run_for(millis(50));
    let from = call.sim.outside(call.publisher);
    (call, recorded.into_iter().filter(|(source, _)| *source == from).collect())
}

/// What a second of quiet after `attack` sent to anybody but the peers: the oracle's business. Here:
/// that the peers noticed nothing.
fn assert_unharmed(call: &mut Call) {
    let since: Vec<u64> = call.watched.iter().map(|(v, _)| call.sim.report(*v).packets).collect();
    call.sim.run_for(seconds(1));
    for ((video, _), before) in call.watched.iter().zip(since) {
        let report = call.sim.report(*video);
        assert!(report.packets >= before + 80, "{before} {report:?}");
        assert_eq!(report.missing, 0, "{report:?}");
    }
    call.sim.check();
}

#[test]
fn floods_from_strangers_make_no_state_and_get_no_answer() {
    let (mut call, recorded) = recorded_call(1, 2);
    let mut random = Random::new(1);
    let before = (call.sim.sum(|c| c.peers), call.sim.sum(|c| c.control_in));
    for round in 0..3_000 {
        let (_, template) = &recorded[round % recorded.len()];
        // A stranger replays a genuine DTLS, RTP or RTCP datagram from its own address, or sends
        // a STUN message whose user name or integrity is not ours.
        let mut bytes = template.clone();
        if kind_of(&bytes) == Kind::Stun {
            let place = 20 + random.below(bytes.len() as u64 - 20) as usize;
            bytes[place] ^= 1 << random.below(8);
        }
        call.sim.inject(attacker(&mut random), bytes);
    }
    for kind in [0u8, 1, 20, 22, 23, 25, 63, 128, 144, 191, 200, 255] {
        for _ in 0..100 {
            let len = random.below(1500) as usize;
            let mut bytes = random.bytes(len);
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            call.sim.inject(attacker(&mut random), bytes);
        }
    }
    assert_eq!(call.sim.sum(|c| c.peers), before.0);
    let consumed = call.sim.sum(|c| c.control_in) - before.1;
    assert!(consumed < 30, "{consumed}");
    assert!(call.sim.sum(|c| c.dropped(Drop::UnknownAddress)) > 2_000);
    assert!(call.sim.sum(|c| c.dropped(Drop::Unclassified)) > 100);
    assert_unharmed(&mut call);
}

/// CRC-32 of RFC 8489 section 14.7 (ITU V.42), bit by bit: a judge needs no speed.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[test]
fn forged_checks_with_a_good_fingerprint_are_not_answered() {
    let mut donor = Sim::new(SimConfig::new(12, 1));
    donor.recorded = Some(Vec::new());
    let peer = donor.join(Join::publisher());
    assert!(donor.run_until_connected(seconds(2)));
    donor.run_for(seconds(1));
    let recorded = donor.recorded.take().unwrap();
    let checks: Vec<_> = recorded.iter().filter(|(_, b)| kind_of(b) == Kind::Stun).collect();
    assert!(!checks.is_empty());
    let (answered, peers) = (donor.sum(|c| c.datagrams_out), donor.sum(|c| c.peers));
    let mut random = Random::new(12);
    for round in 0..500 {
        let mut bytes = checks[round % checks.len()].1.clone();
        // Message integrity (24 bytes) and fingerprint (8 bytes) end a check.
        let body = bytes.len() - 8;
        bytes[body - 20 + round % 20] ^= 1 << random.below(8);
        let fingerprint = crc32(&bytes[..body]) ^ 0x5354_554e;
        bytes[body + 4..].copy_from_slice(&fingerprint.to_be_bytes());
        let from = if round % 2 == 0 { attacker(&mut random) } else { donor.outside(peer) };
        donor.inject(from, bytes);
    }
    assert_eq!(donor.sum(|c| c.dropped(Drop::StunUnauthentic)), 500);
    assert_eq!(donor.sum(|c| c.datagrams_out), answered);
    assert_eq!(donor.sum(|c| c.peers), peers);
    donor.check();
}

#[test]
fn client_hellos_before_a_check_are_ignored() {
    let mut donor = Sim::new(SimConfig::new(2, 1));
    donor.recorded = Some(Vec::new());
    donor.join(Join::publisher());
    assert!(donor.run_until_connected(seconds(2)));
    let dtls: Vec<_> = donor.recorded.take().unwrap();
    let dtls: Vec<_> = dtls.into_iter().filter(|(_, b)| kind_of(b) == Kind::Dtls).collect();
    assert!(!dtls.is_empty());
    let mut sim = Sim::new(SimConfig::new(3, 1));
    let mut random = Random::new(2);
    for round in 0..1_000 {
        sim.inject(attacker(&mut random), dtls[round % dtls.len()].1.clone());
    }
    assert_eq!(sim.sum(|c| c.datagrams_out), 0);
    assert_eq!(sim.sum(|c| c.dropped(Drop::UnknownAddress)), 1_000);
    sim.check();
}

#[test]
fn media_with_a_flipped_bit_is_dropped_and_replays_too() {
    let mut call = Call::clean(4, 1);
    call.connect();
    call.sim.run_for(seconds(1));
    let up = LinkConfig::default();
    call.sim.relink(call.publisher, up.with_loss(1.0), up);
    call.sim.recorded = Some(Vec::new());
    call.sim.run_for(millis(1_500));
    call.sim.relink(call.publisher, up, up);
    let from = call.sim.outside(call.publisher);
    let held: Vec<_> = call.sim.recorded.take().unwrap();
    let of = |kind| held.iter().filter(move |(f, b)| *f == from && kind_of(b) == kind);
    let (rtp, rtcp): (Vec<_>, Vec<_>) = (of(Kind::Rtp).collect(), of(Kind::Rtcp).collect());
    assert!(rtp.len() > 150 && !rtcp.is_empty(), "{} {}", rtp.len(), rtcp.len());
    let mut random = Random::new(4);
    let before = (call.sim.sum(|c| c.media_in), call.sim.sum(|c| c.media_out));
    for (_, bytes) in rtp.iter().chain(&rtcp) {
        let mut bytes = bytes.clone();
        // Not in the first two bytes: they decide what kind of datagram it is.
        let bit = 16 + random.below(bytes.len() as u64 * 8 - 16) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
        call.sim.inject(from, bytes);
    }
    let after = (call.sim.sum(|c| c.media_in), call.sim.sum(|c| c.media_out));
    assert_eq!(before, after, "nothing of it was taken for media");
    let refused =
        call.sim.sum(|c| c.dropped(Drop::SrtpUnauthentic) + c.dropped(Drop::RtpMalformed));
    let replayed = call.sim.sum(|c| c.dropped(Drop::SrtpReplayed));
    assert!(refused + replayed >= rtp.len() as u64 && replayed < 10, "{refused} {replayed}");
    assert_eq!(call.sim.sum(|c| c.dropped(Drop::RtcpRejected)), rtcp.len() as u64);
    for (_, bytes) in rtp.iter().chain(&rtcp) {
        call.sim.inject(from, bytes.clone());
    }
    let once = call.sim.sum(|c| c.media_in);
    assert_eq!(once, after.0 + rtp.len() as u64, "the forgeries moved no window");
    for (_, bytes) in rtp.iter().chain(&rtcp) {
        call.sim.inject(from, bytes.clone());
    }
    assert_eq!(call.sim.sum(|c| c.media_in), once);
    assert!(call.sim.sum(|c| c.dropped(Drop::SrtpReplayed)) >= rtp.len() as u64);
    assert_eq!(call.sim.sum(|c| c.dropped(Drop::RtcpRejected)), 2 * rtcp.len() as u64);
    assert_unharmed(&mut call);
}

#[test]
fn one_peers_media_replayed_from_another_peers_address_is_not_forwarded() {
    let (mut call, recorded) = recorded_call(5, 2);
    let viewer = call.sim.outside(call.viewers[0]);
    let before = call.sim.sum(|c| c.media_in);
    for (_, bytes) in recorded.iter().filter(|(_, bytes)| kind_of(bytes) == Kind::Rtp) {
        call.sim.inject(viewer, bytes.clone());
    }
    assert_eq!(call.sim.sum(|c| c.media_in), before);
    assert_unharmed(&mut call);
}

fn outgoing(ssrc: u32, sequence: u64, payload_type: Option<u8>) -> Outgoing {
    let kind = common::media::MediaKind::Video;
    let payload = vec![0x10; 40];
    Outgoing { ssrc, kind, payload_type, sequence, timestamp: 1, marker: true, payload }
}

#[test]
fn ssrcs_of_one_peer_are_capped() {
    let mut call = Call::clean(6, 1);
    call.connect();
    call.sim.run_for(seconds(1));
    for ssrc in 0x7000..0x7000 + 400 {
        call.sim.act(call.publisher, |peer, now| {
            peer.publish_extra_ssrc("0", ssrc);
            peer.send(outgoing(ssrc, 1, None), now);
        });
        call.sim.run_for(millis(1));
    }
    call.sim.run_for(millis(100));
    let limited = call.sim.sum(|c| c.dropped(Drop::SsrcLimit));
    let unknown = call.sim.sum(|c| c.dropped(Drop::UnknownTrack));
    assert!(limited >= 400 - 256, "{limited} {unknown} {:?}", call.sim.counters(0));
    assert_eq!(call.sim.closed(call.publisher), None);
    for (_, audio) in &call.watched {
        assert_eq!(call.sim.report(*audio).missing, 0);
    }
}

#[test]
fn payload_types_that_were_not_negotiated_are_dropped() {
    let mut call = Call::clean(7, 1);
    call.connect();
    call.sim.run_for(seconds(1));
    call.sim.source(call.publisher, 0).next_at = None;
    call.sim.source(call.publisher, 1).next_at = None;
    call.sim.run_for(millis(60));
    let before = call.sim.sum(|c| c.media_out);
    let (ssrc, next) = (0x1000_0000, call.sim.source(call.publisher, 0).next_sequence());
    for sequence in next..next + 50 {
        let refused = outgoing(ssrc, sequence, Some(PUBLISHER_TYPES.refused));
        call.sim.act(call.publisher, |peer, now| peer.send(refused, now));
    }
    call.sim.run_for(millis(60));
    assert_eq!(call.sim.sum(|c| c.dropped(Drop::UnknownPayloadType)), 50);
    assert_eq!(call.sim.sum(|c| c.media_out), before);
    call.sim.check();
}

/// A retransmission repeats what is missing, nothing else: forwarded a second time, with another
/// payload, it would use an outbound index twice under one key.
#[test]
fn retransmissions_of_what_is_not_missing_are_not_forwarded() {
    let mut call = Call::new(SimConfig::new(8, 1), Join::publisher(), &[Join::subscriber()], true);
    call.connect();
    call.sim.run_for(seconds(12));
    call.sim.source(call.publisher, 0).next_at = None;
    call.sim.source(call.publisher, 1).next_at = None;
    call.sim.run_for(millis(200));
    let before = call.sim.sum(|c| c.media_out);
    let (taken, next) =
        (call.sim.sum(|c| c.media_in), call.sim.source(call.publisher, 0).next_sequence());
    // The stack sends no retransmissions by hand: here they have another payload type.
    let mut facts = call.sim.control().track_facts(call.video);
    facts.payloads[0].rtx = Some(PUBLISHER_TYPES.refused);
    facts.encodings[0].rtx_ssrc = Some(0x7777);
    let home = call.sim.home(call.publisher).unwrap();
    call.sim.command(home, Command::Publish(Box::new(facts)));
    let kind = common::media::MediaKind::Video;
    let spec = StreamSpec { mid: "9", kind, ssrc: 0x7777, rtx: None };
    call.sim.act(call.publisher, |peer, _| peer.publish(spec));
    call.sim.run_for(millis(100));
    // Some of these numbers left the history long ago.
    for (sequence, behind) in (1..50).zip((1..1_500u64).step_by(30)) {
        let mut repeat = outgoing(0x7777, sequence, Some(PUBLISHER_TYPES.refused));
        repeat.payload = [&((next - behind) as u16).to_be_bytes()[..], &[0x10; 40]].concat();
        call.sim.act(call.publisher, |peer, now| peer.send(repeat, now));
        call.sim.run_for(millis(1));
    }
    call.sim.run_for(millis(100));
    assert!(call.sim.sum(|c| c.media_in) >= taken + 49, "they are authentic");
    assert_eq!(call.sim.sum(|c| c.media_out), before);
    call.sim.check();
}

#[test]
fn arbitrary_bytes_from_a_connected_peers_address_do_no_harm() {
    for seed in 8..11 {
        let mut call = Call::clean(seed, 2);
        call.connect();
        call.sim.run_for(seconds(1));
        let mut random = Random::new(seed);
        let from = call.sim.outside(call.publisher);
        for _ in 0..3_000 {
            let len = random.below(1_500) as usize;
            let mut bytes = random.bytes(len);
            if let Some(first) = bytes.first_mut() {
                let firsts = [0, 20, 21, 22, 23, 25, 0x2f, 0x80, 0x90, 0xb0];
                *first = firsts[random.below(firsts.len() as u64) as usize];
            }
            call.sim.inject(from, bytes);
        }
        assert_eq!(call.sim.closed(call.publisher), None, "seed {seed}");
        assert_unharmed(&mut call);
    }
}

#[test]
fn garbage_during_the_handshake_does_not_end_it() {
    for seed in 20..24 {
        let mut sim = Sim::new(SimConfig::new(seed, 1));
        let peer = sim.join(Join::publisher());
        let from = sim.outside(peer);
        let mut random = Random::new(seed);
        for _ in 0..400 {
            sim.run_for(millis(1));
            let len = 13 + random.below(200) as usize;
            let mut bytes = random.bytes(len);
            bytes[0] = [20, 21, 22, 23][random.below(4) as usize];
            bytes[1..3].copy_from_slice(&[0xfe, 0xfd]);
            let length = (len - 13) as u16;
            if random.chance(0.5) {
                bytes[3..5].copy_from_slice(&[0, random.below(2) as u8]);
                bytes[11..13].copy_from_slice(&length.to_be_bytes());
            }
            sim.inject(from, bytes);
        }
        assert!(sim.run_until_connected(seconds(10)), "seed {seed}: {:?}", sim.events);
        assert_eq!(sim.closed(peer), None, "seed {seed}");
        sim.check();
    }
}
