//! PUT renegotiate: the answer to our offer, or an offer of the client.

use std::sync::Arc;

use super::{Call, Reply, exchange, publish, pull};
use crate::error::ApiError;
use crate::events::Reason;
use crate::sdp::{Accepted, AcceptedOutcome, Description, PublishedSection, ReceivingSection};
use crate::state::{Session, Work};
use crate::wire::{RenegotiateReply, RenegotiateRequest, SdpType, SessionDescription, decode};

/// Completes our offer with the client's answer; answers a client's offer (ICE restart).
pub(super) async fn renegotiate(call: &Call, session: &Arc<Session>) -> Result<Reply, ApiError> {
    let request: RenegotiateRequest = decode(&call.body)?;
    let description = &request.session_description;
    let kind = description.kind;
    let parsed = exchange::parse(description, kind)?;
    let mut work = super::work(call, session).await?;
    if kind == SdpType::Offer {
        let answered = exchange::answer(call, session, &mut work, &parsed, &[])?;
        let session_description = Some(SessionDescription::answer(answered.sdp));
        return Ok(Reply::json(200, &RenegotiateReply { session_description }));
    }
    accept(call, session, &mut work, &parsed)?;
    Ok(Reply::json(200, &RenegotiateReply { session_description: None }))
}

/// Completes our open offer with the client's answer.
pub(super) fn accept(
    call: &Call,
    session: &Arc<Session>,
    work: &mut Work,
    answer: &Description,
) -> Result<(), ApiError> {
    let nothing_open = || ApiError::SdpOrder("no offer of this session is open".to_owned());
    let negotiation = work.negotiation.as_mut().ok_or_else(nothing_open)?;
    let accepted = negotiation.accept_answer(answer)?;
    work.offered = None;
    work.exchanged = true;
    exchange::settle(call, session, work);
    for section in accepted {
        apply(call, session, work, section);
    }
    work.invited.clear();
    Ok(())
}

/// What the answer did to one section.
fn apply(call: &Call, session: &Arc<Session>, work: &mut Work, accepted: Accepted) {
    let Accepted { mid, outcome } = accepted;
    match outcome {
        AcceptedOutcome::Receiving(section) => receive(call, session, work, &mid, section),
        AcceptedOutcome::Published(section) => begin(call, session, work, &mid, section),
        AcceptedOutcome::Dropped => {
            exchange::end_mid_subscription(call, work, &mid);
        }
        AcceptedOutcome::Unpublished => {
            if let Some(publication) = session.publication_at(&mid) {
                call.node.unpublish(session, &publication, Reason::Ended);
            }
        }
    }
}

/// Begins a publication that our offer invited. Without room for it the section is closed.
fn begin(
    call: &Call,
    session: &Arc<Session>,
    work: &mut Work,
    mid: &str,
    section: PublishedSection,
) {
    let Some(name) = work.invited.remove(mid) else { return };
    if publish::enter(call, session, name, section).is_err()
        && let Some(negotiation) = &mut work.negotiation
    {
        negotiation.close_mid(mid);
    }
}

fn receive(
    call: &Call,
    session: &Arc<Session>,
    work: &mut Work,
    mid: &str,
    mut section: ReceivingSection,
) {
    let Some(subscription) = work.subscriptions.get_mut(mid).filter(|s| !s.closed) else { return };
    if subscription.repointed {
        subscription.repointed = false;
        let media = subscription.publication.details().media;
        let mapped = work.negotiation.as_mut().and_then(|n| n.remap(mid, &media).ok());
        let Some(payloads) = mapped else {
            exchange::end_mid(call, session, work, mid);
            return;
        };
        section.payloads = payloads;
    }
    if let Some(subscription) = work.subscriptions.get_mut(mid) {
        subscription.receiving = Some(section);
        pull::tell(call, session, subscription);
    }
}
