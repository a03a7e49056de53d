//! Every path and method of the server on one page.
//!
//! `server.rs` asks [`Routes::find`] for each request. Query strings choose nothing here: clients
//! send a bare `?` and keys of their own.

use crate::api::{AccountAction, Action, Protocol, StreamAction, WebhookAction};
use crate::assets::{ASSETS, Asset};
use crate::demo::DemoAction;
use crate::error::ApiError;

/// What a request is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// An endpoint of the API.
    Api {
        /// App id in the path; None: the page's app, without a secret.
        app: Option<String>,
        /// Which endpoint.
        endpoint: Endpoint,
    },
    /// An endpoint of the account API.
    Account(AccountAction),
    /// A file of a page.
    Page(&'static Asset),
    /// The demo call's presence service.
    Demo {
        /// Room.
        room: String,
        /// Member.
        member: String,
        /// What it does.
        action: DemoAction,
    },
    /// What the dashboard's page reads: of one session, or of everything.
    Dashboard(Option<String>),
    /// GET /metrics.
    Metrics,
    /// GET /healthz.
    Health,
    /// GET /v1/openapi.json.
    OpenApi,
}

/// An endpoint of the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// POST sessions/new.
    NewSession,
    /// An endpoint of one session.
    Session(String, Action),
    /// An endpoint of one stream.
    Stream(String, StreamAction),
    /// GET generate-ice-servers; needs no secret.
    IceServers,
    /// GET usage.
    Usage,
    /// GET events.
    Events,
}

/// A path's meaning before its parameters are filled in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// A file of a page.
    Page(&'static Asset),
    /// A member of a room of the demo call.
    DemoMember,
    /// What the dashboard shows.
    Dashboard,
    /// What its page of one session shows.
    DashboardSession,
    /// The metrics.
    Metrics,
    /// Whether the server is alive.
    Health,
    /// The document of the API.
    OpenApi,
    /// Where sessions are made.
    NewSession,
    /// A session, or what is done to it.
    Session(Action),
    /// A stream.
    Stream,
    /// Where its tokens are made.
    Tokens,
    /// Where streams are published or watched.
    StreamEndpoint(Protocol),
    /// A session that publishes or watches one.
    StreamSession(Protocol),
    /// ICE servers.
    IceServers,
    /// What an app's sessions sent and received.
    Usage,
    /// What happens in an app.
    Events,
    /// The apps of the account.
    Apps,
    /// One of them.
    App,
    /// Where it is given another secret.
    RotateApp,
    /// The webhooks of one of them.
    Webhooks,
    /// One of those.
    Webhook,
    /// The sessions of all apps.
    Sessions,
}

/// Paths outside the API, other than the files of pages.
const OWN: [(&str, Place); 3] = [
    ("/v1/openapi.json", Place::OpenApi),
    ("/metrics", Place::Metrics),
    ("/healthz", Place::Health),
];

/// Paths of the API below an app.
const API: [(&str, Place); 12] = [
    ("/sessions/new", Place::NewSession),
    ("/sessions/{session}", Place::Session(Action::Read)),
    ("/sessions/{session}/tracks/new", Place::Session(Action::NewTracks)),
    ("/sessions/{session}/tracks/close", Place::Session(Action::CloseTracks)),
    ("/sessions/{session}/tracks/update", Place::Session(Action::UpdateTracks)),
    ("/sessions/{session}/renegotiate", Place::Session(Action::Renegotiate)),
    ("/sessions/{session}/datachannels/establish", Place::Session(Action::EstablishChannels)),
    ("/sessions/{session}/datachannels/new", Place::Session(Action::NewChannels)),
    ("/sessions/{session}/datachannels/update", Place::Session(Action::UpdateChannels)),
    ("/sessions/{session}/datachannels/close", Place::Session(Action::CloseChannels)),
    ("/generate-ice-servers", Place::IceServers),
    ("/usage", Place::Usage),
];

/// Paths below an app that the page's proxy has not.
const SECRET: [(&str, Place); 7] = [
    ("/events", Place::Events),
    ("/streams/{stream}", Place::Stream),
    ("/streams/{stream}/tokens", Place::Tokens),
    ("/whip/{stream}", Place::StreamEndpoint(Protocol::Whip)),
    ("/whip/{stream}/{session}", Place::StreamSession(Protocol::Whip)),
    ("/whep/{stream}", Place::StreamEndpoint(Protocol::Whep)),
    ("/whep/{stream}/{session}", Place::StreamSession(Protocol::Whep)),
];

