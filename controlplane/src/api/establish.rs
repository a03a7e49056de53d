//! POST datachannels/establish: the application section of a session, by the client's offer or ours.
//!
//! The channel it names, `server-events`, carries nothing: it is how the API says "transport for
//! data channels". With our offer the core opens it in band, so that the client sees it come.

use std::sync::Arc;
use std::time::Instant;

use super::{Call, Reply, exchange};
use crate::error::ApiError;
use crate::sdp::Negotiation;
use crate::state::{CONNECT_WAIT, Session, Work};
use crate::wire::{
    ChannelReply, EstablishReply, EstablishRequest, Location, SdpType, SessionDescription, decode,
};

/// The only channel that may be named here.
const SERVER_EVENTS: &str = "server-events";

/// Gives a session a transport for data channels.
pub(super) async fn establish(call: &Call, session: &Arc<Session>) -> Result<Reply, ApiError> {
    let request: EstablishRequest = decode(&call.body)?;
    let named = request.data_channel.as_ref();
    let bootstraps = named.is_some_and(|channel| {
        channel.location == Some(Location::Remote)
            && channel.data_channel_name.as_deref() == Some(SERVER_EVENTS)
    });
    if !bootstraps {
        let text = "dataChannel: must be the remote channel server-events";
        return Err(ApiError::InvalidParams(text.to_owned()));
    }
    let offer = match &request.session_description {
        Some(description) => Some(exchange::parse(description, SdpType::Offer)?),
        None => None,
    };
    if offer.as_ref().is_some_and(|offer| !offer.has_channels()) {
        let text = "sessionDescription.sdp: no application section that data channels can use";
        return Err(ApiError::Decoding(text.to_owned()));
    }
    let _turn = session.turn.lock().await;
    let start = Instant::now();
    if must_wait(call, session).await? {
        session.connected(start + CONNECT_WAIT).await?;
    }
    let mut work = super::work(call, session).await?;
    check(&work)?;
    let requires_immediate_renegotiation = offer.is_none();
    let session_description = match offer {
        Some(offer) => {
            let answered = exchange::answer(call, session, &mut work, &offer, &[])?;
            SessionDescription::answer(answered.sdp)
        }
        None => {
            let offered = exchange::offer(call, session, &mut work, Negotiation::offer_channels)?;
            SessionDescription::offer(offered.sdp)
        }
    };
    let data_channel = ChannelReply {
        data_channel_name: Some(SERVER_EVENTS.to_owned()),
        id: Some(0.into()),
        ..ChannelReply::default()
    };
    let reply =
        EstablishReply { requires_immediate_renegotiation, data_channel, session_description };
    Ok(Reply::json(200, &reply))
}

/// Only the first exchange of a session does not wait for its transport.
async fn must_wait(call: &Call, session: &Arc<Session>) -> Result<bool, ApiError> {
    let work = super::work(call, session).await?;
    check(&work)?;
    Ok(work.needs_transport())
}

/// A session has one transport for data channels, and one open offer.
fn check(work: &Work) -> Result<(), ApiError> {
    work.check_no_offer()?;
    if work.negotiation.as_ref().and_then(Negotiation::sctp).is_some() {
        let text = "dataChannel: the session has a data channel transport already";
        return Err(ApiError::Decoding(text.to_owned()));
    }
    Ok(())
}
