//! Every scenario of the benches once, as small as it can be: the server whole, the minimal SFU on
//! str0m, the floors. The run itself fails on a lost packet, a wrong payload, a failed join, or when
//! nothing was checked. Of cost only instructions are judged, which no other load of the machine
//! changes; what a turn costs in system calls is held by the drivers' own test.

use std::process::Command;

#[test]
fn every_scenario_runs_and_loses_nothing() {
    let output = Command::new(env!("CARGO_BIN_EXE_benches")).arg("--smoke").output();
    let output = output.expect("the benches start");
    let text = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{why}");
    for scenario in
        ["broadcast-video", "broadcast-audio", "conference", "churn", "idle", "saturation"]
    {
        assert!(text.contains(&format!("## {scenario}")), "no {scenario} in {text}");
    }
}

/// The engine's instructions per forwarded packet, against `instructions.json`.
#[test]
fn a_forwarded_packet_costs_no_more_instructions() {
    let output = Command::new(env!("CARGO_BIN_EXE_benches"))
        .args(["instructions", "--subscribers", "8", "--seconds", "1", "--warm-up", "1"])
        .output()
        .expect("the benches start");
    let text = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !text.contains("not compared"), "{text}\n{why}");
}
