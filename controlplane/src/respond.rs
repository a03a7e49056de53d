//! From a request to its response: route, authorise, read the body, call the handler, add the
//! headers every reply has.
//!
//! Called by `server.rs` for each request. Every reply is a JSON object, errors too, but for the
//! descriptions of WHIP and WHEP; nothing here redirects, and nothing logs bodies or headers.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{
    self, ACCESS_CONTROL_REQUEST_HEADERS, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName,
    HeaderValue,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use crate::api::{
    self, ACCEPT_POST, AccountAction, Call, EVENT_STREAM, SDP, StreamAction, StreamCall,
};
use crate::assets::Asset;
use crate::auth::{self, AppIndex, Digest};
use crate::config::HttpLimits;
use crate::dashboard;
use crate::demo::{self, DemoAction, Rooms};
use crate::endpoints::{Endpoint, Routes, Target};
use crate::error::ApiError;
use crate::events::EventBody;
use crate::metrics::Metrics;
use crate::openapi;
use crate::page;
use crate::state::Node;
use crate::stream_token;
use crate::wire::{HealthReply, IceServersReply};

/// A response whose body is whole.
type Reply = Response<Full<Bytes>>;
/// The body of any response.
pub(crate) type Content = Either<Full<Bytes>, EventBody>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Headers that pages of other origins may read.
const EXPOSED: &str = "location, etag, link, accept-post, accept-patch, retry-after";
/// Longest `Access-Control-Request-Headers` that is echoed, in bytes; chosen.
const PREFLIGHT_MAX: usize = 1_024;

/// Everything a request needs.
pub(crate) struct Responder {
    pub(crate) node: Arc<Node>,
    pub(crate) routes: Routes,
    pub(crate) metrics: Metrics,
    pub(crate) limits: HttpLimits,
    /// Digest of the account token; None: the account API is off.
    pub(crate) account: Option<Digest>,
    /// Digest of the dashboard's token; None: it is open on loopback alone.
    pub(crate) dashboard: Option<Digest>,
    /// Whether the page may use the first app.
    pub(crate) page: bool,
    /// Who is in the demo call.
    pub(crate) rooms: Rooms,
    /// Whether the server listens on loopback only.
    pub(crate) loopback: bool,
}

