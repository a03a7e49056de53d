//! The API's handlers: sessions, their tracks and their data channels.
//!
//! `endpoints.rs` finds the handler, `server.rs` has authorised the call and read its body. A
//! handler reads JSON, changes the state through `state/`, and returns JSON. It never talks to a
//! core, and never holds a session's work while it waits for the network.

mod exchange;
mod layers;
mod sessions;
mod tracks;
mod publish;
mod invite;
mod pull;
mod close;
mod update;
mod renegotiate;
mod establish;
mod channels;
mod streams;
mod whip;
mod whep;
mod ice;
mod account;
mod webhooks;
mod usage;
mod events;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;

use crate::auth::AppIndex;
use crate::error::ApiError;
use crate::state::{Node, Session};

pub use account::{AccountAction, account, failure};
pub(crate) use events::{EVENT_STREAM, wanted};
pub use streams::{ACCEPT_POST, Protocol, SDP, StreamAction, StreamCall, stream};
pub use webhooks::WebhookAction;

/// What every handler gets.
#[derive(Clone, Debug)]
pub struct Call {
    /// The node.
    pub node: Arc<Node>,
    /// The authorised app.
    pub app: AppIndex,
    /// The path's query, as sent.
    pub query: String,
    /// The request's body.
    pub body: Bytes,
    /// When the request was complete.
    pub now: Instant,
}

/// What a handler returns.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Type of the body; None where there is none.
    pub media_type: Option<&'static str>,
    /// Headers beyond those of every reply.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// A reply in JSON.
    pub(crate) fn json(status: u16, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).unwrap_or_else(|_| b"{}".to_vec());
        let media_type = Some("application/json");
        Self { status, media_type, headers: Vec::new(), body: body.into() }
    }

    fn text(status: u16, media_type: &'static str, body: String) -> Self {
        Self { status, media_type: Some(media_type), headers: Vec::new(), body: body.into() }
    }

    fn empty(status: u16) -> Self {
        Self { status, media_type: None, headers: Vec::new(), body: Bytes::new() }
    }

    /// Adds a header. A value that cannot be one is left out.
    fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }
}

/// What a session's endpoint does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// GET the session.
    Read,
    /// POST tracks/new.
    NewTracks,
    /// PUT tracks/close.
    CloseTracks,
    /// PUT tracks/update.
    UpdateTracks,
    /// PUT renegotiate.
    Renegotiate,
    /// POST datachannels/establish.
    EstablishChannels,
    /// POST datachannels/new.
    NewChannels,
    /// PUT datachannels/update.
    UpdateChannels,
    /// PUT datachannels/close.
    CloseChannels,
}

/// POST sessions/new.
///
/// # Errors
/// See [`ApiError`].
pub async fn new_session(call: &Call) -> Result<Reply, ApiError> {
    sessions::create(call).await
}

/// GET usage.
///
/// # Errors
/// See [`ApiError`].
pub async fn usage(call: &Call) -> Result<Reply, ApiError> {
    usage::read(call).await
}

/// An endpoint of one session: counts the request against the session's rate, then acts.
///
/// # Errors
/// See [`ApiError`].
pub async fn session(call: &Call, id: &str, action: Action) -> Result<Reply, ApiError> {
    let session = call.node.session(call.app, id)?;
    session.admit(call.now)?;
    match action {
        Action::Read => sessions::read(call, &session).await,
        Action::NewTracks => tracks::new(call, &session).await,
        Action::CloseTracks => close::close(call, &session).await,
        Action::UpdateTracks => update::update(call, &session).await,
        Action::Renegotiate => renegotiate::renegotiate(call, &session).await,
        Action::EstablishChannels => establish::establish(call, &session).await,
        Action::NewChannels => channels::new(call, &session).await,
        Action::UpdateChannels => channels::update(call, &session),
        Action::CloseChannels => channels::close(call, &session),
    }
}

/// The session's work, with an overdue offer of ours rolled back.
async fn work<'a>(
    call: &Call,
    session: &'a Arc<Session>,
) -> Result<tokio::sync::MutexGuard<'a, crate::state::Work>, ApiError> {
    let mut work = session.work.lock().await;
    session.check()?;
    call.node.lapse(&mut work, Instant::now());
    Ok(work)
}
