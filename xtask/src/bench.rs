//! `cargo xtask bench`: builds the benches in release and passes the arguments on. With `--peers` it
//! makes sure first that Janus is there, where that is allowed; without it the run leaves it out.

use std::process::Command;

use crate::{browser, process};

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
    )
}
