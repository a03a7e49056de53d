//! Offer/answer exchanges of a session with everything that hangs on them: opening its transport,
//! a moved BUNDLE tag, ICE restart, the peer's facts, sections that ended.
//!
//! Used by every handler that takes or makes an SDP. The caller holds the session's work.

use std::sync::Arc;
use std::time::Instant;

use common::command::PeerFacts;

use super::{Call, pull};
use crate::error::{ApiError, ItemError};
use crate::events::Reason;
use crate::sdp::{
    Answered, Description, IceCredentials, LocalTransport, Msid, Negotiation, Offered, SdpError,
    SendHalf, Wish,
};
use crate::state::{Session, Work};
use crate::wire::{SdpType, SessionDescription};

/// Parses a description that must be of the given type.
pub(super) fn parse(
    description: &SessionDescription,
    kind: SdpType,
) -> Result<Description, ApiError> {
    if description.kind != kind {
        let wanted = if kind == SdpType::Offer { "offer" } else { "answer" };
        let text = format!("sessionDescription.type: this request takes an {wanted}");
        return Err(ApiError::SdpOrder(text));
    }
    Ok(Description::parse(&description.sdp)?)
}

/// The session's negotiation; opens its transport before the first exchange.
pub(super) fn ensure<'a>(
    call: &Call,
    session: &Arc<Session>,
    work: &'a mut Work,
) -> Result<&'a mut Negotiation, ApiError> {
    if work.negotiation.is_none() {
        let seed = u64::from_ne_bytes(call.node.random()?);
        let (peer, transport) = call.node.open_peer()?;
        call.node.attach(session, peer, Instant::now())?;
        work.negotiation = Some(Negotiation::new(transport, seed));
    }
    work.negotiation.as_mut().ok_or(ApiError::SessionGone)
}

/// Makes our offer. When every section was stopped, the client's transport ended with them: the
/// offer then brings a new one.
pub(super) fn offer(
    call: &Call,
    session: &Arc<Session>,
    work: &mut Work,
    make: impl FnOnce(&mut Negotiation) -> Result<Offered, SdpError>,
) -> Result<Offered, ApiError> {
    work.check_no_offer()?;
    if ensure(call, session, work)?.transport_ended() {
        let (peer, transport) = call.node.open_peer()?;
        call.node.attach(session, peer, Instant::now())?;
        ensure(call, session, work)?.move_transport(transport);
        work.restarts = 0;
    }
    let negotiation = ensure(call, session, work)?;
    negotiation.close_ended(|mid| session.publication_at(mid).is_some());
    let offered = make(negotiation)?;
    work.offered = Some(Instant::now());
    Ok(offered)
}

/// Answers a client's offer. Nothing changes when it fails.
pub(super) fn answer(
    call: &Call,
    session: &Arc<Session>,
    work: &mut Work,
    offer: &Description,
    wishes: &[Wish],
) -> Result<Answered, ApiError> {
    work.check_no_offer()?;
    let mut next = ensure(call, session, work)?.clone();
    let (mut restarts, mut moved_to) = (work.restarts, None);
    if starts_anew(&next, offer) {
        renumber(call, work, &mut next)?;
        let (peer, transport) = call.node.open_peer()?;
        next.move_transport(transport);
        moved_to = Some(peer);
        restarts = 0;
    } else if next.remote_ice_changed(offer) {
        let (count, transport) = restarted(call, session, restarts)?;
        restarts = count;
        next.set_transport(transport);
    }
    let answered = match next.answer(offer, wishes) {
        Ok(answered) => answered,
        Err(error) => {
            if let Some(peer) = moved_to {
                call.node.plane().release_peer(peer);
            }
            return Err(error.into());
        }
    };
    if let Some(peer) = moved_to {
        call.node.attach(session, peer, Instant::now())?;
    }
    work.restarts = restarts;
    work.negotiation = Some(next);
    work.exchanged = true;
    settle(call, session, work);
    for mid in &answered.ended {
        end_mid(call, session, work, mid);
    }
    if moved_to.is_some() {
        tell_numbers(call, session, work);
    }
    Ok(answered)
}

/// Our side of the present peer after one more ICE restart, and how many there were.
fn restarted(
    call: &Call,
    session: &Session,
    restarts: u8,
) -> Result<(u8, LocalTransport), ApiError> {
    let peer = session.peer().ok_or(ApiError::SessionGone)?;
    let too_often = || ApiError::SdpOrder("ICE restarted too often in this session".to_owned());
    let restarts = restarts.checked_add(1).ok_or_else(too_often)?;
    Ok((restarts, call.node.restart_ice(peer, restarts)))
}

/// Restarts ICE without a description.
pub(super) fn restart(
    call: &Call,
    session: &Session,
    work: &mut Work,
    remote: IceCredentials,
) -> Result<(), ApiError> {
    let (restarts, transport) = restarted(call, session, work.restarts)?;
    work.restarts = restarts;
    let negotiation = work.negotiation.as_mut().ok_or(ApiError::SessionGone)?;
    negotiation.restart_ice(remote, transport);
    Ok(())
}

