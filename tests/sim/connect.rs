//! Coming up: ICE, DTLS and keys on clean and bad links, in every DTLS version, on several cores.

use common::counters::Drop;
use common::event::{CloseReason, Event, SrtpProfile};
use str0m::config::DtlsVersion;
use tests::link::{Burst, LinkConfig};
use tests::oracle::Kind;
use tests::sim::{Join, Sim, SimConfig};

use crate::{Call, millis, seconds};

#[test]
fn every_dtls_version_connects_with_an_aead_profile() {
    for dtls in [DtlsVersion::Dtls12, DtlsVersion::Dtls13, DtlsVersion::Auto] {
        let mut sim = Sim::new(SimConfig::new(1, 1));
        let peer = sim.join(Join { dtls, ..Join::publisher() });
        assert!(sim.run_until_connected(seconds(2)), "{dtls}: {:?}", sim.events);
        sim.run_for(millis(100));
        let connected = sim.events.iter().find_map(|(_, event)| match event {
            Event::Connected { peer, setup, profile } => Some((*peer, *setup, *profile)),
            _ => None,
        });
        let (id, setup, profile) = connected.unwrap();
        assert_eq!(id, sim.peer_id(peer));
        assert_ne!(profile, SrtpProfile::Aes128CmSha1_80, "{dtls}");
        assert!(setup >= millis(40) && setup < millis(500), "{dtls}: {setup:?}");
        assert_eq!(sim.sum(|c| c.handshakes), 1);
        assert_eq!(sim.sum(|c| c.peers), 1);
        sim.check();
    }
}

#[test]
fn handshakes_complete_on_lossy_and_disordered_links() {
    for (loss, seeds) in [(0.0, 0..2), (0.05, 2..8), (0.2, 8..20)] {
        for seed in seeds {
            let link = LinkConfig::default().with_loss(loss).with_disorder(millis(8), 0.1, 0.05);
            let dtls = if seed % 2 == 0 { DtlsVersion::Dtls12 } else { DtlsVersion::Dtls13 };
            let join = Join { dtls, ..Join::publisher().on(link) };
            let mut sim = Sim::new(SimConfig::new(seed, 2));
            sim.join(join);
            let connected = |sim: &Sim| {
                sim.peer(0).connected
                    && sim.events.iter().any(|(_, e)| matches!(e, Event::Connected { .. }))
            };
            assert!(sim.run_until(seconds(20), connected), "seed {seed}: {:?}", sim.events);
            sim.check();
        }
    }
}

#[test]
fn handshakes_complete_when_loss_comes_in_bursts() {
    for seed in 100..106 {
        let burst = Some(Burst { enter: 0.1, leave: 0.3 });
        let link = LinkConfig { burst, ..LinkConfig::default() };
        let mut sim = Sim::new(SimConfig::new(seed, 1));
        sim.join(Join::publisher().on(link));
        assert!(sim.run_until_connected(seconds(25)), "seed {seed}: {:?}", sim.events);
        sim.check();
    }
}

/// A peer that answered our offer with `a=setup:passive`.
fn serving(join: Join) -> Join {
    Join { serves_dtls: true, ..join }
}

#[test]
fn a_dtls_server_gets_our_client_hello_and_media_flows_both_ways() {
    for dtls in [DtlsVersion::Dtls12, DtlsVersion::Auto] {
        let publisher = Join { dtls, ..serving(Join::publisher()) };
        let viewer = Join { dtls, ..serving(Join::subscriber()) };
        let viewers = [viewer, Join::subscriber()];
        let mut call = Call::new(SimConfig::new(31, 2), publisher, &viewers, true);
        call.connect();
        call.sim.run_for(seconds(3));
        let profiles: Vec<_> = call
            .sim
            .events
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Connected { profile, .. } => Some(*profile),
                _ => None,
            })
            .collect();
        assert_eq!(profiles.len(), 3);
        assert!(profiles.iter().all(|p| *p != SrtpProfile::Aes128CmSha1_80), "{profiles:?}");
        for (video, audio) in &call.watched {
            assert!(call.sim.report(*video).packets > 150 && call.sim.report(*audio).packets > 100);
        }
        call.sim.check();
    }
}

