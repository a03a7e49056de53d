//! The committed baseline (`benches/baseline.json`, a report as JSON) and what has changed since.
//! Times are shown, never gated: the machine decides half of them. Each cost is also compared as a
//! ratio to the floor of its own run, which the machine bends less.

use serde_json::Value;

use super::Report;
use crate::Outcome;

/// Figures that are compared: what a user feels or pays.
const COMPARED: [&str; 10] = [
    "cpu_us_per_packet",
    "loss_percent",
    "latency_ms_p50",
    "latency_ms_p99",
    "first_media_ms_p50",
    "first_media_ms_p99",
    "kib_per_session",
    "saturation_subscribers",
    "syscalls_per_packet",
    "skbs_per_packet",
];
/// The floor a ratio is taken of.
const FLOOR: &str = "floor-plain";

/// Prints what has changed of every figure that both reports have.
pub(crate) fn compare(report: &Report, baseline: &str) -> Outcome<()> {
    let baseline: Value = serde_json::from_str(baseline)?;
    let fact = |name: &str| baseline["facts"][name].as_str().unwrap_or("?").to_owned();
    println!("\n### Since {} ({}, Linux {})\n", fact("commit"), fact("machine"), fact("kernel"));
    println!("| scenario | server | figure | before | now | change % |\n|---|---|---|---|---|---|");
    for row in &report.rows {
        let median = row.median();
        for name in COMPARED {
            let before = figure(&baseline, &row.scenario, &row.server, name);
            if let (Some(before), Some(now)) = (before, median.get(name)) {
                line(&row.scenario, &row.server, name, before, now);
            }
        }
        let floor = report.row(&row.scenario, FLOOR);
        let floor = floor.and_then(|floor| floor.median().get("cpu_us_per_packet"));
        let cost = median.get("cpu_us_per_packet");
        let before = figure(&baseline, &row.scenario, &row.server, "cpu_us_per_packet");
        let floor_before = figure(&baseline, &row.scenario, FLOOR, "cpu_us_per_packet");
        if let (Some(cost), Some(floor), Some(before), Some(floor_before)) =
            (cost, floor, before, floor_before)
        {
            let name = "times the plain floor";
            line(&row.scenario, &row.server, name, before / floor_before, cost / floor);
        }
    }
    Ok(())
}

fn figure(baseline: &Value, scenario: &str, server: &str, name: &str) -> Option<f64> {
    let rows = baseline["rows"].as_array()?;
    let row = rows.iter().find(|row| row["scenario"] == scenario && row["server"] == server)?;
    row["median"][name].as_f64()
}

fn line(scenario: &str, server: &str, name: &str, before: f64, now: f64) {
    let change = if before == 0.0 { 0.0 } else { 100.0 * (now / before - 1.0) };
    println!("| {scenario} | {server} | {name} | {before:.3} | {now:.3} | {change:+.1} |");
}