/// Gives every subscription new SSRCs. On a new transport its numbers start anew, and a receiver
/// that knows the SSRC takes what starts below its last number for old packets: no picture.
fn renumber(call: &Call, work: &mut Work, next: &mut Negotiation) -> Result<(), ApiError> {
    let mids: Vec<String> = work.subscriptions.keys().cloned().collect();
    for mid in mids {
        let (ssrc, rtx_ssrc) = (fresh_ssrc(call, work)?, fresh_ssrc(call, work)?);
        next.renumber(&mid, ssrc, rtx_ssrc);
    }
    Ok(())
}

/// Tells the cores the new SSRCs of what is still subscribed.
fn tell_numbers(call: &Call, session: &Session, work: &mut Work) {
    let Some(negotiation) = &work.negotiation else { return };
    for (mid, subscription) in work.subscriptions.iter_mut().filter(|(_, s)| !s.closed) {
        let numbers = negotiation.receiving(mid);
        if let (Some(section), Some(numbers)) = (&mut subscription.receiving, numbers) {
            section.ssrc = numbers.ssrc;
            section.rtx_ssrc = numbers.rtx_ssrc;
            pull::tell(call, session, subscription);
        }
    }
}

/// A random SSRC that is new to this session.
fn fresh_ssrc(call: &Call, work: &mut Work) -> Result<u32, ApiError> {
    loop {
        let ssrc = u32::from_ne_bytes(call.node.random()?);
        if work.take_ssrc(ssrc) {
            return Ok(ssrc);
        }
    }
}

/// Fresh SSRCs and a fresh msid (Chromium refuses repeated ones) for what we send in a section.
pub(super) fn fresh_half(
    call: &Call,
    work: &mut Work,
    stream: &str,
    video: bool,
) -> Result<SendHalf, ItemError> {
    let mut fresh = || fresh_ssrc(call, work).map_err(|_| ItemError::Full);
    let ssrc = fresh()?;
    let rtx_ssrc = if video { Some(fresh()?) } else { None };
    let track = call.node.random_id().map_err(|_| ItemError::Full)?;
    Ok(SendHalf { ssrc, rtx_ssrc, msid: Msid { stream: stream.to_owned(), track } })
}

/// The mid an entry names: itself, or behind a `#` the name of a track the session publishes. None
/// where it names none.
///
/// Errors: [`ItemError::InvalidParams`] for a name the session does not publish.
pub(super) fn mid_of(session: &Session, mid: Option<&str>) -> Result<Option<String>, ItemError> {
    let Some(name) = mid.and_then(|mid| mid.strip_prefix('#')) else {
        return Ok(mid.map(str::to_owned));
    };
    let found = session.publication(name).map(|publication| publication.mid.clone());
    let unknown =
        || ItemError::InvalidParams("mid: the session publishes no track of this name".to_owned());
    found.ok_or_else(unknown).map(Some)
}

/// Whether the client starts a new transport with this offer: it stopped the section whose
/// transport the group used, or shows another certificate.
fn starts_anew(negotiation: &Negotiation, offer: &Description) -> bool {
    let shown = offer.transport_section().and_then(|section| section.fingerprint);
    let known = negotiation.remote_fingerprint();
    let other_certificate = matches!((known, shown), (Some(known), Some(shown)) if known != shown);
    negotiation.bundle_tag_moved(offer) || other_certificate
}

/// After an exchange: tells the cores the peer's facts and prolongs the session's life.
pub(super) fn settle(call: &Call, session: &Arc<Session>, work: &Work) {
    let idle = work.negotiation.as_ref().is_some_and(Negotiation::transport_ended);
    session.exchanged(idle, Instant::now());
    let (Some(negotiation), Some(peer)) = (&work.negotiation, session.peer()) else { return };
    let Some(fingerprint) = negotiation.remote_fingerprint() else { return };
    let extensions = negotiation.extensions();
    let transport_feedback = negotiation.transport_feedback();
    let (dtls_role, sctp) = (negotiation.dtls_role(), negotiation.sctp());
    call.node.negotiated_channels(session, sctp.is_some());
    let facts = PeerFacts { peer, fingerprint, extensions, transport_feedback, dtls_role, sctp };
    call.node.push(|push, out| push.set_peer(facts, out));
}

/// Ends whatever a section carries. True when it carried something.
pub(super) fn end_mid(call: &Call, session: &Arc<Session>, work: &mut Work, mid: &str) -> bool {
    let mut found = false;
    if let Some(publication) = session.publication_at(mid) {
        call.node.unpublish(session, &publication, Reason::Ended);
        found = true;
    }
    end_mid_subscription(call, work, mid) || found
}

/// Ends the subscription in a section. True when there was one.
pub(super) fn end_mid_subscription(call: &Call, work: &mut Work, mid: &str) -> bool {
    let Some(subscription) = work.subscriptions.get_mut(mid).filter(|s| !s.closed) else {
        return false;
    };
    subscription.closed = true;
    let id = subscription.id;
    call.node.push(|push, out| push.unsubscribe(id, out));
    true
}
