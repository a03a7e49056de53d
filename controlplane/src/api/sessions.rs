//! POST sessions/new and GET session.

use std::sync::Arc;

use super::{Call, Reply, channels, exchange};
use crate::error::ApiError;
use crate::events::Reason;
use crate::state::Session;
use crate::wire::{
    IDENTIFIER_MAX, Location, NewSessionReply, NewSessionRequest, SdpType, SessionDescription,
    SessionReply, TrackReply, decode,
};

/// Makes a session; with an offer in the body also its transport and the answer.
pub(super) async fn create(call: &Call) -> Result<Reply, ApiError> {
    let request: NewSessionRequest = decode(&call.body)?;
    let offer = match &request.session_description {
        Some(description) => Some(exchange::parse(description, SdpType::Offer)?),
        None => None,
    };
    let identifier = identifier(call, request.custom_identifier)?;
    let session = call.node.new_session_of(call.app, identifier, call.now)?;
    let Some(offer) = offer else {
        let session_id = session.id.clone();
        return Ok(Reply::json(201, &NewSessionReply { session_id, session_description: None }));
    };
    let mut work = session.work.lock().await;
    match exchange::answer(call, &session, &mut work, &offer, &[]) {
        Ok(answered) => {
            let reply = NewSessionReply {
                session_id: session.id.clone(),
                session_description: Some(SessionDescription::answer(answered.sdp)),
            };
            Ok(Reply::json(201, &reply))
        }
        Err(error) => {
            call.node.end_session(&session, Reason::Refused);
            Err(error)
        }
    }
}

/// The custom identifier of the body, or else of the query; none is the empty one.
fn identifier(call: &Call, body: Option<String>) -> Result<String, ApiError> {
    let query = || {
        let mut pairs = form_urlencoded::parse(call.query.as_bytes());
        pairs.find(|(key, _)| key == "customIdentifier").map(|(_, value)| value.into_owned())
    };
    let identifier = body.or_else(query).unwrap_or_default();
    if identifier.len() > IDENTIFIER_MAX || identifier.chars().any(char::is_control) {
        let text =
            format!("customIdentifier: at most {IDENTIFIER_MAX} bytes without control characters");
        return Err(ApiError::InvalidParams(text));
    }
    Ok(identifier)
}

/// Lists a session's tracks and data channels, and where it lives.
pub(super) async fn read(call: &Call, session: &Arc<Session>) -> Result<Reply, ApiError> {
    let work = super::work(call, session).await?;
    let facts = session.facts();
    let status = |active: bool| Some(if active { "active" } else { "inactive" });
    let mut tracks: Vec<TrackReply> = facts
        .publications
        .iter()
        .map(|publication| TrackReply {
            location: Some(Location::Local),
            mid: Some(publication.mid.clone()),
            track_name: Some(publication.name.clone()),
            status: status(publication.is_live()),
            rids: publication.rids(),
            audio_level: publication.sound().map(|sound| -i16::from(sound.level)),
            speaking: publication.sound().map(|sound| sound.speaking),
            ..TrackReply::default()
        })
        .collect();
    tracks.extend(work.subscriptions.iter().map(|(mid, subscription)| TrackReply {
        location: Some(Location::Remote),
        mid: Some(mid.clone()),
        track_name: Some(subscription.publication.name.clone()),
        session_id: Some(subscription.publication.session_id.clone()),
        simulcast: subscription.simulcast.clone(),
        status: status(subscription.is_active()),
        ..TrackReply::default()
    }));
    let reply = SessionReply {
        session_id: session.id.clone(),
        tracks,
        data_channels: channels::list(session),
        core: facts.core.map(|core| core.0),
        srtp_profile: facts.profile.map(|profile| profile.name()),
    };
    Ok(Reply::json(200, &reply))
}
