//! The report as tables for people, in the markup of the README: all in short, then all of each
//! scenario. Every figure is a median; beside each server's cost stands what it is to the floors of
//! the same run.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::figures::Figures;
use super::{Report, Row};

/// Columns of a table: a heading, a figure, digits behind the point.
type Columns = &'static [(&'static str, &'static str, usize)];

const FORWARD: Columns = &[
    ("CPU us/packet", "cpu_us_per_packet", 2),
    ("user", "cpu_us_user", 2),
    ("system", "cpu_us_system", 2),
    ("packets/s/core", "packets_per_core_second", 0),
    ("Gbit/s/core", "gbit_per_core_second", 2),
    ("core %", "server_core_percent", 0),
    ("lost %", "loss_percent", 3),
    ("delivered %", "delivered_percent", 1),
    ("latency ms p50", "latency_ms_p50", 2),
    ("p99", "latency_ms_p99", 2),
    ("p99.9", "latency_ms_p999", 2),
    ("keys ms p50", "connected_ms_p50", 0),
    ("p99", "connected_ms_p99", 0),
    ("first media ms p50", "first_media_ms_p50", 0),
    ("p99", "first_media_ms_p99", 0),
    ("syscalls/packet", "syscalls_per_packet", 3),
    ("skbs/packet", "skbs_per_packet", 3),
    ("generator core %", "generator_core_percent", 0),
];

const CHURN: Columns = &[
    ("joins/s", "joins_per_second", 0),
    ("failed", "failed_joins", 0),
    ("keys ms p50", "connected_ms_p50", 1),
    ("p99", "connected_ms_p99", 1),
    ("first media ms p50", "first_media_ms_p50", 1),
    ("p99", "first_media_ms_p99", 1),
    ("server ms/join", "server_ms_per_join", 2),
    ("core %", "server_core_percent", 0),
    ("latency ms p50", "latency_ms_p50", 2),
    ("p99", "latency_ms_p99", 2),
    ("generator core %", "generator_core_percent", 0),
];

const IDLE: Columns = &[
    ("sessions", "sessions", 0),
    ("KiB/session", "kib_per_session", 1),
    ("CPU us/session/s", "idle_cpu_us_per_session_second", 1),
    ("keys ms p50", "connected_ms_p50", 0),
    ("p99", "connected_ms_p99", 0),
];

const CAPACITY: Columns = &[
    ("holds", "saturation_subscribers", 0),
    ("packets/s", "packets_per_second", 0),
    ("core %", "server_core_percent", 0),
    ("CPU us/packet", "cpu_us_per_packet", 2),
    ("lost %", "loss_percent", 3),
    ("latency ms p50", "latency_ms_p50", 2),
    ("p99", "latency_ms_p99", 2),
    ("overload", "overload_subscribers", 0),
    ("packets/s", "overload_packets_per_second", 0),
    ("% of most", "overload_percent_of_most", 1),
    ("worst subscriber %", "overload_worst_subscriber_percent", 1),
    ("generator core %", "generator_core_percent", 0),
    ("generator is the limit", "generator_bound", 0),
];

/// Headlines beside the costs: a scenario, its name for people, a figure, digits behind the point.
const HEADLINES: &[(&str, &str, &str, usize)] = &[
    ("conference-5x10", "conference-5x10, latency p99 in ms", "latency_ms_p99", 2),
    ("conference-10x10", "conference-10x10, latency p99 in ms", "latency_ms_p99", 2),
    ("saturation", "saturation of one core, subscribers held", "saturation_subscribers", 0),
    ("saturation", "saturation of one core, packets/s", "packets_per_second", 0),
    ("saturation", "at 150 % of it, % of the highest rate", "overload_percent_of_most", 1),
    (
        "saturation",
        "at 150 % of it, worst subscriber gets %",
        "overload_worst_subscriber_percent",
        1,
    ),
    ("idle", "KiB resident per idle subscriber", "kib_per_session", 1),
    ("churn-50", "50 joins/s, first packet after ms, p50", "first_media_ms_p50", 1),
    ("churn-50", "50 joins/s, first packet after ms, p99", "first_media_ms_p99", 1),
    ("churn-1000", "1,000 joins/s, failed", "failed_joins", 0),
    ("churn-1000", "1,000 joins/s, first packet after ms, p50", "first_media_ms_p50", 1),
    ("churn-1000", "1,000 joins/s, latency p99 of those who stay in ms", "latency_ms_p99", 2),
];

/// Below this part, in percent, a server did not do the work.
const DELIVERED: f64 = 99.0;
/// Floors a cost is divided by.
const FLOORS: [&str; 2] = ["floor-gso", "floor-plain"];

