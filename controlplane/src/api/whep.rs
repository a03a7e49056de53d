//! WHEP (draft-ietf-wish-whep-04): a POST makes a session that watches a stream.
//!
//! | body | reply |
//! |---|---|
//! | an offer that can receive the stream | 201 with our answer |
//! | an offer that cannot | 406 with an offer of ours; the answer comes by PATCH |
//! | none (revisions before 03) | 201 with an offer of ours; the answer comes by PATCH |
//!
//! A stream that nobody publishes is refused with 409, and with the time to ask again.

use std::sync::Arc;
use std::time::Instant;

use super::streams::{self, StreamCall};
use super::{Reply, pull};
use crate::error::ApiError;
use crate::events::Reason;
use crate::sdp::{Description, Direction, Section};
use crate::state::{PUBLICATION_WAIT, Publication, Session};
use crate::wire::{Location, TrackObject};

/// What a viewer's PATCH may be.
pub(super) const PATCHES: &str = "application/trickle-ice-sdpfrag, application/sdp";

/// POST the endpoint.
pub(super) async fn start(stream: &StreamCall) -> Result<Reply, ApiError> {
    let offer = match stream.call.body.is_empty() {
        true => None,
        false => Some(stream.offer(Direction::RecvOnly)?),
    };
    live(stream).await?;
    if let Some(offer) = &offer
        && let Some(reply) = enter(stream, 201, Some(offer)).await?
    {
        return Ok(reply);
    }
    let status = if offer.is_some() { 406 } else { 201 };
    enter(stream, status, None).await?.ok_or(ApiError::NotLive)
}

/// Waits a while until the stream's publisher sends: it may be connecting still.
async fn live(stream: &StreamCall) -> Result<(), ApiError> {
    let call = &stream.call;
    let publisher = call.node.streams.publisher(call.app, &stream.name).ok_or(ApiError::NotLive)?;
    let deadline = Instant::now() + PUBLICATION_WAIT;
    let mut changes = publisher.watch();
    while !streams::tracks(&publisher).iter().any(streams::is_sending) {
        publisher.check().map_err(|_| ApiError::NotLive)?;
        let change = tokio::time::timeout_at(deadline.into(), changes.changed());
        if change.await.is_err() {
            return Err(ApiError::NotLive);
        }
    }
    Ok(())
}

/// Makes a session by the client's offer or ours. None when the client's cannot receive the stream.
async fn enter(
    stream: &StreamCall,
    status: u16,
    offer: Option<&Description>,
) -> Result<Option<Reply>, ApiError> {
    let call = &stream.call;
    let session = call.node.new_session(call.app, call.now)?;
    let reply = watch(stream, &session, status, offer).await;
    if !matches!(reply, Ok(Some(_))) {
        call.node.end_session(&session, Reason::Refused);
    }
    reply
}

/// The session's work is held from before it is a viewer until it has its subscriptions, so that
/// whoever takes the stream over meanwhile finds them.
async fn watch(
    stream: &StreamCall,
    session: &Arc<Session>,
    status: u16,
    offer: Option<&Description>,
) -> Result<Option<Reply>, ApiError> {
    let call = &stream.call;
    let mut work = session.work.lock().await;
    let publisher = call.node.streams.watch(&stream.name, session)?;
    let receives = |track: &Arc<Publication>| {
        let fits = |s: &Section| s.receives() && s.kind.media() == Some(track.kind);
        offer.is_none_or(|offer| offer.sections.iter().any(fits))
    };
    let tracks: Vec<_> = streams::tracks(&publisher).into_iter().filter(receives).collect();
    let asked = tracks.iter().map(pulled).collect();
    let found = tracks.into_iter().map(Ok).collect();
    let work = &mut *work;
    let pulled = match offer {
        Some(offer) => pull::with_offer(call, session, work, offer, asked, found)?,
        None => pull::offering(call, session, work, asked, found)?,
    };
    let failed = pulled.tracks.iter().any(|track| track.error_code.is_some());
    match pulled.session_description.filter(|_| !failed && !pulled.tracks.is_empty()) {
        Some(ours) => Ok(Some(stream.started(status, session, work, &ours.sdp, PATCHES))),
        None => Ok(None),
    }
}

fn pulled(track: &Arc<Publication>) -> TrackObject {
    TrackObject {
        location: Some(Location::Remote),
        session_id: Some(track.session_id.clone()),
        track_name: Some(track.name.clone()),
        ..TrackObject::default()
    }
}
