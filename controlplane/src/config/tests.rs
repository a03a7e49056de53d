//! Precedence and refusals of settings, through the real command line grammar and real files.
#![allow(clippy::unwrap_used)]

use std::io::Write;

use super::*;

fn read(args: &[&str]) -> Result<Config, String> {
    let args = std::iter::once("fanfall").chain(args.iter().copied()).map(OsString::from);
    Config::from_args(args).map_err(|refusal| match refusal {
        Refusal::Command(error) => error.to_string(),
        Refusal::Setting(error) => error.to_string(),
    })
}

fn file(text: &str) -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let path = file.path().display().to_string();
    (file, path)
}

#[test]
fn defaults_hold_without_any_setting() {
    let config = read(&[]).unwrap();
    assert_eq!(config.http.to_string(), "127.0.0.1:8080");
    assert_eq!(config.media_port, 1473);
    assert!(config.media_tcp && !read(&["--media-tcp", "off"]).unwrap().media_tcp);
    assert!(config.media_binds.iter().any(|bind| bind.is_ipv4()));
    assert!(config.page);
    assert!(config.apps.is_empty());
}

#[test]
fn a_flag_wins_over_the_file() {
    let (_keep, path) = file("http = \"127.0.0.1:9000\"\nmedia_port = 2000\npin = false\n");
    let config = read(&["--config", &path, "--media-port", "3000"]).unwrap();
    assert_eq!(config.http.port(), 9000);
    assert_eq!(config.media_port, 3000);
    assert!(!config.pin);
}

#[test]
fn lists_come_from_commas_repeats_and_arrays() {
    let (_keep, path) = file("announce = [\"192.0.2.1\", \"[2001:db8::1]:5000\"]\n");
    let from_file = read(&["--config", &path]).unwrap().announce;
    assert_eq!(from_file.len(), 2);
    assert_eq!(from_file[1].port, Some(5000));
    let args = ["--announce", "192.0.2.1,192.0.2.2", "--announce", "2001:db8::2"];
    assert_eq!(read(&args).unwrap().announce.len(), 3);
}

#[test]
fn the_page_is_off_when_the_api_is_reachable_from_outside() {
    assert!(!read(&["--http", "0.0.0.0:80"]).unwrap().page);
    assert!(read(&["--http", "0.0.0.0:80", "--page", "on"]).unwrap().page);
    assert!(read(&["--http", "[::1]:80"]).unwrap().page);
}

#[test]
fn apps_are_listed_in_the_file() {
    let text = "[[apps]]\nid = \"one\"\nsecret = \"0123456789abcdef\"\n\
                [[apps]]\nid = \"two\"\nsecret = \"fedcba9876543210\"\n";
    let (_keep, path) = file(text);
    let apps = read(&["--config", &path]).unwrap().apps;
    assert_eq!(apps.iter().map(|app| app.id.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert!(!format!("{apps:?}").contains("0123456789abcdef"));
}

#[test]
fn a_wrong_flag_is_refused_by_name() {
    for (args, part) in [
        (["--http", "nowhere"], "--http: \"nowhere\" is not ADDRESS:PORT"),
        (["--cores", "65"], "--cores: \"65\""),
        (["--cores", "0"], "--cores: \"0\""),
        (["--media-port", "70000"], "--media-port: \"70000\""),
        (["--driver", "dpdk"], "--driver: \"dpdk\""),
        (["--media-bind", "0.0.0.0,127.0.0.1"], "--media-bind: 127.0.0.1 is a second"),
        (["--announce", "0.0.0.0"], "--announce: \"0.0.0.0\""),
        (["--pin", "maybe"], "--pin: \"maybe\""),
        (["--log", "info,,=x="], "--log: "),
        (["--state", ""], "--state: names no directory"),
        (["--account-token", "shortie"], "--account-token: a secret is 16 to 256"),
        (["--app-id", "x"], "--app-id: app_secret is missing"),
        (["--app-secret", "0123456789abcdef"], "--app-secret: app_id is missing"),
    ] {
        let error = read(&args).unwrap_err();
        assert!(error.contains(part), "{error:?} lacks {part:?}");
        assert!(!error.contains("shortie"));
    }
}

#[test]
fn a_wrong_file_is_refused_by_line() {
    for (text, part) in [
        ("# one\nhttpp = \"x\"\n", "line 2: unknown setting \"httpp\""),
        ("pin = true\n\ncores = 0\n", "line 3: \"0\""),
        ("cores = [1]\n", "line 1: expected one value"),
        ("http = \n", "line 1: "),
        ("[[apps]]\nid = \"a\"\n", "line 1: an app needs a secret"),
        ("[[apps]]\nid = \"a\"\nsecret = \"short\"\n", "line 3: a secret is"),
        ("[[apps]]\nid = \"a/b\"\nsecret = \"0123456789abcdef\"\n", "line 2: an app id is"),
        ("[[apps]]\nname = \"a\"\n", "line 2: unknown setting \"name\" of an app"),
        ("apps = 3\n", "line 1: apps must be written"),
    ] {
        let (_keep, path) = file(text);
        let error = read(&["--config", &path]).unwrap_err();
        assert!(error.contains(part), "{error:?} lacks {part:?}");
        assert!(!error.contains("0123456789abcdef"));
    }
}

#[test]
fn help_names_every_setting_with_its_variable() {
    let help = read(&["--help"]).unwrap_err();
    for setting in settings::SETTINGS {
        assert!(help.contains(setting.env), "{}", setting.env);
        assert!(setting.help.contains("Default:"), "{}", setting.key);
    }
}