/// Everything, as text.
pub(crate) fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut out, report);
    out
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    for (name, text) in &report.facts {
        writeln!(out, "- {name}: {text}")?;
    }
    let about = report.rows.iter().map(|row| (row.server.clone(), row.median().about));
    let about: BTreeMap<_, _> = about.filter(|(_, about)| !about.is_empty()).collect();
    for (server, about) in about {
        writeln!(out, "- {server}: {about}")?;
    }
    summary(out, report)?;
    for scenario in report.scenarios() {
        let columns = match scenario {
            name if name.starts_with("churn") => CHURN,
            "idle" => IDLE,
            "saturation" => CAPACITY,
            _ => FORWARD,
        };
        let rows: Vec<&Row> = report.rows.iter().filter(|row| row.scenario == scenario).collect();
        writeln!(out, "\n## {scenario}\n")?;
        let floors = FLOORS.iter().filter(|name| report.row(scenario, name).is_some());
        let floors: Vec<&str> = floors.copied().collect();
        head(out, columns, &floors)?;
        for row in &rows {
            line(out, report, row, columns, &floors)?;
        }
        for row in &rows {
            row.errors.iter().try_for_each(|error| writeln!(out, "\n{}: {error}", row.server))?;
        }
        checked(out, &rows)?;
    }
    Ok(())
}

/// In short: a line for each scenario's cost and for each headline, a column for each server. Where
/// less was delivered than was to be, its part is said, for what is not sent costs nothing.
fn summary(out: &mut String, report: &Report) -> std::fmt::Result {
    let mut servers: Vec<&str> = Vec::new();
    for row in &report.rows {
        if !servers.contains(&row.server.as_str()) {
            servers.push(&row.server);
        }
    }
    writeln!(out, "\n## In short\n")?;
    writeln!(out, "| | {} |\n|{}", servers.join(" | "), "---|".repeat(1 + servers.len()))?;
    let medians = |scenario: &str| -> Vec<Option<Figures>> {
        servers.iter().map(|server| Some(report.row(scenario, server)?.median())).collect()
    };
    for scenario in report.scenarios() {
        let cells: Vec<Option<String>> = medians(scenario).iter().map(cost).collect();
        // What a saturated core costs is another load for each server.
        if scenario != "saturation" {
            summary_line(out, &format!("{scenario}, CPU us per forwarded packet"), &cells)?;
        }
    }
    for (scenario, words, name, digits) in HEADLINES {
        let cell = |one: &Option<Figures>| {
            let value = one.as_ref()?.get(name)?;
            Some(format!("{value:.digits$}", digits = *digits))
        };
        let cells: Vec<Option<String>> = medians(scenario).iter().map(cell).collect();
        summary_line(out, words, &cells)?;
    }
    Ok(())
}

/// One line of the summary, where any server has the figure.
fn summary_line(out: &mut String, words: &str, cells: &[Option<String>]) -> std::fmt::Result {
    if cells.iter().all(Option::is_none) {
        return Ok(());
    }
    let cells: Vec<&str> = cells.iter().map(|cell| cell.as_deref().unwrap_or("-")).collect();
    writeln!(out, "| {words} | {} |", cells.join(" | "))
}

/// What a packet cost, with the part that was delivered where that is not all.
fn cost(median: &Option<Figures>) -> Option<String> {
    let median = median.as_ref()?;
    let cost = median.get("cpu_us_per_packet")?;
    Some(match median.get("delivered_percent") {
        Some(part) if part < DELIVERED => format!("{cost:.2} ({part:.0} % delivered)"),
        _ => format!("{cost:.2}"),
    })
}

fn head(out: &mut String, columns: Columns, floors: &[&str]) -> std::fmt::Result {
    let ratios = floors.iter().map(|floor| format!("x {floor}"));
    let names = columns.iter().map(|(heading, ..)| (*heading).to_owned());
    let names: Vec<String> = ["server".to_owned()].into_iter().chain(names).chain(ratios).collect();
    writeln!(out, "| {} |\n|{}", names.join(" | "), "---|".repeat(names.len()))
}

fn line(
    out: &mut String,
    report: &Report,
    row: &Row,
    columns: Columns,
    floors: &[&str],
) -> std::fmt::Result {
    let median = row.median();
    let mut cells = vec![row.server.clone()];
    for (_, name, digits) in columns {
        let cell = median.get(name).map(|value| format!("{value:.digits$}", digits = *digits));
        cells.push(cell.unwrap_or_else(|| "-".to_owned()));
    }
    let cost = median.get("cpu_us_per_packet");
    for floor in floors {
        let floor = report.row(&row.scenario, floor);
        let floor = floor.and_then(|floor| floor.median().get("cpu_us_per_packet"));
        let ratio = cost.zip(floor).map(|(cost, floor)| format!("{:.2}", cost / floor));
        cells.push(ratio.unwrap_or_else(|| "-".to_owned()));
    }
    writeln!(out, "| {} |", cells.join(" | "))
}

/// Says what was checked, and what each run cost, for medians hide the spread.
fn checked(out: &mut String, rows: &[&Row]) -> std::fmt::Result {
    let sum = |name: &str| -> f64 {
        let values = rows.iter().flat_map(|row| &row.runs).filter_map(|run| run.get(name));
        values.fold(0.0, |sum, value| sum + value)
    };
    let (verified, wrong) = (sum("verified"), sum("wrong"));
    if verified > 0.0 {
        writeln!(out, "\n{verified} packets decrypted and checked, {wrong} wrong")?;
    }
    for row in rows {
        let runs = row.runs.iter().filter_map(|run| run.get("cpu_us_per_packet"));
        let runs: Vec<String> = runs.map(|cost| format!("{cost:.2}")).collect();
        if runs.len() > 1 {
            writeln!(out, "\n{}: CPU us/packet of its runs: {}", row.server, runs.join(", "))?;
        }
    }
    Ok(())
}
