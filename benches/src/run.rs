//! A run: every scenario with every server and floor, in turns (A B C A B C), so that what else the
//! machine does meanwhile meets all of them. Medians are shown; each single run is kept in the JSON.

use std::path::Path;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::report::figures::Figures;
use crate::report::{Report, Row, baseline, plot, table};
use crate::scenario::{self, Scenario};
use crate::subject::{Kind, Setup, janus_program};
use crate::{MergeArguments, Method, Outcome, RunArguments, floor};

/// Who is measured: a server, or a floor.
#[derive(Clone, Copy, Debug)]
enum Contender {
    Server(Kind),
    Floor(Method),
}

impl Contender {
    fn name(self) -> String {
        match self {
            Self::Server(kind) => kind.name().to_owned(),
            Self::Floor(method) => format!("floor-{}", format!("{method:?}").to_lowercase()),
        }
    }
}

/// Runs, prints, writes and compares. Errors: a checked payload was wrong; in a smoke run also any
/// loss and anything that did not work.
pub(crate) fn run(arguments: &RunArguments) -> Outcome<()> {
    let descriptors = getrlimit(Resource::RLIMIT_NOFILE)?.1;
    setrlimit(Resource::RLIMIT_NOFILE, descriptors, descriptors)?;
    let setup = Setup {
        server_cpu: arguments.server_cpu,
        client_cpu: arguments.client_cpu,
        driver: format!("{:?}", arguments.driver).to_lowercase(),
    };
    let scenarios =
        if arguments.smoke { scenario::smoke() } else { scenario::full(arguments.seconds) };
    let wanted = |name: &str| {
        let chosen = &arguments.scenario;
        chosen.is_empty() || chosen.iter().any(|one| name.starts_with(one.as_str()))
    };
    let mut report = Report { facts: facts(), rows: Vec::new() };
    for (name, scenario) in scenarios.into_iter().filter(|(name, _)| wanted(name)) {
        let contenders = contenders(arguments, &scenario);
        let row = |one: &Contender| Row {
            scenario: name.to_owned(),
            server: one.name(),
            runs: Vec::new(),
            errors: Vec::new(),
        };
        let mut rows: Vec<Row> = contenders.iter().map(row).collect();
        // A saturation is many windows already.
        let once_is_enough = arguments.smoke || matches!(scenario, Scenario::Capacity { .. });
        let rounds = if once_is_enough { 1 } else { arguments.rounds };
        for round in 0..rounds {
            for (contender, row) in contenders.iter().zip(&mut rows) {
                eprintln!("{name}, {} ({} of {rounds})", row.server, round + 1);
                match once(*contender, &scenario, &setup, round == 0 && !arguments.smoke) {
                    Ok(figures) => row.runs.push(figures),
                    Err(error) => row.errors.push(error.to_string()),
                }
            }
        }
        report.rows.extend(rows);
    }
    show(&report, arguments.out.as_deref())?;
    if arguments.compare {
        baseline::compare(&report, include_str!("../baseline.json"))?;
    }
    check(&report, arguments.smoke)
}

fn contenders(arguments: &RunArguments, scenario: &Scenario) -> Vec<Contender> {
    let mut all = vec![Contender::Server(Kind::Fanfall)];
    if arguments.peers || arguments.smoke {
        all.push(Contender::Server(Kind::Str0m));
    }
    if arguments.peers {
        match janus_program() {
            Some(_) => all.push(Contender::Server(Kind::Janus)),
            None => eprintln!("Janus is not installed (apt-get install janus): left out"),
        }
    }
    if let Scenario::Forward(load) = scenario {
        all.push(Contender::Floor(Method::Plain));
        // Sound alone has no bursts: nothing to put into one message.
        if load.media.video.is_some() {
            all.push(Contender::Floor(Method::Gso));
        }
    }
    all
}

fn once(
    contender: Contender,
    scenario: &Scenario,
    setup: &Setup,
    traced: bool,
) -> Outcome<Figures> {
    match (contender, scenario) {
        (Contender::Server(kind), _) => scenario.run(kind, setup, traced),
        (Contender::Floor(method), Scenario::Forward(load)) => {
            floor::run(method, setup, load, traced)
        }
        (Contender::Floor(_), _) => Err("this scenario has no floor".into()),
    }
}

/// Machine, kernel, commit, command.
fn facts() -> Vec<(String, String)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let processors = info.lines().filter(|line| line.starts_with("processor")).count();
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let facts = [
        ("machine", format!("{processors} x {}", model.unwrap_or("unknown processor"))),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("load before", read("/proc/loadavg").trim().to_owned()),
        ("commit", commit.unwrap_or_default()),
        ("command", format!("cargo xtask bench {}", arguments.join(" "))),
        ("build", crate::build().to_owned()),
    ];
    facts.map(|(name, text)| (name.to_owned(), text)).into()
}

/// Puts the reports of earlier calls together, which measured one part each.
pub(crate) fn merge(arguments: &MergeArguments) -> Outcome<()> {
    let mut merged = Report::default();
    for file in &arguments.files {
        let part = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        merged.absorb(&serde_json::from_str(&part)?).map_err(|error| format!("{file}: {error}"))?;
    }
    show(&merged, arguments.out.as_deref())?;
    check(&merged, false)
}

/// Prints a report; with a folder also writes it, its tables and its plot there, under the names of
/// the committed ones.
fn show(report: &Report, folder: Option<&str>) -> Outcome<()> {
    let text = table::text(report);
    println!("{text}");
    let Some(folder) = folder.map(Path::new) else { return Ok(()) };
    std::fs::create_dir_all(folder)?;
    let json = serde_json::to_string_pretty(&report.json())? + "\n";
    std::fs::write(folder.join("baseline.json"), json)?;
    std::fs::write(folder.join("baseline.svg"), plot::svg(report))?;
    std::fs::write(
        folder.join("baseline.md"),
        format!("# One run of `cargo xtask bench`\n\n{text}"),
    )?;
    println!("\nwritten: baseline.json, baseline.md and baseline.svg in {}", folder.display());
    Ok(())
}

fn check(report: &Report, smoke: bool) -> Outcome<()> {
    for row in &report.rows {
        for run in &row.runs {
            let is = |name: &str| run.get(name).unwrap_or(0.0);
            if is("wrong") > 0.0 {
                return Err(format!("{}, {}: payloads were wrong", row.scenario, row.server).into());
            }
            let lost = is("loss_percent") > 0.0 || is("failed_joins") > 0.0;
            let unchecked = run.get("verified") == Some(0.0);
            if smoke && (lost || unchecked) {
                let what = if lost { "packets were lost" } else { "nothing was checked" };
                return Err(format!("{}, {}: {what}", row.scenario, row.server).into());
            }
        }
        if let Some(error) = row.errors.first().filter(|_| smoke) {
            return Err(format!("{}, {}: {error}", row.scenario, row.server).into());
        }
    }
    Ok(())
}
