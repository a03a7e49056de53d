//! Streams: what WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep-04) have in common, the tokens they
//! take, and what the app's backend reads of a stream.
//!
//! A stream is a name of the app's choice. Its publisher is a session that publishes at most one
//! `audio` and one `video` track, a viewer one that pulls them: both are sessions like any other,
//! and the tracks can be pulled by tracks/new as well. `respond.rs` has authorised the call.

use std::sync::Arc;

use hyper::header::{ETAG, HeaderName, LOCATION};

use super::{Call, Reply, ice, whep, whip};
use crate::error::ApiError;
use crate::events::Reason;
use crate::sdp::{Description, Direction, Negotiation, Section};
use crate::state::{Publication, Session, TrackState, Work};
use crate::stream_token::{self, Role};
use crate::wire::{
    StreamReply, StreamTrack, TOKEN_TTL_MAX, TokenReply, TokenRequest, decode, kind_name,
};

/// Media type of descriptions.
pub const SDP: &str = "application/sdp";
/// Header field that names the types a POST takes (Linked Data Platform 1.0 section 7.1).
pub const ACCEPT_POST: &str = "accept-post";
/// The same for PATCH (RFC 5789 section 3.1).
const ACCEPT_PATCH: &str = "accept-patch";
/// Longest name of a stream in bytes; chosen: room for two UUIDs.
const NAME_MAX: usize = 128;
/// How long a token lives unless its request says otherwise, in seconds.
const TOKEN_TTL: u64 = 86_400;

/// Which way a stream's session goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Protocol {
    /// It publishes.
    Whip,
    /// It watches.
    Whep,
}

/// What a stream's endpoint does. A session's id goes with those of one session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StreamAction {
    /// POST tokens.
    Token,
    /// GET the stream.
    Read,
    /// GET the endpoint: whether it is one (WHEP section 4.2).
    Probe(Protocol),
    /// POST the endpoint: another session.
    Start(Protocol),
    /// GET a session: whether it is there.
    Look(Protocol, String),
    /// PATCH a session.
    Change(Protocol, String),
    /// DELETE a session.
    End(Protocol, String),
}

impl StreamAction {
    /// Tokens of which roles are as good here as the app's secret; None: it is for everybody.
    pub fn roles(&self) -> Option<&'static [Role]> {
        match self {
            Self::Probe(_) => None,
            Self::Token => Some(&[]),
            Self::Read => Some(&Role::ALL),
            Self::Start(protocol)
            | Self::Look(protocol, _)
            | Self::Change(protocol, _)
            | Self::End(protocol, _) => Some(match protocol {
                Protocol::Whip => &[Role::Publish],
                Protocol::Whep => &[Role::Play],
            }),
        }
    }

    /// Name in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Token => "stream_tokens",
            Self::Read => "stream",
            Self::Probe(protocol) | Self::Start(protocol) => match protocol {
                Protocol::Whip => "whip",
                Protocol::Whep => "whep",
            },
            Self::Look(protocol, _) | Self::Change(protocol, _) | Self::End(protocol, _) => {
                match protocol {
                    Protocol::Whip => "whip_session",
                    Protocol::Whep => "whep_session",
                }
            }
        }
    }
}

/// What a stream's handler gets.
#[derive(Clone, Debug)]
pub struct StreamCall {
    /// Node, app and body.
    pub call: Call,
    /// The stream's name, as in the path.
    pub name: String,
    /// The path.
    pub path: String,
    /// `Content-Type`, if any.
    pub media_type: Option<String>,
    /// `If-Match`, if any.
    pub if_match: Option<String>,
}

/// An endpoint of a stream.
///
/// # Errors
/// See [`ApiError`].
pub async fn stream(stream: &StreamCall, action: StreamAction) -> Result<Reply, ApiError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if stream.name.len() > NAME_MAX || !stream.name.bytes().all(legal) {
        let text = "a stream's name is 1 to 128 letters, digits, '-', '.', '_' or '~'";
        return Err(ApiError::InvalidParams(text.to_owned()));
    }
    match action {
        StreamAction::Token => token(stream),
        StreamAction::Read => Ok(read(stream)),
        // RFC 9725 section 4.1: a success without content; the type says what a POST takes.
        StreamAction::Probe(_) => Ok(Reply::text(200, SDP, String::new())),
        StreamAction::Start(protocol) => match protocol {
            Protocol::Whip => whip::start(stream).await,
            Protocol::Whep => whep::start(stream).await,
        },
        StreamAction::Look(protocol, id) => {
            stream.session(protocol, &id).map(|_| Reply::empty(204))
        }
        StreamAction::Change(protocol, id) => {
            let session = stream.session(protocol, &id)?;
            session.admit(stream.call.now)?;
            ice::change(stream, &session, protocol).await
        }
        StreamAction::End(protocol, id) => {
            let session = stream.session(protocol, &id)?;
            stream.call.node.end_session(&session, Reason::Ended);
            Ok(Reply::empty(200))
        }
    }
}

