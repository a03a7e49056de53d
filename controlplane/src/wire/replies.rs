//! Replies that stand for themselves: sessions, streams, errors, health.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ChannelReply, SessionDescription, TrackReply};
use crate::stream_token::Role;

/// Reply of sessions/new.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewSessionReply {
    /// Id of the session: 32 hexadecimal digits.
    pub session_id: String,
    /// The answer, where the request had an offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_description: Option<SessionDescription>,
}

/// A session, its tracks and its data channels.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionReply {
    /// Id of the session.
    pub session_id: String,
    /// What it publishes and receives.
    pub tracks: Vec<TrackReply>,
    /// The data channels it publishes and receives.
    pub data_channels: Vec<ChannelReply>,
    /// Which core serves it; null until its transport is known there.
    pub core: Option<u8>,
    /// How its media is protected; null until the handshake ended.
    pub srtp_profile: Option<&'static str>,
}

/// Reply of renegotiate: empty for an answer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenegotiateReply {
    /// Our answer, where the request had an offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_description: Option<SessionDescription>,
}

/// Reply of generate-ice-servers. The server is reached without any.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IceServersReply {
    /// For `RTCConfiguration.iceServers`; always empty.
    pub ice_servers: [(); 0],
}

/// Body of a stream's tokens.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct TokenRequest {
    /// What the token is good for.
    pub role: Role,
    /// How long it is good, in seconds; a day unless said.
    #[schemars(range(min = 1, max = super::TOKEN_TTL_MAX))]
    pub ttl: Option<u64>,
}

/// A token of a stream.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TokenReply {
    /// The bearer token.
    pub token: String,
    /// Until when it is good, in seconds since 1970.
    pub expires: u64,
    /// Path of the WHIP endpoint it is for, of a token to publish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whip: Option<String>,
    /// Path of the WHEP endpoint it is for, of a token to play.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whep: Option<String>,
}

/// A stream.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamReply {
    /// Whether media of it arrives.
    pub live: bool,
    /// The publisher's session, while there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// What the publisher publishes.
    pub tracks: Vec<StreamTrack>,
    /// How many sessions watch it by WHEP.
    pub viewers: usize,
}

/// One track of a stream.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamTrack {
    /// Name within the publisher's session, as tracks/new takes it.
    pub track_name: String,
    /// Mid in the publisher's SDP.
    pub mid: String,
    /// `audio` or `video`.
    pub kind: &'static str,
}

/// Why a request failed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorReply {
    /// What kind of failure it is, for programs.
    pub error_code: &'static str,
    /// What it is about and why, for people; begins with the field, where one is at fault.
    pub error_description: String,
}

/// Reply of healthz.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HealthReply {
    /// Always `ok`: who can answer is alive.
    pub status: &'static str,
}
