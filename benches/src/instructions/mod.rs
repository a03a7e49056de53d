//! The instruction count: what one forwarded packet costs the engine, in instructions, which do not
//! depend on what else the machine does. `instructions` runs `stage` of this same binary under
//! callgrind, reads its profile and compares it with the base of the gate (`instructions.json`).
//!
//! Counted is everything the engine does while media flows: opening, forwarding, feedback and
//! reports of all peers, timers. Not counted: connecting, the driver, the kernel, the other stacks.
//! Valgrind has no AVX-512 and no VAES, so the AEAD takes its AES-NI way: figures compare with each
//! other, not with a clock.

mod profile;
mod stage;

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use profile::Profile;
use stage::Stage;

use crate::{StageArguments, build};

/// What a forwarded packet cost before, and how that was measured.
const BASE: &str = include_str!("../../instructions.json");
/// How much dearer than the base a packet may be, in percent.
const GATE_PERCENT: f64 = 10.0;
/// The function that switches the count; see `stage`.
const MEASURED: &str = "*Stage*measured*";
/// Parts of the names of the AEAD's functions (ring and aws-lc).
const AEAD: [&str; 3] = ["gcm", "aes_", "ghash"];
/// Functions shown.
const SHOWN: usize = 12;

/// Counts, prints and compares. Errors: valgrind does not run, or the gate is exceeded.
pub(crate) fn run(arguments: &StageArguments) -> Result<(), Box<dyn Error>> {
    let out = std::env::temp_dir().join(format!("instructions-{}.callgrind", std::process::id()));
    let counted = count(arguments, &out);
    let text = std::fs::read_to_string(&out);
    let _ = std::fs::remove_file(&out);
    let (counted, profile) = (counted?, Profile::read(&text?));
    let forwarded = counted["forwarded"].as_u64().filter(|packets| *packets > 0);
    let forwarded = forwarded.ok_or("nothing was forwarded")? as f64;
    let per_packet = profile.total() as f64 / forwarded;
    println!("counted: {counted}");
    println!("| instructions/packet | of these AEAD | others |");
    println!("|---|---|---|");
    let aead = profile.of(&AEAD) as f64 / forwarded;
    println!("| {per_packet:.1} | {aead:.1} | {:.1} |", per_packet - aead);
    for (name, cost) in profile.dearest(SHOWN) {
        println!("{:8.1}  {name}", cost as f64 / forwarded);
    }
    compare(arguments, per_packet, per_packet - aead)
}

/// Runs the stage under callgrind, which writes its profile to `out`; returns what the stage said.
fn count(arguments: &StageArguments, out: &Path) -> Result<serde_json::Value, Box<dyn Error>> {
    let StageArguments { subscribers, seconds, warm_up } = arguments;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={MEASURED}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args(["stage", "--subscribers", &subscribers.to_string()])
        .args(["--seconds", &seconds.to_string(), "--warm-up", &warm_up.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("valgrind: {error} (it is a package of most systems)"))?;
    if !output.status.success() {
        return Err(format!("the counted run ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Says what has become of the base's figure. Only equal loads of equal builds compare.
fn compare(load: &StageArguments, per_packet: f64, others: f64) -> Result<(), Box<dyn Error>> {
    let bases: serde_json::Value = serde_json::from_str(BASE)?;
    let same = |base: &&serde_json::Value| {
        base["subscribers"].as_u64() == Some(load.subscribers as u64)
            && base["seconds"].as_u64() == Some(load.seconds)
            && base["warm_up"].as_u64() == Some(load.warm_up)
            && base["build"] == build()
    };
    let Some(base) = bases.as_array().into_iter().flatten().find(same) else {
        println!("not compared: no base was measured with this load and build");
        return Ok(());
    };
    let growth = |now: f64, name: &str| {
        let before = base[name].as_f64().ok_or(format!("the base has no {name}"))?;
        let growth = 100.0 * (now / before - 1.0);
        println!("{name}: {now:.1}, {before:.1} at {}: {growth:+.1} %", base["commit"]);
        Ok::<f64, String>(growth)
    };
    growth(others, "without_aead")?;
    let growth = growth(per_packet, "instructions_per_packet")?;
    if growth > GATE_PERCENT {
        Err("a forwarded packet has become too dear".into())
    } else {
        Ok(())
    }
}

/// What is counted: runs inside valgrind, prints one line of JSON.
pub(crate) fn stage(arguments: &StageArguments) -> Result<(), Box<dyn Error>> {
    let mut stage = Stage::new(arguments.subscribers);
    stage.connect()?;
    stage.play();
    stage.run_for(Duration::from_secs(arguments.warm_up), false);
    let before = stage.forwarded();
    stage.run_for(Duration::from_secs(arguments.seconds), true);
    let forwarded = stage.forwarded() - before;
    let (delivered, wrong) = stage.delivered();
    let value = serde_json::json!({
        "subscribers": arguments.subscribers,
        "seconds": arguments.seconds,
        "forwarded": forwarded,
        "engine_calls": stage.calls,
        "delivered": delivered,
        "paced": stage.paced(),
        "estimate": stage.estimate(),
        "wrong": wrong,
    });
    println!("{value}");
    if wrong > 0 { Err("payloads were wrong".into()) } else { Ok(()) }
}
