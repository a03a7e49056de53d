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

const TOKEN: &str = "an-account-token-of-our-own";

/// What a command prints when it succeeds.
fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// What a command that fails says.
fn failed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!((status.code(), stdout.as_slice()), (Some(1), &b""[..]));
    String::from_utf8(stderr).unwrap()
}

/// The word behind a label.
fn field(text: &str, label: &str) -> String {
    let found = text.lines().find_map(|line| line.trim().strip_prefix(label));
    found.unwrap_or_else(|| panic!("no {label}: {text}")).trim().to_owned()
}

#[test]
fn apps_are_managed_in_the_state_and_by_the_server_that_uses_it() {
    let kept = tempfile::tempdir().unwrap();
    let state = kept.path().join("state");
    let with_state = || {
        let mut command = fanfall();
        command.arg("--state").arg(&state).env("FANFALL_ACCOUNT_TOKEN", TOKEN);
        command
    };
    let made = said(with_state().args(["app", "create", "first call"]));
    let (uid, secret) = (field(&made, "app id"), field(&made, "app secret"));
    assert_eq!((uid.len(), secret.len()), (32, 64));
    let rotated = said(fanfall().args(["app", "rotate", &uid, "--state"]).arg(&state));
    assert_ne!(field(&rotated, "app secret"), secret);
    let listed = said(with_state().args(["app", "list"]));
    assert!(listed.lines().nth(1).is_some_and(|line| line.starts_with(&uid)), "{listed}");
    assert!(listed.contains("first call") && !listed.contains(&secret));
    assert!(failed(with_state().args(["app", "delete", "x"])).contains("no such app: x"));

    let (child, banner) = started(&mut with_state());
    assert!(banner.contains(&uid) && !banner.contains("app secret"), "{banner}");
    let address = field(&banner, "page").replace("http://", "").replace('/', "");
    let refused = failed(with_state().args(["--http", "127.0.0.1:0", "--media-port", "0"]));
    assert!(refused.contains("another server uses this directory"), "{refused}");
    let ask = |arguments: &[&str]| said(with_state().args(["--http", &address]).args(arguments));
    let second = field(&ask(&["app", "create"]), "app id");
    assert_eq!(ask(&["app", "list"]).lines().count(), 3);
    assert_eq!(field(&ask(&["app", "delete", &uid]), "app id"), uid);
    assert_eq!(ask(&["sessions"]).lines().count(), 1, "its head");
    let top = ask(&["top", "--once"]);
    assert!(top.contains("SUBSCRIPTIONS") && top.contains("0 sessions, 0 connected"), "{top}");
    assert!(!top.contains('\x1b'));
    let mut command = fanfall();
    let text = failed(command.args(["sessions", "--http", &address]));
    assert!(text.contains("--account-token"), "{text}");
    let text = failed(command.env("FANFALL_ACCOUNT_TOKEN", "0123456789abcdef"));
    assert!(text.contains("the account token is missing or wrong"), "{text}");
    ended(child, nix::sys::signal::Signal::SIGTERM);

    assert!(said(with_state().args(["app", "list"])).contains(&second));
    let text = failed(fanfall().args(["top", "--http", &address]));
    assert!(text.contains(&address), "{text}");
}

#[test]
fn settings_are_checked_without_serving_or_changing_anything() {
    let kept = tempfile::tempdir().unwrap();
    let state = kept.path().join("state");
    let mut command = fanfall();
    command.args(["check-config", "--cores", "2", "--state"]).arg(&state);
    command.env("FANFALL_ACCOUNT_TOKEN", TOKEN);
    let text = said(&mut command);
    assert_eq!((field(&text, "cores"), field(&text, "account-token")), ("2".into(), "set".into()));
    assert!(!text.contains(TOKEN) && !state.exists(), "{text}");
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert!(failed(&mut command).contains("chmod 700"));
    assert!(refused(command.args(["--pin", "maybe"])).contains("--pin: \"maybe\""));
}
