//! JSON shapes of the public API, field for field.
//!
//! Unknown fields are ignored, absent and null fields are the same. Parsed by the handlers in
//! `api/`; holds no behaviour beyond reading and writing JSON.

mod account;
mod channels;
mod events;
mod replies;

use common::media::MediaKind;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{ApiError, ItemError};

pub use account::{
    AccountError, AccountFailure, AccountReply, AppRequest, NewApp, SessionLine, UsageReply,
};
pub use channels::{
    CHANNEL_NAME_MAX, CHANNELS_PER_REQUEST, ChannelObject, ChannelReply, ChannelsReply,
    ChannelsRequest, EstablishReply, EstablishRequest,
};
pub use events::{Event, Lost, NewWebhook, Webhook, WebhookRequest};
pub use replies::{
    ErrorReply, HealthReply, IceServersReply, NewSessionReply, RenegotiateReply, SessionReply,
    StreamReply, StreamTrack, TokenReply, TokenRequest,
};

/// Most tracks one request may add.
pub const TRACKS_PER_REQUEST: usize = 64;
/// Longest track name in bytes; chosen: names are UUIDs or `MediaStreamTrack` ids in practice.
pub const TRACK_NAME_MAX: usize = 512;
/// How long a stream's token may live, in seconds. Chosen: a stream key of a season.
pub const TOKEN_TTL_MAX: u64 = 366 * 86_400;

/// `RTCSessionDescription`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SessionDescription {
    /// `offer` or `answer`.
    #[serde(rename = "type")]
    pub kind: SdpType,
    /// The text.
    pub sdp: String,
}

/// Kinds of session descriptions this API takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SdpType {
    /// An offer.
    Offer,
    /// An answer.
    Answer,
}

impl SessionDescription {
    /// Our answer.
    pub fn answer(sdp: String) -> Self {
        Self { kind: SdpType::Answer, sdp }
    }

    /// Our offer.
    pub fn offer(sdp: String) -> Self {
        Self { kind: SdpType::Offer, sdp }
    }
}

/// Body of sessions/new; may be missing altogether.
#[derive(Clone, Default, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewSessionRequest {
    /// The client's offer.
    pub session_description: Option<SessionDescription>,
    /// What the app calls whoever uses the session, in at most 128 bytes; tags its usage.
    pub custom_identifier: Option<String>,
}

/// Longest custom identifier in bytes; chosen.
pub const IDENTIFIER_MAX: usize = 128;

/// Body of tracks/new and tracks/update.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TracksRequest {
    /// The client's offer.
    pub session_description: Option<SessionDescription>,
    /// The tracks.
    #[schemars(length(max = TRACKS_PER_REQUEST))]
    pub tracks: Option<Vec<TrackObject>>,
    /// Publish every sending section that is no publication yet.
    pub auto_discover: Option<bool>,
}

/// Body of tracks/close.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloseRequest {
    /// The client's offer, when the close is negotiated.
    pub session_description: Option<SessionDescription>,
    /// The tracks, by mid or by name.
    pub tracks: Vec<TrackObject>,
    /// Close without negotiation.
    pub force: Option<bool>,
}

/// Body of renegotiate.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenegotiateRequest {
    /// The client's answer, or its offer of an ICE restart.
    pub session_description: SessionDescription,
}

/// Where a track comes from, as the session's client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Location {
    /// The client publishes it.
    Local,
    /// The client receives it.
    Remote,
}

/// One track of a request.
#[derive(Clone, Default, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrackObject {
    /// Publish or pull.
    pub location: Option<Location>,
    /// Mid in this session's SDP.
    pub mid: Option<String>,
    /// Publisher's session (pull).
    pub session_id: Option<String>,
    /// Name within the publishing session.
    pub track_name: Option<String>,
    /// Which encoding a pull wants.
    pub simulcast: Option<Simulcast>,
    /// What to publish, where we make the offer; a mere hint everywhere else.
    #[serde(default, deserialize_with = "kind")]
    #[schemars(schema_with = "kind_schema")]
    pub kind: Option<MediaKind>,
    /// Keep our half of a published track's section open for a later pull.
    pub bidirectional_media_stream: Option<bool>,
}