/// Paths of the account API, as far as it is about apps, below its base.
const ACCOUNT: [(&str, Place); 6] = [
    ("/apps", Place::Apps),
    ("/apps/{app}", Place::App),
    ("/apps/{app}/rotate", Place::RotateApp),
    ("/apps/{app}/webhooks", Place::Webhooks),
    ("/apps/{app}/webhooks/{webhook}", Place::Webhook),
    ("/sessions", Place::Sessions),
];

/// Where the account API begins. The server is one account, whatever its id.
const ACCOUNT_PREFIX: &str = "/client/v4/accounts/{account}/calls";

/// Where an app's paths begin: with and without the version.
const PREFIXES: [&str; 2] = ["/v1/apps/{app}", "/apps/{app}"];
/// Where those of the page's app do.
const PAGE_PREFIX: &str = "/page/api";
/// Where the members of the demo call meet.
const DEMO_MEMBER: &str = "/demo/api/{room}/{member}";
/// What the dashboard's page asks for.
const DASHBOARD: [(&str, Place); 2] = [
    ("/dashboard/api/overview", Place::Dashboard),
    ("/dashboard/api/sessions/{session}", Place::DashboardSession),
];

impl Place {
    /// The methods it takes, as an `Allow` header.
    pub(crate) fn methods(self) -> &'static str {
        match self {
            Place::Page(_) | Place::Metrics | Place::Health => "GET, HEAD",
            Place::Dashboard | Place::DashboardSession => "GET, HEAD",
            Place::OpenApi | Place::IceServers => "GET, HEAD",
            Place::Session(Action::Read)
            | Place::Stream
            | Place::Usage
            | Place::Events
            | Place::Sessions => "GET, HEAD",
            Place::DemoMember => "PUT, DELETE",
            Place::StreamEndpoint(_) => "OPTIONS, GET, HEAD, POST",
            Place::StreamSession(_) => "OPTIONS, GET, HEAD, PATCH, DELETE",
            Place::Apps | Place::Webhooks => "GET, HEAD, POST",
            Place::App | Place::Webhook => "GET, HEAD, PUT, DELETE",
            Place::NewSession
            | Place::Tokens
            | Place::RotateApp
            | Place::Session(Action::NewTracks | Action::EstablishChannels | Action::NewChannels) => {
                "POST"
            }
            Place::Session(_) => "PUT",
        }
    }

    /// Whether it is of the account API, whose token and replies are others.
    pub(crate) fn is_account(self) -> bool {
        matches!(self.group(), "Account" | "Webhooks")
    }

    /// What it belongs to, as the document groups its operations.
    pub(crate) fn group(self) -> &'static str {
        match self {
            Place::Page(_)
            | Place::DemoMember
            | Place::Dashboard
            | Place::DashboardSession
            | Place::Metrics
            | Place::Health
            | Place::OpenApi => "Server",
            Place::NewSession | Place::Session(Action::Read) | Place::IceServers => "Sessions",
            Place::Usage => "Usage",
            Place::Events => "Events",
            Place::Session(
                Action::NewTracks
                | Action::CloseTracks
                | Action::UpdateTracks
                | Action::Renegotiate,
            ) => "Tracks",
            Place::Session(_) => "Data channels",
            Place::Stream | Place::Tokens | Place::StreamEndpoint(_) | Place::StreamSession(_) => {
                "Streams"
            }
            Place::Webhooks | Place::Webhook => "Webhooks",
            Place::Apps | Place::App | Place::RotateApp | Place::Sessions => "Account",
        }
    }

    /// What a method does at a place of the account API.
    fn account(self, method: &str, app: String, webhook: String) -> AccountAction {
        match (self, method) {
            (Place::Webhooks, "POST") => AccountAction::Webhooks(app, WebhookAction::Create),
            (Place::Webhooks, _) => AccountAction::Webhooks(app, WebhookAction::List),
            (Place::Webhook, method) => {
                let action = match method {
                    "PUT" => WebhookAction::Update,
                    "DELETE" => WebhookAction::Delete,
                    _ => WebhookAction::Read,
                };
                AccountAction::Webhooks(app, action(webhook))
            }
            (Place::Apps, "POST") => AccountAction::CreateApp,
            (Place::Apps, _) => AccountAction::ListApps,
            (Place::RotateApp, _) => AccountAction::RotateApp(app),
            (Place::App, "PUT") => AccountAction::UpdateApp(app),
            (Place::App, "DELETE") => AccountAction::DeleteApp(app),
            (Place::App, _) => AccountAction::ReadApp(app),
            _ => AccountAction::ListSessions,
        }
    }
}

