//! The account API: makes, lists, renames, rotates and deletes the apps that the store keeps, and
//! lists the sessions of all apps; webhooks are in `webhooks.rs`. Paths and envelope are the Cloudflare API's for Calls apps;
//! `rotate`, webhooks and the list of sessions are our own.
//!
//! `respond.rs` has checked the account token. What changes is applied on the store's thread, behind
//! the commit: a client that goes away half-way leaves nothing half done. A secret is in the reply
//! to its making and nowhere else.

use std::sync::Arc;

use bytes::Bytes;
use ring::rand::SystemRandom;
use rusqlite::Connection;
use serde::Serialize;

use super::Reply;
use super::webhooks::{WebhookAction, webhooks};
use crate::error::ApiError;
use crate::state::Node;
use crate::store::apps::{self, App, Credentials};
use crate::store::unix_time;
use crate::wire::{AccountFailure, AccountReply, AppRequest, NewApp, SessionLine, decode};

/// What an endpoint of the account API does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccountAction {
    /// POST apps.
    CreateApp,
    /// GET apps.
    ListApps,
    /// GET an app.
    ReadApp(String),
    /// PUT an app.
    UpdateApp(String),
    /// DELETE an app.
    DeleteApp(String),
    /// POST rotate of an app.
    RotateApp(String),
    /// The webhooks of an app.
    Webhooks(String, WebhookAction),
    /// GET sessions.
    ListSessions,
}

/// An endpoint of the account API.
///
/// # Errors
/// See [`ApiError`]; [`failure`] makes the reply's body.
pub async fn account(
    node: &Arc<Node>,
    action: AccountAction,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let found = |app: Option<App>| app.ok_or(ApiError::NoApp).and_then(|app| success(200, &app));
    match action {
        AccountAction::CreateApp => create(node, body).await,
        AccountAction::ListApps => success(200, &stored(node, |db, _| apps::list(db)).await?),
        AccountAction::ReadApp(uid) => {
            found(stored(node, move |db, _| apps::read(db, &uid)).await?)
        }
        AccountAction::UpdateApp(uid) => {
            let change = move |db: &Connection, name: Option<String>| match name {
                Some(name) => apps::rename(db, &uid, &name, unix_time()),
                None => apps::read(db, &uid),
            };
            let name = name(body)?;
            found(stored(node, move |db, _| change(db, name)).await?)
        }
        AccountAction::DeleteApp(uid) => found(
            stored(node, move |db, node| {
                let app = apps::delete(db, &uid)?;
                if app.is_some() {
                    node.end_app(&uid);
                }
                Ok(app)
            })
            .await?,
        ),
        AccountAction::RotateApp(uid) => rotate(node, uid).await,
        AccountAction::Webhooks(uid, action) => webhooks(node, uid, action, body).await,
        AccountAction::ListSessions => success(200, &sessions(node)),
    }
}

/// The body of a failed request of this API.
pub fn failure(error: &ApiError) -> Vec<u8> {
    let (_, _, message) = error.parts();
    let failure = AccountFailure::new(error.account_code(), message);
    serde_json::to_vec(&failure).unwrap_or_else(|_| b"{}".to_vec())
}

pub(super) fn success(status: u16, result: &impl Serialize) -> Result<Reply, ApiError> {
    Ok(Reply::json(status, &AccountReply::new(result)))
}

/// Does `work` on the store's thread.
pub(super) async fn stored<T: Send + 'static>(
    node: &Arc<Node>,
    work: impl FnOnce(&Connection, &Arc<Node>) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let there = node.clone();
    Ok(node.store.run(move |db| work(db, &there)).await?)
}

/// The name in a body, if it has one.
fn name(body: &Bytes) -> Result<Option<String>, ApiError> {
    let AppRequest { name } = decode(body)?;
    name.map(apps::name).transpose().map_err(ApiError::Decoding)
}

fn credentials() -> Result<Credentials, ApiError> {
    Credentials::draw(&SystemRandom::new()).ok_or(ApiError::Full("random numbers"))
}

async fn create(node: &Arc<Node>, body: &Bytes) -> Result<Reply, ApiError> {
    let (name, new) = (name(body)?.unwrap_or_default(), credentials()?);
    let (uid, digest) = (new.uid.clone(), new.digest());
    let made = stored(node, move |db, node| {
        let app = apps::insert(db, &uid, &digest, &name, unix_time())?;
        if app.is_some() {
            node.apps.insert(&uid, digest);
        }
        Ok(app)
    });
    let app = made.await?.ok_or(ApiError::Full("another app"))?;
    tracing::info!(app = app.uid, "app created");
    success(201, &NewApp { app, secret: new.secret })
}

async fn rotate(node: &Arc<Node>, uid: String) -> Result<Reply, ApiError> {
    let new = credentials()?;
    let digest = new.digest();
    let rotated = stored(node, move |db, node| {
        let app = apps::rotate(db, &uid, &digest, unix_time())?;
        if app.is_some() {
            node.apps.rotate(&uid, digest);
            if let Ok(app) = node.apps.find(&uid) {
                node.events.end_streams(app);
            }
        }
        Ok(app)
    });
    let app = rotated.await?.ok_or(ApiError::NoApp)?;
    tracing::info!(app = app.uid, "app given another secret");
    success(200, &NewApp { app, secret: new.secret })
}

/// The sessions that did not end, the oldest first.
fn sessions(node: &Node) -> Vec<SessionLine> {
    let line = |session: &Arc<crate::state::Session>| {
        let facts = session.facts();
        let live = facts.publications.iter().filter(|publication| publication.is_live());
        let used = session.used();
        SessionLine {
            app_id: session.app_id.clone(),
            session_id: session.id.clone(),
            connected: facts.link == crate::state::Link::Connected,
            core: facts.core.map(|core| core.0),
            published_tracks: live.count(),
            custom_identifier: session.identifier.clone(),
            seconds: session.created.elapsed().as_secs(),
            ingress_bytes: used.ingress,
            egress_bytes: used.egress,
        }
    };
    let mut sessions = node.all_sessions();
    sessions.sort_by_key(|session| session.created);
    sessions.iter().map(line).collect()
}
