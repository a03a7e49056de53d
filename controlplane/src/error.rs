//! Every failure of the API: one table from error to HTTP status, `errorCode` and
//! `errorDescription`.
//!
//! Made by the handlers and the server, turned into a reply by `server.rs`. Descriptions are for
//! the client's developer; they never hold a secret, an address or another app's data. Texts that
//! clients of this API know from elsewhere are kept word for word.

use crate::sdp::{SdpError, SdpErrorKind};
use crate::store::StoreError;
use crate::wire::ErrorReply;

/// A request that failed as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ApiError {
    /// Missing, repeated or wrong bearer secret.
    Unauthorized,
    /// No such app.
    NoApp,
    /// The app has no such webhook.
    NoWebhook,
    /// No such path.
    NoEndpoint,
    /// The path exists, the method does not; holds the methods that do.
    MethodNotAllowed(&'static str),
    /// The body is not the JSON it should be; holds where and why.
    Decoding(String),
    /// Values that contradict each other or the endpoint; holds the field and why.
    InvalidParams(String),
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body is longer than the limit, in bytes.
    PayloadTooLarge(usize),
    /// An SDP that does not parse (400).
    SdpMalformed(String),
    /// An SDP that does not fit the session's state (406).
    SdpOrder(String),
    /// The session never existed, expired, or was closed. One answer for all three, and for
    /// sessions of other apps: it tells nothing about ids.
    SessionGone,
    /// The transport is not connected after the longest wait.
    NotReady,
    /// The session negotiated no application section after the longest wait.
    NoChannels,
    /// The session's SCTP association failed.
    ChannelsFailed,
    /// More than 50 requests in a second on one session.
    RateLimited,
    /// A table of this node is full.
    Full(&'static str),
    /// The body is of another media type.
    MediaType {
        /// The header field that says so: `accept-post` or `accept-patch`.
        field: &'static str,
        /// What this resource takes.
        takes: &'static str,
    },
    /// A description that WHIP or WHEP does not take as a whole; holds why.
    Unprocessable(String),
    /// A change of ICE without an entity tag.
    PreconditionRequired,
    /// A change of another ICE session than the present one.
    PreconditionFailed,
    /// Nobody publishes the stream.
    NotLive,
    /// No such session of the stream, or it ended.
    NoStreamSession,
    /// The page proxy is switched off, or the request is not from our page.
    PageRefused(&'static str),
    /// The account API, on a server that has no account token.
    AccountOff,
    /// Missing, repeated or wrong account token.
    AccountUnauthorized,
    /// What is kept could not be read or written; the log says why.
    Store,
}

/// The contract's words for a session without connectivity.
const SESSION_GONE: &str =
    "Session appears to be disconnected. Please check if the PeerConnection is connected.";
/// And for one that has none yet.
const NOT_READY: &str = "Session is not ready yet. Please ensure the PeerConnection is connected \
                         before making this request";

impl ApiError {
    /// Status, code and text: the table.
    pub fn parts(&self) -> (u16, &'static str, String) {
        match self {
            Self::Unauthorized => {
                (401, "unauthorized", "the bearer secret is missing or wrong for this app".into())
            }
            Self::NoApp => (404, "not_found", "no such app".into()),
            Self::NoWebhook => (404, "not_found", "the app has no such webhook".into()),
            Self::NoEndpoint => (404, "not_found", "no such endpoint".into()),
            Self::MethodNotAllowed(allowed) => {
                (405, "invalid_params", format!("this endpoint takes {allowed}"))
            }
            Self::Decoding(text) => (400, "decoding_error", text.clone()),
            Self::InvalidParams(text) => (406, "invalid_params", text.clone()),
            Self::BodyTimeout => {
                (408, "decoding_error", "the request body did not arrive in time".into())
            }
            Self::PayloadTooLarge(limit) => {
                (413, "payload_too_large", format!("the request body exceeds {limit} bytes"))
            }
            Self::SdpMalformed(text) => (400, "invalid_session_description", text.clone()),
            Self::SdpOrder(text) => (406, "invalid_session_description", text.clone()),
            Self::SessionGone => (410, "session_error", SESSION_GONE.into()),
            Self::NotReady => (425, "session_error", NOT_READY.into()),
            Self::NoChannels => (
                425,
                "session_error",
                "the session has no data channel transport yet: datachannels/establish comes first"
                    .into(),
            ),
            Self::ChannelsFailed => (
                410,
                "session_error",
                "the data channel transport of the session failed: it takes another session".into(),
            ),
            Self::RateLimited => {
                (429, "retryable_transient_error", "more than 50 requests in one second".into())
            }
            Self::Full(what) => {
                (503, "temporarily_unavailable_error", format!("this node has no room for {what}"))
            }
            Self::MediaType { takes, .. } => {
                (415, "invalid_params", format!("this resource takes {takes}"))
            }
            Self::Unprocessable(text) => (422, "invalid_session_description", text.clone()),
            Self::PreconditionRequired => {
                (428, "invalid_params", "If-Match must name the ICE session, or be *".into())
            }
            Self::PreconditionFailed => {
                (412, "invalid_params", "If-Match names another ICE session".into())
            }
            Self::NotLive => (409, "not_live", "nobody publishes this stream now".into()),
            Self::NoStreamSession => {
                (404, "not_found", "the stream has no such session, or it ended".into())
            }
            Self::PageRefused(why) => (404, "not_found", (*why).into()),
            Self::AccountOff => (
                404,
                "not_found",
                "the account API is off: start the server with --account-token".into(),
            ),
            Self::AccountUnauthorized => {
                (401, "unauthorized", "the account token is missing or wrong".into())
            }
            Self::Store => (
                503,
                "temporarily_unavailable_error",
                "the server's state could not be read or written".into(),
            ),
        }
    }

    /// Number of the error in the account API's envelope: the Cloudflare API's own, where it is
    /// known to have one for such a failure.
    pub fn account_code(&self) -> u32 {
        match self {
            Self::AccountUnauthorized => 10_000,
            Self::NoEndpoint | Self::AccountOff => 7_000,
            Self::NoApp => 7_003,
            Self::Decoding(_) => 6_007,
            Self::MethodNotAllowed(_) => 10_405,
            // An error of this API alone: the HTTP status again.
            _ => self.parts().0.into(),
        }
    }

    /// The reply's body.
    pub fn body(&self) -> Vec<u8> {
        let (_, code, text) = self.parts();
        let reply = ErrorReply { error_code: code, error_description: text };
        serde_json::to_vec(&reply).unwrap_or_else(|_| b"{}".to_vec())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        Self::Store
    }
}

impl From<SdpError> for ApiError {
    fn from(error: SdpError) -> Self {
        let text = format!("sessionDescription.sdp: {error}");
        match error.kind {
            SdpErrorKind::Malformed => Self::SdpMalformed(text),
            SdpErrorKind::Order => Self::SdpOrder(text),
        }
    }
}

/// One failed track of a request that as a whole succeeds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ItemError {
    /// No such publication, or its publisher is not connected.
    NotFoundTrack,
    /// The publication is known, its publisher is connected, but no packet came.
    EmptyTrack,
    /// The name is in use by another live section of the session.
    RepeatedLocalTrack,
    /// No session of the app has an open data channel of this name there.
    NotFoundChannel,
    /// The session has an open data channel of this name.
    RepeatedChannel,
    /// The subscription cannot be changed that way; holds why.
    UpdateTrack(String),
    /// No such track, or it was closed before.
    CloseTrack,
    /// The entry's values do not fit; holds why.
    InvalidParams(String),
    /// A table of this node is full.
    Full,
}

impl ItemError {
    /// Code and text: the table.
    pub fn parts(&self) -> (&'static str, String) {
        match self {
            Self::NotFoundTrack => (
                "not_found_track_error",
                "Track not found on remote peer. Make sure the publisher peer is connected and \
                 sending packets for this track"
                    .into(),
            ),
            Self::EmptyTrack => (
                "empty_track_error",
                "No track data from remote peer. Make sure the publisher peer is sending packets \
                 for this track"
                    .into(),
            ),
            Self::RepeatedLocalTrack => (
                "repeated_local_track_error",
                "the session already publishes a track of this name under another mid".into(),
            ),
            Self::NotFoundChannel => (
                "not_found_track_error",
                "data channel not found: its publisher must have it open".into(),
            ),
            Self::RepeatedChannel => (
                "repeated_local_track_error",
                "the session has an open data channel of this name: close it first".into(),
            ),
            Self::UpdateTrack(text) => ("update_track_error", text.clone()),
            Self::CloseTrack => {
                ("close_track_error", "Track doesn't exist or was already closed".into())
            }
            Self::InvalidParams(text) => ("invalid_params", text.clone()),
            Self::Full => ("temporarily_unavailable_error", "this node has no room".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts_are_kept_word_for_word() {
        let (status, code, text) = ApiError::SessionGone.parts();
        assert_eq!((status, code), (410, "session_error"));
        let known = "Session appears to be disconnected. Please check if the PeerConnection is \
                     connected.";
        assert_eq!(text, known);
        let (status, code, text) = ApiError::NotReady.parts();
        assert_eq!((status, code), (425, "session_error"));
        let known = "Session is not ready yet. Please ensure the PeerConnection is connected before \
                     making this request";
        assert_eq!(text, known);
        let items = [
            (
                ItemError::NotFoundTrack,
                "not_found_track_error",
                "Track not found on remote peer. Make sure the publisher peer is connected and \
                 sending packets for this track",
            ),
            (
                ItemError::EmptyTrack,
                "empty_track_error",
                "No track data from remote peer. Make sure the publisher peer is sending packets \
                 for this track",
            ),
            (
                ItemError::CloseTrack,
                "close_track_error",
                "Track doesn't exist or was already closed",
            ),
        ];
        for (error, code, text) in items {
            assert_eq!(error.parts(), (code, text.to_owned()));
        }
    }

    #[test]
    fn codes_are_what_strict_clients_accept() {
        let errors = [
            ApiError::Unauthorized,
            ApiError::NoApp,
            ApiError::SessionGone,
            ApiError::NotReady,
            ApiError::NoChannels,
            ApiError::ChannelsFailed,
            ApiError::RateLimited,
            ApiError::Full("x"),
            ApiError::Decoding(String::new()),
        ];
        for error in errors {
            let code = error.parts().1;
            let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(code.chars().all(fine) && code.len() < 80, "{code}");
            assert!((400..600).contains(&error.parts().0));
        }
    }
}
