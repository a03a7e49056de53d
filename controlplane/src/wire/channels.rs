//! JSON shapes of the datachannels endpoints, field for field.

use common::command::{Reliability, ReliabilityLimit};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Number;

use super::{Location, SessionDescription};
use crate::error::ItemError;

/// Most data channels one request may add or change.
pub const CHANNELS_PER_REQUEST: usize = 64;
/// Longest data channel name in bytes; as long as a track's.
pub const CHANNEL_NAME_MAX: usize = super::TRACK_NAME_MAX;

/// Body of datachannels/establish.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EstablishRequest {
    /// Which channel brings the transport: always `server-events`.
    pub data_channel: Option<ChannelObject>,
    /// The client's offer.
    pub session_description: Option<SessionDescription>,
}

/// Body of datachannels/new, datachannels/update and datachannels/close.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChannelsRequest {
    /// The channels.
    pub data_channels: Option<Vec<ChannelObject>>,
}

/// One data channel of a request. Numbers stay as they came: one out of range fails its entry alone.
#[derive(Clone, Default, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChannelObject {
    /// Publish or receive.
    pub location: Option<Location>,
    /// Publisher's session (remote).
    pub session_id: Option<String>,
    /// Name within the publishing session.
    pub data_channel_name: Option<String>,
    /// Whether messages arrive in order; true unless said.
    pub ordered: Option<bool>,
    /// Give a message up after so many retransmissions.
    #[schemars(schema_with = "short_schema")]
    pub max_retransmits: Option<Number>,
    /// Give a message up after so many milliseconds.
    #[schemars(schema_with = "short_schema")]
    pub max_packet_life_time: Option<Number>,
    /// Hold messages until the subscriber's first one (remote).
    pub wait_for_ack: Option<bool>,
    /// Pass the subscriber's messages on to the publisher (remote).
    pub can_reply: Option<bool>,
    /// SCTP stream of this session's end (close).
    #[schemars(schema_with = "short_schema")]
    pub id: Option<Number>,
}

impl ChannelObject {
    /// The name, checked.
    ///
    /// # Errors
    /// [`ItemError::InvalidParams`].
    pub fn name(&self) -> Result<&str, ItemError> {
        match self.data_channel_name.as_deref() {
            None | Some("") => invalid("dataChannelName: missing"),
            Some(name) if name.len() > CHANNEL_NAME_MAX => {
                invalid("dataChannelName: longer than 512 bytes")
            }
            Some(name) => Ok(name),
        }
    }

    /// How hard the channel tries, checked.
    ///
    /// # Errors
    /// [`ItemError::InvalidParams`] for numbers out of range and for two limits at a time.
    pub fn reliability(&self) -> Result<Reliability, ItemError> {
        let limit = match (&self.max_retransmits, &self.max_packet_life_time) {
            (None, None) => ReliabilityLimit::Never,
            (Some(count), None) => ReliabilityLimit::Retransmits(short("maxRetransmits", count)?),
            (None, Some(time)) => ReliabilityLimit::Lifetime(short("maxPacketLifeTime", time)?),
            (Some(_), Some(_)) => {
                return invalid("maxRetransmits and maxPacketLifeTime exclude each other");
            }
        };
        Ok(Reliability { ordered: self.ordered.unwrap_or(true), limit })
    }

    /// The stream a close names.
    ///
    /// # Errors
    /// [`ItemError::InvalidParams`] without one, [`ItemError::CloseTrack`] for one no stream has.
    pub fn stream(&self) -> Result<u16, ItemError> {
        let Some(id) = &self.id else { return invalid("id: missing") };
        short("id", id).map_err(|_| ItemError::CloseTrack)
    }
}

fn invalid<T>(text: &str) -> Result<T, ItemError> {
    Err(ItemError::InvalidParams(text.to_owned()))
}

/// A number that fits SCTP's 16 bits (RFC 8832 section 5.1 knows 32; browsers take 16).
fn short(field: &str, number: &Number) -> Result<u16, ItemError> {
    let fits = number.as_u64().and_then(|number| u16::try_from(number).ok());
    fits.ok_or_else(|| ItemError::InvalidParams(format!("{field}: must be 0 to 65535")))
}

/// What [`short`] takes.
fn short_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["integer", "null"], "minimum": 0, "maximum": u16::MAX })
}

/// One data channel of a reply.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChannelReply {
    /// Publish or receive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Publisher's session (remote).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Name within the publishing session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_channel_name: Option<String>,
    /// SCTP stream of this session's end; absent on failed entries that named none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Number>,
    /// `false` for an unordered channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordered: Option<bool>,
    /// The publisher's limit, if that is its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retransmits: Option<u16>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_packet_life_time: Option<u16>,
    /// As given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_for_ack: Option<bool>,
    /// As given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_reply: Option<bool>,
    /// `active`, `initializing` or `inactive`; only when a session is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
    /// Why the entry failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<&'static str>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
}

impl ChannelReply {
    /// The part of an entry that is echoed whether it worked or not.
    pub fn echo(object: &ChannelObject) -> Self {
        Self {
            location: object.location,
            session_id: object.session_id.clone(),
            data_channel_name: object.data_channel_name.clone(),
            wait_for_ack: object.wait_for_ack,
            can_reply: object.can_reply,
            ..Self::default()
        }
    }

    /// Adds what both ends of a channel must give their peer connections.
    pub fn tuned(mut self, stream: u16, reliability: Reliability) -> Self {
        self.id = Some(stream.into());
        self.ordered = (!reliability.ordered).then_some(false);
        match reliability.limit {
            ReliabilityLimit::Never => {}
            ReliabilityLimit::Retransmits(count) => self.max_retransmits = Some(count),
            ReliabilityLimit::Lifetime(time) => self.max_packet_life_time = Some(time),
        }
        self
    }

    /// Marks the entry as failed.
    pub fn failed(mut self, error: &ItemError) -> Self {
        let (code, text) = error.parts();
        self.error_code = Some(code);
        self.error_description = Some(text);
        self
    }
}

/// Reply of datachannels/new, datachannels/update and datachannels/close.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChannelsReply {
    /// One entry per requested channel.
    pub data_channels: Vec<ChannelReply>,
}

/// Reply of datachannels/establish.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EstablishReply {
    /// Whether the client must answer an offer.
    pub requires_immediate_renegotiation: bool,
    /// The channel that brings the transport.
    pub data_channel: ChannelReply,
    /// Our answer or offer.
    pub session_description: SessionDescription,
}
