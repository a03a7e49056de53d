//! The shape of a Rust file: its length, the length of its functions, its opening words, and
//! whether it may hold unsafe code.

use super::Violation;
use super::source::{Source, Token, matching};

/// Most lines of a file, test code not counted. Chosen: what one sitting can review.
const FILE_LINES_MAX: usize = 600;

/// Most lines of a function, from its `fn` to its brace. Chosen: it fits one screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Where unsafe code may stand, and why.
const UNSAFE_ALLOWED: [(&str, &str); 4] = [
    ("dataplane/io/src/", "the drivers: system calls and memory shared with the kernel"),
    (
        "dataplane/io/tests/",
        "a counting allocator, and a system call filter that plays a container",
    ),
    ("tests/alloc/", "a global allocator that counts is unsafe to implement"),
    ("benches/src/socket", "batched system calls of the load generator"),
];

/// Crates that forbid unsafe code by attribute: the compiler's word is better than ours.
const FORBID: [&str; 4] = [
    "common/src/lib.rs",
    "controlplane/src/lib.rs",
    "dataplane/engine/src/lib.rs",
    "dataplane/proto/src/lib.rs",
];

/// Checks one file.
pub(super) fn check(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    found.extend(opening(source));
    found.extend(length(source));
    found.extend(functions(source));
    found.extend(unsafe_code(source));
    found
}

fn opening(source: &Source) -> Option<Violation> {
    let first = source.text.lines().next().unwrap_or_default();
    let documented = first.strip_prefix("//!").is_some_and(|words| !words.trim().is_empty());
    (!documented).then(|| {
        let message = "does not open with `//!`: what the file holds, who calls it";
        Violation::new(&source.path, 1, message)
    })
}

fn length(source: &Source) -> Option<Violation> {
    if source.is_test_file() {
        return None;
    }
    let lines = source.text.lines().count() - source.test_lines();
    (lines > FILE_LINES_MAX).then(|| {
        let message = format!("{lines} lines without tests, at most {FILE_LINES_MAX}: split it");
        Violation::new(&source.path, FILE_LINES_MAX, message)
    })
}

fn functions(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for (offset, name, end) in bodies(source) {
        if source.is_test(offset) || is_test_function(source, offset) {
            continue;
        }
        let lines = source.line(end) - source.line(offset) + 1;
        if lines > FUNCTION_LINES_MAX {
            let message = format!("`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}");
            found.push(Violation::new(&source.path, source.line(offset), message));
        }
    }
    found
}

/// Offset, name and end of every function that has a body.
fn bodies(source: &Source) -> Vec<(usize, &str, usize)> {
    let tokens = source.tokens();
    let mut found = Vec::new();
    for pair in tokens.windows(2) {
        let [(offset, Token::Word("fn")), (after, Token::Word(name))] = *pair else { continue };
        let mut at = after;
        let open = loop {
            let Some(next) = source.code[at..].find(['{', ';', '(', '[']) else { break None };
            match source.code.as_bytes()[at + next] {
                b'{' => break Some(at + next),
                b';' => break None,
                _ => at = matching(&source.code, at + next),
            }
        };
        if let Some(open) = open {
            found.push((offset, name, matching(&source.code, open) - 1));
        }
    }
    found
}

/// Whether the function carries `#[test]` or the like.
fn is_test_function(source: &Source, offset: usize) -> bool {
    let before = &source.code[..offset];
    let start = before.rfind(['{', '}', ';']).unwrap_or(0);
    before[start..].contains("#[test]") || before[start..].contains("::test")
}

fn unsafe_code(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    if FORBID.contains(&source.path.as_str()) && !source.code.contains("#![forbid(unsafe_code)]") {
        found.push(Violation::new(&source.path, 1, "lacks `#![forbid(unsafe_code)]`"));
    }
    if UNSAFE_ALLOWED.iter().any(|(place, _)| source.path.starts_with(place)) {
        return found;
    }
    for (offset, token) in source.tokens() {
        if token == Token::Word("unsafe") {
            let message = "unsafe code outside the places in xtask/src/tidy/shape.rs";
            found.push(Violation::new(&source.path, source.line(offset), message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text)).into_iter().map(|found| found.to_string()).collect()
    }

    fn body(lines: usize) -> String {
        "    a();\n".repeat(lines)
    }

    #[test]
    fn files_open_with_their_doc() {
        assert!(messages("a/src/b.rs", "//! Holds b.\n").is_empty());
        for text in ["", "fn a() {}\n", "// Holds b.\n", "//!\n", "\n//! Holds b.\n"] {
            assert_eq!(messages("a/src/b.rs", text).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn long_files_are_found_and_tests_do_not_count() {
        let doc = "//! Doc.\n";
        let fits = format!("{doc}{}", "const A: u8 = 1;\n".repeat(FILE_LINES_MAX - 1));
        assert!(messages("a/src/b.rs", &fits).is_empty());
        let long = format!("{fits}const A: u8 = 1;\n");
        assert_eq!(messages("a/src/b.rs", &long).len(), 1);
        assert_eq!(messages("tests/sim/b.rs", &long).len(), 1);
        assert!(messages("a/src/b/tests.rs", &long).is_empty());
        let tested = format!("{fits}#[cfg(test)]\nmod tests {{\n{}}}\n", "// x\n".repeat(50));
        assert!(messages("a/src/b.rs", &tested).is_empty());
    }

    #[test]
    fn long_functions_are_found() {
        let function = |head: &str, lines| format!("//! Doc.\n{head} {{\n{}}}\n", body(lines));
        let most = FUNCTION_LINES_MAX - 2;
        assert!(messages("a/src/b.rs", &function("fn f()", most)).is_empty());
        for head in [
            "fn f()",
            "pub(crate) async fn f<T: Into<u8>>(a: [u8; 4]) -> [u8; 2]",
            "trait T { fn g(&self); fn f()",
            "#[tests]\nfn f()",
        ] {
            let text = function(head, most + 1);
            let found = messages("a/src/b.rs", &text);
            assert_eq!(found.len(), 1, "{head}: {found:?}");
            assert!(found[0].contains("`f` has 71 lines"), "{found:?}");
        }
        for head in ["#[test]\nfn f()", "#[cfg(test)]\nfn f()", "#[tokio::test]\nasync fn f()"] {
            assert!(messages("a/src/b.rs", &function(head, most + 1)).is_empty(), "{head}");
        }
    }

    #[test]
    fn unsafe_code_is_found_outside_the_drivers() {
        let text = "//! Doc, unsafe.\n#![deny(unsafe_code)]\nfn f() { unsafe { g() } }\n";
        assert!(messages("dataplane/io/src/uring.rs", text).is_empty());
        assert_eq!(
            messages("dataplane/src/worker.rs", text),
            [
                "dataplane/src/worker.rs:3: unsafe code outside the places in xtask/src/tidy/shape.rs"
            ]
        );
    }

    #[test]
    fn crates_forbid_unsafe_code() {
        assert_eq!(messages("common/src/lib.rs", "//! Doc.\n").len(), 1);
        assert!(messages("common/src/lib.rs", "//! Doc.\n#![forbid(unsafe_code)]\n").is_empty());
    }
}
