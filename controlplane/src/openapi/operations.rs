//! What each endpoint takes and gives. What the route table has and this file has not fails a test.

use schemars::JsonSchema;
use serde_json::{Value, json};

use super::schemas::Schemas;
use crate::api::{Action, EVENT_STREAM, Protocol, SDP};
use crate::endpoints::Place;
use crate::error::ApiError;
use crate::store::apps::App;
use crate::wire::{
    AccountFailure, AccountReply, AppRequest, ChannelsReply, ChannelsRequest, CloseRequest,
    ErrorReply, EstablishReply, EstablishRequest, Event, HealthReply, IceServersReply, Lost,
    NewApp, NewSessionReply, NewSessionRequest, NewWebhook, RenegotiateReply, RenegotiateRequest,
    SessionLine, SessionReply, StreamReply, TokenReply, TokenRequest, TracksReply, TracksRequest,
    UsageReply, Webhook, WebhookRequest,
};

/// Media type of ICE fragments (RFC 8840 section 9.1).
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// One operation.
pub(super) struct Operation {
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) about: &'static str,
    /// Whether it needs no secret.
    pub(super) open: bool,
    /// What of the query it looks at.
    pub(super) query: &'static [(&'static str, &'static str)],
    /// Headers it looks at.
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) body: Option<Body>,
    pub(super) replies: Vec<Reply>,
    pub(super) errors: Vec<&'static [ApiError]>,
}

/// What a request carries.
pub(super) struct Body {
    pub(super) required: bool,
    /// Media types with their schemas.
    pub(super) content: Value,
}

/// One way to succeed.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) about: &'static str,
    /// Media types with their schemas; null where there is no body.
    pub(super) content: Value,
    pub(super) headers: &'static [(&'static str, &'static str)],
}

/// Any path can be mistaken for one, any method be another.
const ANY: &[ApiError] = &[ApiError::NoEndpoint, ApiError::MethodNotAllowed("")];
/// Paths of an app.
const APP: &[ApiError] = &[ApiError::NoApp, ApiError::Unauthorized];
/// Requests whose body is read.
const BODY: &[ApiError] =
    &[ApiError::Decoding(String::new()), ApiError::BodyTimeout, ApiError::PayloadTooLarge(0)];
/// Paths of a session.
const SESSION: &[ApiError] = &[ApiError::SessionGone, ApiError::RateLimited];
const PARAMS: &[ApiError] = &[ApiError::InvalidParams(String::new())];
/// Requests with a description.
const DESCRIPTION: &[ApiError] =
    &[ApiError::SdpMalformed(String::new()), ApiError::SdpOrder(String::new()), ApiError::Full("")];
/// The account API.
const ACCOUNT: &[ApiError] =
    &[ApiError::AccountOff, ApiError::AccountUnauthorized, ApiError::Store];
const WEBHOOK: &[ApiError] = &[ApiError::NoWebhook];
const STORE: &[ApiError] = &[ApiError::Store];
const WAITS: &[ApiError] = &[ApiError::NotReady];
const CHANNELS: &[ApiError] = &[ApiError::NoChannels, ApiError::ChannelsFailed];
const TYPED: &[ApiError] = &[ApiError::MediaType { field: "", takes: "" }];
const WHOLE: &[ApiError] = &[ApiError::Unprocessable(String::new())];
const LIVE: &[ApiError] = &[ApiError::NotLive];
const STREAM_SESSION: &[ApiError] = &[ApiError::NoStreamSession];
const ICE: &[ApiError] = &[ApiError::PreconditionRequired, ApiError::PreconditionFailed];

/// Headers of a reply that made a session of a stream.
const MADE: &[(&str, &str)] = &[
    ("Location", "Path of the session, for PATCH and DELETE"),
    ("ETag", "The ICE session, for `If-Match`"),
    ("Accept-Patch", "What a PATCH takes"),
];

