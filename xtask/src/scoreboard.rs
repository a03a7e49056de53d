//! `cargo xtask scoreboard`: runs the simulated trials of media quality and keeps their table in the
//! repository, where its diff shows what a change did.

use crate::process;

/// Where the table is kept.
const TABLE: &str = "tests/SCOREBOARD.md";

/// Builds and runs the `scoreboard` binary and writes what it printed.
pub(crate) fn run() -> Result<(), String> {
    let root = process::root()?;
    let arguments = ["run", "--locked", "--package", "tests", "--bin", "scoreboard"];
    let table = process::read(process::cargo(&root).args(arguments))?;
    let path = root.join(TABLE);
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(&path, &table).map_err(|error| format!("{TABLE} is not written: {error}"))?;
    let changed = table.lines().filter(|line| !before.lines().any(|old| old == *line)).count();
    println!("{TABLE}: {changed} lines changed");
    Ok(())
}
