//! Starts programs and waits for them: the one place that does. Called by every command; a
//! program that fails is an error with its command line, never ignored.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's root directory: the nearest one upwards whose Cargo.toml has `[workspace]`.
pub(crate) fn root() -> Result<PathBuf, String> {
    let start =
        std::env::current_dir().map_err(|error| format!("no current directory: {error}"))?;
    start
        .ancestors()
        .find(|directory| {
            std::fs::read_to_string(directory.join("Cargo.toml"))
                .is_ok_and(|text| text.lines().any(|line| line.trim() == "[workspace]"))
        })
        .map(Path::to_path_buf)
        .ok_or_else(|| "not inside the project: no workspace above this directory".to_owned())
}

/// The cargo that runs this program.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Runs to the end, output to the terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let line = line(command);
    println!("$ {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` ended with {status}")),
        Err(error) => Err(format!("`{line}` did not start: {error}")),
    }
}

/// Runs to the end beside something else: its output comes to the terminal in one piece, at the end.
pub(crate) fn run_beside(command: &mut Command) -> Result<(), String> {
    let line = line(command);
    let output = command.output().map_err(|error| format!("`{line}` did not start: {error}"))?;
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    println!("$ {line}\n{}{}", said[0], said[1]);
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("`{line}` ended with {}", output.status))
    }
}

/// Runs to the end and returns what it printed to standard output.
pub(crate) fn read(command: &mut Command) -> Result<String, String> {
    let line = line(command);
    let output = command.output().map_err(|error| format!("`{line}` did not start: {error}"))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(format!("`{line}` ended with {}: {reason}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("`{line}` printed no UTF-8"))
}

/// First of `names` that is a program on the search path, or itself an absolute path to a file.
pub(crate) fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().find_map(|name| {
        if name.starts_with('/') {
            return Some(PathBuf::from(name)).filter(|file| file.is_file());
        }
        folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file())
    })
}

fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
