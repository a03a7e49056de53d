//! `fanfall app`: on the state directory while no server uses it, else by the server's account API.

use hyper::Method;
use ring::rand::SystemRandom;
use serde_json::{Value, json};

use super::client::Client;
use super::{CliError, row, table};
use crate::config::{AppTask, Config};
use crate::store::apps::{self, Credentials};
use crate::store::{Store, StoreError, unix_time};

/// What the command prints.
pub(super) fn text(config: &Config, task: AppTask) -> Result<String, CliError> {
    if let Some(directory) = &config.state {
        match Store::open(Some(directory)) {
            Ok((store, _thread)) => return Ok(shown(&stored(&store, task)?)),
            Err(StoreError::InUse { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(shown(&asked(&Client::new(config)?, task)?))
}

/// Works on the directory.
fn stored(store: &Store, task: AppTask) -> Result<Value, CliError> {
    let new = Credentials::draw(&SystemRandom::new())
        .ok_or_else(|| CliError::Refused("the system has no random numbers".to_owned()))?;
    let (digest, now) = (new.digest(), unix_time());
    let lost = |uid: &str| CliError::Refused(format!("no such app: {uid}"));
    let with_secret = |app: apps::App| {
        let mut app = json!(app);
        app["secret"] = json!(new.secret);
        app
    };
    match task {
        AppTask::Create { name } => {
            let name = apps::name(name).map_err(CliError::Refused)?;
            let uid = new.uid.clone();
            let made = store.run_blocking(move |db| apps::insert(db, &uid, &digest, &name, now))?;
            made.map(with_secret).ok_or_else(|| CliError::Refused("no room for another app".into()))
        }
        AppTask::List => Ok(json!(store.run_blocking(|db| apps::list(db))?)),
        AppTask::Rotate { uid } => {
            let id = uid.clone();
            let rotated = store.run_blocking(move |db| apps::rotate(db, &id, &digest, now))?;
            rotated.map(with_secret).ok_or_else(|| lost(&uid))
        }
        AppTask::Delete { uid } => {
            let id = uid.clone();
            let deleted = store.run_blocking(move |db| apps::delete(db, &id))?;
            deleted.map(|app| json!(app)).ok_or_else(|| lost(&uid))
        }
    }
}

/// Asks the server.
fn asked(client: &Client, task: AppTask) -> Result<Value, CliError> {
    let path = |uid: &str| {
        let id = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let lost = || CliError::Refused(format!("no such app: {uid}"));
        if uid.chars().all(id) { Ok(format!("/apps/{uid}")) } else { Err(lost()) }
    };
    match task {
        AppTask::Create { name } => {
            client.account(Method::POST, "/apps", Some(json!({ "name": name })))
        }
        AppTask::List => client.account(Method::GET, "/apps", None),
        AppTask::Rotate { uid } => {
            client.account(Method::POST, &format!("{}/rotate", path(&uid)?), None)
        }
        AppTask::Delete { uid } => client.account(Method::DELETE, &path(&uid)?, None),
    }
}

/// A list as a table, one app as lines.
fn shown(result: &Value) -> String {
    let text = |app: &Value, field: &str| app[field].as_str().unwrap_or_default().to_owned();
    if let Some(apps) = result.as_array() {
        let mut rows = vec![row!["APP ID", "CREATED", "MODIFIED", "NAME"]];
        let fields = ["uid", "created", "modified", "name"];
        rows.extend(apps.iter().map(|app| fields.map(|field| text(app, field)).to_vec()));
        return table(&rows);
    }
    let mut rows = vec![row!["app id", text(result, "uid")]];
    if let Some(secret) = result["secret"].as_str() {
        rows.push(row!["app secret", secret]);
    }
    table(&rows)
}
