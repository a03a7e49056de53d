//! WHIP (RFC 9725): a POST with an offer makes a session that publishes a stream.
//!
//! One publisher at a time: another one takes over, and the old session ends. Whoever holds a token
//! of the stream is the same broadcaster, and an encoder that lost its connection comes back long
//! before the server can know that the old one is dead; a refusal would keep it off the air for that
//! long. The viewers stay and are shown the new publisher's tracks as soon as they send.

use std::sync::Arc;
use std::time::Instant;

use super::streams::{self, StreamCall};
use super::{Call, Reply, ice, publish, pull, update};
use crate::error::ApiError;
use crate::events::Reason;
use crate::sdp::{Description, Direction, Section};
use crate::state::{ABSENCE_MAX, Link, Publication, Session};
use crate::wire::{TrackObject, TracksReply, kind_name};

/// POST the endpoint.
pub(super) async fn start(stream: &StreamCall) -> Result<Reply, ApiError> {
    let offer = stream.offer(Direction::SendOnly)?;
    let tracks = named(&offer)?;
    let call = &stream.call;
    let session = call.node.new_session(call.app, call.now)?;
    let reply = enter(stream, &session, &offer, tracks).await;
    if reply.is_err() {
        call.node.end_session(&session, Reason::Refused);
    }
    reply
}

/// What the offer publishes, under the names of its kinds (RFC 9725 section 4.4.2: one of each).
fn named(offer: &Description) -> Result<Vec<TrackObject>, ApiError> {
    let refuse = |text: &str| Err(ApiError::Unprocessable(text.to_owned()));
    let mut tracks: Vec<TrackObject> = Vec::new();
    for section in offer.sections.iter().filter(|section| section.sends()) {
        let name = section.kind.media().map(kind_name).map(str::to_owned);
        if tracks.iter().any(|track| track.track_name == name) {
            return refuse("a stream has one audio and one video track at most");
        }
        let mid = Some(section.mid.clone());
        tracks.push(TrackObject { mid, track_name: name, ..TrackObject::default() });
    }
    if tracks.is_empty() {
        return refuse("the offer sends neither audio nor video");
    }
    Ok(tracks)
}

async fn enter(
    stream: &StreamCall,
    session: &Arc<Session>,
    offer: &Description,
    tracks: Vec<TrackObject>,
) -> Result<Reply, ApiError> {
    let call = &stream.call;
    let mut work = session.work.lock().await;
    let published = publish::publish(call, session, &mut work, offer, tracks, false)?;
    check_whole(&published, offer)?;
    let replaced = call.node.streams.publish(&stream.name, session)?;
    if let Some(replaced) = replaced {
        call.node.end_session(&replaced, Reason::Replaced);
    }
    tokio::spawn(show(call.clone(), stream.name.clone(), session.clone()));
    let answer = published.session_description.map(|answer| answer.sdp).unwrap_or_default();
    Ok(stream.started(201, session, &work, &answer, ice::FRAGMENT))
}

/// RFC 9725 section 4.4.3: all sections or none.
fn check_whole(published: &TracksReply, offer: &Description) -> Result<(), ApiError> {
    let failed = published.tracks.iter().find_map(|track| track.error_description.as_ref());
    if let Some(reason) = failed {
        return Err(ApiError::Unprocessable(reason.clone()));
    }
    let known = |section: &Section| section.stopped || section.kind.media().is_some();
    match offer.sections.iter().find(|section| !known(section)) {
        Some(other) => {
            let text = format!("media section {}: a stream has audio and video only", other.mid);
            Err(ApiError::Unprocessable(text))
        }
        None => Ok(()),
    }
}

/// Shows a new publisher's tracks to the viewers that came before it, each track once it sends.
async fn show(call: Call, name: String, publisher: Arc<Session>) {
    let deadline = Instant::now() + ABSENCE_MAX;
    let mut changes = publisher.watch();
    let mut shown: Vec<Arc<Publication>> = Vec::new();
    while publisher.link() != Link::Gone {
        let tracks = streams::tracks(&publisher);
        for track in tracks.iter().filter(|track| streams::is_sending(track)) {
            if shown.iter().any(|known| Arc::ptr_eq(known, track)) {
                continue;
            }
            for viewer in call.node.streams.viewers(call.app, &name) {
                show_one(&call, &viewer, track).await;
            }
            shown.push(track.clone());
        }
        let change = tokio::time::timeout_at(deadline.into(), changes.changed());
        if shown.len() == tracks.len() || change.await.is_err() {
            return;
        }
    }
}

/// Points a viewer's subscription of the same kind at a track. A viewer that cannot decode it is
/// let go: its player can negotiate anew.
async fn show_one(call: &Call, viewer: &Arc<Session>, track: &Arc<Publication>) {
    let mut work = viewer.work.lock().await;
    let open = work.subscriptions.iter().find(|(_, subscription)| {
        let present = &subscription.publication;
        let other = present.session_id != track.session_id;
        !subscription.closed && present.kind == track.kind && other
    });
    let Some((mid, mut subscription)) = open.map(|(mid, s)| (mid.clone(), s.clone())) else {
        return;
    };
    let pointed = update::repoint(&mut work, &mid, &mut subscription, track.clone());
    if pointed.is_err() {
        drop(work);
        call.node.end_session(viewer, Reason::StreamEnded);
        return;
    }
    pull::tell(call, viewer, &subscription);
    work.subscriptions.insert(mid, subscription);
}
