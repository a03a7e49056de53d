//! Publishing with the client's offer.

use std::sync::Arc;

use common::command::PublishFacts;
use common::limits::ENCODINGS_MAX;
use common::media::{Label, MediaKind};

use super::{Call, exchange};
use crate::error::{ApiError, ItemError};
use crate::sdp::{Description, PublishedSection, Wish, WishOutcome};
use crate::state::{Details, Publication, Session, Work};
use crate::wire::{SessionDescription, TRACK_NAME_MAX, TrackObject, TrackReply, TracksReply};

/// One track of the request, bound to a section or refused.
struct Entry {
    name: Option<String>,
    mid: Result<String, ItemError>,
    discovered: bool,
}

/// Publishes the named tracks, and with `discover` every other sending section.
pub(super) fn publish(
    call: &Call,
    session: &Arc<Session>,
    work: &mut Work,
    offer: &Description,
    tracks: Vec<TrackObject>,
    discover: bool,
) -> Result<TracksReply, ApiError> {
    let mut entries = bind(session, offer, tracks);
    if discover {
        discover_rest(call, session, offer, &mut entries)?;
    }
    let bound = || entries.iter().filter_map(|entry| entry.mid.as_ref().ok());
    let wishes: Vec<Wish> = bound().map(|mid| Wish::Publish { mid: mid.clone() }).collect();
    let answered = exchange::answer(call, session, work, offer, &wishes)?;
    let mut outcomes = answered.outcomes.into_iter();
    let replies = entries.into_iter().map(|entry| {
        let reply = TrackReply { track_name: entry.name.clone(), ..TrackReply::default() };
        let published = entry.mid.and_then(|_| match outcomes.next() {
            Some(Ok(WishOutcome::Published(section))) => Ok(section),
            Some(Err(error)) => Err(ItemError::InvalidParams(error.to_string())),
            _ => Err(ItemError::InvalidParams("the section carries no media".to_owned())),
        });
        let name = entry.name.unwrap_or_default();
        match published.and_then(|section| enter(call, session, name, section)) {
            Ok((mid, kind)) => {
                TrackReply { mid: Some(mid), kind: entry.discovered.then_some(kind), ..reply }
            }
            Err(error) => reply.failed(&error),
        }
    });
    Ok(TracksReply {
        requires_immediate_renegotiation: false,
        tracks: replies.collect(),
        session_description: Some(SessionDescription::answer(answered.sdp)),
    })
}

/// Binds each track to a section: by its mid, or in the order of the offer.
fn bind(session: &Session, offer: &Description, tracks: Vec<TrackObject>) -> Vec<Entry> {
    let named: Vec<String> = tracks.iter().filter_map(|track| mid_of(track).cloned()).collect();
    let mut unnamed = offer
        .sending()
        .map(|section| section.mid.clone())
        .filter(|mid| !named.contains(mid) && session.publication_at(mid).is_none());
    let mut entries: Vec<Entry> = Vec::with_capacity(tracks.len());
    for track in tracks {
        let mid = bind_one(session, offer, &track, &entries, &mut unnamed);
        entries.push(Entry { name: track.track_name, mid, discovered: false });
    }
    entries
}

fn mid_of(track: &TrackObject) -> Option<&String> {
    track.mid.as_ref().filter(|mid| !mid.is_empty())
}

fn bind_one(
    session: &Session,
    offer: &Description,
    track: &TrackObject,
    before: &[Entry],
    unnamed: &mut impl Iterator<Item = String>,
) -> Result<String, ItemError> {
    let refuse = |text: &str| Err(ItemError::InvalidParams(text.to_owned()));
    let Some(name) = track.track_name.as_ref().filter(|name| !name.is_empty()) else {
        return refuse("trackName: missing");
    };
    if name.len() > TRACK_NAME_MAX {
        return refuse("trackName: longer than 512 bytes");
    }
    if before.iter().any(|entry| entry.mid.is_ok() && entry.name.as_ref() == Some(name)) {
        return Err(ItemError::RepeatedLocalTrack);
    }
    let sends = |mid: &str| offer.section(mid).is_some_and(|section| section.sends());
    let present = session.publication(name).filter(|publication| sends(&publication.mid));
    let mid = match (mid_of(track), present) {
        (Some(mid), Some(present)) if *mid != present.mid => {
            return Err(ItemError::RepeatedLocalTrack);
        }
        (Some(mid), _) => mid.clone(),
        (None, Some(present)) => present.mid.clone(),
        (None, None) => match unnamed.next() {
            Some(mid) => mid,
            None => return refuse("mid: the offer has no sending section left for this track"),
        },
    };
    if before.iter().any(|entry| entry.mid.as_ref() == Ok(&mid)) {
        return refuse("mid: another track of this request has the same");
    }
    Ok(mid)
}

/// Adds an entry with a random name for every sending section that is no publication yet.
fn discover_rest(
    call: &Call,
    session: &Session,
    offer: &Description,
    entries: &mut Vec<Entry>,
) -> Result<(), ApiError> {
    for section in offer.sending() {
        let taken = entries.iter().any(|entry| entry.mid.as_ref() == Ok(&section.mid));
        if taken || session.publication_at(&section.mid).is_some() {
            continue;
        }
        let name = Some(call.node.random_id()?);
        entries.push(Entry { name, mid: Ok(section.mid.clone()), discovered: true });
    }
    Ok(())
}

/// Makes the publication of a section, or renews the one it carries.
fn enter(
    call: &Call,
    session: &Arc<Session>,
    name: String,
    section: PublishedSection,
) -> Result<(String, &'static str), ItemError> {
    let refused = || ItemError::InvalidParams("mid: longer than 16 bytes".to_owned());
    let mid = Label::new(section.mid.as_bytes()).ok_or_else(refused)?;
    let peer = session.peer().ok_or(ItemError::NotFoundTrack)?;
    let mut encodings = section.encodings;
    encodings.truncate(ENCODINGS_MAX);
    let details = Details { media: section.media, encodings: encodings.clone() };
    let present = session.publication_at(&section.mid);
    let publication = match present {
        Some(present) if present.name == name => {
            present.set_details(details);
            present
        }
        present => {
            if let Some(other) = present {
                call.node.unpublish(session, &other);
            }
            let track = call.node.push(|push, _| push.new_track()).ok_or(ItemError::Full)?;
            let (session, mid) = (session.id.clone(), section.mid.clone());
            Arc::new(Publication::new(track, session, name, mid, details))
        }
    };
    let facts = PublishFacts {
        track: publication.track,
        peer,
        mid,
        kind: section.kind,
        payloads: section.payloads,
        encodings,
    };
    call.node.publish(session, &publication, facts);
    let kind = if section.kind == MediaKind::Audio { "audio" } else { "video" };
    Ok((section.mid, kind))
}
