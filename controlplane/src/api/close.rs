//! PUT tracks/close, forced and negotiated.

use std::sync::Arc;

use super::{Call, Reply, exchange};
use crate::error::{ApiError, ItemError};
use crate::sdp::Wish;
use crate::state::{Session, Work};
use crate::wire::{
    CloseRequest, SdpType, SessionDescription, TRACKS_PER_REQUEST, TrackObject, TrackReply,
    TracksReply, decode,
};

/// Ends tracks of a session, by mid or by name. A close without an offer is a forced one.
pub(super) async fn close(call: &Call, session: &Arc<Session>) -> Result<Reply, ApiError> {
    let request: CloseRequest = decode(&call.body)?;
    if request.tracks.is_empty() {
        return Err(ApiError::InvalidParams("tracks: at least one track is needed".to_owned()));
    }
    // More than one request may add: a session's tracks can be closed at once.
    if request.tracks.len() > 4 * TRACKS_PER_REQUEST {
        return Err(ApiError::InvalidParams("tracks: at most 256 tracks per close".to_owned()));
    }
    let offer = match &request.session_description {
        Some(description) if !request.force.unwrap_or(false) => {
            Some(exchange::parse(description, SdpType::Offer)?)
        }
        _ => None,
    };
    let mut work = super::work(call, session).await?;
    let targets: Vec<Option<String>> =
        request.tracks.iter().map(|track| target(session, &work, track)).collect();
    let mut answer = None;
    if let Some(offer) = offer {
        let wishes: Vec<Wish> =
            targets.iter().flatten().map(|mid| Wish::Close { mid: mid.clone() }).collect();
        let answered = exchange::answer(call, session, &mut work, &offer, &wishes)?;
        answer = Some(SessionDescription::answer(answered.sdp));
    } else if let Some(negotiation) = &mut work.negotiation {
        for mid in targets.iter().flatten() {
            negotiation.close_mid(mid);
        }
    }
    let mut tracks = Vec::with_capacity(targets.len());
    for (track, target) in request.tracks.into_iter().zip(targets) {
        if let Some(mid) = &target {
            // The answer may have ended it already, when the offer stopped the section.
            exchange::end_mid(call, session, &mut work, mid);
        }
        tracks.push(reply(track, target));
    }
    let reply = TracksReply { tracks, session_description: answer, ..TracksReply::default() };
    Ok(Reply::json(200, &reply))
}

/// The mid of a live track an entry names.
fn target(session: &Session, work: &Work, track: &TrackObject) -> Option<String> {
    let subscribed = |mid: &str| work.subscriptions.get(mid).is_some_and(|s| !s.closed);
    if let Some(mid) = exchange::mid_of(session, track.mid()).ok()? {
        let live = session.publication_at(&mid).is_some() || subscribed(&mid);
        return live.then_some(mid);
    }
    let name = track.track_name.as_deref()?;
    session.publication(name).map(|publication| publication.mid.clone()).or_else(|| {
        let mut open = work.subscriptions.iter().filter(|(_, s)| !s.closed);
        open.find(|(_, s)| s.publication.name == name).map(|(mid, _)| mid.clone())
    })
}

/// One entry per requested track, matched by mid: also a failed one keeps its mid here.
fn reply(track: TrackObject, target: Option<String>) -> TrackReply {
    let selected_by_name = track.mid.is_none();
    let name = track.track_name.filter(|_| selected_by_name);
    let reply = TrackReply { track_name: name, ..TrackReply::default() };
    match target {
        Some(mid) => TrackReply { mid: Some(mid), ..reply },
        None => TrackReply { mid: track.mid, ..reply.failed(&ItemError::CloseTrack) },
    }
}