/// The paths that the document of the API describes: all but the files of pages, the page's own
/// way to the API, and the second spelling without the version.
pub(crate) fn documented() -> impl Iterator<Item = (String, Place)> {
    let below_app = API.into_iter().chain(SECRET);
    OWN.into_iter()
        .map(|(path, place)| (path.to_owned(), place))
        .chain(below_app.map(|(path, place)| (format!("{}{path}", PREFIXES[0]), place)))
        .chain(ACCOUNT.into_iter().map(|(path, place)| (format!("{ACCOUNT_PREFIX}{path}"), place)))
}

/// The table of all paths.
#[derive(Clone)]
pub struct Routes {
    router: matchit::Router<Place>,
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").finish_non_exhaustive()
    }
}

/// The paths contradict each other: a fault of this file, found by any start of the program.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("route table: {0}")]
pub struct RouteError(String);

impl Routes {
    /// Builds the table.
    ///
    /// # Errors
    /// [`RouteError`] when two paths clash.
    pub fn new() -> Result<Self, RouteError> {
        let mut router = matchit::Router::new();
        let mut insert = |path: String, place: Place| {
            router.insert(path, place).map_err(|error| RouteError(error.to_string()))
        };
        for (path, place) in OWN {
            insert(path.to_owned(), place)?;
        }
        for asset in &ASSETS {
            insert(asset.path.to_owned(), Place::Page(asset))?;
        }
        insert(DEMO_MEMBER.to_owned(), Place::DemoMember)?;
        for (path, place) in DASHBOARD {
            insert(path.to_owned(), place)?;
        }
        for prefix in PREFIXES {
            for (path, place) in API.into_iter().chain(SECRET) {
                insert(format!("{prefix}{path}"), place)?;
            }
        }
        for (path, place) in API {
            insert(format!("{PAGE_PREFIX}{path}"), place)?;
        }
        for (path, place) in ACCOUNT {
            insert(format!("{ACCOUNT_PREFIX}{path}"), place)?;
        }
        Ok(Self { router })
    }

    /// What a method and path are for.
    ///
    /// # Errors
    /// [`ApiError::NoEndpoint`], [`ApiError::MethodNotAllowed`].
    pub fn find(&self, method: &str, path: &str) -> Result<Target, ApiError> {
        let found = self.router.at(path).map_err(|_| ApiError::NoEndpoint)?;
        let place = *found.value;
        if !place.methods().split(", ").any(|allowed| allowed == method) {
            return Err(ApiError::MethodNotAllowed(place.methods()));
        }
        let parameter = |name| found.params.get(name).map(str::to_owned);
        let stream = |action| Endpoint::Stream(parameter("stream").unwrap_or_default(), action);
        let endpoint = match place {
            Place::Apps
            | Place::App
            | Place::RotateApp
            | Place::Webhooks
            | Place::Webhook
            | Place::Sessions => {
                let [app, webhook] =
                    ["app", "webhook"].map(|name| parameter(name).unwrap_or_default());
                return Ok(Target::Account(place.account(method, app, webhook)));
            }
            Place::Page(asset) => return Ok(Target::Page(asset)),
            Place::DemoMember => {
                let (room, member) = (parameter("room"), parameter("member"));
                return Ok(Target::Demo {
                    room: room.unwrap_or_default(),
                    member: member.unwrap_or_default(),
                    action: if method == "PUT" { DemoAction::Stay } else { DemoAction::Leave },
                });
            }
            Place::Dashboard => return Ok(Target::Dashboard(None)),
            Place::DashboardSession => return Ok(Target::Dashboard(parameter("session"))),
            Place::Metrics => return Ok(Target::Metrics),
            Place::Health => return Ok(Target::Health),
            Place::OpenApi => return Ok(Target::OpenApi),
            Place::NewSession => Endpoint::NewSession,
            Place::IceServers => Endpoint::IceServers,
            Place::Usage => Endpoint::Usage,
            Place::Events => Endpoint::Events,
            Place::Session(action) => {
                Endpoint::Session(parameter("session").unwrap_or_default(), action)
            }
            Place::Stream => stream(StreamAction::Read),
            Place::Tokens => stream(StreamAction::Token),
            Place::StreamEndpoint(protocol) if method == "POST" => {
                stream(StreamAction::Start(protocol))
            }
            Place::StreamEndpoint(protocol) => stream(StreamAction::Probe(protocol)),
            Place::StreamSession(protocol) => {
                let id = parameter("session").unwrap_or_default();
                stream(match method {
                    "PATCH" => StreamAction::Change(protocol, id),
                    "DELETE" => StreamAction::End(protocol, id),
                    _ => StreamAction::Look(protocol, id),
                })
            }
        };
        Ok(Target::Api { app: parameter("app"), endpoint })
    }