impl TrackObject {
    /// The mid it names; an empty one names none.
    pub fn mid(&self) -> Option<&str> {
        self.mid.as_deref().filter(|mid| !mid.is_empty())
    }

    /// Whether our half of its section stays open.
    pub fn bidirectional(&self) -> bool {
        self.bidirectional_media_stream.unwrap_or(false)
    }
}

/// A media kind as the API writes it.
pub fn kind_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

/// Reads a media kind; anything else is none, because most requests do not need one.
fn kind<'de, D: Deserializer<'de>>(from: D) -> Result<Option<MediaKind>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    Ok(match value.as_str() {
        Some("audio") => Some(MediaKind::Audio),
        Some("video") => Some(MediaKind::Video),
        _ => None,
    })
}

/// What is promised to be read of a kind.
fn kind_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "enum": ["audio", "video", null] })
}

/// Simulcast settings of a subscription, echoed as given.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Simulcast {
    /// RID to send; absent or empty is automatic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_rid: Option<String>,
    /// Without bandwidth for it: `none` keeps it, `asciibetical` steps down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_ordering: Option<String>,
    /// While it sends nothing: `none` waits for it, `asciibetical` shows the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rid_not_available: Option<String>,
}

/// One track of a reply.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrackReply {
    /// Publish or pull; only where the endpoint's reply has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Publisher's session (pull).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Name within the publishing session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track_name: Option<String>,
    /// Mid in this session's SDP; absent on failed entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
    /// `audio` or `video`; only for discovered tracks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// Settings as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulcast: Option<Simulcast>,
    /// `active` or `inactive`; only when a session is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
    /// RIDs of a published simulcast track, in the order of its offer; only when a session is read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rids: Vec<String>,
    /// Smoothed level of a published track in dBov, 0 to -127; only when a session is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_level: Option<i16>,
    /// Whether somebody speaks on it; beside `audioLevel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaking: Option<bool>,
    /// Why the entry failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<&'static str>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
}

impl TrackReply {
    /// Marks the entry as failed; a failed entry has no mid.
    pub fn failed(mut self, error: &ItemError) -> Self {
        let (code, text) = error.parts();
        self.mid = None;
        self.error_code = Some(code);
        self.error_description = Some(text);
        self
    }
}

/// Reply of tracks/new, tracks/update and tracks/close.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TracksReply {
    /// Whether the client must answer an offer.
    pub requires_immediate_renegotiation: bool,
    /// One entry per requested track.
    pub tracks: Vec<TrackReply>,
    /// Our answer or offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_description: Option<SessionDescription>,
}

/// Reads a request body. An empty one reads as an empty object.
///
/// # Errors
/// [`ApiError::Decoding`] with the path of the offending field.
pub fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let at = if path == "." { String::new() } else { format!("{path}: ") };
        ApiError::Decoding(format!("{at}{inner}"))
    })?;
    json.end().map_err(|error| ApiError::Decoding(error.to_string()))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refusal(body: &str) -> String {
        match decode::<TracksRequest>(body.as_bytes()) {
            Err(ApiError::Decoding(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_names_the_field() {
        assert!(refusal(r#"{"tracks":[{"mid":"0"},{"mid":5}]}"#).starts_with("tracks[1].mid: "));
        assert!(refusal(r#"{"tracks":[{"location":"up"}]}"#).starts_with("tracks[0].location: "));
        assert!(refusal(r#"{"sessionDescription":{"sdp":""}}"#).contains("missing field `type`"));
        assert!(refusal("{").contains("EOF"));
        assert!(refusal("{} x").contains("trailing"));
        assert!(refusal("[1]").contains("invalid type") || refusal("[1]").contains("invalid"));
        assert!(refusal(r#"{"tracks":1e400}"#).contains("range"));
        assert!(refusal(&"[".repeat(100_000)).contains("recursion") || !refusal("[").is_empty());
    }

    #[test]
    fn unknown_and_null_fields_are_nothing() {
        let body =
            r#"{"x":[{}],"tracks":[{"mid":null,"kind":7,"status":"?"}],"autoDiscover":null}"#;
        let request: TracksRequest = decode(body.as_bytes()).unwrap();
        assert_eq!(request.tracks.unwrap()[0].mid, None);
        assert!(decode::<NewSessionRequest>(b" ").unwrap().session_description.is_none());
    }
}
