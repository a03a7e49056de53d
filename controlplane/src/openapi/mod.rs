//! The OpenAPI 3.1 document of the API, made of the route table and of the types that the handlers
//! read and write.
//!
//! `endpoints.rs` says which paths and methods there are, `operations.rs` what each of them takes
//! and gives, `errors.rs` what can go wrong; this file puts them together. Served by `respond.rs` at
//! `/v1/openapi.json`, shown to people by the page `/docs`. OpenAPI Specification 3.1.0; schemas in
//! JSON Schema 2020-12.

mod errors;
mod operations;
mod schemas;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::endpoints::{self, Place};
use crate::error::ApiError;
use crate::events::Kind;
use errors::{api_errors, item_errors};
use operations::{Body, Operation, operation};
use schemas::Schemas;

/// What stands above everything.
const ABOUT: &str = "Sessions, tracks and data channels of a selective forwarding unit for WebRTC, \
    as the Cloudflare Realtime API has them, and streams by WHIP and WHEP. Everything below \
    `/v1/apps` is answered below `/apps`, too. Bodies are read as JSON whatever their type, unknown \
    fields are ignored, and null is as good as absent. A request that fails as a whole has \
    `errorCode` and `errorDescription`; in a request of several tracks or data channels each can \
    fail alone, then its entry has both and the status is 200. `x-errors` lists all codes.";

/// The document.
pub(crate) fn text() -> &'static str {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| serde_json::to_string_pretty(&document()).unwrap_or_default());
    &TEXT
}

/// Builds the document.
fn document() -> Value {
    let mut schemas = Schemas::default();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for (path, place) in endpoints::documented() {
        let methods = place.methods().split(", ").filter(|method| *method != "HEAD");
        let entry = paths.entry(path.clone()).or_default();
        for method in methods {
            if let Some(operation) = operation(place, method, &mut schemas) {
                entry.insert(method.to_ascii_lowercase(), written(place, &path, operation));
            }
        }
    }
    let webhook = operations::webhook(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Fanfall",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "webhooks": { "event": { "post": webhook } },
        "components": {
            "schemas": schemas.components(),
            "securitySchemes": {
                "secret": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The app's secret; at a stream's endpoints also a token of it",
                },
                "account": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The account token that the server was started with",
                },
            },
        },
        "x-errors": error_table(),
        "x-events": event_table(),
    })
}

/// One operation as the document has it.
fn written(place: Place, path: &str, operation: Operation) -> Value {
    let mut out = json!({
        "operationId": operation.id,
        "tags": [place.group()],
        "summary": operation.summary,
        "description": operation.about,
        "security": security(place, operation.open),
        "responses": responses(place, &operation),
    });
    let parameters: Vec<Value> = names(path)
        .map(parameter)
        .chain(operation.query.iter().map(|pair| optional(pair, "query")))
        .chain(operation.headers.iter().map(|pair| optional(pair, "header")))
        .collect();
    if !parameters.is_empty() {
        out["parameters"] = parameters.into();
    }
    if let Some(Body { required, content }) = operation.body {
        out["requestBody"] = json!({ "required": required, "content": content });
    }
    out
}

/// Which secret it takes.
fn security(place: Place, open: bool) -> Value {
    match (open, place.is_account()) {
        (true, _) => json!([]),
        (false, false) => json!([{ "secret": [] }]),
        (false, true) => json!([{ "account": [] }]),
    }
}

/// Successes as they are, failures by status: one description of all its causes.
fn responses(place: Place, operation: &Operation) -> Value {
    let mut responses: BTreeMap<u16, Value> = BTreeMap::new();
    for reply in &operation.replies {
        let mut response = json!({ "description": reply.about });
        if !reply.content.is_null() {
            response["content"] = reply.content.clone();
        }
        for (name, about) in reply.headers {
            response["headers"][*name] =
                json!({ "description": about, "schema": { "type": "string" } });
        }
        responses.insert(reply.status, response);
    }
    let failure = if place.is_account() { "AccountFailure" } else { "ErrorReply" };
    let schema = json!({ "$ref": format!("#/components/schemas/{failure}") });
    for error in operation.errors.iter().copied().flatten() {
        let (status, code, _) = error.parts();
        let line = format!("`{code}`: {}", errors::meaning(error));
        let response = responses.entry(status).or_insert_with(|| json!({ "description": "" }));
        let said = response["description"].as_str().unwrap_or_default();
        let joined = if said.is_empty() { line } else { format!("{said}\n\n{line}") };
        response["description"] = joined.into();
        response["content"]["application/json"] = json!({ "schema": schema });
    }
    let responses = responses.into_iter().map(|(status, response)| (status.to_string(), response));
    Value::Object(responses.collect())
}

/// The names of a path's parameters.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn parameter(name: &str) -> Value {
    let (about, pattern) = match name {
        "app" => ("Id of the app", "^[A-Za-z0-9_-]{1,64}$"),
        "session" => ("Id of the session", "^[0-9a-f]{32}$"),
        "account" => ("Any: the server is one account", "^[^/]+$"),
        "webhook" => ("Id of the webhook", "^[0-9a-f]{32}$"),
        "stream" => ("Name of the stream, of the app's choice", "^[A-Za-z0-9._~-]{1,128}$"),
        _ => ("", ""),
    };
    json!({
        "name": name, "in": "path", "required": true, "description": about,
        "schema": { "type": "string", "pattern": pattern },
    })
}

/// A parameter that may be left out.
fn optional((name, about): &(&str, &str), place: &str) -> Value {
    json!({
        "name": name, "in": place, "required": false, "description": about,
        "schema": { "type": "string" },
    })
}

/// Every type of events with its meaning and the fields it has beyond those of all.
fn event_table() -> Vec<Value> {
    let row =
        |(name, meaning, fields)| json!({ "type": name, "meaning": meaning, "fields": fields });
    Kind::ALL.into_iter().map(Kind::parts).map(row).collect()
}

/// Every code with its meaning and the field it concerns: first those of whole requests, then those
/// of single entries.
fn error_table() -> Vec<Value> {
    let whole = api_errors().into_iter().map(|error: ApiError| {
        let (status, code, _) = error.parts();
        json!({
            "status": status, "errorCode": code,
            "meaning": errors::meaning(&error), "field": errors::field(&error),
        })
    });
    let entries = item_errors().into_iter().map(|error| {
        json!({
            "status": 200, "errorCode": error.parts().0,
            "meaning": errors::item_meaning(&error), "field": errors::item_field(&error),
        })
    });
    whole.chain(entries).collect()
}