impl Operation {
    fn new(id: &'static str, summary: &'static str, about: &'static str) -> Self {
        let errors = vec![ANY];
        let (body, replies) = (None, Vec::new());
        Self { id, summary, about, open: false, query: &[], headers: &[], body, replies, errors }
    }

    /// An operation of an app, whose body is read.
    fn of_app(id: &'static str, summary: &'static str, about: &'static str) -> Self {
        Self::new(id, summary, about).fails(APP).fails(BODY)
    }

    /// An operation of the account API.
    fn of_account(id: &'static str, summary: &'static str, about: &'static str) -> Self {
        Self::new(id, summary, about).fails(ACCOUNT).fails(BODY)
    }

    fn looks_at(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }

    fn open(mut self) -> Self {
        self.open = true;
        self
    }

    fn takes<T: JsonSchema>(self, schemas: &mut Schemas) -> Self {
        Self { body: Some(Body { required: true, content: schemas.request::<T>() }), ..self }
    }

    fn may_take<T: JsonSchema>(self, schemas: &mut Schemas) -> Self {
        Self { body: Some(Body { required: false, content: schemas.request::<T>() }), ..self }
    }

    fn takes_text(self, required: bool, types: &[&str]) -> Self {
        Self { body: Some(Body { required, content: texts(types) }), ..self }
    }

    fn gives<T: JsonSchema>(self, status: u16, about: &'static str, schemas: &mut Schemas) -> Self {
        let content = schemas.reply::<T>();
        self.replies(Reply { status, about, content, headers: &[] })
    }

    fn replies(mut self, reply: Reply) -> Self {
        self.replies.push(reply);
        self
    }

    fn fails(mut self, errors: &'static [ApiError]) -> Self {
        self.errors.push(errors);
        self
    }
}

impl Reply {
    fn empty(status: u16, about: &'static str) -> Self {
        Self { status, about, content: Value::Null, headers: &[] }
    }

    fn text(status: u16, about: &'static str, media_type: &str) -> Self {
        Self { status, about, content: texts(&[media_type]), headers: &[] }
    }

    fn with(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }
}

fn texts(types: &[&str]) -> Value {
    let one = |name: &&str| ((*name).to_owned(), json!({ "schema": { "type": "string" } }));
    Value::Object(types.iter().map(one).collect())
}

/// What a method does at a place; None where nothing is described.
pub(super) fn operation(place: Place, method: &str, schemas: &mut Schemas) -> Option<Operation> {
    // What every error looks like.
    let _ = (schemas.reply::<ErrorReply>(), schemas.reply::<AccountFailure>());
    Some(match (place, method) {
        (Place::Page(_), _) => return None,
        (Place::Health | Place::Metrics | Place::OpenApi, "GET") => of_server(place, schemas)?,
        (Place::NewSession, "POST") => Operation::of_app(
            "sessions_new",
            "Makes a session",
            "One session is one PeerConnection. One that is not used ends after 30 seconds.",
        )
        .may_take::<NewSessionRequest>(schemas)
        .gives::<NewSessionReply>(201, "The session, with the answer to an offer.", schemas)
        .looks_at(&[("customIdentifier", "As in the body, which goes first")])
        .fails(PARAMS)
        .fails(DESCRIPTION),
        (Place::Usage, "GET") => Operation::of_app(
            "usage",
            "Sums up what the app's sessions used",
            "Bytes and seconds of published tracks, of the last day unless said; what is a few \
             seconds old may not be in it yet.",
        )
        .gives::<UsageReply>(200, "The sums.", schemas)
        .looks_at(&[
            ("since", "Begin: seconds since 1970, or a date as 2026-01-31T12:00:00Z"),
            ("until", "End, likewise"),
            ("by", "`app`, `session` or `customIdentifier`"),
        ])
        .fails(PARAMS)
        .fails(STORE),
        (Place::Events, "GET") => of_events(schemas),
        (Place::Apps | Place::App | Place::RotateApp | Place::Sessions, _) => {
            of_account(place, method, schemas)?
        }
        (Place::Webhooks | Place::Webhook, _) => of_webhooks(place, method, schemas)?,
        (Place::IceServers, "GET") => {
            let about = "There are none: the server is reached without. Needs no secret.";
            let mut it = Operation::new("generate_ice_servers", "ICE servers of clients", about)
                .open()
                .gives::<IceServersReply>(200, "An empty list.", schemas);
            it.errors.push(&[ApiError::NoApp]);
            it
        }
        (Place::Session(action), _) => of_session(action, schemas),
        (Place::Stream, "GET") => Operation::of_app(
            "stream",
            "Reads a stream",
            "Whether it is live, and what tracks/new needs to pull it.",
        )
        .gives::<StreamReply>(200, "The stream, published or not.", schemas)
        .fails(PARAMS),
        (Place::Tokens, "POST") => Operation::of_app(
            "stream_tokens",
            "Makes a token of a stream",
            "For the encoder that publishes it or a player, in the place of the app's secret. The \
             server keeps no list of them: they die with their time and with the secret.",
        )
        .takes::<TokenRequest>(schemas)
        .gives::<TokenReply>(201, "The token and the path it is for.", schemas)
        .fails(PARAMS),
        (Place::StreamEndpoint(protocol), _) => of_endpoint(protocol, method)?.fails(PARAMS),
        (Place::StreamSession(protocol), _) => of_stream_session(protocol, method)?.fails(PARAMS),
        _ => return None,
    })
}

