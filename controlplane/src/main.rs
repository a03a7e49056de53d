//! The binary: settings, start, banner, signals, stop; or one of the operator's commands.
//!
//! The banner on standard output is the only place that ever shows a secret, and only one that was
//! generated for this run. Logs go to standard error.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use controlplane::config::{Config, Refusal, Task};
use controlplane::{Running, cli, start};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Most apps that the banner names; chosen.
const APPS_SHOWN: usize = 10;
/// Exit code for settings that are refused, as command line tools use it.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let (config, task) = match Config::with_task(std::env::args_os()) {
        Ok(asked) => asked,
        Err(Refusal::Command(error)) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE));
        }
        Err(Refusal::Setting(error)) => {
            let _ = writeln!(std::io::stderr(), "fanfall: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if task != Task::Serve {
        return match cli::run(&config, task) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        };
    }
    log_to_stderr(&config.log);
    let state = config.state.clone();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    // Signals are caught before anything runs, so that none ends the process half started.
    let caught = runtime.block_on(async { catch() });
    let mut signals = match caught {
        Ok(signals) => signals,
        Err(error) => return failed(&error),
    };
    let running = match start(config) {
        Ok(running) => running,
        Err(error) => return failed(&error),
    };
    banner(&running, state.as_deref());
    let name = runtime.block_on(async {
        tokio::select! {
            _ = signals.0.recv() => "SIGINT",
            _ = signals.1.recv() => "SIGTERM",
        }
    });
    tracing::info!(signal = name, "stopping");
    running.stop();
    ExitCode::SUCCESS
}

fn catch() -> std::io::Result<(tokio::signal::unix::Signal, tokio::signal::unix::Signal)> {
    Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "fanfall: {error}");
    ExitCode::FAILURE
}

fn log_to_stderr(filter: &str) {
    let filter = EnvFilter::builder().parse_lossy(filter);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Says where everything is, with a command to paste.
fn banner(running: &Running, state: Option<&Path>) {
    let mut out = std::io::stdout().lock();
    let _ = write_banner(&mut out, running, state);
    let _ = out.flush();
}

fn write_banner(
    out: &mut impl Write,
    running: &Running,
    state: Option<&Path>,
) -> std::io::Result<()> {
    let scheme = if running.https { "https" } else { "http" };
    let base = format!("{scheme}://{}", running.http_addr);
    let announced: Vec<String> = running.announced.iter().map(ToString::to_string).collect();
    writeln!(out, "Fanfall {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  page       {base}/")?;
    writeln!(out, "  call       {base}/demo")?;
    writeln!(out, "  API        {base}/v1/apps/")?;
    let tcp = if running.media_tcp { ", TCP too" } else { "" };
    writeln!(out, "  media      UDP port {}{tcp}, {} cores", running.media_port, running.cores)?;
    write!(out, "  driver     {:?}", running.driver)?;
    match &running.fallback_reason {
        Some(reason) => writeln!(out, " (io_uring refused: {reason})")?,
        None => writeln!(out)?,
    }
    writeln!(out, "  announced  {}", announced.join(", "))?;
    match state {
        Some(path) => writeln!(out, "  state      {}", path.display())?,
        None => writeln!(out, "  state      in memory: no --state")?,
    }
    let mut ids = running.apps.iter().map(|app| &app.id).chain(&running.stored);
    for id in ids.clone().take(APPS_SHOWN) {
        writeln!(out, "  app id     {id}")?;
    }
    if ids.clone().count() > APPS_SHOWN {
        writeln!(out, "             ...")?;
    }
    let Some(id) = ids.next() else { return Ok(()) };
    let secret = match running.apps.first().filter(|_| running.generated) {
        Some(app) => {
            writeln!(out, "  app secret {}", app.secret)?;
            app.secret.as_str()
        }
        None => "$FANFALL_APP_SECRET",
    };
    writeln!(out, "\nTry it:")?;
    writeln!(
        out,
        "  curl -X POST -H \"Authorization: Bearer {secret}\" {base}/v1/apps/{id}/sessions/new"
    )
}
