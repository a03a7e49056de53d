//! What no file of the project may contain: the places of one machine, the hosts of package
//! registries, notes about unfinished work. The patterns are put together here from parts, so that
//! this file does not contain them either.

use super::Violation;
use super::source::Source;

/// Folders that exist on somebody's machine only.
const MACHINE: [&str; 2] = [concat!("/", "work/"), concat!("/", "root/")];

/// First names of registry hosts: of crates, packages, files.
const HOSTS: [&str; 5] = ["registry", "index", "static", "files", "deb"];

/// Macros and words of unfinished work in code.
const UNFINISHED: [&str; 3] =
    [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("FIX", "ME")];

/// Checks one text file.
pub(super) fn check(path: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut report = |message: String| found.push(Violation::new(path, index + 1, message));
        if let Some(place) = MACHINE.iter().find(|place| line.contains(*place)) {
            report(format!("names a place of one machine, `{place}`"));
        }
        if let Some(host) = registry(line) {
            report(format!("names the host of a registry, `{host}.`"));
        }
    }
    if path.ends_with(".rs") {
        found.extend(unfinished(path, text));
    }
    found
}

/// The first name of a registry's host in a URL of this line.
fn registry(line: &str) -> Option<&'static str> {
    line.match_indices("://").find_map(|(at, marker)| {
        let scheme = &line[..at];
        let host = &line[at + marker.len()..];
        HOSTS.into_iter().find(|name| {
            (scheme.ends_with("http") || scheme.ends_with("https"))
                && host.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
        })
    })
}

/// Notes of unfinished work: macros in code, words anywhere, to-dos without an issue's number.
fn unfinished(path: &str, text: &str) -> Vec<Violation> {
    let code = Source::new(path, text).code;
    let mut found = Vec::new();
    for (index, (line, code)) in text.lines().zip(code.lines()).enumerate() {
        let [first, second, word] = UNFINISHED;
        if code.contains(first) || code.contains(second) || line.contains(word) {
            found.push(Violation::new(path, index + 1, "unfinished work"));
        }
        if line.contains(concat!("TO", "DO")) && !line.contains(concat!("TO", "DO(#")) {
            found.push(Violation::new(path, index + 1, "a to-do without an issue's number"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(path, text).len()
    }

    #[test]
    fn machine_places_are_found_in_every_file() {
        for text in [format!("see {}x", MACHINE[0]), format!("cd {}", MACHINE[1])] {
            assert_eq!(count("README.md", &text), 1, "{text}");
            assert_eq!(count("a/src/b.rs", &text), 1, "{text}");
        }
        assert_eq!(count("README.md", "the network/work of a rooted tree"), 0);
    }

    #[test]
    fn registry_hosts_are_found() {
        for host in HOSTS {
            assert_eq!(count("a.toml", &format!("x = \"https{}{host}.example\"", "://")), 1);
            assert_eq!(count("a.toml", &format!("http{}{host}.example", "://")), 1);
        }
        for text in ["https://example.org/index.html", "https://indexes.example", "a://index.x"] {
            assert_eq!(count("a.md", text), 0, "{text}");
        }
    }

    #[test]
    fn unfinished_work_is_found_in_code_only() {
        let [first, second, word] = UNFINISHED;
        assert_eq!(count("a.rs", &format!("fn f() {{ {first}() }}")), 1);
        assert_eq!(count("a.rs", &format!("fn f() {{ {second}(\"x\") }}")), 1);
        assert_eq!(count("a.rs", &format!("// {word}: later")), 1);
        assert_eq!(count("a.rs", &format!("// {}: later", concat!("TO", "DO"))), 1);
        assert_eq!(count("a.rs", &format!("// {}(#12): later", concat!("TO", "DO"))), 0);
        assert_eq!(count("a.rs", &format!("// never {first}")), 0);
    }
}
