//! Memory: how much more is resident with N subscribers connected than with none, and what they cost
//! while nothing is sent but their checks and reports.

use std::sync::Arc;
use std::time::Duration;

use super::forward::BOTH;
use crate::Outcome;
use crate::generator::Generator;
use crate::report::figures::Figures;
use crate::subject::{Kind, Setup};

/// Connects `count` subscribers and watches them idle for `seconds`.
pub(crate) fn run(kind: Kind, setup: &Setup, count: usize, seconds: f64) -> Outcome<Figures> {
    let mut generator = Generator::start(kind, setup, BOTH, 1)?;
    generator.publish(1, 1)?;
    // A track can be pulled once something of it has come.
    generator.play();
    generator.run_for(Duration::from_millis(500))?;
    let before = generator.subject.usage()?;
    let publisher: Arc<[usize]> = Arc::from([0]);
    generator.join_all(1, vec![(0, publisher); count])?;
    generator.pause();
    generator.run_for(Duration::from_secs_f64(seconds / 5.0))?;
    let full = generator.subject.usage()?;
    let time = Duration::from_secs_f64(seconds);
    generator.run_for(time)?;
    let after = generator.subject.usage()?;
    let kib = after.resident_kib.saturating_sub(before.resident_kib) as f64;
    let mut figures = Figures::default();
    figures.set("sessions", count as f64);
    figures.set("kib_per_session", kib / count.max(1) as f64);
    figures.set("server_mib", after.resident_kib as f64 / 1024.0);
    let used = after.since(&full).run.as_secs_f64();
    figures.set("idle_cpu_us_per_session_second", used * 1e6 / seconds / count.max(1) as f64);
    let connected = generator.present().filter_map(|one| one.connected).collect();
    figures.times(["connected_ms_p50", "connected_ms_p99"], connected);
    Ok(figures)
}
