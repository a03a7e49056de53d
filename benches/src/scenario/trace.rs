//! System calls and socket buffers per packet, from the kernel's trace points: figures without noise.
//! A window of its own, for tracing costs time. Needs `perf` and the right to mount tracefs (in a
//! mount namespace of its own); without them the figures are absent. Called by `forward` and `floor`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::report::figures::Figures;

/// Seconds of the window.
const SECONDS: f64 = 2.0;
/// What is counted: every system call, and every socket buffer given to a device.
const EVENTS: [(&str, &str); 2] =
    [("raw_syscalls:sys_enter", "syscalls_per_packet"), ("net:net_dev_queue", "skbs_per_packet")];

/// Counts what process `pid` does for a while, where that is possible; `turn` keeps the load going.
pub(crate) fn run(
    pid: u32,
    figures: &mut Figures,
    mut turn: impl FnMut() -> Outcome<()>,
) -> Outcome<()> {
    let names: Vec<&str> = EVENTS.iter().map(|(event, _)| *event).collect();
    let script = format!(
        "mount -t tracefs none /sys/kernel/tracing 2>/dev/null; \
         exec perf stat -x , -e {} -p {pid} -- sleep {SECONDS}",
        names.join(","),
    );
    let child = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else { return Ok(()) };
    let end = Instant::now() + Duration::from_secs(10);
    while child.try_wait()?.is_none() && Instant::now() < end {
        turn()?;
    }
    let _ = child.kill();
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let Some(rate) = figures.get("packets_per_second") else { return Ok(()) };
    for (event, name) in EVENTS {
        // perf-stat(1): value, unit, event, ...
        let line = text.lines().find(|line| line.split(',').nth(2) == Some(event));
        let count = line.and_then(|line| line.split(',').next()?.parse::<f64>().ok());
        if let Some(count) = count {
            figures.set(name, count / (rate * SECONDS));
        }
    }
    Ok(())
}
