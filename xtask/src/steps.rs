//! The steps of `cargo xtask test` and `check`, in order, with their durations. A step that fails
//! ends the run; the summary names the steps that were not reached, so that no step is taken for
//! passed that did not run.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{browser, clients, process, tidy};

/// One kind of check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Our own rules.
    Tidy,
    /// `cargo fmt --check`.
    Fmt,
    /// `cargo clippy`, warnings are errors.
    Clippy,
    /// `cargo test` of every crate.
    Test,
    /// The server's binary in a real browser.
    Browser,
    /// The server's binary with clients of other makers.
    Clients,
}

impl Step {
    /// All steps, the cheap ones first.
    const ALL: [Self; 6] =
        [Self::Tidy, Self::Fmt, Self::Clippy, Self::Test, Self::Browser, Self::Clients];

    fn name(self) -> &'static str {
        match self {
            Self::Tidy => "tidy",
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Test => "test",
            Self::Browser => "browser",
            Self::Clients => "clients",
        }
    }
}

/// Which steps to run.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    steps: Vec<Step>,
    filter: Option<String>,
}

impl Plan {
    /// What to run before a commit.
    pub(crate) fn check() -> Self {
        Self { steps: vec![Step::Tidy, Step::Fmt, Step::Clippy], filter: None }
    }

    /// Everything, less what the arguments of `cargo xtask test` take away.
    pub(crate) fn test(arguments: &[String]) -> Result<Self, String> {
        let mut plan = Self { steps: Step::ALL.to_vec(), filter: None };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value =
                || rest.next().ok_or_else(|| format!("`{argument}` needs a value, see `help`"));
            match argument.as_str() {
                "--no-browser" => {
                    plan.steps.retain(|&step| step != Step::Browser && step != Step::Clients);
                }
                "--only" => {
                    let name = value()?;
                    plan.steps.retain(|step| step.name() == name);
                    if plan.steps.is_empty() {
                        return Err(format!("no step `{name}` left to run"));
                    }
                }
                "--filter" => plan.filter = Some(value()?.clone()),
                other => return Err(format!("unknown argument `{other}`, see `help`")),
            }
        }
        Ok(plan)
    }
}

/// Runs the plan and prints the summary.
pub(crate) fn run(plan: &Plan) -> Result<(), String> {
    let root = process::root()?;
    let start = Instant::now();
    let mut durations = Vec::new();
    let mut failure = None;
    for &step in &plan.steps {
        println!("\n== {} ==", step.name());
        let began = Instant::now();
        let result = run_step(step, &root, plan.filter.as_deref());
        durations.push(began.elapsed());
        if let Err(reason) = result {
            failure = Some(format!("{} failed: {reason}", step.name()));
            break;
        }
    }
    summary(&plan.steps, &durations, failure.is_some(), start.elapsed());
    failure.map_or(Ok(()), Err)
}

fn run_step(step: Step, root: &Path, filter: Option<&str>) -> Result<(), String> {
    match step {
        Step::Tidy => tidy::run(root),
        Step::Fmt => {
            component("fmt", "rustfmt", root)?;
            process::run(process::cargo(root).args(["fmt", "--all", "--check"]))
        }
        Step::Clippy => {
            component("clippy", "clippy", root)?;
            process::run(
                process::cargo(root)
                    .args(["clippy", "--locked", "--workspace", "--all-targets"])
                    .args(["--", "-D", "warnings"]),
            )
        }
        Step::Test => tests(root),
        Step::Browser => browser::run(root, filter),
        Step::Clients => clients::run(root, filter),
    }
}

/// Every test of every crate. Those of the API's timers wait for minutes and work for none of them, so
/// they run beside the others.
fn tests(root: &Path) -> Result<(), String> {
    let test = |arguments: &[&str]| {
        let mut command = process::cargo(root);
        command.args(["test", "--locked", "--workspace"]).args(arguments);
        command
    };
    for (program, purpose) in [
        ("valgrind", "the tests count instructions with Valgrind"),
        ("curl", "the tests run the documents' commands"),
    ] {
        if process::find(&[program]).is_none() {
            browser::install_packages(purpose, &[program])?;
        }
    }
    process::run(&mut test(&["--no-run"]))?;
    std::thread::scope(|scope| {
        let mut timers = test(&["--test", "api", "--", TIMERS, "--test-threads", "8"]);
        let timers = scope.spawn(move || process::run_beside(&mut timers));
        process::run(&mut test(&["--", "--skip", TIMERS]))?;
        timers.join().map_err(|_| "the tests of the timers did not run".to_owned())?
    })
}

/// Path of the tests of the API's timers.
const TIMERS: &str = "timing::";

/// Makes sure that a part of the toolchain is there; installs it when rustup can.
fn component(subcommand: &str, name: &str, root: &Path) -> Result<(), String> {
    if process::read(process::cargo(root).args([subcommand, "--version"])).is_ok() {
        return Ok(());
    }
    process::run(Command::new("rustup").args(["component", "add", name]).current_dir(root))
        .map_err(|reason| format!("install the toolchain component `{name}` ({reason})"))
}

fn summary(steps: &[Step], durations: &[Duration], failed: bool, total: Duration) {
    println!("\n== summary ==");
    for (index, step) in steps.iter().enumerate() {
        match durations.get(index) {
            Some(time) => {
                let bad = failed && index + 1 == durations.len();
                let verdict = if bad { "FAILED" } else { "ok" };
                println!("{:<8} {verdict:<8} {:>7.1} s", step.name(), time.as_secs_f64());
            }
            None => println!("{:<8} not run", step.name()),
        }
    }
    println!("{:<8} {:<8} {:>7.1} s", "total", "", total.as_secs_f64());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn plan(line: &str) -> Result<Plan, String> {
        Plan::test(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_choose_the_steps() {
        assert_eq!(plan("").unwrap().steps, Step::ALL);
        assert_eq!(plan("--no-browser").unwrap().steps, Step::ALL[..4]);
        assert_eq!(plan("--only clippy").unwrap().steps, [Step::Clippy]);
        assert_eq!(plan("--only browser --filter codec").unwrap().filter.unwrap(), "codec");
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for line in ["--only", "--only nothing", "--nobrowser", "--no-browser --only browser"] {
            assert!(plan(line).is_err(), "{line}");
        }
    }
}
