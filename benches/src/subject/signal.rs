//! Signalling beside the media: a thread that carries the clients' wishes to the server's API, many
//! at a time, and wakes the generator's epoll when one is answered. Knows no server: each gives an
//! [`Api`]. Called by `generator` through `Subject`.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper_util::client::legacy::{Client as Pool, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use nix::sys::eventfd::{EfdFlags, EventFd};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{fanfall, janus, str0m};
use crate::Outcome;
use crate::client::sdp::{Local, Remote, Section};

/// Who wishes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Client {
    Publisher(usize),
    Subscriber(usize),
}

/// What a client wants of the server.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// To send these sections in a room.
    Publish { number: usize, room: usize, local: Local, sections: Vec<Section> },
    /// To receive every section of these publishers, which are connected.
    Subscribe { number: usize, room: usize, local: Local, sections: Vec<Section>, of: Vec<usize> },
    /// To be forgotten; what the DTLS close_notify does not end by itself.
    Leave(Client),
}

/// The server's description for a client, or why there is none.
pub(crate) struct Reply {
    pub(crate) client: Client,
    pub(crate) remote: Result<Remote, String>,
}

/// A server's API.
pub(super) enum Api {
    Fanfall(Box<fanfall::Api>),
    Str0m(str0m::Api),
    Janus(Rc<janus::Api>),
}

/// The generator's end.
pub(crate) struct Signals {
    wishes: Option<UnboundedSender<Wish>>,
    replies: Receiver<Reply>,
    wake: Arc<EventFd>,
}

impl Signals {
    /// Starts the thread; `connect` makes the API in it.
    pub(super) fn start(
        connect: impl AsyncFnOnce() -> Outcome<Api> + Send + 'static,
    ) -> Outcome<Self> {
        let (wishes, mut inbox) = unbounded_channel::<Wish>();
        let (outbox, replies) = channel::<Reply>();
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let waker = Arc::clone(&wake);
        let (ready, is_ready) = channel::<Result<(), String>>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let api = match connect().await {
                    Ok(api) => Rc::new(api),
                    Err(error) => return drop(ready.send(Err(error.to_string()))),
                };
                let _ = ready.send(Ok(()));
                while let Some(wish) = inbox.recv().await {
                    let (api, outbox) = (Rc::clone(&api), outbox.clone());
                    let waker = Arc::clone(&waker);
                    tokio::task::spawn_local(
                        async move { serve(&api, wish, &outbox, &waker).await },
                    );
                }
            });
        })?;
        is_ready.recv().map_err(|_| "the signalling ended")??;
        Ok(Self { wishes: Some(wishes), replies, wake })
    }

    /// Sends a wish on its way.
    pub(crate) fn send(&self, wish: Wish) {
        if let Some(wishes) = &self.wishes {
            // Fails only when the thread died, and then no reply comes: the caller's time runs out.
            let _ = wishes.send(wish);
        }
    }

    /// The next reply, if there is one.
    pub(crate) fn poll(&self) -> Option<Reply> {
        let _ = self.wake.read();
        self.replies.try_recv().ok()
    }

    /// What becomes readable with a reply.
    pub(crate) fn descriptor(&self) -> impl AsFd {
        &*self.wake
    }

    /// Takes no more wishes.
    pub(super) fn end(&mut self) {
        self.wishes = None;
    }
}

async fn serve(api: &Api, wish: Wish, outbox: &Sender<Reply>, waker: &EventFd) {
    let client = match &wish {
        Wish::Publish { number, .. } => Client::Publisher(*number),
        Wish::Subscribe { number, .. } => Client::Subscriber(*number),
        Wish::Leave(client) => {
            if let Api::Janus(api) = api {
                api.leave(*client).await;
            }
            return;
        }
    };
    let remote = match api {
        Api::Fanfall(api) => api.join(wish).await,
        Api::Str0m(api) => api.join(&wish),
        Api::Janus(api) => api.join(wish).await,
    };
    let remote = remote.map_err(|error| error.to_string());
    if outbox.send(Reply { client, remote }).is_ok() {
        let _ = waker.write(1);
    }
}

/// JSON over HTTP/1.1 with kept connections.
#[derive(Clone)]
pub(super) struct Http {
    pool: Pool<HttpConnector, Full<Bytes>>,
    base: String,
    secret: Option<String>,
}

impl Http {
    /// A client of the API below `base`.
    pub(super) fn new(base: String, secret: Option<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { pool: Pool::builder(TokioExecutor::new()).build(connector), base, secret }
    }

    /// One request; the body of its reply. Errors: no reply, or a status that is no success.
    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Outcome<Value> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(CONTENT_TYPE, "application/json");
        if let Some(secret) = &self.secret {
            request = request.header(AUTHORIZATION, format!("Bearer {secret}"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let reply = self.pool.request(request.body(Full::from(body))?).await?;
        let status = reply.status();
        let bytes = reply.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            return Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&bytes)).into());
        }
        Ok(serde_json::from_slice(&bytes)?)
    }
}
