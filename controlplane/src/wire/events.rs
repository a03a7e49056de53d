//! JSON shapes of events, as streams and webhooks carry them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// Body of the calls that make or change a webhook.
#[derive(Clone, Default, Debug, Deserialize, JsonSchema)]
pub struct WebhookRequest {
    /// Where events are sent: https, with a public address.
    pub url: Option<String>,
    /// Names of the types that are sent; all but `audio.level` by default.
    pub types: Option<Vec<String>>,
    /// Whether events are sent now.
    pub enabled: Option<bool>,
}

/// A webhook.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// Its app.
    pub app_id: String,
    /// Where events are sent.
    pub url: String,
    /// Types that are sent.
    pub types: Vec<Kind>,
    /// Whether events are sent. False after its receiver answered 410.
    pub enabled: bool,
    /// When it was made (RFC 3339).
    pub created: String,
    /// Events that wait to be delivered.
    pub pending: usize,
    /// Why the newest attempt failed, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// A webhook with its secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct NewWebhook {
    /// The webhook.
    #[serde(flatten)]
    pub webhook: Webhook,
    /// What its requests are signed with, as libraries for Standard Webhooks take it; shown this once.
    pub secret: String,
}
