//! Pulling: finding publications, and subscribing by our offer, by the client's (shape d) or by
//! none (shape f).

use std::sync::Arc;
use std::time::Instant;

use common::command::SubscribeFacts;
use common::id::{CoreId, SubscriptionId};
use common::media::{Label, MediaKind};

use super::{Call, exchange, layers, update};
use crate::error::{ApiError, ItemError};
use crate::sdp::{
    Ask, Description, Pull, ReceivingSection, SendHalf, Wish, WishError, WishOutcome,
};
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

/// A subscription in the making.
struct Stream {
    publication: Arc<Publication>,
    id: SubscriptionId,
    half: SendHalf,
}

/// Takes an id and names for what will be sent of a publication.
fn stream(
    call: &Call,
    work: &mut Work,
    publication: Arc<Publication>,
) -> Result<Stream, ItemError> {
    let video = publication.kind == MediaKind::Video;
    let half = exchange::fresh_half(call, work, &publication.session_id, video)?;
    let id = call.node.push(|push, _| push.new_subscription()).ok_or(ItemError::Full)?;
    Ok(Stream { publication, id, half })
}

/// Gives back the ids of subscriptions that came to nothing.
fn give_back<'a>(call: &Call, streams: impl Iterator<Item = &'a Stream>) {
    let ids = streams.map(|stream| stream.id);
    call.node.push(|push, out| ids.for_each(|id| push.unsubscribe(id, out)));
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

/// Where a pull without a description of the client ends up.
enum Place {
    /// In a section in which we send already, or may.
    Present(Arc<Publication>, String),
    /// In a section of our offer: a new one, or one of the session.
    Offered(Stream, Option<String>),
}

/// Finds the place of each found track. Nothing of the session is changed.
fn places(
    call: &Call,
    session: &Session,
    work: &mut Work,
    tracks: &[TrackObject],
    found: Vec<Found>,
) -> Result<Vec<Result<Place, ItemError>>, ApiError> {
    let mut named: Vec<String> = Vec::new();
    let mut places = Vec::with_capacity(tracks.len());
    for (track, found) in tracks.iter().zip(found) {
        let place = found.and_then(|publication| {
            let mid = exchange::mid_of(session, track.mid())?;
            if let Some(mid) = mid.as_ref().filter(|mid| named.contains(mid)) {
                let text = format!("mid: another track of this request has {mid}, too");
                return Err(ItemError::InvalidParams(text));
            }
            named.extend(mid.clone());
            place(call, work, publication, mid)
        });
        places.push(place);
    }
    if places.iter().flatten().any(|place| matches!(place, Place::Offered(..))) {
        work.check_no_offer().inspect_err(|_| give_back(call, offered(&places)))?;
    }
    Ok(places)
}

fn place(
    call: &Call,
    work: &mut Work,
    publication: Arc<Publication>,
    mid: Option<String>,
) -> Result<Place, ItemError> {
    if let Some(mid) = &mid {
        let refused = |error: WishError| ItemError::InvalidParams(format!("mid: {error}"));
        let negotiation = work.negotiation.as_ref().ok_or(refused(WishError::NoSection))?;
        if negotiation.may_send(mid) {
            return Ok(Place::Present(publication, mid.clone()));
        }
        negotiation.check_reuse(mid, &publication.details().media).map_err(refused)?;
    }
    Ok(Place::Offered(stream(call, work, publication)?, mid))
}

/// The subscriptions that wait for our offer.
fn offered(places: &[Result<Place, ItemError>]) -> impl Iterator<Item = &Stream> {
    places.iter().flatten().filter_map(|place| match place {
        Place::Offered(stream, _) => Some(stream),
        Place::Present(..) => None,
    })
}

/// Shapes b and f: makes our offer with a section for every found track, except for those that
/// name a section in which we send. Without any to offer, no offer.
pub(super) fn offering(
    call: &Call,
    session: &Arc<Session>,
    work: &mut Work,
    tracks: Vec<TrackObject>,
    found: Vec<Found>,
) -> Result<TracksReply, ApiError> {
    let places = places(call, session, work, &tracks, found)?;
    let asks: Vec<Ask> = places.iter().flatten().filter_map(ask).collect();
    let made = match asks.is_empty() {
        true => None,
        false => {
            let made = exchange::offer(call, session, work, |n| n.offer(&asks));
            Some(made.inspect_err(|_| give_back(call, offered(&places)))?)
        }
    };
    let mut mids = made.iter().flat_map(|made| made.mids.clone());
    let mut replies = Vec::with_capacity(tracks.len());
    for (track, place) in tracks.into_iter().zip(places) {
        let reply = echo(&track);
        let mid = place.and_then(|place| match place {
            Place::Present(publication, mid) => onto(call, session, work, publication, track, mid),
            Place::Offered(stream, _) => {
                let mid = mids.next().ok_or(ItemError::Full)?;
                work.subscribe(mid.clone(), subscription(stream, track, None));
                Ok(mid)
            }
        });
        replies.push(match mid {
            Ok(mid) => TrackReply { mid: Some(mid), ..reply },
            Err(error) => reply.failed(&error),
        });
    }
    Ok(TracksReply {
        requires_immediate_renegotiation: made.is_some(),
        tracks: replies,
        session_description: made.map(|made| SessionDescription::offer(made.sdp)),
    })
}

/// What our offer must hold for a place.
fn ask(place: &Place) -> Option<Ask> {
    let Place::Offered(stream, mid) = place else { return None };
    let SendHalf { ssrc, rtx_ssrc, msid } = stream.half.clone();
    let media = stream.publication.details().media;
    Some(Ask::Pull(Pull { mid: mid.clone(), media, ssrc, rtx_ssrc, msid }))
}

/// Shape f: sends a publication in a section that is there, in the place of what is sent in it.
fn onto(
    call: &Call,
    session: &Arc<Session>,
    work: &mut Work,
    publication: Arc<Publication>,
    track: TrackObject,
    mid: String,
) -> Result<String, ItemError> {
    let present = work.subscriptions.get(&mid).filter(|present| !present.closed).cloned();
    let subscription = match present {
        Some(mut present) => {
            update::repoint(work, &mid, &mut present, publication)?;
            Subscription { simulcast: track.simulcast, ..present }
        }
        None => {
            let refused = |error: WishError| ItemError::InvalidParams(format!("mid: {error}"));
            let negotiation = work.negotiation.as_mut().ok_or(refused(WishError::NoSection))?;
            let id = call.node.push(|push, _| push.new_subscription()).ok_or(ItemError::Full)?;
            let mapped = negotiation.remap(&mid, &publication.details().media);
            mapped
                .inspect_err(|_| call.node.push(|push, out| push.unsubscribe(id, out)))
                .map_err(refused)?;
            let receiving = negotiation.receiving(&mid);
            let simulcast = track.simulcast;
            Subscription { id, publication, simulcast, receiving, repointed: false, closed: false }
        }
    };
    tell(call, session, &subscription);
    work.subscribe(mid.clone(), subscription);
    Ok(mid)
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
    let mut streams = Vec::with_capacity(tracks.len());
    let mut wishes = Vec::with_capacity(tracks.len());
    for (track, found) in tracks.iter().zip(found) {
        let stream = found.and_then(|publication| {
            let mid = exchange::mid_of(session, track.mid())?;
            let media = publication.details().media;
            let stream = stream(call, work, publication)?;
            let SendHalf { ssrc, rtx_ssrc, msid } = stream.half.clone();
            wishes.push(Wish::Receive { mid, media, ssrc, rtx_ssrc, msid });
            Ok(stream)
        });
        streams.push(stream);
    }
    let answered = exchange::answer(call, session, work, offer, &wishes)
        .inspect_err(|_| give_back(call, streams.iter().flatten()))?;
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
