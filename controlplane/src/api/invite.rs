//! Publishing by our offer (shape e): each named track gets a section in which we receive.
//!
//! The publication begins with the answer (`renegotiate.rs`); until then only its name is kept, and
//! a rollback forgets it.

use std::sync::Arc;

use common::media::MediaKind;

use super::{Call, exchange, publish};
use crate::error::{ApiError, ItemError};
use crate::sdp::Ask;
use crate::state::{Session, Work};
use crate::wire::{SessionDescription, TrackObject, TrackReply, TracksReply};

/// Makes our offer with a section for every track that is in order. Without any, no offer.
pub(super) fn invite(
    call: &Call,
    session: &Arc<Session>,
    work: &mut Work,
    tracks: Vec<TrackObject>,
) -> Result<TracksReply, ApiError> {
    work.check_no_offer()?;
    let mut names: Vec<&str> = Vec::new();
    let mut asks: Vec<Ask> = Vec::new();
    let mut checked = Vec::with_capacity(tracks.len());
    for track in &tracks {
        let ask = check(session, track, &names).and_then(|(name, kind)| {
            let send = if track.bidirectional() {
                let video = kind == MediaKind::Video;
                Some(exchange::fresh_half(call, work, &session.id, video)?)
            } else {
                None
            };
            names.push(name);
            asks.push(Ask::Publish { kind, send });
            Ok(())
        });
        checked.push(ask);
    }
    let offered = match asks.is_empty() {
        true => None,
        false => Some(exchange::offer(call, session, work, |n| n.offer(&asks))?),
    };
    let mut mids = offered.iter().flat_map(|offered| offered.mids.clone());
    let mut replies = Vec::with_capacity(tracks.len());
    for (track, checked) in tracks.into_iter().zip(checked) {
        let reply = TrackReply { track_name: track.track_name.clone(), ..TrackReply::default() };
        let mid = checked.and_then(|()| mids.next().ok_or(ItemError::Full));
        replies.push(match mid {
            Ok(mid) => {
                work.invited.insert(mid.clone(), track.track_name.unwrap_or_default());
                TrackReply { mid: Some(mid), ..reply }
            }
            Err(error) => reply.failed(&error),
        });
    }
    Ok(TracksReply {
        requires_immediate_renegotiation: offered.is_some(),
        tracks: replies,
        session_description: offered.map(|offered| SessionDescription::offer(offered.sdp)),
    })
}

/// The name and kind of a track that may be published; `before` are the names of this request.
fn check<'a>(
    session: &Session,
    track: &'a TrackObject,
    before: &[&str],
) -> Result<(&'a str, MediaKind), ItemError> {
    let refuse = |text: &str| ItemError::InvalidParams(text.to_owned());
    let name = publish::name(track)?;
    if before.contains(&name) || session.publication(name).is_some() {
        return Err(ItemError::RepeatedLocalTrack);
    }
    if track.mid().is_some() {
        return Err(refuse("mid: the server chooses it where the server makes the offer"));
    }
    let kind = track
        .kind
        .ok_or_else(|| refuse("kind: audio or video is needed where the server makes the offer"))?;
    Ok((name, kind))
}
