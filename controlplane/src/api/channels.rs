//! datachannels/new, datachannels/update, datachannels/close, and how a session's channels are
//! listed. No SDP: the channels are negotiated by their ids, which are SCTP streams.

use std::sync::Arc;
use std::time::Instant;

use super::{Call, Reply};
use crate::error::{ApiError, ItemError};
use crate::push::ChannelWish;
use crate::state::{Association, CONNECT_WAIT, ChannelEnd, Session};
use crate::wire::{
    CHANNELS_PER_REQUEST, ChannelObject, ChannelReply, ChannelsReply, ChannelsRequest, Location,
    decode,
};

/// Opens channels: publishes local ones, subscribes to remote ones. Waits for the transport.
pub(super) async fn new(call: &Call, session: &Arc<Session>) -> Result<Reply, ApiError> {
    let objects = objects(call, CHANNELS_PER_REQUEST)?;
    check_locations(&objects)?;
    session.channels_ready(Instant::now() + CONNECT_WAIT).await?;
    Ok(reply(&objects, |object| open(call, session, object)))
}

/// Gives subscriptions the right to reply, or takes it. Never waits.
pub(super) fn update(call: &Call, session: &Arc<Session>) -> Result<Reply, ApiError> {
    let objects = objects(call, CHANNELS_PER_REQUEST)?;
    Ok(reply(&objects, |object| change(call, session, object)))
}

/// Ends channels by their ids. Never waits.
pub(super) fn close(call: &Call, session: &Arc<Session>) -> Result<Reply, ApiError> {
    // More than one request may add: a session's channels can be closed at once.
    let objects = objects(call, 4 * CHANNELS_PER_REQUEST)?;
    let channels = objects.iter().map(|object| end(call, session, object));
    Ok(Reply::json(200, &ChannelsReply { data_channels: channels.collect() }))
}

/// A session's channels with their status.
pub(super) fn list(session: &Session) -> Vec<ChannelReply> {
    let channels = session.channels();
    let status = |open: bool| {
        Some(match (open, channels.association) {
            (false, _) => "inactive",
            (true, Association::Up) => "active",
            (true, _) => "initializing",
        })
    };
    let published = channels.published.iter().map(|channel| ChannelReply {
        location: Some(Location::Local),
        data_channel_name: Some(channel.name.clone()),
        status: status(channel.is_open()),
        ..ChannelReply::default().tuned(channel.stream, channel.reliability)
    });
    let received = channels.received.iter().map(|subscription| ChannelReply {
        location: Some(Location::Remote),
        session_id: Some(subscription.channel.session_id.clone()),
        data_channel_name: Some(subscription.channel.name.clone()),
        status: status(subscription.is_open()),
        ..ChannelReply::default().tuned(subscription.stream, subscription.channel.reliability)
    });
    published.chain(received).collect()
}

/// The channels of a request's body, at least one and at most so many.
fn objects(call: &Call, max: usize) -> Result<Vec<ChannelObject>, ApiError> {
    let request: ChannelsRequest = decode(&call.body)?;
    let objects = request.data_channels.unwrap_or_default();
    if objects.is_empty() || objects.len() > max {
        let text = format!("dataChannels: 1 to {max} data channels are needed");
        return Err(ApiError::InvalidParams(text));
    }
    Ok(objects)
}

/// Every entry says where its channel comes from, and all say the same.
fn check_locations(objects: &[ChannelObject]) -> Result<(), ApiError> {
    let refuse = |text: String| Err(ApiError::InvalidParams(text));
    if let Some(index) = objects.iter().position(|object| object.location.is_none()) {
        return refuse(format!("dataChannels[{index}].location: missing"));
    }
    let first = objects.first().and_then(|object| object.location);
    if objects.iter().any(|object| object.location != first) {
        let text = "dataChannels: publishing and pulling in one request is not supported";
        return refuse(text.to_owned());
    }
    Ok(())
}

/// One entry per channel, in their order.
fn reply(
    objects: &[ChannelObject],
    act: impl Fn(&ChannelObject) -> Result<ChannelReply, ItemError>,
) -> Reply {
    let one = |object: &ChannelObject| {
        act(object).unwrap_or_else(|error| ChannelReply::echo(object).failed(&error))
    };
    Reply::json(200, &ChannelsReply { data_channels: objects.iter().map(one).collect() })
}

/// Publishes or subscribes.
fn open(call: &Call, session: &Session, object: &ChannelObject) -> Result<ChannelReply, ItemError> {
    let name = object.name()?;
    let reliability = object.reliability()?;
    if object.location == Some(Location::Local) {
        let channel = call.node.publish_channel(session, name, reliability)?;
        return Ok(ChannelReply::echo(object).tuned(channel.stream, channel.reliability));
    }
    let id = object.session_id.as_deref();
    let id = id.ok_or_else(|| ItemError::InvalidParams("sessionId: missing".to_owned()))?;
    let publisher = call.node.session(call.app, id).map_err(|_| ItemError::NotFoundChannel)?;
    let channel = publisher.channels().publication(name).cloned();
    let channel = channel.ok_or(ItemError::NotFoundChannel)?;
    let wish = ChannelWish {
        wait_for_ack: object.wait_for_ack.unwrap_or(false),
        can_reply: object.can_reply.unwrap_or(false),
    };
    let subscription = call.node.subscribe_channel(session, &channel, wish)?;
    Ok(ChannelReply::echo(object).tuned(subscription.stream, channel.reliability))
}

/// Changes the only flag of a subscription that may change.
fn change(
    call: &Call,
    session: &Session,
    object: &ChannelObject,
) -> Result<ChannelReply, ItemError> {
    let missing = |field: &str| ItemError::InvalidParams(format!("{field}: missing"));
    let name = object.name()?;
    let publisher = object.session_id.as_deref().ok_or_else(|| missing("sessionId"))?;
    let can_reply = object.can_reply.ok_or_else(|| missing("canReply"))?;
    let subscription = session.channels().subscription(publisher, name).cloned();
    let subscription = subscription.ok_or_else(|| {
        ItemError::UpdateTrack("the session does not receive this data channel".to_owned())
    })?;
    call.node.push(|push, out| push.allow_reply(subscription.id, can_reply, out));
    let id = Some(subscription.stream.into());
    Ok(ChannelReply { location: Some(Location::Remote), id, ..ChannelReply::echo(object) })
}

/// Ends the channel on a stream; the entry keeps its id whether that worked or not.
fn end(call: &Call, session: &Session, object: &ChannelObject) -> ChannelReply {
    let reply = ChannelReply { id: object.id.clone(), ..ChannelReply::default() };
    let found = object.stream().and_then(|stream| {
        let end = session.channels().at(stream);
        end.ok_or(ItemError::CloseTrack)
    });
    let found = match found {
        Ok(found) => found,
        Err(error) => return reply.failed(&error),
    };
    call.node.close_channel(session, &found);
    match found {
        ChannelEnd::Published(channel) => ChannelReply {
            location: Some(Location::Local),
            data_channel_name: Some(channel.name.clone()),
            ..reply
        },
        ChannelEnd::Received(subscription) => ChannelReply {
            location: Some(Location::Remote),
            session_id: Some(subscription.channel.session_id.clone()),
            data_channel_name: Some(subscription.channel.name.clone()),
            ..reply
        },
    }
}
