//! `cargo xtask bench`: builds the load generator in release and passes the arguments on.

use crate::process;

/// Builds and runs the `benches` binary with `arguments`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let root = process::root()?;
    process::run(
        process::cargo(&root)
            .args(["run", "--release", "--locked", "--package", "benches", "--bin", "benches"])
            .arg("--")
            .args(arguments),
    )
}