impl Responder {
    /// Answers one request.
    pub(crate) async fn respond(&self, request: Request<Incoming>) -> Response<Content> {
        let path = request.uri().path().to_owned();
        let is_api = Routes::is_api(&path);
        if is_api && request.method() == Method::OPTIONS {
            let reply = preflight(request.headers(), self.routes.stream_methods(&path));
            return reply.map(Either::Left);
        }
        let target = self.routes.find(request.method().as_str(), &path);
        let name = target.as_ref().map_or("none", Target::name);
        let result = match target {
            Ok(Target::Api { endpoint: Endpoint::Events, app }) => {
                self.events(app.as_deref(), request).await
            }
            Ok(target) => self.reply(target, request).await.map(|reply| reply.map(Either::Left)),
            Err(error) => Err(error),
        };
        let mut reply = result.unwrap_or_else(|error| {
            let account = Routes::is_account(&path);
            let body = if account { api::failure(&error) } else { error.body() };
            failure(&error, body).map(Either::Left)
        });
        if is_api {
            let any = HeaderValue::from_static("*");
            reply.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
            let shown = HeaderValue::from_static(EXPOSED);
            reply.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, shown);
        }
        let headers = reply.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        self.metrics.count(name, reply.status().as_u16());
        reply
    }

    async fn reply(&self, target: Target, request: Request<Incoming>) -> Result<Reply, ApiError> {
        match target {
            Target::Page(asset) => Ok(page_file(asset)),
            Target::Demo { room, member, action } => {
                self.demo(&room, &member, action, request).await
            }
            Target::Dashboard(session) => {
                self.may_look(&request)?;
                Ok(encode(dashboard::answer(&self.node, session.as_deref()).await?))
            }
            Target::Health => {
                let reply = api::Reply::json(200, &HealthReply { status: "ok" });
                Ok(encode(reply))
            }
            Target::OpenApi => {
                Ok(json(StatusCode::OK, Bytes::from_static(openapi::text().as_bytes())))
            }
            Target::Metrics => Ok(text("text/plain; version=0.0.4", self.metrics.text())),
            Target::Account(action) => self.account(action, request).await,
            Target::Api { endpoint: Endpoint::IceServers, app } => {
                self.app(app.as_deref(), &request)?;
                Ok(encode(api::Reply::json(200, &IceServersReply { ice_servers: [] })))
            }
            Target::Api { endpoint: Endpoint::Stream(name, action), app } => {
                let index = self.app(app.as_deref(), &request)?;
                self.stream(index, name, action, request).await
            }
            Target::Api { endpoint, app } => {
                let index = self.app(app.as_deref(), &request)?;
                if app.is_some() {
                    self.node.apps.authorize(index, request.headers())?;
                }
                self.call(index, endpoint, request).await
            }
        }
    }

    /// The app a request is for; for the page's proxy the first one, if the request may use it.
    fn app(&self, id: Option<&str>, request: &Request<Incoming>) -> Result<AppIndex, ApiError> {
        match id {
            Some(id) => self.node.apps.find(id),
            None => {
                self.own_page(request)?;
                self.node.apps.first()
            }
        }
    }

    /// Whether a request is from the server's own page, which may use the first app.
    fn own_page(&self, request: &Request<Incoming>) -> Result<(), ApiError> {
        let authority = request.uri().authority().map(|authority| authority.as_str());
        page::allowed(self.page, self.loopback, authority, request.headers())
    }

    /// Whether a request may see the dashboard: with its token, or from its own page on loopback.
    fn may_look<T>(&self, request: &Request<T>) -> Result<(), ApiError> {
        let headers = request.headers();
        match &self.dashboard {
            Some(token) if auth::bearer(headers).is_some_and(|it| auth::matches(it, token)) => {
                Ok(())
            }
            Some(_) => Err(ApiError::Unauthorized),
            None => {
                let authority = request.uri().authority().map(|authority| authority.as_str());
                page::shows_dashboard(self.loopback, authority, headers)
            }
        }
    }

    /// A request of a member of the demo call.
    async fn demo(
        &self,
        room: &str,
        member: &str,
        action: DemoAction,
        request: Request<Incoming>,
    ) -> Result<Reply, ApiError> {
        self.own_page(&request)?;
        let body = self.body(request).await?;
        demo::answer(&self.rooms, action, room, member, &body, Instant::now()).map(encode)
    }

    /// Opens an event stream.
    async fn events(
        &self,
        app: Option<&str>,
        request: Request<Incoming>,
    ) -> Result<Response<Content>, ApiError> {
        let index = self.app(app, &request)?;
        self.node.apps.authorize(index, request.headers())?;
        let wanted = api::wanted(&request, self.limits.head / 2)?;
        let head = request.method() == Method::HEAD;
        self.body(request).await?;
        let mut reply = Response::new(if head {
            Either::Left(Full::default())
        } else {
            let run = self.node.random_id()?;
            Either::Right(self.node.events.open(&self.node.apps, index, wanted, run)?)
        });
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // nginx would collect what should arrive at once.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        Ok(reply)
    }

    async fn call(
        &self,
        app: AppIndex,
        endpoint: Endpoint,
        request: Request<Incoming>,
    ) -> Result<Reply, ApiError> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = self.body(request).await?;
        let call = Call { node: self.node.clone(), app, query, body, now: Instant::now() };
        let reply = match endpoint {
            Endpoint::Session(id, action) => api::session(&call, &id, action).await?,
            Endpoint::Usage => api::usage(&call).await?,
            _ => api::new_session(&call).await?,
        };
        Ok(encode(reply))
    }

    /// A request to a stream: its tokens are as good as the secret, as far as they go.
    async fn stream(
        &self,
        app: AppIndex,
        name: String,
        action: StreamAction,
        request: Request<Incoming>,
    ) -> Result<Reply, ApiError> {
        match action.roles() {
            None => {}
            Some([]) => self.node.apps.authorize(app, request.headers())?,
            Some(roles) => {
                let now = stream_token::now();
                self.node.apps.authorize_stream(app, request.headers(), &name, roles, now)?;
            }
        }
        let text = |field| {
            let value: Option<&HeaderValue> = request.headers().get(field);
            value.and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let (media_type, if_match) = (text(CONTENT_TYPE), text(header::IF_MATCH));
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = self.body(request).await?;
        let call = Call { node: self.node.clone(), app, query, body, now: Instant::now() };
        let stream = StreamCall { call, name, path, media_type, if_match };
        Ok(encode(api::stream(&stream, action).await?))
    }

    /// The account API: for who has the account token.
    async fn account(
        &self,
        action: AccountAction,
        request: Request<Incoming>,
    ) -> Result<Reply, ApiError> {
        let expected = self.account.ok_or(ApiError::AccountOff)?;
        if !auth::bearer(request.headers()).is_some_and(|token| auth::matches(token, &expected)) {
            return Err(ApiError::AccountUnauthorized);
        }
        let body = self.body(request).await?;
        Ok(encode(api::account(&self.node, action, &body).await?))
    }

    /// Reads the body within its limits of size and time.
    async fn body(&self, request: Request<Incoming>) -> Result<Bytes, ApiError> {
        let limit = self.limits.body_bytes;
        let too_large = || ApiError::PayloadTooLarge(limit);
        let announced = request.headers().get(CONTENT_LENGTH);
        let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit as u64)
            || request.body().size_hint().lower() > limit as u64
        {
            return Err(too_large());
        }
        let read = Limited::new(request.into_body(), limit).collect();
        match tokio::time::timeout(self.limits.body, read).await {
            Err(_) => Err(ApiError::BodyTimeout),
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(ApiError::Decoding("the request body broke off".to_owned())),
        }
    }
}

