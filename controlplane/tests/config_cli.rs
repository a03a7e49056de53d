//! The binary as an operator meets it: banner, refusals, precedence of the environment, signals.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn fanfall() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanfall"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FANFALL_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn refused(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!(status.code(), Some(2));
    assert!(stdout.is_empty());
    String::from_utf8(stderr).unwrap()
}

#[test]
fn wrong_settings_end_with_code_2_and_the_place() {
    let text = refused(fanfall().args(["--cores", "none"]));
    assert!(text.contains("--cores: \"none\""), "{text}");
    let text = refused(fanfall().env("FANFALL_MEDIA_PORT", "-1"));
    assert!(text.contains("FANFALL_MEDIA_PORT: \"-1\""), "{text}");
    let text = refused(fanfall().args(["--no-such-flag"]));
    assert!(text.contains("--no-such-flag"), "{text}");
    let text = refused(fanfall().args(["--config", "/no/such/file.toml"]));
    assert!(text.contains("/no/such/file.toml: cannot be read"), "{text}");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"media_port = 1\n\nmedia_prot = 2\n").unwrap();
    let text = refused(fanfall().arg("--config").arg(file.path()));
    assert!(text.contains("line 3: unknown setting \"media_prot\""), "{text}");
    // A wrong secret is not shown.
    let text = refused(fanfall().env("FANFALL_APP_ID", "a").env("FANFALL_APP_SECRET", "shortie"));
    assert!(text.contains("FANFALL_APP_SECRET: ") && !text.contains("shortie"), "{text}");
}

#[test]
fn the_environment_wins_over_the_file_and_flags_over_both() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"cores = 0\n").unwrap();
    let with_file = |command: &mut Command| refused(command.arg("--config").arg(file.path()));
    assert!(with_file(&mut fanfall()).contains("line 1: \"0\""));
    let mut command = fanfall();
    assert!(with_file(command.env("FANFALL_CORES", "99")).contains("FANFALL_CORES: \"99\""));
    let mut command = fanfall();
    let text = with_file(command.env("FANFALL_CORES", "99").args(["--cores", "77"]));
    assert!(text.contains("--cores: \"77\""), "{text}");
}

#[test]
fn help_explains_and_succeeds() {
    let output = fanfall().arg("--help").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["--announce", "FANFALL_ANNOUNCE", "Default: 127.0.0.1:8080", "--config"] {
        assert!(text.contains(part), "{part}");
    }
}

/// Starts a server and reads its banner up to the command to paste.
fn started(command: &mut Command) -> (Child, String) {
    let fixed = ["--http", "127.0.0.1:0", "--media-port", "0", "--pin", "off", "--cores", "1"];
    let piped = command.args(fixed).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut banner = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    while !banner.contains("curl ") {
        assert!(lines.read_line(&mut banner).unwrap() > 0, "ended early: {banner}");
    }
    (child, banner)
}

/// Ends a server by a signal and returns what it logged.
fn ended(mut child: Child, signal: nix::sys::signal::Signal) -> String {
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(id, signal).unwrap();
    let start = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if start.elapsed() > Duration::from_secs(8) => panic!("still running"),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert!(status.success(), "{status}");
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    log
}

#[test]
fn a_generated_secret_is_shown_once_and_never_logged() {
    let (child, banner) = started(fanfall().args(["--log", "trace"]));
    let secret = banner.lines().find_map(|line| line.trim().strip_prefix("app secret ")).unwrap();
    assert_eq!(secret.len(), 64);
    assert!(banner.contains(&format!("Bearer {secret}")));
    let log = ended(child, nix::sys::signal::Signal::SIGINT);
    assert!(!log.contains(secret));
}

#[test]
fn a_given_secret_is_never_shown() {
    let mut command = fanfall();
    command.env("FANFALL_APP_ID", "app").env("FANFALL_APP_SECRET", SECRET);
    let (child, banner) = started(&mut command);
    assert!(banner.contains("/v1/apps/app/sessions/new") && !banner.contains(SECRET));
    let log = ended(child, nix::sys::signal::Signal::SIGTERM);
    assert!(log.contains("stopping") && !log.contains(SECRET), "{log}");
}