    /// The methods of a path of WHIP or WHEP, as an `Allow` header.
    pub fn stream_methods(&self, path: &str) -> Option<&'static str> {
        let place = *self.router.at(path).ok()?.value;
        let streams = matches!(place, Place::StreamEndpoint(_) | Place::StreamSession(_));
        streams.then(|| place.methods())
    }

    /// Whether a path belongs to the API that other origins may call (CORS).
    pub fn is_api(path: &str) -> bool {
        path.starts_with("/v1/apps/") || path.starts_with("/apps/")
    }

    /// Whether a path belongs to the account API, whose errors have an envelope of their own.
    pub fn is_account(path: &str) -> bool {
        path.starts_with("/client/v4/")
    }

    /// Whether a path belongs to the page's proxy.
    pub fn is_page_api(path: &str) -> bool {
        path.starts_with("/page/api/")
    }
}

impl Endpoint {
    /// Name in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Endpoint::NewSession => "sessions_new",
            Endpoint::IceServers => "generate_ice_servers",
            Endpoint::Stream(_, action) => action.name(),
            Endpoint::Usage => "usage",
            Endpoint::Events => "events",
            Endpoint::Session(_, Action::Read) => "session",
            Endpoint::Session(_, Action::NewTracks) => "tracks_new",
            Endpoint::Session(_, Action::CloseTracks) => "tracks_close",
            Endpoint::Session(_, Action::UpdateTracks) => "tracks_update",
            Endpoint::Session(_, Action::Renegotiate) => "renegotiate",
            Endpoint::Session(_, Action::EstablishChannels) => "datachannels_establish",
            Endpoint::Session(_, Action::NewChannels) => "datachannels_new",
            Endpoint::Session(_, Action::UpdateChannels) => "datachannels_update",
            Endpoint::Session(_, Action::CloseChannels) => "datachannels_close",
        }
    }
}

impl Target {
    /// Name in metrics: a small fixed set, never a path.
    pub fn name(&self) -> &'static str {
        match self {
            Target::Api { endpoint, .. } => endpoint.name(),
            Target::Account(AccountAction::ListSessions) => "account_sessions",
            Target::Account(AccountAction::Webhooks(..)) => "account_webhooks",
            Target::Account(_) => "account_apps",
            Target::Page(_) => "page",
            Target::Demo { .. } => "demo",
            Target::Dashboard(_) => "dashboard",
            Target::Metrics => "metrics",
            Target::Health => "healthz",
            Target::OpenApi => "openapi",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_prefixes_reach_the_same_endpoints() {
        let routes = Routes::new().unwrap();
        for prefix in ["/v1/apps/a1", "/apps/a1"] {
            let path = format!("{prefix}/sessions/s1/tracks/new");
            let endpoint = Endpoint::Session("s1".into(), Action::NewTracks);
            let target = Target::Api { app: Some("a1".into()), endpoint };
            assert_eq!(routes.find("POST", &path), Ok(target));
            let new = routes.find("POST", &format!("{prefix}/sessions/new")).unwrap();
            assert_eq!(new, Target::Api { app: Some("a1".into()), endpoint: Endpoint::NewSession });
        }
    }

    #[test]
    fn unknown_paths_and_methods_are_told_apart() {
        let routes = Routes::new().unwrap();
        for path in ["/v2/apps/a/sessions/new", "/apps/a", "/apps/a/b/sessions/new", "//", "/../"] {
            assert_eq!(routes.find("POST", path), Err(ApiError::NoEndpoint), "{path}");
        }
        let account = |method, path: &str| {
            routes.find(method, &format!("/client/v4/accounts/me/calls{path}"))
        };
        let delete = Ok(Target::Account(AccountAction::DeleteApp("a".into())));
        assert_eq!(account("DELETE", "/apps/a"), delete);
        assert_eq!(account("GET", "/apps"), Ok(Target::Account(AccountAction::ListApps)));
        let wrong = Err(ApiError::MethodNotAllowed("GET, HEAD, PUT, DELETE"));
        assert_eq!(account("PATCH", "/apps/a"), wrong);
        assert_eq!(account("GET", "/turn_keys"), Err(ApiError::NoEndpoint));
        let wrong = routes.find("GET", "/apps/a/sessions/s/renegotiate");
        assert_eq!(wrong, Err(ApiError::MethodNotAllowed("PUT")));
        assert_eq!(routes.find("GET", "/page/api/sessions/s").map(|t| t.name()), Ok("session"));
    }
}
