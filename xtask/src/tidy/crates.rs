//! Import directions between the crates, read from their Cargo.toml files: each crate may depend
//! on the ones that its row names. Cargo itself then refuses a `use` of any other. Dependencies of
//! tests alone are exempt. Also: which outside crates must never reach `proto` and `engine`, which
//! do no input or output.

use super::Violation;

/// One crate of the workspace and the crates of the workspace it may depend on.
struct Row {
    name: &'static str,
    manifest: &'static str,
    may_use: &'static [&'static str],
}

const ROWS: [Row; 9] = [
    Row { name: "common", manifest: "common/Cargo.toml", may_use: &[] },
    Row { name: "proto", manifest: "dataplane/proto/Cargo.toml", may_use: &["common"] },
    Row { name: "engine", manifest: "dataplane/engine/Cargo.toml", may_use: &["common", "proto"] },
    Row { name: "io", manifest: "dataplane/io/Cargo.toml", may_use: &["common"] },
    Row {
        name: "dataplane",
        manifest: "dataplane/Cargo.toml",
        may_use: &["common", "engine", "io", "proto"],
    },
    Row {
        name: "controlplane",
        manifest: "controlplane/Cargo.toml",
        may_use: &["common", "dataplane"],
    },
    Row {
        name: "tests",
        manifest: "tests/Cargo.toml",
        may_use: &["common", "controlplane", "dataplane", "engine", "io", "proto"],
    },
    Row {
        name: "benches",
        manifest: "benches/Cargo.toml",
        // `tests` for the remote peer and the payloads it checks: one judge, not two.
        may_use: &["common", "controlplane", "dataplane", "engine", "io", "proto", "tests"],
    },
    Row { name: "xtask", manifest: "xtask/Cargo.toml", may_use: &[] },
];

/// Crates that do input, output, threads or locks.
const WORLDLY: [&str; 11] = [
    "core_affinity",
    "crossbeam",
    "hyper",
    "hyper-util",
    "io-uring",
    "libc",
    "nix",
    "rtrb",
    "socket2",
    "tokio",
    "tracing-subscriber",
];

/// Crates that must stay free of them.
const PURE: [&str; 3] = ["common", "engine", "proto"];

/// Checks all Cargo.toml files among `files`.
pub(super) fn check(files: &[(String, String)]) -> Vec<Violation> {
    let manifests = files.iter().filter(|(path, text)| {
        path.ends_with("Cargo.toml") && text.lines().any(|line| line.trim() == "[package]")
    });
    manifests.flat_map(|(path, text)| check_manifest(path, text)).collect()
}

fn check_manifest(path: &str, text: &str) -> Vec<Violation> {
    let Some(row) = ROWS.iter().find(|row| row.manifest == path) else {
        let message = "crate without a row in xtask/src/tidy/crates.rs: say what it may depend on";
        return vec![Violation::new(path, 1, message)];
    };
    let mut found = Vec::new();
    for (line, name) in dependencies(text) {
        let ours = ROWS.iter().any(|other| other.name == name);
        if ours && !row.may_use.contains(&name.as_str()) {
            let message = format!("`{}` must not depend on `{name}`", row.name);
            found.push(Violation::new(path, line, message));
        }
        if PURE.contains(&row.name) && WORLDLY.contains(&name.as_str()) {
            let message = format!("`{}` does no input or output: not `{name}`", row.name);
            found.push(Violation::new(path, line, message));
        }
    }
    found
}

/// Names of the packages in all tables of dependencies but those of tests, with their lines.
fn dependencies(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut listing = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let parts: Vec<&str> = header.split('.').collect();
            listing = is_table(&parts);
            if let Some((name, table)) = parts.split_last()
                && is_table(table)
            {
                found.push((index + 1, unquoted(name)));
            }
        } else if listing && let Some((key, value)) = line.split_once('=') {
            let key = key.split('.').next().unwrap_or_default();
            let renamed = value.split_once("package").and_then(|(_, rest)| rest.split('"').nth(1));
            found.push((index + 1, unquoted(renamed.unwrap_or(key))));
        }
    }
    found
}

fn is_table(header: &[&str]) -> bool {
    matches!(header.last(), Some(&("dependencies" | "build-dependencies")))
        && header.first() != Some(&"workspace")
}

fn unquoted(name: &str) -> String {
    name.trim().trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, dependencies: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"x\"\n{dependencies}");
        check(&[(path.to_owned(), text)]).into_iter().map(|found| found.to_string()).collect()
    }

    #[test]
    fn allowed_directions_pass() {
        for (path, text) in [
            (
                "dataplane/Cargo.toml",
                "[dependencies]\nengine.workspace = true\nio.workspace = true",
            ),
            ("dataplane/engine/Cargo.toml", "[dependencies]\nproto = { path = \"../proto\" }"),
            ("dataplane/engine/Cargo.toml", "[dev-dependencies]\nio.workspace = true"),
            ("benches/Cargo.toml", "[dependencies]\nproto.workspace = true"),
        ] {
            assert!(messages(path, text).is_empty(), "{path}: {text}");
        }
    }

    #[test]
    fn forbidden_directions_are_found() {
        for (path, text) in [
            ("dataplane/io/Cargo.toml", "[dependencies]\nengine.workspace = true"),
            ("dataplane/engine/Cargo.toml", "[dependencies]\nio.workspace = true"),
            ("dataplane/engine/Cargo.toml", "[dependencies]\n\"io\" = { path = \"../io\" }"),
            ("dataplane/engine/Cargo.toml", "[dependencies.dataplane]\npath = \"..\""),
            ("dataplane/Cargo.toml", "[dependencies]\ncontrolplane.workspace = true"),
            (
                "dataplane/proto/Cargo.toml",
                "[target.'cfg(unix)'.dependencies]\nengine.path = \"x\"",
            ),
            (
                "dataplane/proto/Cargo.toml",
                "[dependencies]\nb = { package = \"engine\", path = \"x\" }",
            ),
            ("xtask/Cargo.toml", "[build-dependencies]\ncommon.workspace = true"),
            ("dataplane/engine/Cargo.toml", "[dependencies]\ntokio = \"1\""),
            ("extra/Cargo.toml", ""),
        ] {
            assert_eq!(messages(path, text).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn line_is_the_dependency_s() {
        let text = "[dependencies]\nserde = \"1\"\nengine.workspace = true\n";
        assert_eq!(
            messages("common/Cargo.toml", text),
            ["common/Cargo.toml:5: `common` must not depend on `engine`"]
        );
    }
}
