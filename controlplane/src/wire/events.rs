//! JSON shapes of events, as streams and webhooks carry them.

use schemars::JsonSchema;
use serde::Serialize;

use super::kind_name;
use crate::events::{Kind, Reason};
use crate::state::Publication;

/// Something that happened in an app. Which fields it has its type says (`x-events`).
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// No other event of the app has it.
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub what: Kind,
    /// When (RFC 3339, milliseconds).
    pub time: String,
    /// The app.
    pub app_id: String,
    /// The session.
    pub session_id: String,
    /// What the app calls whoever uses the session, where it does.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub custom_identifier: String,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The track's name within its session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track_name: Option<String>,
    /// Mid of its section.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
    /// `audio` or `video`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// RID of the encoding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// Smoothed level in dBov, 0 to -127.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_level: Option<i16>,
}

impl Event {
    /// Says which track it is about.
    pub(crate) fn of_track(&mut self, publication: &Publication) {
        self.track_name = Some(publication.name.clone());
        self.mid = Some(publication.mid.clone());
        self.kind = Some(kind_name(publication.kind));
    }
}

/// In a stream, with the event name `lost`: what its reader did not take in time.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Lost {
    /// How many events; absent where the server does not know, because it was started since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}
