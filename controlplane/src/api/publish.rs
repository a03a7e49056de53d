//! Publishing with the client's offer.

use std::sync::Arc;

use common::command::PublishFacts;
use common::limits::ENCODINGS_MAX;
use common::media::Label;

use super::{Call, exchange};
use crate::error::{ApiError, ItemError};
use crate::events::Reason;
use crate::sdp::{Description, PublishedSection, SectionKind, Wish, WishOutcome};
use crate::state::{Details, Publication, Session, Work};
use crate::wire::{
    SessionDescription, TRACK_NAME_MAX, TrackObject, TrackReply, TracksReply, kind_name,
};

/// One track of the request, bound to a section or refused.
struct Entry {
    name: Option<String>,
    mid: Result<String, ItemError>,
    /// Whether our half of the section stays open.
    both_ways: bool,
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
    let wishes = wishes(call, session, work, offer, &entries)?;
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

/// What the answer shall do for the bound tracks.
fn wishes(
    call: &Call,
    session: &Session,
    work: &mut Work,
    offer: &Description,
    entries: &[Entry],
) -> Result<Vec<Wish>, ApiError> {
    let mut wishes = Vec::with_capacity(entries.len());
    for entry in entries {
        let Ok(mid) = &entry.mid else { continue };
        let video = offer.section(mid).is_some_and(|s| s.kind == SectionKind::Video);
        let send = if entry.both_ways {
            let half = exchange::fresh_half(call, work, &session.id, video);
            Some(half.map_err(|_| ApiError::Full("random numbers"))?)
        } else {
            None
        };
        wishes.push(Wish::Publish { mid: mid.clone(), send });
    }
    Ok(wishes)
}

/// Binds each track to a section: by its mid, or in the order of the offer.
fn bind(session: &Session, offer: &Description, tracks: Vec<TrackObject>) -> Vec<Entry> {
    let named: Vec<String> =
        tracks.iter().filter_map(|track| track.mid().map(str::to_owned)).collect();
    let mut unnamed = offer
        .sending()
        .map(|section| section.mid.clone())
        .filter(|mid| !named.contains(mid) && session.publication_at(mid).is_none());
    let mut entries: Vec<Entry> = Vec::with_capacity(tracks.len());
    for track in tracks {
        let mid = bind_one(session, offer, &track, &entries, &mut unnamed);
        let both_ways = track.bidirectional();
        entries.push(Entry { name: track.track_name, mid, both_ways, discovered: false });
    }
    entries
}

/// The name under which a track may be published.
pub(super) fn name(track: &TrackObject) -> Result<&str, ItemError> {
    let refuse = |text: &str| Err(ItemError::InvalidParams(text.to_owned()));
    match track.track_name.as_deref().filter(|name| !name.is_empty()) {
        None => refuse("trackName: missing"),
        Some(name) if name.len() > TRACK_NAME_MAX => refuse("trackName: longer than 512 bytes"),
        Some(name) => Ok(name),
    }
}

fn bind_one(
    session: &Session,
    offer: &Description,
    track: &TrackObject,
    before: &[Entry],
    unnamed: &mut impl Iterator<Item = String>,
) -> Result<String, ItemError> {
    let refuse = |text: &str| Err(ItemError::InvalidParams(text.to_owned()));
    let name = name(track)?;
    if before.iter().any(|entry| entry.mid.is_ok() && entry.name.as_deref() == Some(name)) {
        return Err(ItemError::RepeatedLocalTrack);
    }
    let sends = |mid: &str| offer.section(mid).is_some_and(|section| section.sends());
    let present = session.publication(name).filter(|publication| sends(&publication.mid));
    let mid = match (exchange::mid_of(session, track.mid())?, present) {
        (Some(mid), Some(present)) if mid != present.mid => {
            return Err(ItemError::RepeatedLocalTrack);
        }
        (Some(mid), _) => mid,
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
        let mid = Ok(section.mid.clone());
        entries.push(Entry { name, mid, both_ways: false, discovered: true });
    }
    Ok(())
}

/// Makes the publication of a section, or renews the one it carries.
pub(super) fn enter(
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
                call.node.unpublish(session, &other, Reason::Ended);
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
    Ok((section.mid, kind_name(section.kind)))
}
