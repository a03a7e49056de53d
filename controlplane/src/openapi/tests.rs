//! The document is whole: every path and method, every error, every reference; and it is the one
//! that was looked at.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::*;

/// Where the document lies that was looked at. `FANFALL_GOLDEN=write cargo test -p controlplane
/// openapi` makes it anew; its diff is to be read.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/openapi.json");

#[test]
fn every_path_and_method_is_described() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (path, place) in endpoints::documented() {
        for method in place.methods().split(", ").filter(|method| *method != "HEAD") {
            let found = &document["paths"][&path][method.to_ascii_lowercase()];
            let id = found["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path}"));
            assert!(ids.insert(id.to_owned()), "{id} twice");
            assert!(!found["summary"].as_str().unwrap().is_empty(), "{id}");
            for parameter in found["parameters"].as_array().into_iter().flatten() {
                assert!(!parameter["description"].as_str().unwrap().is_empty(), "{parameter}");
            }
        }
    }
    assert!(ids.len() > 25, "{}", ids.len());
}

#[test]
fn every_error_is_listed_and_explained() {
    let table = error_table();
    assert_eq!(table.len(), api_errors().len() + item_errors().len());
    let kinds: BTreeSet<_> =
        api_errors().iter().map(|error| format!("{:?}", std::mem::discriminant(error))).collect();
    assert_eq!(kinds.len(), api_errors().len(), "one of each");
    for row in table {
        assert!(!row["meaning"].as_str().unwrap().is_empty(), "{row}");
    }
}

#[test]
fn every_reference_has_a_target() {
    let document = document();
    let text = document.to_string();
    let names: BTreeSet<&str> = text
        .split("\"#/components/schemas/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(names.len() > 15, "{names:?}");
    assert_eq!(names, schemas.keys().map(String::as_str).collect(), "none dangling, none idle");
}

#[test]
fn the_document_is_the_one_that_was_looked_at() {
    let written = format!("{}\n", text());
    if std::env::var_os("FANFALL_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(GOLDEN, &written).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    let line = golden.lines().zip(written.lines()).find(|(golden, written)| golden != written);
    assert!(golden == written, "the API's document changed: {line:?}");
}
