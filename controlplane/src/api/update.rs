//! PUT tracks/update: re-pointing a subscription and changing its encoding. Needs no
//! SDP, so an open offer of ours does not matter; never waits.

use std::sync::Arc;

use super::{Call, Reply, exchange, layers, pull};
use crate::error::{ApiError, ItemError};
use crate::sdp::WishError;
use crate::state::{Publication, Session, Subscription, Work};
use crate::wire::{
    Location, TRACKS_PER_REQUEST, TrackObject, TrackReply, TracksReply, TracksRequest, decode,
};

/// Changes subscriptions of a session.
pub(super) async fn update(call: &Call, session: &Arc<Session>) -> Result<Reply, ApiError> {
    let request: TracksRequest = decode(&call.body)?;
    let tracks = request.tracks.unwrap_or_default();
    if tracks.is_empty() || tracks.len() > TRACKS_PER_REQUEST {
        return Err(ApiError::InvalidParams("tracks: 1 to 64 tracks are needed".to_owned()));
    }
    let mut work = super::work(call, session).await?;
    let tracks = tracks
        .into_iter()
        .map(|track| {
            let reply = TrackReply {
                location: Some(Location::Remote),
                session_id: track.session_id.clone(),
                track_name: track.track_name.clone(),
                mid: track.mid.clone(),
                simulcast: track.simulcast.clone(),
                ..TrackReply::default()
            };
            match change(call, session, &mut work, &track) {
                Ok(mid) => TrackReply { mid: Some(mid), ..reply },
                Err(error) => TrackReply { mid: track.mid, ..reply.failed(&error) },
            }
        })
        .collect();
    Ok(Reply::json(200, &TracksReply { tracks, ..TracksReply::default() }))
}

/// Applies one entry and returns its mid; a failed one changes nothing.
fn change(
    call: &Call,
    session: &Arc<Session>,
    work: &mut Work,
    track: &TrackObject,
) -> Result<String, ItemError> {
    let mid = exchange::mid_of(session, track.mid())?;
    let mid = mid.ok_or_else(|| ItemError::InvalidParams("mid: missing".to_owned()))?;
    let subscription = work.subscriptions.get(&mid).filter(|s| !s.closed).cloned();
    let mut subscription = subscription.ok_or_else(|| {
        ItemError::UpdateTrack("mid: the session has no subscription there".to_owned())
    })?;
    layers::check(track.simulcast.as_ref())?;
    let other = other_publication(call, track, &subscription)?;
    if let Some(simulcast) = &track.simulcast {
        let shown = other.as_ref().unwrap_or(&subscription.publication);
        let wanted = simulcast.preferred_rid.as_deref().is_some_and(|rid| !rid.is_empty());
        if wanted && shown.rids().is_empty() {
            let text = "simulcast: the track has no encodings to choose from";
            return Err(ItemError::UpdateTrack(text.to_owned()));
        }
        subscription.simulcast = Some(simulcast.clone());
    }
    if let Some(publication) = other {
        repoint(work, &mid, &mut subscription, publication)?;
    }
    pull::tell(call, session, &subscription);
    work.subscriptions.insert(mid.clone(), subscription);
    Ok(mid)
}

/// The publication an entry names, when it is another than the present one. The mid alone selects
/// the subscription, so an entry without a locator is fine.
fn other_publication(
    call: &Call,
    track: &TrackObject,
    subscription: &Subscription,
) -> Result<Option<Arc<Publication>>, ItemError> {
    let (Some(id), Some(name)) = (&track.session_id, &track.track_name) else { return Ok(None) };
    let present = &subscription.publication;
    if present.is_live() && present.session_id == *id && present.name == *name {
        return Ok(None);
    }
    let (publisher, name) = pull::locator(call, track)?;
    publisher.publication(name).map(Some).ok_or(ItemError::NotFoundTrack)
}

/// Points a subscription at another publication.
pub(super) fn repoint(
    work: &mut Work,
    mid: &str,
    subscription: &mut Subscription,
    publication: Arc<Publication>,
) -> Result<(), ItemError> {
    let refused = |error: WishError| ItemError::UpdateTrack(error.to_string());
    if publication.kind != subscription.publication.kind {
        return Err(refused(WishError::Kind));
    }
    match &mut subscription.receiving {
        Some(section) => {
            let negotiation = work.negotiation.as_mut().ok_or(refused(WishError::NoSection))?;
            let media = publication.details().media;
            section.payloads = negotiation.remap(mid, &media).map_err(refused)?;
        }
        // Our offer is open: its answer is mapped to the new publication when it comes.
        None => subscription.repointed = true,
    }
    subscription.publication = publication;
    Ok(())
}