#[test]
fn our_client_hello_waits_for_the_facts_and_a_nominated_path() {
    let config = SimConfig { control_delay: millis(700), ..SimConfig::new(32, 1) };
    let mut sim = Sim::new(config);
    sim.join(serving(Join::publisher()));
    sim.run_for(millis(650));
    // Nothing but answers to checks went out before the facts came.
    assert_eq!(sim.oracle().sent.get(&Kind::Dtls), None);
    assert!(sim.run_until_connected(seconds(2)), "{:?}", sim.events);
    sim.check();
}

#[test]
fn our_client_hello_is_sent_again_until_it_is_answered() {
    for (loss, seeds) in [(0.05, 40..44), (0.2, 44..52)] {
        for seed in seeds {
            let link = LinkConfig::default().with_loss(loss).with_disorder(millis(8), 0.1, 0.05);
            let mut sim = Sim::new(SimConfig::new(seed, 2));
            sim.join(serving(Join::publisher()).on(link));
            let connected = |sim: &Sim| {
                sim.peer(0).connected
                    && sim.events.iter().any(|(_, e)| matches!(e, Event::Connected { .. }))
            };
            assert!(sim.run_until(seconds(20), connected), "seed {seed}: {:?}", sim.events);
            sim.check();
        }
    }
}

#[test]
fn a_dtls_server_with_a_wrong_certificate_gets_no_media() {
    let impostor = Join { impostor: true, ..serving(Join::publisher()) };
    let mut call = Call::new(SimConfig::new(33, 1), impostor, &[Join::subscriber()], true);
    call.sim.run_for(seconds(4));
    assert_eq!(call.sim.closed(call.publisher), Some(CloseReason::FingerprintMismatch));
    assert_eq!(call.sim.sum(|c| c.media_in + c.media_out), 0);
    call.sim.check();
}

#[test]
fn a_wrong_certificate_ends_the_peer_before_any_media() {
    let impostor = Join { impostor: true, ..Join::publisher() };
    let viewers = [Join::subscriber(); 2];
    let mut call = Call::new(SimConfig::new(5, 2), impostor, &viewers, true);
    call.sim.run_for(seconds(4));
    assert_eq!(call.sim.closed(call.publisher), Some(CloseReason::FingerprintMismatch));
    assert_eq!(call.sim.sum(|c| c.media_in), 0);
    assert_eq!(call.sim.sum(|c| c.media_out), 0);
    assert_eq!(call.sim.oracle().sent.get(&Kind::Rtp), None);
    for (video, audio) in &call.watched {
        assert_eq!(call.sim.report(*video).packets + call.sim.report(*audio).packets, 0);
    }
    let connected: Vec<_> = call.viewers.iter().map(|v| call.sim.peer(*v).connected).collect();
    assert_eq!(connected, [true, true], "others are not touched");
    call.sim.check();
}

#[test]
fn keys_wait_for_the_certificate_when_the_control_plane_is_slow() {
    let config = SimConfig { control_delay: millis(700), ..SimConfig::new(6, 2) };
    let mut call = Call::new(config, Join::publisher(), &[Join::subscriber()], true);
    call.connect();
    let connected = |sim: &Sim| {
        sim.events.iter().filter(|(_, e)| matches!(e, Event::Connected { .. })).count() == 2
    };
    assert!(call.sim.run_until(seconds(3), connected), "{:?}", call.sim.events);
    assert!(call.sim.now() >= millis(700));
    call.sim.run_for(seconds(3));
    assert!(call.sim.report(call.watched[0].0).packets > 150);
    assert_eq!(call.sim.sum(|c| c.dropped(Drop::UnknownTrack)), 0);
    call.sim.check();
}

#[test]
fn a_check_for_a_peer_that_never_was_or_is_gone_is_not_answered() {
    let mut sim = Sim::new(SimConfig::new(9, 1));
    let peer = sim.join(Join::publisher());
    sim.recorded = Some(Vec::new());
    assert!(sim.run_until_connected(seconds(2)));
    sim.act(peer, |peer, now| peer.close(now));
    sim.run_for(seconds(1));
    assert_eq!(sim.closed(peer), Some(CloseReason::CloseNotify));
    let recorded = sim.recorded.take().unwrap();
    let sent = sim.sum(|c| c.datagrams_out);
    for (from, bytes) in recorded {
        sim.inject(from, bytes);
    }
    sim.run_for(seconds(1));
    assert_eq!(sim.sum(|c| c.datagrams_out), sent);
    assert_eq!(sim.sum(|c| c.peers), 0);
    assert!(sim.sum(|c| c.dropped(Drop::StunUnknownUser)) > 0);
    sim.check();
}
