//! Pulling: finding publications, and subscribing by our offer or by the
//! client's (shape d).

use std::sync::Arc;
use std::time::Instant;

use common::command::SubscribeFacts;
use common::id::CoreId;
use common::media::{Label, MediaKind};

use super::{Call, exchange, layers};
use crate::error::{ApiError, ItemError};
use crate::sdp::{Description, Msid, Pull, ReceivingSection, Wish, WishOutcome};
use crate::state::{Details, LookUp, Publication, Session, Subscription, Work};
use crate::wire::{SessionDescription, TrackObject, TrackReply, TracksReply};

/// A publication, or why a pull of it fails.
pub(super) type Found = Result<Arc<Publication>, ItemError>;

/// Finds each track's publication; waits until the deadline for those that may still come.
pub(super) async fn resolve(call: &Call, tracks: &[TrackObject], deadline: Instant) -> Vec<Found> {
    let mut found = Vec::with_capacity(tracks.len());
    for track in tracks {
        found.push(resolve_one(call, track, deadline).await);
    }
    found
}

/// The publisher's session and the name a pull asks for.
pub(super) fn locator<'a>(
    call: &Call,
    track: &'a TrackObject,
) -> Result<(Arc<Session>, &'a str), ItemError> {
    let missing = |field: &str| ItemError::InvalidParams(format!("{field}: missing"));
    let name = track.track_name.as_deref().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| missing("trackName"))?;
    let id = track.session_id.as_deref().ok_or_else(|| missing("sessionId"))?;
    let session = call.node.session(call.app, id).map_err(|_| ItemError::NotFoundTrack)?;
    Ok((session, name))
}

async fn resolve_one(call: &Call, track: &TrackObject, deadline: Instant) -> Found {
    let (publisher, name) = locator(call, track)?;
    layers::check(track.simulcast.as_ref())?;
    let mut changes = publisher.watch();
    loop {
        let late = match publisher.look_up(name) {
            LookUp::Sending(publication) => return Ok(publication),
            LookUp::Gone => return Err(ItemError::NotFoundTrack),
            LookUp::Silent => ItemError::EmptyTrack,
            LookUp::NotYet => ItemError::NotFoundTrack,
        };
        let change = tokio::time::timeout_at(deadline.into(), changes.changed());
        if change.await.is_err() {
            return Err(late);
        }
    }
}

/// What a subscription will send under.
struct Stream {
    publication: Arc<Publication>,
    id: common::id::SubscriptionId,
    ssrc: u32,
    rtx_ssrc: Option<u32>,
    msid: Msid,
}

/// Takes an id, SSRCs and a fresh msid (Chromium refuses repeated ones) for each found track.
fn streams(call: &Call, work: &mut Work, found: Vec<Found>) -> Vec<Result<Stream, ItemError>> {
    found
        .into_iter()
        .map(|found| {
            let publication = found?;
            let fresh =
                |work: &mut Work| exchange::fresh_ssrc(call, work).map_err(|_| ItemError::Full);
            let ssrc = fresh(work)?;
            let video = publication.kind == MediaKind::Video;
            let rtx_ssrc = if video { Some(fresh(work)?) } else { None };
            let track = call.node.random_id().map_err(|_| ItemError::Full)?;
            let msid = Msid { stream: publication.session_id.clone(), track };
            let id = call.node.push(|push, _| push.new_subscription()).ok_or(ItemError::Full)?;
            Ok(Stream { publication, id, ssrc, rtx_ssrc, msid })
        })
        .collect()
}

/// The part of an entry that is echoed whether it worked or not.
fn echo(track: &TrackObject) -> TrackReply {
    TrackReply {
        session_id: track.session_id.clone(),
        track_name: track.track_name.clone(),
        simulcast: track.simulcast.clone(),
        ..TrackReply::default()
    }
}

