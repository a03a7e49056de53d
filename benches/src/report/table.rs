//! The report as tables for people, in the markup of the README. Every figure is a median; beside
//! each server's cost stands what it is to the floors of the same run.

use std::collections::BTreeMap;

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
    ("generator bound", "generator_bound", 0),
];

/// Floors a cost is divided by.
const FLOORS: [&str; 2] = ["floor-gso", "floor-plain"];

/// Prints everything.
pub(crate) fn print(report: &Report) {
    for (name, text) in &report.facts {
        println!("{name}: {text}");
    }
    let about = report.rows.iter().map(|row| (row.server.clone(), row.median().about));
    let about: BTreeMap<_, _> = about.filter(|(_, about)| !about.is_empty()).collect();
    for (server, about) in about {
        println!("{server}: {about}");
    }
    for scenario in report.scenarios() {
        let columns = match scenario {
            "churn" => CHURN,
            "idle" => IDLE,
            "saturation" => CAPACITY,
            _ => FORWARD,
        };
        let rows: Vec<&Row> = report.rows.iter().filter(|row| row.scenario == scenario).collect();
        println!("\n### {scenario}\n");
        let floors = FLOORS.iter().filter(|name| report.row(scenario, name).is_some());
        let floors: Vec<&str> = floors.copied().collect();
        head(columns, &floors);
        for row in &rows {
            line(report, row, columns, &floors);
        }
        for row in &rows {
            row.errors.iter().for_each(|error| println!("\n{}: {error}", row.server));
        }
        checked(&rows);
    }
}

fn head(columns: Columns, floors: &[&str]) {
    let ratios = floors.iter().map(|floor| format!("x {floor}"));
    let names = columns.iter().map(|(heading, ..)| (*heading).to_owned());
    let names: Vec<String> = ["server".to_owned()].into_iter().chain(names).chain(ratios).collect();
    println!("| {} |\n|{}", names.join(" | "), "---|".repeat(names.len()));
}

fn line(report: &Report, row: &Row, columns: Columns, floors: &[&str]) {
    let median = row.median();
    let mut cells = vec![row.server.clone()];
    for (_, name, digits) in columns {
        let cell = median.get(name).map(|value| format!("{value:.digits$}", digits = *digits));
        cells.push(cell.unwrap_or_else(|| "-".to_owned()));
    }
    let cost = median.get("cpu_us_per_packet");
    for floor in floors {
        let floor = report.row(row.scenario, floor);
        let floor = floor.and_then(|floor| floor.median().get("cpu_us_per_packet"));
        let ratio = cost.zip(floor).map(|(cost, floor)| format!("{:.2}", cost / floor));
        cells.push(ratio.unwrap_or_else(|| "-".to_owned()));
    }
    println!("| {} |", cells.join(" | "));
}

/// Says what was checked, and what each run cost, for medians hide the spread.
fn checked(rows: &[&Row]) {
    let sum = |name: &str| -> f64 {
        let values = rows.iter().flat_map(|row| &row.runs).filter_map(|run| run.get(name));
        values.fold(0.0, |sum, value| sum + value)
    };
    println!("\n{} packets decrypted and checked, {} wrong", sum("verified"), sum("wrong"));
    for row in rows {
        let runs = row.runs.iter().filter_map(|run| run.get("cpu_us_per_packet"));
        let runs: Vec<String> = runs.map(|cost| format!("{cost:.2}")).collect();
        if runs.len() > 1 {
            println!("{}: CPU us/packet of its runs: {}", row.server, runs.join(", "));
        }
    }
}
