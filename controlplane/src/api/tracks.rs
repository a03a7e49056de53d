//! POST tracks/new: which of the request shapes it is, what it must wait for.
//!
//! | shape | request | who offers |
//! |---|---|---|
//! | a | offer and local tracks with their mids | client |
//! | b | remote tracks, no description | we; the answer comes with renegotiate |
//! | c | offer and `autoDiscover` | client |
//! | d | offer with receiving sections and remote tracks | client |
//! | e | local tracks with their kinds, no description | we; the answer comes with renegotiate |
//! | f | remote tracks with mids in which we send already | nobody |
//!
//! Shapes a and c (publish) continue in `publish.rs`, e in `invite.rs`, b, d and f (pull) in
//! `pull.rs`.

use std::sync::Arc;
use std::time::Instant;

use super::{Call, Reply, exchange, invite, publish, pull};
use crate::error::ApiError;
use crate::sdp::Description;
use crate::state::{CONNECT_WAIT, PUBLICATION_WAIT, REQUEST_WAIT_MAX, Session};
use crate::wire::{Location, SdpType, TRACKS_PER_REQUEST, TrackObject, TracksRequest, decode};

/// A request whose shape is known to be one of a to f.
enum Shape {
    Publish { offer: Description, tracks: Vec<TrackObject>, discover: bool },
    Invite { tracks: Vec<TrackObject> },
    Pull { offer: Option<Description>, tracks: Vec<TrackObject> },
}

/// Adds tracks to a session.
pub(super) async fn new(call: &Call, session: &Arc<Session>) -> Result<Reply, ApiError> {
    let request: TracksRequest = decode(&call.body)?;
    let shape = shape(request)?;
    let _turn = session.turn.lock().await;
    let start = Instant::now();
    if must_wait(call, session, &shape).await? {
        session.connected(start + CONNECT_WAIT).await?;
    }
    let reply = match shape {
        Shape::Publish { offer, tracks, discover } => {
            let mut work = super::work(call, session).await?;
            publish::publish(call, session, &mut work, &offer, tracks, discover)?
        }
        Shape::Invite { tracks } => {
            let mut work = super::work(call, session).await?;
            invite::invite(call, session, &mut work, tracks)?
        }
        Shape::Pull { offer, tracks } => {
            let deadline = (Instant::now() + PUBLICATION_WAIT).min(start + REQUEST_WAIT_MAX);
            let found = pull::resolve(call, &tracks, deadline).await;
            let mut work = super::work(call, session).await?;
            match offer {
                Some(offer) => pull::with_offer(call, session, &mut work, &offer, tracks, found)?,
                None => pull::offering(call, session, &mut work, tracks, found)?,
            }
        }
    };
    Ok(Reply::json(200, &reply))
}

/// The first SDP exchange never waits for the transport, nor does a repeat of a publication: its
/// client may have lost the answer it needs to connect, nor what comes after every section was
/// stopped: it brings a new transport. Everything else does. Where an open offer
/// of ours stands against the request, that is said before any wait.
async fn must_wait(call: &Call, session: &Arc<Session>, shape: &Shape) -> Result<bool, ApiError> {
    let work = super::work(call, session).await?;
    let names_sections = |tracks: &[TrackObject]| tracks.iter().all(|t| t.mid().is_some());
    match shape {
        Shape::Pull { offer: None, tracks } if names_sections(tracks) => {}
        _ => work.check_no_offer()?,
    }
    let repeats = |track: &TrackObject| {
        let publication = track.track_name.as_deref().and_then(|name| session.publication(name));
        publication.is_some_and(|p| track.mid.as_deref().is_none_or(|mid| mid == p.mid))
    };
    let repeat = match shape {
        Shape::Publish { tracks, discover, .. } => !discover && tracks.iter().all(repeats),
        Shape::Pull { .. } | Shape::Invite { .. } => false,
    };
    Ok(work.needs_transport() && !repeat)
}

fn shape(request: TracksRequest) -> Result<Shape, ApiError> {
    let refuse = |text: &str| Err(ApiError::InvalidParams(text.to_owned()));
    let discover = request.auto_discover.unwrap_or(false);
    let tracks = request.tracks.unwrap_or_default();
    if tracks.is_empty() && !discover {
        return refuse("tracks: at least one track or autoDiscover is needed");
    }
    if tracks.len() > TRACKS_PER_REQUEST {
        return refuse("tracks: at most 64 tracks per request");
    }
    let mut pulls = 0;
    for (index, track) in tracks.iter().enumerate() {
        match track.location {
            Some(Location::Remote) => pulls += 1,
            Some(Location::Local) => {}
            None => return refuse(&format!("tracks[{index}].location: missing")),
        }
    }
    if pulls > 0 && (pulls < tracks.len() || discover) {
        return refuse("tracks: publishing and pulling in one request is not supported");
    }
    let offer = match &request.session_description {
        Some(description) => Some(exchange::parse(description, SdpType::Offer)?),
        None => None,
    };
    match offer {
        offer if pulls > 0 => Ok(Shape::Pull { offer, tracks }),
        Some(offer) => Ok(Shape::Publish { offer, tracks, discover }),
        None if discover => refuse("sessionDescription: autoDiscover needs an offer"),
        None => Ok(Shape::Invite { tracks }),
    }
}
