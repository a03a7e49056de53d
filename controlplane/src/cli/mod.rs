//! The operator's commands: what the binary does besides serving.
//!
//! Started by `main.rs` with the same settings as the server. They reach a running server over its
//! API alone, and the state directory only while no server uses it. What they print goes to standard
//! output; the one secret among it is that of an app just made or given another.

mod apps;
mod check;
mod client;
mod sessions;
mod top;

use std::io::Write;

use crate::config::{Config, Task};
use crate::store::StoreError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The state directory cannot be used.
    #[error("state: {0}")]
    Store(#[from] StoreError),
    /// The command asks the account API, and has no token for it.
    #[error("the server is asked by its account API, which takes --account-token")]
    NoToken,
    /// The address of the server has no port.
    #[error("--http names no port that a server could be asked at")]
    NoPort,
    /// The server does not answer.
    #[error("http://{address}: {reason}")]
    Unreachable {
        /// Its address.
        address: std::net::SocketAddr,
        /// Why.
        reason: String,
    },
    /// The server refused, or there is no such app.
    #[error("{0}")]
    Refused(String),
    /// Standard output is closed.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

/// Carries a command out.
///
/// # Errors
/// See [`CliError`]; the process prints it and ends.
pub fn run(config: &Config, task: Task) -> Result<(), CliError> {
    match task {
        Task::Serve => Ok(()),
        Task::CheckConfig => print(&check::text(config)?),
        Task::Sessions => print(&sessions::text(config)?),
        Task::Top { once } => top::run(config, once),
        Task::App(task) => print(&apps::text(config, task)?),
    }
}

/// Writes to standard output.
fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Lines whose columns are as wide as their widest cell. Numbers stand to the right, except in the
/// last column.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            match cell.parse::<f64>() {
                Ok(_) if column + 1 < row.len() => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

/// A row of a [`table`].
macro_rules! row {
    ($($cell:expr),+ $(,)?) => { vec![$($cell.to_string()),+] };
}
use row;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [row!["id", "n", "name"], row!["a1", 12, "x y"], row!["b", 3, 7]];
        assert_eq!(table(&rows), "id  n   name\na1  12  x y\nb    3  7\n");
    }
}