/// The stream of an app's events.
fn of_events(schemas: &mut Schemas) -> Operation {
    let event = schemas.reply::<Event>();
    let lost = schemas.reply::<Lost>();
    let data = json!({ "oneOf": [schema(&event), schema(&lost)] });
    let about = "Server-Sent Events, each with an `id`, its type as `event`, and JSON as `data`. \
        Who reads too slowly gets an event `lost` in the place of what was missed. It lasts until \
        the client leaves, the server stops or the secret changes.";
    let mut it = Operation::of_app("events", "Streams what happens in the app", about)
        .looks_at(&[("types", "Names of types with commas between (`x-events`); all by default")])
        .replies(Reply {
            status: 200,
            about: "Events as they happen.",
            content: json!({ EVENT_STREAM: { "schema": { "type": "string" }, "x-data": data } }),
            headers: &[],
        })
        .fails(PARAMS)
        .fails(&[ApiError::Full("")]);
    it.headers = &[("Last-Event-ID", "Where to go on: the id of the last event that was read")];
    it
}

/// The schema of JSON content.
fn schema(content: &Value) -> &Value {
    &content["application/json"]["schema"]
}

/// What the server says of itself.
fn of_server(place: Place, schemas: &mut Schemas) -> Option<Operation> {
    Some(match place {
        Place::Health => {
            Operation::new("healthz", "Whether the server is alive", "Needs no secret.")
                .open()
                .gives::<HealthReply>(200, "It is.", schemas)
        }
        Place::Metrics => Operation::new(
            "metrics",
            "What the server counts",
            "For Prometheus. Needs no secret, and names no app, session or address.",
        )
        .open()
        .replies(Reply::text(200, "All metrics.", "text/plain")),
        Place::OpenApi => {
            let reply = Reply {
                status: 200,
                about: "OpenAPI 3.1.",
                content: json!({ "application/json": { "schema": { "type": "object" } } }),
                headers: &[],
            };
            Operation::new("openapi", "This document", "Needs no secret.").open().replies(reply)
        }
        _ => return None,
    })
}