/// Answers a CORS preflight; it carries no secret. Headers a client asks for are allowed: the
/// bearer secret is what protects the API. `stream` are the methods where WHIP and WHEP have a
/// status and a header of their own (RFC 9725 section 4.2).
fn preflight(headers: &HeaderMap, stream: Option<&'static str>) -> Reply {
    let mut reply = Response::new(Full::default());
    if stream.is_none() {
        *reply.status_mut() = StatusCode::NO_CONTENT;
    } else {
        let field = HeaderName::from_static(ACCEPT_POST);
        reply.headers_mut().insert(field, HeaderValue::from_static(SDP));
    }
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_, ".contains(byte);
    let wanted = headers
        .get(ACCESS_CONTROL_REQUEST_HEADERS)
        .filter(|value| value.len() <= PREFLIGHT_MAX && value.as_bytes().iter().all(token))
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut allowed = "authorization, content-type".to_owned();
    let known = ["authorization", "content-type", ""];
    for name in wanted.split(',').map(|name| name.trim().to_ascii_lowercase()) {
        if !known.contains(&name.as_str()) {
            allowed.push_str(", ");
            allowed.push_str(&name);
        }
    }
    let fixed: [(HeaderName, &'static str); 4] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, stream.unwrap_or("GET,POST,PUT,OPTIONS")),
        (header::ACCESS_CONTROL_MAX_AGE, "7200"),
        (header::VARY, "Origin"),
    ];
    for (name, value) in fixed {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        reply.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_HEADERS, value);
    }
    reply
}

fn failure(error: &ApiError, body: Vec<u8>) -> Reply {
    let status = StatusCode::from_u16(error.parts().0).unwrap_or(StatusCode::BAD_REQUEST);
    let mut reply = json(status, body.into());
    let headers = reply.headers_mut();
    match error {
        ApiError::MethodNotAllowed(allowed) => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        ApiError::Unauthorized | ApiError::AccountUnauthorized => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        ApiError::RateLimited => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        ApiError::NotLive | ApiError::Full(_) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        ApiError::MediaType { field, takes } => {
            headers.insert(HeaderName::from_static(field), HeaderValue::from_static(takes));
        }
        // What is left of the body is not worth reading.
        ApiError::BodyTimeout | ApiError::PayloadTooLarge(_) => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    reply
}

/// A handler's reply.
fn encode(from: api::Reply) -> Reply {
    let status = StatusCode::from_u16(from.status).unwrap_or(StatusCode::OK);
    let mut reply = json(status, from.body);
    match from.media_type {
        Some(kind) => reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind)),
        None => reply.headers_mut().remove(CONTENT_TYPE),
    };
    reply.headers_mut().extend(from.headers);
    reply
}

fn json(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

fn text(kind: &'static str, body: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

fn page_file(asset: &Asset) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from_static(asset.text.as_bytes())));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::POLICY));
    reply
}