/// Shape b: makes our offer with a new section for every found track. Without any, no offer.
pub(super) fn offering(
    call: &Call,
    session: &Arc<Session>,
    work: &mut Work,
    tracks: Vec<TrackObject>,
    found: Vec<Found>,
) -> Result<TracksReply, ApiError> {
    work.check_no_offer()?;
    let streams = streams(call, work, found);
    let pulls: Vec<Pull> = streams
        .iter()
        .flatten()
        .map(|stream| Pull {
            media: stream.publication.details().media,
            ssrc: stream.ssrc,
            rtx_ssrc: stream.rtx_ssrc,
            msid: stream.msid.clone(),
        })
        .collect();
    let mut offered = None;
    if !pulls.is_empty() {
        let made = exchange::ensure(call, session, work)
            .and_then(|negotiation| negotiation.offer(&pulls).map_err(ApiError::from));
        if made.is_err() {
            let ids = streams.iter().flatten().map(|stream| stream.id);
            call.node.push(|push, out| ids.for_each(|id| push.unsubscribe(id, out)));
        }
        offered = Some(made?);
        work.offered = Some(Instant::now());
    }
    let mut mids = offered.iter().flat_map(|offered| offered.mids.clone());
    let mut replies = Vec::with_capacity(tracks.len());
    for (track, stream) in tracks.into_iter().zip(streams) {
        let mut reply = echo(&track);
        match stream.and_then(|stream| Ok((mids.next().ok_or(ItemError::Full)?, stream))) {
            Err(error) => reply = reply.failed(&error),
            Ok((mid, stream)) => {
                let subscription = subscription(stream, track, None);
                work.subscribe(mid.clone(), subscription);
                reply.mid = Some(mid);
            }
        }
        replies.push(reply);
    }
    Ok(TracksReply {
        requires_immediate_renegotiation: offered.is_some(),
        tracks: replies,
        session_description: offered.map(|offered| SessionDescription::offer(offered.sdp)),
    })
}

/// Shape d: answers the client's offer with the found tracks on its receiving sections.
pub(super) fn with_offer(
    call: &Call,
    session: &Arc<Session>,
    work: &mut Work,
    offer: &Description,
    tracks: Vec<TrackObject>,
    found: Vec<Found>,
) -> Result<TracksReply, ApiError> {
    work.check_no_offer()?;
    let streams = streams(call, work, found);
    let wishes: Vec<Wish> = streams
        .iter()
        .zip(&tracks)
        .filter_map(|(stream, track)| Some((stream.as_ref().ok()?, track)))
        .map(|(stream, track)| Wish::Receive {
            mid: track.mid.clone().filter(|mid| !mid.is_empty()),
            media: stream.publication.details().media,
            ssrc: stream.ssrc,
            rtx_ssrc: stream.rtx_ssrc,
            msid: stream.msid.clone(),
        })
        .collect();
    let answered = exchange::answer(call, session, work, offer, &wishes).inspect_err(|_| {
        let ids = streams.iter().flatten().map(|stream| stream.id);
        call.node.push(|push, out| ids.for_each(|id| push.unsubscribe(id, out)));
    })?;
    let mut outcomes = answered.outcomes.into_iter();
    let mut replies = Vec::with_capacity(tracks.len());
    for (track, stream) in tracks.into_iter().zip(streams) {
        let mut reply = echo(&track);
        let received = stream.and_then(|stream| match outcomes.next() {
            Some(Ok(WishOutcome::Receiving(section))) => Ok((stream, section)),
            outcome => {
                call.node.push(|push, out| push.unsubscribe(stream.id, out));
                let text = outcome.and_then(Result::err).map(|error| error.to_string());
                Err(ItemError::InvalidParams(text.unwrap_or_default()))
            }
        });
        match received {
            Err(error) => reply = reply.failed(&error),
            Ok((stream, section)) => {
                let mid = section.mid.clone();
                exchange::end_mid_subscription(call, work, &mid);
                let subscription = subscription(stream, track, Some(section));
                tell(call, session, &subscription);
                work.subscribe(mid.clone(), subscription);
                reply.mid = Some(mid);
            }
        }
        replies.push(reply);
    }
    Ok(TracksReply {
        requires_immediate_renegotiation: false,
        tracks: replies,
        session_description: Some(SessionDescription::answer(answered.sdp)),
    })
}

fn subscription(
    stream: Stream,
    track: TrackObject,
    receiving: Option<ReceivingSection>,
) -> Subscription {
    Subscription {
        id: stream.id,
        publication: stream.publication,
        simulcast: track.simulcast,
        receiving,
        repointed: false,
        closed: false,
    }
}

/// Tells the cores the facts of a negotiated subscription.
pub(super) fn tell(call: &Call, session: &Session, subscription: &Subscription) {
    let (Some(section), Some(peer)) = (&subscription.receiving, session.peer()) else { return };
    let Some(mid) = Label::new(section.mid.as_bytes()) else { return };
    let Details { media, encodings } = subscription.publication.details();
    let facts = SubscribeFacts {
        subscription: subscription.id,
        peer,
        track: subscription.publication.track,
        // Filled in by the door, which knows where the publisher lives.
        track_core: CoreId(0),
        kind: section.kind,
        clock_rate: media.clock_rate(),
        mid,
        ssrc: section.ssrc,
        rtx_ssrc: section.rtx_ssrc,
        payloads: section.payloads.clone(),
        layers: layers::choice(&encodings, subscription.simulcast.as_ref()),
    };
    call.node.push(|push, out| push.subscribe(facts, out));
}
