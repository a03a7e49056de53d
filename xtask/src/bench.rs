//! `cargo xtask bench`: builds the benches in release and passes the arguments on. With `--peers` it
//! makes sure first that Janus is there, where that is allowed; without it the run leaves it out.
//! What becomes the baseline (`--out benches`) is put into the README, too.

use std::path::Path;
use std::process::Command;

use crate::{browser, process, readme};

/// What stands before the short table in the README.
const TABLE_BEGIN: &str = "<!-- cargo xtask bench -->";
/// Headings before and behind it in the tables of a report.
const SHORT: &str = "\n## In short\n\n";
const NEXT: &str = "\n## ";
/// Folder of the baseline.
const FOLDER: &str = "benches";

/// Builds and runs the `benches` binary with `arguments`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let root = process::root()?;
    if arguments.iter().any(|argument| argument == "--peers") && process::find(&["janus"]).is_none()
    {
        match browser::install_packages("--peers measures Janus too", &["janus"]) {
            // The package starts a server of its own; the benches start theirs. Without systemd
            // nothing was started.
            Ok(()) if process::find(&["systemctl"]).is_some() => {
                let _ = Command::new("systemctl").args(["disable", "--now", "janus"]).output();
            }
            Ok(()) => {}
            Err(_) => println!("Janus is left out: install the package `janus` to measure it"),
        }
    }
    process::run(
        process::cargo(&root)
            .args(["run", "--release", "--locked", "--package", "benches", "--bin", "benches"])
            .arg("--")
            .args(arguments),
    )?;
    let written = |pair: &[String]| matches!(pair, [flag, to] if flag == "--out" && to == FOLDER);
    if arguments.windows(2).any(written) { show(&root) } else { Ok(()) }
}

/// Puts the short table of the baseline into the README.
fn show(root: &Path) -> Result<(), String> {
    let path = root.join(FOLDER).join("baseline.md");
    let report =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let table = short(&report).ok_or("the report has no short table")?;
    readme::put(root, TABLE_BEGIN, table)
}

/// The short table of a report.
fn short(report: &str) -> Option<&str> {
    let (_, rest) = report.split_once(SHORT)?;
    Some(rest.split_once(NEXT).map_or(rest, |(table, _)| table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_table_is_taken_out_of_a_report() {
        let report =
            "# One run\n\n- commit: a\n\n## In short\n\n| a |\n| b |\n\n## idle\n\n| c |\n";
        assert_eq!(short(report), Some("| a |\n| b |\n"));
        assert_eq!(short("# One run\n"), None);
    }
}