fn of_session(action: Action, schemas: &mut Schemas) -> Operation {
    match action {
        Action::Read => Operation::of_app("session", "Reads a session", "").gives::<SessionReply>(
            200,
            "Its tracks and data channels.",
            schemas,
        ),
        Action::NewTracks => Operation::of_app(
            "tracks_new",
            "Publishes or pulls tracks",
            "Publish with an offer and local tracks, or let the server offer by naming their kind; \
             pull with remote tracks, in sections of an offer or of the server's. A later request \
             waits up to 5 seconds for the transport, a pull also for its publishers.",
        )
        .takes::<TracksRequest>(schemas)
        .gives::<TracksReply>(200, "An entry per track; failed ones have an `errorCode`.", schemas)
        .fails(PARAMS)
        .fails(DESCRIPTION)
        .fails(WAITS),
        Action::CloseTracks => Operation::of_app(
            "tracks_close",
            "Ends tracks",
            "By mid or name; with an offer it is answered, without one the media stops at once.",
        )
        .takes::<CloseRequest>(schemas)
        .gives::<TracksReply>(200, "An entry per track.", schemas)
        .fails(PARAMS)
        .fails(DESCRIPTION),
        Action::UpdateTracks => Operation::of_app(
            "tracks_update",
            "Changes what is received",
            "Another encoding, or another track in the same section; without SDP.",
        )
        .takes::<TracksRequest>(schemas)
        .gives::<TracksReply>(200, "An entry per track.", schemas)
        .fails(PARAMS),
        Action::Renegotiate => Operation::of_app(
            "renegotiate",
            "Answers the server's offer",
            "Or makes an offer of the client's, such as an ICE restart.",
        )
        .takes::<RenegotiateRequest>(schemas)
        .gives::<RenegotiateReply>(200, "Nothing more; the answer to an offer.", schemas)
        .fails(DESCRIPTION),
        Action::EstablishChannels
        | Action::NewChannels
        | Action::UpdateChannels
        | Action::CloseChannels => of_channels(action, schemas),
    }
    .fails(SESSION)
}

fn of_channels(action: Action, schemas: &mut Schemas) -> Operation {
    match action {
        Action::EstablishChannels => Operation::of_app(
            "datachannels_establish",
            "Gives a session a transport for data channels",
            "With an offer it is answered, without one the server offers.",
        )
        .takes::<EstablishRequest>(schemas)
        .gives::<EstablishReply>(200, "The description.", schemas)
        .fails(PARAMS)
        .fails(DESCRIPTION)
        .fails(WAITS),
        Action::NewChannels => Operation::of_app(
            "datachannels_new",
            "Publishes or receives data channels",
            "Waits up to 5 seconds for the transport.",
        )
        .takes::<ChannelsRequest>(schemas)
        .gives::<ChannelsReply>(200, "An entry per channel, with its id.", schemas)
        .fails(PARAMS)
        .fails(WAITS)
        .fails(CHANNELS),
        Action::UpdateChannels => {
            Operation::of_app("datachannels_update", "Says who may reply on a data channel", "")
                .takes::<ChannelsRequest>(schemas)
                .gives::<ChannelsReply>(200, "An entry per channel.", schemas)
                .fails(PARAMS)
        }
        _ => Operation::of_app("datachannels_close", "Ends data channels", "")
            .takes::<ChannelsRequest>(schemas)
            .gives::<ChannelsReply>(200, "An entry per channel.", schemas)
            .fails(PARAMS),
    }
}