impl StreamCall {
    /// Whether the body is of this media type, whatever its parameters.
    pub(super) fn is_of(&self, media_type: &str) -> bool {
        let given = self.media_type.as_deref().unwrap_or_default();
        let essence = given.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case(media_type)
    }

    /// The body as a description.
    pub(super) fn description(&self) -> Result<Description, ApiError> {
        let text = std::str::from_utf8(&self.call.body);
        let text = text.map_err(|_| ApiError::SdpMalformed("the body is not UTF-8".to_owned()))?;
        Ok(Description::parse(text)?)
    }

    /// The body of a POST as an offer in which every media section goes one way, `way` as its
    /// client sees it; both ways are taken for that one.
    pub(super) fn offer(&self, way: Direction) -> Result<Description, ApiError> {
        if !self.is_of(SDP) {
            return Err(ApiError::MediaType { field: ACCEPT_POST, takes: SDP });
        }
        let mut offer = self.description()?;
        let media = |section: &&mut Section| !section.stopped && section.kind.media().is_some();
        for section in offer.sections.iter_mut().filter(media) {
            if section.direction != way && section.direction != Direction::SendRecv {
                let (mid, way) = (&section.mid, way.name());
                let text = format!("media section {mid}: a stream's offer must be {way}");
                return Err(ApiError::Unprocessable(text));
            }
            section.direction = way;
        }
        Ok(offer)
    }

    /// A live session of this stream.
    fn session(&self, protocol: Protocol, id: &str) -> Result<Arc<Session>, ApiError> {
        let (streams, app) = (&self.call.node.streams, self.call.app);
        let found = match protocol {
            Protocol::Whip => streams.publisher(app, &self.name).filter(|s| s.id == id),
            Protocol::Whep => streams.viewers(app, &self.name).into_iter().find(|s| s.id == id),
        };
        found.ok_or(ApiError::NoStreamSession)
    }

    /// The reply to a POST that made a session, with our description.
    pub(super) fn started(
        &self,
        status: u16,
        session: &Session,
        work: &Work,
        sdp: &str,
        accept_patch: &str,
    ) -> Reply {
        // RFC 9725 section 4.4.1: every bundled section says so.
        let sdp = sdp.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n");
        Reply::text(status, SDP, sdp)
            .with(LOCATION, &format!("{}/{}", self.path, session.id))
            .with(ETAG, &entity_tag(work.negotiation.as_ref()))
            .with(HeaderName::from_static(ACCEPT_PATCH), accept_patch)
    }
}

/// What names the ICE session (RFC 9725 section 4.3.1).
pub(super) fn entity_tag(negotiation: Option<&Negotiation>) -> String {
    format!("\"{}\"", negotiation.map_or("", Negotiation::ice_session))
}

/// The type error of a PATCH.
pub(super) fn wrong_patch(takes: &'static str) -> ApiError {
    ApiError::MediaType { field: ACCEPT_PATCH, takes }
}

/// The live tracks a session publishes.
pub(super) fn tracks(session: &Session) -> Vec<Arc<Publication>> {
    session.facts().publications.into_iter().filter(|track| track.is_live()).collect()
}

/// Whether packets of a track arrive.
pub(super) fn is_sending(track: &Arc<Publication>) -> bool {
    track.state() == TrackState::Sending
}

/// POST tokens.
fn token(stream: &StreamCall) -> Result<Reply, ApiError> {
    let request: TokenRequest = decode(&stream.call.body)?;
    let ttl = request.ttl.unwrap_or(TOKEN_TTL);
    if !(1..=TOKEN_TTL_MAX).contains(&ttl) {
        let text = format!("ttl: 1 to {TOKEN_TTL_MAX} seconds");
        return Err(ApiError::InvalidParams(text));
    }
    let expires = stream_token::now().saturating_add(ttl);
    let key = stream.call.node.apps.stream_key(stream.call.app)?;
    let token = key.issue(&stream.name, request.role, expires);
    let prefix = stream.path.rsplit_once("/streams/").map_or("", |(prefix, _)| prefix);
    let url = |role: Role, kind: &str| {
        (request.role == role).then(|| format!("{prefix}/{kind}/{}", stream.name))
    };
    let (whip, whep) = (url(Role::Publish, "whip"), url(Role::Play, "whep"));
    Ok(Reply::json(201, &TokenReply { token, expires, whip, whep }))
}

/// GET the stream.
fn read(stream: &StreamCall) -> Reply {
    let (streams, app) = (&stream.call.node.streams, stream.call.app);
    let viewers = streams.viewers(app, &stream.name).len();
    let Some(publisher) = streams.publisher(app, &stream.name) else {
        let tracks = Vec::new();
        return Reply::json(200, &StreamReply { live: false, session_id: None, tracks, viewers });
    };
    let tracks = tracks(&publisher);
    let live = tracks.iter().any(is_sending);
    let track = |track: &Arc<Publication>| StreamTrack {
        track_name: track.name.clone(),
        mid: track.mid.clone(),
        kind: kind_name(track.kind),
    };
    let (tracks, session_id) = (tracks.iter().map(track).collect(), Some(publisher.id.clone()));
    Reply::json(200, &StreamReply { live, session_id, tracks, viewers })
}
