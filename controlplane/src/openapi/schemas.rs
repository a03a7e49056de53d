//! JSON schemas of the handlers' types, collected once each below `#/components/schemas`.
//!
//! What a request may hold and what a reply holds differ where a field has a default or is left out,
//! so there is a generator for either way. A type that goes both ways must come to one schema.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// The schemas that were asked for so far.
pub(super) struct Schemas {
    requests: SchemaGenerator,
    replies: SchemaGenerator,
}

impl Default for Schemas {
    fn default() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12()
                .with(|settings| settings.definitions_path = "/components/schemas".into())
        };
        Self {
            requests: settings().for_deserialize().into_generator(),
            replies: settings().for_serialize().into_generator(),
        }
    }
}

impl Schemas {
    /// Content of a request: JSON of a type.
    pub(super) fn request<T: JsonSchema>(&mut self) -> Value {
        json!({ "application/json": { "schema": self.requests.subschema_for::<T>() } })
    }

    /// Content of a reply: JSON of a type.
    pub(super) fn reply<T: JsonSchema>(&mut self) -> Value {
        json!({ "application/json": { "schema": self.replies.subschema_for::<T>() } })
    }

    /// All of them by their names.
    pub(super) fn components(mut self) -> Map<String, Value> {
        let mut all = self.requests.take_definitions(true);
        for (name, schema) in self.replies.take_definitions(true) {
            let other = all.insert(name, schema.clone());
            debug_assert!(other.is_none_or(|other| other == schema), "one name, two schemas");
        }
        all
    }
}
