//! What the lock file may hold: packages of the one public registry only, and none older than the
//! release that repaired a known hole. Advisories: the RustSec database, read on 2026-08-21.

use super::Violation;

/// Package, first version without the hole, advisory.
const REPAIRED: [(&str, [u64; 3], &str); 6] = [
    ("aws-lc-sys", [0, 39, 0], "see the advisory database"),
    ("bytes", [1, 11, 1], "see the advisory database"),
    ("crossbeam-channel", [0, 5, 15], "RUSTSEC-2025-0024"),
    ("crossbeam-epoch", [0, 9, 20], "RUSTSEC-2026-0204"),
    ("h2", [0, 4, 16], "RUSTSEC-2026-0258"),
    ("ring", [0, 17, 12], "RUSTSEC-2025-0009"),
];

/// Where packages come from, as cargo writes it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks Cargo.lock among `files`.
pub(super) fn check(files: &[(String, String)]) -> Vec<Violation> {
    files.iter().filter(|(path, _)| path == "Cargo.lock").flat_map(check_lock).collect()
}

fn check_lock((path, text): &(String, String)) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut name = "";
    for (index, line) in text.lines().enumerate() {
        let Some((key, value)) = line.split_once(" = ") else { continue };
        let value = value.trim_matches('"');
        let message = match key {
            "name" => {
                name = value;
                None
            }
            "version" => repaired(name, value),
            "source" if value != REGISTRY => Some(format!("`{name}` comes from {value}")),
            _ => None,
        };
        found.extend(message.map(|message| Violation::new(path, index + 1, message)));
    }
    found
}

/// What is wrong with this version of a package, if anything.
fn repaired(name: &str, version: &str) -> Option<String> {
    let (_, first, advisory) = REPAIRED.iter().find(|(package, ..)| *package == name)?;
    let [major, minor, patch] = first;
    (numbers(version) < *first).then(|| {
        format!("`{name}` {version} has a hole ({advisory}): at least {major}.{minor}.{patch}")
    })
}

/// The three numbers of a version; what follows a `-` or `+` does not count.
fn numbers(version: &str) -> [u64; 3] {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    let mut parts = release.split('.').map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(name: &str, version: &str, source: &str) -> usize {
        let package = "[[package]]\n";
        let text = format!("{package}name = \"{name}\"\nversion = \"{version}\"\n{source}\n");
        check(&[("Cargo.lock".to_owned(), text)]).len()
    }

    #[test]
    fn old_versions_are_found() {
        for (version, expected) in
            [("0.4.15", 1), ("0.4.16", 0), ("0.4.100", 0), ("0.3.99", 1), ("1.0.0", 0)]
        {
            assert_eq!(count("h2", version, ""), expected, "{version}");
        }
        assert_eq!(count("other", "0.0.1", ""), 0);
    }

    #[test]
    fn other_sources_are_found() {
        assert_eq!(count("a", "1.0.0", &format!("source = \"{REGISTRY}\"")), 0);
        assert_eq!(count("a", "1.0.0", "source = \"git+https://example.org/a\""), 1);
    }
}
