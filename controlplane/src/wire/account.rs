//! JSON shapes of the account API, whose envelope is the Cloudflare API's, and of usage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::apps::App;
use crate::store::usage::Line;

/// Body of the account API's calls that make or change an app.
#[derive(Clone, Default, Debug, Deserialize, JsonSchema)]
pub struct AppRequest {
    /// What the app is to be called, in at most 256 bytes.
    pub name: Option<String>,
}

/// What every success of the account API stands in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AccountReply<T> {
    /// Always true.
    pub success: bool,
    /// Always empty.
    pub errors: [AccountError; 0],
    /// Always empty.
    pub messages: [String; 0],
    /// What was asked for.
    pub result: T,
}

impl<T> AccountReply<T> {
    /// A success.
    pub fn new(result: T) -> Self {
        Self { success: true, errors: [], messages: [], result }
    }
}

/// What every failure of the account API looks like.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AccountFailure {
    /// Always false.
    pub success: bool,
    /// Why: one error.
    pub errors: [AccountError; 1],
    /// Always empty.
    pub messages: [String; 0],
    /// Always null.
    pub result: (),
}

impl AccountFailure {
    /// A failure.
    pub fn new(code: u32, message: String) -> Self {
        let errors = [AccountError { code, message }];
        Self { success: false, errors, messages: [], result: () }
    }
}

/// An error of the account API.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AccountError {
    /// Its number.
    pub code: u32,
    /// The same in words.
    pub message: String,
}

/// A stored app with the secret it was just given.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct NewApp {
    /// The app.
    #[serde(flatten)]
    pub app: App,
    /// Its secret; shown this once.
    pub secret: String,
}

/// A session as the account sees it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionLine {
    /// Its app.
    pub app_id: String,
    /// Its id.
    pub session_id: String,
    /// Whether its transport is connected.
    pub connected: bool,
    /// Which core serves it; null until its transport is known there.
    pub core: Option<u8>,
    /// How many tracks it publishes.
    pub published_tracks: usize,
    /// What the app calls whoever uses it; may be empty.
    pub custom_identifier: String,
    /// Its age.
    pub seconds: u64,
    /// Bytes received from it.
    pub ingress_bytes: u64,
    /// Bytes sent to it.
    pub egress_bytes: u64,
}

/// Reply of usage.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageReply {
    /// The app.
    pub app_id: String,
    /// What the lines are: `app`, `session` or `customIdentifier`.
    pub by: &'static str,
    /// Where the range begins (RFC 3339), at the border of a stored slot.
    pub since: String,
    /// Where it ends (RFC 3339).
    pub until: String,
    /// The sums.
    pub usage: Vec<Line>,
    /// Whether there were more lines than are shown.
    pub truncated: bool,
}
