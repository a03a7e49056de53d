//! What every error means and which field it concerns, in words for the document. The codes and
//! statuses themselves are `error.rs`'s.
//!
//! The matches name every error: a new one does not compile before it is explained here, and the
//! lists above them must then have it, too.

use crate::error::{ApiError, ItemError};

/// One of each error of a whole request.
pub(super) fn api_errors() -> Vec<ApiError> {
    use ApiError as E;
    vec![
        E::Decoding(String::new()),
        E::SdpMalformed(String::new()),
        E::Unauthorized,
        E::NoApp,
        E::NoWebhook,
        E::NoEndpoint,
        E::PageRefused(""),
        E::NoStreamSession,
        E::MethodNotAllowed(""),
        E::InvalidParams(String::new()),
        E::SdpOrder(String::new()),
        E::BodyTimeout,
        E::NotLive,
        E::SessionGone,
        E::ChannelsFailed,
        E::PreconditionFailed,
        E::PayloadTooLarge(0),
        E::MediaType { field: "", takes: "" },
        E::Unprocessable(String::new()),
        E::NotReady,
        E::NoChannels,
        E::PreconditionRequired,
        E::RateLimited,
        E::Full(""),
        E::AccountOff,
        E::AccountUnauthorized,
        E::Store,
    ]
}

/// What it means, and what its client does about it.
pub(super) fn meaning(error: &ApiError) -> &'static str {
    match error {
        ApiError::Decoding(_) => "The body is not the JSON it should be, or broke off.",
        ApiError::SdpMalformed(_) => "The session description does not parse.",
        ApiError::Unauthorized => "The bearer secret or token is missing, wrong or too old.",
        ApiError::NoApp => "There is no such app.",
        ApiError::NoWebhook => "The app has no such webhook.",
        ApiError::NoEndpoint => "There is no such path.",
        ApiError::PageRefused(_) => {
            "The page's own API: it is off, or the request is not its page's."
        }
        ApiError::NoStreamSession => "The stream has no such session, or it ended.",
        ApiError::MethodNotAllowed(_) => "The path takes other methods: `Allow` names them.",
        ApiError::InvalidParams(_) => {
            "Values that contradict each other, the path or a limit; the description begins with \
             the field."
        }
        ApiError::SdpOrder(_) => {
            "The session description does not fit the session's state: an offer is open, none is, \
             or it contradicts the ones before."
        }
        ApiError::BodyTimeout => "The body did not arrive in time.",
        ApiError::NotLive => {
            "Nobody publishes the stream now; `Retry-After` says when to ask again."
        }
        ApiError::SessionGone => {
            "The session never existed, expired, was closed, or is another app's: make another one."
        }
        ApiError::ChannelsFailed => {
            "The session's data channel transport failed: make another one."
        }
        ApiError::PreconditionFailed => {
            "The header names another ICE session than the present one."
        }
        ApiError::PayloadTooLarge(_) => "The body is longer than a mebibyte.",
        ApiError::MediaType { .. } => {
            "The body is of another media type: `Accept-Post` or `Accept-Patch` names the right ones."
        }
        ApiError::Unprocessable(_) => "WHIP or WHEP does not take such a description.",
        ApiError::NotReady => {
            "The session's transport was not connected within 5 seconds: ask again when it is."
        }
        ApiError::NoChannels => {
            "The session negotiated no data channel transport within 5 seconds: \
             datachannels/establish comes first."
        }
        ApiError::PreconditionRequired => "A change of ICE must name the ICE session it changes.",
        ApiError::RateLimited => "More than 50 requests in one second on the session: wait one.",
        ApiError::Full(_) => "The node has no room for it now: ask again, or another node.",
        ApiError::AccountOff => "The account API: the server was started without its token.",
        ApiError::AccountUnauthorized => "The account token is missing or wrong.",
        ApiError::Store => "The server's state could not be read or written: its log says why.",
    }
}

/// The field of the request it concerns; empty where there is none.
pub(super) fn field(error: &ApiError) -> &'static str {
    match error {
        ApiError::Decoding(_) | ApiError::InvalidParams(_) => "named by the description",
        ApiError::SdpMalformed(_) | ApiError::SdpOrder(_) | ApiError::Unprocessable(_) => {
            "sessionDescription.sdp; the body at WHIP and WHEP"
        }
        ApiError::Unauthorized | ApiError::AccountUnauthorized => "header Authorization",
        ApiError::NoApp => "path: app",
        ApiError::NoWebhook => "path: webhook",
        ApiError::NoEndpoint | ApiError::AccountOff => "path",
        ApiError::PageRefused(_) => "headers Origin and Host",
        ApiError::NoStreamSession | ApiError::SessionGone => "path: session",
        ApiError::NotLive => "path: stream",
        ApiError::MethodNotAllowed(_) => "method",
        ApiError::PreconditionFailed | ApiError::PreconditionRequired => "header If-Match",
        ApiError::MediaType { .. } => "header Content-Type",
        ApiError::BodyTimeout | ApiError::PayloadTooLarge(_) => "body",
        ApiError::ChannelsFailed
        | ApiError::NotReady
        | ApiError::NoChannels
        | ApiError::RateLimited
        | ApiError::Store
        | ApiError::Full(_) => "",
    }
}

/// One of each error of a single entry.
pub(super) fn item_errors() -> Vec<ItemError> {
    use ItemError as E;
    vec![
        E::NotFoundTrack,
        E::EmptyTrack,
        E::RepeatedLocalTrack,
        E::NotFoundChannel,
        E::RepeatedChannel,
        E::UpdateTrack(String::new()),
        E::CloseTrack,
        E::InvalidParams(String::new()),
        E::Full,
    ]
}

/// What it means.
pub(super) fn item_meaning(error: &ItemError) -> &'static str {
    match error {
        ItemError::NotFoundTrack => {
            "No connected session publishes this track; waited for, where its session is connecting."
        }
        ItemError::EmptyTrack => {
            "The track is published, but no packet of it came within the wait."
        }
        ItemError::RepeatedLocalTrack => "The session publishes this name in another section.",
        ItemError::NotFoundChannel => "No session of the app has this data channel open.",
        ItemError::RepeatedChannel => "The session has a data channel of this name open.",
        ItemError::UpdateTrack(_) => "The subscription cannot be changed like this.",
        ItemError::CloseTrack => "There is no such track or channel, or it was closed before.",
        ItemError::InvalidParams(_) => "The entry's values do not fit; the description says which.",
        ItemError::Full => "The node has no room for it now.",
    }
}

/// The field of the entry it concerns.
pub(super) fn item_field(error: &ItemError) -> &'static str {
    match error {
        ItemError::NotFoundTrack | ItemError::EmptyTrack => "sessionId, trackName",
        ItemError::RepeatedLocalTrack => "trackName",
        ItemError::NotFoundChannel => "sessionId, dataChannelName",
        ItemError::RepeatedChannel => "dataChannelName",
        ItemError::UpdateTrack(_) => "mid, simulcast, sessionId, trackName",
        ItemError::CloseTrack => "mid, trackName; id",
        ItemError::InvalidParams(_) => "named by the description",
        ItemError::Full => "",
    }
}
