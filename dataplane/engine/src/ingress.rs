//! THE WALK: one datagram from its first byte to its end. Every datagram is forwarded, consumed,
//! handed over or dropped with a reason, and counted once.

use std::time::Instant;

use common::address::TransportAddress;
use common::counters::Drop;
use proto::classify::{Class, classify};

use crate::demux::Flow;
use crate::host::Host;
use crate::tables::{Outcome, Tables};
use crate::{feedback, media, setup};

/// Walks one datagram that arrived from `from` at `now`; `bytes` is decrypted in place.
pub(crate) fn on_datagram(
    tables: &mut Tables,
    from: TransportAddress,
    bytes: &mut [u8],
    now: Instant,
    host: &mut impl Host,
) {
    tables.counters.datagrams_in += 1;
    tables.counters.bytes_in += bytes.len() as u64;
    let outcome = walk(tables, from, bytes, now, host);
    tables.serving = None;
    count(tables, outcome);
}

fn count(tables: &mut Tables, outcome: Outcome) {
    match outcome {
        Outcome::Media => tables.counters.media_in += 1,
        Outcome::Control => tables.counters.control_in += 1,
        Outcome::HandedOver => tables.counters.handed_over += 1,
        Outcome::Dropped(reason) => tables.counters.drop(reason),
    }
}

fn walk(
    tables: &mut Tables,
    from: TransportAddress,
    bytes: &mut [u8],
    now: Instant,
    host: &mut impl Host,
) -> Outcome {
    let Some(class) = classify(bytes) else { return Outcome::Dropped(Drop::Unclassified) };
    if class == Class::Stun {
        return setup::on_stun(tables, from, bytes, now, host);
    }
    let peer = match tables.flows.find(from, now) {
        None => return Outcome::Dropped(Drop::UnknownAddress),
        Some(Flow::Core(core)) => return Outcome::of_hand_over(core, from, bytes, now, host),
        Some(Flow::Peer(place)) => place,
    };
    tables.serving = tables.peers.at(peer).map(|peer| peer.id);
    let len = bytes.len();
    let outcome = match class {
        Class::Stun => Outcome::Dropped(Drop::Unclassified),
        Class::Dtls => setup::on_dtls(tables, peer, from, bytes, now, host),
        Class::Rtp => media::on_rtp(tables, peer, bytes, now, host),
        Class::Rtcp => feedback::on_rtcp(tables, peer, from, bytes, now, host),
    };
    tables.count_received(peer, outcome, len);
    outcome
}