/// The apps of the account, as the Cloudflare API has them, and its sessions.
fn of_account(place: Place, method: &str, schemas: &mut Schemas) -> Option<Operation> {
    type One = AccountReply<App>;
    const NONE: &[ApiError] = &[ApiError::NoApp];
    Some(match (place, method) {
        (Place::Apps, "GET") => Operation::of_account("apps", "Lists the stored apps", "")
            .gives::<AccountReply<Vec<App>>>(200, "The apps.", schemas),
        (Place::Apps, "POST") => Operation::of_account("apps_new", "Makes an app", "")
            .may_take::<AppRequest>(schemas)
            .gives::<AccountReply<NewApp>>(201, "The app and its secret.", schemas)
            .fails(&[ApiError::Full("")]),
        (Place::App, "GET") => Operation::of_account("app", "Reads an app", "")
            .gives::<One>(200, "The app.", schemas)
            .fails(NONE),
        (Place::App, "PUT") => Operation::of_account("app_update", "Renames an app", "")
            .may_take::<AppRequest>(schemas)
            .gives::<One>(200, "The app.", schemas)
            .fails(NONE),
        (Place::App, "DELETE") => {
            Operation::of_account("app_delete", "Deletes an app", "Its sessions end.")
                .gives::<One>(200, "What the app was.", schemas)
                .fails(NONE)
        }
        (Place::RotateApp, "POST") => Operation::of_account(
            "app_rotate",
            "Gives an app another secret",
            "The one before is taken no more, and neither are tokens made with it.",
        )
        .gives::<AccountReply<NewApp>>(200, "The app and its secret.", schemas)
        .fails(NONE)
        .fails(&[ApiError::Full("")]),
        (Place::Sessions, "GET") => {
            Operation::of_account("account_sessions", "Lists the live sessions of all apps", "")
                .gives::<AccountReply<Vec<SessionLine>>>(200, "The sessions.", schemas)
        }
        _ => return None,
    })
}

/// The webhooks of an app.
fn of_webhooks(place: Place, method: &str, schemas: &mut Schemas) -> Option<Operation> {
    type One = AccountReply<Webhook>;
    let it =
        match (place, method) {
            (Place::Webhooks, "GET") => {
                Operation::of_account("webhooks", "Lists an app's webhooks", "")
                    .gives::<AccountReply<Vec<Webhook>>>(200, "The webhooks.", schemas)
            }
            (Place::Webhooks, "POST") => Operation::of_account(
                "webhooks_new",
                "Makes a webhook",
                "Events are sent to it from now on, as `webhooks` of this document says.",
            )
            .takes::<WebhookRequest>(schemas)
            .gives::<AccountReply<NewWebhook>>(201, "The webhook and its secret.", schemas)
            .fails(&[ApiError::Full("")]),
            (Place::Webhook, "GET") => Operation::of_account("webhook", "Reads a webhook", "")
                .gives::<One>(200, "The webhook.", schemas)
                .fails(WEBHOOK),
            (Place::Webhook, "PUT") => Operation::of_account(
                "webhook_update",
                "Changes a webhook",
                "Its secret stays. What waited to be delivered is dropped.",
            )
            .may_take::<WebhookRequest>(schemas)
            .gives::<One>(200, "The webhook.", schemas)
            .fails(WEBHOOK)
            .fails(&[ApiError::Full("")]),
            (Place::Webhook, "DELETE") => {
                Operation::of_account("webhook_delete", "Deletes a webhook", "")
                    .gives::<One>(200, "What the webhook was.", schemas)
                    .fails(WEBHOOK)
            }
            _ => return None,
        };
    Some(it.fails(&[ApiError::NoApp]))
}

/// What a webhook's receiver gets.
pub(super) fn webhook(schemas: &mut Schemas) -> Value {
    let headers = [
        ("webhook-id", "The event's id, the same in every attempt"),
        ("webhook-timestamp", "When the attempt began, in seconds since 1970"),
        ("webhook-signature", "`v1,` and the HMAC-SHA256 of `id.timestamp.body` in Base64"),
    ];
    let header = |(name, about): (&str, &str)| {
        json!({ "name": name, "in": "header", "required": true, "description": about,
            "schema": { "type": "string" } })
    };
    json!({
        "operationId": "webhook_event",
        "summary": "Tells an event to a webhook",
        "description": "Signed by Standard Webhooks 1.0.0. Events of one webhook come one by one, \
            in their order. One that is not answered with 2xx within 5 seconds comes again, after \
            1 second and ever longer, for an hour.",
        "parameters": headers.map(header),
        "requestBody": { "required": true, "content": schemas.reply::<Event>() },
        "responses": {
            "2XX": { "description": "The event is taken." },
            "410": { "description": "No more events are wanted: the webhook is disabled." },
        },
    })
}

