//! The files of `deploy/`: they name metrics, settings and system calls that exist.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use controlplane::Config;

use crate::https;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.match_indices("fanfall_")
        .map(|(at, _)| &text[at..])
        .map(|rest| &rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())])
        .collect()
}

#[test]
fn board_and_alerts_name_metrics_and_reasons_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = https::certify(folder.path());
    let server = https::server(folder.path());
    // Families without a label of their own appear with the first request alone.
    https::run(https::get(&server, &trusted, "/healthz"));
    let metrics = https::run(https::get(&server, &trusted, "/metrics"));
    let shown: BTreeSet<&str> =
        metrics.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    for file in ["grafana.json", "alerts.yml"] {
        let text = text(file);
        let named = named(&text);
        assert!(named.len() > 8, "{file}: {named:?}");
        for name in named {
            assert!(shown.contains(name), "{file}: {name}");
        }
        for reasons in text.split("reason").skip(1).filter_map(|rest| rest.split('"').nth(1)) {
            for reason in reasons.split('|').filter(|reason| reason.contains('_')) {
                assert!(metrics.contains(&format!("reason=\"{reason}\"")), "{file}: {reason}");
            }
        }
    }
    serde_json::from_str::<serde_json::Value>(&text("grafana.json")).unwrap();
    server.stop();
}

#[test]
fn the_packaged_settings_are_taken() {
    let plain = text("fanfall.toml");
    // What stands there as an example is one.
    let examples = plain.replace("\n#tls_", "\ntls_").replace("\n#announce", "\nannounce");
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("plain", plain.as_str()), ("examples", examples.as_str())] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let arguments = ["fanfall".into(), "--config".into(), file.into_os_string()];
        let config = Config::from_args(arguments).unwrap();
        assert!(!config.page, "{name}");
        assert_eq!(config.tls.is_some(), name == "examples");
    }
}

#[test]
fn the_unit_is_well_formed_and_tight() {
    let unit = path("fanfall.service");
    let analyze =
        |arguments: &[&str]| Command::new("systemd-analyze").args(arguments).arg(&unit).output();
    // 25: an exposure of 2.5 of 10, where 4.9 still counts as fair.
    let Ok(output) = analyze(&["security", "--offline=true", "--no-pager", "--threshold=25"])
    else {
        println!("no systemd-analyze here: the unit is not judged");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn only_the_packaged_binary_is_missing_where_the_unit_looks() {
    let unit = text("fanfall.service");
    let line = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    assert_eq!(line("ExecStart="), "/usr/bin/fanfall --config /etc/fanfall/fanfall.toml");
    let package = include_str!("../../Cargo.toml");
    for asset in package.lines().filter_map(|line| line.trim().strip_prefix("[\"deploy/")) {
        let name = asset.split('"').next().unwrap();
        assert!(path(name).is_file(), "{name}");
    }
    assert!(package.contains("\"etc/fanfall/\"") && package.contains("\"usr/bin/\""));
    let postinst = text("debian/postinst");
    assert!(postinst.contains(line("EnvironmentFile=-")), "the app's secret");
    assert!(postinst.contains(line("User=")), "the service's user");
}
