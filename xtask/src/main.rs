//! The project's own commands, `cargo xtask <command>`: checks, tests, benches. Started by people
//! and by `.ci/run`. It only runs cargo and programs of the operating system and reads the
//! project's files; it must never depend on a crate of the project, so that it works when they
//! do not compile.

mod bench;
mod browser;
mod clients;
mod process;
mod readme;
mod scoreboard;
mod steps;
mod tidy;

use std::process::ExitCode;

use steps::Plan;

const USAGE: &str = "\
Usage: cargo xtask <command>

Commands:
  test     every check and every test: tidy, fmt, clippy, cargo test, browser, clients
             --no-browser     leave the browser and client tests out
             --only <step>    one step: tidy, fmt, clippy, test, browser or clients
             --filter <text>  only the browser and client tests whose name contains <text>
  check    tidy, fmt and clippy: what to run before a commit
  tidy     import directions, sizes, unsafe code and words in the project's files
  scoreboard
           the simulated trials of media quality; writes tests/SCOREBOARD.md
  matrix   which client does what, with real clients; writes the table in README.md
  bench    the load generator, built in release; what follows is passed on to it
  help     this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command line.
fn run(arguments: &[String]) -> Result<(), String> {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments),
    };
    match command {
        "test" => steps::run(&Plan::test(rest)?),
        "check" => no_arguments(command, rest).and_then(|()| steps::run(&Plan::check())),
        "tidy" => no_arguments(command, rest).and_then(|()| tidy::run(&process::root()?)),
        "scoreboard" => no_arguments(command, rest).and_then(|()| scoreboard::run()),
        "matrix" => no_arguments(command, rest).and_then(|()| clients::matrix()),
        "bench" => bench::run(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(format!("unknown command `{other}`\n\n{USAGE}")),
    }
}

fn no_arguments(command: &str, rest: &[String]) -> Result<(), String> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => Err(format!("`{command}` takes no arguments, found `{extra}`")),
    }
}