/// Where streams are published and watched.
fn of_endpoint(protocol: Protocol, method: &str) -> Option<Operation> {
    let whip = protocol == Protocol::Whip;
    Some(match method {
        "OPTIONS" => {
            let id = if whip { "whip_options" } else { "whep_options" };
            Operation::new(id, "What the endpoint takes", "Needs no secret.").open().replies(
                Reply::empty(200, "See the headers.").with(&[("Accept-Post", "What a POST takes")]),
            )
        }
        "GET" => {
            let id = if whip { "whip_look" } else { "whep_look" };
            let mut it = Operation::new(id, "Whether it is an endpoint", "Needs no secret.")
                .open()
                .fails(BODY)
                .replies(Reply::text(200, "It is; empty.", SDP));
            it.errors.push(&[ApiError::NoApp]);
            it
        }
        "POST" if whip => Operation::of_app(
            "whip",
            "Publishes a stream (RFC 9725)",
            "At most one audio and one video section. Whoever published the stream is replaced.",
        )
        .takes_text(true, &[SDP])
        .replies(Reply::text(201, "The answer.", SDP).with(MADE))
        .fails(DESCRIPTION)
        .fails(TYPED)
        .fails(WHOLE)
        .fails(SESSION),
        "POST" => Operation::of_app(
            "whep",
            "Watches a stream (draft-ietf-wish-whep-04)",
            "With an offer, or without one to be offered. Waits a while for the stream's media.",
        )
        .takes_text(false, &[SDP])
        .replies(Reply::text(201, "The answer, or the server's offer.", SDP).with(MADE))
        .replies(
            Reply::text(406, "The offer cannot receive the stream: an offer of the server's.", SDP)
                .with(MADE),
        )
        .fails(DESCRIPTION)
        .fails(TYPED)
        .fails(WHOLE)
        .fails(LIVE)
        .fails(SESSION),
        _ => return None,
    })
}

/// One session that publishes or watches a stream.
fn of_stream_session(protocol: Protocol, method: &str) -> Option<Operation> {
    let whip = protocol == Protocol::Whip;
    let id = |publishes: &'static str, watches| if whip { publishes } else { watches };
    let it = match method {
        "OPTIONS" => {
            let id = id("whip_session_options", "whep_session_options");
            return Some(
                Operation::new(id, "What the session takes", "Needs no secret.")
                    .open()
                    .replies(Reply::empty(200, "See the headers.")),
            );
        }
        "GET" => Operation::of_app(
            id("whip_session_look", "whep_session_look"),
            "Whether the session is there",
            "",
        )
        .replies(Reply::empty(204, "It is.")),
        "PATCH" => {
            let types: &[&str] = if whip { &[FRAGMENT] } else { &[FRAGMENT, SDP] };
            let mut it = Operation::of_app(
                id("whip_session_patch", "whep_session_patch"),
                "Brings candidates, an ICE restart, or the answer",
                "Fragments of SDP need `If-Match`; only a watching session that was offered takes \
                 an answer.",
            )
            .takes_text(true, types)
            .replies(Reply::text(200, "The server's half of an ICE restart.", FRAGMENT))
            .replies(Reply::empty(204, "Taken."))
            .fails(DESCRIPTION)
            .fails(TYPED)
            .fails(WHOLE)
            .fails(ICE)
            .fails(SESSION);
            it.headers = &[("If-Match", "The ICE session that is changed, or `*`")];
            it
        }
        "DELETE" => {
            Operation::of_app(id("whip_session_end", "whep_session_end"), "Ends the session", "")
                .replies(Reply::empty(200, "It ended."))
        }
        _ => return None,
    };
    Some(it.fails(STREAM_SESSION))
}
