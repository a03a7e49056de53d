//! `cargo xtask tidy`: the rules of the project that no compiler checks. Reads the files that git
//! tracks (or would track), nothing else; prints each violation with its place. The rules are one
//! file each: `crates` and `engine` (import directions), `lock` (packages of others), `clients` (the table of
//! the README), `shape` (sizes,
//! module docs, unsafe code), `words` (what no file may contain).

mod clients;
mod crates;
mod engine;
mod lock;
mod shape;
mod source;
mod words;

use std::fmt;
use std::path::Path;
use std::process::Command;

use crate::process;
use source::Source;

/// One broken rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Violation {
    /// File, relative to the root.
    path: String,
    /// Line, from 1.
    line: usize,
    /// Which rule, and what to do.
    message: String,
}

impl Violation {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Checks all files below `root`.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let files = files(root)?;
    let mut violations = check(&files);
    violations.sort();
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => {
            println!("tidy: {} files in order", files.len());
            Ok(())
        }
        count => Err(format!("{count} violations in {} files", files.len())),
    }
}

/// Checks (path, text) pairs.
fn check(files: &[(String, String)]) -> Vec<Violation> {
    let mut found = crates::check(files);
    found.extend(lock::check(files));
    found.extend(clients::check(files));
    let sources: Vec<Source> = files
        .iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .map(|(path, text)| Source::new(path, text))
        .collect();
    for source in &sources {
        found.extend(shape::check(source));
    }
    found.extend(engine::check(&sources));
    for (path, text) in files {
        found.extend(words::check(path, text));
    }
    found
}

/// Every text file of the project: path relative to the root, and content.
fn files(root: &Path) -> Result<Vec<(String, String)>, String> {
    let list = process::read(
        Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root),
    )?;
    let mut files = Vec::new();
    for path in list.split_terminator('\0') {
        // A deleted file is still listed until the deletion is staged; a binary one is not text.
        let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push((path.to_owned(), text));
        }
    }
    if files.is_empty() {
        return Err("git lists no files here".to_owned());
    }
    Ok(files)
}
