//! PATH set-up: connectivity checks and DTLS. The first authenticated check makes a peer; nothing
//! before it leaves a trace, and nothing but the answer to such a check is sent to an address that
//! has not proved itself; our ClientHello, where the facts want one, follows a nomination.

use std::time::Instant;

use common::address::TransportAddress;
use common::counters::Drop;
use common::event::{CloseReason, Event};
use common::id::PeerId;
use common::limits::PEERS_MAX;
use proto::ice::{open_ufrag, password};
use proto::stun::{BindingRequest, ROLE_CONFLICT, write_binding_error, write_binding_success};

use crate::demux::Flow;
use crate::host::{Claim, Host};
use crate::kit::table::PeerPlace;
use crate::tables::{Outcome, Tables, send};
use crate::transport::{Peer, PeerConfig};

/// A STUN message. The user name tells the peer without a table (its MAC is ours), the integrity
/// key is derived from it: both checks cost no memory.
pub(crate) fn on_stun(
    tables: &mut Tables,
    from: TransportAddress,
    bytes: &mut [u8],
    now: Instant,
    host: &mut impl Host,
) -> Outcome {
    let Ok(request) = BindingRequest::parse(bytes) else {
        return Outcome::Dropped(Drop::StunMalformed);
    };
    let Some((peer, _restart)) = open_ufrag(&tables.secret, request.local_ufrag()) else {
        return Outcome::Dropped(Drop::StunUnknownUser);
    };
    let password = password(&tables.secret, request.local_ufrag());
    if !request.verify(password.as_bytes()) {
        return Outcome::Dropped(Drop::StunUnauthentic);
    }
    let place = match tables.peers.place(peer) {
        Some(place) => place,
        None => match host.claim(peer) {
            Claim::Dead => return Outcome::Dropped(Drop::StunUnknownUser),
            Claim::Other(core) => {
                // A connection moves there with this message: its name ends here.
                if !from.is_tcp() {
                    tables.flows.bind(from, Flow::Core(core), now);
                }
                return Outcome::of_hand_over(core, from, bytes, now, host);
            }
            Claim::Mine => match welcome(tables, peer, now, host) {
                Some(place) => place,
                None => return Outcome::Dropped(Drop::CoreFull),
            },
        },
    };
    tables.serving = Some(peer);
    let outcome = answer(tables, place, from, &request, password.as_bytes(), now, host);
    tables.count_received(place, outcome, bytes.len());
    outcome
}

/// A DTLS datagram from a path of the peer.
pub(crate) fn on_dtls(
    tables: &mut Tables,
    place: PeerPlace,
    from: TransportAddress,
    bytes: &mut [u8],
    now: Instant,
    host: &mut impl Host,
) -> Outcome {
    let Some(peer) = tables.peers.at_mut(place) else {
        return Outcome::Dropped(Drop::UnknownAddress);
    };
    // Chromium sends its ClientHello before it nominates: from a checked path that is as good.
    peer.ice.on_early_dtls(from);
    match peer.establish.on_datagram(bytes, now) {
        Ok(accepted) => {
            tables.drive(place, Some(from), now, host);
            if accepted { Outcome::Control } else { Outcome::Dropped(Drop::DtlsRejected) }
        }
        Err(reason) => {
            tables.close(place, reason, now, host);
            Outcome::Dropped(Drop::DtlsRejected)
        }
    }
}

fn welcome(
    tables: &mut Tables,
    id: PeerId,
    now: Instant,
    host: &mut impl Host,
) -> Option<PeerPlace> {
    if let Some(stale) = tables.peers.holder(id).and_then(|holder| tables.peers.place(holder)) {
        tables.close(stale, CloseReason::Requested, now, host);
    }
    if tables.peers.len() >= PEERS_MAX {
        return None;
    }
    let rtcp_ssrc = tables.random.next_u32().max(1);
    let config = PeerConfig { id, certificate: &tables.certificate, rtcp_ssrc };
    let place = tables.peers.insert(id, Peer::new(&config, now))?;
    host.event(Event::Claimed { peer: id, core: tables.core });
    Some(place)
}

fn answer(
    tables: &mut Tables,
    place: PeerPlace,
    from: TransportAddress,
    request: &BindingRequest<'_>,
    password: &[u8],
    now: Instant,
    host: &mut impl Host,
) -> Outcome {
    let Some(peer) = tables.peers.at_mut(place) else {
        return Outcome::Dropped(Drop::StunUnknownUser);
    };
    if !request.controlling() {
        match host.reserve() {
            Some(slot) => {
                let len = write_binding_error(slot, request.transaction(), ROLE_CONFLICT, password);
                send(&mut tables.counters, &mut peer.traffic.sent, host, from, len);
            }
            None => tables.counters.drop(Drop::NoSendSlot),
        }
        return Outcome::Control;
    }
    let check = peer.ice.on_check(from, request.use_candidate(), now);
    if !check.accepted {
        return Outcome::Dropped(Drop::PathLimit);
    }
    if let Some(evicted) = check.evicted {
        tables.flows.unbind(evicted, place);
    }
    if !tables.flows.bind(from, Flow::Peer(place), now) {
        return Outcome::Dropped(Drop::PathLimit);
    }
    match host.reserve() {
        Some(slot) => {
            let len = write_binding_success(slot, request.transaction(), from.socket(), password);
            send(&mut tables.counters, &mut peer.traffic.sent, host, from, len);
        }
        None => tables.counters.drop(Drop::NoSendSlot),
    }
    if peer.initiate(now) {
        tables.drive(place, None, now, host);
    }
    Outcome::Control
}
