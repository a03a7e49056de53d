//! The webhooks of an app, in the account API: made, listed, changed and deleted.
//!
//! As with apps (`account.rs`), what changes is applied behind its commit. The secret is in the
//! reply to the making and nowhere else.

use std::sync::Arc;

use bytes::Bytes;

use super::Reply;
use super::account::{stored, success};
use super::events::types;
use crate::error::ApiError;
use crate::events::Kind;
use crate::state::Node;
use crate::store::unix_time;
use crate::store::webhooks::{self, Change, Stored};
use crate::wire::{NewWebhook, Webhook, WebhookRequest, decode};

/// What is done to an app's webhooks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WebhookAction {
    /// POST webhooks.
    Create,
    /// GET webhooks.
    List,
    /// GET one.
    Read(String),
    /// PUT one.
    Update(String),
    /// DELETE one.
    Delete(String),
}

/// An endpoint about the webhooks of an app.
pub(super) async fn webhooks(
    node: &Arc<Node>,
    app: String,
    action: WebhookAction,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    node.apps.find(&app)?;
    let one = |found: Option<Webhook>| {
        found.ok_or(ApiError::NoWebhook).and_then(|webhook| success(200, &webhook))
    };
    match action {
        WebhookAction::Create => create(node, app, body).await,
        WebhookAction::List => {
            let list = stored(node, move |db, node| {
                Ok(webhooks::list(db, &app)?
                    .into_iter()
                    .map(|it| shown(node, it))
                    .collect::<Vec<_>>())
            });
            success(200, &list.await?)
        }
        WebhookAction::Read(id) => one(stored(node, move |db, node| {
            Ok(webhooks::read(db, &app, &id)?.map(|it| shown(node, it)))
        })
        .await?),
        WebhookAction::Update(id) => {
            let change = change(node, body)?;
            let run = node.random_id()?;
            one(stored(node, move |db, node| {
                let Some(changed) = webhooks::update(db, &app, &id, &change)? else {
                    return Ok(None);
                };
                apply(node, &changed, run);
                Ok(Some(shown(node, changed)))
            })
            .await?)
        }
        WebhookAction::Delete(id) => one(stored(node, move |db, node| {
            let Some(deleted) = webhooks::delete(db, &app, &id)? else { return Ok(None) };
            let shown = shown(node, deleted);
            if let Ok(app) = node.apps.find(&app) {
                node.events.remove_hook(app, &id);
            }
            Ok(Some(shown))
        })
        .await?),
    }
}

async fn create(node: &Arc<Node>, app: String, body: &Bytes) -> Result<Reply, ApiError> {
    let Change { url, types, .. } = change(node, body)?;
    let url = url.ok_or_else(|| ApiError::Decoding("url: missing".to_owned()))?;
    let types = types.unwrap_or_else(usual);
    let (id, run) = (node.random_id()?, node.random_id()?);
    let made = stored(node, move |db, node| {
        let made = webhooks::insert(db, [&id, &app, &url, &types], unix_time())?;
        Ok(made.map(|made| {
            apply(node, &made, run);
            shown(node, made)
        }))
    });
    let webhook = made.await?.ok_or(ApiError::Full("another webhook"))?;
    tracing::info!(webhook = webhook.id, app = webhook.app_id, "webhook created");
    let secret = node.events.secret(&webhook.id);
    success(201, &NewWebhook { webhook, secret })
}

/// What a body asks for, as it is stored.
fn change(node: &Node, body: &Bytes) -> Result<Change, ApiError> {
    let WebhookRequest { url, types: names, enabled } = decode(body)?;
    let wrong = |text: String| ApiError::Decoding(text);
    if let Some(url) = &url {
        node.events.check_url(url).map_err(|why| wrong(format!("url: {why}")))?;
    }
    let names = names.map(|names| names.join(","));
    if let Some(names) = &names {
        types("types", names).map_err(|error| wrong(error.parts().2))?;
    }
    Ok(Change { url, types: names, enabled })
}

/// The types of a webhook that names none: all but the one that tells of nothing but levels.
fn usual() -> String {
    let names = Kind::ALL.into_iter().filter(|kind| *kind != Kind::AudioLevel).map(Kind::name);
    names.collect::<Vec<_>>().join(",")
}

/// Has a webhook served as it is now stored.
fn apply(node: &Node, webhook: &Stored, run: String) {
    let Ok(app) = node.apps.find(&webhook.app) else { return };
    node.events.remove_hook(app, &webhook.id);
    if webhook.enabled {
        node.events.add_hook(&node.apps, app, webhook, run);
    }
}

fn shown(node: &Node, webhook: Stored) -> Webhook {
    let app = node.apps.find(&webhook.app);
    let state = app.ok().and_then(|app| node.events.hook_state(app, &webhook.id));
    let (pending, last_error) = state.unwrap_or_default();
    Webhook {
        types: Kind::list(&webhook.types).unwrap_or_default(),
        id: webhook.id,
        app_id: webhook.app,
        url: webhook.url,
        enabled: webhook.enabled,
        created: webhook.created,
        pending,
        last_error,
    }
}
